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

mod clock;
mod dice;
mod durations;
mod eventual_reads;
mod refusal;
mod slow_states;
mod tree;
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

/// The name that stands for every scenario.
const ALL: &str = "all";

/// How the client learns of an answer.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It arrives.
    Answer(Response),
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
    /// The names of the scenarios; `all` stands for every one.
    pub(crate) names: Vec<String>,
    /// Decides everything that is drawn by lot.
    pub(crate) seed: u64,
    /// How many seconds of AWS pass in one of ours. Rates of quotas are not scaled: clients keep those by their own clock.
    pub(crate) time_scale: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { names: Vec::new(), seed: 1, time_scale: 60.0 }
    }
}

/// What every scenario is made from.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    /// The scaled time.
    pub(crate) clock: Clock,
    /// Lots.
    pub(crate) dice: Arc<Dice>,
}

/// Every scenario there is, outermost first.
fn make(given: &Given) -> Vec<Box<dyn Scenario>> {
    vec![
        Box::new(unready_roles::UnreadyRoles::new(given)),
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
        let given = Given { clock: Clock::new(1.0), dice: Arc::new(Dice::new(0)) };
        make(&given).iter().map(|scenario| scenario.name()).collect()
    }

    /// Lets a call pass the scenarios; `send` is what happens behind them.
    pub(crate) async fn apply<F>(&self, call: &Call<'_>, send: F) -> Result<Outcome, Error>
    where
        F: AsyncFnOnce(&Call<'_>) -> Result<Response, Error>,
    {
        let on = self.on();
        let concerned: Vec<_> = on.scenarios.iter().filter(|scenario| scenario.concerns(call.operation)).collect();
        if concerned.is_empty() {
            return Ok(Outcome::Answer(send(call).await?));
        }
        let mut request = call.original.clone();
        for scenario in &concerned {
            if let Some(outcome) = scenario.before(call, &mut request).await? {
                return Ok(outcome);
            }
        }
        let mut answer = send(&Call { original: &request, ..*call }).await?;
        for scenario in concerned.iter().rev() {
            match scenario.after(call, answer).await? {
                Outcome::Answer(changed) => answer = changed,
                Outcome::Cut => return Ok(Outcome::Cut),
            }
        }
        Ok(Outcome::Answer(answer))
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
        let given = Given { clock: Clock::new(settings.time_scale), dice: Arc::new(Dice::new(settings.seed)) };
        let is_on =
            |scenario: &Box<dyn Scenario>| settings.names.iter().any(|name| name == ALL || name == scenario.name());
        let scenarios = make(&given).into_iter().filter(is_on).collect();
        Ok(Self { settings, scenarios })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The list for people and the list for the machine are the same.
    #[test]
    fn the_table_in_the_readme_names_every_scenario() {
        let readme = include_str!("../../README.md");
        let section = readme.split("## Scenarios").nth(1).expect("the section of the table");
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
