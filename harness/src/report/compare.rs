//! A run held against an earlier one, or against a baseline made of one: what is worse, what is better, and
//! what else is not as it was.
//!
//! **What is a regression.** Verdicts are ordered pass, skip, miss, error, fail ([`Verdict::weight`]).
//!
//! | in BASE | in NEW | |
//! | --- | --- | --- |
//! | a cell or case | a worse verdict | regression: pass to anything else, skip to fail, error to fail, … |
//! | a cell or case | a better one | *fix* if that is a pass, otherwise *changed*: an error where there was a failure proves nothing |
//! | a cell or case | not there | regression, whatever it was: absence of evidence is never a pass. Cells that nobody selected count, too: who runs less compares less, and has to say so by a baseline of his own |
//! | a cell that failed | fails, and for a cause that it did not have | regression: another bug behind the first. A fault of the kernel's is another one if its title is |
//! | a cell in error, missed, skipped | the same with another cause | *changed* |
//! | a case | the contract's plan says that the ABI cannot express it | *n/a*, with the reason |
//! | a case that passed | fails, and a known issue excuses it | *known*; when the issue has expired, the cell fails and that is the regression |
//! | a cell that passed | passed only when tried again | *flaky*; a regression with `--flaky fail` |
//! | not there | a cell or case that fails | regression; any other verdict is *new* |
//!
//! A NEW that did not come to its end is a regression by itself: nobody knows what it would have shown.
//! Options and tools that differ are told, and are none. Pure; files are read by [`read`].

mod baseline;
mod facts;
mod read;
mod side;
mod text;

use std::fmt;

use serde::Serialize;

pub use baseline::{BaselineError, NotWhole};
pub use read::{BaseError, base, run};
pub use side::Side;
pub use text::render;

use super::record::State;
use crate::broken::broken;
use crate::model::{Abi, Verdict};
use facts::Fact;
use side::{Case, Cell};

/// The version of the comparison's JSON.
const SCHEMA: u32 = 1;

/// Two runs without a cell that both could have.
#[derive(Debug, thiserror::Error)]
#[error("{base} is of {of_base}, and {new} of {of_new}: there is nothing to compare")]
#[expect(missing_docs, reason = "the message says what the fields mean")]
pub struct Mismatch {
    pub base: String,
    pub of_base: String,
    pub new: String,
    pub of_new: String,
}

/// What became of a cell or a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The run did not come to its end.
    Unfinished,
    /// It fails, and did not.
    NewFailure,
    /// It fails for a cause that it did not have.
    NewCause,
    /// It is in error, and was better.
    NewError,
    /// It could not be run, and was better.
    NewMiss,
    /// It was skipped, and passed.
    NewSkip,
    /// It is not there.
    Vanished,
    /// It passes, and did not.
    Fix,
    /// Neither a fix nor worse: another cause, or a better verdict that is no pass.
    Changed,
    /// An ABI cannot express it any more.
    NotApplicable,
    /// It fails, and a known issue excuses it.
    Known,
    /// It passed only when it was tried again.
    Flaky,
    /// It was not there.
    New,
}

impl What {
    /// The headline in reports.
    fn title(self) -> &'static str {
        match self {
            What::NewFailure => "new failures",
            What::NewCause => "failures with a new cause",
            What::NewError => "new errors",
            What::NewMiss => "new misses",
            What::NewSkip => "new skips",
            What::Vanished => "vanished",
            What::Unfinished => "not finished",
            What::Fix => "fixes",
            What::Changed => "changed, neither better nor worse",
            What::NotApplicable => "not applicable any more",
            What::Known => "fails, and is known to",
            What::Flaky => "flaky",
            What::New => "new",
        }
    }

    fn worse(verdict: Verdict) -> What {
        match verdict {
            Verdict::Pass => What::Fix,
            Verdict::Fail => What::NewFailure,
            Verdict::Skip => What::NewSkip,
            Verdict::Miss => What::NewMiss,
            Verdict::Error => What::NewError,
        }
    }
}

/// One thing that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What became of it.
    pub what: What,
    /// Whether that is worse than it was.
    pub regression: bool,
    /// The cell; nothing where it is the run.
    pub cell: String,
    /// The case; nothing where it is the cell as a whole.
    pub case: Option<String>,
    /// What it was.
    pub was: Option<Verdict>,
    /// What it is.
    pub is: Option<Verdict>,
    /// Cause or message, as it is now.
    pub why: String,
}

/// What is to be held against a run beyond the rules.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    /// Whether a pass after a fail is a failure (`--flaky fail`).
    pub flaky_fails: bool,
}

/// A run against an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The version of this format.
    pub schema: u32,
    /// What was tested.
    pub of: String,
    /// What it is held against: a run or a baseline.
    pub base: String,
    /// The run.
    pub new: String,
    /// Cells in the one and in the other.
    pub cells: (usize, usize),
    /// Cells that are in both and came to the same.
    pub same: usize,
    /// What is not as it was, sorted by what became of it.
    pub changes: Vec<Change>,
    /// What the kernels were built from.
    pub options: Vec<Fact>,
    /// What they were built and run with.
    pub tools: Vec<Fact>,
    /// What a reader should know of the comparison itself.
    pub notes: Vec<String>,
}

impl Comparison {
    /// Whether anything is worse than it was.
    pub fn is_worse(&self) -> bool {
        self.changes.iter().any(|change| change.regression)
    }

    /// What is worse, and what is better: a line each, as a page of many runs has room for.
    pub fn in_lines(&self) -> [Vec<String>; 2] {
        let lines = |picked: fn(&&Change) -> bool| self.changes.iter().filter(picked).map(line).collect();
        [lines(|change| change.regression), lines(|change| change.what == What::Fix)]
    }
}

fn line(change: &Change) -> String {
    let said = |verdict: Option<Verdict>| verdict.map_or("not there", Verdict::name);
    let was_is = format!("{} -> {}", said(change.was), said(change.is));
    let of = [Some(change.cell.as_str()), change.case.as_deref()].into_iter().flatten();
    let parts = of.chain([was_is.as_str(), &change.why]).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(": ")
}

/// Holds a run against an earlier one.
pub fn compare(base: &Side, new: &Side, rules: Rules) -> Result<Comparison, Mismatch> {
    if base.of != new.of {
        let [(base, of_base), (new, of_new)] = [base, new].map(|side| (side.name.clone(), side.of.clone()));
        return Err(Mismatch { base, of_base, new, of_new });
    }
    let mut changes = Vec::new();
    let mut same = 0;
    if new.state != State::Complete && !broken("unfinished") {
        changes.push(unfinished(new));
    }
    for (id, was) in &base.cells {
        match new.cells.get(id) {
            Some(is) => {
                let found = of_cell(id, was, is, rules);
                same += usize::from(found.is_empty());
                changes.extend(found);
            }
            None => changes.push(vanished_cell(id, was, new)),
        }
    }
    for (id, is) in new.cells.iter().filter(|(id, _)| !base.cells.contains_key(*id)) {
        changes.push(new_one(id.to_string(), None, is.verdict, is.why()));
    }
    changes.sort_by_key(|change| change.what);
    let mut notes = Vec::new();
    if base.state != State::Complete {
        let name = &base.name;
        notes.push(format!("{name} did not come to its end: of what it had not judged nothing can be said"));
    }
    let (options, of_options) = facts::options(base, new);
    notes.extend(of_options);
    Ok(Comparison {
        schema: SCHEMA,
        of: new.of.clone(),
        base: base.name.clone(),
        new: new.name.clone(),
        cells: (base.cells.len(), new.cells.len()),
        same,
        changes,
        options,
        tools: facts::differences(&base.tools, &new.tools),
        notes,
    })
}

/// Which cell: the row of the matrix (kernel and leg, or kernel and program) and the ABI.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    row: String,
    abi: Abi,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.row, self.abi)
    }
}

fn unfinished(new: &Side) -> Change {
    let word = if new.state == State::Interrupted { "was interrupted" } else { "did not come to its end" };
    let judged = new.cells.len();
    let why = format!("{} {word}, with {judged} of {} cells judged", new.name, new.selected);
    let (cell, what) = (String::new(), What::Unfinished);
    Change { what, regression: true, cell, case: None, was: None, is: None, why }
}

fn new_one(cell: String, case: Option<String>, is: Verdict, why: &str) -> Change {
    let regression = is == Verdict::Fail;
    let what = if regression { What::NewFailure } else { What::New };
    Change { what, regression, cell, case, was: None, is: Some(is), why: why.to_owned() }
}

fn vanished_cell(id: &Id, was: &Cell, new: &Side) -> Change {
    let mut rows: Vec<&str> = new.cells.keys().map(|id| id.row.as_str()).collect();
    rows.dedup();
    let row = rows.contains(&id.row.as_str());
    let abis: Vec<&str> = Abi::ALL
        .iter()
        .filter(|abi| new.cells.keys().any(|id| id.abi == **abi))
        .map(|abi| abi.name())
        .collect();
    let why = match row {
        true => format!("this run has {} by {}", id.row, abis.join(", ")),
        false if rows.len() > 4 => format!("this run has {} rows, and not {}", rows.len(), id.row),
        false => {
            format!("this run has {}", if rows.is_empty() { "no cell".to_owned() } else { rows.join(", ") })
        }
    };
    let (cell, was) = (id.to_string(), Some(was.verdict));
    Change { what: What::Vanished, regression: true, cell, case: None, was, is: None, why }
}

/// What is not as it was in a cell that both have: the cell first, then its cases.
fn of_cell(id: &Id, was: &Cell, is: &Cell, rules: Rules) -> Vec<Change> {
    let change = |what, regression, why: &str| Change {
        what,
        regression,
        cell: id.to_string(),
        case: None,
        was: Some(was.verdict),
        is: Some(is.verdict),
        why: why.to_owned(),
    };
    let mut changes = Vec::new();
    let (before, now) = (was.verdict.weight(), is.verdict.weight());
    if now > before {
        changes.push(change(What::worse(is.verdict), true, is.why()));
    } else if is.verdict == Verdict::Pass && now < before {
        changes.push(change(What::Fix, false, &format!("it was: {}", was.why())));
    } else if now < before {
        changes.push(change(What::Changed, false, is.why()));
    } else if is.verdict == Verdict::Fail {
        let new: Vec<&str> = is
            .causes
            .keys()
            .filter(|key| !was.causes.contains_key(*key))
            .map(|key| is.causes[key].as_str())
            .collect();
        if !new.is_empty() {
            changes.push(change(What::NewCause, true, &new.join("; ")));
        } else if is.causes.len() != was.causes.len() {
            changes.push(change(What::Changed, false, "one of its causes is not seen any more"));
        }
    } else if is.first != was.first {
        changes.push(change(What::Changed, false, is.why()));
    }
    if is.flaky && (!was.flaky || was.verdict != Verdict::Pass) && is.verdict == Verdict::Pass {
        let regression = rules.flaky_fails && was.verdict == Verdict::Pass;
        changes.push(change(What::Flaky, regression, "it passed only when it was tried again"));
    }
    if is.cases.is_empty() && !was.cases.is_empty() {
        // It gave no report: each of its cases is one line too much.
        let all = format!("all {} cases", was.cases.len());
        match changes.first_mut().filter(|change| change.regression) {
            Some(change) => change.why = format!("{}; with it went {all}", change.why),
            None if broken("vanished") => {}
            None => changes.push(change(What::Vanished, true, &all)),
        }
        return changes;
    }
    for (name, before) in &was.cases {
        changes.extend(of_case(id, (name, before), is));
    }
    for (name, now) in is.cases.iter().filter(|(name, _)| !was.cases.contains_key(*name)) {
        let verdict = if now.known { Verdict::Skip } else { now.verdict };
        let new = new_one(id.to_string(), Some(name.clone()), verdict, &now.message);
        changes.push(Change { is: Some(now.verdict), ..new });
    }
    changes
}

fn of_case(id: &Id, (name, was): (&String, &Case), cell: &Cell) -> Option<Change> {
    let change = |what, regression, is, why: &str| {
        let (cell, case, was) = (id.to_string(), Some(name.clone()), Some(was.verdict));
        Some(Change { what, regression, cell, case, was, is, why: why.to_owned() })
    };
    let Some(is) = cell.cases.get(name) else {
        return match cell.not_applicable.get(name) {
            Some(reason) => change(What::NotApplicable, false, None, reason),
            None if broken("vanished") => None,
            None => change(What::Vanished, true, None, ""),
        };
    };
    let (before, now) = (was.verdict.weight(), is.verdict.weight());
    let now_is = Some(is.verdict);
    match (was.known, is.known) {
        (true, true) => None,
        (false, true) if was.verdict == Verdict::Fail => {
            change(What::Changed, false, now_is, "it is excused now")
        }
        (false, true) => change(What::Known, false, now_is, &is.message),
        (true, false) if is.verdict == Verdict::Fail => {
            change(What::NewFailure, true, now_is, "it is not excused any more")
        }
        (_, false) if is.verdict == Verdict::Pass && now < before => change(What::Fix, false, now_is, ""),
        (_, false) if now > before => change(What::worse(is.verdict), true, now_is, &is.message),
        (_, false) if now < before => change(What::Changed, false, now_is, &is.message),
        (_, false) => None,
    }
}

#[cfg(test)]
mod tests;
