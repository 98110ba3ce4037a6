//! A certificate cannot go while a listener or a domain name of an API uses it (`acm.delete`).

use super::super::ask::{balancers, elb, holds, list, text};
use super::Refused;
use crate::corrections::Call;
use crate::error::Error;

pub(super) async fn in_the_way(call: &Call<'_>) -> Result<Option<Refused>, Error> {
    let input = call.original.json();
    let arn = input["CertificateArn"].as_str().unwrap_or_default();
    let domains = list(call, "apigateway", "/domainnames", "item").await?;
    let mut is_used = domains.iter().any(|domain| domain["regionalCertificateArn"].as_str() == Some(arn));
    for balancer in balancers(call, call.region()).await? {
        let of = text(&balancer, "LoadBalancerArn");
        let listeners = elb(call, call.region(), &[("Action", "DescribeListeners"), ("LoadBalancerArn", &of)]).await?;
        is_used |= holds(&listeners, "CertificateArn", arn);
    }
    let account = arn.split(':').nth(4).unwrap_or_default();
    let message = format!("Certificate {arn} in account {account} is in use.");
    Ok(is_used.then(|| Refused::new("ResourceInUseException", message)))
}
