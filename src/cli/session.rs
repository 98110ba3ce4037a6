//! What commands have in common: finding the deployment, the plan and the state, and connecting to AWS.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::{Flags, fault};
use crate::aws::transport::Transport;
use crate::aws::{Aws, Connection, Error, tags};
use crate::changes::{self, ChangeSet, Taken};
use crate::engine::event::Events;
use crate::engine::executor::Execution;
use crate::engine::observe::{ObserveError, Seen};
use crate::engine::run::{self, RunError};
use crate::engine::scheduler::Limits;
use crate::engine::shutdown::{Reason, Shutdown};
use crate::error::{Failure, Kind, Outcome};
use crate::functions;
use crate::plan::{self, Plan, Suffix};
use crate::preflight::account::{self, Identity};
use crate::preflight::dns::Hosted;
use crate::preflight::domain;
use crate::resources::{self, Assets, Kinds, Surroundings};
use crate::shell::quoted;
use crate::state::{
    self, Bucket, Claim, ClaimError, Claimant, Deployment, Folder, Holder, Medium, Place, Record, Records, S3,
    Snapshot, StateError, Store,
};
use crate::topology::{self, Inputs, Names, Topology};
use crate::ui::Screen;

/// The plan file that is used when none is named and it is there.
pub(super) const DEFAULT_PLAN: &str = "plans/payments.toml";

/// The folder of the state files when no place is named.
const DEFAULT_STATE: &str = "state";

/// How long a lock is waited for without a word.
const SILENCE: Duration = Duration::from_secs(2);

/// What every command starts from.
pub(super) struct Session<'a> {
    pub(super) flags: Flags,
    pub(super) screen: &'a Screen,
    pub(super) kinds: Kinds,
    medium: OnceCell<Arc<dyn Medium>>,
}

/// A plan that is valid.
pub(super) struct LoadedPlan {
    pub(super) plan: Plan,
    pub(super) digest: String,
}

/// AWS, and who we are there.
pub(super) struct Cloud {
    pub(super) aws: Aws,
    pub(super) surroundings: Surroundings,
    pub(super) identity: Identity,
    pub(super) shutdown: Shutdown,
}

impl Cloud {
    fn names(&self, suffix: &Suffix, plan: &Plan) -> Names {
        Names::new(suffix.as_str(), &self.identity.account, plan.domain.as_str())
    }

    /// Makes the run stop when the lease of its state is lost, before another run may change anything; and lets nothing wait for the
    /// state any longer when a run that was asked to stop has to be out.
    pub(super) fn watch_over(&self, store: &Store) {
        let (abandonment, shutdown) = (store.abandonment(), self.shutdown.clone());
        tokio::spawn(async move {
            shutdown.last().await;
            abandonment.abandon();
        });
        let Some(lease) = store.lease() else { return };
        let guard = lease.clone();
        self.aws.transport().guard_changes(move || guard.is_held());
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            lease.lost().await;
            shutdown.give_up(Reason::LeaseLost);
        });
    }
}

impl<'a> Session<'a> {
    pub(super) fn new(flags: Flags, screen: &'a Screen) -> Self {
        Self { flags, screen, kinds: resources::kinds(), medium: OnceCell::new() }
    }

    /// Where the state is: a folder, or a bucket, which is found when it is first needed.
    pub(super) fn medium(&self) -> Outcome<Arc<dyn Medium>> {
        if let Some(medium) = self.medium.get() {
            return Ok(medium.clone());
        }
        let medium: Arc<dyn Medium> = match (&self.flags.state, &self.flags.state_dir) {
            (Some(place), None) => Arc::new(self.bucket(place)?),
            (None, _) => Arc::new(self.folder()),
            (Some(place), Some(folder)) => {
                let message = format!("the state is either in {place} or in {}", folder.display());
                return Err(Failure::new(Kind::Usage, message)
                    .hint("leave out one of --state (or DRCTL_STATE) and --state-dir"));
            }
        };
        Ok(self.medium.get_or_init(|| medium).clone())
    }

    pub(super) fn folder(&self) -> Folder {
        Folder::new(self.state_dir())
    }

    /// The folder of the state files, where the state is in no bucket.
    pub(super) fn state_dir(&self) -> &Path {
        self.flags.state_dir.as_deref().unwrap_or(Path::new(DEFAULT_STATE))
    }

    pub(super) fn bucket(&self, place: &Place) -> Outcome<Bucket> {
        let objects = S3::connect(place.clone(), self.connection()).map_err(|error| state_failure(&error))?;
        Ok(Bucket::new(Arc::new(objects)))
    }

    fn connection(&self) -> Connection {
        Connection { profile: self.flags.profile.clone(), endpoint_url: self.flags.endpoint_url.clone() }
    }

    /// The suffix that this command must be given.
    pub(super) fn named_suffix(&self, command: &str) -> Outcome<Suffix> {
        self.flags.suffix.clone().ok_or_else(|| {
            let example = format!("name it, for example: drctl {command} --suffix dev");
            Failure::new(Kind::Usage, "the deployment needs a name").hint(example)
        })
    }

    /// The suffix that was given, else the only deployment there is.
    pub(super) fn suffix(&self) -> Outcome<Suffix> {
        if let Some(suffix) = &self.flags.suffix {
            return Ok(suffix.clone());
        }
        let known = state::deployments_in(self.medium()?.as_ref()).map_err(|error| state_failure(&error))?;
        let place = match &self.flags.state {
            Some(place) => place.to_string(),
            None => self.state_dir().display().to_string(),
        };
        match known.as_slice() {
            [only] => only.parse().map_err(|error| Failure::of(Kind::Usage, &error)),
            [] => Err(Failure::new(Kind::Usage, format!("there is no deployment in {place}"))
                .hint("see what a new one would be: drctl plan --suffix dev")
                .hint("or say where its state is: --state-dir DIR, or --state URL")),
            several => Err(Failure::new(
                Kind::Usage,
                format!("there are several deployments in {place}: {}", several.join(", ")),
            )
            .hint("say which one: --suffix NAME")),
        }
    }

    /// Reads and checks the plan file.
    pub(super) fn load_plan(&self) -> Outcome<LoadedPlan> {
        let (name, text) = self.plan_text()?;
        let plan = plan::load(&name, &text).map_err(|problems| self.screen.problems(&problems))?;
        let addresses: Vec<String> = topology::sketch(&plan).resources.keys().map(ToString::to_string).collect();
        plan::check_protection(&name, &text, &plan, &addresses).map_err(|problems| self.screen.problems(&problems))?;
        Ok(LoadedPlan { plan, digest: functions::digest(text.as_bytes()) })
    }

    fn plan_text(&self) -> Outcome<(String, String)> {
        let path: PathBuf = match &self.flags.plan {
            Some(path) => path.clone(),
            None if Path::new(DEFAULT_PLAN).exists() => DEFAULT_PLAN.into(),
            None => return Ok(("the built-in plan".to_owned(), plan::BUILTIN.to_owned())),
        };
        let name = path.display().to_string();
        let bytes = std::fs::read(&path).map_err(|error| {
            Failure::new(Kind::Usage, format!("the plan file {name} cannot be read"))
                .because(error)
                .hint(format!("write one to start from: drctl init {}", quoted(&name)))
        })?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok((name, text)),
            Err(error) => Err(not_utf8(&name, &error)),
        }
    }

    /// Connects to AWS and asks who we are. `assets` are the contents this run may upload.
    pub(super) async fn connect(&self, suffix: &Suffix, assets: Assets) -> Outcome<Cloud> {
        let now = |signal| {
            // The second signal: nothing is waited for any more. The state is valid at every moment.
            std::process::exit(i32::from(Kind::Interrupted(signal).exit_code()))
        };
        let shutdown = Shutdown::listen(now).map_err(|error| Failure::of(Kind::Internal, &error))?;
        fault::stop_in_good_order(shutdown.clone(), self.screen.clone());
        let (transport, stop) = (Transport::new(), shutdown.clone());
        transport.guard_changes(move || !stop.is_requested());
        let aws = Aws::connect(&self.connection(), transport).await;
        let identity = account::identity(&aws).await.map_err(|error| {
            let failure = aws_failure("cannot find out which account this is", &error);
            match (error.is_denied(), &self.flags.profile) {
                _ if error.blames_the_clock() => failure.hint("check this machine's clock and set it"),
                (true, Some(profile)) => {
                    failure.hint(format!("check the profile `{profile}`: aws sts get-caller-identity"))
                }
                (true, None) => failure.hint("check the credentials: aws sts get-caller-identity"),
                (false, _) => failure.hint("check the network, and --endpoint-url or AWS_ENDPOINT_URL if you set one"),
            }
        })?;
        let surroundings = Surroundings {
            provider: Arc::new(aws.clone()),
            suffix: suffix.to_string(),
            account: identity.account.clone(),
            stop: shutdown.token(),
            assets: Arc::new(assets),
        };
        Ok(Cloud { aws, surroundings, identity, shutdown })
    }

    /// Opens the state for writing.
    pub(super) async fn open(&self, suffix: &Suffix, cloud: &Cloud, command: &str) -> Outcome<Store> {
        self.try_to_open(suffix, cloud, command).await?.map_err(|error| state_failure(&error))
    }

    /// Opens the state for writing; the caller knows better what it means when there is none.
    pub(super) async fn try_to_open(
        &self,
        suffix: &Suffix,
        cloud: &Cloud,
        command: &str,
    ) -> Outcome<Result<Store, StateError>> {
        let (medium, holder, wait) = (self.medium()?, Holder::current(command), self.flags.lock_timeout);
        let name = suffix.to_string();
        let opening = async move { Store::open(medium, &name, &holder, wait).await };
        self.unless_interrupted(suffix, cloud, opening).await
    }

    /// Begins the state of a new deployment.
    pub(super) async fn try_to_create(
        &self,
        suffix: &Suffix,
        cloud: &Cloud,
        deployment: Deployment,
        command: &str,
    ) -> Outcome<Result<Store, StateError>> {
        let (medium, holder, wait) = (self.medium()?, Holder::current(command), self.flags.lock_timeout);
        let creating = async move { Store::create(medium, deployment, &holder, wait).await };
        self.unless_interrupted(suffix, cloud, creating).await
    }

    /// Waits for a state to be opened, which may block, unless a signal comes.
    async fn unless_interrupted<T: Send + 'static>(
        &self,
        suffix: &Suffix,
        cloud: &Cloud,
        opening: impl Future<Output = T> + Send + 'static,
    ) -> Outcome<T> {
        let opening = tokio::spawn(opening);
        tokio::select! {
            opened = self.patiently(suffix, opening) => Ok(opened.expect("a panic ends the process")),
            () = cloud.shutdown.first() => {
                let kind = Kind::Interrupted(cloud.shutdown.signal().unwrap_or(2));
                Err(Failure::new(kind, "interrupted; nothing was changed"))
            }
        }
    }

    /// Says so when a lock has to be waited for.
    pub(super) async fn patiently<T>(&self, suffix: &Suffix, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = tokio::time::sleep(SILENCE) => {}
        }
        self.screen
            .note(&format!("waiting for the lock of `{suffix}`, or to see whether the run that has it is alive"));
        work.await
    }

    /// Reads the state without a lock; a deployment that does not exist yet has no records.
    pub(super) fn read(&self, suffix: &Suffix) -> Outcome<Option<Snapshot>> {
        match state::read(self.medium()?.as_ref(), suffix.as_str()) {
            Ok(snapshot) => Ok(Some(snapshot)),
            Err(StateError::NotFound { .. }) => Ok(None),
            Err(error) => Err(state_failure(&error)),
        }
    }

    /// Reads the state as [`Session::read`] does, and refuses a plan that says other regions than the state, before anything is called.
    pub(super) fn read_for(&self, suffix: &Suffix, plan: &Plan) -> Outcome<Option<Snapshot>> {
        let snapshot = self.read(suffix)?;
        if let Some(snapshot) = &snapshot {
            check_regions(&snapshot.deployment, plan)?;
        }
        Ok(snapshot)
    }

    /// Reads the state of a deployment that must be there.
    pub(super) fn existing(&self, suffix: &Suffix) -> Outcome<Snapshot> {
        state::read(self.medium()?.as_ref(), suffix.as_str()).map_err(|error| state_failure(&error))
    }

    /// Looks at AWS.
    pub(super) async fn observe(
        &self,
        cloud: &Cloud,
        records: &Records,
        topology: Option<&Topology>,
        events: &Events,
    ) -> Outcome<Seen> {
        let look = run::look(&self.kinds, &cloud.surroundings, events, &cloud.shutdown, records, topology);
        look.await.map_err(|error| looking_failure(error, cloud))
    }

    /// What the engine needs to work.
    pub(super) fn execution(&self, cloud: &Cloud, store: &Arc<Store>, events: &Events) -> Execution {
        Execution {
            kinds: self.kinds.clone(),
            surroundings: cloud.surroundings.clone(),
            store: store.clone(),
            events: events.clone(),
            shutdown: cloud.shutdown.clone(),
            limits: Limits { parallelism: self.flags.parallelism, ..Limits::default() },
        }
    }

    /// Claims the deployment, so that no run with its state elsewhere changes it at the same time.
    pub(super) async fn claim(&self, cloud: &Cloud, store: &Store, command: &str) -> Outcome<Claim> {
        let claimant = self.claimant(store, command);
        let suffix = claimant.suffix.clone();
        Claim::take(&cloud.aws, claimant, &cloud.shutdown).await.map_err(|error| match error {
            ClaimError::Aws(error) => aws_failure("the deployment cannot be claimed; nothing was changed", &error),
            ClaimError::Claimed(claimed) => {
                let until = claimed.until.clone();
                Failure::new(Kind::Locked, format!("another run is at work on `{suffix}`; nothing was changed"))
                    .because(claimed)
                    .hint("wait for that run to end, then work with its state, by --state or --state-dir")
                    .hint(format!(
                        "if it is dead, its claim is over at {until}; a run from here then takes over what exists"
                    ))
            }
        })
    }

    /// Removes the claim on a deployment that is gone. A failure is told: the log group is all that is left.
    pub(super) async fn remove_claim(&self, cloud: &Cloud, store: &Store) {
        if let Err(error) = Claim::remove(&cloud.aws, self.claimant(store, "down")).await {
            self.screen.note(&format!("note: the log group that was the claim could not be removed: {error}"));
        }
    }

    fn claimant(&self, store: &Store, command: &str) -> Claimant {
        let (deployment, holder) = (store.deployment(), Holder::current(command));
        Claimant {
            account: deployment.account,
            region: deployment.regions.first().cloned().unwrap_or_default(),
            lineage: deployment.lineage,
            place: self.place(&holder),
            suffix: deployment.suffix,
            holder,
        }
    }

    /// Where the state is, for people elsewhere.
    fn place(&self, holder: &Holder) -> String {
        match &self.flags.state {
            Some(place) => place.to_string(),
            None => {
                let folder = self.state_dir();
                let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
                format!("{}:{}", holder.host, folder.display())
            }
        }
    }

    /// Compares the topology with what is there.
    pub(super) fn changes(
        &self,
        suffix: &Suffix,
        topology: &Topology,
        records: &Records,
        seen: Seen,
    ) -> Outcome<ChangeSet> {
        let set = changes::build(topology, records, &seen.objects, suffix.as_str(), &self.kinds);
        Ok(ChangeSet { twins: seen.twins, ..set.map_err(|taken| taken_failure(&taken))? })
    }

    /// Zips the functions, resolves the facts, and expands the plan.
    pub(super) async fn topology(
        &self,
        suffix: &Suffix,
        plan: &Plan,
        cloud: &Cloud,
        code: &BTreeMap<String, String>,
        known: &BTreeMap<String, Value>,
    ) -> Outcome<(Topology, BTreeMap<String, Value>)> {
        let facts = account::facts(&cloud.aws, plan, &cloud.names(suffix, plan).shared(), known).await?;
        let topology = topology::expand(Inputs {
            plan,
            suffix,
            account: &cloud.identity.account,
            engine_version: facts.get(account::ENGINE_VERSION).and_then(Value::as_str),
            parent_zone: facts.get(domain::PARENT_ZONE).and_then(Value::as_str),
            code,
        });
        Ok((topology, facts))
    }

    /// Checks that the deployment's names can be found and its certificates issued; what was found right becomes a fact.
    pub(super) async fn check_domain(
        &self,
        suffix: &Suffix,
        plan: &Plan,
        cloud: &Cloud,
        records: &Records,
        facts: &mut BTreeMap<String, Value>,
    ) -> Outcome {
        let zone = cloud.names(suffix, plan).zone();
        let own = records.values().find_map(|record| hosted(&zone, record));
        for doubt in domain::check(&cloud.aws, plan, &zone, own, facts).await? {
            self.screen.note(&format!("note: {doubt}; going on, because certificates may be issued all the same"));
        }
        Ok(())
    }
}

/// Refuses a plan that says other regions than the state.
pub(super) fn check_regions(deployment: &Deployment, plan: &Plan) -> Outcome {
    let regions = &plan.regions;
    let checked = deployment.check_regions(regions.primary.as_str(), regions.secondary.as_str());
    checked.map_err(|error| state_failure(&error))
}

/// The deployment's own zone, if this is its record.
fn hosted(zone: &str, record: &Record) -> Option<Hosted> {
    if record.spec.get("name")?.as_str()? != zone {
        return None;
    }
    let name_servers = Vec::<String>::deserialize(record.outputs.get("name_servers")?).ok()?;
    Some(Hosted { name: zone.to_owned(), name_servers })
}

/// Where a plan file stops being text.
fn not_utf8(name: &str, error: &std::string::FromUtf8Error) -> Failure {
    let (bytes, at) = (error.as_bytes(), error.utf8_error().valid_up_to());
    let before = String::from_utf8_lossy(&bytes[..at]);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let byte = bytes.get(at).copied().unwrap_or_default();
    Failure::new(Kind::Usage, format!("the plan file {name} is not UTF-8; nothing was called"))
        .because(format!("{name}:{line}:{column}: the byte 0x{byte:02x} is no character of UTF-8"))
        .hint("save it as UTF-8 without a BOM")
}

/// A failure of the state, with its hints and exit code.
pub(super) fn state_failure(error: &StateError) -> Failure {
    let kind = match error {
        StateError::Locked { .. } | StateError::Leased(_) | StateError::Exists { .. } => Kind::Locked,
        StateError::NotFound { .. } => Kind::Usage,
        StateError::WrongAccount { .. }
        | StateError::OtherRegions { .. }
        | StateError::NoBucket { .. }
        | StateError::InTheWay { .. } => Kind::Preflight,
        error if error.is_denied() => Kind::Denied,
        _ => Kind::Failed,
    };
    error.hints().into_iter().fold(Failure::of(kind, error), Failure::hint)
}

/// Why a run ended before its first operation. Ids that could not be written down are told: they are nowhere else.
pub(super) fn run_failure(error: RunError, cloud: &Cloud, store: &Store) -> Failure {
    let failure = match error {
        RunError::State(error) => state_failure(&error),
        RunError::Taken(taken) => taken_failure(&taken),
        error => looking_failure(error, cloud),
    };
    let lost = store.unrecorded();
    let lost = lost.iter().filter_map(|(address, entry)| Some((address, entry.outputs()?)));
    lost.fold(failure, |failure, (address, outputs)| failure.because(format!("{address}: not recorded: {outputs}")))
}

fn looking_failure(error: RunError, cloud: &Cloud) -> Failure {
    match error {
        RunError::Unseen(errors) => observe_failure(&errors),
        RunError::Interrupted => Failure::silent(Kind::Interrupted(cloud.shutdown.signal().unwrap_or(2))),
        error => Failure::of(Kind::Failed, &error),
    }
}

/// Lets go of the claim on a deployment. A failure changes nothing: the claim is over within minutes.
pub(super) async fn release(claim: Option<Claim>) {
    let Some(claim) = claim else { return };
    if let Err(error) = claim.release().await {
        tracing::debug!(%error, "the claim was not released");
    }
}

/// A failure of AWS, with its exit code.
pub(super) fn aws_failure(what: &str, error: &Error) -> Failure {
    Failure::new(Kind::of(error), what).because(error)
}

fn observe_failure(errors: &[ObserveError]) -> Failure {
    let kind =
        errors.iter().map(|error| Kind::of(&error.error)).find(|kind| *kind == Kind::Denied).unwrap_or(Kind::Failed);
    let failure = Failure::new(kind, "AWS could not be looked at; nothing was changed");
    errors.iter().fold(failure, |failure, error| failure.because(error)).hint("running the command again is safe")
}

fn taken_failure(taken: &[Taken]) -> Failure {
    let recorded: Vec<&Taken> = taken.iter().filter(|taken| taken.is_recorded).collect();
    let failure = match recorded.is_empty() {
        true => {
            Failure::new(Kind::Preflight, "names of this deployment are taken by somebody else; nothing was changed")
        }
        false => Failure::new(
            Kind::Partial,
            "objects on record do not carry this deployment's tags, so they are not touched; nothing was changed",
        ),
    };
    let failure = taken.iter().fold(failure, |failure, taken| failure.because(taken));
    match recorded.first() {
        None => failure.hint("choose another suffix, or remove those objects if nobody needs them"),
        Some(first) => failure
            .hint(format!(
                "if an object is somebody else's, take it off the record: drctl state forget {}",
                first.address
            ))
            .hint(format!(
                "if an object is this deployment's and only lost its tags, give it the tag {} back",
                tags::DEPLOYMENT
            ))
            .hint("if the state file is an old copy, make it anew from what is there: drctl state rebuild"),
    }
}
