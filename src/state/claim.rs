//! The claim on a deployment: what keeps runs apart that keep their states in different places, where no lock reaches.
//!
//! Only a run that makes something takes a claim, for what two runs make at once is there twice; changes of what is there need none.
//!
//! A claim is a log group in the primary region that nothing is ever written to: to make one is conditional, its name is unique in the
//! account and region, it costs nothing, and its tags are there from the call that makes it. The tags say whose it is, where the state
//! of that run is, and until when the run is sure to be at work. A run at work moves that time on every minute, three minutes ahead;
//! at its end it lets go, and the last act of a complete `down` removes the claim.
//!
//! Invariants:
//! 1. No run makes a first change to a deployment while the claim is another state's and its time is not over.
//! 2. A claim is told by the lineage of the state and the place where that is kept, so that a run that was killed does not hold up the next
//!    one of the same place.
//! 3. A claim that is over is taken by writing it, pausing and reading it again: of two that do so the later writer wins.
//! 4. The claim is no resource of the deployment, and carries no tag that says so.
//!
//! Clocks of machines are compared here: where they differ by more than two minutes, a claim may seem over that is not. The lock of the
//! state is what a deployment relies on; the claim is for those who have two.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp, Unit};
use tokio::task::JoinHandle;

use super::Holder;
use crate::aws::{Aws, Clients, Error};
use crate::engine::shutdown::{Reason, Shutdown};

type Result<T> = std::result::Result<T, Error>;

/// How far ahead the end of a claim is set.
const AHEAD: SignedDuration = SignedDuration::from_mins(3);

/// How often it is moved on.
const HEARTBEAT: Duration = Duration::from_secs(60);

/// How long to wait before a claim that was taken from another state is read again.
const PAUSE: Duration = Duration::from_secs(3);

const ID: &str = "drctl:claim-id";
const BY: &str = "drctl:claim-by";
const PLACE: &str = "drctl:claim-place";
const SINCE: &str = "drctl:claim-since";
const UNTIL: &str = "drctl:claim-until";

/// Who claims what, and for which state.
#[derive(Clone, Debug)]
pub struct Claimant {
    /// The deployment.
    pub suffix: String,
    /// The account it lives in.
    pub account: String,
    /// Its primary region.
    pub region: String,
    /// The lineage of the state.
    pub lineage: String,
    /// Where the state is: an address in S3, or a machine and a folder.
    pub place: String,
    /// The run.
    pub holder: Holder,
}

/// A claim that another state has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the deployment is claimed by {by} since {since}, with the state in {place}")]
pub struct Claimed {
    /// Who made it: user and machine.
    pub by: String,
    /// Where the state of that run is.
    pub place: String,
    /// When that run began.
    pub since: String,
    /// When the claim is over, unless that run is still at work then.
    pub until: String,
}

/// Why a deployment could not be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another state has it.
    #[error(transparent)]
    Claimed(#[from] Claimed),
    /// AWS did not do what it was asked.
    #[error(transparent)]
    Aws(#[from] Error),
}

/// The claim of this run. Dropping it stops the heart; the claim is then over within three minutes.
#[derive(Debug)]
pub struct Claim {
    group: Group,
    heart: JoinHandle<()>,
}

impl Claim {
    /// Claims the deployment for this state, and keeps it until it is released. A run that loses it stops.
    ///
    /// # Errors
    /// [`ClaimError::Claimed`] when another state has it; nothing was changed.
    pub async fn take(aws: &Aws, claimant: Claimant, shutdown: &Shutdown) -> std::result::Result<Self, ClaimError> {
        let group = Group::new(aws, claimant);
        group.take().await?;
        let (heart, shutdown) = (group.clone(), shutdown.clone());
        let heart = tokio::spawn(async move {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                match heart.beat().await {
                    Ok(true) => {}
                    Ok(false) => return shutdown.give_up(Reason::LeaseLost),
                    // There is time for two more tries before the claim is over.
                    Err(error) => tracing::debug!(%error, "the claim was not renewed"),
                }
            }
        });
        Ok(Self { group, heart })
    }

    /// Lets go of the claim. One that cannot be released is over within three minutes: after an interrupt no changing request is sent.
    ///
    /// # Errors
    /// When AWS refuses that.
    pub async fn release(self) -> Result<()> {
        self.heart.abort();
        self.group.write(Timestamp::now()).await
    }

    /// Removes the claim on a deployment that is gone, unless another run has just taken it.
    ///
    /// # Errors
    /// When AWS refuses that.
    pub async fn remove(aws: &Aws, claimant: Claimant) -> Result<()> {
        let group = Group::new(aws, claimant);
        match group.read().await {
            Err(error) if error.is_gone() => Ok(()),
            Err(error) => Err(error),
            Ok(tags) if group.is_ours(&tags) || claimed(&tags, Timestamp::now()).is_none() => group.remove().await,
            Ok(_) => Ok(()),
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.heart.abort();
    }
}

/// The log group that is the claim.
#[derive(Clone, Debug)]
struct Group {
    clients: Arc<Clients>,
    name: String,
    arn: String,
    claimant: Claimant,
    since: Timestamp,
}

impl Group {
    fn new(aws: &Aws, claimant: Claimant) -> Self {
        // The name fits the rights that the deployment's other log groups need.
        let name = format!("/drctl/dr-claim-{}", claimant.suffix);
        let arn = format!("arn:aws:logs:{}:{}:log-group:{name}", claimant.region, claimant.account);
        let clients = aws.region(&claimant.region);
        let since = claimant.holder.started;
        Self { clients, name, arn, claimant, since }
    }

    async fn take(&self) -> std::result::Result<(), ClaimError> {
        let tags = self.tags(Timestamp::now() + AHEAD);
        let request = self.clients.logs().create_log_group().log_group_name(&self.name).set_tags(Some(tags));
        match request.send().await.map_err(|error| Error::from_sdk("logs:CreateLogGroup", error)) {
            Ok(_) => return Ok(()),
            // The answer may have been lost: what is there tells.
            Err(error) if error.already_exists() || error.is_uncertain() => {}
            Err(error) => return Err(error.into()),
        }
        let found = self.read().await?;
        if self.is_ours(&found) {
            return Ok(self.write(Timestamp::now() + AHEAD).await?);
        }
        if let Some(claimed) = claimed(&found, Timestamp::now()) {
            return Err(claimed.into());
        }
        self.write(Timestamp::now() + AHEAD).await?;
        tokio::time::sleep(PAUSE).await;
        let found = self.read().await?;
        match claimed(&found, Timestamp::now()) {
            Some(claimed) if !self.is_ours(&found) => Err(claimed.into()),
            _ => Ok(()),
        }
    }

    /// Moves the end of the claim on; tells whether it is still this state's.
    async fn beat(&self) -> Result<bool> {
        if !self.is_ours(&self.read().await?) {
            return Ok(false);
        }
        self.write(Timestamp::now() + AHEAD).await.map(|()| true)
    }

    fn is_ours(&self, tags: &HashMap<String, String>) -> bool {
        let tag = |key: &str| tags.get(key).map(String::as_str);
        tag(ID) == Some(&self.claimant.lineage) && tag(PLACE) == Some(&fitting(&self.claimant.place))
    }

    fn tags(&self, until: Timestamp) -> HashMap<String, String> {
        let Claimant { lineage, place, holder, .. } = &self.claimant;
        let until = until.round(Unit::Second).unwrap_or(until);
        let tags = [
            (ID, lineage.clone()),
            (BY, fitting(&format!("{}@{}", holder.user, holder.host))),
            (PLACE, fitting(place)),
            (SINCE, self.since.to_string()),
            (UNTIL, until.to_string()),
        ];
        tags.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    async fn read(&self) -> Result<HashMap<String, String>> {
        let request = self.clients.logs().list_tags_for_resource().resource_arn(&self.arn);
        let answer = request.send().await.map_err(|error| Error::from_sdk("logs:ListTagsForResource", error))?;
        Ok(answer.tags.unwrap_or_default())
    }

    async fn write(&self, until: Timestamp) -> Result<()> {
        let request = self.clients.logs().tag_resource().resource_arn(&self.arn).set_tags(Some(self.tags(until)));
        request.send().await.map(drop).map_err(|error| Error::from_sdk("logs:TagResource", error))
    }

    async fn remove(&self) -> Result<()> {
        let request = self.clients.logs().delete_log_group().log_group_name(&self.name);
        match request.send().await.map_err(|error| Error::from_sdk("logs:DeleteLogGroup", error)) {
            Err(error) if !error.is_gone() => Err(error),
            _ => Ok(()),
        }
    }
}

/// What the tags say of a claim that is not over. One whose end cannot be read was not made by drctl, or is half written: it is not
/// believed to be over, or a person's log group of this name would be taken.
fn claimed(tags: &HashMap<String, String>, now: Timestamp) -> Option<Claimed> {
    let tag = |key: &str| tags.get(key).cloned().unwrap_or_else(|| "an unknown one".to_owned());
    let until = tags.get(UNTIL).and_then(|until| until.parse::<Timestamp>().ok());
    let is_over = until.is_some_and(|until| until <= now);
    (!is_over).then(|| Claimed { by: tag(BY), place: tag(PLACE), since: tag(SINCE), until: tag(UNTIL) })
}

/// A text as the value of a tag: of these characters only, and not longer than AWS takes.
fn fitting(text: &str) -> String {
    let fits = |c: char| c.is_alphanumeric() || " _.:/=+-@".contains(c);
    text.chars().map(|c| if fits(c) { c } else { '_' }).take(256).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(until: &str) -> HashMap<String, String> {
        let tags = [(ID, "other"), (BY, "ann@build-7"), (PLACE, "s3://acme/x"), (SINCE, "2026-01-01"), (UNTIL, until)];
        tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }

    /// Invariant 1.
    #[test]
    fn a_claim_stands_until_its_time_is_over() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
        let claim = claimed(&tags("2026-01-02T03:04:06Z"), now).expect("it stands");
        assert_eq!((claim.by.as_str(), claim.place.as_str()), ("ann@build-7", "s3://acme/x"));
        assert_eq!(claimed(&tags("2026-01-02T03:04:05Z"), now), None);
        assert!(claimed(&tags("soon"), now).is_some(), "what cannot be read is not over");
        assert!(claimed(&HashMap::new(), now).is_some(), "what has no tags is somebody's log group");
    }

    #[test]
    fn every_text_fits_into_a_tag() {
        assert_eq!(fitting("o'neil@host (2)"), "o_neil@host _2_");
        assert_eq!(fitting(&"é".repeat(300)).chars().count(), 256);
    }
}
