//! `acm_certificate`: a certificate of one region, validated by a DNS record.
//!
//! The kind is done when ACM says which record it wants to see. Whether the certificate is issued is the business of
//! `acm_validation`, which waits until the record is there; listeners and custom domains take their certificate from that one.
//!
//! Facts: `acm.create` (the token lasts one hour; afterwards found by its tags), `acm.create.records-lag`, `acm.records.same` (the record depends
//! on account and name alone: the same in both regions, and for `x` and `*.x`), `acm.read`, `acm.update`, `acm.delete` (in use for a quarter of an
//! hour after its last user is gone), `acm.limits`. A certificate that failed, expired, was revoked or not validated in 72 h never becomes usable: it counts as absent, and the next
//! creation removes it, or the deletion when it is still in use by then. Replacement: `domain`. Slow: deletion.

use std::sync::Arc;

use aws_sdk_acm::types::{CertificateDetail, CertificateStatus, Tag, ValidationMethod};
use serde::{Deserialize, Serialize};

use super::{Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Task, Traits, Wanted, list};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Error, Tags, tags};
use crate::reference::{DnsName, RequestedCertificateArn};
use crate::{outputs, sdk_tags};

/// The kind.
#[derive(Debug)]
pub struct Certificate;

/// The desired properties of a certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CertificateSpec {
    /// The name it covers, in lower case; `*.` before it covers every name one level below.
    pub domain: String,
}

outputs! {
    /// What is known of a certificate once it is requested.
    pub struct CertificateOutputs of Certificate {
        /// The ARN. The certificate may not be issued yet: see `acm_validation`.
        arn: RequestedCertificateArn,
        /// The name of the CNAME record by which ACM sees that the name is ours; the same for every region.
        record_name: DnsName,
        /// The value of that record.
        record_value: DnsName,
    }
}

/// The states from which a certificate never becomes usable.
pub(super) const DEAD: [CertificateStatus; 5] = [
    CertificateStatus::Expired,
    CertificateStatus::Failed,
    CertificateStatus::Inactive,
    CertificateStatus::Revoked,
    CertificateStatus::ValidationTimedOut,
];

impl Kind for Certificate {
    type Spec = CertificateSpec;
    type Outputs = CertificateOutputs;

    const TRAITS: Traits = Traits {
        name: "acm_certificate",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &["domain"],
        locked_by: None,
        expected: Expected::seconds(10, 1, 900),
        permissions: Permissions {
            read: &[
                "acm:DescribeCertificate",
                "acm:ListCertificates",
                "acm:ListTagsForCertificate",
                "tag:GetResources",
            ],
            change: &[
                "acm:RequestCertificate",
                "acm:AddTagsToCertificate",
                "acm:RemoveTagsFromCertificate",
                "acm:DeleteCertificate",
            ],
        },
        retries: &[],
    };

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        context
            .each(wanted, |wanted| async move {
                let arn = match &wanted.outputs {
                    Some(outputs) => Some(outputs.arn.to_string()),
                    None => {
                        use CertificateStatus::{Issued, PendingValidation};
                        let live = [PendingValidation, Issued].to_vec();
                        tagged(context, &wanted.address.to_string(), live).await?.pop()
                    }
                };
                match arn {
                    Some(arn) => look(context, &arn).await,
                    None => Ok(None),
                }
            })
            .await
    }

    async fn ensure(
        task: &Task<'_>,
        spec: &CertificateSpec,
        object: Option<Object<Self>>,
    ) -> Result<CertificateOutputs> {
        let object = match object {
            Some(object) => object,
            None => create(task, spec).await?,
        };
        let mut outputs = object.outputs;
        if outputs.record_name.as_str().is_empty() {
            let awaited = "ACM to name the validation record";
            outputs = task.wait(awaited, Patience::seconds(300, 5), || record(task, &outputs.arn)).await?;
        }
        sync_tags(task, outputs.arn.as_str(), &object.tags).await?;
        Ok(outputs)
    }

    async fn delete(task: &Task<'_>, _: &CertificateSpec, outputs: &CertificateOutputs) -> Result<Deletion> {
        let mut arns = dead(task).await?;
        arns.push(outputs.arn.as_str().to_owned());
        for arn in &arns {
            // API Gateway and the load balancers let go of a certificate long after they are deleted themselves.
            task.wait("the certificate to be out of use", Patience::seconds(25 * 60, 30), || async {
                match delete(task, arn).await {
                    Ok(()) => Ok(Look::Ready(())),
                    Err(error) if error.is_gone() => Ok(Look::Ready(())),
                    Err(error) if is_in_use(&error) => Ok(Look::Pending(users(task, arn).await?)),
                    Err(error) => Err(error),
                }
            })
            .await?;
        }
        Ok(Deletion::Gone)
    }
}

async fn create(task: &Task<'_>, spec: &CertificateSpec) -> Result<Object<Certificate>> {
    for dead in dead(task).await? {
        match delete(task, &dead).await {
            // Whoever shows it shall be given the new one.
            Err(error) if !error.is_gone() && !is_in_use(&error) => return Err(error),
            _ => {}
        }
    }
    let clients = task.clients();
    let tags = sdk_tags!(task.tags, Tag).into_iter().collect::<std::result::Result<Vec<_>, _>>();
    let tags = tags.expect("every tag has a key");
    let created = task
        .call("acm:RequestCertificate", || {
            clients
                .acm()
                .request_certificate()
                .domain_name(&spec.domain)
                .validation_method(ValidationMethod::Dns)
                .idempotency_token(task.token)
                .set_tags(Some(tags.clone()))
                .send()
        })
        .await?;
    let arn =
        created.certificate_arn().ok_or_else(|| Error::incomplete("acm:RequestCertificate", "certificate ARN"))?;
    // The record is not in the answer; what is durable now is the ARN.
    let outputs =
        CertificateOutputs { arn: arn.into(), record_name: DnsName::default(), record_value: DnsName::default() };
    task.identified(&outputs).await?;
    Ok(Object { spec: spec.clone(), outputs, tags: task.tags.clone() })
}

/// The certificates of this address that never become usable.
async fn dead(task: &Task<'_>) -> Result<Vec<String>> {
    tagged(task, &task.address.to_string(), DEAD.to_vec()).await
}

fn is_in_use(error: &Error) -> bool {
    error.is(&["ResourceInUseException"])
}

/// The certificate with this ARN, unless it is gone or dead.
async fn look(context: &Context, arn: &str) -> Result<Option<Object<Certificate>>> {
    let both = tokio::try_join!(described(context, arn), tags_of(context, arn));
    let (detail, tags) = match both {
        Ok(found) => found,
        Err(error) if error.is_gone() => return Ok(None),
        Err(error) => return Err(error),
    };
    if detail.status().is_some_and(|status| DEAD.contains(status)) {
        return Ok(None);
    }
    let domain = detail.domain_name().ok_or_else(|| Error::incomplete("acm:DescribeCertificate", "DomainName"))?;
    let spec = CertificateSpec { domain: domain.to_owned() };
    Ok(Some(Object { spec, outputs: outputs(arn, &detail), tags }))
}

/// Looks for the validation record.
async fn record(task: &Task<'_>, arn: &RequestedCertificateArn) -> Result<Look<CertificateOutputs>> {
    match describe(task, arn.as_str()).await {
        Ok(detail) => {
            let outputs = outputs(arn.as_str(), &detail);
            match detail.status() {
                Some(status) if DEAD.contains(status) => {
                    Err(Error::Failed(format!("ACM gave the certificate up: {}", status.as_str())))
                }
                _ if outputs.record_name.as_str().is_empty() => Ok(Look::Pending("not named yet".to_owned())),
                _ => Ok(Look::Ready(outputs)),
            }
        }
        // A certificate requested a moment ago is not visible everywhere.
        Err(error) if error.is_gone() => Ok(Look::Pending("not visible yet".to_owned())),
        Err(error) => Err(error),
    }
}

/// The outputs of a certificate; the record is empty while ACM has not named it.
fn outputs(arn: &str, detail: &CertificateDetail) -> CertificateOutputs {
    let record = detail.domain_validation_options().iter().find_map(|option| option.resource_record());
    CertificateOutputs {
        arn: arn.into(),
        record_name: record.map(|record| record.name()).unwrap_or_default().into(),
        record_value: record.map(|record| record.value()).unwrap_or_default().into(),
    }
}

/// The certificates of this deployment with an address, in some states. Lists have no tags and cannot be filtered by them.
async fn tagged(context: &Context, address: &str, states: Vec<CertificateStatus>) -> Result<Vec<String>> {
    let clients = context.clients();
    let found = list::all(
        context,
        "acm:ListCertificates",
        |token| {
            let request = clients.acm().list_certificates().set_certificate_statuses(Some(states.clone()));
            request.set_next_token(token).send()
        },
        |page| (page.certificate_summary_list.unwrap_or_default(), page.next_token),
    )
    .await?;
    let arns: Vec<String> = found.into_iter().filter_map(|certificate| certificate.certificate_arn).collect();
    let ours = context
        .each(&arns, |arn| async move {
            match tags_of(context, arn).await {
                Ok(tags) => Ok(context.owns(&tags) && tags.get(tags::ADDRESS).is_some_and(|tag| tag == address)),
                Err(error) if error.is_gone() => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await?;
    Ok(arns.into_iter().zip(ours).filter_map(|(arn, ours)| ours.then_some(arn)).collect())
}

/// A certificate, read once per observation for both kinds that look at it.
pub(super) async fn described(context: &Context, arn: &str) -> Result<Arc<CertificateDetail>> {
    context.shared(&format!("acm:DescribeCertificate {arn}"), || describe(context, arn)).await
}

async fn describe(context: &Context, arn: &str) -> Result<CertificateDetail> {
    let clients = context.clients();
    let answer = context
        .call("acm:DescribeCertificate", || clients.acm().describe_certificate().certificate_arn(arn).send())
        .await?;
    answer.certificate.ok_or_else(|| Error::incomplete("acm:DescribeCertificate", "certificate"))
}

async fn tags_of(context: &Context, arn: &str) -> Result<Tags> {
    if let Some(tags) = context.confirmed_tags(arn).await? {
        return Ok(tags);
    }
    let clients = context.clients();
    let answer = context
        .call("acm:ListTagsForCertificate", || clients.acm().list_tags_for_certificate().certificate_arn(arn).send())
        .await?;
    Ok(answer.tags().iter().map(|tag| (tag.key().to_owned(), tag.value().unwrap_or_default().to_owned())).collect())
}

async fn delete(task: &Task<'_>, arn: &str) -> Result<()> {
    let clients = task.clients();
    task.call("acm:DeleteCertificate", || clients.acm().delete_certificate().certificate_arn(arn).send()).await?;
    Ok(())
}

/// Who still uses a certificate, for people.
async fn users(task: &Task<'_>, arn: &str) -> Result<String> {
    match describe(task, arn).await {
        Ok(detail) if !detail.in_use_by().is_empty() => Ok(format!("in use by {}", detail.in_use_by().join(", "))),
        Ok(_) => Ok("in use by something that ACM does not name".to_owned()),
        Err(error) if error.is_gone() => Ok("gone".to_owned()),
        Err(error) => Err(error),
    }
}

async fn sync_tags(task: &Task<'_>, arn: &str, actual: &Tags) -> Result<()> {
    let changes = task.tag_changes(actual);
    let clients = task.clients();
    if !changes.set.is_empty() {
        let set = sdk_tags!(changes.set, Tag).into_iter().collect::<std::result::Result<Vec<_>, _>>();
        let set = set.expect("every tag has a key");
        task.call("acm:AddTagsToCertificate", || {
            clients.acm().add_tags_to_certificate().certificate_arn(arn).set_tags(Some(set.clone())).send()
        })
        .await?;
    }
    if !changes.remove.is_empty() {
        let remove: Vec<Tag> =
            changes.remove.iter().map(|key| Tag::builder().key(key).build().expect("the tag has a key")).collect();
        task.call("acm:RemoveTagsFromCertificate", || {
            clients.acm().remove_tags_from_certificate().certificate_arn(arn).set_tags(Some(remove.clone())).send()
        })
        .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is neither issued nor on its way there is dead.
    #[test]
    fn a_certificate_that_never_becomes_usable_counts_as_absent() {
        for name in CertificateStatus::values() {
            let status = CertificateStatus::from(*name);
            let lives = [CertificateStatus::Issued, CertificateStatus::PendingValidation].contains(&status);
            assert_eq!(DEAD.contains(&status), !lives, "{status}");
        }
    }
}
