//! `elb_listener`: the HTTPS port of a load balancer; what no rule takes gets a fixed answer.
//!
//! Facts: `listener.create.https` (one issued certificate of the region and an explicit policy; a fresh certificate is not
//! found for a while), `listener.update` (everything in place), `listener.delete` (goes with its load balancer too),
//! `listener.read` (listed by load balancer only), `elb.tags`.
//! Replacement: `load_balancer`. Slow: nothing.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, Certificate, FixedResponseActionConfig, Listener as Described, ProtocolEnum,
};
use serde::{Deserialize, Serialize};

use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use super::{elb, existing};
use crate::aws::Error;
use crate::aws::error::Result;
use crate::outputs;
use crate::reference::{CertificateArn, ListenerArn, LoadBalancerArn, Ref};

/// The kind.
#[derive(Debug)]
pub struct Listener;

/// The desired properties of an HTTPS listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListenerSpec {
    /// The load balancer it is part of.
    pub load_balancer: Ref<LoadBalancerArn>,
    /// The port, unique on the load balancer.
    pub port: u16,
    /// The certificate it shows, issued in the load balancer's region.
    pub certificate: Ref<CertificateArn>,
    /// The policy that says which TLS versions and ciphers it takes.
    pub ssl_policy: String,
    /// What a request gets that no rule takes.
    pub default_response: FixedResponse,
}

/// An answer that the load balancer gives by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FixedResponse {
    /// The status code.
    pub status: u16,
    /// The type of the body.
    pub content_type: String,
    /// The body.
    pub body: String,
}

outputs! {
    /// What is known of a listener once it exists.
    pub struct ListenerOutputs of Listener {
        /// The ARN.
        arn: ListenerArn,
    }
}

impl Kind for Listener {
    type Spec = ListenerSpec;
    type Outputs = ListenerOutputs;

    const TRAITS: Traits = Traits {
        name: "elb_listener",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["load_balancer"],
        locked_by: None,
        expected: Expected::seconds(2, 2, 2),
        permissions: Permissions {
            read: &["elasticloadbalancing:DescribeListeners", "elasticloadbalancing:DescribeTags", "tag:GetResources"],
            change: &[
                "elasticloadbalancing:CreateListener",
                "elasticloadbalancing:ModifyListener",
                "elasticloadbalancing:AddTags",
                "elasticloadbalancing:RemoveTags",
                "elasticloadbalancing:DeleteListener",
            ],
        },
        retries: &[
            Retry::seconds("elasticloadbalancing:CreateListener", "CertificateNotFound", "", 300),
            Retry::seconds("elasticloadbalancing:CreateListener", "LoadBalancerNotFound", "", 120),
            Retry::seconds("elasticloadbalancing:ModifyListener", "CertificateNotFound", "", 300),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let clients = context.clients();
        let mut found: BTreeMap<String, Vec<Described>> =
            wanted.iter().filter_map(parent).map(|arn| (arn, vec![])).collect();
        for (load_balancer, listeners) in &mut found {
            let answer = context
                .call("elasticloadbalancing:DescribeListeners", || {
                    // A load balancer has at most 50 listeners and a page holds 400.
                    clients.elb().describe_listeners().load_balancer_arn(load_balancer).send()
                })
                .await;
            match answer {
                Ok(answer) => listeners.extend_from_slice(answer.listeners()),
                Err(error) if error.is_gone() => {}
                Err(error) => return Err(error),
            }
        }
        let find = |wanted: &Wanted<Self>| {
            found.get(&parent(wanted)?)?.iter().find(|listener| match &wanted.outputs {
                Some(outputs) => listener.listener_arn() == Some(outputs.arn.as_str()),
                None => listener.port() == Some(i32::from(wanted.spec.port)),
            })
        };
        let arns: Vec<String> =
            wanted.iter().filter_map(find).filter_map(|one| one.listener_arn().map(str::to_owned)).collect();
        let tags = elb::tags(context, &arns).await?;
        let object = |wanted| {
            let Some(described) = find(wanted) else { return Ok(None) };
            let arn = described.listener_arn().ok_or_else(|| missing("ListenerArn"))?;
            let tags = tags.get(arn).cloned().unwrap_or_default();
            Ok(Some(Object { spec: spec(described)?, outputs: ListenerOutputs { arn: arn.into() }, tags }))
        };
        wanted.iter().map(object).collect()
    }

    async fn ensure(task: &Task<'_>, spec: &ListenerSpec, object: Option<Object<Self>>) -> Result<ListenerOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        let arn = &object.outputs.arn;
        if object.spec != *spec {
            let clients = task.clients();
            task.call("elasticloadbalancing:ModifyListener", || {
                clients
                    .elb()
                    .modify_listener()
                    .listener_arn(arn)
                    .port(i32::from(spec.port))
                    .protocol(ProtocolEnum::Https)
                    .ssl_policy(&spec.ssl_policy)
                    .certificates(certificate(spec))
                    .default_actions(fixed(&spec.default_response))
                    .send()
            })
            .await?;
        }
        elb::sync_tags(task, arn.as_str(), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, _: &ListenerSpec, outputs: &ListenerOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let deleted = task
            .call("elasticloadbalancing:DeleteListener", || {
                clients.elb().delete_listener().listener_arn(&outputs.arn).send()
            })
            .await;
        match deleted {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}

async fn create(task: &Task<'_>, spec: &ListenerSpec) -> Result<Object<Listener>> {
    let clients = task.clients();
    let created = task
        .call("elasticloadbalancing:CreateListener", || {
            clients
                .elb()
                .create_listener()
                .load_balancer_arn(spec.load_balancer.known())
                .port(i32::from(spec.port))
                .protocol(ProtocolEnum::Https)
                .ssl_policy(&spec.ssl_policy)
                .certificates(certificate(spec))
                .default_actions(fixed(&spec.default_response))
                .set_tags(elb::create_tags(task))
                .send()
        })
        .await;
    let object = match created {
        Ok(created) => {
            let arn = created.listeners().first().and_then(|listener| listener.listener_arn());
            let arn = arn.ok_or_else(|| Error::incomplete("elasticloadbalancing:CreateListener", "ARN"))?;
            Object { spec: spec.clone(), outputs: ListenerOutputs { arn: arn.into() }, tags: task.tags.clone() }
        }
        Err(error) if error.is(&["DuplicateListener"]) => {
            existing::own(task, spec, &format!("a listener on port {} of the load balancer", spec.port), error).await?
        }
        Err(error) => return Err(error),
    };
    task.identified(&object.outputs).await?;
    Ok(object)
}

/// The load balancer of a listener: told by the listener's own ARN, else by the spec.
fn parent(wanted: &Wanted<Listener>) -> Option<String> {
    match &wanted.outputs {
        Some(outputs) => load_balancer_of(outputs.arn.as_str()),
        None => wanted.spec.load_balancer.get().map(String::from),
    }
}

/// `...:listener/app/name/id/listener-id` is part of `...:loadbalancer/app/name/id`.
fn load_balancer_of(listener: &str) -> Option<String> {
    let (listener, _) = listener.rsplit_once('/')?;
    Some(listener.replacen(":listener/", ":loadbalancer/", 1))
}

fn missing(field: &str) -> Error {
    Error::incomplete("elasticloadbalancing:DescribeListeners", field)
}

fn spec(described: &Described) -> Result<ListenerSpec> {
    let load_balancer = described.load_balancer_arn().ok_or_else(|| missing("LoadBalancerArn"))?;
    let port = described.port().and_then(|port| u16::try_from(port).ok()).ok_or_else(|| missing("Port"))?;
    if described.default_actions().is_empty() {
        return Err(missing("DefaultActions"));
    }
    let certificate = described.certificates().first().and_then(|one| one.certificate_arn()).unwrap_or_default();
    let response = described.default_actions().first().and_then(|action| action.fixed_response_config());
    Ok(ListenerSpec {
        load_balancer: Ref::Known(load_balancer.into()),
        port,
        certificate: Ref::Known(certificate.into()),
        ssl_policy: described.ssl_policy().unwrap_or_default().to_owned(),
        // Any other action than a fixed answer reads as an empty one, which differs from every wanted one.
        default_response: response.map_or_else(FixedResponse::default, |response| FixedResponse {
            status: response.status_code().and_then(|code| code.parse().ok()).unwrap_or_default(),
            content_type: response.content_type().unwrap_or_default().to_owned(),
            body: response.message_body().unwrap_or_default().to_owned(),
        }),
    })
}

fn certificate(spec: &ListenerSpec) -> Certificate {
    Certificate::builder().certificate_arn(spec.certificate.known()).build()
}

fn fixed(response: &FixedResponse) -> Action {
    let config = FixedResponseActionConfig::builder()
        .status_code(response.status.to_string())
        .content_type(&response.content_type)
        .message_body(&response.body)
        .build();
    Action::builder().r#type(ActionTypeEnum::FixedResponse).fixed_response_config(config).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> ListenerSpec {
        ListenerSpec {
            load_balancer: Ref::Known("arn:lb".into()),
            port: 443,
            certificate: Ref::Known("arn:certificate".into()),
            ssl_policy: "ELBSecurityPolicy-TLS13-1-2-2021-06".into(),
            default_response: FixedResponse { status: 404, content_type: "text/plain".into(), body: "no".into() },
        }
    }

    fn described() -> aws_sdk_elasticloadbalancingv2::types::builders::ListenerBuilder {
        Described::builder()
            .load_balancer_arn("arn:lb")
            .port(443)
            .certificates(certificate(&wanted()))
            .ssl_policy(wanted().ssl_policy)
    }

    #[test]
    fn an_unchanged_listener_equals_its_spec_and_one_that_forwards_does_not() {
        let unchanged = described().default_actions(fixed(&wanted().default_response)).build();
        assert_eq!(spec(&unchanged).unwrap(), wanted());
        let forward = Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn("arn:tg").build();
        assert_ne!(spec(&described().default_actions(forward).build()).unwrap(), wanted());

        let error = spec(&described().set_port(None).build()).unwrap_err().to_string();
        assert!(error.contains("DescribeListeners") && error.contains("Port"), "{error}");
    }

    #[test]
    fn a_listener_names_its_load_balancer() {
        let arn = "arn:aws:elasticloadbalancing:us-east-1:1:listener/app/dr/50dc/f2f7";
        let parent = "arn:aws:elasticloadbalancing:us-east-1:1:loadbalancer/app/dr/50dc";
        assert_eq!(load_balancer_of(arn).as_deref(), Some(parent));
    }
}
