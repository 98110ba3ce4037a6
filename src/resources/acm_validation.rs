//! `acm_validation`: the moment at which a certificate is issued, because ACM has seen its validation record.
//!
//! This is the one kind without an object of its own: it owns a state of a certificate, exists while the certificate is
//! issued, and its deletion does nothing. It stands apart from `acm_certificate` because the DNS record stands between the two: the record needs
//! the requested certificate, and whatever serves TLS needs the issued one. The types keep this order: a listener or custom domain takes a
//! `CertificateArn`, and only this kind produces one.
//!
//! Facts: `acm.wait`, `acm.wait.dns` (pending forever when the zone is not delegated), `acm.records.same`. Replacement: nothing; another certificate
//! is another wait. Slow: creation, one to thirty minutes after the record is public.

use aws_sdk_acm::types::{CertificateDetail, CertificateStatus};
use serde::{Deserialize, Serialize};

use super::{
    Adoption, Context, Deletion, Expected, Kind, Object, OnAws, Permissions, Task, Traits, Wanted, acm_certificate,
};
use crate::aws::error::Result;
use crate::aws::wait::{Look, Patience};
use crate::aws::{Error, Tags};
use crate::outputs;
use crate::reference::{CertificateArn, Ref, RequestedCertificateArn, Text};

/// The kind.
#[derive(Debug)]
pub struct Validation;

/// What has to be there for a certificate to be issued.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValidationSpec {
    /// The certificate.
    pub certificate: Ref<RequestedCertificateArn>,
    /// The name of the DNS record that ACM looks for; by this reference the wait begins when the record is there.
    pub record: Text,
}

outputs! {
    /// What is known once the certificate is issued.
    pub struct ValidationOutputs of Validation {
        /// The ARN of the issued certificate.
        certificate: CertificateArn,
    }
}

impl Kind for Validation {
    type Spec = ValidationSpec;
    type Outputs = ValidationOutputs;

    const TRAITS: Traits = Traits {
        name: "acm_validation",
        taggable: false,
        data_bearing: false,
        adoption: Adoption::ByName,
        immutable: &[],
        locked_by: None,
        expected: Expected::seconds(300, 300, 0),
        permissions: Permissions { read: &["acm:DescribeCertificate"], change: &["acm:DescribeCertificate"] },
        retries: &[],
    };

    const CHANGING_OUTPUTS: &'static [&'static str] = &["certificate"];

    async fn observe(context: &Context, wanted: &[Wanted<Self>]) -> Result<Vec<Option<Object<Self>>>> {
        context
            .each(wanted, |wanted| async move {
                let Some(arn) = wanted.spec.certificate.get() else { return Ok(None) };
                let detail = match acm_certificate::described(context, arn.as_str()).await {
                    Ok(detail) => detail,
                    Err(error) if error.is_gone() => return Ok(None),
                    Err(error) => return Err(error),
                };
                let issued = detail.status() == Some(&CertificateStatus::Issued);
                Ok(issued.then(|| Object { spec: wanted.spec.clone(), outputs: outputs(arn), tags: Tags::new() }))
            })
            .await
    }

    async fn ensure(task: &Task<'_>, spec: &ValidationSpec, object: Option<Object<Self>>) -> Result<ValidationOutputs> {
        let arn = spec.certificate.known();
        // What was observed may be the certificate before this one.
        if object.is_none_or(|object| object.spec.certificate != spec.certificate) {
            task.wait("the certificate to be issued", Patience::seconds(75 * 60, 15), || async {
                judge(&describe(task, arn).await?)
            })
            .await?;
        }
        Ok(outputs(arn))
    }

    async fn delete(_: &Task<'_>, _: &ValidationSpec, _: &ValidationOutputs) -> Result<Deletion> {
        Ok(Deletion::Gone)
    }
}

fn outputs(arn: &RequestedCertificateArn) -> ValidationOutputs {
    ValidationOutputs { certificate: arn.as_str().into() }
}

async fn describe(context: &Context, arn: &RequestedCertificateArn) -> Result<CertificateDetail> {
    let clients = context.clients();
    let answer = context
        .call("acm:DescribeCertificate", || clients.acm().describe_certificate().certificate_arn(arn).send())
        .await?;
    answer.certificate.ok_or_else(|| Error::incomplete("acm:DescribeCertificate", "certificate"))
}

/// What the state of a certificate means for whoever waits for it.
fn judge(detail: &CertificateDetail) -> Result<Look<()>> {
    let domain = detail.domain_name().unwrap_or_default();
    let record = detail.domain_validation_options().iter().find_map(|option| option.resource_record());
    match detail.status() {
        Some(CertificateStatus::Issued) => Ok(Look::Ready(())),
        Some(CertificateStatus::PendingValidation) => Ok(Look::Pending(match record {
            Some(record) => {
                format!(
                    "pending: ACM does not see the CNAME record {} -> {} in public DNS",
                    record.name(),
                    record.value()
                )
            }
            None => "pending: ACM has not named its record yet".to_owned(),
        })),
        Some(status) if acm_certificate::DEAD.contains(status) => {
            let status = status.as_str();
            let reason = detail.failure_reason().map(|reason| format!(" ({})", reason.as_str())).unwrap_or_default();
            Err(Error::Failed(format!(
                "the certificate of {domain} came to {status}{reason} and will not be issued; the next run requests another one"
            )))
        }
        // One that drctl doesn't know isn't the end.
        Some(status) => Ok(Look::Pending(status.as_str().to_owned())),
        None => Err(Error::incomplete("acm:DescribeCertificate", "Status")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_acm::types::{DomainValidation, FailureReason, RecordType, ResourceRecord};

    fn certificate(status: CertificateStatus) -> aws_sdk_acm::types::builders::CertificateDetailBuilder {
        let record = ResourceRecord::builder()
            .name("_a1.example.com.")
            .r#type(RecordType::Cname)
            .value("_b2.acm-validations.aws.")
            .build()
            .unwrap();
        let option = DomainValidation::builder().domain_name("*.example.com").resource_record(record).build().unwrap();
        CertificateDetail::builder().domain_name("*.example.com").status(status).domain_validation_options(option)
    }

    #[test]
    fn the_wait_names_the_record_that_is_missing() {
        let Look::Pending(state) = judge(&certificate(CertificateStatus::PendingValidation).build()).unwrap() else {
            panic!("a pending certificate is waited for");
        };
        assert!(state.contains("_a1.example.com. -> _b2.acm-validations.aws."), "{state}");
    }

    #[test]
    fn a_certificate_that_fails_ends_the_wait_with_the_reason() {
        let failed = certificate(CertificateStatus::Failed).failure_reason(FailureReason::CaaError).build();
        let error = judge(&failed).unwrap_err().to_string();
        assert!(error.contains("FAILED") && error.contains("CAA_ERROR") && error.contains("*.example.com"), "{error}");
        assert!(matches!(judge(&certificate(CertificateStatus::Issued).build()), Ok(Look::Ready(()))));
    }
}
