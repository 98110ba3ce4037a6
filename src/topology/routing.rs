//! How callers find a region: names, health checks, load balancers and the accelerator.
//!
//! `api.` is a pair of failover aliases: Route 53 answers with the primary region while its health check passes. `pay.` leads to the
//! accelerator, which cannot end at API Gateway (`ga.endpoint-types`) and so ends at an internal load balancer per region with
//! the same functions behind it. Only IPv4 addresses are published: neither the regional domains nor the accelerator have others.
//!
//! All that leads callers away from a region is made beforehand and moves by health alone: while a region is lost nothing that is run
//! from it, as Route 53's changes are from us-east-1, has to be called (`dr.static`, `x.control-planes`). Route 53's checks and answers
//! go on without that region (`dr.r53.dataplane`), and the accelerator has a group in both regions from the start (`dr.ga.control`).
//!
//! The stack is built in two parts, because the API's domains need issued certificates: [`zone`] before them, [`build`] after them.
//! There are no delete edges: every object that AWS wants gone first refers to the one that goes after it. Endpoint groups refer to
//! load balancers and internet gateways, records to health checks and zones, rules to target groups, targets to permissions.
//!
//! Callers meet aliases only, which resolvers keep no longer than their targets' own records (`r53.record.alias-ttl`). A load balancer
//! has one listener, and a rule and a target group for each function with a route, of which a plan has twenty at most (`alb.limits`).
//! How long callers go on to a region that failed, by DNS (`dr.r53.formula`) and by the accelerator (`dr.ga.alb`), is what the plan
//! files say of it, and follows from the health checks here. The load balancers' checks also keep the functions of the region that
//! stands by from being put to sleep (`lambda.inactive`).
//!
//! Invariants:
//! 1. Without a custom domain there is no zone, no record, no load balancer and no accelerator.
//! 2. There is one validation record, whatever the number of certificates (`acm.records.same`).
//! 3. The priority of a rule depends on its own route alone, so that adding a function moves no other rule.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::address::Scope;
use crate::plan::{ClientAffinity, Method, Route, Side};
use crate::reference::{CertificateArn, Handle, HostedZoneId, Ref, SecurityGroupId, StageName, Text};
use crate::resources::Kind;
use crate::resources::acm_certificate::Certificate;
use crate::resources::apigateway_domain_name::DomainName;
use crate::resources::ec2_internet_gateway::InternetGateway;
use crate::resources::ec2_subnet::Subnet;
use crate::resources::ec2_vpc::Vpc;
use crate::resources::elb_listener::{FixedResponse, Listener, ListenerSpec};
use crate::resources::elb_listener_rule::{ListenerRule, ListenerRuleSpec};
use crate::resources::elb_load_balancer::{LoadBalancer, LoadBalancerSpec};
use crate::resources::elb_target::{Target, TargetSpec};
use crate::resources::elb_target_group::{TargetGroup, TargetGroupSpec, TargetHealthCheck};
use crate::resources::globalaccelerator_accelerator::{Accelerator, AcceleratorSpec};
use crate::resources::globalaccelerator_endpoint_group::{
    Endpoint, EndpointGroup, EndpointGroupSpec, EndpointHealthCheck,
};
use crate::resources::globalaccelerator_listener::{AcceleratorListener, AcceleratorListenerSpec};
use crate::resources::lambda_permission::{Permission, PermissionSpec};
use crate::resources::route53_health_check::{HealthCheck, HealthCheckSpec};
use crate::resources::route53_record::{Failover, Record, RecordSpec, RecordTarget};
use crate::resources::route53_zone::{Zone, ZoneSpec};
use crate::text;

use super::compute::{self, Functions, Served};
use super::{Builder, Sides};

const HTTPS: u16 = 443;
/// Where each region says whether it can process payments.
const HEALTH_PATH: &str = "/health";
/// Seconds that resolvers keep the records that are no aliases: a zone that is made anew has other name servers.
const TTL: u32 = 300;
/// How many priorities there are for routes of the same rank; the ranks together stay below the limit of 50000.
const SLOTS: u32 = 4000;

/// The zone of the deployment, with the record that its certificates wait for.
#[derive(Clone, Debug)]
pub(super) struct Dns {
    /// The hosted zone.
    pub(super) zone: Ref<HostedZoneId>,
    /// The validation record of the certificates of both regions.
    pub(super) validation: Handle<Record>,
}

/// What a region's routing needs of other stacks.
#[derive(Clone, Debug)]
pub(super) struct Needs {
    /// The functions, by their names in the plan.
    pub(super) functions: Functions,
    /// The host of the regional API.
    pub(super) host: Text,
    /// Its stage.
    pub(super) stage: Ref<StageName>,
    /// The custom domain of the API and the issued certificate; none without a custom domain.
    pub(super) domain: Option<(Handle<DomainName>, Ref<CertificateArn>)>,
    /// The VPC.
    pub(super) vpc: Handle<Vpc>,
    /// Its internet gateway.
    pub(super) internet_gateway: Handle<InternetGateway>,
    /// The subnets of the load balancer.
    pub(super) subnets: Vec<Handle<Subnet>>,
    /// The group of the load balancer; none without load balancers.
    pub(super) load_balancer_group: Option<Ref<SecurityGroupId>>,
}

/// What the monitoring stack needs of the routing.
#[derive(Clone, Debug)]
pub(super) struct Routing {
    /// The health check of each region.
    pub(super) health_checks: Sides<Handle<HealthCheck>>,
    /// The load balancer of each region, with its target groups by function.
    pub(super) load_balancers: Option<Sides<Balancing>>,
    /// The accelerator and its listener.
    pub(super) accelerator: Option<(Handle<Accelerator>, Handle<AcceleratorListener>)>,
}

/// A load balancer and what is behind it.
#[derive(Clone, Debug)]
pub(super) struct Balancing {
    /// The load balancer.
    pub(super) load_balancer: Handle<LoadBalancer>,
    /// The target groups, by the function's name in the plan.
    pub(super) target_groups: BTreeMap<String, Handle<TargetGroup>>,
}

/// Adds the zone, its delegation and the validation record; nothing without certificates.
pub(super) fn zone(builder: &mut Builder<'_>, certificates: Option<&Sides<Handle<Certificate>>>) -> Option<Dns> {
    let certificate = &certificates?.primary;
    let routing = &builder.plan().routing;
    let zone = match &routing.hosted_zone {
        Some(id) => Ref::Known(id.as_str().into()),
        None => own_zone(builder),
    };
    let target = RecordTarget::Values { ttl: TTL, values: vec![Text::from(certificate.record_value())] };
    let validation = record(builder, "certificate", &zone, Text::from(certificate.record_name()), "CNAME", target);
    Some(Dns { zone, validation })
}

fn own_zone(builder: &mut Builder<'_>) -> Ref<HostedZoneId> {
    let name = builder.names().zone();
    let zone = builder.add::<Zone>(Scope::global(), "main", ZoneSpec { name: name.clone() });
    let named = builder.plan().routing.parent_zone.as_ref().map(|id| id.as_str());
    if let Some(parent) = named.or(builder.inputs().parent_zone) {
        let parent = Ref::Known(parent.into());
        let target = RecordTarget::NameServers { ttl: TTL, name_servers: zone.name_servers() };
        record(builder, "delegation", &parent, name.into(), "NS", target);
    }
    builder.output("name_servers", zone.name_servers());
    zone.id()
}

/// Adds everything that leads callers to the regions.
pub(super) fn build(builder: &mut Builder<'_>, dns: Option<&Dns>, needs: &Sides<Needs>) -> Routing {
    let health_checks = Sides::build(|side| health_check(builder, side, needs.side(side)));
    if let Some(dns) = dns {
        for side in Side::BOTH {
            failover(builder, side, dns, needs.side(side), health_checks.side(side));
        }
        builder.output("route53_failover_domain", builder.names().api_domain());
    }
    let balanced = dns.is_some() && builder.plan().routing.load_balancers.enabled;
    let load_balancers = balanced.then(|| Sides::build(|side| balance(builder, side, needs.side(side))));
    let accelerator = match (dns, &load_balancers) {
        (Some(dns), Some(balancing)) if builder.plan().routing.accelerator.enabled => {
            Some(accelerate(builder, dns, needs, balancing))
        }
        _ => None,
    };
    Routing { health_checks, load_balancers, accelerator }
}

fn health_check(builder: &mut Builder<'_>, side: Side, needs: &Needs) -> Handle<HealthCheck> {
    let wanted = &builder.plan().routing.health_check;
    // The regional host, not the shared name: that one answers from whichever region is healthy (`r53.record.apigw-health`).
    let spec = HealthCheckSpec {
        host: needs.host.clone(),
        port: HTTPS,
        path: text!["/", needs.stage, HEALTH_PATH],
        interval_seconds: wanted.interval_seconds,
        failure_threshold: wanted.failure_threshold,
        sni: true,
        regions: BTreeSet::new(),
        disabled: false,
    };
    builder.add(Scope::global(), builder.region(side), spec)
}

fn failover(builder: &mut Builder<'_>, side: Side, dns: &Dns, needs: &Needs, check: &Handle<HealthCheck>) {
    let Some((domain, _)) = &needs.domain else { return };
    let spec = RecordSpec {
        zone: dns.zone.clone(),
        name: builder.names().api_domain().into(),
        r#type: "A".to_owned(),
        target: RecordTarget::Alias {
            name: domain.regional_domain_name(),
            zone: domain.regional_zone_id(),
            evaluate_health: true,
        },
        set_identifier: Some(builder.region(side).to_owned()),
        failover: Some(match side {
            Side::Primary => Failover::Primary,
            Side::Secondary => Failover::Secondary,
        }),
        health_check: Some(check.id()),
    };
    builder.add::<Record>(Scope::global(), &format!("api-{}", builder.region(side)), spec);
}

fn balance(builder: &mut Builder<'_>, side: Side, needs: &Needs) -> Balancing {
    let (scope, region) = (builder.scope(side), builder.region(side));
    let attributes = [
        ("deletion_protection.enabled", "false"),
        // Longer than any function behind it may take (`tg.limits`, 29 s).
        ("idle_timeout.timeout_seconds", "35"),
        ("routing.http.drop_invalid_header_fields.enabled", "true"),
    ];
    let load_balancer = builder.add::<LoadBalancer>(
        scope.clone(),
        "api",
        LoadBalancerSpec {
            name: builder.names().elb("alb", region),
            subnets: needs.subnets.iter().map(|subnet| subnet.id()).collect(),
            security_groups: needs.load_balancer_group.iter().cloned().collect(),
            attributes: attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        },
    );
    let (_, certificate) = needs.domain.clone().expect("there is a zone only with a custom domain");
    let listener = builder.add::<Listener>(
        scope,
        "https",
        ListenerSpec {
            load_balancer: load_balancer.arn(),
            port: HTTPS,
            certificate,
            ssl_policy: builder.plan().routing.load_balancers.tls_policy.to_string(),
            default_response: FixedResponse {
                status: 404,
                content_type: "application/json".to_owned(),
                body: r#"{"error":"not found"}"#.to_owned(),
            },
        },
    );
    let routes: Vec<&Route> = builder.plan().functions.iter().filter_map(|function| function.route.as_ref()).collect();
    let priorities = priorities(&routes);
    let mut target_groups = BTreeMap::new();
    for function in &builder.plan().functions {
        if let Some(route) = &function.route {
            let name = function.name.as_str();
            let target_group =
                route_to(builder, side, name, route, priorities[route], &listener, &needs.functions[name]);
            target_groups.insert(name.to_owned(), target_group);
        }
    }
    Balancing { load_balancer, target_groups }
}

/// Adds the way from a listener to a function.
fn route_to(
    builder: &mut Builder<'_>,
    side: Side,
    name: &str,
    route: &Route,
    priority: u32,
    listener: &Handle<Listener>,
    function: &Served,
) -> Handle<TargetGroup> {
    let scope = builder.scope(side);
    let live = format!("{name}:{}", compute::LIVE);
    let group = TargetGroupSpec {
        name: builder.names().elb(&format!("{name}-{}", compute::LIVE), builder.region(side)),
        health_check: target_health(route, builder.plan().routing.load_balancers.health_interval_seconds),
    };
    let group = builder.add::<TargetGroup>(scope.clone(), &live, group);
    let permission = PermissionSpec {
        function: function.function.name(),
        alias: Some(function.alias.name()),
        statement_id: format!("load-balancer-{}", compute::LIVE),
        principal: "elasticloadbalancing.amazonaws.com".to_owned(),
        source_arn: Text::from(group.arn()),
    };
    let permission = builder.add::<Permission>(scope.clone(), &format!("{live}-load-balancer"), permission);
    let target = TargetSpec {
        target_group: group.arn(),
        function: function.alias.arn(),
        permission: Text::from(permission.statement()),
    };
    let target = builder.add::<Target>(scope.clone(), &live, target);
    let rule = ListenerRuleSpec {
        listener: listener.arn(),
        priority,
        methods: BTreeSet::from([route.method().as_str().to_owned()]),
        paths: BTreeSet::from([pattern(route)]),
        target_group: group.arn(),
        target: Some(Text::from(target.function())),
    };
    let rule = builder.add::<ListenerRule>(scope, name, rule);
    // A target group takes one function, and never without an interruption another one. So the alias has a group of its own, and what
    // called the function by its name alone, before there were aliases, goes when the rule has moved.
    builder.supersede(&rule, Target::TRAITS.name, name);
    builder.supersede(&rule, Permission::TRAITS.name, &format!("{name}-load-balancer"));
    group
}

/// How a load balancer sees that a function is well: it can only send `GET`. One that answers `GET` has to answer well;
/// of any other, every answer but a server error proves that it runs.
fn target_health(route: &Route, interval_seconds: u32) -> TargetHealthCheck {
    let answers = route.method() == Method::Get && !route.path().contains('{');
    TargetHealthCheck {
        path: route.path().replace(['{', '}'], ""),
        codes: if answers { "200" } else { "200-499" }.to_owned(),
        interval_seconds,
        // It has to be less than the interval (`tg.lambda.interval`).
        timeout_seconds: (interval_seconds - 1).min(10),
        healthy_threshold: 2,
        unhealthy_threshold: 2,
    }
}

/// The path of a route as a load balancer matches it: `/payment/{id}` is `/payment/*`.
fn pattern(route: &Route) -> String {
    let part = |part: &str| if part.starts_with('{') { "*".to_owned() } else { part.to_owned() };
    route.path().split('/').map(part).collect::<Vec<_>>().join("/")
}

/// The priorities of the rules: paths without parameters first, then longer ones, because `*` matches slashes too. Within a rank
/// the digest of the route decides (invariant 3), and the next free number where two meet.
fn priorities<'a>(routes: &[&'a Route]) -> BTreeMap<&'a Route, u32> {
    let sorted: BTreeSet<&Route> = routes.iter().copied().collect();
    let mut taken = BTreeSet::new();
    let mut priorities = BTreeMap::new();
    for route in sorted {
        let segments = u32::try_from(route.path().split('/').skip(1).count().min(10)).expect("ten fits");
        let rank = if route.path().contains('{') { 11 - segments } else { 0 };
        let digest = Sha256::digest(route.to_string().as_bytes());
        let mut slot = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) % SLOTS;
        while !taken.insert((rank, slot)) {
            slot = (slot + 1) % SLOTS;
        }
        priorities.insert(route, 1 + rank * SLOTS + slot);
    }
    priorities
}

fn accelerate(
    builder: &mut Builder<'_>,
    dns: &Dns,
    needs: &Sides<Needs>,
    balancing: &Sides<Balancing>,
) -> (Handle<Accelerator>, Handle<AcceleratorListener>) {
    let wanted = &builder.plan().routing.accelerator;
    let spec = AcceleratorSpec { name: builder.names().shared(), enabled: true };
    let accelerator = builder.add::<Accelerator>(Scope::global(), "pay", spec);
    let listener = AcceleratorListenerSpec {
        accelerator: accelerator.arn(),
        ports: BTreeSet::from([HTTPS]),
        source_affinity: wanted.client_affinity == ClientAffinity::SourceIp,
    };
    let listener = builder.add::<AcceleratorListener>(Scope::global(), "https", listener);
    for side in Side::BOTH {
        let region = builder.region(side);
        let spec = EndpointGroupSpec {
            accelerator: accelerator.arn(),
            listener: listener.arn(),
            region: region.to_owned(),
            vpc: needs.side(side).vpc.id(),
            internet_gateway: needs.side(side).internet_gateway.id(),
            endpoints: vec![Endpoint { load_balancer: balancing.side(side).load_balancer.arn(), weight: 128 }],
            traffic_percent: match side {
                Side::Primary => wanted.primary_traffic_percent,
                Side::Secondary => wanted.secondary_traffic_percent,
            },
            health_check: EndpointHealthCheck {
                protocol: "HTTPS".to_owned(),
                port: HTTPS,
                path: HEALTH_PATH.to_owned(),
                interval_seconds: 10,
                threshold: 2,
            },
        };
        builder.add::<EndpointGroup>(Scope::global(), region, spec);
    }
    let target = RecordTarget::Alias { name: accelerator.dns_name(), zone: accelerator.zone(), evaluate_health: true };
    let name = Text::from(builder.names().pay_domain());
    record(builder, "pay", &dns.zone, name, "A", target);
    builder.output("global_accelerator_dns", accelerator.dns_name());
    (accelerator, listener)
}

/// Adds a record that is alone under its name and type.
fn record(
    builder: &mut Builder<'_>,
    address: &str,
    zone: &Ref<HostedZoneId>,
    name: Text,
    kind: &str,
    target: RecordTarget,
) -> Handle<Record> {
    let spec = RecordSpec {
        zone: zone.clone(),
        name,
        r#type: kind.to_owned(),
        target,
        set_identifier: None,
        failover: None,
        health_check: None,
    };
    builder.add(Scope::global(), address, spec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::plan::{BUILTIN, Plan, load, schema};
    use crate::topology::{Inputs, Stack, Topology};

    fn routing(change: impl FnOnce(&mut Plan)) -> Topology {
        let mut plan = Plan::default();
        change(&mut plan);
        let suffix = "dev".parse().unwrap();
        let code = BTreeMap::new();
        let mut builder = Builder::new(Inputs::plain(&plan, &suffix, &code));
        builder.stack = Stack::Routing;
        fn handle<K: Kind>(scope: Scope, name: &str) -> Handle<K> {
            Handle::new(Address::new(scope, K::TRAITS.name, name))
        }
        let served = plan.api.custom_domain.enabled;
        let regions = Sides::build(|side| builder.scope(side));
        let certificates = served.then(|| Sides::build(|side| handle(regions.side(side).clone(), "api")));
        let dns = zone(&mut builder, certificates.as_ref());
        let needs = Sides::build(|side| {
            let scope = regions.side(side);
            let functions = plan.functions.iter().map(|function| function.name.to_string());
            Needs {
                functions: functions
                    .map(|name| {
                        let served =
                            Served { function: handle(scope.clone(), &name), alias: handle(scope.clone(), &name) };
                        (name, served)
                    })
                    .collect(),
                host: format!("abc.execute-api.{}.amazonaws.com", scope.as_str()).into(),
                stage: Ref::Known("prod".into()),
                domain: served.then(|| (handle(scope.clone(), "api"), Ref::Known("arn:certificate".into()))),
                vpc: handle(scope.clone(), "vpc"),
                internet_gateway: handle(scope.clone(), "main"),
                subnets: vec![handle(scope.clone(), "private-a"), handle(scope.clone(), "private-b")],
                load_balancer_group: Some(Ref::Known("sg-1".into())),
            }
        });
        build(&mut builder, dns.as_ref(), &needs);
        builder.topology
    }

    fn count(topology: &Topology, kind: &str) -> usize {
        topology.resources.keys().filter(|address| address.kind().starts_with(kind)).count()
    }

    fn outputs(topology: &Topology) -> Vec<&str> {
        topology.outputs.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn the_default_plan_has_everything_twice_that_is_regional() {
        let topology = routing(|_| {});
        for (kind, expected) in [
            ("route53_zone", 1),
            ("route53_health_check", 2),
            // Certificate, two sides of `api.`, `pay.`.
            ("route53_record", 4),
            ("elb_load_balancer", 2),
            ("elb_listener", 2 + 4),
            ("elb_target", 4 + 4),
            ("lambda_permission", 4),
            ("globalaccelerator_accelerator", 1),
            ("globalaccelerator_listener", 1),
            ("globalaccelerator_endpoint_group", 2),
        ] {
            assert_eq!(count(&topology, kind), expected, "{kind}");
        }
        assert_eq!(outputs(&topology), ["name_servers", "route53_failover_domain", "global_accelerator_dns"]);
    }

    #[test]
    fn switching_the_accelerator_off_removes_it_and_its_name_alone() {
        let (with, without) = (routing(|_| {}), routing(|plan| plan.routing.accelerator.enabled = false));
        let gone: Vec<String> = with
            .resources
            .keys()
            .filter(|address| !without.resources.contains_key(*address))
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            gone,
            [
                "global/globalaccelerator_accelerator/pay",
                "global/globalaccelerator_endpoint_group/us-east-1",
                "global/globalaccelerator_endpoint_group/us-east-2",
                "global/globalaccelerator_listener/https",
                "global/route53_record/pay",
            ]
        );
        assert_eq!(outputs(&without), ["name_servers", "route53_failover_domain"]);
    }

    #[test]
    fn without_load_balancers_there_is_nothing_an_accelerator_could_lead_to() {
        let topology = routing(|plan| plan.routing.load_balancers.enabled = false);
        assert_eq!((count(&topology, "elb_"), count(&topology, "globalaccelerator_")), (0, 0));
        assert_eq!((count(&topology, "lambda_permission"), count(&topology, "route53_record")), (0, 3));
    }

    /// Invariant 1.
    #[test]
    fn without_a_custom_domain_only_the_health_checks_are_left() {
        let topology = routing(|plan| plan.api.custom_domain.enabled = false);
        assert_eq!((topology.resources.len(), count(&topology, "route53_health_check")), (2, 2));
        assert!(topology.outputs.is_empty());
    }

    #[test]
    fn an_existing_zone_is_written_into_and_not_made() {
        let topology = routing(|plan| plan.routing.hosted_zone = Some("Z0123".parse().unwrap()));
        assert_eq!(count(&topology, "route53_zone"), 0);
        let records = topology.resources.values().filter(|resource| resource.address.kind() == "route53_record");
        assert!(records.map(|record| &record.spec["zone"]).all(|zone| zone == "Z0123"));
        assert!(!outputs(&topology).contains(&"name_servers"));
    }

    #[test]
    fn a_named_parent_zone_gets_the_name_servers_and_they_go_before_the_zone() {
        let topology = routing(|plan| plan.routing.parent_zone = Some("ZPARENT".parse().unwrap()));
        let delegation = &topology.resources[&"global/route53_record/delegation".parse().unwrap()];
        assert_eq!((&delegation.spec["zone"], &delegation.spec["type"]), (&"ZPARENT".into(), &"NS".into()));
        assert!(delegation.references.contains(&"global/route53_zone/main".parse().unwrap()));
    }

    /// What AWS wants gone first refers to what goes after it.
    #[test]
    fn deletion_follows_the_references() {
        let topology = routing(|_| {});
        let refers =
            |from: &str, to: &str| topology.resources[&from.parse().unwrap()].references.contains(&to.parse().unwrap());
        let group = "global/globalaccelerator_endpoint_group/us-east-1";
        for after in [
            "us-east-1/elb_load_balancer/api",
            "us-east-1/ec2_internet_gateway/main",
            "us-east-1/ec2_vpc/vpc",
            "global/globalaccelerator_listener/https",
        ] {
            assert!(refers(group, after), "{after}");
        }
        assert!(refers("global/route53_record/api-us-east-2", "global/route53_health_check/us-east-2"));
        // A rule that forwards to a group without its function would answer with an error.
        for first in ["elb_target_group", "elb_target"] {
            let first = format!("us-east-1/{first}/health_check:live");
            assert!(refers("us-east-1/elb_listener_rule/health_check", &first), "{first}");
        }
        assert!(refers(
            "us-east-1/elb_target/payment_processor:live",
            "us-east-1/lambda_permission/payment_processor:live-load-balancer"
        ));
        let accelerator: Address = "global/globalaccelerator_accelerator/pay".parse().unwrap();
        assert_eq!(topology.resources[&group.parse().unwrap()].lock_group, Some(accelerator));
    }

    /// `lambda.perm.serialize`; the API's stack has the other permission of the function.
    #[test]
    fn the_permissions_of_a_function_change_one_after_another() {
        let topology = routing(|_| {});
        let permission = "us-east-1/lambda_permission/payment_processor:live-load-balancer".parse().unwrap();
        let function = "us-east-1/lambda_function/payment_processor".parse().unwrap();
        assert_eq!(topology.resources[&permission].lock_group, Some(function));
    }

    /// What called functions by their names alone, in deployments of earlier versions, is needed until the rule has moved.
    #[test]
    fn what_the_alias_takes_the_place_of_goes_after_the_rule() {
        let topology = routing(|_| {});
        let rule = &topology.resources[&"us-east-1/elb_listener_rule/health_check".parse().unwrap()];
        let superseded: Vec<String> = rule.supersedes.iter().map(ToString::to_string).collect();
        let expected = ["us-east-1/elb_target/health_check", "us-east-1/lambda_permission/health_check-load-balancer"];
        assert_eq!(superseded, expected);
        assert!(rule.supersedes.iter().all(|old| !topology.resources.contains_key(old)));
    }

    /// Invariant 3.
    #[test]
    fn a_new_route_moves_no_other_and_paths_without_parameters_win() {
        let routes: Vec<Route> = ["POST /payment", "GET /payment/{id}", "GET /payment/health", "GET /payment/{id}/log"]
            .map(|route| route.parse().unwrap())
            .into();
        let all = priorities(&routes.iter().collect::<Vec<_>>());
        for route in &routes {
            assert_eq!(priorities(&[route])[route], all[route], "{route}");
            assert!((1..=50_000).contains(&all[route]), "{route}");
        }
        assert!(all[&routes[2]] < all[&routes[1]], "the path without a parameter is tried first");
        assert!(all[&routes[3]] < all[&routes[1]], "`*` matches slashes: the longer path is tried first");
        assert_eq!(pattern(&routes[3]), "/payment/*/log");
    }

    #[test]
    fn a_function_that_takes_no_get_is_well_when_it_answers_at_all() {
        let health = |route: &str| target_health(&route.parse().unwrap(), 35);
        assert_eq!(health("GET /health").codes, "200");
        assert_eq!(health("POST /payment").codes, "200-499");
        assert_eq!(health("GET /payment/{id}").path, "/payment/id");
    }

    /// `tg.lambda.interval`: AWS wants the timeout below the interval, whatever the plan says.
    #[test]
    fn a_check_ends_before_the_next_one_begins() {
        for (interval, timeout) in [(5, 4), (10, 9), (11, 10), (35, 10), (300, 10)] {
            let health = target_health(&"GET /health".parse().unwrap(), interval);
            assert_eq!((health.interval_seconds, health.timeout_seconds), (interval, timeout));
        }
    }

    /// `dr.r53.formula`, `dr.ga.alb`: what detects a region that is silent, and then Route 53's servers and a minute of
    /// resolvers, or half a minute of the accelerator.
    #[test]
    fn the_plan_files_say_how_long_callers_go_on_to_a_region_that_failed() {
        let minimal = include_str!("../../plans/minimal.toml");
        let (cheap, described) = (load("plans/minimal.toml", minimal).unwrap(), schema().to_string());
        let (whole, cheap) = (routing(|_| {}), routing(|plan| *plan = cheap));
        let field = |check: &serde_json::Value, name: &str| check[name].as_u64().unwrap();
        let by_dns = |topology: &Topology| {
            let check = &topology.resources[&"global/route53_health_check/us-east-1".parse().unwrap()].spec;
            // The next request comes an interval after the last one was given up, for which a checker takes 4 seconds.
            let detected = (field(check, "interval_seconds") + 4) * field(check, "failure_threshold");
            (detected + 5 + 60, detected + 10 + 60)
        };
        assert_eq!((by_dns(&whole), by_dns(&cheap)), ((93, 98), (133, 138)));
        let by_accelerator = |topology: &Topology| {
            let group = &topology.resources[&"us-east-1/elb_target_group/health_check:live".parse().unwrap()].spec;
            let check = &group["health_check"];
            let detected = field(check, "interval_seconds") * field(check, "unhealthy_threshold");
            (detected + 30, detected + field(check, "timeout_seconds") + 30)
        };
        assert_eq!(by_accelerator(&whole), (100, 110));
        let quick = routing(|plan| plan.routing.load_balancers.health_interval_seconds = 5);
        assert_eq!(by_accelerator(&quick), (40, 44));
        for (text, words) in [
            (minimal, "takes 133 to 138 seconds instead of 93 to 98"),
            (BUILTIN, "after 93 to 98 seconds"),
            (BUILTIN, "after about 105 seconds"),
            (BUILTIN, "it takes\n# about 45"),
            (described.as_str(), "after about 105 seconds"),
            (described.as_str(), "93 to 98 seconds"),
            (include_str!("../../README.md"), "93 to 98 seconds by DNS, about 105 by the accelerator"),
        ] {
            assert!(text.contains(words), "{words}");
        }
    }

    /// `lambda.inactive`: the functions of the region that stands by are called by the checks of their target groups.
    #[test]
    fn with_load_balancers_every_function_of_both_regions_is_called() {
        let topology = routing(|_| {});
        for region in ["us-east-1", "us-east-2"] {
            for function in Plan::default().functions.iter().map(|function| &function.name) {
                let spec =
                    |kind: &str| &topology.resources[&format!("{region}/{kind}/{function}:live").parse().unwrap()].spec;
                let group = format!("{region}/elb_target_group/{function}:live#arn");
                assert_eq!(spec("elb_target")["target_group"]["$ref"], group);
                let check = &spec("elb_target_group")["health_check"];
                assert!(check["interval_seconds"].as_u64().is_some_and(|seconds| seconds <= 300), "{check}");
            }
        }
    }

    /// A custom domain of each region answers under the one name that fails over.
    #[test]
    fn each_side_of_the_pair_leads_to_its_own_region_and_is_checked_there() {
        let topology = routing(|_| {});
        let spec = |address: &str| &topology.resources[&address.parse().unwrap()].spec;
        for region in ["us-east-1", "us-east-2"] {
            let record = spec(&format!("global/route53_record/api-{region}"));
            let alias = &record["target"]["alias"];
            let domain = format!("{region}/apigateway_domain_name/api");
            assert_eq!(alias["name"]["$ref"], format!("{domain}#regional_domain_name"));
            assert_eq!(alias["zone"]["$ref"], format!("{domain}#regional_zone_id"));
            assert_eq!(record["name"], "api.dr-payments-dev.example.com");
            assert_eq!(record["health_check"]["$ref"], format!("global/route53_health_check/{region}#id"));

            // Not the name that fails over: it answers from whichever region is healthy.
            let check = spec(&format!("global/route53_health_check/{region}"));
            assert_eq!(check["host"], format!("abc.execute-api.{region}.amazonaws.com"));
            assert_eq!(check["path"], "/prod/health");
            assert_eq!((&check["sni"], &check["port"]), (&true.into(), &443.into()));
        }
    }

    #[test]
    fn the_name_of_the_accelerator_is_an_alias_in_the_zone_of_accelerators() {
        let topology = routing(|_| {});
        let alias = &topology.resources[&"global/route53_record/pay".parse().unwrap()].spec["target"]["alias"];
        assert_eq!(alias["zone"]["$ref"], "global/globalaccelerator_accelerator/pay#zone");
        assert_eq!(alias["name"]["$ref"], "global/globalaccelerator_accelerator/pay#dns_name");
    }
}
