//! A run as named outcomes, for the formats that know tests and no cells: [`junit`](super::junit)
//! and [`ktap`](super::ktap).
//!
//! A cell is more than its cases: a panic, a taint, a missing compiler is no case of the test's.
//! Each has an outcome of its weight here, and so has what is not there at all: a reader of such a
//! format must never take absence for a pass. How it looks in a format is that format's.

use std::collections::{BTreeSet, HashMap};

use super::record::CauseRecord;
use super::view::{CellView, View};
use crate::broken::broken;
use crate::judge::console::{sanitize, sanitize_lines};
use crate::limits;
use crate::model::{CaseResult, Verdict};

/// What such formats tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Proved to be right.
    Pass,
    /// The test could not tell, and said why.
    Skip,
    /// The kernel or the syscall is wrong.
    Fail,
    /// Nothing is known: it could not be run, or the harness or its inputs are at fault.
    Error,
}

impl Class {
    /// Where a verdict belongs.
    pub fn of(verdict: Verdict) -> Class {
        match verdict {
            Verdict::Pass => Class::Pass,
            Verdict::Fail => Class::Fail,
            Verdict::Skip => Class::Skip,
            Verdict::Miss | Verdict::Error => Class::Error,
        }
    }
}

/// One line of such a format. Its texts are sanitised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its name, which no other one of the same cell has.
    pub name: String,
    /// What it came to.
    pub class: Class,
    /// The cause's name, or the case's verdict.
    pub kind: String,
    /// Why; lines.
    pub why: String,
}

/// How many there are of each class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// [`Class::Pass`].
    pub pass: usize,
    /// [`Class::Fail`].
    pub fail: usize,
    /// [`Class::Skip`].
    pub skip: usize,
    /// [`Class::Error`].
    pub error: usize,
}

impl Totals {
    /// Counts.
    pub fn of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Totals {
        let mut totals = Totals::default();
        for outcome in outcomes {
            *match outcome.class {
                Class::Pass => &mut totals.pass,
                Class::Fail => &mut totals.fail,
                Class::Skip => &mut totals.skip,
                Class::Error => &mut totals.error,
            } += 1;
        }
        totals
    }
}

/// All that a file made of these has to count.
pub fn totals(view: &View<'_>) -> Totals {
    let cells: Vec<Outcome> = view.cells().flat_map(of_cell).collect();
    Totals::of(of_run(view).iter().chain(&cells))
}

/// A cell: its cases, then each cause that no case tells, then its verdict, if nothing above has it.
pub fn of_cell(cell: &CellView<'_>) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = cell.cases.iter().map(|case| of_case(cell, case)).collect();
    if broken("outcomes") {
        return outcomes;
    }
    let has = |outcomes: &[Outcome], class| outcomes.iter().any(|outcome| outcome.class == class);
    for cause in cell.cause.into_iter().chain(cell.also) {
        let class = Class::of(cause.detail.verdict());
        if !(is_told_by_cases(cause) && has(&outcomes, class)) {
            let kind = sanitize(&cause.kind);
            let name = format!("verdict: {kind}");
            outcomes.push(Outcome { name, class, kind, why: sanitize_lines(&cause.text) });
        }
    }
    if cell.is_flaky() {
        // No failure, and not as good as a pass: the class that a reader of such a format looks at.
        let (name, kind) = ("passed only when tried again".to_owned(), "flaky".to_owned());
        let why = cell.attempts_in_words().iter().map(|words| sanitize(words) + "\n").collect();
        outcomes.push(Outcome { name, class: Class::Skip, kind, why });
    }
    let own = Class::of(cell.verdict);
    if !has(&outcomes, own) {
        let why = cell.outcome.map(sanitize_lines).unwrap_or_default();
        let kind = cell.verdict.name().to_owned();
        outcomes.push(Outcome { name: format!("verdict: {kind}"), class: own, kind, why });
    }
    unique(&mut outcomes, &cell.name);
    outcomes
}

/// What is true of the run as a whole and of none of its cells: that something is not there.
pub fn of_run(view: &View<'_>) -> Vec<Outcome> {
    let error =
        |name: String, why: String| Outcome { name, class: Class::Error, kind: "incomplete".to_owned(), why };
    let mut outcomes = Vec::new();
    if let Some(why) = view.incomplete() {
        outcomes.push(error("the run came to its end".to_owned(), why));
    } else if view.cells().next().is_none() {
        outcomes.push(error("something was selected".to_owned(), "the run has no cells".to_owned()));
    }
    let absent = view.absent();
    for n in 1..=absent.min(limits::ABSENT_SHOWN) {
        let more = absent - limits::ABSENT_SHOWN.min(absent);
        let why = match n == limits::ABSENT_SHOWN && more > 0 {
            true => format!("it has no verdict, and so have {more} more"),
            false => "it has no verdict".to_owned(),
        };
        outcomes.push(error(format!("cell without a verdict, {n} of {absent}"), why));
    }
    outcomes
}

fn of_case(cell: &CellView<'_>, case: &CaseResult) -> Outcome {
    let known = cell.known.iter().find(|issue| issue.symptom.is_case(&case.name));
    let message = sanitize_lines(case.message.as_deref().unwrap_or_default());
    let (class, why) = match (Class::of(case.verdict), known) {
        (Class::Fail | Class::Error, Some(issue)) => {
            (Class::Skip, format!("known issue: {}\n{message}", sanitize(issue.to_string())))
        }
        (class, _) => (class, message),
    };
    let name = match case.name.trim() {
        "" => "(no name)".to_owned(),
        name => sanitize(name),
    };
    Outcome { name, class, kind: case.verdict.name().to_owned(), why }
}

/// Whether a cause only counts cases that are there themselves.
fn is_told_by_cases(cause: &CauseRecord) -> bool {
    matches!(cause.kind.as_str(), "case-failed" | "cases-skipped" | "cases-broken")
}

/// A name that comes again gets a number: readers of such formats join what has one name, and
/// kunit.py takes a case that is called like its parent for the parent.
fn unique(outcomes: &mut [Outcome], parent: &str) {
    let mut taken: BTreeSet<String> = outcomes.iter().map(|outcome| outcome.name.clone()).collect();
    taken.insert(parent.to_owned());
    let mut seen: HashMap<String, usize> = HashMap::from([(parent.to_owned(), 1)]);
    for outcome in outcomes {
        let times = seen.entry(outcome.name.clone()).or_default();
        *times += 1;
        while *times > 1 {
            let numbered = format!("{} ({times})", outcome.name);
            if taken.insert(numbered.clone()) {
                outcome.name = numbered;
                break;
            }
            *times += 1;
        }
    }
}

#[cfg(test)]
mod tests;
