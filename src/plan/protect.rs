//! Whether each pattern of `protect` protects something. A slip of the finger in one would be noticed only when the data is gone.

use toml::de::DeTable;

use super::load::Found;
use super::problem::Problems;
use super::shape::nearest;
use super::tree::Node;
use super::{AddressPattern, Plan};

/// Finds the patterns of `protect` that match none of the plan's resources. `name` and `text` are what the plan was loaded from, the
/// addresses all that the plan can have, as `scope/kind/name`.
///
/// # Errors
/// All such patterns at once, each with the pattern that seems to be meant.
pub fn check_protection(name: &str, text: &str, plan: &Plan, addresses: &[String]) -> Result<(), Problems> {
    let matches_none = |pattern: &AddressPattern| !addresses.iter().any(|address| pattern.matches(address));
    let useless: Vec<_> = plan.protect.iter().enumerate().filter(|(_, pattern)| matches_none(pattern)).collect();
    if useless.is_empty() {
        return Ok(());
    }
    let (document, _) = DeTable::parse_recoverable(text);
    let root = Node::root(document.get_ref());
    let problems = useless.into_iter().map(|(n, pattern)| {
        let path = format!("protect[{n}]");
        let message = format!("{:?} protects nothing: no resource of this plan has such an address", pattern.as_str());
        let help = meant(pattern, addresses).map(|meant| format!("did you mean {:?}?", meant.as_str()));
        Found::at(&path, &root.locate(&path).0.span, message, help).into_problem(text)
    });
    Err(Problems::new(name, text, problems.collect()))
}

/// The pattern with each part that fits nothing replaced by the word that is most like it, if that matches a resource.
fn meant(pattern: &AddressPattern, addresses: &[String]) -> Option<AddressPattern> {
    let parts = pattern.as_str().split('/').enumerate().map(|(n, part)| {
        let known = || addresses.iter().filter_map(move |address| address.splitn(3, '/').nth(n));
        let fits = known().any(|known| pattern.matches_at(n, known));
        if fits { Some(part) } else { nearest(part, known()) }
    });
    let meant: AddressPattern = parts.collect::<Option<Vec<&str>>>()?.join("/").parse().ok()?;
    addresses.iter().any(|address| meant.matches(address)).then_some(meant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::load;

    fn told(text: &str) -> String {
        let addresses = ["us-east-1/s3_bucket/payments", "global/iam_role/backup"].map(str::to_owned);
        let plan = load("plan.toml", text).expect("a plan");
        check_protection("plan.toml", text, &plan, &addresses)
            .map_or_else(|problems| problems.to_string(), |()| String::new())
    }

    #[test]
    fn a_pattern_that_protects_nothing_is_a_problem_at_its_place() {
        assert_eq!(told("protect = ['*/s3_bucket/*', 'global/*/*', '*/*/backup']"), "");
        assert_eq!(
            told("domain = 'a.com'\nprotect = ['*/s3_bucket/*', '*/s3_buckets/*',\n 'us-east-1/iam_role/*', '*/x/*']"),
            "plan.toml:2:29: protect[1]: \"*/s3_buckets/*\" protects nothing: no resource of this plan has such an address; \
             did you mean \"*/s3_bucket/*\"?\n\
             plan.toml:3:2: protect[2]: \"us-east-1/iam_role/*\" protects nothing: no resource of this plan has such an address\n\
             plan.toml:3:26: protect[3]: \"*/x/*\" protects nothing: no resource of this plan has such an address"
        );
    }
}
