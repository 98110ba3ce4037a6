//! The credentials of a profile that the command line names.
//!
//! The SDK's default chain asks the environment before any profile, so a forgotten `AWS_ACCESS_KEY_ID` would decide
//! which account is changed. With a named profile drctl does as the AWS CLI: the environment is not asked, neither for
//! keys nor for a web identity, unless the profile itself says so. A profile without credentials, which may name a
//! region only, leaves them to the container or the instance.

use aws_config::SdkConfig;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::{self, ProfileFileCredentialsProvider};
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_types::os_shim_internal::{Env, Fs};

use super::transport::Transport;

/// What gives the credentials of one profile.
#[derive(Debug)]
pub(super) struct NamedProfile {
    name: String,
    chain: CredentialsProviderChain,
}

impl NamedProfile {
    /// The profile of this name; nothing is read yet. Roles are assumed as `config` says, over this transport.
    pub(super) fn new(name: &str, config: &SdkConfig, transport: &Transport) -> Self {
        let mut provider = ProviderConfig::without_region()
            .with_http_client(transport.clone())
            .with_region(config.region().cloned())
            .with_use_fips(config.use_fips())
            .with_use_dual_stack(config.use_dual_stack())
            .with_behavior_version(config.behavior_version());
        if let Some(retries) = config.retry_config() {
            provider = provider.with_retry_config(retries.clone());
        }
        if let Some(timeouts) = config.timeout_config() {
            provider = provider.with_timeout_config(timeouts.clone());
        }
        let profile = ProfileFileCredentialsProvider::builder().profile_name(name).configure(&provider).build();
        let container = EcsCredentialsProvider::builder().configure(&provider).build();
        let instance = ImdsCredentialsProvider::builder().configure(&provider).build();
        let chain = CredentialsProviderChain::first_try("Profile", profile)
            .or_else("EcsContainer", container)
            .or_else("Ec2InstanceMetadata", instance);
        Self { name: name.to_owned(), chain }
    }

    async fn credentials(&self) -> provider::Result {
        // To the chain, a profile that does not exist is one without credentials.
        let known = profile::load(&Fs::real(), &Env::real(), &Default::default(), None).await;
        let known = known.map_err(CredentialsError::invalid_configuration)?;
        if known.get_profile(&self.name).is_none() {
            let mut names: Vec<&str> = known.profiles().collect();
            names.sort_unstable();
            let others =
                if names.is_empty() { "no profile at all".to_owned() } else { format!("only {}", names.join(", ")) };
            let message = format!("there is no profile `{}`: the AWS configuration has {others}", self.name);
            return Err(CredentialsError::invalid_configuration(message));
        }
        self.chain.provide_credentials().await
    }
}

impl ProvideCredentials for NamedProfile {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}
