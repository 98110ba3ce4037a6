//! Merges changes to one thing that AWS takes one request at a time for.
//!
//! Route 53 works on one request of a zone at a time and takes many changes in one (`r53.prior-request`, `r53.record.batch-limits`).
//! So whoever comes while a request of the same lane is under way waits for its end, and then all who waited go together.
//!
//! Invariants:
//! 1. At most one request of a lane is under way.
//! 2. A request that is refused as a whole is sent again in parts, so that each change hears its own refusal.
//! 3. Who asked hears an answer, or that it was lost, even when the one who sent for all is stopped in the middle.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use super::error::{Error, Result};

/// How many changes go in one request; far below what Route 53 takes.
const MOST: usize = 100;

/// Changes that wait to be sent, by lane.
#[derive(Debug)]
pub struct Merger<C, A> {
    lanes: Mutex<HashMap<String, Arc<Lane<C, A>>>>,
}

#[derive(Debug)]
struct Lane<C, A> {
    /// Held by the one whose request is under way.
    turn: tokio::sync::Mutex<()>,
    waiting: Mutex<Vec<Waiting<C, A>>>,
}

#[derive(Debug)]
struct Waiting<C, A> {
    change: C,
    reply: oneshot::Sender<Result<A>>,
}

impl<C, A> Default for Merger<C, A> {
    fn default() -> Self {
        Self { lanes: Mutex::default() }
    }
}

impl<C: Clone, A: Clone> Merger<C, A> {
    /// Has a change made, perhaps together with others of the same lane. `send` makes some of them by one request of `operation`.
    ///
    /// # Errors
    /// What AWS answered to this change, or that the answer was lost.
    pub async fn submit<F, Fut>(&self, lane: &str, operation: &str, change: C, send: F) -> Result<A>
    where
        F: Fn(Vec<C>) -> Fut,
        Fut: Future<Output = Result<A>>,
    {
        let lane = self.lane(lane);
        let (reply, mut answer) = oneshot::channel();
        lane.waiting().push(Waiting { change, reply });
        loop {
            let turn = lane.turn.lock().await;
            match answer.try_recv() {
                Ok(answer) => return answer,
                Err(oneshot::error::TryRecvError::Closed) => {
                    let cause = "the request was stopped while it was under way".to_owned();
                    return Err(Error::NoAnswer { operation: operation.to_owned(), cause });
                }
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
            let batch: Vec<_> = {
                let mut waiting = lane.waiting();
                let count = waiting.len().min(MOST);
                waiting.drain(..count).collect()
            };
            send_all(batch, &send).await;
            drop(turn);
        }
    }

    fn lane(&self, name: &str) -> Arc<Lane<C, A>> {
        let mut lanes = self.lanes.lock().expect("no code panics while it holds this lock");
        let new = || Arc::new(Lane { turn: tokio::sync::Mutex::default(), waiting: Mutex::default() });
        lanes.entry(name.to_owned()).or_insert_with(new).clone()
    }
}

impl<C, A> Lane<C, A> {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Waiting<C, A>>> {
        self.waiting.lock().expect("no code panics while it holds this lock")
    }
}

async fn send_all<C: Clone, A: Clone, F, Fut>(batch: Vec<Waiting<C, A>>, send: &F)
where
    F: Fn(Vec<C>) -> Fut,
    Fut: Future<Output = Result<A>>,
{
    let answer = send(batch.iter().map(|one| one.change.clone()).collect()).await;
    let refused = matches!(&answer, Err(error) if !error.is_unanswered());
    if refused && batch.len() > 1 {
        for one in batch {
            // Who no longer listens was stopped, and looks for itself the next time.
            let _ = one.reply.send(send(vec![one.change]).await);
        }
    } else {
        for one in batch {
            let _ = one.reply.send(answer.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::aws::Refusal;
    use futures::future::join_all;
    use tokio::time::sleep;

    type Sent = Mutex<Vec<Vec<u32>>>;

    async fn submit(merger: &Merger<u32, u32>, sent: &Sent, change: u32) -> Result<u32> {
        let send = async |changes: Vec<u32>| {
            sent.lock().unwrap().push(changes.clone());
            sleep(Duration::from_secs(1)).await;
            let bad = changes.contains(&13);
            if bad {
                Err(Refusal { code: "InvalidChangeBatch".into(), ..Refusal::default() }.into())
            } else {
                Ok(change)
            }
        };
        merger.submit("zone", "route53:ChangeResourceRecordSets", change, send).await
    }

    /// Invariant 1: the second request takes everybody who came during the first.
    #[tokio::test(start_paused = true)]
    async fn those_who_come_while_a_request_is_under_way_go_together() {
        let (merger, sent) = (Merger::default(), Sent::default());
        let answers = join_all((1..=4).map(|change| submit(&merger, &sent, change))).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        assert_eq!(*sent.lock().unwrap(), [vec![1], vec![2, 3, 4]]);
    }

    /// `r53.record.batch-limits`: records have up to four values, and an upsert counts them twice.
    #[tokio::test(start_paused = true)]
    async fn no_request_has_more_changes_than_route_53_takes() {
        let (merger, sent) = (Merger::default(), Sent::default());
        join_all((100..351).map(|change| submit(&merger, &sent, change))).await;
        let sizes: Vec<usize> = sent.lock().unwrap().iter().map(Vec::len).collect();
        assert_eq!(sizes, [1, 100, 100, 50]);
        const { assert!(MOST * 4 * 2 <= 1000) };
    }

    /// Invariant 2.
    #[tokio::test(start_paused = true)]
    async fn one_bad_change_does_not_spoil_the_others() {
        let (merger, sent) = (Merger::default(), Sent::default());
        let answers = join_all([11, 12, 13, 14].map(|change| submit(&merger, &sent, change))).await;
        assert!([0, 1, 3].iter().all(|&at| answers[at].is_ok()));
        assert_eq!(answers[2].as_ref().unwrap_err().code(), Some("InvalidChangeBatch"));
    }

    /// Invariant 3.
    #[tokio::test(start_paused = true)]
    async fn who_was_sent_along_with_somebody_who_is_stopped_hears_that_the_answer_is_lost() {
        let (merger, sent) = (Merger::default(), Sent::default());
        let (mut one, mut two, mut three) = (
            Box::pin(submit(&merger, &sent, 1)),
            Box::pin(submit(&merger, &sent, 2)),
            Box::pin(submit(&merger, &sent, 3)),
        );
        tokio::select! {
            biased;
            _ = join_all([&mut one, &mut two, &mut three]) => unreachable!("two requests take two seconds"),
            () = sleep(Duration::from_millis(1500)) => {}
        }
        assert_eq!(*sent.lock().unwrap(), [vec![1], vec![2, 3]]);
        drop(two);
        assert!(three.await.unwrap_err().is_uncertain());
    }
}
