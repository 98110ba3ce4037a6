//! `apigateway_domain_name`: a custom domain of one region, under which APIs are reached by a name of one's own.
//!
//! The same name may be a custom domain in several regions; DNS decides which of them answers.
//!
//! Facts: `apigw.domain.create` (the certificate must be issued and of the same region), `apigw.domain.exists`, `apigw.domain.cert-lag`,
//! `apigw.domain.wait`, `apigw.domain.outputs`, `apigw.domain.delete` (ACM sees the certificate in use for a while afterwards),
//! `apigw.rates`, `apigw.domain.limits` (a full quota is told at once), `preflight.apigw` (a name that somebody else has is seen before
//! the first change).
//! Replacement: `domain`. Slow: each change, one every 30 s per account and region.

use aws_sdk_apigateway::types::{
    DomainName as SdkDomainName, DomainNameStatus, EndpointConfiguration, EndpointType, SecurityPolicy,
};
use serde::{Deserialize, Serialize};

use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Retry, Task, Traits, Wanted};
use super::{apigateway, list};
use crate::aws::Error;
use crate::aws::error::{Result, told};
use crate::aws::wait::{Look, Patience};
use crate::outputs;
use crate::reference::{CertificateArn, DnsName, DomainNameId, HostedZoneId, Ref};

/// How domains are read, and made.
const LIST: &str = "apigateway:GetDomainNames";
const CREATE: &str = "apigateway:CreateDomainName";

/// The kind.
#[derive(Debug)]
pub struct DomainName;

/// The desired properties of a custom domain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DomainNameSpec {
    /// The name, in lower case.
    pub domain: String,
    /// The certificate, of the same region, that covers the name.
    pub certificate: Ref<CertificateArn>,
    /// The oldest TLS version that callers may use: `TLS_1_2`.
    pub security_policy: String,
}

outputs! {
    /// What is known of a custom domain once it exists.
    pub struct DomainNameOutputs of DomainName {
        /// The name.
        name: DomainNameId,
        /// The host that an alias record of the name points to.
        regional_domain_name: DnsName,
        /// The hosted zone of that host, which an alias record needs too.
        regional_zone_id: HostedZoneId,
    }
}

impl Kind for DomainName {
    type Spec = DomainNameSpec;
    type Outputs = DomainNameOutputs;

    const TRAITS: Traits = Traits {
        name: "apigateway_domain_name",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["domain"],
        locked_by: None,
        expected: Expected::seconds(30, 60, 30),
        permissions: Permissions {
            read: &["apigateway:GET"],
            change: &[
                "apigateway:POST",
                "apigateway:PATCH",
                "apigateway:PUT",
                "apigateway:DELETE",
                "iam:CreateServiceLinkedRole",
            ],
        },
        retries: &[
            apigateway::busy("apigateway:CreateDomainName"),
            apigateway::busy("apigateway:UpdateDomainName"),
            apigateway::busy("apigateway:DeleteDomainName"),
            apigateway::busy("apigateway:TagResource"),
            apigateway::busy("apigateway:UntagResource"),
            // A certificate issued a moment ago is not known to API Gateway yet.
            Retry::seconds("apigateway:CreateDomainName", "BadRequestException", "ertificate", 120),
            Retry::seconds("apigateway:UpdateDomainName", "BadRequestException", "ertificate", 120),
        ],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        let clients = context.clients();
        let found = list::all(
            context,
            LIST,
            |token| clients.apigateway().get_domain_names().limit(500).set_position(token).send(),
            |page| (page.items.unwrap_or_default(), page.position),
        )
        .await?;
        list::each_tells(&found, SdkDomainName::domain_name, LIST, "domainName")?;
        let object = |wanted: &Wanted<Self>| {
            let name = wanted.outputs.as_ref().map_or(wanted.spec.domain.as_str(), |outputs| outputs.name.as_str());
            found.iter().find(|domain| domain.domain_name() == Some(name)).map(observed).transpose()
        };
        wanted.iter().map(object).collect()
    }

    async fn ensure(task: &Task<'_>, spec: &DomainNameSpec, object: Option<Object<Self>>) -> Result<DomainNameOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        let mut patches = Vec::new();
        if object.spec.certificate != spec.certificate {
            patches.push(apigateway::replace("/regionalCertificateArn", spec.certificate.known()));
        }
        if object.spec.security_policy != spec.security_policy {
            patches.push(apigateway::replace("/securityPolicy", &spec.security_policy));
        }
        // It takes changes only when it is available, whoever made it. One that does not become so by itself may do with a change.
        match available(task, &spec.domain).await {
            Err(Error::Failed(_)) if !patches.is_empty() => {}
            state => state?,
        }
        if !patches.is_empty() {
            let clients = task.clients();
            let updated = task
                .call("apigateway:UpdateDomainName", || {
                    let request = clients.apigateway().update_domain_name().domain_name(&spec.domain);
                    request.set_patch_operations(Some(patches.clone())).send()
                })
                .await?;
            if let Look::Pending(_) = judge(updated.domain_name_status(), updated.domain_name_status_message())? {
                available(task, &spec.domain).await?;
            }
        }
        apigateway::sync_tags(task, &format!("/domainnames/{}", spec.domain), &object.tags).await?;
        Ok(object.outputs)
    }

    async fn delete(task: &Task<'_>, _: &DomainNameSpec, outputs: &DomainNameOutputs) -> Result<Deletion> {
        let clients = task.clients();
        let deleted = task
            .call("apigateway:DeleteDomainName", || {
                clients.apigateway().delete_domain_name().domain_name(&outputs.name).send()
            })
            .await;
        apigateway::if_there(deleted).map(|_| Deletion::Gone)
    }
}

async fn create(task: &Task<'_>, spec: &DomainNameSpec) -> Result<Object<DomainName>> {
    let clients = task.clients();
    let endpoint = EndpointConfiguration::builder().types(EndpointType::Regional).build();
    let created = task
        .call(CREATE, || {
            clients
                .apigateway()
                .create_domain_name()
                .domain_name(&spec.domain)
                .regional_certificate_arn(spec.certificate.known())
                .endpoint_configuration(endpoint.clone())
                .security_policy(SecurityPolicy::from(spec.security_policy.as_str()))
                .set_tags(apigateway::new_tags(task))
                .send()
        })
        .await;
    let created = match created {
        Ok(created) => created,
        Err(error) => {
            let object = apigateway::existing::<DomainName>(task, spec, error).await?;
            task.identified(&object.outputs).await?;
            return Ok(object);
        }
    };
    let outputs = DomainNameOutputs {
        name: spec.domain.as_str().into(),
        regional_domain_name: told(created.regional_domain_name(), CREATE, "regionalDomainName")?.into(),
        regional_zone_id: told(created.regional_hosted_zone_id(), CREATE, "regionalHostedZoneId")?.into(),
    };
    task.identified(&outputs).await?;
    Ok(Object { spec: spec.clone(), outputs, tags: task.tags.clone() })
}

/// Waits until the domain takes requests and changes.
async fn available(task: &Task<'_>, domain: &str) -> Result<()> {
    let clients = task.clients();
    task.wait("the custom domain to be available", Patience::minutes(15), || async {
        let domain = task
            .call("apigateway:GetDomainName", || clients.apigateway().get_domain_name().domain_name(domain).send())
            .await;
        match apigateway::if_there(domain)? {
            Some(domain) => judge(domain.domain_name_status(), domain.domain_name_status_message()),
            None => Ok(Look::Pending("not visible yet".to_owned())),
        }
    })
    .await
}

/// What a status means; a domain without one is as good as available.
fn judge(status: Option<&DomainNameStatus>, message: Option<&str>) -> Result<Look<()>> {
    match status {
        None | Some(DomainNameStatus::Available) => Ok(Look::Ready(())),
        Some(status) if matches!(status.as_str(), "PENDING" | "UPDATING") => {
            Ok(Look::Pending(status.as_str().to_owned()))
        }
        Some(status) => Err(Error::Failed(format!(
            "the custom domain came to {}: {}",
            status.as_str(),
            message.unwrap_or("AWS gives no reason")
        ))),
    }
}

fn observed(domain: &SdkDomainName) -> Result<Object<DomainName>> {
    let kinds = domain.endpoint_configuration().map(EndpointConfiguration::types).unwrap_or_default();
    let is_regional = kinds.contains(&EndpointType::Regional);
    // A domain of somebody else's may be of another type, and then has none of these.
    let regional = |value: Option<&str>, field: &str| match value {
        None if is_regional => Err(Error::incomplete(LIST, field)),
        value => Ok(value.unwrap_or_default().to_owned()),
    };
    let name = told(domain.domain_name(), LIST, "domainName")?;
    Ok(Object {
        spec: DomainNameSpec {
            domain: name.to_owned(),
            certificate: Ref::Known(regional(domain.regional_certificate_arn(), "regionalCertificateArn")?.into()),
            security_policy: told(domain.security_policy(), LIST, "securityPolicy")?.as_str().to_owned(),
        },
        outputs: DomainNameOutputs {
            name: name.into(),
            regional_domain_name: regional(domain.regional_domain_name(), "regionalDomainName")?.into(),
            regional_zone_id: regional(domain.regional_hosted_zone_id(), "regionalHostedZoneId")?.into(),
        },
        tags: apigateway::tags(domain.tags()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_that_will_never_be_available_ends_the_wait_with_the_reason() {
        assert!(
            matches!(judge(Some(&DomainNameStatus::Updating), None), Ok(Look::Pending(state)) if state == "UPDATING")
        );
        assert!(matches!(judge(Some(&DomainNameStatus::Available), None), Ok(Look::Ready(()))));
        let stuck = DomainNameStatus::from("PENDING_CERTIFICATE_REIMPORT");
        let error = judge(Some(&stuck), Some("the certificate has expired")).unwrap_err().to_string();
        assert!(error.contains("PENDING_CERTIFICATE_REIMPORT") && error.contains("has expired"), "{error}");
    }

    /// `apigw.domain.outputs`: the answer has a name and a zone for edge-optimised domains too.
    #[test]
    fn an_alias_of_a_domain_leads_to_its_regional_name() {
        let domain = SdkDomainName::builder()
            .domain_name("api.example.com")
            .security_policy(SecurityPolicy::Tls12)
            .distribution_domain_name("d1.cloudfront.net")
            .distribution_hosted_zone_id("Z2FDTNDATAQYW2");
        assert!(observed(&domain.clone().build()).is_ok(), "an edge-optimised one");
        let regional = EndpointConfiguration::builder().types(EndpointType::Regional).build();
        let domain = domain.endpoint_configuration(regional).regional_hosted_zone_id("Z1");
        let domain = domain.regional_certificate_arn("arn:aws:acm:us-east-1:123456789012:certificate/c");
        let lacking = observed(&domain.clone().build()).unwrap_err().to_string();
        assert!(lacking.contains("apigateway:GetDomainNames") && lacking.contains("regionalDomainName"), "{lacking}");
        let domain = domain.regional_domain_name("d-1.execute-api.us-east-1.amazonaws.com").build();
        let outputs = observed(&domain).unwrap().outputs;
        assert_eq!(outputs.regional_domain_name.as_str(), "d-1.execute-api.us-east-1.amazonaws.com");
        assert_eq!(outputs.regional_zone_id.as_str(), "Z1");
    }
}
