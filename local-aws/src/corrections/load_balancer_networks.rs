//! Load balancers all stand in one made-up network and zone. On AWS they stand where their subnets are.

use async_trait::async_trait;
use xmltree::Element;

use super::{Call, Correction, Memory};
use crate::error::Error;
use crate::message::{Response, XmlExt};

/// See the module. Subnets are remembered by region and id: they never move.
#[derive(Default)]
pub(super) struct LoadBalancerNetworks {
    subnets: Memory<Subnet>,
}

#[derive(Clone, Debug)]
struct Subnet {
    network: String,
    zone: String,
}

#[async_trait]
impl Correction for LoadBalancerNetworks {
    fn id(&self) -> &'static str {
        "load-balancer-networks"
    }

    fn operations(&self) -> &'static [&'static str] {
        &["elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:DescribeLoadBalancers"]
    }

    async fn response(&self, call: &Call<'_>, response: &mut Response) -> Result<(), Error> {
        let Some(mut document) = response.xml() else { return Ok(()) };
        let mut ids = Vec::new();
        document.each("SubnetId", &mut |id| ids.push(id.get_text().unwrap_or_default().into_owned()));
        for id in ids {
            self.learn(call, &id).await?;
        }
        let known = |id: &str| self.subnets.get(&format!("{}/{id}", call.region()));
        response.change_xml(|document| correct(document, known));
        Ok(())
    }
}

impl LoadBalancerNetworks {
    /// Asks the emulator where a subnet is, once.
    async fn learn(&self, call: &Call<'_>, id: &str) -> Result<(), Error> {
        let key = format!("{}/{id}", call.region());
        if self.subnets.get(&key).is_some() {
            return Ok(());
        }
        let described = call.described("DescribeSubnets", "SubnetId.1", id).await?;
        let Some(mut document) = described else { return Ok(()) };
        document.each("item", &mut |item| {
            if let (Some(network), Some(zone)) = (item.text_of("vpcId"), item.text_of("availabilityZone")) {
                self.subnets.set(key.clone(), Subnet { network, zone });
            }
        });
        Ok(())
    }
}

fn correct(document: &mut Element, known: impl Fn(&str) -> Option<Subnet>) {
    document.each("LoadBalancers", &mut |balancers| {
        for balancer in balancers.elements() {
            let mut network = None;
            for place in balancer.get_mut_child("AvailabilityZones").into_iter().flat_map(XmlExt::elements) {
                let subnet = place.text_of("SubnetId").and_then(|id| known(&id));
                let Some(subnet) = subnet else { continue };
                place.set_text("ZoneName", &subnet.zone);
                network = Some(subnet.network);
            }
            if let Some(network) = network {
                balancer.set_text("VpcId", &network);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_balancer_stands_where_its_subnets_are() {
        let source = "<R><LoadBalancers><member><VpcId>vpc-1</VpcId><AvailabilityZones><member><ZoneName>a</ZoneName>\
                      <SubnetId>subnet-b</SubnetId></member></AvailabilityZones></member></LoadBalancers></R>";
        let mut document = Element::parse(source.as_bytes()).unwrap();
        correct(&mut document, |id| {
            (id == "subnet-b").then(|| Subnet { network: "vpc-2".to_owned(), zone: "b".to_owned() })
        });
        let mut seen = Vec::new();
        document.each("VpcId", &mut |element| seen.push(element.get_text().unwrap().into_owned()));
        document.each("ZoneName", &mut |element| seen.push(element.get_text().unwrap().into_owned()));
        assert_eq!(seen, ["vpc-2", "b"]);
    }
}
