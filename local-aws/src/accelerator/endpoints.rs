//! Whether an endpoint exists and can be reached, asked of the emulator.
//!
//! An internal load balancer needs an internet gateway at its network, although no traffic passes it
//! (`ga.internal-alb`).

use xmltree::Element;

use super::groups::EndpointKind;
use super::model::Fault;
use crate::emulator::Emulator;
use crate::error::Error;
use crate::message::XmlExt;

const EC2: (&str, &str) = ("ec2", "2016-11-15");
const BALANCING: (&str, &str) = ("elasticloadbalancing", "2015-12-01");

/// Why an endpoint must be refused: it is not there, or Global Accelerator cannot reach it.
pub(super) async fn check(
    emulator: &Emulator,
    kind: EndpointKind,
    region: &str,
    id: &str,
) -> Result<Option<Fault>, Error> {
    let asked = Asked { emulator, region };
    let found = match kind {
        EndpointKind::ElasticIp => asked.describe(EC2, "DescribeAddresses", "AllocationId.1", id).await?,
        EndpointKind::Instance => asked.describe(EC2, "DescribeInstances", "InstanceId.1", id).await?,
        EndpointKind::ApplicationLoadBalancer | EndpointKind::NetworkLoadBalancer => {
            asked.describe(BALANCING, "DescribeLoadBalancers", "LoadBalancerArns.member.1", id).await?
        }
    };
    let Some(mut found) = found else {
        return Ok(Some(Fault::invalid(format!("The endpoint {id} does not exist in {region}."))));
    };
    if first(&mut found, "Scheme").as_deref() == Some("internal") && !asked.has_gateway(&mut found).await? {
        let message = format!("The network of the internal load balancer {id} has no internet gateway.");
        return Ok(Some(Fault::invalid(message)));
    }
    Ok(None)
}

/// The emulator in one region.
struct Asked<'a> {
    emulator: &'a Emulator,
    region: &'a str,
}

impl Asked<'_> {
    /// What a describe call says about `id`; nothing when it is refused or finds nothing.
    async fn describe(
        &self,
        (service, version): (&str, &str),
        action: &str,
        parameter: &str,
        id: &str,
    ) -> Result<Option<Element>, Error> {
        let parameters = [("Action", action), ("Version", version), (parameter, id)];
        let answer = self.emulator.query(service, self.region, &parameters).await?;
        let found = answer.filter(|body| String::from_utf8_lossy(body).contains(id));
        Ok(found.and_then(|body| Element::parse(body.as_ref()).ok()))
    }

    /// Whether the network of a load balancer's subnets has an internet gateway.
    async fn has_gateway(&self, balancer: &mut Element) -> Result<bool, Error> {
        let Some(subnet) = first(balancer, "SubnetId") else { return Ok(false) };
        let Some(mut subnet) = self.describe(EC2, "DescribeSubnets", "SubnetId.1", &subnet).await? else {
            return Ok(false);
        };
        let Some(network) = first(&mut subnet, "vpcId") else { return Ok(false) };
        let (service, version) = EC2;
        let parameters = [
            ("Action", "DescribeInternetGateways"),
            ("Version", version),
            ("Filter.1.Name", "attachment.vpc-id"),
            ("Filter.1.Value.1", network.as_str()),
        ];
        let answer = self.emulator.query(service, self.region, &parameters).await?;
        Ok(answer.is_some_and(|body| String::from_utf8_lossy(&body).contains("<internetGatewayId>")))
    }
}

/// The text of the first element of this name, at any depth.
fn first(document: &mut Element, name: &str) -> Option<String> {
    let mut text = None;
    document.each(name, &mut |element| {
        text = text.take().or_else(|| element.get_text().map(|found| found.trim().to_owned()));
    });
    text
}
