//! Questions, which are asked on the controlling terminal only.
//!
//! A person sits before it also where a pipe keeps what drctl says (`2>&1 | tee log`) or feeds its standard input. In
//! CI there is none.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::sync::Arc;

use rustix::termios::{QueueSelector, tcflush};

/// The controlling terminal of this process.
pub(super) struct Terminal(Arc<File>);

impl Terminal {
    /// Opens it. Nothing comes back where the process has none.
    pub(super) fn open() -> Option<Self> {
        let file = File::options().read(true).write(true).open("/dev/tty").ok()?;
        Some(Self(Arc::new(file)))
    }

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
