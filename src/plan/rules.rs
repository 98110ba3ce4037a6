//! What the values of a plan must be to each other. Each rule looks at a whole plan and names the fields it looked at.
//!
//! The limits are those of AWS; where a name is limited, the rule reckons with the longest suffix, so that no plan that
//! loads is refused for its suffix later (`acm.create`, `alb.create`, `lambda.create.call`, `lambda.limits`,
//! `rds.subnetgroup.create`, `rule.limits`, `sqs.dlq`, `bk.plan.create`, `iam.limits`).

use std::collections::BTreeMap;

use super::network::{Cidr, derive_subnets};
use super::{FunctionName, Plan, RegionNetwork, Side, Suffix, regions, tags};

/// Bytes of all environment variables of a function that Lambda takes, less what drctl's own need.
const ENVIRONMENT_BYTES: usize = 4096 - 512;

/// What the function of payments writes into an item.
const ATTRIBUTES: [&str; 8] =
    ["transactionId", "customerId", "amount", "currency", "processedAt", "region", "receiptStatus", "eventStatus"];

/// Parameters of a path that a rule of a load balancer can stand for.
const ROUTE_PARAMETERS: usize = 5;

/// A rule that a plan breaks.
#[derive(Debug)]
pub(super) struct Violation {
    /// The fields that the rule looked at, the one to change first.
    pub(super) paths: Vec<String>,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// All rules that a plan breaks.
pub(super) fn check(plan: &Plan) -> Vec<Violation> {
    let mut rules = Rules { plan, broken: Vec::new() };
    rules.top_level();
    rules.network();
    rules.database();
    rules.storage();
    rules.functions();
    rules.routing();
    rules.events();
    rules.backup();
    rules.monitoring();
    rules.broken
}

struct Rules<'p> {
    plan: &'p Plan,
    broken: Vec<Violation>,
}

impl Rules<'_> {
    /// Reports the rule unless it holds.
    fn rule<const N: usize>(&mut self, holds: bool, paths: [&str; N], message: impl Into<String>, help: &str) {
        if !holds {
            let help = (!help.is_empty()).then(|| help.to_owned());
            self.broken.push(Violation { paths: paths.map(str::to_owned).to_vec(), message: message.into(), help });
        }
    }

    fn top_level(&mut self) {
        let regions = &self.plan.regions;
        self.rule(
            regions.primary != regions.secondary,
            ["regions.secondary", "regions.primary"],
            format!("both regions are {}", regions.primary),
            "choose two, or nothing is left when one fails",
        );
        self.broken.extend(regions::check(regions));
        self.broken.extend(tags::check(&self.plan.tags));

        let api = format!("api.dr-payments-{}.{}", "x".repeat(Suffix::MAX_LEN), self.plan.domain);
        let message = format!(
            "the name api.dr-payments-{{suffix}}.{} can get {} characters long, and a certificate takes 64",
            self.plan.domain,
            api.len()
        );
        self.rule(
            api.len() <= 64 || !self.plan.api.custom_domain.enabled,
            ["domain", "api.custom_domain.enabled"],
            message,
            &format!(
                "take a domain of at most {} characters",
                (64 + self.plan.domain.as_str().len()).saturating_sub(api.len())
            ),
        );
    }

    fn network(&mut self) {
        for side in Side::BOTH {
            self.region_network(side, self.plan.network.side(side));
        }
        let (primary, secondary) = (self.plan.network.primary.cidr, self.plan.network.secondary.cidr);
        self.rule(
            !primary.overlaps(secondary),
            ["network.secondary.cidr", "network.primary.cidr"],
            format!("the ranges of the two VPCs overlap: {primary} and {secondary}"),
            "choose ranges that have no address in common",
        );
    }

    fn region_network(&mut self, side: Side, network: &RegionNetwork) {
        let field = |name: &str| format!("network.{}.{name}", side.as_str());
        let (cidr, zones) = (field("cidr"), field("zones"));
        for (n, zone) in network.zones.iter().enumerate() {
            let message = format!("zone {:?} is named twice", zone.as_str());
            self.rule(!network.zones[..n].contains(zone), [&format!("{zones}[{n}]")], message, "");
        }
        let (aurora, balancers) = (self.plan.database.aurora.enabled, self.plan.routing.load_balancers.enabled);
        let what = match (aurora, balancers) {
            (true, true) => "Aurora and a load balancer need two",
            (true, false) => "Aurora needs two",
            _ => "a load balancer needs two",
        };
        self.rule(
            network.zones.len() >= 2 || !(aurora || balancers),
            [&zones, "database.aurora.enabled", "routing.load_balancers.enabled"],
            format!("one zone is too few: {what}"),
            "",
        );

        let mut subnets: Vec<(String, Cidr)> = Vec::new();
        let derived = derive_subnets(network.cidr, network.zones.len()).is_some();
        let none = !derived && network.public_subnets.is_empty() && network.private_subnets.is_empty();
        self.rule(
            !none,
            [&cidr],
            format!("{} is too small to be divided into subnets by itself", network.cidr),
            "take /20 or larger, or state public_subnets and private_subnets",
        );
        for (name, ranges) in
            [("public_subnets", &network.public_subnets), ("private_subnets", &network.private_subnets)]
        {
            let list = field(name);
            let message = format!("{} ranges for {} zones", ranges.len(), network.zones.len());
            self.rule(
                none || ranges.len() == network.zones.len(),
                [&list, &zones],
                message,
                "state one range per zone",
            );
            subnets.extend(ranges.iter().enumerate().map(|(n, range)| (format!("{list}[{n}]"), *range)));
        }
        for (n, (path, range)) in subnets.iter().enumerate() {
            let message = format!("{range} is not within {}, the range of the VPC", network.cidr);
            self.rule(network.cidr.contains(*range), [path, &cidr], message, "");
            for (other_path, other) in &subnets[..n] {
                let message = format!("{range} overlaps {other} ({other_path})");
                self.rule(!range.overlaps(*other), [path, other_path], message, "");
            }
            let load_balancers = self.plan.routing.load_balancers.enabled && path.contains("private_subnets");
            let message = format!("{range} is too small: a load balancer needs a subnet of /27 or larger");
            self.rule(
                !load_balancers || range.prefix_len() <= 27,
                [path, "routing.load_balancers.enabled"],
                message,
                "",
            );
        }
    }

    fn database(&mut self) {
        let ttl = self.plan.database.dynamodb.ttl_attribute.as_str();
        self.rule(
            !ATTRIBUTES.contains(&ttl),
            ["database.dynamodb.ttl_attribute"],
            format!("{ttl:?} is an attribute of a payment, and DynamoDB needs one that holds a second"),
            "take another name, such as \"expiresAt\"",
        );
        let aurora = &self.plan.database.aurora;
        self.rule(
            !aurora.backup_window.overlaps(&aurora.maintenance_window),
            ["database.aurora.maintenance_window", "database.aurora.backup_window"],
            format!(
                "the maintenance window {} overlaps the backup window {}",
                aurora.maintenance_window, aurora.backup_window
            ),
            "move one of them",
        );
    }

    fn storage(&mut self) {
        let storage = &self.plan.storage;
        self.rule(
            storage.versioning || !storage.replication.enabled,
            ["storage.versioning", "storage.replication.enabled"],
            "S3 replicates only buckets that keep versions",
            "turn versioning on or replication off",
        );
    }

    fn functions(&mut self) {
        let regions = &self.plan.regions;
        let longest = Side::BOTH.map(|side| regions.side(side).as_str()).into_iter().max_by_key(|name| name.len());
        let longest = longest.unwrap_or_default();
        let over = |name: &FunctionName| {
            format!("dr-{name}-{longest}-{}", "x".repeat(Suffix::MAX_LEN)).len().saturating_sub(64)
        };
        let mut names = BTreeMap::new();
        let mut routes = BTreeMap::new();
        for (n, function) in self.plan.functions.iter().enumerate() {
            let field = |name: &str| format!("functions[{n}].{name}");
            let (name, route, timeout) = (field("name"), field("route"), field("timeout_seconds"));
            if let Some(first) = names.insert(&function.name, n) {
                let message = format!("the name {:?} is taken by another function", function.name.as_str());
                self.rule(false, [&name, &format!("functions[{first}].name")], message, "");
            }
            let message = format!(
                "the name dr-{}-{longest}-{{suffix}} can get {} characters long, and Lambda takes 64",
                function.name,
                64 + over(&function.name)
            );
            let help = format!("shorten it by {}", over(&function.name));
            self.rule(over(&function.name) == 0, [&name, "regions.primary", "regions.secondary"], message, &help);
            if let Some(stated) = &function.route {
                if let Some(first) = routes.insert(stated, n) {
                    let message = format!("the route {:?} is taken by another function", stated.to_string());
                    self.rule(false, [&route, &format!("functions[{first}].route")], message, "");
                }
                let message = format!("{} seconds are too long for a function with a route", function.timeout_seconds);
                let help = "API Gateway waits 29 seconds at most";
                self.rule(function.timeout_seconds <= 29, [&timeout, &route], message, help);
                let parameters = stated.path().matches('{').count();
                let message = format!(
                    "{parameters} parameters, and a load balancer tells routes apart by {ROUTE_PARAMETERS} at most"
                );
                self.rule(
                    parameters <= ROUTE_PARAMETERS || !self.plan.routing.load_balancers.enabled,
                    [&route, "routing.load_balancers.enabled"],
                    message,
                    "shorten the path or turn the load balancers off",
                );
            }
            let environment = field("environment");
            let bytes: usize = function.environment.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
            let message = format!(
                "{bytes} bytes of environment variables; {ENVIRONMENT_BYTES} are left of the 4096 that Lambda takes"
            );
            self.rule(bytes <= ENVIRONMENT_BYTES, [&environment], message, "");
        }
        let health = self
            .plan
            .functions
            .iter()
            .any(|function| function.route.as_ref().is_some_and(|route| route.to_string() == "GET /health"));
        let message = "no function has the route \"GET /health\", which the health checks of both regions call";
        self.rule(health, ["functions"], message, "");
    }

    fn routing(&mut self) {
        let routing = &self.plan.routing;
        let (accelerator, balancers) = ("routing.accelerator.enabled", "routing.load_balancers.enabled");
        let domain = "api.custom_domain.enabled";
        self.rule(
            !routing.accelerator.enabled || routing.load_balancers.enabled,
            [accelerator, balancers],
            "the accelerator needs the load balancers: API Gateway cannot be its endpoint",
            "turn the load balancers on or the accelerator off",
        );
        self.rule(
            !routing.load_balancers.enabled || self.plan.api.custom_domain.enabled,
            [balancers, domain],
            "the load balancers need the certificate of the custom domain",
            "turn the custom domain on or the load balancers off",
        );
        self.rule(
            routing.hosted_zone.is_none() || routing.parent_zone.is_none(),
            ["routing.parent_zone", "routing.hosted_zone"],
            "an existing hosted zone is delegated already",
            "name hosted_zone or parent_zone, not both",
        );
        let traffic = routing.accelerator.primary_traffic_percent + routing.accelerator.secondary_traffic_percent;
        self.rule(
            !routing.accelerator.enabled || traffic > 0,
            [
                "routing.accelerator.secondary_traffic_percent",
                "routing.accelerator.primary_traffic_percent",
                accelerator,
            ],
            "the accelerator sends traffic to neither region",
            "give one of them more than 0 percent",
        );
    }

    fn events(&mut self) {
        let queue = &self.plan.events.queue;
        self.rule(
            queue.dead_letter_retention_days > queue.retention_days,
            ["events.queue.dead_letter_retention_days", "events.queue.retention_days"],
            format!(
                "{} days in the dead-letter queue are not more than the {} of the queue",
                queue.dead_letter_retention_days, queue.retention_days
            ),
            "SQS counts both from the first sending, so messages could be lost on arrival",
        );
    }

    fn backup(&mut self) {
        let backup = &self.plan.backup;
        self.rule(
            backup.schedule.is_hourly(),
            ["backup.schedule"],
            format!("AWS Backup cannot follow {:?}", backup.schedule.as_str()),
            "name one minute of the hour, as in \"cron(0 5 * * ? *)\"",
        );
        self.rule(
            backup.completion_window_minutes >= backup.start_window_minutes + 60,
            ["backup.completion_window_minutes", "backup.start_window_minutes"],
            format!(
                "{} minutes to complete leave less than an hour after the {} to start",
                backup.completion_window_minutes, backup.start_window_minutes
            ),
            &format!("set completion_window_minutes to at least {}", backup.start_window_minutes + 60),
        );
        self.rule(
            !backup.enabled || self.plan.database.aurora.enabled,
            ["backup.enabled", "database.aurora.enabled"],
            "AWS Backup has nothing to back up without Aurora",
            "turn Aurora on or the backup off",
        );
    }

    fn monitoring(&mut self) {
        let emails = &self.plan.monitoring.emails;
        for (n, email) in emails.iter().enumerate() {
            let twice = emails[..n].iter().any(|other| other.as_str().eq_ignore_ascii_case(email.as_str()));
            let path = format!("monitoring.emails[{n}]");
            self.rule(!twice, [&path], format!("{:?} is listed twice", email.as_str()), "");
        }
        let (failover, replication) = (&self.plan.monitoring.failover, &self.plan.monitoring.replication);
        for (section, seconds, periods, datapoints) in [
            ("failover", failover.period_seconds, failover.periods, failover.datapoints),
            ("replication", replication.period_seconds, replication.periods, replication.datapoints),
        ] {
            let field = |name: &str| format!("monitoring.{section}.{name}");
            let message = format!("{datapoints} of {periods} periods cannot be beyond a threshold");
            self.rule(datapoints <= periods, [&field("datapoints"), &field("periods")], message, "");
            // Alarms with periods of an hour and more look back further (`cw.alarm.period`).
            let (limit, named) = if seconds < 3600 { (86400, "day") } else { (604_800, "week") };
            let message =
                format!("{periods} periods of {seconds} seconds are more than the {named} that CloudWatch looks back");
            let within_limit = u64::from(periods) * u64::from(seconds) <= limit;
            self.rule(within_limit, [&field("periods"), &field("period_seconds")], message, "");
        }
    }
}
