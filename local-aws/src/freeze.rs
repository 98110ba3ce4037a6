//! A standstill for crash tests: from a chosen changing call on, nothing is answered any more, so that the tool under test can
//! be killed while exactly so much of its work has taken effect and nothing is known of the rest.
//!
//! Invariants:
//! 1. What arrived before the chosen call is answered; the chosen call and every later one is not, until the freeze is lifted,
//!    and then its connection is closed.
//! 2. A held call never takes effect; only the chosen one does, if so ordered.
//! 3. Calls of deployed REST APIs and of the functions that the emulator runs pass, and are not counted.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::message::Request;
use crate::operation::{Kind, Operation};

/// Where to freeze.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    /// Which changing call from now on, counted from 1.
    pub(crate) call: u64,
    /// Whether that call takes effect.
    #[serde(default)]
    pub(crate) after: bool,
}

/// What is known of the freeze.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct State {
    /// Whether everything stands still, the effect of the chosen call included.
    frozen: bool,
    #[serde(flatten)]
    order: Option<Order>,
    /// The chosen call, as `service:Operation`, once it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    /// How many changing calls were seen since the order, up to the chosen one.
    seen: u64,
    #[serde(skip)]
    holds: bool,
    /// Rises with each order, so that what an earlier one holds is let go.
    #[serde(skip)]
    round: u64,
}

/// What a call has to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Gate {
    /// Pass.
    Open,
    /// Wait in vain.
    Closed(Held),
    /// Take effect, and then wait in vain.
    ClosedAfter(Held),
}

/// The order that holds a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Held(u64);

/// The freeze of one proxy.
pub(crate) struct Freeze(watch::Sender<State>);

impl Freeze {
    /// Nothing is frozen, nor will be.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(State::default()))
    }

    /// Orders a freeze, which replaces any earlier one.
    pub(crate) fn order(&self, order: Order) {
        self.0.send_modify(|state| *state = State { order: Some(order), round: state.round + 1, ..State::default() });
    }

    /// Lets everything go.
    pub(crate) fn lift(&self) {
        self.0.send_modify(|state| *state = State { round: state.round + 1, ..State::default() });
    }

    /// What is known, once everything stands still or the time is over.
    pub(crate) async fn state(&self, wait: Duration) -> State {
        let mut states = self.0.subscribe();
        // Over is over: what is known then is the answer as well.
        let _ = tokio::time::timeout(wait, states.wait_for(|state| state.frozen)).await;
        self.0.borrow().clone()
    }

    /// Counts a call and says what it has to do.
    pub(crate) fn gate(&self, operation: &Operation, request: &Request) -> Gate {
        if operation.kind == Kind::DataPlane || request.is_of_a_function() {
            return Gate::Open;
        }
        let mut gate = Gate::Open;
        self.0.send_modify(|state| {
            let held = Held(state.round);
            if state.holds {
                gate = Gate::Closed(held);
            } else if let Some(order) = state.order
                && operation.is_mutating()
            {
                state.seen += 1;
                if state.seen == order.call {
                    state.holds = true;
                    state.operation = Some(format!("{}:{}", operation.service, operation.name));
                    state.frozen = !order.after;
                    gate = if order.after { Gate::ClosedAfter(held) } else { Gate::Closed(held) };
                }
            }
        });
        gate
    }

    /// The chosen call took effect.
    pub(crate) fn took_effect(&self, held: Held) {
        self.0.send_modify(|state| state.frozen |= state.round == held.0);
    }

    /// Returns when the order that holds a call was lifted or replaced.
    pub(crate) async fn lifted(&self, held: Held) {
        let mut states = self.0.subscribe();
        states.wait_for(|state| state.round != held.0).await.expect("the sender lives as long as this value");
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use axum::http::{HeaderMap, Method, Uri};

    use super::*;

    fn pass(freeze: &Freeze, name: &str) -> Gate {
        let operation =
            Operation { kind: Kind::Api, service: "ec2".into(), region: "us-east-1".into(), name: name.into() };
        let request = Request::new(Method::POST, Uri::from_static("/"), HeaderMap::new(), Bytes::new());
        freeze.gate(&operation, &request)
    }

    async fn now(freeze: &Freeze) -> State {
        freeze.state(Duration::ZERO).await
    }

    /// Invariants 1 and 2.
    #[tokio::test]
    async fn the_chosen_call_and_all_later_ones_are_held_until_the_freeze_is_lifted() {
        let freeze = Freeze::new();
        assert_eq!(pass(&freeze, "CreateVpc"), Gate::Open);
        freeze.order(Order { call: 2, after: false });
        assert_eq!(pass(&freeze, "CreateVpc"), Gate::Open);
        assert_eq!(pass(&freeze, "DescribeVpcs"), Gate::Open, "reads are not counted");
        assert!(!now(&freeze).await.frozen);
        let Gate::Closed(held) = pass(&freeze, "CreateSubnet") else { panic!("it is the second") };
        assert_eq!(pass(&freeze, "DescribeVpcs"), Gate::Closed(held), "reads are held");
        let state = now(&freeze).await;
        assert_eq!((state.frozen, state.seen, state.operation.as_deref()), (true, 2, Some("ec2:CreateSubnet")));

        let lifted = freeze.lifted(held);
        freeze.lift();
        lifted.await;
        assert_eq!(pass(&freeze, "DescribeVpcs"), Gate::Open);
        assert_eq!(now(&freeze).await.seen, 0);
    }

    #[tokio::test]
    async fn a_call_that_is_to_take_effect_has_done_so_before_everything_stands_still() {
        let freeze = Freeze::new();
        freeze.order(Order { call: 1, after: true });
        let Gate::ClosedAfter(held) = pass(&freeze, "CreateVpc") else { panic!("it is the first") };
        assert_eq!(pass(&freeze, "CreateSubnet"), Gate::Closed(held));
        assert!(!now(&freeze).await.frozen);
        freeze.took_effect(held);
        assert!(now(&freeze).await.frozen);
    }

    #[tokio::test]
    async fn who_waits_hears_of_it_at_once() {
        let freeze = Freeze::new();
        freeze.order(Order { call: 1, after: false });
        let (state, _) = tokio::join!(freeze.state(Duration::from_secs(3600)), async { pass(&freeze, "CreateVpc") });
        assert!(state.frozen);
    }

    #[tokio::test]
    async fn another_order_counts_anew_and_lets_go_what_the_first_one_holds() {
        let freeze = Freeze::new();
        freeze.order(Order { call: 1, after: false });
        let Gate::Closed(held) = pass(&freeze, "CreateVpc") else { panic!("it is the first") };
        freeze.order(Order { call: 7, after: false });
        freeze.lifted(held).await;
        assert_eq!(pass(&freeze, "CreateVpc"), Gate::Open);
    }
}
