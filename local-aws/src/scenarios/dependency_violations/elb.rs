//! A target group cannot go while a listener or a rule leads to it (`tg.delete`), nor a load balancer while it is protected
//! (`alb.delete`).

use xmltree::Element;

use super::super::ask::{balancers, elb, holds, members, text};
use super::Refused;
use crate::corrections::Call;
use crate::error::Error;

pub(super) async fn in_the_way(call: &Call<'_>) -> Result<Option<Refused>, Error> {
    let form = call.original.form();
    let region = call.region();
    if call.name() == "DeleteLoadBalancer" {
        let arn = form.get("LoadBalancerArn").unwrap_or_default();
        let parameters = [("Action", "DescribeLoadBalancerAttributes"), ("LoadBalancerArn", arn)];
        return Ok(protected(&elb(call, region, &parameters).await?, arn));
    }
    let arn = form.get("TargetGroupArn").unwrap_or_default();
    for balancer in balancers(call, region).await? {
        let of = text(&balancer, "LoadBalancerArn");
        let listeners = elb(call, region, &[("Action", "DescribeListeners"), ("LoadBalancerArn", &of)]).await?;
        let mut leads_there = holds(&listeners, "TargetGroupArn", arn);
        for listener in members(&listeners, "Listeners") {
            let of = text(&listener, "ListenerArn");
            let rules = elb(call, region, &[("Action", "DescribeRules"), ("ListenerArn", &of)]).await?;
            leads_there |= holds(&rules, "TargetGroupArn", arn);
        }
        if leads_there {
            let message = format!("Target group '{arn}' is currently in use by a listener or a rule");
            return Ok(Some(Refused::new("ResourceInUse", message)));
        }
    }
    Ok(None)
}

/// What AWS says of a load balancer with these attributes.
fn protected(attributes: &Element, arn: &str) -> Option<Refused> {
    let protects = |one: &Element| text(one, "Key") == "deletion_protection.enabled" && text(one, "Value") == "true";
    let message = format!("Load balancer '{arn}' cannot be deleted because deletion protection is enabled");
    members(attributes, "Attributes").iter().any(protects).then(|| Refused::new("OperationNotPermitted", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_protected_load_balancer_is_held() {
        let attributes = |value: &str| {
            let answer = format!(
                "<R><DescribeLoadBalancerAttributesResult><Attributes>\
                 <member><Key>idle_timeout.timeout_seconds</Key><Value>true</Value></member>\
                 <member><Key>deletion_protection.enabled</Key><Value>{value}</Value></member>\
                 </Attributes></DescribeLoadBalancerAttributesResult></R>"
            );
            Element::parse(answer.as_bytes()).unwrap()
        };
        assert_eq!(protected(&attributes("true"), "arn:x").map(|refused| refused.code), Some("OperationNotPermitted"));
        assert_eq!(protected(&attributes("false"), "arn:x"), None);
        assert_eq!(protected(&Element::new("none"), "arn:x"), None);
    }
}
