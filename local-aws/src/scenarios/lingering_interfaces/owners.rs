//! Who has interfaces in a region, told from what the emulator and the accelerators have.

use std::collections::BTreeMap;

use serde_json::Value;
use xmltree::Element;

use super::super::ask::{balancers, children, ec2, members, rds, text};
use super::interface::{Interface, Owner};
use crate::corrections::Call;
use crate::error::Error;
use crate::message::XmlExt;

/// The name of the group that Global Accelerator makes in every VPC it has interfaces in, and leaves there (`ga.eni-sg`).
const ACCELERATOR_GROUP: &str = "GlobalAccelerator";

/// The VPC of each subnet.
type Subnets = BTreeMap<String, String>;

/// The interfaces of AWS's services that serve something now.
pub(super) async fn interfaces(call: &Call<'_>, region: &str) -> Result<Vec<Interface>, Error> {
    let subnets = subnets(call, region).await?;
    let functions = call.emulator.get("lambda", region, "/2015-03-31/functions/?MaxItems=1000").await?;
    let endpoints = ec2(call, region, "DescribeVpcEndpoints").await?;
    let gateways = ec2(call, region, "DescribeNatGateways").await?;
    let clusters = rds(call, region, "DescribeDBClusters").await?;
    let subnet_groups = rds(call, region, "DescribeDBSubnetGroups").await?;
    let balancers = balancers(call, region).await?;
    let groups = ec2(call, region, "DescribeSecurityGroups").await?;
    let balanced: Vec<String> =
        call.accelerators.endpoints().into_iter().filter(|(of, _)| of == region).map(|(_, id)| id).collect();

    let mut all = of_functions(functions.as_ref(), &subnets);
    all.extend(of_balancers(&balancers, &subnets));
    all.extend(of_accelerators(&balanced, &balancers, &groups, &subnets));
    all.extend(of_endpoints(&endpoints, &subnets));
    all.extend(of_gateways(&gateways, &subnets));
    all.extend(of_databases(&clusters, &subnet_groups, &subnets));
    Ok(all)
}

/// The interfaces that somebody made himself.
pub(super) async fn made_by_hand(call: &Call<'_>) -> Result<Vec<Interface>, Error> {
    let document = ec2(call, call.region(), "DescribeNetworkInterfaces").await?;
    Ok(children(&document, "networkInterfaceSet")
        .map(|item| Interface {
            id: text(item, "networkInterfaceId"),
            owner: Owner::Account,
            description: text(item, "description"),
            subnet: text(item, "subnetId"),
            vpc: text(item, "vpcId"),
            groups: children(item, "groupSet").map(|group| text(group, "groupId")).collect(),
            roles: Vec::new(),
        })
        .collect())
}

/// Makes the group of Global Accelerator in the VPCs of its endpoints.
pub(super) async fn make_accelerator_groups(call: &Call<'_>) -> Result<(), Error> {
    for (region, endpoint) in call.accelerators.endpoints() {
        let (subnets, balancers) = (subnets(call, &region).await?, balancers(call, &region).await?);
        let places = balancers.iter().filter(|balancer| text(balancer, "LoadBalancerArn") == endpoint);
        let vpc = places.flat_map(places_of).find_map(|subnet| subnets.get(&subnet).cloned());
        let Some(vpc) = vpc else { continue };
        if accelerator_group(&ec2(call, &region, "DescribeSecurityGroups").await?, &vpc).is_none() {
            let parameters = [
                ("Action", "CreateSecurityGroup"),
                ("Version", "2016-11-15"),
                ("GroupName", ACCELERATOR_GROUP),
                ("GroupDescription", "GlobalAccelerator configured SecurityGroup"),
                ("VpcId", &vpc),
            ];
            call.emulator.query("ec2", &region, &parameters).await?;
        }
    }
    Ok(())
}

async fn subnets(call: &Call<'_>, region: &str) -> Result<Subnets, Error> {
    let document = ec2(call, region, "DescribeSubnets").await?;
    Ok(children(&document, "subnetSet").map(|subnet| (text(subnet, "subnetId"), text(subnet, "vpcId"))).collect())
}

fn of_functions(functions: Option<&Value>, subnets: &Subnets) -> Vec<Interface> {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut all: BTreeMap<String, Interface> = BTreeMap::new();
    for function in functions.and_then(|answer| answer["Functions"].as_array()).into_iter().flatten() {
        let (name, role) = (function["FunctionName"].as_str(), function["Role"].as_str());
        let role = role.and_then(|arn| arn.rsplit('/').next()).unwrap_or_default().to_owned();
        let groups = texts(&function["VpcConfig"]["SecurityGroupIds"]);
        for (subnet, vpc) in places(&texts(&function["VpcConfig"]["SubnetIds"]), subnets) {
            let new = Interface::new(Owner::Function, name.unwrap_or_default(), subnet, vpc, &groups);
            all.entry(new.id.clone()).or_insert(new).roles.push(role.clone());
        }
    }
    all.into_values().collect()
}

fn of_balancers(balancers: &[Element], subnets: &Subnets) -> Vec<Interface> {
    let of = |balancer: &Element| {
        let groups = own_texts(balancer, "SecurityGroups");
        let arn = text(balancer, "LoadBalancerArn");
        let name = arn.split_once(":loadbalancer/").map_or("", |(_, name)| name).to_owned();
        let new = |(subnet, vpc)| Interface::new(Owner::LoadBalancer, &name, subnet, vpc, &groups);
        places(&places_of(balancer), subnets).map(new).collect::<Vec<_>>()
    };
    balancers.iter().flat_map(of).collect()
}

fn of_accelerators(endpoints: &[String], balancers: &[Element], groups: &Element, subnets: &Subnets) -> Vec<Interface> {
    let balanced = balancers.iter().filter(|balancer| endpoints.contains(&text(balancer, "LoadBalancerArn")));
    let of = |balancer: &Element| {
        let arn = text(balancer, "LoadBalancerArn");
        let new = |(subnet, vpc): (&str, &str)| {
            let group: Vec<String> = accelerator_group(groups, vpc).into_iter().collect();
            Interface::new(Owner::Accelerator, &arn, subnet, vpc, &group)
        };
        places(&places_of(balancer), subnets).map(new).collect::<Vec<_>>()
    };
    balanced.flat_map(of).collect()
}

fn of_endpoints(document: &Element, subnets: &Subnets) -> Vec<Interface> {
    let of = |endpoint: &Element| {
        let places_of = own_texts(endpoint, "subnetIdSet");
        let groups: Vec<String> = children(endpoint, "groupSet").map(|group| text(group, "groupId")).collect();
        let id = text(endpoint, "vpcEndpointId");
        let new = |(subnet, vpc)| Interface::new(Owner::Endpoint, &id, subnet, vpc, &groups);
        places(&places_of, subnets).map(new).collect::<Vec<_>>()
    };
    children(document, "vpcEndpointSet")
        .filter(|one| text(one, "vpcEndpointType") == "Interface")
        .flat_map(of)
        .collect()
}

fn of_gateways(document: &Element, subnets: &Subnets) -> Vec<Interface> {
    let of = |gateway: &Element| {
        let subnet = text(gateway, "subnetId");
        let new = |(subnet, vpc)| Interface::new(Owner::NatGateway, &text(gateway, "natGatewayId"), subnet, vpc, &[]);
        places(&[subnet], subnets).map(new).collect::<Vec<_>>()
    };
    children(document, "natGatewaySet").filter(|one| text(one, "state") != "deleted").flat_map(of).collect()
}

/// A cluster is where its instances are: each stands in one of its subnets.
fn of_databases(clusters: &Element, subnet_groups: &Element, subnets: &Subnets) -> Vec<Interface> {
    let subnet_groups = members(subnet_groups, "DBSubnetGroups");
    let of = |cluster: &Element| {
        let name = text(cluster, "DBSubnetGroup");
        let group = subnet_groups.iter().find(|group| text(group, "DBSubnetGroupName") == name);
        let of_group: Vec<String> = group
            .map(|group| children(group, "Subnets").map(|subnet| text(subnet, "SubnetIdentifier")).collect())
            .unwrap_or_default();
        let groups: Vec<String> =
            children(cluster, "VpcSecurityGroups").map(|group| text(group, "VpcSecurityGroupId")).collect();
        let instances = children(cluster, "DBClusterMembers").map(|member| text(member, "DBInstanceIdentifier"));
        let new = |(instance, subnet): (String, &String)| {
            let vpc = subnets.get(subnet)?;
            Some(Interface::new(Owner::Database, &instance, subnet, vpc, &groups))
        };
        instances.zip(of_group.iter().cycle()).filter_map(new).collect::<Vec<_>>()
    };
    members(clusters, "DBClusters").iter().flat_map(of).collect()
}

/// The group of Global Accelerator in a VPC.
fn accelerator_group(groups: &Element, vpc: &str) -> Option<String> {
    let mut groups = children(groups, "securityGroupInfo");
    let group = groups.find(|group| text(group, "groupName") == ACCELERATOR_GROUP && text(group, "vpcId") == vpc)?;
    group.text_of("groupId")
}

/// The subnets of a load balancer.
fn places_of(balancer: &Element) -> Vec<String> {
    children(balancer, "AvailabilityZones").map(|zone| text(zone, "SubnetId")).collect()
}

/// Those of the subnets that exist, with their VPCs.
fn places<'a>(ids: &[String], subnets: &'a Subnets) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    let found: Vec<_> = ids.iter().filter_map(|id| subnets.get_key_value(id)).collect();
    found.into_iter().map(|(subnet, vpc)| (subnet.as_str(), vpc.as_str()))
}

/// The texts of a list.
fn own_texts(element: &Element, list: &str) -> Vec<String> {
    children(element, list).filter_map(Element::get_text).map(|text| text.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn subnets() -> Subnets {
        [("subnet-1", "vpc-1"), ("subnet-2", "vpc-1")].map(|(subnet, vpc)| (subnet.to_owned(), vpc.to_owned())).into()
    }

    fn parsed(source: &str) -> Element {
        Element::parse(source.as_bytes()).unwrap()
    }

    #[test]
    fn functions_in_a_vpc_have_one_interface_per_subnet_with_the_roles_of_all() {
        let function = |name: &str| {
            let network = json!({ "SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"] });
            json!({ "FunctionName": name, "Role": format!("arn:aws:iam::1:role/{name}"), "VpcConfig": network })
        };
        let outside = json!({ "FunctionName": "outside", "Role": "arn:aws:iam::1:role/outside" });
        let answer = json!({ "Functions": [function("pay"), function("health"), outside] });
        let found = of_functions(Some(&answer), &subnets());
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|interface| interface.roles == ["pay", "health"]));
    }

    #[test]
    fn a_load_balancer_behind_an_accelerator_has_two_interfaces_per_subnet() {
        let balancer = parsed(
            "<member><LoadBalancerArn>arn:aws:elasticloadbalancing:us-east-1:1:loadbalancer/app/a/1</LoadBalancerArn>\
             <AvailabilityZones><member><SubnetId>subnet-1</SubnetId></member></AvailabilityZones>\
             <SecurityGroups><member>sg-1</member></SecurityGroups></member>",
        );
        let groups = parsed(
            "<R><securityGroupInfo><item><groupId>sg-9</groupId><groupName>GlobalAccelerator</groupName>\
             <vpcId>vpc-1</vpcId></item></securityGroupInfo></R>",
        );
        let endpoints = [text(&balancer, "LoadBalancerArn")];
        let own = of_balancers(std::slice::from_ref(&balancer), &subnets());
        assert_eq!((own[0].description.as_str(), own[0].groups.as_slice()), ("ELB app/a/1", &["sg-1".to_owned()][..]));
        let accelerated = of_accelerators(&endpoints, &[balancer], &groups, &subnets());
        assert_eq!(accelerated[0].groups, ["sg-9"]);
        assert!(accelerated[0].is_public());
    }

    #[test]
    fn the_instances_of_a_cluster_stand_in_its_subnets_in_turn() {
        let clusters = parsed(
            "<R><Result><DBClusters><DBCluster><DBSubnetGroup>g</DBSubnetGroup><DBClusterMembers>\
             <DBClusterMember><DBInstanceIdentifier>a</DBInstanceIdentifier></DBClusterMember>\
             <DBClusterMember><DBInstanceIdentifier>b</DBInstanceIdentifier></DBClusterMember></DBClusterMembers>\
             </DBCluster></DBClusters></Result></R>",
        );
        let groups = parsed(
            "<R><Result><DBSubnetGroups><DBSubnetGroup><DBSubnetGroupName>g</DBSubnetGroupName><Subnets>\
             <Subnet><SubnetIdentifier>subnet-1</SubnetIdentifier></Subnet>\
             <Subnet><SubnetIdentifier>subnet-2</SubnetIdentifier></Subnet></Subnets></DBSubnetGroup></DBSubnetGroups>\
             </Result></R>",
        );
        let found = of_databases(&clusters, &groups, &subnets());
        assert_eq!(found.iter().map(|one| one.subnet.as_str()).collect::<Vec<_>>(), ["subnet-1", "subnet-2"]);
    }

    #[test]
    fn a_deleted_gateway_and_a_gateway_endpoint_have_no_interface() {
        let gateways = parsed(
            "<R><natGatewaySet><item><natGatewayId>nat-1</natGatewayId><subnetId>subnet-1</subnetId><state>deleted</state>\
             </item></natGatewaySet></R>",
        );
        assert_eq!(of_gateways(&gateways, &subnets()), []);
        let endpoints = parsed(
            "<R><vpcEndpointSet><item><vpcEndpointId>vpce-1</vpcEndpointId><vpcEndpointType>Gateway</vpcEndpointType>\
             <subnetIdSet/></item></vpcEndpointSet></R>",
        );
        assert_eq!(of_endpoints(&endpoints, &subnets()), []);
    }
}
