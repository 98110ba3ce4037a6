//! Faults that strike any call now and then: of the network, and of AWS itself. One file per scenario.
//!
//! Invariants:
//! 1. Calls of deployed REST APIs and of the functions that the emulator runs are never struck.
//! 2. Delays are counted in our time: how long a client waits for an answer does not depend on the time scale.

mod connection_resets;
mod lost_replies;
mod repeated_replies;
mod server_errors;
mod slow_replies;
mod timeouts;

pub(super) use connection_resets::ConnectionResets;
pub(super) use lost_replies::LostReplies;
pub(super) use repeated_replies::RepeatedReplies;
pub(super) use server_errors::ServerErrors;
pub(super) use slow_replies::SlowReplies;
pub(super) use timeouts::Timeouts;

use super::Given;
use crate::corrections::Call;
use crate::operation::{Kind, Operation};

/// How often each fault strikes a call, by the name of the lot. Far more often than on AWS, so that a run meets some.
const RATES: [(&str, f64); 8] = [
    ("connection-resets", 0.01),
    ("lost-replies", 0.02),
    // Of the reads that repeat an earlier one.
    ("repeated-replies", 0.1),
    ("server-errors before", 0.01),
    ("server-errors after", 0.01),
    ("slow-replies", 0.02),
    ("timeouts before", 0.005),
    ("timeouts after", 0.005),
];

/// Whether faults have to do with an operation at all.
fn may_strike(operation: &Operation) -> bool {
    operation.kind == Kind::Api
}

/// Tells by lot whether a fault strikes this call.
fn strikes(given: &Given, fault: &str, call: &Call<'_>) -> bool {
    let (_, rate) = RATES.iter().find(|(name, _)| *name == fault).expect("every fault is in the table");
    !call.original.is_of_a_function() && given.dice.happens(&lot(fault, call), *rate)
}

/// The name of a lot about a call.
fn lot(about: &str, call: &Call<'_>) -> String {
    let Operation { service, name, region, .. } = call.operation;
    format!("{about}/{service}:{name}/{region}")
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use serde_json::json;

    use super::super::tests::{Caller, given, scenario};
    use super::super::{Outcome, Scenario};
    use crate::message::Response;
    use std::time::Duration;

    const CALLS: usize = 2000;

    fn create_table() -> Caller {
        Caller::new("dynamodb", "POST", "/", &[("x-amz-target", "DynamoDB_20120810.CreateTable")], "{}")
    }

    fn answer() -> Response {
        Response::json_document(StatusCode::OK, &json!({ "answer": 1 }))
    }

    /// The outcomes of many calls, before and after they took effect; those that passed untouched are left out.
    async fn struck(scenario: &dyn Scenario, caller: &Caller) -> (Vec<Outcome>, Vec<Outcome>) {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for _ in 0..CALLS {
            let call = caller.call();
            if let Some(outcome) = scenario.before(&call, &mut caller.request()).await.expect("no emulator is asked") {
                before.push(outcome);
                continue;
            }
            match scenario.after(&call, answer()).await.expect("no emulator is asked") {
                Outcome::Answer(passed) if passed.status == StatusCode::OK => {}
                outcome => after.push(outcome),
            }
        }
        (before, after)
    }

    fn share(outcomes: &[Outcome]) -> f64 {
        outcomes.len() as f64 / CALLS as f64
    }

    #[tokio::test]
    async fn a_reset_takes_no_effect_and_a_lost_reply_does() {
        let (before, after) = struck(scenario("connection-resets").as_ref(), &create_table()).await;
        assert!((0.005..0.02).contains(&share(&before)), "{}", before.len());
        assert!(after.is_empty() && before.iter().all(|outcome| matches!(outcome, Outcome::Cut)));

        let (before, after) = struck(scenario("lost-replies").as_ref(), &create_table()).await;
        assert!((0.01..0.03).contains(&share(&after)), "{}", after.len());
        assert!(before.is_empty() && after.iter().all(|outcome| matches!(outcome, Outcome::Cut)));
    }

    #[tokio::test]
    async fn a_server_error_tells_nothing_about_the_effect() {
        let (before, after) = struck(scenario("server-errors").as_ref(), &create_table()).await;
        assert!((0.005..0.02).contains(&share(&before)) && (0.005..0.02).contains(&share(&after)));
        for outcome in before.iter().chain(&after) {
            let Outcome::Answer(refusal) = outcome else { panic!("it is answered") };
            assert!(refusal.status.is_server_error(), "{}", refusal.status);
        }
    }

    /// A client needs a minute to give up: more would make runs of minutes.
    #[tokio::test(start_paused = true)]
    async fn few_calls_are_never_answered() {
        let (before, after) = struck(scenario("timeouts").as_ref(), &create_table()).await;
        assert_eq!(before.len() + after.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_replies_arrive_unchanged() {
        let start = tokio::time::Instant::now();
        let (before, after) = struck(scenario("slow-replies").as_ref(), &create_table()).await;
        assert!(before.is_empty() && after.is_empty());
        assert!((20..200).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_answers_once_more_what_it_answered_a_moment_ago_and_not_later() {
        let stale = scenario("repeated-replies");
        let read = Caller::new("dynamodb", "POST", "/", &[("x-amz-target", "DynamoDB_20120810.DescribeTable")], "{}");
        let other =
            Caller::new("dynamodb", "POST", "/", &[("x-amz-target", "DynamoDB_20120810.DescribeTable")], r#"{"a":1}"#);
        assert!(read_once(stale.as_ref(), &read, "old").await.is_none(), "there is nothing to repeat yet");
        let mut repeated = None;
        for _ in 0..100 {
            read_once(stale.as_ref(), &other, "another").await;
            repeated = repeated.or(read_once(stale.as_ref(), &read, "old").await);
        }
        let Some(Outcome::Answer(repeated)) = repeated else { panic!("one of a hundred is repeated") };
        assert_eq!(repeated.json_body()["answer"], "old", "not what another read answered");

        for _ in 0..100 {
            tokio::time::advance(Duration::from_secs(60)).await;
            assert!(read_once(stale.as_ref(), &read, "new").await.is_none(), "the one before is too old");
        }
    }

    /// Lets a read pass, which the emulator answers so; what the scenario answered in its place.
    async fn read_once(scenario: &dyn Scenario, read: &Caller, answer: &str) -> Option<Outcome> {
        let call = read.call();
        let outcome = scenario.before(&call, &mut read.request()).await.expect("no emulator is asked");
        if outcome.is_none() {
            let answer = Response::json_document(StatusCode::OK, &json!({ "answer": answer }));
            scenario.after(&call, answer).await.expect("no emulator is asked");
        }
        outcome
    }

    /// Invariant 1.
    #[tokio::test]
    async fn functions_are_left_alone() {
        let agent = ("user-agent", "Boto3/1.40.0 exec-env/AWS_Lambda_python3.12 Botocore/1.40.0");
        let function =
            Caller::new("dynamodb", "POST", "/", &[("x-amz-target", "DynamoDB_20120810.PutItem"), agent], "{}");
        for name in ["connection-resets", "lost-replies", "server-errors"] {
            let (before, after) = struck(scenario(name).as_ref(), &function).await;
            assert!(before.is_empty() && after.is_empty(), "{name}");
        }
        let data_plane = Caller::new("execute-api", "GET", "/prod/health", &[], "");
        assert!(super::super::make(&given(1)).iter().take(6).all(|fault| !fault.concerns(&data_plane.operation)));
    }
}
