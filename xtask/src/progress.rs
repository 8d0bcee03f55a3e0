//! Progress on the terminal: bars where there is one, plain lines where there is not.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::Duration;

use harness::model::{Events, RunEvent, Stage, Verdict};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::cli::Common;

/// Where progress goes. Standard output is for results alone.
pub fn events(common: &Common) -> Events {
    let bars = std::io::stderr().is_terminal() && std::env::var_os("CI").is_none();
    let screen = Screen {
        bars: bars.then(MultiProgress::new),
        open: RefCell::new(HashMap::new()),
        verbose: common.verbose,
    };
    Events::new(move |event| screen.show(event))
}

struct Screen {
    bars: Option<MultiProgress>,
    open: RefCell<HashMap<(Stage, String), ProgressBar>>,
    verbose: u8,
}

impl Screen {
    fn show(&self, event: RunEvent) {
        match event {
            RunEvent::StageStarted { stage, what } => self.start(stage, what),
            RunEvent::StageProgress { stage, what, progress } => {
                if let Some(bar) = self.open.borrow().get(&(stage, what)) {
                    if let Some(total) = progress.total {
                        bar.set_length(total);
                    }
                    bar.set_position(progress.done);
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
                if self.verbose > 0 {
                    self.line(&format!("{:10} {cell}", "boot"));
                }
            }
            RunEvent::CellEnded { cell, verdict, passed, total, text, elapsed } => {
                let counts = if total > 0 { format!(" {passed}/{total}") } else { String::new() };
                let first = text.lines().next().unwrap_or_default();
                let why = if verdict == Verdict::Pass { String::new() } else { format!(": {first}") };
                self.line(&format!("{verdict:10} {cell}{counts} in {}{why}", seconds(elapsed)));
            }
        }
    }

    fn start(&self, stage: Stage, what: String) {
        let Some(bars) = &self.bars else {
            self.line(&format!("{stage:10} {what} \u{2026}"));
            return;
        };
        let style =
            ProgressStyle::with_template("{prefix:10} {msg} {spinner} {pos}/{len} [{elapsed}] {wide_bar}");
        let bar = bars.add(ProgressBar::no_length());
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_prefix(stage.to_string());
        bar.set_message(what.clone());
        bar.enable_steady_tick(Duration::from_millis(200));
        self.open.borrow_mut().insert((stage, what), bar);
    }

    fn line(&self, text: &str) {
        match &self.bars {
            // Above the bars, which are drawn again below it.
            Some(bars) => {
                let _ = bars.println(text);
            }
            None => anstream::eprintln!("{text}"),
        }
    }
}

fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0..100 => format!("{:.1} s", time.as_secs_f64()),
        s => format!("{} min {} s", s / 60, s % 60),
    }
}
