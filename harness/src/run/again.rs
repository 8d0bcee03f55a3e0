//! Cells of an earlier run once more: judged by what is in their logs, or run by what they were asked.

use std::path::{Path, PathBuf};

use super::judged::FromGuest;
use super::stored::{AnyCell, Part, StoredCell, StoredError, StoredRun};
use super::{WorkOrder, compare_rows};
use crate::boot::qemu::{Accel, Machine};
use crate::boot::vm::VmError;
use crate::judge::watch::Evidence;
use crate::model::CaseResult;
use crate::process::Ctx;
use crate::report::record::CellRecord;
use crate::report::sealed::AnyRun;

/// A cell whose logs were judged again.
#[derive(Debug)]
pub struct Replayed {
    /// What the run wrote down.
    pub was: AnyCell,
    /// What it is by today's rules.
    pub is: AnyCell,
}

/// Judges the cells of a run, or one of them, by what is in their logs. A cell that never ran is what
/// it was.
pub fn replay(run: &StoredRun, only: Option<&AnyCell>) -> Result<Vec<Replayed>, StoredError> {
    let mut replayed = Vec::new();
    for was in run.records() {
        if only.is_some_and(|only| *only != was) {
            continue;
        }
        let cell = run.cell(was)?;
        let mut seen = Vec::new();
        for part in &cell.parts {
            seen.push((part, part.logs.clone(), part.evidence(&cell.record.name())?));
        }
        let is = judge(&cell, &seen, &run.folder)?;
        replayed.push(Replayed { was: cell.record, is });
    }
    Ok(in_their_rows(run, replayed))
}

/// What this host has for the guests of an earlier run, perhaps of another host.
#[derive(Debug, Clone)]
pub struct Again {
    /// QEMU.
    pub qemu: PathBuf,
    /// The time-stamp counter's rate.
    pub tsc_khz: Option<u64>,
}

impl Again {
    /// The order with what is this host's.
    pub(super) fn adapt(&self, order: &WorkOrder) -> WorkOrder {
        let mut order = order.clone();
        order.guest.qemu.clone_from(&self.qemu);
        if order.guest.accel == Accel::Tcg && order.guest.tsc_khz.is_some() {
            order.guest.tsc_khz = self.tsc_khz;
            if self.tsc_khz.is_none() {
                order.guest.machine = Machine::Q35;
            }
        }
        order
    }
}

/// Runs a cell again: the same images and arguments, but for what is this host's. The logs go to `out`.
pub async fn again(
    ctx: &Ctx,
    run: &StoredRun,
    cell: &StoredCell,
    here: &Again,
    out: &Path,
) -> Result<Result<Replayed, VmError>, StoredError> {
    cell.can_run()?;
    let mut seen = Vec::new();
    for part in &cell.parts {
        let logs = match cell.parts.len() {
            1 => out.to_owned(),
            _ => out.join(part.transport.name()),
        };
        match here.adapt(&part.order).run(ctx, &logs).await {
            Ok(evidence) => seen.push((part, logs, evidence)),
            Err(error) => return Ok(Err(error)),
        }
    }
    let is = judge(cell, &seen, out)?;
    let replayed = Replayed { was: cell.record.clone(), is };
    Ok(Ok(in_their_rows(run, vec![replayed]).remove(0)))
}

/// The record that a cell has by what was seen of its guests.
fn judge(cell: &StoredCell, seen: &[(&Part, PathBuf, Evidence)], out: &Path) -> Result<AnyCell, StoredError> {
    let judged = match &cell.record {
        AnyCell::Syscall(record) => of_guests(&**record, seen, out).map(|is| AnyCell::Syscall(Box::new(is))),
        AnyCell::Kselftest(record) => {
            of_guests(&**record, seen, out).map(|is| AnyCell::Kselftest(Box::new(is)))
        }
    };
    judged.ok_or_else(|| StoredError::Kind {
        cell: cell.record.name(),
        what: "its order is one of another kind of run: this is not its folder",
    })
}

/// The record by what was seen of its guests, or as it was if there were none; nothing if their orders are
/// those of another kind of cell.
fn of_guests<C: FromGuest + Clone>(was: &C, seen: &[(&Part, PathBuf, Evidence)], out: &Path) -> Option<C> {
    let mut parts = Vec::new();
    for (part, logs, seen) in seen {
        let mut judged = C::judged(&was.id(), &part.order, (seen, logs), out)?;
        judged.over(part.transport);
        parts.push(judged);
    }
    let Some(mut is) = parts.into_iter().reduce(C::merge) else { return Some(was.clone()) };
    *is.told().logs = was.attempt().logs;
    Some(is)
}

/// Compares what the ABIs answered, as the run did when all cells of a row were there.
fn in_their_rows(run: &StoredRun, mut replayed: Vec<Replayed>) -> Vec<Replayed> {
    let AnyRun::Syscall(record) = &run.record else { return replayed };
    let mut cells = record.cells.clone();
    let is = |cell: &AnyCell| match cell {
        AnyCell::Syscall(cell) => Some((**cell).clone()),
        AnyCell::Kselftest(_) => None,
    };
    let anew: Vec<CellRecord> = replayed.iter().filter_map(|cell| is(&cell.is)).collect();
    for cell in &mut cells {
        if let Some(anew) = anew.iter().find(|anew| anew.id() == cell.id()) {
            *cell = anew.clone();
        }
    }
    compare_rows(&mut cells);
    for Replayed { was, is } in &mut replayed {
        // What never ran stays what it was, and has been compared.
        if let (AnyCell::Syscall(was), AnyCell::Syscall(is)) = (was, is)
            && was.transports.iter().any(|part| !part.logs.is_empty())
            && let Some(compared) = cells.iter().find(|cell| cell.id() == is.id())
        {
            **is = compared.clone();
        }
    }
    replayed
}

impl Replayed {
    /// In what a cell that was run again differs: verdict, cause by its name, verdicts of cases. Numbers
    /// and texts are not the same in two guests.
    pub fn differs(&self) -> Vec<String> {
        self.differences(false)
    }

    /// In what a cell that was judged again differs: every word counts.
    pub fn differs_in_words(&self) -> Vec<String> {
        self.differences(true)
    }

    fn differences(&self, words: bool) -> Vec<String> {
        let Replayed { was, is } = self;
        let mut found = Vec::new();
        if was.verdict() != is.verdict() {
            found.push(format!("verdict: was {}, is {}", was.verdict(), is.verdict()));
        }
        let cause = |cell: &AnyCell| match cell.cause() {
            Some(cause) if words => format!("{}: {}", cause.kind, cause.text),
            Some(cause) => cause.kind.clone(),
            None => "none".to_owned(),
        };
        if cause(was) != cause(is) {
            found.push(format!("cause: was {}, is {}", cause(was), cause(is)));
        }
        if words && was.also() != is.also() {
            let kinds = |cell: &AnyCell| match cell.also() {
                [] => "nothing".to_owned(),
                also => also.iter().map(|cause| cause.text.as_str()).collect::<Vec<_>>().join("; "),
            };
            found.push(format!("also seen: was {}, is {}", kinds(was), kinds(is)));
        }
        let told = |case: Option<&CaseResult>| match case {
            Some(CaseResult { verdict, message: Some(message), .. }) if words => {
                format!("{verdict} ({message})")
            }
            Some(case) => case.verdict.to_string(),
            None => "not there".to_owned(),
        };
        let new = is.cases().iter().filter(|case| was.case(&case.name).is_none());
        for case in was.cases().iter().chain(new) {
            let (before, now) = (told(was.case(&case.name)), told(is.case(&case.name)));
            if before != now {
                found.push(format!("case {}: was {before}, is {now}", case.name));
            }
        }
        found
    }
}
