//! Tests of the state as a whole. The numbers are those of the invariants in the module's documentation.

mod bucket;
mod concurrency;
mod crash;
mod damage;
mod folder;
mod shelf;
mod slow;
mod transfer;
mod transitions;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::memory::Memory;
use super::{Deployment, Desired, Entry, Holder, Intent, Medium, StateError, Store};
use crate::address::{Address, Scope};

fn address(name: &str) -> Address {
    Address::new(Scope::region("us-east-1"), "ec2_vpc", name)
}

fn deployment() -> Deployment {
    Deployment {
        suffix: "dev".to_owned(),
        account: "123456789012".to_owned(),
        partition: "aws".to_owned(),
        regions: vec!["us-east-1".to_owned(), "us-east-2".to_owned()],
        facts: [("engine_version".to_owned(), json!("8.0.mysql_aurora.3.08.2"))].into(),
        ..Deployment::default()
    }
}

fn holder() -> Holder {
    Holder {
        process: 4711,
        host: "build-7".to_owned(),
        user: "ann".to_owned(),
        command: "drctl up --suffix dev".to_owned(),
        started: Timestamp::UNIX_EPOCH,
        ci_run: Some("https://ci.example/runs/1".to_owned()),
    }
}

fn desired(cidr: &str) -> Desired {
    Desired { spec: json!({ "cidr": cidr }), ..Desired::default() }
}

fn create(token: &str) -> Entry {
    Entry::Intended(Intent::Create { token: token.to_owned(), desired: desired("10.0.0.0/16") })
}

fn identified(id: &str) -> Entry {
    Entry::Identified { outputs: json!({ "id": id }) }
}

fn done(id: &str) -> Entry {
    Entry::Done { outputs: json!({ "id": id, "arn": format!("arn:{id}") }), milliseconds: 1200 }
}

async fn new_store(medium: &(impl Medium + Clone)) -> Store {
    let store = Store::create(Arc::new(medium.clone()), deployment(), &holder(), Duration::ZERO).await;
    store.expect("a new deployment")
}

async fn open(medium: &(impl Medium + Clone)) -> Result<Store, StateError> {
    Store::open(Arc::new(medium.clone()), "dev", &holder(), Duration::ZERO).await
}

/// A medium with one ready and one half-created resource, as a run that crashed left it.
async fn crashed_run() -> Memory {
    let medium = Memory::new();
    let store = new_store(&medium).await;
    for entry in [create("t1"), identified("vpc-1"), done("vpc-1")] {
        store.record(&address("main"), entry).await.expect("recorded");
    }
    store.record(&address("other"), create("t2")).await.expect("recorded");
    medium.restart();
    medium
}
