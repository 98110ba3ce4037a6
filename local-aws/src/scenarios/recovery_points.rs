//! The daily backups of a plan fill its vaults with recovery points; a vault with some cannot be deleted, points go some time after they are
//! told to (`bk.delete.points`), and the vault counts them for a while longer (`bk.delete.vault-lag`). The emulator makes no backups.
//!
//! Every vault has a few points from the moment somebody looks into it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Given, Outcome, Scenario};
use crate::corrections::Call;
use crate::error::Error;
use crate::message::{Request, Response};
use crate::operation::Operation;
use crate::refusal::refusal;

/// How many points a vault has.
const POINTS: usize = 3;
/// How long a point stays after it was told to go, at least and at most.
const GOING: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(120)];
/// For how long a vault counts its last point after it has gone.
const COUNTED: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct RecoveryPoints {
    given: Given,
    vaults: Mutex<HashMap<String, Vault>>,
}

/// The points of a vault, and until when each of them is there once it was told to go.
#[derive(Debug, PartialEq)]
struct Vault(Vec<(String, Option<Duration>)>);

impl Vault {
    fn new(key: &str) -> Self {
        Self((1..=POINTS).map(|number| (format!("{}-{number}", key.replace('/', "-")), None)).collect())
    }

    /// The points that are there, and whether each is going.
    fn points(&self, now: Duration) -> impl Iterator<Item = (&str, bool)> {
        let there = self.0.iter().filter(move |(_, end)| end.is_none_or(|end| now < end));
        there.map(|(id, end)| (id.as_str(), end.is_some()))
    }

    fn delete(&mut self, id: &str, end: Duration) -> bool {
        let point = self.0.iter_mut().find(|(known, _)| known == id);
        point.is_some_and(|(_, going)| {
            going.get_or_insert(end);
            true
        })
    }

    fn counts_some(&self, now: Duration) -> bool {
        self.0.iter().any(|(_, end)| end.is_none_or(|end| now < end + COUNTED))
    }
}

impl RecoveryPoints {
    pub(super) fn new(given: &Given) -> Self {
        Self { given: given.clone(), vaults: Mutex::default() }
    }

    fn vaults(&self) -> MutexGuard<'_, HashMap<String, Vault>> {
        self.vaults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, key: &str, work: impl FnOnce(&mut Vault) -> T) -> T {
        work(self.vaults().entry(key.to_owned()).or_insert_with(|| Vault::new(key)))
    }
}

#[async_trait]
impl Scenario for RecoveryPoints {
    fn name(&self) -> &'static str {
        "recovery-points"
    }

    fn concerns(&self, operation: &Operation) -> bool {
        let concerned = ["DeleteBackupVault", "DeleteRecoveryPoint", "ListRecoveryPointsByBackupVault"];
        operation.service == "backup" && concerned.contains(&operation.name.as_str())
    }

    async fn before(&self, call: &Call<'_>, _: &mut Request) -> Result<Option<Outcome>, Error> {
        let (key, now) = (vault(call), self.given.clock.now());
        match call.name() {
            "DeleteRecoveryPoint" => {
                let id = call.original.uri.path().rsplit(['/', ':']).next().unwrap_or_default();
                // The colons of an ARN are escaped in a path.
                let id = id.rsplit("%3A").next().unwrap_or_default();
                let [shortest, longest] = GOING;
                let end = now + self.given.dice.span(&format!("recovery-points/{id}"), shortest, longest);
                Ok(Some(Outcome::Answer(match self.with(&key, |vault| vault.delete(id, end)) {
                    true => Response { body: "".into(), ..Response::json_document(StatusCode::OK, &json!({})) },
                    false => {
                        let message = format!("Recovery point {id} was not found");
                        refusal(call, StatusCode::BAD_REQUEST, "ResourceNotFoundException", &message)
                    }
                })))
            }
            "DeleteBackupVault" if self.with(&key, |vault| vault.counts_some(now)) => {
                let message = "Backup vault cannot be deleted because it contains recovery points.";
                let answer = refusal(call, StatusCode::BAD_REQUEST, "InvalidRequestException", message);
                Ok(Some(Outcome::Answer(answer)))
            }
            _ => Ok(None),
        }
    }

    async fn after(&self, call: &Call<'_>, mut answer: Response) -> Result<Outcome, Error> {
        let key = vault(call);
        match call.name() {
            "DeleteBackupVault" => drop(self.vaults().remove(&key)),
            "ListRecoveryPointsByBackupVault" if answer.status.is_success() => {
                let now = self.given.clock.now();
                let points = self.with(&key, |vault| {
                    vault.points(now).map(|(id, is_going)| point(call.region(), id, is_going)).collect::<Vec<_>>()
                });
                answer.change_json(|document| document["RecoveryPoints"] = points.into());
            }
            _ => {}
        }
        Ok(Outcome::Answer(answer))
    }
}

/// A vault by region and name.
fn vault(call: &Call<'_>) -> String {
    let name = call.original.uri.path().split('/').nth(2).unwrap_or_default();
    format!("{}/{name}", call.region())
}

fn point(region: &str, id: &str, is_going: bool) -> Value {
    let status = if is_going { "DELETING" } else { "COMPLETED" };
    json!({
        "RecoveryPointArn": format!("arn:aws:backup:{region}:000000000000:recovery-point:{id}"),
        "Status": status,
        "ResourceType": "DynamoDB",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vault_is_empty_some_time_after_its_points_were_told_to_go() {
        let mut vault = Vault::new("us-east-1/dr");
        let (start, end) = (Duration::ZERO, Duration::from_secs(60));
        let ids: Vec<String> = vault.points(start).map(|(id, _)| id.to_owned()).collect();
        assert_eq!(ids.len(), POINTS);
        assert!(!vault.delete("other", end));
        assert!(ids.iter().all(|id| vault.delete(id, end)));
        assert!(vault.points(start).all(|(_, is_going)| is_going));
        assert_eq!(vault.points(end).count(), 0);
        assert!(vault.counts_some(end), "AWS still counts them");
        assert!(!vault.counts_some(end + COUNTED));
    }

    /// Being told twice does not keep a point longer.
    #[test]
    fn a_point_goes_when_it_was_first_told_to() {
        let mut vault = Vault::new("us-east-1/dr");
        let id = vault.0[0].0.clone();
        vault.delete(&id, Duration::from_secs(10));
        vault.delete(&id, Duration::from_secs(99));
        assert!(vault.points(Duration::from_secs(10)).all(|(left, _)| left != id));
    }
}
