//! Certificates: ACM names the validation record seconds after the request, and issues only when it finds that record in DNS.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::Value;

use super::Refused;
use crate::cli::say;
use crate::corrections::{Call, Memory};
use crate::error::Error;
use crate::message::{Request, Response};
use crate::operation::Operation;
use crate::scenarios::tree::{Tree, is};
use crate::scenarios::{Given, durations};

/// See the module.
#[derive(Default)]
pub(super) struct Certificates {
    /// The certificates that were requested, by ARN.
    requested: Memory<Certificate>,
    /// When each CNAME came into a zone, by its name.
    records: Memory<Duration>,
}

#[derive(Clone, Debug)]
struct Certificate {
    /// From when on the record is named.
    named: Duration,
    /// How long ACM takes once the record is there.
    takes: Duration,
    /// From when on it is issued, once the record was found.
    issued: Option<Duration>,
}

pub(super) fn concerns(operation: &Operation) -> bool {
    const OPERATIONS: [&str; 6] = [
        "acm:RequestCertificate",
        "acm:DescribeCertificate",
        "acm:ListCertificates",
        "route53:ChangeResourceRecordSets",
        "elasticloadbalancing:CreateListener",
        "apigateway:CreateDomainName",
    ];
    OPERATIONS.iter().any(|name| is(name, operation))
}

impl Certificates {
    /// Who wants to use a certificate has to wait until it is issued.
    pub(super) fn objection(&self, operation: &Operation, request: &Request) -> Option<Refused> {
        let arn = match operation.name.as_str() {
            "CreateListener" => request.form().get("Certificates.member.1.CertificateArn")?.to_owned(),
            "CreateDomainName" => request.json()["regionalCertificateArn"].as_str()?.to_owned(),
            _ => return None,
        };
        let is_pending = self.requested.get(&arn).is_some_and(|certificate| certificate.issued.is_none());
        let (code, message) = match operation.name.as_str() {
            "CreateListener" => ("UnsupportedCertificate", format!("The certificate '{arn}' must be issued.")),
            _ => ("BadRequestException", format!("The certificate {arn} is not issued.")),
        };
        is_pending.then_some((StatusCode::BAD_REQUEST, code, message))
    }

    /// Shows how far a certificate is.
    pub(super) async fn show(&self, given: &Given, call: &Call<'_>, mut answer: Response) -> Result<Response, Error> {
        if !answer.status.is_success() || !concerns(call.operation) {
            return Ok(answer);
        }
        let now = given.clock.now();
        match call.name() {
            "RequestCertificate" => {
                if let Some(arn) = answer.json_body()["CertificateArn"].as_str() {
                    self.request(given, call.region(), arn);
                }
            }
            "ChangeResourceRecordSets" => self.learn_records(call.original, now),
            "DescribeCertificate" => {
                let document = answer.json_body();
                let arn = document["Certificate"]["CertificateArn"].as_str().unwrap_or_default();
                let record = document["Certificate"]["DomainValidationOptions"][0]["ResourceRecord"]["Name"].as_str();
                if let Some(record) = record
                    && self.records.get(&plain(record)).is_none()
                    && zone_has(call, record).await?
                {
                    // It was there before this scenario was.
                    self.records.set(plain(record), Duration::ZERO);
                }
                self.look(arn, record.unwrap_or_default(), now);
                answer.change_json(|document| self.show_one(&mut document["Certificate"], now));
            }
            "ListCertificates" => answer.change_json(|document| {
                for summary in document["CertificateSummaryList"].as_array_mut().into_iter().flatten() {
                    if let Some(status) = self.status(summary["CertificateArn"].as_str().unwrap_or_default(), now) {
                        summary["Status"] = status.into();
                    }
                }
            }),
            _ => {}
        }
        Ok(answer)
    }

    fn request(&self, given: &Given, region: &str, arn: &str) {
        if self.requested.get(arn).is_some() {
            return;
        }
        let named = given.clock.now() + durations::CERTIFICATE_RECORD.draw(given, region);
        let takes = durations::CERTIFICATE_ISSUED.draw(given, region);
        say(&format!("{arn} is issued {:.1} s after its record is there", takes.as_secs_f64()));
        self.requested.set(arn, Certificate { named, takes, issued: None });
    }

    fn learn_records(&self, request: &Request, now: Duration) {
        let whole = Response { status: StatusCode::OK, headers: Default::default(), body: request.body.clone() };
        let Some(mut batch) = Tree::of(&whole) else { return };
        batch.each("ChangeBatch/Changes/Change", &mut |change| {
            let is_put = change.text("Action").is_some_and(|action| action != "DELETE");
            let name = change.text("ResourceRecordSet/Name").map(|name| plain(&name));
            let is_cname = change.text("ResourceRecordSet/Type").as_deref() == Some("CNAME");
            match name.filter(|_| is_cname) {
                Some(name) if is_put && self.records.get(&name).is_none() => self.records.set(name, now),
                Some(name) if !is_put => self.records.forget(&name),
                _ => {}
            }
        });
    }

    /// ACM looks for the record, and issues the certificate when it has been there long enough.
    fn look(&self, arn: &str, record: &str, now: Duration) {
        let (Some(mut certificate), Some(since)) = (self.requested.get(arn), self.records.get(&plain(record))) else {
            return;
        };
        let ready = since.max(certificate.named) + certificate.takes;
        if certificate.issued.is_none() && ready <= now {
            certificate.issued = Some(ready);
            self.requested.set(arn, certificate);
        }
    }

    fn status(&self, arn: &str, now: Duration) -> Option<&'static str> {
        let certificate = self.requested.get(arn)?;
        let is_issued = certificate.issued.is_some_and(|issued| issued <= now);
        Some(if is_issued { "ISSUED" } else { "PENDING_VALIDATION" })
    }

    fn show_one(&self, certificate: &mut Value, now: Duration) {
        let arn = certificate["CertificateArn"].as_str().unwrap_or_default().to_owned();
        let Some(status) = self.status(&arn, now) else { return };
        let is_named = self.requested.get(&arn).is_some_and(|certificate| certificate.named <= now);
        certificate["Status"] = status.into();
        if status == "ISSUED" {
            return;
        }
        if let Some(fields) = certificate.as_object_mut() {
            fields.remove("IssuedAt");
        }
        for option in certificate["DomainValidationOptions"].as_array_mut().into_iter().flatten() {
            option["ValidationStatus"] = "PENDING_VALIDATION".into();
            if let Some(fields) = option.as_object_mut().filter(|_| !is_named) {
                fields.remove("ResourceRecord");
            }
        }
    }
}

/// A name without the root's dot.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_lowercase()
}

/// Asks the emulator whether any zone has this CNAME.
async fn zone_has(call: &Call<'_>, record: &str) -> Result<bool, Error> {
    let read = async |path: String| -> Result<Option<Tree>, Error> {
        Ok(call.emulator.rest("route53", "us-east-1", Method::GET, &path, "").await?.as_ref().and_then(Tree::of))
    };
    let Some(mut zones) = read("/2013-04-01/hostedzone".to_owned()).await? else { return Ok(false) };
    let mut ids = Vec::new();
    zones.each("HostedZones/HostedZone", &mut |zone| ids.extend(zone.text("Id")));
    for id in ids {
        let id = id.trim_start_matches("/hostedzone/");
        let Some(mut records) = read(format!("/2013-04-01/hostedzone/{id}/rrset")).await? else { continue };
        let mut found = false;
        records.each("ResourceRecordSets/ResourceRecordSet", &mut |set| {
            let is_cname = set.text("Type").as_deref() == Some("CNAME");
            found |= is_cname && set.text("Name").is_some_and(|name| plain(&name) == plain(record));
        });
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, Method};
    use serde_json::json;

    use super::*;
    use crate::scenarios::tests::given;

    #[tokio::test(start_paused = true)]
    async fn a_certificate_is_issued_only_after_its_record_is_in_dns() {
        let given = given(1);
        let all = Certificates::default();
        all.request(&given, "us-east-1", "arn");
        let look = || {
            let now = given.clock.now();
            all.look("arn", "_x.example.org.", now);
            let mut shown = json!({ "CertificateArn": "arn", "Status": "ISSUED", "IssuedAt": 1,
                "DomainValidationOptions": [{ "ResourceRecord": { "Name": "_x.example.org." } }] });
            all.show_one(&mut shown, now);
            let is_named = !shown["DomainValidationOptions"][0]["ResourceRecord"].is_null();
            (shown["Status"].as_str().unwrap().to_owned(), is_named)
        };
        assert_eq!(look(), ("PENDING_VALIDATION".to_owned(), false));
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(look(), ("PENDING_VALIDATION".to_owned(), true));
        tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
        assert_eq!(look(), ("PENDING_VALIDATION".to_owned(), true));

        let batch = "<ChangeResourceRecordSetsRequest><ChangeBatch><Changes><Change><Action>UPSERT</Action>\
                     <ResourceRecordSet><Name>_x.example.org</Name><Type>CNAME</Type></ResourceRecordSet></Change></Changes>\
                     </ChangeBatch></ChangeResourceRecordSetsRequest>";
        let request = Request::new(Method::POST, "/".parse().unwrap(), HeaderMap::new(), batch.into());
        all.learn_records(&request, given.clock.now());
        assert_eq!(look(), ("PENDING_VALIDATION".to_owned(), true));
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(look(), ("ISSUED".to_owned(), true));
    }
}
