//! Progress on the terminal: bars where there is one, plain lines where there is not.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::Duration;

use harness::judge::console::sanitize_lines;
use harness::model::{Events, RunEvent, Stage, Verdict};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::cli::Common;
use crate::say;

/// Where progress goes. Standard output is for results alone.
pub fn events(common: &Common) -> Events {
    let bars = std::io::stderr().is_terminal() && std::env::var_os("CI").is_none();
    let screen = Screen {
        bars: bars.then(MultiProgress::new),
        open: RefCell::new(HashMap::new()),
        guests: RefCell::new(HashMap::new()),
        verbose: common.verbose,
    };
    Events::new(move |event| screen.show(event))
}

struct Screen {
    bars: Option<MultiProgress>,
    open: RefCell<HashMap<(Stage, String), ProgressBar>>,
    guests: RefCell<HashMap<String, ProgressBar>>,
    verbose: u8,
}

/// A stage that counts something, and one that only takes time.
const COUNTING: &str = "{prefix:10} {msg} {pos}/{len} [{elapsed}] {wide_bar}";
const WAITING: &str = "{prefix:10} {msg} {spinner} [{elapsed}]";

impl Screen {
    fn show(&self, event: RunEvent) {
        match event {
            RunEvent::StageStarted { stage, what } => self.start(stage, what),
            RunEvent::StageProgress { stage, what, progress } => {
                if let Some(bar) = self.open.borrow().get(&(stage, what.clone())) {
                    match progress.total {
                        Some(total) => {
                            set_style(bar, COUNTING);
                            bar.set_length(total.max(progress.done));
                            bar.set_position(progress.done);
                        }
                        None => bar.set_message(format!("{what} {}", progress.done)),
                    }
                }
            }
            RunEvent::StageEnded { stage, what, cached, ok, elapsed } => {
                if let Some(bar) = self.open.borrow_mut().remove(&(stage, what.clone())) {
                    bar.finish_and_clear();
                }
                if cached {
                    if self.verbose > 0 {
                        self.line(&format!("{stage:10} {what}: cached"));
                    }
                } else {
                    let word = if ok { "done" } else { "FAILED" };
                    self.line(&format!("{stage:10} {what}: {word} in {}", seconds(elapsed)));
                }
            }
            RunEvent::Note(text) => self.line(&format!("note: {text}")),
            RunEvent::Command(argv) if self.verbose > 1 => self.line(&format!("$ {argv}")),
            RunEvent::Command(_) => {}
            RunEvent::CellStarted(cell) => {
                if let Some(bar) = self.bar("boot", &cell) {
                    self.guests.borrow_mut().insert(cell, bar);
                } else if self.verbose > 0 {
                    self.line(&format!("{:10} {cell}", "boot"));
                }
            }
            RunEvent::CellAttempt { cell, number, again, verdict, text } => {
                let bar = self.guests.borrow().get(&cell).cloned();
                if let Some(bar) = &bar {
                    bar.set_message(format!("{cell}, attempt {}", number + 1));
                }
                // Where a bar counts the passes, only what is none is worth a line.
                if bar.is_none() || verdict != Verdict::Pass {
                    let first = text.lines().next().unwrap_or_default();
                    let why = if verdict == Verdict::Pass { String::new() } else { format!(": {first}") };
                    let again = if again { "; again" } else { "" };
                    self.line(&format!("{verdict:10} {cell}, attempt {number}{why}{again}"));
                }
            }
            RunEvent::CellEnded { cell, verdict, passed, total, text, elapsed } => {
                if let Some(bar) = self.guests.borrow_mut().remove(&cell) {
                    bar.finish_and_clear();
                }
                let counts = if total > 0 { format!(" {passed}/{total}") } else { String::new() };
                let first = text.lines().next().unwrap_or_default();
                let why = if verdict == Verdict::Pass { String::new() } else { format!(": {first}") };
                self.line(&format!("{verdict:10} {cell}{counts} in {}{why}", seconds(elapsed)));
            }
        }
    }

    fn start(&self, stage: Stage, what: String) {
        match self.bar(&stage.to_string(), &what) {
            Some(bar) => {
                self.open.borrow_mut().insert((stage, what), bar);
            }
            None => self.line(&format!("{stage:10} {what} \u{2026}")),
        }
    }

    /// A new bar below the others; none where there is no terminal.
    fn bar(&self, prefix: &str, message: &str) -> Option<ProgressBar> {
        let bar = self.bars.as_ref()?.add(ProgressBar::no_length());
        set_style(&bar, WAITING);
        bar.set_prefix(prefix.to_owned());
        bar.set_message(message.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Some(bar)
    }

    fn line(&self, text: &str) {
        // A verdict's reason, a path or a note may quote what a guest or a file says.
        let text = sanitize_lines(text);
        match &self.bars {
            // Above the bars, which are drawn again below it.
            Some(bars) => {
                let _ = bars.println(text);
            }
            None => say::aside(text),
        }
    }
}

fn set_style(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}

fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0..100 => format!("{:.1} s", time.as_secs_f64()),
        s => format!("{} min {} s", s / 60, s % 60),
    }
}
