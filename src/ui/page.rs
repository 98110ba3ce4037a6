//! What a text is written on: how wide it is, and whether it takes colour. Colour never carries a meaning alone.

use std::time::Duration;

use console::Style;

/// The width and the colour of one of the two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) width: usize,
    pub(super) color: bool,
}

impl Page {
    #[cfg(test)]
    pub(super) const PLAIN: Self = Self { width: 100, color: false };

    fn paint(self, style: Style, text: &str) -> String {
        style.force_styling(self.color).apply_to(text).to_string()
    }

    pub(super) fn strong(self, text: &str) -> String {
        self.paint(Style::new().bold(), text)
    }

    pub(super) fn faint(self, text: &str) -> String {
        self.paint(Style::new().dim(), text)
    }

    pub(super) fn good(self, text: &str) -> String {
        self.paint(Style::new().green(), text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.paint(Style::new().red(), text)
    }

    pub(super) fn warn(self, text: &str) -> String {
        self.paint(Style::new().yellow(), text)
    }

    pub(super) fn note(self, text: &str) -> String {
        self.paint(Style::new().cyan(), text)
    }

    pub(super) fn strong_bad(self, text: &str) -> String {
        self.paint(Style::new().red().bold(), text)
    }
}

/// A duration as people say it: `1.2 s`, `45 s`, `2 min 10 s`, `1 h 5 min`.
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        // One digit tells short durations apart; a zero tells nothing.
        0..10 => format!("{:.1} s", duration.as_secs_f64()).replace(".0 s", " s"),
        10..60 => format!("{seconds} s"),
        60..3600 if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => match seconds % 3600 / 60 {
            0 => format!("{} h", seconds / 3600),
            minutes => format!("{} h {minutes} min", seconds / 3600),
        },
    }
}

/// A number of things: `1 resource`, `2 resources`.
pub(super) fn count(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ => format!("{number} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_speech() {
        let texts = [0, 1_240, 12_900, 60_000, 130_000, 3_600_000, 3_900_000].map(|ms| span(Duration::from_millis(ms)));
        assert_eq!(texts, ["0 s", "1.2 s", "12 s", "1 min", "2 min 10 s", "1 h", "1 h 5 min"]);
    }

    #[test]
    fn a_page_without_colour_has_no_escape_codes() {
        assert_eq!(Page::PLAIN.strong_bad("no"), "no");
        assert_eq!(Page { color: true, ..Page::PLAIN }.bad("no"), "\u{1b}[31mno\u{1b}[0m");
    }
}
