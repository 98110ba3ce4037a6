//! `drctl state`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::Flags;
use super::session::{Cloud, Session, state_failure};
use crate::address::{Address, Scope};
use crate::aws::tags;
use crate::engine::observe::Objects;
use crate::engine::recover;
use crate::error::{Failure, Kind, Outcome};
use crate::functions;
use crate::plan::{AddressPattern, Suffix};
use crate::resources::{Index, Provider};
use crate::state::{self, Deployment, End, Entry, Holder, Medium, Records, Snapshot, Store, Transfer};
use crate::topology::Topology;
use crate::ui::{Again, Screen};

/// Looks at the state file and mends it
#[derive(Debug, Args)]
pub(super) struct State {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists all records
    List,
    /// Prints one record
    Show {
        /// The resource, such as `us-east-1/ec2_vpc/vpc`
        address: Address,
    },
    /// Takes a resource off the record; its object stays in AWS
    Forget {
        /// The resource, such as `us-east-1/ec2_vpc/vpc`
        address: Address,
    },
    /// Ends the protection of resources, so that `down` deletes them
    Unprotect {
        /// Patterns of addresses, such as `*/s3_bucket/*`
        #[arg(required = true, value_name = "PATTERN")]
        patterns: Vec<AddressPattern>,
    },
    /// Makes a lost or damaged state anew from the tags and names of the objects
    Rebuild,
    /// Clears what a dead run left of its lock; a run that is alive keeps it
    Unlock {
        /// End a lease in S3 that is still running too; its run stops at its next heartbeat
        #[arg(long)]
        force: bool,
    },
    /// Copies the state from S3 (--state) to the folder (--state-dir)
    Pull {
        /// Overwrite a state that is newer or another deployment's
        #[arg(long)]
        force: bool,
    },
    /// Copies the state from the folder (--state-dir) to S3 (--state)
    Push {
        /// Overwrite a state that is newer or another deployment's
        #[arg(long)]
        force: bool,
    },
}

impl State {
    pub(super) async fn run(self, flags: Flags, screen: &Screen) -> Outcome {
        let session = Session::new(flags, screen);
        match self.command {
            Command::List => {
                screen.records(&existing(&session)?.records);
                Ok(())
            }
            Command::Show { address } => show(&session, &address),
            Command::Forget { address } => forget(&session, &address).await,
            Command::Unprotect { patterns } => unprotect(&session, &patterns).await,
            Command::Rebuild => rebuild(&session).await,
            Command::Unlock { force } => unlock(&session, force),
            Command::Pull { force } => copy(&session, Direction::Pull, force).await,
            Command::Push { force } => copy(&session, Direction::Push, force).await,
        }
    }
}

fn existing(session: &Session<'_>) -> Outcome<Snapshot> {
    session.existing(&session.suffix()?)
}

fn unknown(address: &Address) -> Failure {
    Failure::new(Kind::Usage, format!("{address}: not on record")).hint("see all records: drctl state list")
}

fn show(session: &Session<'_>, address: &Address) -> Outcome {
    let snapshot = existing(session)?;
    let record = snapshot.records.get(address).ok_or_else(|| unknown(address))?;
    session.screen.document(&serde_json::to_value(record.as_ref()).expect("records are plain data"));
    Ok(())
}

async fn forget(session: &Session<'_>, address: &Address) -> Outcome {
    let suffix = session.suffix()?;
    let store = open(session, &suffix, "state forget").await?;
    if store.get(address).is_none() {
        return Err(unknown(address));
    }
    let question = format!("Forget {address}? Its object stays in AWS, and drctl will neither change nor delete it.");
    if !agreed(session, &question).await? {
        return Err(Failure::new(Kind::Preflight, "not confirmed; nothing was changed"));
    }
    store.record(address, Entry::Forgotten).await.map_err(|error| state_failure(&error))?;
    store.close().await.map_err(|error| state_failure(&error))?;
    session.screen.note(&format!("{address} is off the record; its object stays in AWS"));
    session.screen.note("a `down` will name it as left for as long as it carries the deployment's tags");
    Ok(())
}

async fn unprotect(session: &Session<'_>, patterns: &[AddressPattern]) -> Outcome {
    let suffix = session.suffix()?;
    let store = open(session, &suffix, "state unprotect").await?;
    let records = store.records();
    let matched = |pattern: &AddressPattern| records.keys().any(|address| pattern.matches(&address.to_string()));
    if let Some(unknown) = patterns.iter().find(|pattern| !matched(pattern)) {
        let message = format!("{:?} matches no resource on record; nothing was changed", unknown.as_str());
        return Err(Failure::new(Kind::Usage, message).hint("see all records: drctl state list"));
    }
    let is_meant = |address: &Address| patterns.iter().any(|pattern| pattern.matches(&address.to_string()));
    let protected: Vec<&Address> = records
        .iter()
        .filter(|(address, record)| record.is_protected() && is_meant(address))
        .map(|(address, _)| address)
        .collect();
    if !protected.is_empty() {
        let names = protected.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let question = format!("End the protection of {names}? `down` then deletes what is not protected.");
        if !agreed(session, &question).await? {
            return Err(Failure::new(Kind::Preflight, "not confirmed; nothing was changed"));
        }
    }
    for address in &protected {
        store.record(address, Entry::Unprotected).await.map_err(|error| state_failure(&error))?;
    }
    store.close().await.map_err(|error| state_failure(&error))?;
    match protected.is_empty() {
        true => session.screen.note("nothing of it is protected; nothing was changed"),
        false => {
            protected.iter().for_each(|address| session.screen.note(&format!("{address} is not protected any more")));
            session.screen.note("an `up` with a plan that still protects them protects them again");
        }
    }
    Ok(())
}

/// Opens the state for writing. Nothing listens for signals here: they end the process at once.
async fn open(session: &Session<'_>, suffix: &Suffix, command: &str) -> Outcome<Store> {
    let (medium, holder) = (session.medium()?, Holder::current(command));
    let opening = Store::open(medium, suffix.as_str(), &holder, session.flags.lock_timeout);
    session.patiently(suffix, opening).await.map_err(|error| state_failure(&error))
}

/// Asks, unless `--yes` was said. Where nobody can be asked, silence is no agreement.
async fn agreed(session: &Session<'_>, question: &str) -> Outcome<bool> {
    if session.flags.yes {
        return Ok(true);
    }
    if !session.screen.can_ask() {
        return Err(Failure::new(Kind::Usage, format!("nobody can be asked here: {question}"))
            .hint("if that is what you want, add --yes"));
    }
    session.screen.confirm(question).await
}

async fn rebuild(session: &Session<'_>) -> Outcome {
    let suffix = session.named_suffix("state rebuild")?;
    if let Ok(Some(snapshot)) = session.read(&suffix)
        && !snapshot.records.is_empty()
    {
        let question =
            format!("The state of `{suffix}` is readable and has {} records. Make it anew?", snapshot.records.len());
        if !agreed(session, &question).await? {
            return Err(Failure::new(Kind::Preflight, "not confirmed; nothing was changed"));
        }
    }
    let plan = session.load_plan()?;
    let sources = functions::load(&plan.plan.functions)?;
    let cloud = session.connect(&suffix, sources.assets).await?;
    let known = BTreeMap::new();
    let (topology, facts) = session.topology(&suffix, &plan.plan, &cloud, &sources.code, &known).await?;
    let unknown = Records::new();
    let looked = session.screen.watch(async |events| session.observe(&cloud, &unknown, Some(&topology), &events).await);
    let seen = looked.await?;
    let left_out = left_out(session, &cloud, &suffix, &topology, &seen.objects).await;
    let set = session.changes(&suffix, &topology, &unknown, seen)?;

    let regions = &plan.plan.regions;
    let deployment = Deployment {
        suffix: suffix.to_string(),
        account: cloud.identity.account.clone(),
        partition: cloud.identity.partition.clone(),
        regions: vec![regions.primary.to_string(), regions.secondary.to_string()],
        facts,
        ..Deployment::default()
    };
    let (medium, holder) = (session.medium()?, Holder::current("state rebuild"));
    let rebuilding = Store::rebuild(medium, deployment, &holder, session.flags.lock_timeout);
    let store = session.patiently(&suffix, rebuilding).await.map_err(|error| state_failure(&error))?;
    recover::put_on_record(&store, &set).await.map_err(|error| state_failure(&error))?;
    let (found, all) = (store.records().len(), topology.resources.len());
    store.close().await.map_err(|error| state_failure(&error))?;
    session.screen.note(&format!("found {found} of {all} resources of `{suffix}` and put them on record"));
    if found < all {
        session
            .screen
            .note("AWS lists tags up to minutes late: if anything of it is new, rebuild once more before `up`");
    }
    if !left_out.is_empty() {
        let count = left_out.len();
        session.screen.note(&format!("{count} more say they are of `{suffix}`, but this plan does not have them:"));
        left_out.iter().for_each(|(address, arn)| session.screen.note(&format!("  {address} ({arn})")));
        session.screen.note("rebuild with the plan that made them, or `down` leaves them where they are");
    }
    session.screen.note(&format!("next: drctl plan --suffix {suffix}"));
    Ok(())
}

/// The objects that carry the deployment's tags and to which the plan does not lead: their addresses and ARNs. Where they cannot be seen,
/// which may be a region that the account forbids, that is told, and no reason to do without a state.
async fn left_out(
    session: &Session<'_>,
    cloud: &Cloud,
    suffix: &Suffix,
    topology: &Topology,
    objects: &Objects,
) -> BTreeMap<Address, String> {
    let scopes: BTreeSet<&Scope> = topology.resources.keys().map(Address::scope).collect();
    let regions = scopes.into_iter().flat_map(|scope| cloud.aws.index_regions(scope));
    let mut left = BTreeMap::new();
    for region in regions.collect::<BTreeSet<_>>() {
        let index = cloud.aws.index(&region, suffix.as_str()).await.unwrap_or_else(|error| {
            session.screen.note(&format!("cannot see what else is tagged in {region}: {error}"));
            Index::default()
        });
        for (arn, tags) in index {
            if let Some(Ok(address)) = tags.get(tags::ADDRESS).map(|address| address.parse())
                && !objects.contains_key(&address)
            {
                left.insert(address, arn);
            }
        }
    }
    left
}

#[derive(Clone, Copy)]
enum Direction {
    Pull,
    Push,
}

async fn copy(session: &Session<'_>, direction: Direction, by_force: bool) -> Outcome {
    let Some(place) = &session.flags.state else {
        return Err(
            Failure::new(Kind::Usage, "the place in S3 is not named").hint("name it: --state s3://BUCKET/PREFIX")
        );
    };
    let command = match direction {
        Direction::Pull => "state pull",
        Direction::Push => "state push",
    };
    let suffix = session.named_suffix(command)?;
    let (folder, bucket): (Arc<dyn Medium>, Arc<dyn Medium>) =
        (Arc::new(session.folder()), Arc::new(session.bucket(place)?));
    let (from, to) = match direction {
        Direction::Pull => (bucket, folder),
        Direction::Push => (folder, bucket),
    };
    let (source, target) = (from.locate(""), to.locate(""));
    let holder = Holder::current(command);
    let wait = session.flags.lock_timeout;
    let copying = state::transfer(Transfer { from, to, suffix: suffix.as_str(), holder: &holder, wait, by_force });
    let copied = session.patiently(&suffix, copying).await.map_err(|(end, error)| {
        let option = match (direction, end) {
            (Direction::Pull, End::From) | (Direction::Push, End::To) => ("--state", place.to_string()),
            (Direction::Pull, End::To) | (Direction::Push, End::From) => {
                ("--state-dir", session.state_dir().display().to_string())
            }
        };
        // Both places were named, and what can be done about this one can be done there alone.
        let there = Again::new([(option.0, Some(option.1))]);
        let mut failure = state_failure(&error);
        failure.hints.iter_mut().for_each(|hint| *hint = there.complete(hint));
        failure
    })?;
    match copied {
        Some(snapshot) => {
            let count = snapshot.records.len();
            session.screen.note(&format!("copied `{suffix}` with {count} records from {source} to {target}"));
            session.screen.note(&format!("work with one of the two from now on; the one in {source} stays as it was"));
        }
        None => session.screen.note(&format!("{source} and {target} have the same state of `{suffix}`")),
    }
    Ok(())
}

fn unlock(session: &Session<'_>, by_force: bool) -> Outcome {
    let (suffix, medium) = (session.suffix()?, session.medium()?);
    let unlocked = match by_force {
        true => medium.unlock_by_force(suffix.as_str()),
        false => medium.unlock(suffix.as_str()),
    };
    match unlocked.map_err(|error| state_failure(&error))? {
        Some(holder) => {
            session.screen.note(&format!("cleared what process {} on {} left behind", holder.process, holder.host))
        }
        None => session.screen.note("no run holds this deployment"),
    }
    Ok(())
}
