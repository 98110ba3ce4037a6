//! Completes the commands that drctl tells people to run, so that they mean the same plan, state, account and endpoint. Pure.
//!
//! Whoever writes a text names the command alone; the global arguments of this run are added here, and nowhere else.
//!
//! Invariants:
//! 1. A command ends its line and stands there alone or after a colon, so that it can be copied whole. A sentence that
//!    only speaks of a command calls it `down`, without the program's name.
//! 2. `--state` and `--state-dir` never come together, except to the commands that copy from one to the other.
//! 3. What a command says already is not said twice.

use crate::shell::quoted;

/// The commands of drctl, by which a command is told from a sentence about drctl.
const COMMANDS: [&str; 10] =
    ["up", "down", "status", "plan", "outputs", "graph", "iam-policy", "init", "schema", "state"];

/// The options that the AWS CLI has too, with the same meaning.
const OF_AWS: [&str; 2] = ["--profile", "--endpoint-url"];

/// The arguments of this run that every command which follows from it needs as well.
#[derive(Clone, Debug, Default)]
pub struct Again {
    /// Pairs of an option and its value, in the order of the help.
    options: Vec<(&'static str, String)>,
}

impl Again {
    /// The options that were given, by their names with dashes; those without a value are left out.
    pub fn new(options: impl IntoIterator<Item = (&'static str, Option<String>)>) -> Self {
        let given = options.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)));
        Self { options: given.collect() }
    }

    /// The text with every command of drctl and of the AWS CLI completed that stands at the end of a line: alone, or
    /// after a colon.
    pub fn complete(&self, text: &str) -> String {
        text.split('\n').map(|line| self.complete_line(line)).collect::<Vec<_>>().join("\n")
    }

    fn complete_line(&self, line: &str) -> String {
        let Some(start) = command_at(line) else { return line.to_owned() };
        let mut words: Vec<&str> = line[start..].split_whitespace().collect();
        let is_wanted = |name: &str| match words.as_slice() {
            ["aws", ..] => OF_AWS.contains(&name),
            ["cp", ..] => false,
            // `init` writes to the file of `--plan`, so the plan of this run must not be given to it.
            ["drctl", "init", ..] => false,
            _ => true,
        };
        let wanted: Vec<_> = self.options.iter().filter(|(name, _)| is_wanted(name)).collect();
        let is_copy = matches!(words.as_slice(), ["drctl", "state", "push" | "pull", ..]);
        let mut whole = line.to_owned();
        for (name, value) in wanted {
            let is_elsewhere = |other: &&str| ["--state", "--state-dir"].contains(other);
            let is_said = match is_copy || !is_elsewhere(name) {
                true => words.contains(name),
                false => words.iter().any(is_elsewhere),
            };
            if !is_said {
                // A value like an option would be taken for one.
                let joint = if value.starts_with('-') { '=' } else { ' ' };
                whole = format!("{whole} {name}{joint}{}", quoted(value));
                words.push(name);
            }
        }
        whole
    }
}

/// Where the command begins with which a line ends.
pub(super) fn command_at(line: &str) -> Option<usize> {
    let indent = line.len() - line.trim_start().len();
    std::iter::once(indent).chain(line.match_indices(": ").map(|(at, _)| at + 2)).find(|&at| is_command(&line[at..]))
}

fn is_command(text: &str) -> bool {
    let mut words = text.split_whitespace();
    match words.next() {
        Some("drctl") => words.next().is_some_and(|word| COMMANDS.contains(&word)),
        Some("aws" | "cp") => words.next().is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again() -> Again {
        Again::new([
            ("--suffix", Some("dev".to_owned())),
            ("--plan", Some("my plan.toml".to_owned())),
            ("--profile", None),
        ])
    }

    #[test]
    fn a_command_gets_what_it_lacks_and_nothing_twice() {
        let hint = "complete it: drctl up --suffix dev";
        assert_eq!(again().complete(hint), "complete it: drctl up --suffix dev --plan 'my plan.toml'");
        assert_eq!(again().complete("drctl state list"), "drctl state list --suffix dev --plan 'my plan.toml'");
    }

    #[test]
    fn only_whole_commands_are_completed() {
        for text in [
            "use drctl 7.1.0 or later",
            "write one: drctl init a.toml",
            "copy it: cp a b",
            "then run drctl up",
            "who: drctl made it",
        ] {
            assert_eq!(again().complete(text), text);
        }
        let report = "run again:\n  drctl up --suffix dev\nthat is safe";
        let whole = "run again:\n  drctl up --suffix dev --plan 'my plan.toml'\nthat is safe";
        assert_eq!(again().complete(report), whole);
    }

    #[test]
    fn the_aws_cli_gets_the_account_and_the_endpoint_alone() {
        let again = Again::new([("--plan", Some("p".to_owned())), ("--profile", Some("two words".to_owned()))]);
        let whole = "make it: aws s3 mb s3://b --profile 'two words'";
        assert_eq!(again.complete("make it: aws s3 mb s3://b"), whole);
    }

    #[test]
    fn a_state_is_in_one_place_unless_it_is_copied() {
        let places = || [("--state-dir", Some("-odd".to_owned())), ("--state", Some("s3://b/p".to_owned()))];
        let both = "drctl state push --force --state-dir=-odd --state s3://b/p";
        assert_eq!(Again::new(places()).complete("drctl state push --force"), both);
        let one = "drctl state list --state s3://b/p";
        assert_eq!(Again::new(places()).complete(one), one);
        assert_eq!(Again::new(places()).complete("drctl down"), "drctl down --state-dir=-odd");
    }
}
