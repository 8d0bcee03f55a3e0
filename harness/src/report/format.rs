//! The formats of a report, by the names that `report --format` and `--report FORMAT=FILE` take.

use std::fmt;
use std::str::FromStr;

use super::html::{self, Logs};
use super::sealed::{self, AnyRun};
use super::text::Paint;
use super::view::View;
use super::{cover_letter, junit, kselftest, ktap, markdown, text};

/// How a run is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people at a terminal.
    Text,
    /// For the step summary of a CI system; of a kselftest run a page to keep.
    Markdown,
    /// For `[PATCH 0/n]`.
    CoverLetter,
    /// `run.json` itself.
    Json,
    /// For Jenkins and GitLab.
    Junit,
    /// For the kernel's own tools.
    Ktap,
    /// A page for a browser.
    Html,
}

/// What a format may want that the record does not have.
pub struct Beside<'a> {
    /// When the run began, in words.
    pub began: String,
    /// The logs in a folder of the run's.
    pub logs: &'a dyn Fn(&str) -> Logs,
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 7] = [
        Format::Text,
        Format::Markdown,
        Format::CoverLetter,
        Format::Json,
        Format::Junit,
        Format::Ktap,
        Format::Html,
    ];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Format::Text => "text",
            Format::Markdown => "markdown",
            Format::CoverLetter => "cover-letter",
            Format::Json => "json",
            Format::Junit => "junit",
            Format::Ktap => "ktap",
            Format::Html => "html",
        }
    }

    /// The whole report. It ends with a line's end.
    pub fn render(self, run: &AnyRun, paint: Paint, beside: &Beside<'_>) -> String {
        let view = View::of(run);
        match (self, run) {
            (Format::Text, AnyRun::Syscall(run)) => text::render(run, paint),
            (Format::Text, AnyRun::Kselftest(run)) => kselftest::text::render(run, paint),
            (Format::Markdown, AnyRun::Syscall(_)) => markdown::render(&view),
            (Format::Markdown, AnyRun::Kselftest(run)) => markdown::bounded(kselftest::markdown::render(run)),
            (Format::CoverLetter, _) => cover_letter::render(&view),
            (Format::Json, AnyRun::Syscall(run)) => sealed::text(&**run),
            (Format::Json, AnyRun::Kselftest(run)) => sealed::text(&**run),
            (Format::Junit, _) => junit::render(&view),
            (Format::Ktap, _) => ktap::render(&view),
            (Format::Html, _) => html::render(&view, &beside.began, &|cell| (beside.logs)(cell.evidence)),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Format, String> {
        let found = Format::ALL.into_iter().find(|format| format.name() == name);
        found.ok_or_else(|| {
            let names = Format::ALL.map(Format::name);
            format!("`{}` is no format: {}", name.escape_debug(), names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Cause;
    use crate::report::attempts::{self, Attempted};
    use crate::report::record::State;
    use crate::report::view::tests::{kselftest, syscall};

    /// Both kinds, whole, interrupted, and killed.
    #[test]
    fn every_format_marks_a_run_that_is_not_whole() {
        for (state, words) in [
            (State::Complete, None),
            (State::Interrupted, Some(["INTERRUPTED", "NOT COMPLETE", "interrupted"])),
            (State::Running, Some(["NOT FINISHED", "NOT COMPLETE", "running"])),
        ] {
            let (mut one, mut other) = (syscall(), kselftest());
            (one.state, other.state) = (state, state);
            for run in [AnyRun::Syscall(Box::new(one)), AnyRun::Kselftest(Box::new(other))] {
                for format in Format::ALL {
                    let beside = Beside { began: "then".to_owned(), logs: &|_| Logs::default() };
                    let text = format.render(&run, Paint::Plain, &beside);
                    let all =
                        ["INTERRUPTED", "NOT FINISHED", "NOT COMPLETE", "\"interrupted\"", "\"running\""];
                    let marked = all.iter().any(|word| text.contains(word));
                    assert_eq!(marked, words.is_some(), "{format} {state:?}: {text}");
                    if let Some(words) = words {
                        assert!(words.iter().any(|word| text.contains(word)), "{format}: {text}");
                    }
                    assert!(text.ends_with('\n'), "{format}");
                }
            }
        }
    }

    #[test]
    fn every_format_says_that_a_cell_passed_only_when_tried_again() {
        let mut run = syscall();
        let lost = Cause::LostVm { detail: "killed by <signal> 9".to_owned() };
        let attempts = [Some(lost), None].map(|cause| attempts::tests::cell(cause).attempt());
        run.cells[0].keep(attempts.to_vec());
        let run = AnyRun::Syscall(Box::new(run));
        // run.json has the attempts themselves.
        for format in Format::ALL.into_iter().filter(|format| *format != Format::Json) {
            let beside = Beside { began: "then".to_owned(), logs: &|_| Logs::default() };
            let text = format.render(&run, Paint::Plain, &beside);
            assert!(text.contains("flaky") || text.contains("only when tried again"), "{format}: {text}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for format in Format::ALL {
            assert_eq!(format.name().parse(), Ok(format));
        }
        let error = "xml\u{1b}".parse::<Format>().unwrap_err();
        assert!(error.contains("cover-letter, json, junit") && !error.contains('\u{1b}'), "{error}");
    }
}
