//! One quota of the account is full: an operation that the settings name (`limit`) is refused for good, in the words of its
//! service. Without a name it does nothing.
//!
//! API Gateway has the status of throttling for it, 429, but names no time to come back (`x.throttle.false-429`).

use async_trait::async_trait;
use axum::http::StatusCode;

use super::{Outcome, Scenario};
use crate::corrections::Call;
use crate::error::Error;
use crate::message::Request;
use crate::operation::{Kind, Operation};
use crate::refusal::refusal;

/// The status and code of operations that do not have those of their service.
const CODES: [(&str, u16, &str); 19] = [
    ("ec2:AllocateAddress", 400, "AddressLimitExceeded"),
    ("ec2:AuthorizeSecurityGroupEgress", 400, "RulesPerSecurityGroupLimitExceeded"),
    ("ec2:AuthorizeSecurityGroupIngress", 400, "RulesPerSecurityGroupLimitExceeded"),
    ("ec2:CreateInternetGateway", 400, "InternetGatewayLimitExceeded"),
    ("ec2:CreateNatGateway", 400, "NatGatewayLimitExceeded"),
    ("ec2:CreateRoute", 400, "RouteLimitExceeded"),
    ("ec2:CreateRouteTable", 400, "RouteTableLimitExceeded"),
    ("ec2:CreateSecurityGroup", 400, "SecurityGroupLimitExceeded"),
    ("ec2:CreateSubnet", 400, "SubnetLimitExceeded"),
    ("ec2:CreateVpc", 400, "VpcLimitExceeded"),
    ("ec2:CreateVpcEndpoint", 400, "VpcEndpointLimitExceeded"),
    ("elasticloadbalancing:CreateLoadBalancer", 400, "TooManyLoadBalancers"),
    ("elasticloadbalancing:CreateTargetGroup", 400, "TooManyTargetGroups"),
    ("rds:CreateDBCluster", 403, "DBClusterQuotaExceededFault"),
    ("rds:CreateDBInstance", 400, "InstanceQuotaExceeded"),
    ("rds:CreateGlobalCluster", 400, "GlobalClusterQuotaExceededFault"),
    ("route53:CreateHealthCheck", 400, "TooManyHealthChecks"),
    ("route53:CreateHostedZone", 400, "TooManyHostedZones"),
    ("sns:CreateTopic", 403, "TopicLimitExceeded"),
];

/// The status and code of an operation whose quota is full.
fn words(operation: &str) -> (u16, &'static str) {
    let own = CODES.iter().find(|(name, ..)| *name == operation).map(|(_, status, code)| (*status, *code));
    let service = operation.split(':').next().unwrap_or_default();
    own.unwrap_or(match service {
        "apigateway" => (429, "LimitExceededException"),
        "iam" => (409, "LimitExceeded"),
        "lambda" => (400, "CodeStorageExceededException"),
        "monitoring" => (400, "LimitExceeded"),
        "s3" => (400, "TooManyBuckets"),
        _ => (400, "LimitExceededException"),
    })
}

/// See the module.
pub(super) struct HardLimits(pub(super) Option<String>);

#[async_trait]
impl Scenario for HardLimits {
    fn name(&self) -> &'static str {
        "hard-limits"
    }

    fn concerns(&self, operation: &Operation) -> bool {
        let Some((service, name)) = self.0.as_ref().and_then(|limit| limit.split_once(':')) else { return false };
        operation.kind == Kind::Api && operation.service == service && operation.name == name
    }

    async fn before(&self, call: &Call<'_>, _: &mut Request) -> Result<Option<Outcome>, Error> {
        let (status, code) = words(&format!("{}:{}", call.operation.service, call.operation.name));
        let status = StatusCode::from_u16(status).expect("the table holds statuses");
        let message = "The maximum number of resources of this type has been reached.";
        Ok(Some(Outcome::Answer(refusal(call, status, code, message))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Caller;
    use super::*;

    #[tokio::test]
    async fn only_the_named_operation_is_refused_and_in_its_own_words() {
        let limits = HardLimits(Some("apigateway:CreateRestApi".to_owned()));
        let caller = Caller::new("apigateway", "POST", "/restapis", &[], "{}");
        assert!(limits.concerns(&caller.operation));
        let outcome = limits.before(&caller.call(), &mut caller.request()).await.expect("no emulator is asked");
        let Some(Outcome::Answer(answer)) = outcome else { panic!("it is refused") };
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(answer.headers["x-amzn-errortype"], "LimitExceededException");
        assert!(!answer.headers.contains_key("retry-after"), "no time will come");
        assert!(!limits.concerns(&Caller::new("apigateway", "GET", "/restapis", &[], "").operation));
    }

    #[test]
    fn without_a_name_nothing_is_refused() {
        assert!(!HardLimits(None).concerns(&Caller::new("apigateway", "POST", "/restapis", &[], "").operation));
    }

    #[test]
    fn codes_are_those_of_the_services() {
        assert_eq!(words("ec2:CreateVpc"), (400, "VpcLimitExceeded"));
        assert_eq!(words("ec2:CreateInternetGateway"), (400, "InternetGatewayLimitExceeded"));
        assert_eq!(words("ec2:CreateNatGateway"), (400, "NatGatewayLimitExceeded"));
        assert_eq!(words("ec2:CreateSecurityGroup"), (400, "SecurityGroupLimitExceeded"));
        for operation in ["ec2:AuthorizeSecurityGroupEgress", "ec2:AuthorizeSecurityGroupIngress"] {
            assert_eq!(words(operation), (400, "RulesPerSecurityGroupLimitExceeded"));
        }
        assert_eq!(words("ec2:CreateVpcEndpoint"), (400, "VpcEndpointLimitExceeded"));
        assert_eq!(words("ec2:CreateRoute"), (400, "RouteLimitExceeded"));
        assert_eq!(words("ec2:CreateRouteTable"), (400, "RouteTableLimitExceeded"));
        assert_eq!(words("iam:CreateRole"), (409, "LimitExceeded"));
        assert_eq!(words("dynamodb:CreateTable"), (400, "LimitExceededException"));
    }
}
