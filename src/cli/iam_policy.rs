//! `drctl iam-policy`.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde_json::json;

use super::Flags;
use super::session::Session;
use crate::error::Outcome;
use crate::permissions::{self, LARGEST_POLICY, OWN};
use crate::plan::{Plan, Suffix};
use crate::resources::Permissions;
use crate::topology::{self, Inputs};
use crate::ui::{OutputMode, Screen};

/// Prints the least IAM policy that a deployment of the plan needs
///
/// For every deployment, unless --suffix names one. Contacts nobody.
#[derive(Debug, Args)]
pub(super) struct IamPolicy {
    /// Only what `plan` and `status` need, which change nothing
    #[arg(long)]
    read_only: bool,
}

impl IamPolicy {
    pub(super) fn run(self, flags: Flags, screen: &Screen) -> Outcome {
        let session = Session::new(flags, screen);
        let plan = session.load_plan()?;
        let kinds = kinds(&plan.plan);
        let declared = session.kinds.iter().map(|kind| kind.traits()).filter(|traits| kinds.contains(traits.name));
        let declared = declared.map(|traits| traits.permissions).chain([OWN]);
        let actions = declared.flat_map(|permissions| self.actions(permissions));
        let suffix = session.flags.suffix.as_ref().map_or("*", Suffix::as_str);
        let documents = permissions::documents(&permissions::statements(actions, suffix));

        if session.flags.output == OutputMode::Json {
            screen.document(&json!({ "policies": documents }));
            return Ok(());
        }
        documents.iter().for_each(|document| screen.document(document));
        if documents.len() > 1 {
            let number = documents.len();
            screen.note(&format!(
                "these are {number} policies, because AWS takes at most {LARGEST_POLICY} characters in one; attach all of them"
            ));
        }
        Ok(())
    }

    fn actions(&self, permissions: Permissions) -> impl Iterator<Item = &'static str> {
        let change = if self.read_only { &[] } else { permissions.change };
        permissions.read.iter().chain(change).copied()
    }
}

/// The kinds of which a plan has resources. They do not depend on the account, nor on what is only known of AWS.
fn kinds(plan: &Plan) -> BTreeSet<String> {
    let code: BTreeMap<String, String> =
        plan.functions.iter().map(|function| (function.name.to_string(), String::new())).collect();
    let suffix = "any".parse().expect("this is a suffix");
    let inputs = Inputs {
        plan,
        suffix: &suffix,
        account: "000000000000",
        engine_version: Some("0"),
        parent_zone: Some("Z0"),
        code: &code,
    };
    topology::expand(inputs).resources.keys().map(|address| address.kind().to_owned()).collect()
}
