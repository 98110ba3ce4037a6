//! What a kind is given to work with: clients of its scope, and for a change the task it is part of.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use futures::StreamExt;
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::observation::{Index, Observation};
use super::{Retry, Traits};
use crate::address::{Address, Scope};
use crate::aws::error::Result;
use crate::aws::wait::{self, Look, Pace, Patience};
use crate::aws::{Error, TagChanges, Tags, tags};

/// How many single looks a kind takes at the same time where AWS has no call for many.
const LOOKS_AT_ONCE: usize = 8;

/// Contents that specs name by their digest: the zipped sources of functions, by the SHA-256 in base64.
pub type Assets = HashMap<String, Vec<u8>>;

/// Where the kinds of a run have their objects: AWS, or the cloud of the simulation. Only the kinds know which.
pub trait Provider: Any + fmt::Debug + Send + Sync {
    /// The regions in whose indexes of tags the objects of a scope are.
    fn index_regions(&self, scope: &Scope) -> Vec<String>;

    /// Reads the index of tags of a region: every object that says it belongs to the deployment, by its ARN. An index may be late: it may
    /// lack what is new and still have what is gone.
    fn index<'a>(&'a self, region: &'a str, suffix: &'a str) -> BoxFuture<'a, Result<Index>>;
}

/// Nowhere: for tests in which nothing is looked at.
impl Provider for () {
    fn index_regions(&self, _: &Scope) -> Vec<String> {
        Vec::new()
    }

    fn index<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<Index>> {
        Box::pin(async { Ok(Index::new()) })
    }
}

/// What is the same for all work of a run.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Where the objects are.
    pub provider: Arc<dyn Provider>,
    /// The suffix of the deployment.
    pub suffix: String,
    /// The account worked in.
    pub account: String,
    /// Cancelled at the first interrupt: waits end.
    pub stop: CancellationToken,
    /// Contents that specs name by their digest.
    pub assets: Arc<Assets>,
}

/// Where a kind looks: one scope of one deployment.
#[derive(Clone, Debug)]
pub struct Context {
    surroundings: Surroundings,
    scope: Scope,
    traits: &'static Traits,
    observation: Option<Arc<Observation>>,
}

impl Context {
    /// The context of one kind in one scope.
    pub fn new(surroundings: Surroundings, scope: Scope, traits: &'static Traits) -> Self {
        Self { surroundings, scope, traits, observation: None }
    }

    /// The same context as a part of an observation, whose reads are shared.
    pub fn within(self, observation: &Arc<Observation>) -> Self {
        Self { observation: Some(observation.clone()), ..self }
    }

    /// Where the objects are, for kinds that are made for it.
    ///
    /// # Panics
    /// When the run has kinds of another provider.
    pub fn provider<P: Provider>(&self) -> &P {
        let provider: &dyn Any = self.surroundings.provider.as_ref();
        provider.downcast_ref().expect("a run has one provider, and kinds made for it")
    }

    /// The region whose endpoints the scope is spoken to at. Global services are spoken to in us-east-1, where Route 53 and IAM sign.
    pub fn region(&self) -> &str {
        if self.scope.is_global() { "us-east-1" } else { self.scope.as_str() }
    }

    /// The scope.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The suffix of the deployment.
    pub fn suffix(&self) -> &str {
        &self.surroundings.suffix
    }

    /// The account worked in.
    pub fn account(&self) -> &str {
        &self.surroundings.account
    }

    /// Tells whether tags say that an object belongs to this deployment.
    pub fn owns(&self, tags: &Tags) -> bool {
        tags.get(tags::DEPLOYMENT).is_some_and(|suffix| suffix == self.suffix())
    }

    /// Sends one operation, named as in IAM policies (`ec2:CreateVpc`), and sends it again for as long as its answer is one
    /// that the kind lists as passing.
    ///
    /// # Errors
    /// AWS's refusal, or a lost answer; see [`Error`].
    pub async fn call<T, E, F, Fut>(&self, operation: &str, send: F) -> Result<T>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = std::result::Result<T, SdkError<E, HttpResponse>>>,
        E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        self.insist(operation, send, &|_| Ok(()), &|_| {}).await
    }

    /// As [`Context::call`]; `check` finds what an answer that says success refuses nevertheless, and `report` hears what it waits for.
    async fn insist<T, E, F, Fut>(
        &self,
        operation: &str,
        send: F,
        check: &(dyn Fn(&T) -> Result<()> + Send + Sync),
        report: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<T>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = std::result::Result<T, SdkError<E, HttpResponse>>>,
        E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let start = Instant::now();
        let mut reported = None;
        loop {
            let answered = send().await.map_err(|error| Error::from_sdk(operation, error));
            let error = match answered.and_then(|answer| check(&answer).map(|()| answer)) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let passing = |retry: &&Retry| retry.matches(operation, &error);
            let Some(retry) = self.traits.retries.iter().find(passing) else { return Err(error) };
            let waited = start.elapsed();
            let pause = Pace::TRIES.pause(waited);
            if waited + pause > retry.deadline {
                return Err(error.after(waited));
            }
            let code = error.code().map(str::to_owned);
            if code != reported {
                report(&format!("{operation} to be accepted ({})", code.as_deref().unwrap_or("no answer")));
                reported = code;
            }
            tracing::debug!(operation, %error, "passing refusal");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.surroundings.stop.cancelled() => return Err(Error::Interrupted),
            }
        }
    }

    /// Reads what several kinds or resources need only once per observation: `read` names the operation and its parameters, as far as
    /// they differ. Outside of one, where something is being changed, everything is read anew.
    ///
    /// # Errors
    /// What the read returns; everybody who shares it gets the same answer.
    pub async fn shared<T, Fut>(&self, read: &str, send: impl FnOnce() -> Fut) -> Result<Arc<T>>
    where
        T: Send + Sync + 'static,
        Fut: Future<Output = Result<T>>,
    {
        match &self.observation {
            Some(observation) => observation.shared(self.region(), read, send).await,
            None => send().await.map(Arc::new),
        }
    }

    /// The tags of an object, when the region's index of tags confirms the recorded ones; see [`Observation`]. `None` means that the
    /// object's own service has to be asked.
    ///
    /// # Errors
    /// What the read of the index returns.
    pub async fn tags_by_index(&self, arn: &str) -> Result<Option<Tags>> {
        let Some(observation) = self.observation.as_ref().filter(|observation| observation.has_records()) else {
            return Ok(None);
        };
        let index = observation.index(&self.surroundings, self.region()).await?;
        Ok(observation.confirmed(&index, arn).cloned())
    }

    /// Looks at each item on its own, several at a time, keeping the order: for services without a call for many.
    pub async fn each<'a, I, T, F, Fut>(&self, items: &'a [I], look: F) -> Result<Vec<T>>
    where
        F: Fn(&'a I) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let looks: Vec<Fut> = items.iter().map(look).collect();
        futures::stream::iter(looks).buffered(LOOKS_AT_ONCE).collect::<Vec<_>>().await.into_iter().collect()
    }
}

/// An idempotency token, the same for every try of the same intent. It is never empty: AWS refuses empty ones, and names are made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token that nobody had before: 32 hexadecimal digits.
    pub fn random() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()))
    }

    /// The token on record; a new one where the record has none, as after `state rebuild` or an adoption.
    pub fn recorded(token: Option<&str>) -> Self {
        token.filter(|token| !token.is_empty()).map_or_else(Self::random, |token| Self(token.to_owned()))
    }
}

impl Deref for Token {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<&Token> for String {
    fn from(token: &Token) -> Self {
        token.0.clone()
    }
}

/// What the engine hears from a task while it works.
pub trait Observer: Send + Sync {
    /// The task waits for something; the text is for people.
    fn waiting(&self, address: &Address, what: &str);

    /// The object's ids are known: makes them durable before returning.
    fn identified<'a>(&'a self, address: &'a Address, outputs: Value)
    -> BoxFuture<'a, std::result::Result<(), String>>;
}

/// One change to one resource: a [`Context`], and whose change it is.
pub struct Task<'a> {
    /// Where the change is made.
    pub context: Context,
    /// The resource.
    pub address: &'a Address,
    /// All tags the object shall have.
    pub tags: Tags,
    /// Keys of tags that drctl set earlier.
    pub recorded_tags: Vec<String>,
    /// The idempotency token.
    pub token: &'a Token,
    /// Hears of progress.
    pub observer: &'a dyn Observer,
}

impl Deref for Task<'_> {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.context
    }
}

impl Task<'_> {
    /// As [`Context::call`], and the engine hears what it waits for.
    ///
    /// # Errors
    /// AWS's refusal, or a lost answer; see [`Error`].
    pub async fn call<T, E, F, Fut>(&self, operation: &str, send: F) -> Result<T>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = std::result::Result<T, SdkError<E, HttpResponse>>>,
        E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        self.call_checked(operation, send, |_| Ok(())).await
    }

    /// As [`Task::call`], for operations that answer success with failures inside (`x.partial-200`): what `check` makes of them is
    /// tried again like any other refusal.
    ///
    /// # Errors
    /// AWS's refusal, or a lost answer; see [`Error`].
    pub async fn call_checked<T, E, F, Fut>(
        &self,
        operation: &str,
        send: F,
        check: impl Fn(&T) -> Result<()> + Send + Sync,
    ) -> Result<T>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = std::result::Result<T, SdkError<E, HttpResponse>>>,
        E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let report = |what: &str| self.observer.waiting(self.address, what);
        self.context.insist(operation, send, &check, &report).await
    }

    /// Makes the ids of a just created object durable.
    ///
    /// # Errors
    /// [`Error::Unrecorded`] when they cannot be written.
    pub async fn identified(&self, outputs: &impl Serialize) -> Result<()> {
        let outputs = serde_json::to_value(outputs).expect("outputs are plain data");
        self.observer.identified(self.address, outputs).await.map_err(Error::Unrecorded)
    }

    /// Looks until the object is ready; see [`wait::until`].
    ///
    /// # Errors
    /// Whatever a look returns, the deadline, an interrupt.
    pub async fn wait<T, F, Fut>(&self, awaited: &str, patience: Patience, look: F) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<Look<T>>>,
    {
        let report = |what: &str| self.observer.waiting(self.address, what);
        wait::until(awaited, patience, &self.context.surroundings.stop, &report, look).await
    }

    /// What has to be done to an object's tags.
    pub fn tag_changes(&self, actual: &Tags) -> TagChanges {
        TagChanges::between(actual, &self.tags, self.recorded_tags.iter().cloned())
    }

    /// The contents with this digest.
    ///
    /// # Errors
    /// [`Error::Failed`] when this run did not load them.
    pub fn asset(&self, digest: &str) -> Result<&[u8]> {
        let found = self.context.surroundings.assets.get(digest);
        found
            .map(Vec::as_slice)
            .ok_or_else(|| Error::Failed(format!("the contents {digest} were not loaded by this run")))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_smithy_types::error::ErrorMetadata;

    use super::*;
    use crate::aws::Refusal;
    use crate::kind::{Adoption, Expected, Permissions};

    #[test]
    fn a_token_is_never_empty_whatever_is_on_record() {
        assert_eq!(&*Token::recorded(Some("aaaaaaaa0000")), "aaaaaaaa0000");
        for recorded in [None, Some("")] {
            let token = Token::recorded(recorded);
            assert!(token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token:?}");
            assert_ne!(token, Token::recorded(recorded));
        }
    }

    const CREATE: &str = "ec2:CreateFlowLogs";

    static FLOW_LOG: Traits = Traits {
        name: "ec2_flow_log",
        taggable: true,
        data_bearing: false,
        adoption: Adoption::ByTag,
        immutable: &[],
        locked_by: None,
        expected: Expected::seconds(1, 1, 1),
        permissions: Permissions { read: &[], change: &[CREATE] },
        retries: &[
            Retry::seconds(CREATE, "InvalidParameter", "Unable to assume", 120),
            Retry::seconds(CREATE, "InvalidVpcId.NotFound", "", 120),
        ],
    };

    /// `x.partial-200`: what EC2 says inside of a success passes by itself as what it says with an error does.
    #[tokio::test(start_paused = true)]
    async fn a_passing_failure_inside_of_a_success_is_tried_again() {
        let surroundings = Surroundings {
            provider: Arc::new(()),
            suffix: "dev".to_owned(),
            account: "123456789012".to_owned(),
            stop: CancellationToken::new(),
            assets: Arc::default(),
        };
        let context = Context::new(surroundings, Scope::region("us-east-1"), &FLOW_LOG);
        let failing = async |code: &str, message: &str| {
            let start = Instant::now();
            let check = |_: &()| match start.elapsed() < Duration::from_secs(60) {
                true => Err(Error::from(Refusal {
                    code: code.to_owned(),
                    message: message.to_owned(),
                    status: 200,
                    ..Refusal::default()
                })),
                false => Ok(()),
            };
            let send = || async { Ok::<(), SdkError<ErrorMetadata, HttpResponse>>(()) };
            context.insist(CREATE, send, &check, &|_| {}).await
        };
        assert!(
            failing("InvalidParameter", "Unable to assume given IAM role").await.is_ok(),
            "the role is not visible yet"
        );
        assert!(failing("InvalidVpcId.NotFound", "The vpc ID 'vpc-1' does not exist").await.is_ok());
        assert!(failing("InvalidParameter", "Invalid aggregation interval").await.is_err());
    }
}
