//! Completes the commands that drctl tells people to run, so that they mean the same plan, state, account and endpoint. Pure.
//!
//! Whoever writes a hint names the command alone; the global arguments of this run are added here, and nowhere else.

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

    /// The text with every command of drctl completed that stands at the end of a line: alone, or after a colon.
    pub(super) fn complete(&self, text: &str) -> String {
        text.split('\n').map(|line| self.complete_line(line)).collect::<Vec<_>>().join("\n")
    }

    fn complete_line(&self, line: &str) -> String {
        let start = match line.find(": drctl ") {
            Some(at) => at + 2,
            None if line.trim_start().starts_with("drctl ") => line.len() - line.trim_start().len(),
            None => return line.to_owned(),
        };
        let words: Vec<&str> = line[start..].split_whitespace().collect();
        // `init` writes to the file of `--plan`, so the plan of this run must not be given to it.
        if words.get(1) == Some(&"init") {
            return line.to_owned();
        }
        let missing = self.options.iter().filter(|(name, _)| !words.contains(name));
        missing.fold(line.to_owned(), |line, (name, value)| format!("{line} {name} {}", quoted(value)))
    }
}

/// A word as a POSIX shell reads it.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
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
        for text in ["use drctl 7.1.0 or later", "write one: drctl init a.toml", "copy it: cp a b", "then run drctl up"]
        {
            assert_eq!(again().complete(text), text);
        }
        let report = "run again:\n  drctl up --suffix dev\nthat is safe";
        let whole = "run again:\n  drctl up --suffix dev --plan 'my plan.toml'\nthat is safe";
        assert_eq!(again().complete(report), whole);
    }

    #[test]
    fn a_shell_reads_the_quoted_word_back() {
        for word in ["", "plain/path.toml", "a b", "it's", "$(rm x)", "a\"b", "~root", "*"] {
            let script = format!("printf %s {}", quoted(word));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().expect("there is a shell");
            assert_eq!(String::from_utf8_lossy(&output.stdout), word);
        }
    }
}
