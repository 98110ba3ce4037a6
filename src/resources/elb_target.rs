//! `elb_target`: the one function of a target group.
//!
//! Facts: `tg.register.permission-first` (the load balancing service must be allowed to invoke the function before, and this takes
//! a minute to be seen), `tg.register.retry` (a fresh function is refused for a while; one function per group).
//! Replacement: every property, because a group takes no second function. Slow: nothing.

use serde::{Deserialize, Serialize};

use aws_sdk_elasticloadbalancingv2::types::TargetDescription;

use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Parent, Permissions, Retry, Task, Traits, Wanted,
};
use crate::aws::error::Result;
use crate::aws::{Error, Tags};
use crate::outputs;
use crate::reference::{FunctionArn, Ref, TargetGroupArn, Text};

/// The kind.
#[derive(Debug)]
pub struct Target;

/// The desired properties of a registration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetSpec {
    /// The group.
    pub target_group: Ref<TargetGroupArn>,
    /// The function, or one of its aliases.
    pub function: Ref<FunctionArn>,
    /// The statement of the function's policy that lets the group invoke it: it must stand there first.
    pub permission: Text,
}

outputs! {
    /// What is known of a registration once it exists.
    pub struct TargetOutputs of Target {
        /// The registered function.
        function: FunctionArn,
    }
}

impl Kind for Target {
    type Spec = TargetSpec;
    type Outputs = TargetOutputs;

    const TRAITS: Traits = Traits {
        name: "elb_target",
        taggable: false,
        data_bearing: false,
        adoption: Adoption::ByName,
        immutable: &["target_group", "function"],
        locked_by: None,
        expected: Expected::seconds(5, 5, 2),
        permissions: Permissions {
            read: &["elasticloadbalancing:DescribeTargetHealth"],
            change: &["elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"],
        },
        retries: &[
            Retry::seconds("elasticloadbalancing:RegisterTargets", "AccessDenied", "permission to invoke", 120),
            Retry::seconds("elasticloadbalancing:RegisterTargets", "InvalidTarget", "", 600),
            Retry::seconds("elasticloadbalancing:RegisterTargets", "TargetGroupNotFound", "", 120),
        ],
    };

    const PARENT: Option<Parent> = Some(Parent::named("target_group"));

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let clients = context.clients();
        context
            .each(wanted, |wanted| {
                let clients = clients.clone();
                async move {
                    let Some(group) = wanted.spec.target_group.get() else { return Ok(None) };
                    let answer = context
                        .call("elasticloadbalancing:DescribeTargetHealth", || {
                            clients.elb().describe_target_health().target_group_arn(group).send()
                        })
                        .await;
                    let answer = match answer {
                        Ok(answer) => answer,
                        Err(error) if error.is_gone() => return Ok(None),
                        Err(error) => return Err(error),
                    };
                    // A function that was just deregistered may be listed for a moment, with the state that says so.
                    let staying = answer.target_health_descriptions().iter().find(|described| {
                        let state = described.target_health().and_then(|health| health.state());
                        state.is_none_or(|state| state.as_str() != "draining")
                    });
                    let Some(described) = staying else { return Ok(None) };
                    let id = described.target().and_then(|target| target.id());
                    let missing = || Error::incomplete("elasticloadbalancing:DescribeTargetHealth", "Target.Id");
                    let function = FunctionArn::from(id.ok_or_else(missing)?);
                    let spec = TargetSpec { function: Ref::Known(function.clone()), ..wanted.spec.clone() };
                    Ok(Some(Object { spec, outputs: TargetOutputs { function }, tags: Tags::new() }))
                }
            })
            .await
    }

    async fn ensure(task: &Task<'_>, spec: &TargetSpec, object: Option<Object<Self>>) -> Result<TargetOutputs> {
        if let Some(object) = object {
            return Ok(object.outputs);
        }
        let clients = task.clients();
        let function = spec.function.known();
        let outputs = TargetOutputs { function: function.clone() };
        task.call("elasticloadbalancing:RegisterTargets", || {
            let request = clients.elb().register_targets().target_group_arn(spec.target_group.known());
            request.targets(TargetDescription::builder().id(function).build()).send()
        })
        .await?;
        task.identified(&outputs).await?;
        Ok(outputs)
    }

    async fn delete(task: &Task<'_>, spec: &TargetSpec, outputs: &TargetOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let deleted = task
            .call("elasticloadbalancing:DeregisterTargets", || {
                let request = clients.elb().deregister_targets().target_group_arn(spec.target_group.known());
                request.targets(TargetDescription::builder().id(&outputs.function).build()).send()
            })
            .await;
        match deleted {
            // The group is gone, or the function is no longer in it.
            Err(error) if !error.is_gone() && !error.is(&["InvalidTarget"]) => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}
