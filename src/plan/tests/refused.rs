//! Plan files that must be refused: for each rule, what is said and about which place.

use super::refused;

/// Syntax, keys, types, ranges and choices.
const SHAPE: &[(&str, &str)] = &[
    ("domain = ", "1:10: string values must be quoted, expected literal string"),
    ("[network|nat = 'single'", "1:9: unclosed table, expected `]`"),
    (
        "domain = 'a.b' x|[regions]|primry = 'us-east-1'",
        r#"1:16: unexpected key or value, expected newline, `#`|3:1: regions.primry: unknown key "primry"; did you mean "primary"?"#,
    ),
    ("tags = {}|tags = {}", "2:1: duplicate key"),
    ("[netwrok]|nat = 'single'", r#"1:2: netwrok: unknown key "netwrok"; did you mean "network"?"#),
    (
        "[network.primary]|cdir = '10.0.0.0/24'",
        r#"2:1: network.primary.cdir: unknown key "cdir"; did you mean "cidr"?"#,
    ),
    (
        "[events.queue]|retention = 3",
        r#"2:1: events.queue.retention: unknown key "retention"; did you mean "retention_days"?"#,
    ),
    (
        "colour = 1",
        r#"1:1: colour: unknown key "colour"; known here: domain, protect, tags, regions, security, network, database, storage, functions, api, routing, events, backup, monitoring"#,
    ),
    ("network = 3", "1:11: network: expected a table, found the number 3"),
    ("[network.flow_logs]|enabled = 'yes'", "2:11: network.flow_logs.enabled: expected true or false, found a text"),
    (
        "[security]|key_rotation_days = 400.5",
        "2:21: security.key_rotation_days: expected a whole number from 90 to 2560, found the number 400.5",
    ),
    (
        "domain = 2026-01-01",
        r#"1:10: domain: expected a text in quotes, such as "example.com", found the date or time 2026-01-01"#,
    ),
    (
        "[functions]|name = 'a'",
        "1:1: functions: expected a list of 1 to 20, found a table; write [[functions]] for each entry",
    ),
    ("functions = []", "1:13: functions: a list of 0 entries is out of range; expected a list of 1 to 20"),
    (
        "[network]|nat = 'per-zone'",
        r#"2:7: network.nat: unknown value "per-zone"; one of "per-az", "single", "none"; did you mean "per-az"?"#,
    ),
    (
        "[network.flow_logs]|retention_days = 31",
        "2:18: network.flow_logs.retention_days: unknown value 31; one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653",
    ),
    (
        "[routing.health_check]|interval_seconds = 20",
        "2:20: routing.health_check.interval_seconds: unknown value 20; one of 10, 30",
    ),
    (
        "[routing.health_check]|failure_threshold = 11",
        "2:21: routing.health_check.failure_threshold: 11 is out of range; expected a whole number from 1 to 10",
    ),
    (
        "[api.throttling]|rate_per_second = 1|burst = 9",
        "2:19: api.throttling.rate_per_second: 1 is out of range; expected a whole number from 10 to 10000|3:9: api.throttling.burst: 9 is out of range; expected a whole number from 10 to 5000",
    ),
    (
        "[security]|key_deletion_days = 3",
        "2:21: security.key_deletion_days: 3 is out of range; expected a whole number from 7 to 30",
    ),
    (
        "[monitoring.failover]|api_5xx_percent = -1",
        "2:19: monitoring.failover.api_5xx_percent: -1 is out of range; expected a number from 0.01 to 100",
    ),
    (
        "[monitoring.failover]|aurora_cpu_percent = nan",
        "2:22: monitoring.failover.aurora_cpu_percent: NaN is out of range; expected a number from 1 to 100",
    ),
    (
        "[monitoring.failover]|period_seconds = 90",
        "2:18: monitoring.failover.period_seconds: 90 is out of range; expected a whole number from 60 to 86400, a multiple of 60",
    ),
    (
        "[monitoring.failover]|function_errors = 5000000000",
        "2:19: monitoring.failover.function_errors: 5000000000 is out of range; expected a whole number from 1 to 4294967295",
    ),
    (
        "[database.aurora]|instances = 16",
        "2:13: database.aurora.instances: 16 is out of range; expected a whole number from 1 to 15",
    ),
    ("[[functions]]|name = 'a'|route = 'GET /health'", r#"1:1: functions[0]: "source" is missing"#),
];

/// Values that have a grammar.
const GRAMMAR: &[(&str, &str)] = &[
    (
        "domain = 'example'",
        r#"1:10: domain: "example" is not a domain name; it needs at least two labels, such as "example.com""#,
    ),
    ("domain = 'Example.com'", r#"1:10: domain: "Example.com" has capital letters; API Gateway takes lower case only"#),
    ("domain = 'example.com.'", r#"1:10: domain: "example.com." ends with a dot; write it without"#),
    (
        "domain = '-a.example.com'",
        r#"1:10: domain: "-a.example.com" is not a domain name; a label has 1 to 63 letters, digits and inner hyphens, not "-a""#,
    ),
    (
        "[regions]|primary = 'us-east-1a'",
        r#"2:11: regions.primary: "us-east-1a" is not a region; regions look like "us-east-1""#,
    ),
    (
        "[regions]|secondary = 'us-gov-west-1'",
        r#"2:13: regions.secondary: "us-gov-west-1" is a region of AWS GovCloud (US); drctl deploys to the commercial regions of AWS only"#,
    ),
    (
        "[regions]|secondary = 'cn-north-1'|unlisted = ['eusc-de-east-1']",
        r#"2:13: regions.secondary: "cn-north-1" is a region of AWS in China; drctl deploys to the commercial regions of AWS only|3:13: regions.unlisted[0]: "eusc-de-east-1" is a region of the AWS European Sovereign Cloud; drctl deploys to the commercial regions of AWS only"#,
    ),
    (
        "[network.primary]|zones = ['a', 'us-east-1b']",
        r#"2:15: network.primary.zones[1]: "us-east-1b" is not a zone; write its letter alone, such as "a": the region comes from [regions]"#,
    ),
    (
        "[network.primary]|cidr = '10.0.0.0/99'",
        r#"2:8: network.primary.cidr: "10.0.0.0/99" is not a range of addresses; write "10.0.0.0/16""#,
    ),
    (
        "[network.primary]|cidr = '10.0.1.0/16'",
        r#"2:8: network.primary.cidr: "10.0.1.0/16" does not begin on its boundary; "10.0.0.0/16" does"#,
    ),
    (
        "[network.primary]|cidr = '10.0.0.0/8'",
        "2:8: network.primary.cidr: /8 is out of range; VPCs and subnets have /16 to /28",
    ),
    (
        "[monitoring]|emails = ['oncall']",
        r#"2:11: monitoring.emails[0]: "oncall" is not an e-mail address; it has no @"#,
    ),
    (
        "[monitoring]|emails = ['a..b@example.com']",
        r#"2:11: monitoring.emails[0]: "a..b@example.com" is not an e-mail address; "a..b" cannot stand before the @"#,
    ),
    (
        "[monitoring]|emails = ['a@example']",
        r#"2:11: monitoring.emails[0]: "a@example" is not an e-mail address; "example" is not a domain"#,
    ),
    (
        "[routing]|hosted_zone = '/hostedzone/Z1'",
        r#"2:15: routing.hosted_zone: "/hostedzone/Z1" is not the id of a hosted zone; it starts with Z, as `aws route53 list-hosted-zones` prints it after /hostedzone/"#,
    ),
    (
        "[database.aurora]|instance_class = 'large'",
        r#"2:18: database.aurora.instance_class: "large" is not an instance class; they look like "db.r6g.large""#,
    ),
    (
        "[database.aurora]|instance_class = 'db.t4g.medium'",
        r#"2:18: database.aurora.instance_class: "db.t4g.medium" is burstable, and Aurora Global Database refuses burstable classes; the smallest is "db.r6g.large""#,
    ),
    (
        "[database.aurora]|instance_class = 'db.m5.large'",
        r#"2:18: database.aurora.instance_class: "db.m5.large" is not memory optimised; Aurora Global Database takes db.r5 and later (r6g, r6i, r7g, r7i, r8g, x2g)"#,
    ),
    (
        "[database.aurora]|instance_class = 'db.r6g.huge'",
        r#"2:18: database.aurora.instance_class: "huge" in "db.r6g.huge" is not a size; sizes are "large", "xlarge", "2xlarge" and so on"#,
    ),
    (
        "[database.aurora]|engine_version = 'fourteen'",
        r#"2:18: database.aurora.engine_version: "fourteen" is not a PostgreSQL version; write the major one, "14", or an exact one, "14.15""#,
    ),
    (
        "[database.aurora]|database_name = '1st'",
        r#"2:17: database.aurora.database_name: "1st" is not a database name; letters, digits and underscores, beginning with a letter, at most 63"#,
    ),
    (
        "[database.aurora]|database_name = 'postgres'",
        r#"2:17: database.aurora.database_name: "postgres" is reserved by Aurora PostgreSQL; choose another name"#,
    ),
    (
        "[database.aurora]|database_name = 'Payments'",
        r#"2:17: database.aurora.database_name: "Payments" has capital letters, which RDS makes small; write "payments""#,
    ),
    (
        "[database.aurora]|master_username = 'Admin'",
        r#"2:19: database.aurora.master_username: "Admin" is reserved by Aurora PostgreSQL; choose another name"#,
    ),
    (
        "[database.aurora]|master_username = 'rds_operator'",
        r#"2:19: database.aurora.master_username: "rds_operator" is reserved by Aurora PostgreSQL; choose another name"#,
    ),
    (
        "[database.aurora]|database_name = 'Order'",
        r#"2:17: database.aurora.database_name: "Order" is reserved by Aurora PostgreSQL; choose another name"#,
    ),
    (
        "[database.aurora]|database_name = 'current_user'",
        r#"2:17: database.aurora.database_name: "current_user" is reserved by Aurora PostgreSQL; choose another name"#,
    ),
    (
        "[database.aurora]|backup_window = '9-10'",
        r#"2:17: database.aurora.backup_window: "9-10" is not a daily window; write hh:mm-hh:mm in UTC, such as "07:00-09:00""#,
    ),
    (
        "[database.aurora]|maintenance_window = 'sun:09:30-sun:09:45'",
        r#"2:22: database.aurora.maintenance_window: "sun:09:30-sun:09:45" is shorter than the 30 minutes that Aurora needs"#,
    ),
    (
        "[database.dynamodb]|ttl_attribute = 'expires at'",
        r#"2:17: database.dynamodb.ttl_attribute: "expires at" is not an attribute name; 1 to 255 letters, digits, _ - and ."#,
    ),
    (
        "[backup]|schedule = 'every day'",
        r#"2:12: backup.schedule: "every day" is not a schedule; write a cron expression, such as "cron(0 5 * * ? *)""#,
    ),
    ("[api]|stage = 'pro d'", r#"2:9: api.stage: "pro d" is not a stage name; letters, digits, _ and -"#),
    (
        "[routing.load_balancers]|tls_policy = 'ELBSecurityPolicy-2016-08'",
        r#"2:14: routing.load_balancers.tls_policy: "ELBSecurityPolicy-2016-08" allows TLS before 1.2; take "ELBSecurityPolicy-TLS13-1-2-2021-06""#,
    ),
    (
        "[routing.load_balancers]|tls_policy = 'TLS12'",
        r#"2:14: routing.load_balancers.tls_policy: "TLS12" is not a TLS policy of load balancers; they look like "ELBSecurityPolicy-TLS13-1-2-2021-06""#,
    ),
    ("[tags]|'aws:x' = '1'", r#"2:1: tags."aws:x": "aws:x" begins with "aws:"; these keys belong to AWS"#),
    (
        "[tags]|'Drctl:x' = '1'",
        r#"2:1: tags."Drctl:x": "Drctl:x" begins with "drctl:"; these keys belong to drctl, which finds its resources by them"#,
    ),
    (
        "[tags]|'a?' = '1'",
        r#"2:1: tags."a?": "a?" is not a tag key; 1 to 127 letters (a to z), digits, spaces and _ . : / = + - @"#,
    ),
    (
        "[tags]|a = '?'",
        r#"2:5: tags.a: "?" is not a tag value; 1 to 256 letters (a to z), digits, spaces and _ . : / = + - @"#,
    ),
    ("[tags]|a = 'rds:x'", r#"2:5: tags.a: "rds:x" begins with "rds:"; RDS refuses such values"#),
    ("[tags]|a = 'x '", r#"2:5: tags.a: "x " begins or ends with a space; not every service keeps it"#),
    (
        "protect = ['s3_bucket']",
        r#"1:12: protect[0]: "s3_bucket" is not a pattern of addresses; write scope/kind/name, with * for any text, such as "*/s3_bucket/*""#,
    ),
    (
        "protect = ['*/s3 bucket/*']",
        r#"1:12: protect[0]: "*/s3 bucket/*" is not a pattern of addresses; letters, digits, * and -_.@+=: only"#,
    ),
    (
        "[[functions]]|name = 'Health'|source = 's'|route = 'GET /health'",
        r#"2:8: functions[0].name: "Health" is not a function name; lower-case letters, digits, _ and -, beginning with a letter"#,
    ),
    (
        "[[functions]]|name = 'health'|source = ''|route = 'GET /health'",
        "3:10: functions[0].source: the folder of a function's sources must be named",
    ),
    (
        r#"[[functions]]|name = 'health'|source = 'a\b'|route = 'GET /health'"#,
        r#"3:10: functions[0].source: "a\\b" has a backslash; write / between folders on every system"#,
    ),
    (
        "[[functions]]|name = 'health'|source = 's'|route = 'GET /health'|handler = 'handler'",
        r#"5:11: functions[0].handler: "handler" is not a handler; write module.function, such as "index.handler""#,
    ),
    (
        "[[functions]]|name = 'health'|source = 's'|route = 'GET health'",
        r#"4:9: functions[0].route: "GET health" is not a route; write method and path, such as "POST /payment""#,
    ),
    (
        "[[functions]]|name = 'health'|source = 's'|route = 'FETCH /health'",
        r#"4:9: functions[0].route: "FETCH" is not a method the API offers; one of GET, POST, PUT, PATCH, DELETE"#,
    ),
    (
        "[[functions]]|name = 'health'|source = 's'|route = 'GET /he alth'",
        r#"4:9: functions[0].route: "/he alth" is not a path of the API; segments of letters, digits, - _ and ., such as "/payment""#,
    ),
    (
        "[[functions]]|name = 'health'|source = 's'|route = 'GET /health'|environment = { X = '1' }",
        r#"5:17: functions[0].environment.X: "X" is not a variable name; Lambda takes two or more letters, digits and underscores, beginning with a letter"#,
    ),
    (
        "[[functions]]|name = 'health'|source = 's'|route = 'GET /health'|environment = { AWS_REGION = '1' }",
        r#"5:17: functions[0].environment.AWS_REGION: "AWS_REGION" belongs to Lambda; choose another name"#,
    ),
    (
        "[[functions]]|name = 'health'|source = 's'|route = 'GET /health'|environment = { TABLE_NAME = '1' }",
        r#"5:17: functions[0].environment.TABLE_NAME: "TABLE_NAME" is set by drctl; choose another name"#,
    ),
];

/// Values that do not go together.
const RULES: &[(&str, &str)] = &[
    (
        "[regions]|primary = 'us-esat-1'",
        r#"2:11: regions.primary: "us-esat-1" is no region that this version of drctl knows; did you mean "us-east-1"? if AWS opened it since, add unlisted = ["us-esat-1"] to [regions]"#,
    ),
    (
        "[database.dynamodb]|ttl_attribute = 'amount'",
        r#"2:17: database.dynamodb.ttl_attribute: "amount" is an attribute of a payment, and DynamoDB needs one that holds a second; take another name, such as "expiresAt""#,
    ),
    (
        "[regions]|primary = 'us-east-2'",
        "2:11: regions.primary: both regions are us-east-2; choose two, or nothing is left when one fails",
    ),
    (
        "domain = 'payments-of-a-large-bank.example.com'|[regions]|primary = 'us-east-1'",
        "1:10: domain: the name api.dr-payments-{suffix}.payments-of-a-large-bank.example.com can get 69 characters long, and a certificate takes 64; take a domain of at most 31 characters",
    ),
    ("[network.primary]|zones = ['a', 'b', 'a']", r#"2:20: network.primary.zones[2]: zone "a" is named twice"#),
    (
        "[network.primary]|zones = ['a']",
        "2:9: network.primary.zones: one zone is too few: Aurora and a load balancer need two",
    ),
    (
        "[network.primary]|cidr = '10.0.0.0/21'",
        "2:8: network.primary.cidr: 10.0.0.0/21 is too small to be divided into subnets by itself; take /20 or larger, or state public_subnets and private_subnets",
    ),
    (
        "[network.primary]|private_subnets = ['10.0.0.0/20', '10.0.16.0/20']",
        "2:19: network.primary.private_subnets: 2 ranges for 3 zones; state one range per zone",
    ),
    (
        "[network.primary]|zones = ['a', 'b']|private_subnets = ['10.0.0.0/20', '10.2.16.0/20']",
        "3:35: network.primary.private_subnets[1]: 10.2.16.0/20 is not within 10.0.0.0/16, the range of the VPC",
    ),
    (
        "[network.primary]|zones = ['a', 'b']|private_subnets = ['10.0.0.0/20', '10.0.8.0/21']",
        "3:35: network.primary.private_subnets[1]: 10.0.8.0/21 overlaps 10.0.0.0/20 (network.primary.private_subnets[0])",
    ),
    (
        "[network.primary]|zones = ['a', 'b']|private_subnets = ['10.0.0.0/28', '10.0.1.0/27']",
        "3:20: network.primary.private_subnets[0]: 10.0.0.0/28 is too small: a load balancer needs a subnet of /27 or larger",
    ),
    (
        "[network.primary]|cidr = '10.1.0.0/16'",
        "2:8: network.primary.cidr: the ranges of the two VPCs overlap: 10.1.0.0/16 and 10.1.0.0/16; choose ranges that have no address in common",
    ),
    (
        "[database.aurora]|maintenance_window = 'mon:08:30-mon:09:30'",
        "2:22: database.aurora.maintenance_window: the maintenance window mon:08:30-mon:09:30 overlaps the backup window 07:00-09:00; move one of them",
    ),
    (
        "[storage]|versioning = false",
        "2:14: storage.versioning: S3 replicates only buckets that keep versions; turn versioning on or replication off",
    ),
    (
        "[[functions]]|name = 'health'|source = 's'|route = 'GET /health'|[[functions]]|name = 'health'|source = 's'",
        r#"6:8: functions[1].name: the name "health" is taken by another function"#,
    ),
    (
        "[[functions]]|name = 'health'|source = 's'|route = 'GET /health'|[[functions]]|name = 'a_function_whose_name_is_much_too_long'|source = 's'",
        "6:8: functions[1].name: the name dr-a_function_whose_name_is_much_too_long-us-east-2-{suffix} can get 68 characters long, and Lambda takes 64; shorten it by 4",
    ),
    (
        "[[functions]]|name = 'health'|source = 's'|route = 'GET /health'|[[functions]]|name = 'health2'|source = 's'|route = 'GET /health'",
        r#"8:9: functions[1].route: the route "GET /health" is taken by another function"#,
    ),
    (
        "[[functions]]|name = 'health'|source = 's'|route = 'GET /health'|timeout_seconds = 30",
        "5:19: functions[0].timeout_seconds: 30 seconds are too long for a function with a route; API Gateway waits 29 seconds at most",
    ),
    (
        "[[functions]]|name = 'health'|source = 's'|route = 'GET /health'|[[functions]]|name = 'a'|source = 's'|route = 'GET /a/{b}/{c}/{d}/{e}/{f}/{g}'",
        "8:9: functions[1].route: 6 parameters, and a load balancer tells routes apart by 5 at most; shorten the path or turn the load balancers off",
    ),
    (
        "[[functions]]|name = 'a'|source = 's'",
        r#"1:1: functions: no function has the route "GET /health", which the health checks of both regions call"#,
    ),
    (
        "[routing.load_balancers]|enabled = false",
        "2:11: routing.load_balancers.enabled: the accelerator needs the load balancers: API Gateway cannot be its endpoint; turn the load balancers on or the accelerator off",
    ),
    (
        "[api.custom_domain]|enabled = false",
        "2:11: api.custom_domain.enabled: the load balancers need the certificate of the custom domain; turn the custom domain on or the load balancers off",
    ),
    (
        "[routing]|hosted_zone = 'Z1'|parent_zone = 'Z2'",
        "3:15: routing.parent_zone: an existing hosted zone is delegated already; name hosted_zone or parent_zone, not both",
    ),
    (
        "[routing.accelerator]|primary_traffic_percent = 0|secondary_traffic_percent = 0",
        "3:29: routing.accelerator.secondary_traffic_percent: the accelerator sends traffic to neither region; give one of them more than 0 percent",
    ),
    (
        "[events.queue]|retention_days = 10|dead_letter_retention_days = 5",
        "3:30: events.queue.dead_letter_retention_days: 5 days in the dead-letter queue are not more than the 10 of the queue; SQS counts both from the first sending, so messages could be lost on arrival",
    ),
    (
        "[events.queue]|retention_days = 14",
        "2:18: events.queue.retention_days: 14 days in the dead-letter queue are not more than the 14 of the queue; SQS counts both from the first sending, so messages could be lost on arrival",
    ),
    (
        "[backup]|schedule = 'rate(1 day)'",
        r#"2:12: backup.schedule: "rate(1 day)" is not a schedule; write a cron expression, such as "cron(0 5 * * ? *)""#,
    ),
    (
        "[backup]|schedule = 'cron(0/15 * * * ? *)'",
        r#"2:12: backup.schedule: AWS Backup cannot follow "cron(0/15 * * * ? *)"; name one minute of the hour, as in "cron(0 5 * * ? *)""#,
    ),
    (
        "[backup]|start_window_minutes = 400",
        "2:24: backup.start_window_minutes: 360 minutes to complete leave less than an hour after the 400 to start; set completion_window_minutes to at least 460",
    ),
    (
        "[database.aurora]|enabled = false",
        "2:11: database.aurora.enabled: AWS Backup has nothing to back up without Aurora; turn Aurora on or the backup off",
    ),
    (
        "[monitoring]|emails = ['a@example.com', 'A@example.com']",
        r#"2:28: monitoring.emails[1]: "A@example.com" is listed twice"#,
    ),
    (
        "[monitoring.failover]|datapoints = 4",
        "2:14: monitoring.failover.datapoints: 4 of 3 periods cannot be beyond a threshold",
    ),
    (
        "[monitoring.replication]|periods = 30|period_seconds = 3000",
        "2:11: monitoring.replication.periods: 30 periods of 3000 seconds are more than the day that CloudWatch looks back",
    ),
    (
        "[monitoring.replication]|periods = 169|period_seconds = 3600",
        "2:11: monitoring.replication.periods: 169 periods of 3600 seconds are more than the week that CloudWatch looks back",
    ),
];

/// Loads each file, in which `|` ends a line, and compares the problems, separated by `|` and without the name of the file.
fn compare(table: &[(&str, &str)]) {
    for (text, expected) in table {
        let problems = refused(&text.replace('|', "\n"));
        let problems: Vec<&str> = problems.lines().map(|line| line.strip_prefix("bad.toml:").unwrap()).collect();
        assert_eq!(problems.join("|"), *expected, "{text}");
    }
}

#[test]
fn what_does_not_fit_the_schema_is_refused() {
    compare(SHAPE);
}

#[test]
fn what_breaks_a_grammar_is_refused() {
    compare(GRAMMAR);
}

#[test]
fn what_does_not_go_together_is_refused() {
    compare(RULES);
}

#[test]
fn more_environment_than_lambda_takes_is_refused() {
    let big = "x".repeat(3600);
    let function = "[[functions]]\nname = 'health'\nsource = 's'\nroute = 'GET /health'\n";
    let expected = "bad.toml:5:15: functions[0].environment: 3603 bytes of environment variables; \
                    3584 are left of the 4096 that Lambda takes";
    assert_eq!(refused(&format!("{function}environment = {{ BIG = '{big}' }}\n")), expected);
}
