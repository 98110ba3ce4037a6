//! A target group cannot go while a listener or a rule leads to it (`tg.delete`).

use super::super::ask::{balancers, elb, holds, members, text};
use super::Refused;
use crate::corrections::Call;
use crate::error::Error;

pub(super) async fn in_the_way(call: &Call<'_>) -> Result<Option<Refused>, Error> {
    let form = call.original.form();
    let arn = form.get("TargetGroupArn").unwrap_or_default();
    let region = call.region();
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
