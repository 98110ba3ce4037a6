//! Every name and every ARN that follows from names, in one place.
//!
//! A fixed name makes a resource findable without a state file and lets policies name objects before they exist, without an
//! edge in the graph. Names are `dr-{service}-{region}-{suffix}`; where one name must be the same in both regions,
//! `dr-payments-{suffix}`. This module never looks at the plan beyond the domain.
//!
//! Invariants:
//! 1. Two suffixes never give the same name.
//! 2. Every name fits its service's limit for every suffix that [`Suffix`](crate::plan::Suffix) allows.

use sha2::{Digest, Sha256};

/// The longest name of a load balancer or target group (`alb.create`, `tg.create`).
const ELB_LIMIT: usize = 32;

/// The only rule of each bucket's replication. Its metrics carry this name (`cw.metric.s3`).
pub const REPLICATION_RULE: &str = "everything";

/// Makes the names of one deployment.
#[derive(Clone, Debug)]
pub struct Names {
    suffix: String,
    account: String,
    domain: String,
}

impl Names {
    /// Names for a suffix in an account, below a domain.
    pub fn new(suffix: &str, account: &str, domain: &str) -> Self {
        Self { suffix: suffix.to_owned(), account: account.to_owned(), domain: domain.to_owned() }
    }

    /// `dr-{service}-{region}-{suffix}`.
    pub fn regional(&self, service: &str, region: &str) -> String {
        format!("dr-{service}-{region}-{}", self.suffix)
    }

    /// `dr-payments-{suffix}`: the table, the buses, the global cluster, the accelerator.
    pub fn shared(&self) -> String {
        format!("dr-payments-{}", self.suffix)
    }

    /// A name for a load balancer or target group, cut and made unique by a digest where it would not fit.
    pub fn elb(&self, service: &str, region: &str) -> String {
        let name = self.regional(&service.replace('_', "-"), region);
        if name.len() <= ELB_LIMIT {
            return name;
        }
        let digest = Sha256::digest(name.as_bytes());
        let mark: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{mark}", name[..ELB_LIMIT - mark.len() - 1].trim_end_matches('-'))
    }

    /// The log group of the flow logs of a region.
    pub fn flow_logs(&self, region: &str) -> String {
        self.regional("flow-logs", region)
    }

    /// The log group of the API's requests in a region.
    pub fn api_logs(&self, region: &str) -> String {
        self.regional("api-logs", region)
    }

    /// The bucket of a region. Bucket names are shared by all AWS accounts, and one that was deleted can be taken by anybody at once
    /// (`s3.bucket.name-reuse`). A suffix finds its buckets by their names without knowing the account; so drctl looks at whose a
    /// bucket is, and tells the functions.
    pub fn bucket(&self, region: &str) -> String {
        self.regional("payment-data", region)
    }

    /// The ARN of the bucket of a region.
    pub fn bucket_arn(&self, region: &str) -> String {
        format!("arn:aws:s3:::{}", self.bucket(region))
    }

    /// A secret. Its name does not end in the suffix: a hyphen and six characters would look like the end of an ARN
    /// (`sm.secret.create`).
    pub fn secret(&self, service: &str) -> String {
        format!("{}/{service}", self.shared())
    }

    /// A Lambda function; the service is its name in the plan.
    pub fn function(&self, name: &str, region: &str) -> String {
        self.regional(name, region)
    }

    /// The ARN of a Lambda function.
    pub fn function_arn(&self, name: &str, region: &str) -> String {
        self.arn("lambda", region, &format!("function:{}", self.function(name, region)))
    }

    /// The log group of a Lambda function: the name Lambda itself would give it.
    pub fn function_logs(&self, name: &str, region: &str) -> String {
        format!("/aws/lambda/{}", self.function(name, region))
    }

    /// The ARN of the table's replica in a region.
    pub fn table_arn(&self, region: &str) -> String {
        self.arn("dynamodb", region, &format!("table/{}", self.shared()))
    }

    /// The ARN of the event bus of a region.
    pub fn bus_arn(&self, region: &str) -> String {
        self.arn("events", region, &format!("event-bus/{}", self.shared()))
    }

    /// The ARN of a rule on the event bus of a region.
    pub fn rule_arn(&self, rule: &str, region: &str) -> String {
        self.arn("events", region, &format!("rule/{}/{rule}", self.shared()))
    }

    /// The ARN of a queue.
    pub fn queue_arn(&self, queue: &str, region: &str) -> String {
        self.arn("sqs", region, queue)
    }

    /// The ARN of a topic.
    pub fn topic_arn(&self, topic: &str, region: &str) -> String {
        self.arn("sns", region, topic)
    }

    /// The ARN of a log group, without the `:*` that IAM policies need behind it for its streams.
    pub fn log_group_arn(&self, log_group: &str, region: &str) -> String {
        self.arn("logs", region, &format!("log-group:{log_group}"))
    }

    /// The ARN of a role.
    pub fn role_arn(&self, role: &str) -> String {
        format!("arn:aws:iam::{}:role/{role}", self.account)
    }

    /// The ARN of the account itself, as a principal.
    pub fn root_arn(&self) -> String {
        format!("arn:aws:iam::{}:root", self.account)
    }

    /// `arn:aws:{service}:{region}:{account}:{rest}`.
    pub fn arn(&self, service: &str, region: &str, rest: &str) -> String {
        format!("arn:aws:{service}:{region}:{}:{rest}", self.account)
    }

    /// The hosted zone: `dr-payments-{suffix}.{domain}`.
    pub fn zone(&self) -> String {
        format!("{}.{}", self.shared(), self.domain)
    }

    /// What the certificates cover: every name of the deployment below its zone.
    pub fn certificate(&self) -> String {
        format!("*.{}", self.zone())
    }

    /// The name that fails over between the regions' APIs.
    pub fn api_domain(&self) -> String {
        format!("api.{}", self.zone())
    }

    /// The name of the accelerator.
    pub fn pay_domain(&self) -> String {
        format!("pay.{}", self.zone())
    }

    /// The account.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The suffix.
    pub fn suffix(&self) -> &str {
        &self.suffix
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Suffix;

    /// Invariants 1 and 2.
    #[test]
    fn load_balancer_names_fit_and_stay_apart() {
        let long = Names::new("abcdefghijklmnop", "1", "x.com");
        let other = Names::new("abcdefghijklmnoq", "1", "x.com");
        let name = long.elb("payment_processor", "ap-southeast-1");
        assert!(name.len() <= ELB_LIMIT, "{name}");
        assert_ne!(name, other.elb("payment_processor", "ap-southeast-1"));
        assert_eq!(Names::new("dev", "1", "x.com").elb("alb", "us-east-1"), "dr-alb-us-east-1-dev");
    }
    /// Secrets Manager takes a hyphen and six characters at the end of a name for what it appends to names in ARNs.
    #[test]
    fn no_name_of_a_secret_ends_like_an_arn() {
        for suffix in ["abcdef", "a-bcdefg", "dev"] {
            let name = Names::new(suffix, "1", "x.com").secret("aurora");
            assert_eq!(name, format!("dr-payments-{suffix}/aurora"));
            let (rest, end) = name.split_at(name.len() - 6);
            assert!(!rest.ends_with('-') || !end.chars().all(|c| c.is_ascii_alphanumeric()), "{name}");
        }
    }

    /// Invariant 2: buses have 256 characters and no slash, archives 48.
    #[test]
    fn the_name_of_buses_and_archives_fits_every_suffix() {
        let name = Names::new(&"x".repeat(Suffix::MAX_LEN), "1", "x.com").shared();
        assert!(name.len() <= 48 && !name.contains('/'), "{name}");
    }
}
