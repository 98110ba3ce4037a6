//! Global Accelerator, which the emulator lacks, with the rules of the real one.
//!
//! [`wire`] reads and writes the JSON protocol, [`model`] and [`groups`] hold the rules, and [`endpoints`] checks with the
//! emulator that endpoints can be reached. It never routes traffic.
//!
//! Invariants:
//! 1. The model knows no clock and no network: the time of each call is given to it.
//! 2. A refused call changes nothing.

mod endpoints;
mod groups;
mod model;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;

use crate::emulator::Emulator;
use crate::error::Error;
use crate::message::{Request, Response};
use crate::operation::Operation;
use groups::EndpointKind;
use model::{Fault, Model};

/// The only region that answers, whatever the regions of the endpoints (`ga.region`).
pub(crate) const HOME: &str = "us-west-2";

/// Global Accelerator of the one account.
pub(crate) struct Accelerators {
    model: Mutex<Model>,
}

impl Accelerators {
    /// No accelerators; each change takes `settle` to be deployed.
    pub(crate) fn new(settle: Duration) -> Self {
        Self { model: Mutex::new(Model::new(settle)) }
    }

    /// Answers one call.
    pub(crate) async fn answer(
        &self,
        operation: &Operation,
        request: &Request,
        emulator: &Emulator,
    ) -> Result<Response, Error> {
        if operation.region != HOME {
            let message = format!("Credential should be scoped to a valid region, not '{}'.", operation.region);
            return Ok(Response::json_refusal("InvalidSignatureException", &message));
        }
        let input = match wire::Input::parse(&operation.name, &request.body) {
            Ok(input) => input,
            Err(fault) => return Ok(refusal(&fault)),
        };
        // Asked before the model is locked: what does not exist now is refused, as on AWS.
        let named = self.with(|model| model.new_endpoints(&input));
        for (region, endpoint) in named {
            // What is no endpoint at all is refused by the model.
            if let Ok(kind) = EndpointKind::of(&endpoint, &region)
                && let Some(fault) = endpoints::check(emulator, kind, &region, &endpoint).await?
            {
                return Ok(refusal(&fault));
            }
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(match self.with(|model| wire::perform(model, now, input)) {
            Ok(document) => Response::json_document(StatusCode::OK, &document),
            Err(fault) => refusal(&fault),
        })
    }

    /// The ARN and the tags of every accelerator, each tag as key and value.
    pub(crate) fn tagged(&self) -> Vec<(String, Vec<(String, String)>)> {
        self.with(|model| {
            let pairs = |tags: &[model::Tag]| tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect();
            model.accelerators.iter().map(|accelerator| (accelerator.arn.clone(), pairs(&accelerator.tags))).collect()
        })
    }

    /// The next change takes this long instead.
    pub(crate) fn settle_next(&self, span: Duration) {
        self.with(|model| model.settle_next(span));
    }

    /// The region and the id of every endpoint.
    pub(crate) fn endpoints(&self) -> Vec<(String, String)> {
        self.with(|model| {
            let listeners = model.accelerators.iter().flat_map(|accelerator| &accelerator.listeners);
            let groups = listeners.flat_map(|listener| &listener.groups);
            let ids = groups.flat_map(|group| group.endpoints.iter().map(|one| (group.region.clone(), one.id.clone())));
            ids.collect()
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Model) -> T) -> T {
        work(&mut self.model.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn refusal(fault: &Fault) -> Response {
    Response::json_refusal(fault.code, &fault.message)
}
