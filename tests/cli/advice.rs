//! Follows literally what drctl tells people to run next: a shell splits each command into words, the real parser of
//! the command line reads them, and they have to mean the plan, the state, the account and the endpoint of the run that
//! said so.

use std::process::Command;

/// What says where a command works, each with a value that stands for "whatever you have".
const OPTIONS: [&str; 6] = ["suffix", "plan", "state_dir", "state", "profile", "endpoint_url"];

/// The commands of drctl.
const COMMANDS: [&str; 10] =
    ["up", "down", "status", "plan", "outputs", "graph", "iam-policy", "init", "schema", "state"];

/// Checks all advice in what a run printed. `arguments` are those of the run, with what it read from its environment.
pub(crate) fn check(arguments: &[&str], printed: &str) {
    let Some(run) = options(arguments.iter().map(ToString::to_string).collect()) else { return };
    for advice in commands(printed) {
        let followed = options(words(&advice)).unwrap_or_else(|| panic!("no such command: {advice}"));
        // It writes a plan and needs nothing of a deployment.
        if advice.starts_with("drctl init") {
            continue;
        }
        for (name, (meant, said)) in OPTIONS.iter().zip(run.iter().zip(&followed)) {
            let is_same = match (*name, meant, said) {
                // Who has the only deployment need not name it, and who has no plan file may be asked for one.
                ("suffix", None, _) => true,
                ("plan", None, Some(value)) => value == "FILE",
                _ => meant == said,
            };
            assert!(is_same, "{name} is {meant:?} in the run and {said:?} in its advice: {advice}\n{printed}");
        }
    }
}

/// The commands that people are told to run: each ends its line, alone or after a colon.
pub(crate) fn commands(printed: &str) -> Vec<String> {
    let parts = printed.lines().flat_map(|line| strings(line.trim()));
    let mut found = Vec::new();
    for part in parts {
        let mut starts = part.match_indices("drctl ").map(|(at, _)| at).filter(|&at| {
            let word = part[at..].split_whitespace().nth(1).unwrap_or_default();
            COMMANDS.contains(&word)
        });
        let Some(start) = starts.next() else { continue };
        assert!(start == 0 || part[..start].ends_with(": "), "a command in the middle of a sentence: {part}");
        found.push(part[start..].to_owned());
    }
    found
}

/// The texts of a line: all strings of a JSON document, or the line itself.
fn strings(line: &str) -> Vec<String> {
    fn of(value: &serde_json::Value) -> Vec<String> {
        match value {
            serde_json::Value::String(text) => text.lines().map(str::to_owned).collect(),
            serde_json::Value::Array(values) => values.iter().flat_map(of).collect(),
            serde_json::Value::Object(fields) => fields.values().flat_map(of).collect(),
            _ => Vec::new(),
        }
    }
    match serde_json::from_str(line) {
        Ok(value @ serde_json::Value::Object(_)) => of(&value),
        _ => vec![line.to_owned()],
    }
}

/// The words of a command, as a POSIX shell reads them.
fn words(command: &str) -> Vec<String> {
    let arguments = command.strip_prefix("drctl").expect("it is a command of drctl");
    let output =
        Command::new("sh").args(["-c", &format!("printf '%s\\0' {arguments}")]).output().expect("there is a shell");
    assert!(output.status.success(), "a shell cannot read: {command}");
    let text = String::from_utf8(output.stdout).expect("the command is UTF-8");
    text.split_terminator('\0').map(str::to_owned).collect()
}

/// The values of the options, by the real parser; nothing if it refuses the arguments.
fn options(arguments: Vec<String>) -> Option<Vec<Option<String>>> {
    let matches =
        drctl::cli::parser().try_get_matches_from(std::iter::once("drctl".to_owned()).chain(arguments)).ok()?;
    // A place in S3 is the same with a slash at its end.
    let value = |name: &&str| Some(matches.get_raw(name)?.next()?.to_string_lossy().trim_end_matches('/').to_owned());
    Some(OPTIONS.iter().map(value).collect())
}
