//! One run at a time where several machines can write: the lease on a deployment in a bucket.
//!
//! A lease is the object `<suffix>.lock`. Its holder writes it anew, its heartbeat, every [`HEARTBEAT`]; one that has not
//! been written for [`LEASE`] is over, and the next run takes it. So a run that was killed holds up the next one for one
//! lease at most, and nobody has to mend anything.
//!
//! No two machines' clocks are compared. Whether the lease of another run is over is told by S3 alone: the `Date` of its
//! answer less the `Last-Modified` in it. Whether the own lease still holds is told by the own clock alone: the time since
//! the last heartbeat that succeeded was *sent*, which is before S3 wrote it. The holder stops [`MARGIN`] before the others
//! may begin, which is far more than two clocks differ in a minute, and than S3 rounds to whole seconds.
//!
//! Invariants:
//! 1. At most one run holds the lease of a deployment: it is written only if absent, or if still as it was read.
//! 2. A holder that could not renew in time, or finds somebody else's lease, holds it no more, and never again.
//! 3. A lease that was not given back is marked by being there: who takes it is told so (`is_takeover`), because a write of
//!    the run before may still be on the way.
//! 4. Only the holder removes the lease, and only its own.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::{Timestamp, Unit};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::durable::Hold;
use super::error::{Leased, StateError};
use super::lock::Holder;
use super::objects::{Object, ObjectError, Objects, Only};

/// How long a lease lasts after a heartbeat. Long enough for three heartbeats to be lost, short enough to wait for.
pub(super) const LEASE: Duration = Duration::from_secs(60);

/// How often the holder writes it anew. An hour of it costs about a tenth of a cent in requests.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);

/// How soon a heartbeat is tried again that failed.
const AGAIN: Duration = Duration::from_secs(2);

/// How long before the end of its lease the holder stops.
const MARGIN: Duration = Duration::from_secs(5);

/// How often taking a lease is tried that others take and give back at the same time.
const TRIES: usize = 5;

/// What the object says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Text {
    holder: Holder,
    /// Tells this lease from every other, so that its holder knows it again.
    token: String,
    /// Counts the heartbeats, so that no two contents are equal.
    beat: u64,
    /// For people only.
    heartbeat: Timestamp,
    /// How long it lasts, for a drctl that has another idea of it.
    lease_seconds: u64,
    /// Whether somebody else ended it.
    #[serde(default)]
    ended: bool,
}

impl Text {
    fn encode(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a lease has string keys")
    }

    fn decode(object: &Object) -> Option<Self> {
        serde_json::from_slice(&object.bytes).ok()
    }

    /// The next heartbeat.
    fn next(&self) -> Self {
        Self { beat: self.beat + 1, heartbeat: now(), ..self.clone() }
    }
}

fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(Unit::Second).unwrap_or(now)
}

fn name(suffix: &str) -> String {
    format!("{suffix}.lock")
}

/// The lease of this run. Cheap to clone.
#[derive(Clone)]
pub struct Lease {
    shared: Arc<Shared>,
}

struct Shared {
    objects: Arc<dyn Objects>,
    suffix: String,
    current: Mutex<Current>,
    /// Wakes the heart when the lease is given back.
    wake: Condvar,
    lost: CancellationToken,
}

struct Current {
    text: Text,
    tag: String,
    /// When the last heartbeat that succeeded was sent, by our clock.
    confirmed: Duration,
    /// Whether it was lost, and to whom if that is known.
    lost: Option<Option<Holder>>,
    given_back: bool,
}

impl Lease {
    /// Whether the lease is held now, without asking anybody.
    pub fn is_held(&self) -> bool {
        self.check().is_ok()
    }

    /// Ends when the lease is lost.
    pub async fn lost(&self) {
        self.shared.lost.cancelled().await;
    }

    pub(super) fn check(&self) -> Result<(), StateError> {
        let silence = |current: &Current| self.shared.objects.clock().saturating_sub(current.confirmed);
        let mut current = self.current();
        let silence = silence(&current);
        if current.lost.is_none() && silence >= LEASE - MARGIN {
            current.lost = Some(None);
            self.shared.lost.cancel();
        }
        match current.lost.clone() {
            None => Ok(()),
            Some(to) => {
                let suffix = self.shared.suffix.clone();
                Err(StateError::LeaseLost { suffix, to: to.map(Box::new), silence })
            }
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.shared.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renews the lease; tells how long to wait before the next time, or nothing when it is over. No lock is held while S3
    /// is asked. One that is over is not renewed, though nobody may have taken it yet (invariant 2).
    pub(super) fn beat(&self) -> Option<Duration> {
        self.check().ok()?;
        let (text, tag) = {
            let current = self.current();
            (current.text.next(), current.tag.clone())
        };
        let objects = &self.shared.objects;
        let sent = objects.clock();
        let pause = match objects.put(&name(&self.shared.suffix), &text.encode(), Only::IfSame(&tag)) {
            Ok(tag) => {
                // An answer that came when the lease before was over renews nothing: others may have been let in since.
                self.check().ok()?;
                let mut current = self.current();
                (current.text, current.tag, current.confirmed) = (text, tag, sent);
                HEARTBEAT
            }
            Err(ObjectError::Unmet) => self.look()?,
            // Whatever it was, there is time to try again until the lease is over.
            Err(_) => AGAIN,
        };
        self.check().is_ok().then_some(pause)
    }

    /// Finds out why a heartbeat was refused: an earlier one whose answer was lost had arrived, or the lease is lost.
    fn look(&self) -> Option<Duration> {
        let Ok(found) = self.shared.objects.get(&name(&self.shared.suffix)) else { return Some(AGAIN) };
        let text = found.as_ref().and_then(Text::decode);
        let mut current = self.current();
        match (text, found) {
            (Some(text), Some(object)) if text.token == current.text.token && !text.ended => {
                (current.text, current.tag) = (text, object.tag);
                Some(Duration::ZERO)
            }
            (text, _) => {
                let holder = text.filter(|text| text.token != current.text.token).map(|text| text.holder);
                current.lost = Some(holder);
                self.shared.lost.cancel();
                None
            }
        }
    }

    /// Beats until the lease is given back or lost.
    fn live(&self) {
        let mut pause = HEARTBEAT;
        loop {
            let current = self.current();
            let waited = self.shared.wake.wait_timeout_while(current, pause, |current| !current.given_back);
            if waited.unwrap_or_else(PoisonError::into_inner).0.given_back {
                return;
            }
            match self.beat() {
                Some(next) => pause = next,
                None => return,
            }
        }
    }
}

/// The lease as the lock of a store. Dropping it gives the lease back.
pub(super) struct LeaseHold {
    lease: Lease,
    heart: Option<JoinHandle<()>>,
    is_takeover: bool,
    is_settled: bool,
    is_abandoned: bool,
}

impl LeaseHold {
    /// Takes a lease that is free or over.
    pub(super) fn take(objects: &Arc<dyn Objects>, suffix: &str, holder: &Holder) -> Result<Self, StateError> {
        let name = name(suffix);
        let text = Text {
            holder: holder.clone(),
            token: format!("{:032x}", rand::random::<u128>()),
            beat: 0,
            heartbeat: now(),
            lease_seconds: LEASE.as_secs(),
            ended: false,
        };
        let mut is_takeover = false;
        let mut confirmed = None;
        let mut tries = 0;
        let tag = loop {
            tries += 1;
            let found = objects.get(&name).map_err(|error| StateError::read(objects.locate(&name), error.into()))?;
            let only = match &found {
                None => Only::IfAbsent,
                Some(object) => match (Text::decode(object), confirmed) {
                    // The answer to our own write was lost.
                    (Some(found), Some(_)) if found.token == text.token => break object.tag.clone(),
                    (Some(found), _) if found.ended || object.age >= Duration::from_secs(found.lease_seconds) => {
                        Only::IfSame(&object.tag)
                    }
                    (None, _) if object.age >= LEASE => Only::IfSame(&object.tag),
                    _ => return Err(leased(suffix, object)),
                },
            };
            is_takeover = found.is_some();
            confirmed.get_or_insert(objects.clock());
            match objects.put(&name, &text.encode(), only) {
                Ok(tag) => break tag,
                Err(ObjectError::Unmet) if tries < TRIES => {}
                Err(error) if error.is_passing() && tries < TRIES => objects.pause(AGAIN),
                Err(error) => return Err(StateError::write(objects.locate(&name), error.into())),
            }
        };
        let confirmed = confirmed.expect("the loop ends after a put");
        let current = Mutex::new(Current { text, tag, confirmed, lost: None, given_back: false });
        let shared = Shared {
            objects: objects.clone(),
            suffix: suffix.to_owned(),
            current,
            wake: Condvar::new(),
            lost: CancellationToken::new(),
        };
        let lease = Lease { shared: Arc::new(shared) };
        let mut hold = Self { lease, heart: None, is_takeover, is_settled: !is_takeover, is_abandoned: false };
        if !objects.is_instant() {
            let lease = hold.lease.clone();
            let heart = std::thread::Builder::new().name("lease".to_owned()).spawn(move || lease.live());
            hold.heart = Some(heart.map_err(|error| StateError::write(objects.locate(&name), error))?);
        }
        Ok(hold)
    }

    /// Stops the heart, and waits for a heartbeat that is on the way.
    fn stop(&mut self) {
        self.lease.current().given_back = true;
        self.lease.shared.wake.notify_all();
        if let Some(heart) = self.heart.take() {
            // If it panicked, the lease was not renewed any more, which `check` has noticed.
            let _ = heart.join();
        }
    }
}

impl Hold for LeaseHold {
    fn check(&self) -> Result<(), StateError> {
        self.lease.check()
    }

    fn is_takeover(&self) -> bool {
        self.is_takeover
    }

    fn settle(&mut self) {
        self.is_settled = true;
    }

    fn abandon(&mut self) {
        self.is_abandoned = true;
    }

    fn lease(&self) -> Option<Lease> {
        Some(self.lease.clone())
    }

    fn remove(self: Box<Self>) -> Result<(), StateError> {
        Ok(())
    }
}

impl Drop for LeaseHold {
    fn drop(&mut self) {
        self.stop();
        if self.is_abandoned || !self.is_settled || !self.lease.is_held() {
            return;
        }
        let (objects, suffix) = (&self.lease.shared.objects, &self.lease.shared.suffix);
        let tag = self.lease.current().tag.clone();
        // One that cannot be given back ends by itself.
        if matches!(objects.delete(&name(suffix), &tag), Err(ObjectError::Unmet)) {
            // The answer to the last heartbeat was lost, so the tag may be an older one.
            if self.lease.look().is_some() {
                let tag = self.lease.current().tag.clone();
                let _ = objects.delete(&name(suffix), &tag);
            }
        }
    }
}

/// Ends the lease of another run that is over, or by force one that is not; tells whose it was. It is marked and not
/// removed, so that the next run knows that it was not given back.
pub(super) fn end(objects: &dyn Objects, suffix: &str, by_force: bool) -> Result<Option<Holder>, StateError> {
    let name = name(suffix);
    for _ in 0..TRIES {
        let found = objects.get(&name).map_err(|error| StateError::read(objects.locate(&name), error.into()))?;
        let Some(object) = found else { return Ok(None) };
        let text = Text::decode(&object);
        if text.as_ref().is_some_and(|text| text.ended) {
            return Ok(None);
        }
        let length = text.as_ref().map_or(LEASE, |text| Duration::from_secs(text.lease_seconds));
        if !by_force && object.age < length {
            return Err(leased(suffix, &object));
        }
        let holder = text.as_ref().map_or_else(|| Holder::current("state unlock"), |text| text.holder.clone());
        let token = text.map(|text| text.token).unwrap_or_default();
        let lease_seconds = length.as_secs();
        let ended = Text { holder: holder.clone(), token, beat: 0, heartbeat: now(), lease_seconds, ended: true };
        match objects.put(&name, &ended.encode(), Only::IfSame(&object.tag)) {
            Ok(_) => return Ok(Some(holder)),
            // It was renewed or given back just now.
            Err(ObjectError::Unmet) => {}
            Err(error) => return Err(StateError::write(objects.locate(&name), error.into())),
        }
    }
    Err(StateError::write(objects.locate(&name), ObjectError::Unmet.into()))
}

fn leased(suffix: &str, object: &Object) -> StateError {
    let text = Text::decode(object);
    let length = text.as_ref().map_or(LEASE, |text| Duration::from_secs(text.lease_seconds));
    StateError::Leased(Box::new(Leased {
        suffix: suffix.to_owned(),
        holder: text.map(|text| text.holder),
        beat: object.tag.clone(),
        age: object.age,
        length,
    }))
}
