//! `route53_health_check`: asks one HTTPS address from many places whether it is well.
//!
//! Facts: `r53.hc.create` (a caller reference, no tags; interval is fixed for life), `r53.hc.https` (the name in the TLS handshake
//! must be sent), `r53.hc.initial`, `r53.hc.update` (with the version, so that two writers do not overwrite each other),
//! `r53.hc.delete` (allowed while records name it), `r53.hc.force`, `r53.fail-open` (one that is switched off counts as healthy: a
//! difference), `x.tags-on-create`.
//! Replacement: `interval_seconds`. Slow: nothing.
//!
//! Whether a check is inverted is no property here: a drill inverts it to move traffic, and that is nobody's drift (`dr.drill`).

use std::collections::{BTreeSet, HashMap};

use aws_sdk_route53::operation::update_health_check::builders::UpdateHealthCheckInputBuilder;
use aws_sdk_route53::types::{
    HealthCheck as Described, HealthCheckConfig, HealthCheckRegion, HealthCheckType, ResettableElementName,
    TagResourceType,
};
use serde::{Deserialize, Serialize};

use super::route53;
use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use crate::aws::error::Result;
use crate::aws::{Error, Pages, Tags};
use crate::outputs;
use crate::reference::{HealthCheckId, Text};

/// The kind.
#[derive(Debug)]
pub struct HealthCheck;

/// The desired properties of an HTTPS health check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HealthCheckSpec {
    /// The host name asked.
    pub host: Text,
    /// The port.
    pub port: u16,
    /// The path, with its leading slash.
    pub path: Text,
    /// Seconds between two requests of one checker: 10 or 30.
    pub interval_seconds: u32,
    /// Failures in a row, 1 to 10, that make the host unhealthy.
    pub failure_threshold: u32,
    /// Whether the host name is part of the TLS handshake.
    pub sni: bool,
    /// The regions asked from, three or more; none lets AWS ask from all.
    pub regions: BTreeSet<String>,
    /// Whether it is switched off; then it counts as healthy.
    pub disabled: bool,
}

outputs! {
    /// What is known of a health check once it exists.
    pub struct HealthCheckOutputs of HealthCheck {
        /// The id.
        id: HealthCheckId,
    }
}

impl Kind for HealthCheck {
    type Spec = HealthCheckSpec;
    type Outputs = HealthCheckOutputs;

    const TRAITS: Traits = Traits {
        name: "route53_health_check",
        taggable: true,
        data_bearing: false,
        // One that a crash left without tags is ours all the same; `observe` finds no other ones (see `route53::mark`).
        adoption: Adoption::ByName,
        immutable: &["interval_seconds"],
        locked_by: None,
        expected: Expected::seconds(2, 2, 2),
        permissions: Permissions {
            read: &["route53:ListHealthChecks", "route53:ListTagsForResources", "tag:GetResources"],
            change: &[
                "route53:CreateHealthCheck",
                "route53:GetHealthCheck",
                "route53:UpdateHealthCheck",
                "route53:ChangeTagsForResource",
                "route53:DeleteHealthCheck",
            ],
        },
        retries: &[
            Retry::seconds("route53:ChangeTagsForResource", "NoSuchHealthCheck", "", 60),
            Retry::seconds("route53:ChangeTagsForResource", "PriorRequestNotComplete", "", 120),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let all = list(context).await?;
        let find = |wanted: &Wanted<Self>| match &wanted.outputs {
            Some(outputs) => all.iter().find(|check| check.id() == outputs.id.as_str()),
            None => {
                let mark = route53::mark(context.suffix(), &wanted.address);
                all.iter().find(|check| check.caller_reference().starts_with(&mark))
            }
        };
        let ids: Vec<String> = wanted.iter().filter_map(find).map(|check| check.id().to_owned()).collect();
        let tags = match ids.is_empty() {
            true => HashMap::new(),
            false => route53::tags(context, TagResourceType::Healthcheck, &ids).await?,
        };
        let object = |wanted| {
            let Some(check) = find(wanted) else { return Ok(None) };
            let tags = tags.get(check.id()).cloned().unwrap_or_default();
            Ok(Some(Object { spec: spec(check)?, outputs: HealthCheckOutputs { id: check.id().into() }, tags }))
        };
        wanted.iter().map(object).collect()
    }

    async fn ensure(
        task: &Task<'_>,
        spec: &HealthCheckSpec,
        object: Option<Object<Self>>,
    ) -> Result<HealthCheckOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        if object.spec != *spec {
            update(task, spec, &object.outputs.id).await?;
        }
        route53::sync_tags(task, TagResourceType::Healthcheck, object.outputs.id.as_str(), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, _: &HealthCheckSpec, outputs: &HealthCheckOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let deleted = task
            .call("route53:DeleteHealthCheck", || {
                clients.route53().delete_health_check().health_check_id(&outputs.id).send()
            })
            .await;
        match deleted {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(Deletion::Gone),
        }
    }
}

async fn create(task: &Task<'_>, spec: &HealthCheckSpec) -> Result<Object<HealthCheck>> {
    let clients = task.clients();
    let reference = route53::caller_reference(task);
    let created = task
        .call("route53:CreateHealthCheck", || {
            let request = clients.route53().create_health_check().caller_reference(&reference);
            request.health_check_config(config(spec)).send()
        })
        .await;
    let (id, spec) = match created {
        Ok(created) => {
            let check = created.health_check();
            let check = check.ok_or_else(|| Error::incomplete("route53:CreateHealthCheck", "health check"))?;
            (check.id().into(), spec.clone())
        }
        // An earlier try with the same reference made it with other settings, and its answer was lost.
        Err(error) if error.is(&["HealthCheckAlreadyExists"]) => {
            let all = list(&task.context).await?;
            let check = all.iter().find(|check| check.caller_reference() == reference);
            match check {
                Some(check) => (check.id().into(), self::spec(check)?),
                None => return Err(error),
            }
        }
        Err(error) => return Err(error),
    };
    let outputs = HealthCheckOutputs { id };
    task.identified(&outputs).await?;
    Ok(Object { spec, outputs, tags: Tags::new() })
}

async fn update(task: &Task<'_>, spec: &HealthCheckSpec, id: &HealthCheckId) -> Result<()> {
    let clients = task.clients();
    let current =
        task.call("route53:GetHealthCheck", || clients.route53().get_health_check().health_check_id(id).send()).await?;
    let changes = changes(spec, id, current.health_check());
    task.call("route53:UpdateHealthCheck", || changes.clone().send_with(clients.route53())).await?;
    Ok(())
}

/// What a check is told to become. With the version it is based on, so that a change made by somebody else meanwhile is not
/// overwritten (`r53.hc.update`).
fn changes(spec: &HealthCheckSpec, id: &HealthCheckId, current: Option<&Described>) -> UpdateHealthCheckInputBuilder {
    let config = config(spec);
    UpdateHealthCheckInputBuilder::default()
        .health_check_id(id)
        .set_health_check_version(current.map(Described::health_check_version))
        .set_fully_qualified_domain_name(config.fully_qualified_domain_name().map(str::to_owned))
        .set_port(config.port())
        .set_resource_path(config.resource_path().map(str::to_owned))
        .set_failure_threshold(config.failure_threshold())
        .set_enable_sni(config.enable_sni())
        .set_disabled(config.disabled())
        .set_regions(Some(config.regions().to_vec()).filter(|regions| !regions.is_empty()))
        // Without regions of its own a check goes back to all of them.
        .set_reset_elements(spec.regions.is_empty().then(|| vec![ResettableElementName::Regions]))
}

async fn list(context: &Context) -> Result<Vec<Described>> {
    let clients = context.clients();
    let mut checks = Vec::new();
    let mut pages = Pages::of("route53:ListHealthChecks");
    loop {
        let page = context
            .call("route53:ListHealthChecks", || {
                clients.route53().list_health_checks().set_marker(pages.token()).send()
            })
            .await?;
        checks.extend_from_slice(page.health_checks());
        if !page.is_truncated || !pages.turn(page.next_marker)? {
            return Ok(checks);
        }
    }
}

fn config(spec: &HealthCheckSpec) -> HealthCheckConfig {
    let regions = spec.regions.iter().map(|region| HealthCheckRegion::from(region.as_str())).collect::<Vec<_>>();
    HealthCheckConfig::builder()
        .r#type(HealthCheckType::Https)
        .fully_qualified_domain_name(spec.host.known())
        .port(i32::from(spec.port))
        .resource_path(spec.path.known())
        .request_interval(number(spec.interval_seconds))
        .failure_threshold(number(spec.failure_threshold))
        .enable_sni(spec.sni)
        .disabled(spec.disabled)
        .set_regions(Some(regions).filter(|regions| !regions.is_empty()))
        .build()
        .expect("the type is given")
}

fn spec(described: &Described) -> Result<HealthCheckSpec> {
    let missing = |field| Error::incomplete("route53:ListHealthChecks", field);
    let config = described.health_check_config().ok_or_else(|| missing("HealthCheckConfig"))?;
    let number =
        |value: Option<i32>, field| value.and_then(|value| u32::try_from(value).ok()).ok_or_else(|| missing(field));
    Ok(HealthCheckSpec {
        host: config.fully_qualified_domain_name().unwrap_or_default().into(),
        port: config.port().and_then(|port| u16::try_from(port).ok()).unwrap_or_default(),
        path: config.resource_path().unwrap_or_default().into(),
        interval_seconds: number(config.request_interval(), "RequestInterval")?,
        failure_threshold: number(config.failure_threshold(), "FailureThreshold")?,
        sni: config.enable_sni().unwrap_or_default(),
        regions: config.regions().iter().map(|region| region.as_str().to_owned()).collect(),
        disabled: config.disabled().unwrap_or_default(),
    })
}

fn number(value: u32) -> i32 {
    i32::try_from(value).expect("intervals and thresholds are small")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> HealthCheckSpec {
        HealthCheckSpec {
            host: "abc.execute-api.us-east-1.amazonaws.com".into(),
            port: 443,
            path: "/prod/health".into(),
            interval_seconds: 10,
            failure_threshold: 2,
            sni: true,
            regions: BTreeSet::from(["us-east-1".to_owned(), "eu-west-1".to_owned(), "us-west-2".to_owned()]),
            disabled: false,
        }
    }

    fn described(config: HealthCheckConfig) -> Described {
        let check = Described::builder().id("1").caller_reference("r").health_check_version(7);
        check.health_check_config(config).build().unwrap()
    }

    #[test]
    fn an_unchanged_check_equals_its_spec_even_while_it_is_inverted() {
        let mut inverted = config(&wanted());
        inverted.inverted = Some(true);
        assert_eq!(spec(&described(inverted)).unwrap(), wanted());
    }

    /// `r53.fail-open`: for as long as it is off its region counts as healthy, whatever becomes of it.
    #[test]
    fn a_check_that_was_switched_off_differs_from_its_spec() {
        let off = described(config(&HealthCheckSpec { disabled: true, ..wanted() }));
        assert_eq!(spec(&off).unwrap(), HealthCheckSpec { disabled: true, ..wanted() });
        let input = changes(&wanted(), &"1".into(), Some(&off)).build().expect("the id is given");
        assert_eq!(input.disabled(), Some(false));
    }

    /// `r53.hc.https`
    #[test]
    fn a_check_sends_its_host_in_the_handshake() {
        let config = config(&wanted());
        assert_eq!((config.r#type(), config.enable_sni()), (&HealthCheckType::Https, Some(true)));
        assert_eq!(config.fully_qualified_domain_name(), Some("abc.execute-api.us-east-1.amazonaws.com"));
    }

    /// `r53.hc.update`
    #[test]
    fn an_update_is_based_on_the_version_that_was_read() {
        let input = |spec: &HealthCheckSpec| {
            changes(spec, &"1".into(), Some(&described(config(&wanted())))).build().expect("the id is given")
        };
        let some = input(&wanted());
        assert_eq!((some.health_check_id(), some.health_check_version()), (Some("1"), Some(7)));
        assert_eq!((some.port(), some.failure_threshold(), some.enable_sni()), (Some(443), Some(2), Some(true)));
        let host = "abc.execute-api.us-east-1.amazonaws.com";
        assert_eq!((some.fully_qualified_domain_name(), some.resource_path()), (Some(host), Some("/prod/health")));
        assert_eq!((some.regions().len(), some.reset_elements().len()), (3, 0));

        let all = input(&HealthCheckSpec { regions: BTreeSet::new(), ..wanted() });
        assert_eq!((all.regions().len(), all.reset_elements()), (0, &[ResettableElementName::Regions][..]));
    }
}
