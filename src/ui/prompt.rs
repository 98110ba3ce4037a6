//! Questions, which are asked on the controlling terminal only.
//!
//! A person sits before it also where a pipe keeps what drctl says (`2>&1 | tee log`) or feeds its standard input. In
//! CI there is none. A run in the background (`up &`, `timeout 10m`) has one but cannot use it: the kernel would stop
//! the whole process at its question, silently and until somebody brings it back.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::sync::Arc;

use rustix::process::getpgrp;
use rustix::termios::{QueueSelector, tcflush, tcgetpgrp};

/// The controlling terminal of this process.
pub(super) struct Terminal(Arc<File>);

/// Who can be asked.
pub(super) enum Asker {
    /// A person at the terminal.
    Person(Terminal),
    /// Nobody: there is a person, but this process is in the background of the terminal.
    Background,
    /// Nobody: there is no terminal.
    Nobody,
}

impl Asker {
    /// Finds out who can be asked now.
    pub(super) fn find() -> Self {
        let Ok(file) = File::options().read(true).write(true).open("/dev/tty") else { return Self::Nobody };
        // A terminal that cannot say who is in its foreground is asked nevertheless.
        match tcgetpgrp(&file).is_ok_and(|foreground| foreground != getpgrp()) {
            true => Self::Background,
            false => Self::Person(Terminal(Arc::new(file))),
        }
    }
}

impl Terminal {
    /// Asks and waits for a line. Nothing comes back when the input ends first.
    ///
    /// What was typed before the question is no answer to it, and is thrown away. The read happens on a thread of its
    /// own, so that a signal is heard while the question stands.
    pub(super) async fn ask(self, question: String) -> Option<String> {
        let mut line_end = LineEnd { terminal: self.0.clone(), is_due: true };
        let answer = tokio::task::spawn_blocking(move || {
            let mut terminal = self.0.as_ref();
            // This comes before the question: whatever answers as soon as it reads the question must be heard.
            tcflush(terminal, QueueSelector::IFlush).ok()?;
            write!(terminal, "{question} ").ok()?;
            let mut line = String::new();
            let length = BufReader::new(terminal).read_line(&mut line).ok()?;
            (length > 0).then(|| line.trim().to_owned())
        });
        let answer = answer.await.ok().flatten();
        line_end.is_due = answer.is_none();
        answer
    }
}

/// Ends the line of a question that was left without an answer, so that what follows has a line of its own.
struct LineEnd {
    terminal: Arc<File>,
    is_due: bool,
}

impl Drop for LineEnd {
    fn drop(&mut self) {
        if self.is_due {
            let _ = writeln!(self.terminal.as_ref());
        }
    }
}

/// Tells whether an answer to a yes-or-no question is yes: whoever just presses Enter has not said yes.
pub(super) fn is_yes(answer: &str) -> bool {
    ["y", "yes"].contains(&answer.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_means_yes() {
        for yes in ["y", "yes", "Y", "YES"] {
            assert!(is_yes(yes), "{yes}");
        }
        for no in ["", "n", "no", "ye", "sure", "dev"] {
            assert!(!is_yes(no), "{no}");
        }
    }
}
