//! Whether the credentials outlast the run.
//!
//! Invariants:
//! 1. Only [`lifetime`] looks, and it contacts nobody whom the calls before it have not contacted.
//! 2. What is not known is not held against anybody: credentials without a known end are good enough.

use std::time::{Duration, SystemTime};

use aws_credential_types::provider::ProvideCredentials;
use jiff::Timestamp;

use crate::aws::Aws;

/// The variable by which the tools that put credentials into the environment say when these end. The SDK does not read it.
const END_VARIABLE: &str = "AWS_CREDENTIAL_EXPIRATION";

/// How long credentials are valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// From now on.
    pub left: Duration,
    /// Whether their source gives new ones when they end.
    pub renewable: bool,
}

impl Lifetime {
    /// Tells whether a run of this length can be finished.
    pub fn outlasts(self, run: Duration) -> bool {
        self.renewable || self.left >= run
    }
}

/// How long the credentials in use are valid; `None` when nobody says.
pub async fn lifetime(aws: &Aws) -> Option<Lifetime> {
    let credentials = aws.credentials()?.provide_credentials().await.ok()?;
    // A source that says when its credentials end is asked again by the SDK before they do.
    if let Some(end) = credentials.expiry() {
        return Some(Lifetime { left: left(end), renewable: true });
    }
    let variable = |name| std::env::var(name).ok();
    let from_environment = variable("AWS_ACCESS_KEY_ID").as_deref() == Some(credentials.access_key_id());
    let end = variable(END_VARIABLE).filter(|_| from_environment && credentials.session_token().is_some())?;
    let end: Timestamp = end.parse().ok()?;
    Some(Lifetime { left: left(end.into()), renewable: false })
}

fn left(end: SystemTime) -> Duration {
    end.duration_since(SystemTime::now()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_credentials_that_nobody_renews_have_to_outlast_the_run() {
        let run = Duration::from_secs(1800);
        let lifetime = |seconds, renewable| Lifetime { left: Duration::from_secs(seconds), renewable };
        assert!(lifetime(1800, false).outlasts(run));
        assert!(!lifetime(1799, false).outlasts(run));
        assert!(lifetime(60, true).outlasts(run));
    }
}
