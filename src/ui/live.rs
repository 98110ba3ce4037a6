//! Progress on a terminal: a bar, what runs and what it waits for, redrawn in place; what has ended stays above it as a log.
//!
//! Invariants:
//! 1. What is redrawn fits the width of the terminal, so that it can be taken back, and is taken back in the end.
//! 2. What stays on the screen is exactly the lines of a log.

use std::time::Duration;

use console::{Term, measure_text_width, truncate_str};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::lines::line;
use super::page::{Page, count, span};
use super::progress::{Progress, doing};
use crate::engine::event::Event;

/// How many running operations are shown.
const MOST_RUNNING: usize = 8;

/// How wide the bar is.
const BAR: usize = 24;

/// Draws a run on the terminal.
#[derive(Debug)]
pub(super) struct Live {
    page: Page,
    progress: Progress,
    bar: ProgressBar,
}

impl Live {
    pub(super) fn new(page: Page) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        bar.set_style(ProgressStyle::with_template("{msg}").expect("the template is a constant"));
        Self { page, progress: Progress::default(), bar }
    }

    pub(super) fn on(&mut self, event: &Event, now: Instant) {
        self.progress.on(event, now);
        if let Some(line) = line(event, &self.progress, self.page) {
            self.bar.println(line);
        }
    }

    pub(super) fn draw(&self, now: Instant) {
        // A terminal may change its width at any time.
        let width = usize::from(Term::stderr().size().1);
        let frame = frame(&self.progress, now, Page { width, ..self.page });
        self.bar.set_message(frame.join("\n"));
        self.bar.tick();
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// The lines that are redrawn.
fn frame(progress: &Progress, now: Instant, page: Page) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some((since, resources)) = progress.looking {
        lines.push(format!(
            "{} looking at {} in AWS, {}",
            spinner(now - since),
            count(resources, "resource"),
            span(now - since)
        ));
    } else if let Some((begin, total, _)) = progress.begun {
        lines.push(head(progress, total, begin, now, page));
        let running = progress.longest_running();
        for (address, running) in running.iter().take(MOST_RUNNING) {
            let doing = format!("  {} {address} {}", doing(running.action), span(now - running.since));
            lines.push(match &running.waiting {
                Some((what, since)) => {
                    let waiting = format!("waiting {} for {what}", span(now - *since));
                    format!("{doing}  {}", page.faint(&waiting))
                }
                None => doing,
            });
        }
        if running.len() > MOST_RUNNING {
            lines.push(page.faint(&format!("  and {} more", running.len() - MOST_RUNNING)));
        }
    }
    lines.into_iter().map(|line| fitting(&line, page.width)).collect()
}

fn head(progress: &Progress, total: usize, begin: Instant, now: Instant, page: Page) -> String {
    let filled = (BAR * progress.ended()).checked_div(total).unwrap_or(BAR);
    let bar = format!("{}{}", page.good(&"━".repeat(filled)), page.faint(&"─".repeat(BAR - filled)));
    let mut parts = vec![format!("{}/{total} done", progress.done), format!("{} running", progress.running())];
    if progress.failed > 0 {
        parts.push(page.bad(&format!("{} failed", progress.failed)));
    }
    parts.push(span(now - begin));
    parts.push(match (progress.is_interrupted, progress.remaining(now)) {
        (true, _) => page.warn("stopping"),
        (false, Some(remaining)) => format!("about {} left", span(remaining)),
        (false, None) => "longer than expected".to_owned(),
    });
    format!("{bar} {}", parts.join(", "))
}

fn spinner(elapsed: Duration) -> char {
    const FRAMES: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
    let step = usize::try_from(elapsed.as_millis() / 100).unwrap_or_default();
    FRAMES[step % FRAMES.len()]
}

/// The line, cut to the width.
fn fitting(line: &str, width: usize) -> String {
    match measure_text_width(line) < width {
        true => line.to_owned(),
        false => truncate_str(line, width.saturating_sub(1), "…").into_owned(),
    }
}

#[cfg(test)]
#[path = "live/tests.rs"]
mod tests;
