//! A run as JUnit XML, as Jenkins and GitLab read it: a suite per cell, and one of the run if
//! something of it is not there.
//!
//! What failed is a `failure`, what tells nothing (a miss, an error, a cell without a verdict) an
//! `error`, what the test itself could not tell `skipped`; which is which is [`outcome`]'s.
//! The console's last lines are the suite's `system-out`, for Jenkins, and that of the first case
//! that did not pass, for GitLab, which knows no other.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::outcome::{self, Class, Outcome};
use super::view::{CellView, View};
use crate::judge::console::sanitize;

/// The whole file.
pub fn render(view: &View<'_>) -> String {
    let mut report = Report::new(format!("abimatrix {}", view.title));
    report.set_time(Duration::from_millis(view.elapsed_ms));
    if let Some(started) = i64::try_from(view.started_unix_s).ok().and_then(date) {
        report.set_timestamp(started);
    }
    let of_run = outcome::of_run(view);
    if !of_run.is_empty() {
        let mut suite = TestSuite::new(format!("{}: the run", view.title));
        suite.add_test_cases(of_run.iter().map(|outcome| case(outcome, view.title)));
        report.add_test_suite(suite);
    }
    report.add_test_suites(view.cells().map(|cell| suite(view, cell)));
    // Its names and attributes are text, which it escapes: there is nothing that it could refuse.
    report.to_string().expect("JUnit is text")
}

fn date(unix_s: i64) -> Option<chrono::DateTime<chrono::Utc>> {
    chrono::DateTime::from_timestamp(unix_s, 0)
}

fn suite(view: &View<'_>, cell: &CellView<'_>) -> TestSuite {
    let mut suite = TestSuite::new(clean(&cell.name));
    suite.set_time(Duration::from_millis(cell.durations.total_ms));
    let mut property = |name: &str, value: &str| {
        if !value.is_empty() {
            suite.add_property(Property::new(name, clean(&sanitize(value))));
        }
    };
    property("verdict", cell.verdict.name());
    property("cause", cell.cause.map_or("", |cause| &cause.kind));
    property("qemu", &view.host.qemu);
    property("accelerator", &view.host.accel);
    property("built", &view.built.join("; "));
    property("kernel", cell.guest.map_or("", |guest| &guest.release));
    property("again", cell.again.as_deref().unwrap_or_default());
    property("logs", &logs(view, cell));
    let tail = clean(&cell.tail.iter().map(|line| sanitize(line) + "\n").collect::<String>());
    let outcomes = outcome::of_cell(cell);
    let worst = outcomes.iter().position(|outcome| matches!(outcome.class, Class::Fail | Class::Error));
    for (n, outcome) in outcomes.iter().enumerate() {
        let mut case = case(outcome, &cell.slug);
        if Some(n) == worst && !tail.is_empty() {
            case.set_system_out(&*tail);
        }
        suite.add_test_case(case);
    }
    if !tail.is_empty() {
        suite.set_system_out(&*tail);
    }
    suite
}

fn logs(view: &View<'_>, cell: &CellView<'_>) -> String {
    match cell.logs {
        "" => String::new(),
        logs => format!("{}/{logs}", view.folder),
    }
}

fn case(outcome: &Outcome, class: &str) -> TestCase {
    let why = clean(&outcome.why);
    let mut status = match outcome.class {
        Class::Pass => TestCaseStatus::success(),
        Class::Skip => TestCaseStatus::skipped(),
        Class::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Class::Error => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    if outcome.class != Class::Pass {
        let first = why.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason was given");
        // A line for the list, all of it for who opens the case.
        status.set_message(first).set_type(clean(&outcome.kind)).set_description(&*why);
    }
    let mut case = TestCase::new(clean(&outcome.name), status);
    case.set_classname(clean(class));
    case
}

/// The two characters that XML forbids and the sanitiser and the crate let through.
fn clean(text: &str) -> String {
    text.replace('\u{fffe}', "\\u{fffe}").replace('\u{ffff}', "\\u{ffff}")
}

#[cfg(test)]
mod tests;
