//! One observation of AWS: what several kinds read is read once, and tags come from one index where it confirms them.
//!
//! The tagging service tells the tags of all objects of a region at once, while most services tell those of one object per
//! call. But it lags minutes behind, and also lists what is gone (`x.discover-by-tag`, `x.batch.tagging-api`).
//!
//! Invariants:
//! 1. Nothing is changed while an observation lasts; work that changes something has none and reads everything anew.
//! 2. The index only confirms: its word counts where it shows every recorded tag of a settled record with its value. For
//!    anything else, be it missing or different, the object's own service is asked. So a tag that drctl has just changed is
//!    never read from an index that is late; one that somebody else changes is seen once the index has it.
//! 3. The index tells nothing about existence by itself: its word counts only for objects that their own service shows.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::Surroundings;
use crate::address::Address;
use crate::aws::error::Result;
use crate::aws::{Tags, tags};

/// The tags of the deployment's objects of one region by ARN, as far as the tagging service knows them.
pub type Index = HashMap<String, Tags>;

/// A read by region, operation and parameters; whoever asks first sends it.
type Answers = HashMap<(String, String), Arc<OnceCell<Answer>>>;

type Answer = Result<Arc<dyn Any + Send + Sync>>;

/// What is read in one observation.
pub struct Observation {
    recorded: HashMap<String, Tags>,
    answers: Mutex<Answers>,
}

impl Observation {
    /// An observation that has read nothing yet. `recorded` are the tags of settled records: what the objects have unless somebody
    /// changed them.
    pub fn new<'a>(recorded: impl IntoIterator<Item = (&'a Address, Tags)>) -> Arc<Self> {
        let recorded = recorded.into_iter().map(|(address, tags)| (address.to_string(), tags)).collect();
        Arc::new(Self { recorded, answers: Mutex::default() })
    }

    pub(super) async fn shared<T, Fut>(&self, region: &str, read: &str, send: impl FnOnce() -> Fut) -> Result<Arc<T>>
    where
        T: Send + Sync + 'static,
        Fut: Future<Output = Result<T>>,
    {
        let cell = {
            let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.entry((region.to_owned(), read.to_owned())).or_default().clone()
        };
        let send = async || Ok::<Arc<dyn Any + Send + Sync>, _>(Arc::new(send().await?));
        let answer = cell.get_or_init(send).await.clone()?;
        Ok(answer.downcast().expect("a read has one type of answer"))
    }

    /// The index of tags of a region, read once.
    pub(crate) async fn index(&self, surroundings: &Surroundings, region: &str) -> Result<Arc<Index>> {
        let read = || surroundings.provider.index(region, &surroundings.suffix);
        self.shared(region, "the index of tags", read).await
    }

    pub(crate) fn has_records(&self) -> bool {
        !self.recorded.is_empty()
    }

    pub(super) fn confirmed<'a>(&self, index: &'a Index, arn: &str) -> Option<&'a Tags> {
        let indexed = index.get(arn)?;
        let recorded = self.recorded.get(indexed.get(tags::ADDRESS)?)?;
        recorded.iter().all(|(key, value)| indexed.get(key) == Some(value)).then_some(indexed)
    }
}

impl fmt::Debug for Observation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Observation").field("recorded", &self.recorded.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::address::Scope;
    use crate::aws::Error;

    fn some(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    /// Invariant 2.
    #[test]
    fn the_index_counts_only_where_it_shows_every_recorded_tag() {
        let address = Address::new(Scope::global(), "sns_topic", "alerts");
        let ours = address.to_string();
        let recorded = some(&[(tags::ADDRESS, &ours), ("team", "a")]);
        let observation = Observation::new([(&address, recorded)]);
        let confirmed = |tags: &[(&str, &str)]| {
            let index = Index::from([("arn:t".to_owned(), some(tags))]);
            observation.confirmed(&index, "arn:t").cloned()
        };
        let with_a_foreign_one = [(tags::ADDRESS, ours.as_str()), ("team", "a"), ("theirs", "z")];
        assert_eq!(confirmed(&with_a_foreign_one), Some(some(&with_a_foreign_one)));
        assert_eq!(confirmed(&[(tags::ADDRESS, &ours), ("team", "b")]), None, "a different value");
        assert_eq!(confirmed(&[(tags::ADDRESS, &ours)]), None, "a missing tag");
        assert_eq!(confirmed(&[(tags::ADDRESS, "global/sns_topic/other"), ("team", "a")]), None, "no record");
        assert_eq!(observation.confirmed(&Index::new(), "arn:t"), None, "not indexed yet");
    }

    /// Reads that are the same are sent once per observation and region, also when they fail.
    #[tokio::test]
    async fn what_was_read_is_not_read_again() {
        let observation = Observation::new([]);
        let sent = AtomicU32::new(0);
        let read = async |region: &str, read: &str| {
            observation
                .shared(region, read, async || Ok(sent.fetch_add(1, Ordering::Relaxed)))
                .await
                .map(|answer| *answer)
        };
        let both = tokio::join!(read("us-east-1", "a"), read("us-east-1", "a"));
        assert_eq!((both.0.unwrap(), both.1.unwrap()), (0, 0));
        assert_eq!(read("us-east-2", "a").await.unwrap(), 1);
        assert_eq!(read("us-east-1", "b").await.unwrap(), 2);
        let failed = observation.shared::<u32, _>("us-east-1", "c", async || Err(Error::Failed("no".into()))).await;
        assert!(failed.is_err());
        assert!(read("us-east-1", "c").await.is_err());
    }
}
