//! One set of SDK clients per region, all over one transport.
//!
//! The region of a client comes from its caller alone: `AWS_REGION` and profiles move nothing. Credentials come from
//! the SDK's default chain, or from the profile that the command line names, and from nowhere else; endpoints from
//! `--endpoint-url` or the SDK's own variables, service-specific ones included.
//!
//! The three attempts that the SDK makes by default are too few for Route 53, Global Accelerator, alarms and databases
//! (`x.retries`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;

use super::doubt::Doubt;
use super::merge::Merger;
use super::profile::NamedProfile;
use super::retry::Forbid;
use super::transport::{NameOperation, Transport};

/// How often a request is sent before its failure counts.
const ATTEMPTS: u32 = 10;

/// How to reach AWS: what the command line says beside the SDK's own environment.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// A named profile of the shared configuration. Its credentials count before those of the environment.
    pub profile: Option<String>,
    /// An endpoint for every service, instead of AWS's own.
    pub endpoint_url: Option<String>,
}

/// All regions' clients. Cheap to clone; clones share connections, limits and counts.
#[derive(Clone, Debug)]
pub struct Aws {
    config: SdkConfig,
    transport: Transport,
    regions: Arc<Mutex<HashMap<String, Arc<Clients>>>>,
    record_changes: Arc<RecordChanges>,
}

/// Changes to the records of hosted zones: the zone's id is the lane.
pub type RecordChanges = Merger<aws_sdk_route53::types::Change, aws_sdk_route53::types::ChangeInfo>;

impl Aws {
    /// Loads configuration and prepares the transport. Contacts nobody.
    pub async fn connect(connection: &Connection, transport: Transport) -> Self {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(transport.clone())
            // The real region is set on each client; this one only keeps the SDK from asking the instance metadata for it.
            .region(Region::new("us-east-1"))
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(ATTEMPTS)
                    .with_initial_backoff(Duration::from_millis(200))
                    .with_max_backoff(Duration::from_secs(20)),
            )
            .timeout_config(
                // Both count within the connection. A limit on the whole attempt would count the turn at the rate limits as well,
                // which is half a minute and more where AWS allows two requests a minute.
                TimeoutConfig::builder()
                    .connect_timeout(Duration::from_secs(5))
                    .read_timeout(Duration::from_secs(60))
                    .build(),
            )
            // For the same reason: a request that waits for its turn uploads nothing.
            .stalled_stream_protection(StalledStreamProtectionConfig::enabled().upload_enabled(false).build());
        if let Some(profile) = &connection.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(url) = &connection.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        let mut config = loader.load().await;
        if let Some(profile) = &connection.profile {
            let credentials = SharedCredentialsProvider::new(NamedProfile::new(profile, &config, &transport));
            config = config.to_builder().credentials_provider(credentials).build();
        }
        Self { config, transport, regions: Arc::default(), record_changes: Arc::default() }
    }

    /// The clients of one region.
    pub fn region(&self, region: &str) -> Arc<Clients> {
        let mut regions = self.regions.lock().expect("no code panics while it holds this lock");
        regions
            .entry(region.to_owned())
            .or_insert_with(|| {
                let config = self.config.to_builder().region(Region::new(region.to_owned())).build();
                Arc::new(Clients::new(config))
            })
            .clone()
    }

    /// The transport all requests pass.
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// The changes to records of hosted zones that wait to be sent.
    pub fn record_changes(&self) -> &RecordChanges {
        &self.record_changes
    }

    /// Where credentials come from.
    pub fn credentials(&self) -> Option<SharedCredentialsProvider> {
        self.config.credentials_provider()
    }
}

/// Declares the services drctl uses: one lazily made client each.
macro_rules! clients {
    ($($service:ident: $sdk:ident,)*) => {
        /// The clients of one region, made when first used.
        #[derive(Debug)]
        pub struct Clients {
            config: SdkConfig,
            $($service: OnceLock<$sdk::Client>,)*
        }

        impl Clients {
            fn new(config: SdkConfig) -> Self {
                Self { config, $($service: OnceLock::new(),)* }
            }

            $(
                /// The client of the service.
                pub fn $service(&self) -> &$sdk::Client {
                    self.$service.get_or_init(|| {
                        let config = $sdk::config::Builder::from(&self.config);
                        let config = config.interceptor(NameOperation).interceptor(Doubt).retry_classifier(Forbid).build();
                        $sdk::Client::from_conf(config)
                    })
                }
            )*
        }
    };
}

clients! {
    acm: aws_sdk_acm,
    apigateway: aws_sdk_apigateway,
    apigatewayv2: aws_sdk_apigatewayv2,
    backup: aws_sdk_backup,
    cloudwatch: aws_sdk_cloudwatch,
    dynamodb: aws_sdk_dynamodb,
    ec2: aws_sdk_ec2,
    elb: aws_sdk_elasticloadbalancingv2,
    eventbridge: aws_sdk_eventbridge,
    globalaccelerator: aws_sdk_globalaccelerator,
    iam: aws_sdk_iam,
    kms: aws_sdk_kms,
    lambda: aws_sdk_lambda,
    logs: aws_sdk_cloudwatchlogs,
    rds: aws_sdk_rds,
    route53: aws_sdk_route53,
    s3: aws_sdk_s3,
    secretsmanager: aws_sdk_secretsmanager,
    sns: aws_sdk_sns,
    sqs: aws_sdk_sqs,
    sts: aws_sdk_sts,
    tagging: aws_sdk_resourcegroupstagging,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `x.retries`
    #[tokio::test]
    async fn a_request_is_tried_at_least_ten_times_in_every_region() {
        let aws = Aws::connect(&Connection::default(), Transport::new()).await;
        for region in ["us-east-1", "us-east-2"] {
            let attempts = aws.region(region).config.retry_config().map(RetryConfig::max_attempts);
            assert!(attempts.is_some_and(|attempts| attempts >= 10), "{region}: {attempts:?}");
        }
    }
}
