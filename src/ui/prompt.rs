//! Questions, which are asked on a terminal only.

use std::io::{BufRead, Write};

/// Asks and waits for a line. Nothing comes back when the input ends first.
///
/// The read happens on a thread of its own, so that a signal is heard while the question stands.
pub(super) async fn ask(question: String) -> Option<String> {
    let mut line_end = LineEnd { is_due: true };
    let answer = tokio::task::spawn_blocking(move || {
        let mut screen = std::io::stderr().lock();
        write!(screen, "{question} ").and_then(|()| screen.flush()).ok()?;
        drop(screen);
        let mut line = String::new();
        let length = std::io::stdin().lock().read_line(&mut line).ok()?;
        (length > 0).then(|| line.trim().to_owned())
    });
    let answer = answer.await.ok().flatten();
    line_end.is_due = answer.is_none();
    answer
}

/// Ends the line of a question that was left without an answer, so that what follows has a line of its own.
struct LineEnd {
    is_due: bool,
}

impl Drop for LineEnd {
    fn drop(&mut self) {
        if self.is_due {
            let _ = writeln!(std::io::stderr().lock());
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
