//! The commands that drctl tells people to run next mean the same deployment as the run that says so, wherever that is.

use crate::advice;
use crate::support::{Folder, STATE};

const PLAN: &str = "odd plans/it's $HOME.toml";
const STATE_DIR: &str = "the state";

/// Runs a command in an odd place, checks what it advises, and returns that.
fn advised(folder: &Folder, command: &[&str]) -> Vec<String> {
    let place =
        ["--plan", PLAN, "--state-dir", STATE_DIR, "--profile", "two words", "--endpoint-url", "http://127.0.0.1:1"];
    let arguments: Vec<&str> = command.iter().chain(&place).copied().collect();
    let printed = folder.drctl_words(&arguments);
    // What the environment said has to be said by the advice, because the next shell may lack it.
    let meant: Vec<&str> = arguments.iter().copied().chain(["--suffix", "odd-1"]).collect();
    advice::check(&meant, &printed);
    advice::commands(&printed)
}

fn folder() -> Folder {
    let folder = Folder::new().credentials().variable("ENVIRONMENT_SUFFIX", "odd-1");
    folder.write(PLAN, drctl::plan::BUILTIN);
    folder
}

fn with_state(edit: impl Fn(&str) -> String) -> Folder {
    let folder = folder();
    folder.write(&format!("{STATE_DIR}/odd-1.json"), &edit(&STATE.replace("\"dev\"", "\"odd-1\"")));
    folder
}

/// Each way to end that has something to advise, with a word of the advice.
#[test]
fn every_advice_leads_back_to_the_same_place() {
    let known = || with_state(str::to_owned);
    let elsewhere = || with_state(|state| state.replace("us-east-2", "us-west-2"));
    let unplanned = || Folder::new().variable("ENVIRONMENT_SUFFIX", "odd-1");
    let cases: [(Folder, &[&str], &str); 14] = [
        (folder(), &["status"], "state rebuild"),
        (folder(), &["down", "--yes"], "state rebuild"),
        (with_state(|_| String::new()), &["state", "list"], "state rebuild"),
        (with_state(|state| state.replace("\"serial\": 4", "\"serial\"")), &["up"], "state rebuild"),
        (known(), &["down"], "down"),
        (known(), &["down", "--output", "json"], "down"),
        (known(), &["state", "show", "us-east-1/ec2_vpc/other"], "state list"),
        (known(), &["state", "unprotect", "*/s3_bucket/*"], "state list"),
        (
            with_state(|state| state.replace("\"outputs\": {\n        \"global", "\"other\": {\n        \"global")),
            &["outputs"],
            "up",
        ),
        (elsewhere(), &["up"], "down"),
        (elsewhere(), &["plan", "--output", "json"], "down"),
        (unplanned(), &["plan"], "init"),
        (unplanned(), &["init"], "plan"),
        (folder(), &["init"], "init"),
    ];
    for (folder, command, word) in cases {
        let advised = advised(&folder, command);
        assert!(advised.iter().any(|advice| advice.starts_with(&format!("drctl {word}"))), "{command:?}: {advised:?}");
    }
}

/// The plan file that cannot be read is the one that is written, and then planned with.
#[test]
fn who_follows_the_advice_after_a_missing_plan_gets_that_plan() {
    let folder = Folder::new().credentials().variable("ENVIRONMENT_SUFFIX", "odd-1");
    let [init] = &advised(&folder, &["plan"])[..] else { panic!("one command is advised") };
    folder.shell(init);
    assert_eq!(folder.read(PLAN), drctl::plan::BUILTIN);
}

/// What no run of a test may get to say keeps the same form: a command ends the text, or follows a colon.
#[test]
fn no_text_names_a_command_in_the_middle_of_a_sentence() {
    let mut files = Vec::new();
    sources(std::path::Path::new("src"), &mut files);
    assert!(files.len() > 100, "the sources are there");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("the file can be read");
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        // A string may go on in the next line.
        let code = code.join("\n").split("\\\n").map(str::trim_start).collect::<String>();
        for (at, _) in code.match_indices("drctl ") {
            let word = code[at + 6..].split(|c: char| !c.is_ascii_lowercase() && c != '-').next().unwrap_or_default();
            if word.is_empty() || drctl::cli::parser().find_subcommand(word).is_none() {
                continue;
            }
            let before = code[..at].trim_end_matches("  ");
            let is_alone = ["\"", ": ", "\\n"].iter().any(|start| before.ends_with(start));
            let line = code[..at].matches('\n').count();
            assert!(is_alone, "{}: {}", file.display(), code.lines().nth(line).unwrap_or_default());
        }
    }
}

fn sources(folder: &std::path::Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder can be read").flatten() {
        let path = entry.path();
        match (path.is_dir(), path.file_name().and_then(|name| name.to_str())) {
            (true, Some("tests")) => {}
            (true, _) => sources(&path, files),
            (false, Some(name)) if name.ends_with(".rs") && name != "tests.rs" => files.push(path),
            _ => {}
        }
    }
}
