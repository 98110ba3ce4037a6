//! What `up` and `down` check before their first change, beyond what is being changed: rights and credentials.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::Args;

use super::session::{Cloud, Session};
use crate::changes::{Action, ChangeSet};
use crate::error::{Failure, Kind, Outcome};
use crate::permissions;
use crate::preflight::credentials::{self, Lifetime};
use crate::preflight::rights::{self, Examples, Principal};
use crate::ui::span;

/// How many missing actions are told on a line each.
const MOST_LINES: usize = 12;

/// How many actions of one service are named where many are missing.
const NAMED: usize = 3;

/// What may be allowed although a check says no.
#[derive(Debug, Args)]
pub(super) struct Preflight {
    /// Begin although the credentials end before the run is expected to
    #[arg(long)]
    allow_expiry: bool,
    /// Begin although AWS says that rights are missing
    #[arg(long)]
    allow_missing_rights: bool,
}

impl Preflight {
    /// Refuses changes that the credentials do not outlast or do not allow. Nothing was changed yet.
    pub(super) async fn check(
        &self,
        session: &Session<'_>,
        suffix: &str,
        cloud: &Cloud,
        set: &ChangeSet,
        expected: Duration,
    ) -> Outcome {
        if !self.allow_expiry
            && let Some(lifetime) = credentials::lifetime(&cloud.aws).await
        {
            outlasting(lifetime, expected)?;
        }
        if self.allow_missing_rights {
            return Ok(());
        }
        allowed(&missing_rights(session, suffix, cloud, set).await)
    }
}

/// Says how long the credentials are valid, when somebody knows.
pub(super) async fn tell_lifetime(session: &Session<'_>, cloud: &Cloud, expected: Duration) {
    if let Some(lifetime) = credentials::lifetime(&cloud.aws).await {
        let renewed = if lifetime.renewable { ", and renewed by their source" } else { "" };
        let (left, expected) = (span(lifetime.left), span(expected));
        session.screen.note(&format!("credentials valid for {left}{renewed}; estimated run {expected}"));
    }
}

fn outlasting(lifetime: Lifetime, expected: Duration) -> Outcome {
    if lifetime.outlasts(expected) {
        return Ok(());
    }
    let (left, expected) = (span(lifetime.left), span(expected));
    Err(Failure::new(Kind::Denied, "the credentials end before the run is expected to; nothing was changed")
        .because(format!("they are valid for {left}, and the run is expected to take {expected}"))
        .hint("get new ones, or use a profile whose credentials are renewed by themselves")
        .hint("a run that is cut short goes on with new credentials; to begin all the same, add --allow-expiry"))
}

fn allowed(missing: &BTreeSet<&str>) -> Outcome {
    if missing.is_empty() {
        return Ok(());
    }
    let failure =
        Failure::new(Kind::Denied, "the credentials lack rights that these changes need; nothing was changed");
    Err(denied(missing)
        .into_iter()
        .fold(failure, Failure::because)
        .hint("see all that is needed: drctl iam-policy")
        .hint("if AWS cannot tell, because the rights are granted in another way: add --allow-missing-rights"))
}

/// The missing actions, one a line while they are few, else by service.
fn denied(missing: &BTreeSet<&str>) -> Vec<String> {
    if missing.len() <= MOST_LINES {
        return missing.iter().map(|action| format!("{action} is not allowed")).collect();
    }
    let mut services = BTreeMap::<&str, Vec<&str>>::new();
    for action in missing {
        let (service, name) = action.split_once(':').unwrap_or((action, ""));
        services.entry(service).or_default().push(name);
    }
    let line = |(service, names): (&str, Vec<&str>)| {
        let more = match names.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let named = names[..names.len().min(NAMED)].join(", ");
        format!("{service}: {named}{more}: not allowed")
    };
    services.into_iter().map(line).collect()
}

/// What the principal lacks of what the kinds that change need. Where AWS does not say, nothing is missing.
async fn missing_rights(session: &Session<'_>, suffix: &str, cloud: &Cloud, set: &ChangeSet) -> BTreeSet<&'static str> {
    let Some(principal) = Principal::of(&cloud.identity.arn) else {
        tracing::debug!(arn = cloud.identity.arn, "rights are not checked: IAM does not evaluate this principal");
        return BTreeSet::new();
    };
    let changing = set.changes.values().filter(|change| change.action != Action::None);
    // Whether a kind gets a new or changed object; if not, its objects only go.
    let mut kinds = BTreeMap::<&str, bool>::new();
    let mut examples = Examples { account: cloud.identity.account.clone(), ..Examples::default() };
    for change in changing {
        let (address, desired) = (&change.address, change.desired.as_ref().map(|resource| &resource.spec));
        let spec = desired.or(change.record.as_ref().map(|record| &record.spec));
        *kinds.entry(address.kind()).or_default() |= change.action != Action::Delete;
        if !address.scope().is_global() && examples.region.is_empty() {
            examples.region = address.scope().as_str().to_owned();
        }
        // A kind is named after the service of its actions.
        let service = address.kind().split('_').next().unwrap_or_default();
        let name = spec.and_then(|spec| spec.get("name")?.as_str());
        examples.names.extend(name.map(|name| (service.to_owned(), name.to_owned())));
    }
    let needed = kinds.iter().filter_map(|(kind, stays)| Some((session.kinds.get(kind)?.traits().permissions, *stays)));
    let actions = needed.flat_map(|(permissions, stays)| match stays {
        true => [permissions.read, permissions.change].concat(),
        false => permissions::without_making(permissions).collect(),
    });
    let statements = permissions::statements(actions, suffix);
    match rights::missing(&cloud.aws, &principal, &statements, &examples).await {
        Ok(missing) => missing,
        Err(error) => {
            tracing::debug!(%error, "rights are not checked");
            BTreeSet::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources;

    /// A principal without any right is told so on one screen, and one that lacks little is told all of it.
    #[test]
    fn missing_rights_fit_on_a_screen() {
        let kinds = resources::kinds();
        let all: BTreeSet<&str> = kinds
            .iter()
            .flat_map(|kind| [kind.traits().permissions.read, kind.traits().permissions.change].concat())
            .collect();
        let failure = allowed(&all).expect_err("nothing is allowed");
        assert!(all.len() > 200 && failure.causes.len() <= 22, "{:#?}", failure.causes);
        let number = |text: &str| -> usize {
            let (names, more) = text.rsplit_once(" and ").map_or((text, 0), |(names, more)| {
                (names, more.split(' ').next().and_then(|more| more.parse().ok()).unwrap_or_default())
            });
            names.matches(", ").count() + 1 + more
        };
        assert_eq!(failure.causes.iter().map(|cause| number(cause)).sum::<usize>(), all.len(), "each counts once");
        let few = ["ec2:CreateVpc", "kms:CreateKey"].into();
        let failure = allowed(&few).expect_err("two are missing");
        assert_eq!(failure.causes, ["ec2:CreateVpc is not allowed", "kms:CreateKey is not allowed"]);
    }
}
