//! AWS deletes nothing that something else still needs, and says so in each service's own words. The emulator refuses some of that, and
//! deletes the rest, often together with what was in it.
//!
//! One file per service. Each looks at what the emulator has at the moment of the call; what only network interfaces are in the way
//! of is the business of `lingering-interfaces`.

mod acm;
mod apigateway;
mod backup;
mod dynamodb;
mod ec2;
mod elb;
mod events;
mod rds;

pub(super) use dynamodb::HELD;

use async_trait::async_trait;
use axum::http::StatusCode;

use super::{Outcome, Scenario};
use crate::corrections::Call;
use crate::error::Error;
use crate::message::{Request, Response};
use crate::operation::Operation;
use crate::refusal::refusal;

/// What AWS refuses as long as something is in the way.
const REFUSED: [&str; 19] = [
    "acm:DeleteCertificate",
    "apigateway:DeleteDeployment",
    "apigateway:DeleteRestApi",
    "apigateway:DeleteStage",
    "backup:DeleteBackupPlan",
    "dynamodb:DeleteTable",
    "ec2:DeleteInternetGateway",
    "ec2:DeleteRouteTable",
    "ec2:DeleteSecurityGroup",
    "ec2:DeleteVpc",
    "ec2:ReleaseAddress",
    "elasticloadbalancing:DeleteLoadBalancer",
    "elasticloadbalancing:DeleteTargetGroup",
    "events:DeleteEventBus",
    "events:DeleteRule",
    "rds:DeleteDBCluster",
    "rds:DeleteDBClusterParameterGroup",
    "rds:DeleteDBInstance",
    "rds:DeleteDBSubnetGroup",
];

/// Why a call is refused.
#[derive(Debug, PartialEq)]
struct Refused {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refused {
    /// A refusal with the status that most services give.
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: message.into() }
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct DependencyViolations {
    addresses: ec2::Addresses,
}

#[async_trait]
impl Scenario for DependencyViolations {
    fn name(&self) -> &'static str {
        "dependency-violations"
    }

    fn concerns(&self, operation: &Operation) -> bool {
        let name = format!("{}:{}", operation.service, operation.name);
        // A new gateway tells which address it has, and nothing does later.
        REFUSED.contains(&name.as_str()) || name == "ec2:CreateNatGateway"
    }

    async fn before(&self, call: &Call<'_>, _: &mut Request) -> Result<Option<Outcome>, Error> {
        let refused = match call.operation.service.as_str() {
            "acm" => acm::in_the_way(call).await?,
            "apigateway" => apigateway::in_the_way(call).await?,
            "backup" => backup::in_the_way(call).await?,
            "dynamodb" => dynamodb::in_the_way(call).await?,
            "ec2" => ec2::in_the_way(call, &self.addresses).await?,
            "elasticloadbalancing" => elb::in_the_way(call).await?,
            "events" => events::in_the_way(call).await?,
            _ => rds::in_the_way(call).await?,
        };
        Ok(refused.map(|refused| Outcome::Answer(refusal(call, refused.status, refused.code, &refused.message))))
    }

    async fn after(&self, call: &Call<'_>, answer: Response) -> Result<Outcome, Error> {
        if call.name() == "CreateNatGateway" {
            self.addresses.learn(call, &answer);
        }
        Ok(Outcome::Answer(answer))
    }
}
