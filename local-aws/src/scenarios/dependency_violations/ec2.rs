//! A VPC goes last of what is in it (`vpc.delete.order`), a gateway and a route table after what they are attached to and
//! associated with (`rtb.delete`), a group after the rules that name it (`sgr.delete.references`), an address after its NAT gateway
//! (`eip.delete.in-use`).

use xmltree::Element;

use super::super::ask::{children, ec2, holds, text};
use super::Refused;
use crate::corrections::{Call, Memory};
use crate::error::Error;
use crate::message::{Form, Response, XmlExt};

/// Which NAT gateway has an address, by region and allocation.
#[derive(Default)]
pub(super) struct Addresses(Memory<String>);

impl Addresses {
    /// Remembers the address of a new gateway.
    pub(super) fn learn(&self, call: &Call<'_>, answer: &Response) {
        let gateway = answer.xml().and_then(|document| document.get_child("natGateway")?.text_of("natGatewayId"));
        if let (Some(allocation), Some(gateway)) = (call.original.form().get("AllocationId"), gateway) {
            self.0.set(format!("{}/{allocation}", call.region()), gateway);
        }
    }
}

pub(super) async fn in_the_way(call: &Call<'_>, addresses: &Addresses) -> Result<Option<Refused>, Error> {
    let (form, region) = (call.original.form(), call.region());
    let subject = |parameter: &str| form.get(parameter).unwrap_or_default().to_owned();
    Ok(match call.name() {
        "DeleteInternetGateway" => {
            let gateways = ec2(call, region, "DescribeInternetGateways").await?;
            attached(&gateways, &subject("InternetGatewayId"))
        }
        "DeleteRouteTable" => associated(&ec2(call, region, "DescribeRouteTables").await?, &subject("RouteTableId")),
        "DeleteSecurityGroup" => named(&ec2(call, region, "DescribeSecurityGroups").await?, &subject("GroupId")),
        "DeleteVpc" => {
            let vpc = subject("VpcId");
            let endpoints = ec2(call, region, "DescribeVpcEndpoints").await?;
            let gateways = ec2(call, region, "DescribeNatGateways").await?;
            let tables = ec2(call, region, "DescribeRouteTables").await?;
            let is_occupied =
                has_endpoint(&endpoints, &vpc) || has_gateway(&gateways, &vpc) || has_table(&tables, &vpc);
            is_occupied.then(|| violation(&format!("The vpc '{vpc}' has dependencies and cannot be deleted.")))
        }
        "ReleaseAddress" => match addresses.0.get(&format!("{region}/{}", subject("AllocationId"))) {
            Some(gateway) => in_use(&ec2(call, region, "DescribeNatGateways").await?, &gateway, &form),
            None => None,
        },
        _ => None,
    })
}

fn violation(message: &str) -> Refused {
    Refused::new("DependencyViolation", message)
}

fn attached(gateways: &Element, id: &str) -> Option<Refused> {
    let mut gateways = children(gateways, "internetGatewaySet");
    let gateway = gateways.find(|gateway| text(gateway, "internetGatewayId") == id)?;
    children(gateway, "attachmentSet").next()?;
    Some(violation(&format!("The internetGateway '{id}' has dependencies and cannot be deleted.")))
}

fn associated(tables: &Element, id: &str) -> Option<Refused> {
    let table = children(tables, "routeTableSet").find(|table| text(table, "routeTableId") == id)?;
    children(table, "associationSet").find(|association| text(association, "main") != "true")?;
    Some(violation(&format!("The routeTable '{id}' has dependencies and cannot be deleted.")))
}

/// Rules of the group itself may name it.
fn named(groups: &Element, id: &str) -> Option<Refused> {
    let mut others = children(groups, "securityGroupInfo").filter(|group| text(group, "groupId") != id);
    let names = |group: &Element, rules: &str| children(group, rules).any(|rule| holds(rule, "groupId", id));
    others.find(|group| names(group, "ipPermissions") || names(group, "ipPermissionsEgress"))?;
    Some(violation(&format!("resource {id} has a dependent object")))
}

fn has_endpoint(endpoints: &Element, vpc: &str) -> bool {
    let is_left = |endpoint: &Element| text(endpoint, "vpcId") == vpc && text(endpoint, "state") != "deleted";
    children(endpoints, "vpcEndpointSet").any(is_left)
}

fn has_gateway(gateways: &Element, vpc: &str) -> bool {
    let is_left = |gateway: &Element| text(gateway, "vpcId") == vpc && text(gateway, "state") != "deleted";
    children(gateways, "natGatewaySet").any(is_left)
}

fn has_table(tables: &Element, vpc: &str) -> bool {
    let is_main = |table: &Element| children(table, "associationSet").any(|one| text(one, "main") == "true");
    children(tables, "routeTableSet").any(|table| text(table, "vpcId") == vpc && !is_main(table))
}

fn in_use(gateways: &Element, gateway: &str, form: &Form) -> Option<Refused> {
    let is_it = |one: &&Element| text(one, "natGatewayId") == gateway && text(one, "state") != "deleted";
    children(gateways, "natGatewaySet").find(is_it)?;
    let address = form.get("AllocationId").unwrap_or_default();
    Some(Refused::new("InvalidIPAddress.InUse", format!("Address {address} is in use.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(source: &str) -> Element {
        Element::parse(source.as_bytes()).unwrap()
    }

    #[test]
    fn a_group_is_held_by_rules_of_others_and_not_by_its_own() {
        let groups = parsed(
            "<R><securityGroupInfo>\
             <item><groupId>sg-1</groupId><ipPermissions><item><groups><item><groupId>sg-1</groupId></item></groups></item>\
             </ipPermissions></item>\
             <item><groupId>sg-2</groupId><ipPermissionsEgress><item><groups><item><groupId>sg-3</groupId></item></groups>\
             </item></ipPermissionsEgress></item></securityGroupInfo></R>",
        );
        assert_eq!(named(&groups, "sg-1"), None);
        assert_eq!(named(&groups, "sg-2"), None);
        assert!(named(&groups, "sg-3").is_some_and(|refused| refused.message.contains("sg-3")));
    }

    #[test]
    fn a_network_is_held_by_all_but_its_main_table() {
        let tables = parsed(
            "<R><routeTableSet><item><routeTableId>rtb-1</routeTableId><vpcId>vpc-1</vpcId><associationSet><item>\
             <main>true</main></item></associationSet></item><item><routeTableId>rtb-2</routeTableId><vpcId>vpc-2</vpcId>\
             <associationSet/></item></routeTableSet></R>",
        );
        assert!(!has_table(&tables, "vpc-1"));
        assert!(has_table(&tables, "vpc-2"));
        assert_eq!(associated(&tables, "rtb-1"), None);
        let gateways = parsed(
            "<R><natGatewaySet><item><natGatewayId>nat-1</natGatewayId><vpcId>vpc-1</vpcId><state>deleted</state></item>\
             <item><natGatewayId>nat-2</natGatewayId><vpcId>vpc-2</vpcId><state>deleting</state></item></natGatewaySet></R>",
        );
        assert!(!has_gateway(&gateways, "vpc-1"));
        assert!(has_gateway(&gateways, "vpc-2"));
        assert_eq!(in_use(&gateways, "nat-1", &Form::default()), None);
        assert!(in_use(&gateways, "nat-2", &Form::default()).is_some_and(|one| one.code == "InvalidIPAddress.InUse"));
    }

    #[test]
    fn an_attached_gateway_is_held() {
        let gateways = parsed(
            "<R><internetGatewaySet><item><internetGatewayId>igw-1</internetGatewayId><attachmentSet/></item>\
             <item><internetGatewayId>igw-2</internetGatewayId><attachmentSet><item><vpcId>vpc-1</vpcId></item>\
             </attachmentSet></item></internetGatewaySet></R>",
        );
        assert_eq!(attached(&gateways, "igw-1"), None);
        assert!(attached(&gateways, "igw-2").is_some());
    }
}
