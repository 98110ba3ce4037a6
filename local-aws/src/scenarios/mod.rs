//! What the real AWS does and the emulator leaves out: delays, refusals, lost answers. Each behaviour is a scenario, switched on by
//! name when the local AWS starts (`--scenario`) or while it runs (`PUT /_local-aws/scenarios`).
//!
//! A scenario stands before the corrections: it may answer in AWS's place, change an answer, or cut the connection. To add one:
//! write `scenarios/<name>.rs` with a type that implements [`Scenario`], add it to [`make`], and add a row to the table in
//! `README.md`, which a test compares with the code.
//!
//! Invariants:
//! 1. With no scenario switched on, a call passes as if this module were not there.
//! 2. Everything that is drawn by lot depends on the seed, the operation and how often it was called, never on the clock or
//!    on the order in which calls of different operations arrive.
//! 3. A scenario only ever makes AWS slower or stricter: what it lets through is the emulator's own answer, and what it refuses it
//!    refuses in AWS's own words.

mod ask;
mod clock;
mod deletion_windows;
mod dependency_violations;
mod dice;
mod durations;
mod eventual_reads;
mod expired_credentials;
mod false_answers;
mod faults;
mod hard_limits;
mod held_source_tables;
mod lingering_interfaces;
mod quotas;
mod recovery_points;
mod returning_log_groups;
mod slow_states;
mod small_pages;
mod tree;
mod unconfirmed_emails;
mod unready_keys;
mod unready_roles;

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub(crate) use clock::Clock;
pub(crate) use dice::Dice;

use crate::corrections::Call;
use crate::error::Error;
use crate::message::{Request, Response};
use crate::operation::Operation;

/// The name that stands for every scenario under which runs come to their ends.
const ALL: &str = "all";

/// How the client learns of an answer.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It arrives.
    Answer(Response),
    /// Another one arrives in its place, and the log names the scenario.
    Instead(Response),
    /// The connection is closed without one.
    Cut,
}

/// One behaviour of the real AWS.
///
/// The methods are called in the order of [`make`] on the way in, and backwards on the way out.
#[async_trait]
pub(crate) trait Scenario: Send + Sync {
    /// The name it is switched on by.
    fn name(&self) -> &'static str;

    /// Tells whether it is switched on by `all`: not when no run can come to its end under it.
    fn is_one_of_all(&self) -> bool {
        true
    }

    /// Tells whether it has anything to do with an operation.
    fn concerns(&self, operation: &Operation) -> bool;

    /// Looks at a call before it takes effect; an outcome ends it here, and it takes no effect.
    async fn before(&self, _call: &Call<'_>, _request: &mut Request) -> Result<Option<Outcome>, Error> {
        Ok(None)
    }

    /// Looks at an answer, a refusal included, after the call took effect; may change it or keep it from arriving.
    async fn after(&self, _call: &Call<'_>, answer: Response) -> Result<Outcome, Error> {
        Ok(Outcome::Answer(answer))
    }
}

/// What is switched on, and how.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The names of the scenarios; `all` stands for every one under which runs come to their ends.
    pub(crate) names: Vec<String>,
    /// Decides everything that is drawn by lot.
    pub(crate) seed: u64,
    /// How many seconds of AWS pass in one of ours. Rates of quotas are not scaled: clients keep those by their own clock.
    pub(crate) time_scale: f64,
    /// The operation whose quota is full, as `service:Operation`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<String>,
    /// For how many calls credentials are good; for ever if left out.
    pub(crate) credentials_last: Option<u64>,
    /// Which reads are answered falsely, and how.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) false_answer: Option<false_answers::Order>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { names: Vec::new(), seed: 1, time_scale: 60.0, limit: None, credentials_last: None, false_answer: None }
    }
}

/// What every scenario is made from.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    /// The scaled time.
    pub(crate) clock: Clock,
    /// Lots.
    pub(crate) dice: Arc<Dice>,
    /// The operation whose quota is full.
    pub(crate) limit: Option<String>,
    /// For how many calls credentials are good.
    pub(crate) credentials_last: Option<u64>,
    /// Which reads are answered falsely.
    pub(crate) false_answer: Option<false_answers::Order>,
}

impl Given {
    /// What these settings say.
    fn of(settings: &Settings) -> Self {
        Self {
            clock: Clock::new(settings.time_scale),
            dice: Arc::new(Dice::new(settings.seed)),
            limit: settings.limit.clone(),
            credentials_last: settings.credentials_last,
            false_answer: settings.false_answer.clone(),
        }
    }
}

/// Every scenario there is, outermost first.
fn make(given: &Given) -> Vec<Box<dyn Scenario>> {
    vec![
        Box::new(faults::ConnectionResets(given.clone())),
        Box::new(faults::LostReplies(given.clone())),
        Box::new(faults::Timeouts::new(given.clone())),
        Box::new(faults::SlowReplies(given.clone())),
        Box::new(faults::ServerErrors(given.clone())),
        Box::new(faults::RepeatedReplies::new(given.clone())),
        Box::new(quotas::Quotas::default()),
        Box::new(hard_limits::HardLimits(given.limit.clone())),
        Box::new(expired_credentials::ExpiredCredentials::new(given.credentials_last)),
        Box::new(false_answers::FalseAnswers::new(given.false_answer.clone())),
        Box::new(small_pages::SmallPages),
        Box::new(unready_keys::UnreadyKeys::new(given)),
        Box::new(unready_roles::UnreadyRoles::new(given)),
        Box::new(deletion_windows::DeletionWindows::new(given)),
        Box::new(dependency_violations::DependencyViolations::default()),
        Box::new(held_source_tables::HeldSourceTables::new(given)),
        Box::new(lingering_interfaces::LingeringInterfaces::new(given)),
        Box::new(recovery_points::RecoveryPoints::new(given)),
        Box::new(returning_log_groups::ReturningLogGroups::new(given)),
        Box::new(unconfirmed_emails::UnconfirmedEmails::default()),
        Box::new(eventual_reads::EventualReads::new(given)),
        Box::new(slow_states::SlowStates::new(given)),
    ]
}

/// The scenarios that are switched on.
pub(crate) struct Scenarios(RwLock<Arc<On>>);

struct On {
    settings: Settings,
    scenarios: Vec<Box<dyn Scenario>>,
}

/// A name that no scenario has.
#[derive(Debug, thiserror::Error)]
#[error("there is no scenario `{name}`; there are {}", .known.join(", "))]
pub(crate) struct UnknownScenario {
    name: String,
    known: Vec<&'static str>,
}

impl Scenarios {
    /// The scenarios of these settings.
    pub(crate) fn new(settings: Settings) -> Result<Self, UnknownScenario> {
        Ok(Self(RwLock::new(Arc::new(On::new(settings)?))))
    }

    /// Switches to other settings. What the scenarios remembered is forgotten, objects that were still in the making are ready.
    pub(crate) fn switch(&self, settings: Settings) -> Result<(), UnknownScenario> {
        let on = Arc::new(On::new(settings)?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = on;
        Ok(())
    }

    /// What is switched on.
    pub(crate) fn settings(&self) -> Settings {
        self.on().settings.clone()
    }

    /// The names of all scenarios.
    pub(crate) fn names() -> Vec<&'static str> {
        make(&Given::of(&Settings::default())).iter().map(|scenario| scenario.name()).collect()
    }

    /// Lets a call pass the scenarios; `send` is what happens behind them. Also returns the name of the scenario that refused the
    /// call, cut its connection or answered in AWS's place.
    pub(crate) async fn apply<F>(&self, call: &Call<'_>, send: F) -> Result<(Outcome, Option<&'static str>), Error>
    where
        F: AsyncFnOnce(&Call<'_>) -> Result<Response, Error>,
    {
        let on = self.on();
        let concerned: Vec<_> = on.scenarios.iter().filter(|scenario| scenario.concerns(call.operation)).collect();
        if concerned.is_empty() {
            return Ok((Outcome::Answer(send(call).await?), None));
        }
        let mut request = call.original.clone();
        for scenario in &concerned {
            if let Some(outcome) = scenario.before(call, &mut request).await? {
                return Ok((outcome, Some(scenario.name())));
            }
        }
        let mut answer = send(&Call { original: &request, ..*call }).await?;
        let mut refused_by = None;
        for scenario in concerned.iter().rev() {
            let status = answer.status;
            match scenario.after(call, answer).await? {
                Outcome::Answer(changed) => answer = changed,
                Outcome::Instead(changed) => {
                    answer = changed;
                    refused_by = Some(scenario.name());
                }
                Outcome::Cut => return Ok((Outcome::Cut, Some(scenario.name()))),
            }
            if answer.status != status {
                refused_by = Some(scenario.name());
            }
        }
        Ok((Outcome::Answer(answer), refused_by))
    }

    fn on(&self) -> Arc<On> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl On {
    fn new(settings: Settings) -> Result<Self, UnknownScenario> {
        let known = Scenarios::names();
        let is_known = |name: &&String| *name == ALL || known.contains(&name.as_str());
        if let Some(name) = settings.names.iter().find(|name| !is_known(name)) {
            return Err(UnknownScenario { name: name.clone(), known });
        }
        let is_on = |scenario: &dyn Scenario| {
            let is_meant = |name: &String| match name.as_str() {
                ALL => scenario.is_one_of_all(),
                name => name == scenario.name(),
            };
            settings.names.iter().any(is_meant)
        };
        let scenarios = make(&Given::of(&settings)).into_iter().filter(|scenario| is_on(scenario.as_ref())).collect();
        Ok(Self { settings, scenarios })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use axum::body::Bytes;
    use axum::http::{HeaderMap, HeaderValue, Method};

    use super::*;
    use crate::accelerator::Accelerators;
    use crate::emulator::Emulator;

    /// Everything that a call is made of, for tests in which no emulator is asked.
    pub(crate) struct Caller {
        pub(super) operation: Operation,
        request: Request,
        emulator: Emulator,
        accelerators: Accelerators,
    }

    impl Caller {
        /// A call that is signed for `service`, with more headers.
        pub(crate) fn new(
            service: &str,
            method: &str,
            path: &str,
            headers: &[(&'static str, &str)],
            body: &str,
        ) -> Self {
            let mut map = HeaderMap::new();
            let scope = format!("AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request");
            map.insert("authorization", HeaderValue::from_str(&scope).expect("text"));
            for (name, value) in headers {
                map.insert(*name, HeaderValue::from_str(value).expect("text"));
            }
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let request = Request::new(method, path.parse().expect("a path"), map, Bytes::from(body.to_owned()));
            Self {
                operation: Operation::of(&request),
                request,
                emulator: Emulator::new(0, ""),
                accelerators: Accelerators::new(std::time::Duration::ZERO),
            }
        }

        pub(crate) fn call(&self) -> Call<'_> {
            let Self { operation, request, emulator, accelerators } = self;
            Call { operation, original: request, emulator, accelerators }
        }

        pub(super) fn request(&self) -> Request {
            self.request.clone()
        }
    }

    /// The operation of this name, `service:Operation`, in the primary region.
    pub(super) fn operation(name: &str) -> Operation {
        let (service, name) = name.split_once(':').expect("service:Operation");
        Operation {
            kind: crate::operation::Kind::Api,
            service: service.to_owned(),
            region: "us-east-1".to_owned(),
            name: name.to_owned(),
        }
    }

    /// What a scenario is made from when time is not scaled.
    pub(super) fn given(seed: u64) -> Given {
        Given::of(&Settings { seed, time_scale: 1.0, ..Settings::default() })
    }

    /// A scenario of this name that has just been switched on.
    pub(super) fn scenario(name: &str) -> Box<dyn Scenario> {
        make(&given(1)).into_iter().find(|scenario| scenario.name() == name).expect("it is in the list")
    }

    /// Tests must be able to tell what the emulator refused from what a scenario did.
    #[tokio::test]
    async fn who_refused_a_call_is_told() {
        let on = |names: &[&str], limit: Option<&str>| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let limit = limit.map(str::to_owned);
            Scenarios::new(Settings { names, limit, ..Settings::default() }).expect("they exist")
        };
        let caller = Caller::new("apigateway", "POST", "/restapis", &[], "{}");
        let refused = async |_: &Call<'_>| Ok(Response::rest_refusal(axum::http::StatusCode::BAD_REQUEST, "X", "x"));
        let (_, by) = on(&["quotas"], None).apply(&caller.call(), refused).await.expect("no emulator is asked");
        assert_eq!(by, None);
        let full = on(&[ALL], Some("apigateway:CreateRestApi"));
        let alone = on(&["hard-limits"], Some("apigateway:CreateRestApi"));
        assert_eq!(full.settings().limit, alone.settings().limit);
        let (_, by) = alone.apply(&caller.call(), refused).await.expect("no emulator is asked");
        assert_eq!(by, Some("hard-limits"));
    }

    /// The list for people and the list for the machine are the same.
    #[test]
    fn the_table_in_the_readme_names_every_scenario() {
        let readme = include_str!("../../README.md");
        let section = readme.split("\n## ").find(|section| section.starts_with("Scenarios"));
        let section = section.expect("the section of the table");
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
        let table: Vec<&str> = rows.map(|(name, _)| name).collect();
        assert_eq!(table, Scenarios::names());
    }

    #[test]
    fn a_misspelt_scenario_is_told_with_those_there_are() {
        let settings = Settings { names: vec!["slow".to_owned()], ..Settings::default() };
        assert!(Scenarios::new(settings).is_err_and(|error| error.to_string().contains("no scenario `slow`")));
        let all = Settings { names: vec![ALL.to_owned()], ..Settings::default() };
        assert!(Scenarios::new(all).is_ok());
    }
}
