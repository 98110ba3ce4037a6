//! The network of a region: a VPC over several zones, with a public and a private subnet in each.
//!
//! Everything that works for payments stands in the private subnets; the public ones hold NAT gateways only. Traffic is let
//! through where something needs it and nowhere else: each security group begins empty, and every rule is a resource that
//! says what it is for. So two groups can name each other, as those of the functions and of Aurora do, and still be made and
//! deleted (`sgr.create.cycles`, `vpc.delete.empty-sg-refs`). S3 and DynamoDB are reached by gateway endpoints, which cost nothing
//! and never leave AWS's network.
//!
//! Invariants:
//! 1. The n-th subnets of each kind lie in the n-th zone, and a private subnet's way out leads through its own zone unless the
//!    plan wants a single NAT gateway.
//! 2. No interface gets a public address by itself.
//! 3. No group lets anything in from the internet but the load balancer's, and that one only behind the accelerator.

use crate::plan::{Cidr, Nat, Side};
use crate::reference::{Handle, KeyArn, Ref, RefSet, RoleArn};
use crate::resources::ec2_default_security_group::{DefaultSecurityGroup, DefaultSecurityGroupSpec};
use crate::resources::ec2_elastic_ip::{ElasticIp, ElasticIpSpec};
use crate::resources::ec2_flow_log::{FlowLog, FlowLogSpec};
use crate::resources::ec2_internet_gateway::{InternetGateway, InternetGatewaySpec};
use crate::resources::ec2_nat_gateway::{NatGateway, NatGatewaySpec};
use crate::resources::ec2_route::{Route, RouteSpec, RouteTarget};
use crate::resources::ec2_route_table::{RouteTable, RouteTableSpec};
use crate::resources::ec2_route_table_association::{RouteTableAssociation, RouteTableAssociationSpec};
use crate::resources::ec2_security_group::{SecurityGroup, SecurityGroupSpec};
use crate::resources::ec2_security_group_rule::{Direction, Peer, SecurityGroupRule, SecurityGroupRuleSpec};
use crate::resources::ec2_subnet::{Subnet, SubnetSpec};
use crate::resources::ec2_vpc::{Vpc, VpcSpec};
use crate::resources::ec2_vpc_endpoint::{EndpointType, VpcEndpoint, VpcEndpointSpec};
use crate::resources::logs_log_group::{LogGroup, LogGroupSpec};

use super::Builder;

/// Everywhere.
const ANYWHERE: &str = "0.0.0.0/0";
const HTTPS: i32 = 443;

/// What a region's network needs of the security stack.
#[derive(Clone, Debug)]
pub(super) struct Needs {
    /// The region's key, which encrypts the flow logs.
    pub(super) key: Ref<KeyArn>,
    /// The role that flow logs are written with; without it there are none.
    pub(super) flow_logs_role: Option<Ref<RoleArn>>,
}

/// What other stacks need of a region's network.
#[derive(Clone, Debug)]
pub(super) struct Network {
    /// The VPC.
    pub(super) vpc: Handle<Vpc>,
    /// The door to the internet: the accelerator's endpoints need it attached, and gone themselves before it is detached.
    pub(super) internet_gateway: Handle<InternetGateway>,
    /// The private subnets, by zone.
    pub(super) private_subnets: Vec<Handle<Subnet>>,
    /// The group of the functions.
    pub(super) functions: Handle<SecurityGroup>,
    /// The group of the database; none without Aurora.
    pub(super) aurora: Option<Handle<SecurityGroup>>,
    /// The group of the load balancer; none without load balancers.
    pub(super) load_balancer: Option<Handle<SecurityGroup>>,
}

/// Adds the network of one side.
pub(super) fn build(builder: &mut Builder<'_>, side: Side, needs: &Needs) -> Network {
    Region { side, builder }.build(needs)
}

/// The network of one region while it is built.
struct Region<'b, 'i> {
    side: Side,
    builder: &'b mut Builder<'i>,
}

impl Region<'_, '_> {
    fn build(mut self, needs: &Needs) -> Network {
        let plan = self.builder.plan();
        let network = plan.network.side(self.side);
        let vpc =
            self.add::<Vpc>("vpc", VpcSpec { cidr: network.cidr.to_string(), dns_hostnames: true, dns_support: true });
        self.add::<DefaultSecurityGroup>("vpc", DefaultSecurityGroupSpec { vpc: vpc.id(), rules: Default::default() });
        let internet_gateway =
            self.add::<InternetGateway>("vpc", InternetGatewaySpec { vpc: vpc.id(), attached: true });
        let public_subnets = self.subnets(&vpc, "public", &network.public_subnets);
        let private_subnets = self.subnets(&vpc, "private", &network.private_subnets);
        self.public_routes(&vpc, &internet_gateway, &public_subnets);
        let tables = self.private_tables(&vpc, &private_subnets);
        self.ways_out(&internet_gateway, &public_subnets, &tables);
        let endpoints = ["s3", "dynamodb"].map(|service| self.gateway_endpoint(&vpc, service, &tables));
        if let Some(role) = &needs.flow_logs_role {
            self.flow_logs(&vpc, &needs.key, role);
        }

        let functions = self.group(&vpc, "functions", "Functions");
        match plan.network.nat {
            Nat::None => {
                for (endpoint, name) in endpoints.iter().zip(["s3", "dynamodb"]) {
                    let service = Peer::PrefixList(endpoint.prefix_list());
                    self.rule(
                        &functions,
                        Direction::Egress,
                        &format!("functions-to-{name}"),
                        HTTPS,
                        service,
                        "Calls to AWS",
                    );
                }
            }
            Nat::PerAz | Nat::Single => {
                let anywhere = Peer::Cidr(ANYWHERE.to_owned());
                self.rule(&functions, Direction::Egress, "functions-to-internet", HTTPS, anywhere, "Calls to AWS");
            }
        }
        let aurora = plan.database.aurora.enabled.then(|| self.aurora(&vpc, &functions));
        let load_balancer = plan.routing.load_balancers.enabled.then(|| self.load_balancer(&vpc, network.cidr));
        Network { vpc, internet_gateway, private_subnets, functions, aurora, load_balancer }
    }

    fn add<K: crate::resources::Kind>(&mut self, name: &str, spec: K::Spec) -> Handle<K> {
        let scope = self.builder.scope(self.side);
        self.builder.add(scope, name, spec)
    }

    /// The letters of the zones, which are in the names of everything that lies in one zone.
    fn letters(&self) -> Vec<String> {
        self.builder.plan().network.side(self.side).zones.iter().map(ToString::to_string).collect()
    }

    fn subnets(&mut self, vpc: &Handle<Vpc>, name: &str, ranges: &[Cidr]) -> Vec<Handle<Subnet>> {
        let region = self.builder.region(self.side);
        let letters = self.letters();
        let subnet = |(letter, cidr): (&String, &Cidr)| {
            let zone = format!("{region}{letter}");
            let spec = SubnetSpec { vpc: vpc.id(), cidr: cidr.to_string(), zone, public_addresses: false };
            self.add::<Subnet>(&format!("{name}-{letter}"), spec)
        };
        letters.iter().zip(ranges).map(subnet).collect()
    }

    fn public_routes(&mut self, vpc: &Handle<Vpc>, gateway: &Handle<InternetGateway>, subnets: &[Handle<Subnet>]) {
        let table = self.add::<RouteTable>("public", RouteTableSpec { vpc: vpc.id() });
        self.default_route("public", &table, RouteTarget::InternetGateway(gateway.id()));
        for (letter, subnet) in self.letters().iter().zip(subnets) {
            let spec = RouteTableAssociationSpec { table: table.id(), subnet: subnet.id() };
            self.add::<RouteTableAssociation>(&format!("public-{letter}"), spec);
        }
    }

    fn private_tables(&mut self, vpc: &Handle<Vpc>, subnets: &[Handle<Subnet>]) -> Vec<Handle<RouteTable>> {
        let letters = self.letters();
        let table = |(letter, subnet): (&String, &Handle<Subnet>)| {
            let name = format!("private-{letter}");
            let table = self.add::<RouteTable>(&name, RouteTableSpec { vpc: vpc.id() });
            let spec = RouteTableAssociationSpec { table: table.id(), subnet: subnet.id() };
            self.add::<RouteTableAssociation>(&name, spec);
            table
        };
        letters.iter().zip(subnets).map(table).collect()
    }

    /// NAT gateways as the plan wants them, and each private table's route to one.
    fn ways_out(
        &mut self,
        internet_gateway: &Handle<InternetGateway>,
        public_subnets: &[Handle<Subnet>],
        tables: &[Handle<RouteTable>],
    ) {
        let count = match self.builder.plan().network.nat {
            Nat::PerAz => public_subnets.len(),
            Nat::Single => 1,
            Nat::None => return,
        };
        let letters = self.letters();
        let nat = |(letter, subnet): (&String, &Handle<Subnet>)| {
            let name = format!("public-{letter}");
            let elastic_ip = self.add::<ElasticIp>(&name, ElasticIpSpec {});
            let spec = NatGatewaySpec {
                subnet: subnet.id(),
                elastic_ip: elastic_ip.id(),
                internet_gateway: internet_gateway.id(),
            };
            self.add::<NatGateway>(&name, spec)
        };
        let gateways: Vec<Handle<NatGateway>> = letters.iter().zip(public_subnets).take(count).map(nat).collect();
        for ((letter, table), gateway) in letters.iter().zip(tables).zip(gateways.iter().cycle()) {
            self.default_route(&format!("private-{letter}"), table, RouteTarget::NatGateway(gateway.id()));
        }
    }

    fn default_route(&mut self, name: &str, table: &Handle<RouteTable>, target: RouteTarget) {
        self.add::<Route>(name, RouteSpec { table: table.id(), destination: ANYWHERE.to_owned(), target });
    }

    fn gateway_endpoint(
        &mut self,
        vpc: &Handle<Vpc>,
        service: &str,
        tables: &[Handle<RouteTable>],
    ) -> Handle<VpcEndpoint> {
        let region = self.builder.region(self.side);
        let spec = VpcEndpointSpec {
            vpc: vpc.id(),
            service: format!("com.amazonaws.{region}.{service}"),
            r#type: EndpointType::Gateway,
            route_tables: tables.iter().map(Handle::<RouteTable>::id).collect(),
            subnets: RefSet::default(),
            security_groups: RefSet::default(),
            private_dns: false,
        };
        self.add::<VpcEndpoint>(service, spec)
    }

    fn flow_logs(&mut self, vpc: &Handle<Vpc>, key: &Ref<KeyArn>, role: &Ref<RoleArn>) {
        let plan = &self.builder.plan().network.flow_logs;
        let name = self.builder.names().flow_logs(self.builder.region(self.side));
        let log_group = self.add::<LogGroup>(
            "flow-logs",
            LogGroupSpec {
                name: name.into(),
                retention_days: Some(plan.retention_days.days()),
                key: Some(key.clone()),
            },
        );
        self.add::<FlowLog>(
            "vpc",
            FlowLogSpec {
                vpc: vpc.id(),
                log_group: log_group.arn(),
                role: role.clone(),
                aggregation_seconds: plan.aggregation_seconds,
            },
        );
    }

    fn aurora(&mut self, vpc: &Handle<Vpc>, functions: &Handle<SecurityGroup>) -> Handle<SecurityGroup> {
        let group = self.group(vpc, "aurora", "Aurora");
        let (to, from) = (Peer::Group(group.id()), Peer::Group(functions.id()));
        let port = i32::from(self.builder.plan().database.aurora.port);
        self.rule(functions, Direction::Egress, "functions-to-aurora", port, to, "Queries to Aurora");
        self.rule(&group, Direction::Ingress, "aurora-from-functions", port, from, "Queries of the functions");
        group
    }

    /// The load balancer calls its functions by the Lambda service, not over the network, so its group lets nothing out.
    fn load_balancer(&mut self, vpc: &Handle<Vpc>, range: Cidr) -> Handle<SecurityGroup> {
        let group = self.group(vpc, "load-balancer", "Load balancer");
        let (peer, description) = match self.builder.plan().routing.accelerator.enabled {
            true => (ANYWHERE.to_owned(), "Clients of the accelerator, which keeps their addresses"),
            false => (range.to_string(), "Clients in the VPC"),
        };
        self.rule(&group, Direction::Ingress, "load-balancer-https", HTTPS, Peer::Cidr(peer), description);
        group
    }

    fn group(&mut self, vpc: &Handle<Vpc>, name: &str, description: &str) -> Handle<SecurityGroup> {
        let spec = SecurityGroupSpec {
            vpc: vpc.id(),
            name: self.builder.names().regional(name, self.builder.region(self.side)),
            description: description.to_owned(),
            default_egress: false,
        };
        self.add::<SecurityGroup>(name, spec)
    }

    fn rule(
        &mut self,
        group: &Handle<SecurityGroup>,
        direction: Direction,
        name: &str,
        port: i32,
        peer: Peer,
        description: &str,
    ) {
        let spec = SecurityGroupRuleSpec {
            group: group.id(),
            direction,
            protocol: "tcp".to_owned(),
            from_port: port,
            to_port: port,
            peer,
            description: description.to_owned(),
        };
        self.add::<SecurityGroupRule>(name, spec);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::plan::Plan;
    use crate::topology::{Inputs, Resource, Stack, Topology};

    fn network(change: impl FnOnce(&mut Plan)) -> (Network, Topology) {
        let mut plan = Plan::default();
        change(&mut plan);
        let suffix = "dev".parse().unwrap();
        let code = BTreeMap::new();
        let mut builder = Builder::new(Inputs::plain(&plan, &suffix, &code));
        builder.stack = Stack::Network;
        let needs = Needs {
            key: Ref::Known("arn:key".into()),
            flow_logs_role: plan.network.flow_logs.enabled.then(|| Ref::Known("arn:aws:iam::1:role/flow".into())),
        };
        let network = build(&mut builder, Side::Primary, &needs);
        (network, builder.topology)
    }

    fn of<'a>(topology: &'a Topology, kind: &str) -> Vec<&'a Resource> {
        topology.resources.values().filter(|resource| resource.address.kind() == kind).collect()
    }

    fn spec<'a>(topology: &'a Topology, address: &str) -> &'a serde_json::Value {
        &topology.resources[&address.parse().unwrap()].spec
    }

    fn nat_of(topology: &Topology, letter: &str) -> String {
        let route = spec(topology, &format!("us-east-1/ec2_route/private-{letter}"));
        route["target"]["nat_gateway"]["$ref"].as_str().unwrap().to_owned()
    }

    /// Invariant 1.
    #[test]
    fn every_private_subnet_leaves_through_its_own_zone() {
        let (network, topology) = network(|_| {});
        assert_eq!(network.private_subnets.len(), 3);
        assert_eq!(of(&topology, "ec2_nat_gateway").len(), 3);
        for letter in ["a", "b", "c"] {
            assert_eq!(nat_of(&topology, letter), format!("us-east-1/ec2_nat_gateway/public-{letter}#id"));
            let subnet = spec(&topology, &format!("us-east-1/ec2_nat_gateway/public-{letter}"))["subnet"].clone();
            assert_eq!(subnet["$ref"], format!("us-east-1/ec2_subnet/public-{letter}#id"));
            assert_eq!(
                spec(&topology, &format!("us-east-1/ec2_subnet/private-{letter}"))["zone"],
                format!("us-east-1{letter}")
            );
        }
    }

    #[test]
    fn a_single_nat_gateway_serves_all_zones() {
        let (_, topology) = network(|plan| plan.network.nat = Nat::Single);
        assert_eq!(of(&topology, "ec2_elastic_ip").len(), 1);
        for letter in ["a", "b", "c"] {
            assert_eq!(nat_of(&topology, letter), "us-east-1/ec2_nat_gateway/public-a#id");
        }
    }

    /// Functions that cannot reach the internet may still reach what the endpoints lead to, and nothing else.
    #[test]
    fn without_nat_functions_reach_the_endpoints_only() {
        let (network, topology) = network(|plan| plan.network.nat = Nat::None);
        assert!(of(&topology, "ec2_nat_gateway").is_empty() && of(&topology, "ec2_elastic_ip").is_empty());
        let group = serde_json::to_value(network.functions.id()).unwrap();
        let out: Vec<String> = of(&topology, "ec2_security_group_rule")
            .into_iter()
            .filter(|rule| rule.spec["group"] == group && rule.spec["direction"] == "egress")
            .map(|rule| rule.spec["peer"].as_object().unwrap().keys().next().unwrap().clone())
            .collect();
        assert_eq!(out, ["group", "prefix_list", "prefix_list"]);
    }

    /// `nat.create.igw-first`, `igw.detach.mapped-addresses`: created after the attachment, deleted before the detachment.
    #[test]
    fn nat_gateways_live_only_while_the_internet_gateway_is_attached() {
        let (network, topology) = network(|_| {});
        for nat in of(&topology, "ec2_nat_gateway") {
            assert!(nat.references.contains(network.internet_gateway.address()), "{}", nat.address);
        }
    }

    /// `sgr.serialize`
    #[test]
    fn rules_of_one_group_are_made_one_after_the_other() {
        let (_, topology) = network(|_| {});
        let rules = of(&topology, "ec2_security_group_rule");
        assert!(!rules.is_empty());
        for rule in rules {
            let (group, _) = rule.spec["group"]["$ref"].as_str().unwrap().split_once('#').unwrap();
            assert_eq!(rule.lock_group.as_ref().map(ToString::to_string).as_deref(), Some(group), "{}", rule.address);
        }
    }

    /// The database listens on the port of the plan, and the functions may reach that one.
    #[test]
    fn the_functions_reach_the_database_at_its_port() {
        let (_, topology) = network(|plan| plan.database.aurora.port = 5433);
        for rule in ["functions-to-aurora", "aurora-from-functions"] {
            let spec = spec(&topology, &format!("us-east-1/ec2_security_group_rule/{rule}"));
            assert_eq!((&spec["from_port"], &spec["to_port"]), (&5433.into(), &5433.into()), "{rule}");
        }
    }

    /// Invariant 3.
    #[test]
    fn only_the_load_balancer_behind_the_accelerator_is_open() {
        let open = |topology: &Topology| {
            of(topology, "ec2_security_group_rule")
                .into_iter()
                .filter(|rule| rule.spec["direction"] == "ingress" && rule.spec["peer"]["cidr"] == ANYWHERE)
                .map(|rule| rule.address.name().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(open(&network(|_| {}).1), ["load-balancer-https"]);
        assert!(open(&network(|plan| plan.routing.accelerator.enabled = false).1).is_empty());
    }

    /// What the plan switches off leaves nothing behind.
    #[test]
    fn parts_that_are_switched_off_are_absent() {
        let (network, topology) = network(|plan| {
            plan.network.flow_logs.enabled = false;
            plan.database.aurora.enabled = false;
            plan.routing.load_balancers.enabled = false;
            plan.routing.accelerator.enabled = false;
        });
        assert!(network.aurora.is_none() && network.load_balancer.is_none());
        assert!(of(&topology, "ec2_flow_log").is_empty() && of(&topology, "logs_log_group").is_empty());
        assert_eq!(of(&topology, "ec2_security_group_rule").len(), 1);
    }
}
