//! NAT gateways name no addresses, and addresses no association, so that nothing ties one to the other. On AWS both do.

use async_trait::async_trait;
use xmltree::{Element, XMLNode};

use super::{Call, Correction, Memory};
use crate::error::Error;
use crate::message::{Response, XmlExt, branch, leaf};

/// See the module. Gateways are remembered by their id.
#[derive(Default)]
pub(super) struct NatGatewayAddresses {
    gateways: Memory<Address>,
}

#[derive(Clone, Debug)]
struct Address {
    gateway: String,
    allocation: String,
    public_ip: String,
}

impl Address {
    /// The part of the gateway's id that the ids of what belongs to it share here.
    fn suffix(&self) -> &str {
        self.gateway.trim_start_matches("nat-")
    }

    fn association(&self) -> String {
        format!("eipassoc-{}", self.suffix())
    }

    fn interface(&self) -> String {
        format!("eni-{}", self.suffix())
    }
}

#[async_trait]
impl Correction for NatGatewayAddresses {
    fn id(&self) -> &'static str {
        "nat-gateway-addresses"
    }

    fn operations(&self) -> &'static [&'static str] {
        &["ec2:CreateNatGateway", "ec2:DescribeNatGateways", "ec2:DeleteNatGateway", "ec2:DescribeAddresses"]
    }

    async fn response(&self, call: &Call<'_>, response: &mut Response) -> Result<(), Error> {
        match call.name() {
            "CreateNatGateway" => {
                self.learn(call, response).await?;
                response
                    .change_xml(|document| document.each("natGateway", &mut |gateway| self.correct_gateway(gateway)));
            }
            "DescribeNatGateways" => response.change_xml(|document| {
                let gateways = document.get_mut_child("natGatewaySet");
                gateways.into_iter().flat_map(XmlExt::elements).for_each(|gateway| self.correct_gateway(gateway));
            }),
            "DeleteNatGateway" => {
                if let Some(id) = call.original.form().get("NatGatewayId") {
                    self.gateways.forget(id);
                }
            }
            _ => response.change_xml(|document| {
                let addresses = document.get_mut_child("addressesSet");
                addresses.into_iter().flat_map(XmlExt::elements).for_each(|address| self.correct_address(address));
            }),
        }
        Ok(())
    }
}

impl NatGatewayAddresses {
    /// Remembers which address a new gateway has.
    async fn learn(&self, call: &Call<'_>, response: &Response) -> Result<(), Error> {
        let form = call.original.form();
        let gateway = response.xml().and_then(|document| document.get_child("natGateway")?.text_of("natGatewayId"));
        let (Some(allocation), Some(gateway)) = (form.get("AllocationId"), gateway) else { return Ok(()) };
        let described = call.described("DescribeAddresses", "AllocationId.1", allocation).await?;
        let Some(mut document) = described else { return Ok(()) };
        document.each("item", &mut |item| {
            if let (Some(id), Some(public_ip)) = (item.text_of("allocationId"), item.text_of("publicIp"))
                && id == allocation
            {
                self.gateways.set(gateway.clone(), Address { gateway: gateway.clone(), allocation: id, public_ip });
            }
        });
        Ok(())
    }

    fn correct_gateway(&self, gateway: &mut Element) {
        let Some(address) = gateway.text_of("natGatewayId").and_then(|id| self.gateways.get(&id)) else { return };
        let (association, interface) = (address.association(), address.interface());
        let fields = [
            ("allocationId", address.allocation.as_str()),
            ("associationId", association.as_str()),
            ("isPrimary", "true"),
            ("networkInterfaceId", interface.as_str()),
            ("publicIp", address.public_ip.as_str()),
            ("status", "succeeded"),
        ];
        let item = branch("item", fields.map(|(name, value)| XMLNode::Element(leaf(name, value))));
        gateway.put(branch("natGatewayAddressSet", [XMLNode::Element(item)]));
    }

    fn correct_address(&self, element: &mut Element) {
        let id = element.text_of("allocationId");
        let Some(address) = self.gateways.values().into_iter().find(|address| Some(&address.allocation) == id.as_ref())
        else {
            return;
        };
        element.set_text("associationId", &address.association());
        element.set_text("networkInterfaceId", &address.interface());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_and_its_address_name_each_other() {
        let correction = NatGatewayAddresses::default();
        let address = Address {
            gateway: "nat-1".to_owned(),
            allocation: "eipalloc-1".to_owned(),
            public_ip: "52.0.0.1".to_owned(),
        };
        correction.gateways.set("nat-1", address);

        let source = "<item><natGatewayId>nat-1</natGatewayId><natGatewayAddressSet/></item>";
        let mut gateway = Element::parse(source.as_bytes()).unwrap();
        correction.correct_gateway(&mut gateway);
        let item = gateway.get_child("natGatewayAddressSet").unwrap().get_child("item").unwrap();
        assert_eq!(item.text_of("allocationId").as_deref(), Some("eipalloc-1"));
        assert_eq!(item.text_of("publicIp").as_deref(), Some("52.0.0.1"));

        let mut element = Element::parse("<item><allocationId>eipalloc-1</allocationId></item>".as_bytes()).unwrap();
        correction.correct_address(&mut element);
        assert_eq!(element.text_of("associationId"), item.text_of("associationId"));
    }
}
