//! What all kinds of Global Accelerator share: the region of its API, and that every change goes out to all edge locations.

use std::sync::Arc;

use aws_sdk_globalaccelerator::types::{Accelerator, AcceleratorStatus};

use super::{Context, OnAws, Retry, Task};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Clients, Error};
use crate::reference::AcceleratorArn;

/// What AWS answers while an earlier change is still going out (`ga.status-shared`).
pub(super) const fn in_progress(operation: &'static str) -> Retry {
    Retry::seconds(operation, "TransactionInProgressException", "", 15 * 60)
}

/// The clients: every call goes to this region, wherever the endpoints are (`ga.region`).
pub(super) fn clients(context: &Context) -> Arc<Clients> {
    context.clients_in("us-west-2")
}

/// The accelerator; `None` when there is none.
pub(super) async fn describe(context: &Context, arn: &AcceleratorArn) -> Result<Option<Accelerator>> {
    let clients = clients(context);
    let answer = context
        .call("globalaccelerator:DescribeAccelerator", || {
            clients.globalaccelerator().describe_accelerator().accelerator_arn(arn).send()
        })
        .await;
    match answer {
        Ok(answer) => match answer.accelerator() {
            Some(accelerator) => Ok(Some(accelerator.clone())),
            None => Err(Error::incomplete("globalaccelerator:DescribeAccelerator", "Accelerator")),
        },
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Waits until a change is everywhere; an accelerator that is gone has nothing left to change.
pub(super) async fn deployed(task: &Task<'_>, arn: &AcceleratorArn) -> Result<()> {
    task.wait("the accelerator to be deployed", Patience::minutes(30), || async {
        Ok(match describe(&task.context, arn).await?.as_ref().map(Accelerator::status) {
            None | Some(Some(AcceleratorStatus::Deployed)) => Look::Ready(()),
            Some(status) => Look::Pending(status.map_or("unknown", AcceleratorStatus::as_str).to_owned()),
        })
    })
    .await
}
