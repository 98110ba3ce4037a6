//! `drctl iam-policy`.

use std::collections::BTreeSet;

use clap::Args;
use serde_json::json;

use super::Flags;
use super::session::Session;
use crate::error::Outcome;
use crate::permissions::{self, LARGEST_POLICY, OWN};
use crate::plan::{Plan, Suffix};
use crate::resources::Permissions;
use crate::topology;
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
        let declared = session.kinds.iter().map(|kind| kind.traits());
        // What an earlier plan made and this one gives up has to be looked at and deleted.
        let actions = declared.flat_map(|traits| self.actions(traits.permissions, kinds.contains(traits.name)));
        let actions = actions.chain(self.actions(OWN, true));
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

    fn actions(&self, permissions: Permissions, is_planned: bool) -> Vec<&'static str> {
        match (self.read_only, is_planned) {
            (true, _) => permissions.read.to_vec(),
            (false, true) => [permissions.read, permissions.change].concat(),
            (false, false) => permissions::without_making(permissions).collect(),
        }
    }
}

/// The kinds of which a plan has resources. They do not depend on the account, nor on what is only known of AWS.
fn kinds(plan: &Plan) -> BTreeSet<String> {
    topology::sketch(plan).resources.keys().map(|address| address.kind().to_owned()).collect()
}
