//! The progress of a sweep: a bar on a terminal, plain lines elsewhere, or nothing in quiet mode.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use crate::base::stderr::print_error;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

/// Shows the progress of a sweep. All output goes to stderr.
pub struct ProgressDisplay {
    how: DisplayMode,
    started: Instant,
    /// Work of this run in floating-point operations: the total, and what is done.
    total: f64,
    done: f64,
    stages: usize,
    stages_done: usize,
    noun: &'static str,
    unit: &'static str,
    images: f64,
    /// Observed seconds, and the same seconds weighted by the share of workers that were training.
    watched: f64,
    busy: f64,
    ticked: Instant,
    best: String,
}

/// Speed and utilisation of a sweep since its start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Utilisation {
    pub seconds: f64,
    pub stages_done: usize,
    pub images_per_second: f64,
    /// Share of the workers' time that was spent on training.
    pub utilisation: f64,
}

enum DisplayMode {
    Bar(ProgressBar),
    Lines { last: Option<Instant> },
    Quiet,
}

/// Columns of the bar.
const BAR: usize = 20;

/// The parts, most important first, as far as they fit into `room` columns.
fn parts_that_fit(parts: &[String], room: usize) -> String {
    let mut text = String::new();
    for part in parts {
        let longer = if text.is_empty() { part.clone() } else { format!("{text} · {part}") };
        if !text.is_empty() && console::measure_text_width(&longer) > room {
            break;
        }
        text = longer;
    }
    text
}

/// Seconds between two plain lines.
const LINE_SECONDS: u64 = 10;

impl ProgressDisplay {
    /// `stages` and `total` (in operations) are the remaining work. `noun` is the word for stages.
    /// `unit` is the word for the items that are counted per second.
    pub fn new(noun: &'static str, unit: &'static str, stages: usize, total: f64, quiet: bool) -> ProgressDisplay {
        let how = if quiet {
            DisplayMode::Quiet
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new(1000);
            // The template is a constant. If it were wrong, indicatif's default style would be
            // shown.
            if let Ok(style) = ProgressStyle::with_template(&format!("{{bar:{BAR}}} {{wide_msg}}")) {
                bar.set_style(style);
            }
            DisplayMode::Bar(bar)
        } else {
            DisplayMode::Lines { last: None }
        };
        ProgressDisplay {
            how,
            started: Instant::now(),
            total: total.max(1.0),
            done: 0.0,
            stages,
            stages_done: 0,
            noun,
            unit,
            images: 0.0,
            watched: 0.0,
            busy: 0.0,
            ticked: Instant::now(),
            best: String::new(),
        }
    }

    /// Adds an epoch that was trained, with its images and operations.
    pub fn epoch(&mut self, images: f64, operations: f64) {
        self.images += images;
        self.done += operations;
        self.show(false);
    }

    /// Subtracts work that an earlier run has done. It must not affect this run's speed.
    pub fn spare(&mut self, operations: f64) {
        self.total = (self.total - operations).max(1.0);
    }

    /// Adds stages that were not known at the start.
    pub fn more(&mut self, stages: usize, operations: f64) {
        self.stages += stages;
        self.total += operations;
    }

    pub fn stage_ended(&mut self) {
        self.stages_done += 1;
        self.show(self.stages_done == self.stages);
    }

    /// Adds the share of workers that were training since the last call.
    pub fn busy(&mut self, share: f64) {
        let elapsed = self.ticked.elapsed().as_secs_f64();
        self.ticked = Instant::now();
        self.watched += elapsed;
        self.busy += elapsed * share.clamp(0.0, 1.0);
    }

    pub fn utilisation(&self) -> Utilisation {
        let seconds = self.started.elapsed().as_secs_f64();
        Utilisation {
            seconds,
            stages_done: self.stages_done,
            images_per_second: self.images / seconds.max(1e-9),
            utilisation: if self.watched > 0.0 { self.busy / self.watched } else { 0.0 },
        }
    }

    /// Sets the best result so far, as a short text.
    pub fn set_best(&mut self, best: String) {
        self.best = best;
    }

    /// Prints a message above the bar.
    pub fn say(&self, message: &str) {
        match &self.how {
            DisplayMode::Bar(bar) => bar.suspend(|| print_error(message)),
            _ => print_error(message),
        }
    }

    pub fn finish(&self) {
        if let DisplayMode::Bar(bar) = &self.how {
            bar.finish_and_clear();
        }
    }

    fn message(&self) -> String {
        let elapsed = self.started.elapsed().as_secs_f64();
        let share = (self.done / self.total).clamp(0.0, 1.0);
        let rate = self.images / elapsed.max(1e-9);
        let eta = match share > 0.01 && elapsed > 1.0 {
            true => format!("about {} left", HumanDuration(Duration::from_secs_f64(elapsed * (1.0 - share) / share))),
            false => "estimating".into(),
        };
        let best = (!self.best.is_empty()).then(|| self.best.clone());
        let busy = (self.watched > 1.0).then(|| format!("{:.0}% busy", 100.0 * self.busy / self.watched));
        let speed = format!("{:.0} {}/s", rate, self.unit);
        let first = format!("{}/{} {}", self.stages_done, self.stages, self.noun);
        let parts = [Some(first), Some(eta), best, busy, Some(speed)];
        let room = match &self.how {
            DisplayMode::Bar(_) => usize::from(console::Term::stderr().size().1).saturating_sub(BAR + 2),
            _ => usize::MAX,
        };
        parts_that_fit(&parts.into_iter().flatten().collect::<Vec<_>>(), room)
    }

    fn show(&mut self, now: bool) {
        let message = self.message();
        let share = (self.done / self.total).clamp(0.0, 1.0);
        match &mut self.how {
            DisplayMode::Bar(bar) => {
                bar.set_position((1000.0 * share) as u64);
                bar.set_message(message);
            }
            DisplayMode::Lines { last } => {
                let due = last.map_or(self.started.elapsed().as_secs() >= 2, |last| last.elapsed().as_secs() >= LINE_SECONDS);
                if due || (now && last.is_some()) {
                    *last = Some(Instant::now());
                    print_error(&message);
                }
            }
            DisplayMode::Quiet => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_narrow_terminal_shows_whole_parts() {
        let parts = ["12/40 stages", "about 3 minutes left", "so far λ₀* = 0.1"].map(str::to_string);
        let shown = |room| super::parts_that_fit(&parts, room);
        assert_eq!(shown(18), "12/40 stages");
        assert_eq!(shown(40), "12/40 stages · about 3 minutes left");
        assert_eq!(shown(usize::MAX), parts.join(" · "));
    }
}
