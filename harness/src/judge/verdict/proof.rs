//! The proof that a call was made, and by which door: the traced runs of the selftest say what was
//! entered, the tool's own probe says whether there is anything behind the number.

use std::fmt::Write;

use super::words::{in_words, incomplete};
use super::{Expectation, Role, runs};
use crate::judge::ktap::{self, Status};
use crate::judge::watch::{Evidence, RunEvidence};
use crate::model::{Abi, Cause, Door, Leg, Outcome, RunEnd, Trace};

/// How often the syscall was entered, by the door it should be entered by and by the others.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Entry {
    /// `AUDIT_ARCH_*`, as the kernel saw it.
    pub arch: u32,
    /// The number as the kernel saw it, the x32 bit included.
    pub nr: u32,
    /// The ABI whose door this is.
    pub abi: Abi,
    /// How often.
    pub count: u64,
}

/// How often the syscall was entered in the traced runs, by each ABI's door.
pub fn entries(expected: &Expectation, seen: &Evidence) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for counted in traces(expected, seen).flat_map(|trace| &trace.entries) {
        let (door, count) = (counted.door, counted.count);
        if let Some(entry) = entries.iter_mut().find(|e| (e.arch, e.nr) == (door.arch, door.nr)) {
            entry.count = entry.count.saturating_add(count);
            continue;
        }
        // The ABIs may have different numbers. x32 is asked first: only its bit tells it from m64.
        if let Some(abi) = Abi::ALL.into_iter().rev().find(|abi| abi.door(door.nr) == door) {
            entries.push(Entry { arch: door.arch, nr: door.nr, abi, count });
        }
    }
    entries
}

fn traces<'a>(expected: &'a Expectation, seen: &'a Evidence) -> impl Iterator<Item = &'a Trace> {
    runs(expected, seen, Role::Traced).filter_map(|(_, run)| run.end.as_ref()?.trace.as_ref())
}

fn entered_by(door: Door, traces: &[&Trace]) -> u64 {
    let entries = traces.iter().flat_map(|trace| &trace.entries);
    entries.filter(|entry| entry.door == door).fold(0, |sum: u64, entry| sum.saturating_add(entry.count))
}

/// What every case of the tool's probe is called. It names number and expectation: the answer to
/// another question is none. The door is not in the name, so that the ABIs can be compared; that it
/// is the right one follows from the probe's ABI, which its ELF header proved. See
/// `guest/probe/probe.c`.
pub(super) fn question(expected: &Expectation) -> String {
    let asked = if expected.leg.is_control() { "gives -ENOSYS" } else { "is wired" };
    format!("number {} {asked}", expected.number)
}

/// How many cases the probe has: on a control leg, one for each way to fill the arguments.
pub(super) fn probe_cases(leg: Leg) -> usize {
    if leg.is_control() { 3 } else { 1 }
}

pub(super) fn is_answer(expected: &Expectation, leaves: &[ktap::Leaf<'_>]) -> bool {
    let question = question(expected);
    leaves.len() == probe_cases(expected.leg) && leaves.iter().all(|leaf| leaf.name.starts_with(&question))
}

/// What the tool's own call of the number found behind it.
enum Behind {
    Something,
    Nothing,
    /// No evidence, and how the probe ended.
    Unknown(String),
}

/// On a patched leg: what is behind the number. `None` if the probe did not end.
fn behind(expected: &Expectation, run: &RunEvidence) -> Option<Behind> {
    let end = run.end.as_ref()?;
    let report = ktap::parse(&run.stdout, ktap::Limits::default());
    let leaves: Vec<_> = report.leaves().collect();
    let answered = report.is_complete() && is_answer(expected, &leaves);
    let status = leaves.first().map(|leaf| leaf.case.status);
    Some(match end.outcome {
        Outcome::Exit { code: 0 } if answered && status == Some(Status::Ok) => Behind::Something,
        Outcome::Exit { code: 1 } if answered && status == Some(Status::NotOk) => Behind::Nothing,
        // The plan is out before the call is made: what kills or holds the probe then is the call.
        Outcome::Signal { .. } | Outcome::Timeout { .. } | Outcome::Stuck
            if report.plan == Some(1) && leaves.is_empty() =>
        {
            Behind::Something
        }
        outcome if report.is_complete() => {
            Behind::Unknown(format!("{}, and its answer does not fit", in_words(outcome)))
        }
        outcome => Behind::Unknown(format!("{}; {}", in_words(outcome), incomplete(&report, run))),
    })
}

/// On a patched leg: a number with nothing behind it.
pub(super) fn wired(expected: &Expectation, seen: &Evidence, causes: &mut Vec<Cause>) {
    let mut answers = runs(expected, seen, Role::Wired).filter_map(|(_, run)| behind(expected, run));
    if answers.any(|behind| matches!(behind, Behind::Nothing)) {
        let (abi, number, table) = (expected.abi, expected.number, expected.table.clone());
        causes.push(Cause::NotWired { abi, number, door: expected.door(), table });
    }
}

/// On a patched leg: a probe that came to no answer.
pub(super) fn probed(expected: &Expectation, seen: &Evidence, causes: &mut Vec<Cause>) {
    if expected.leg.is_control() {
        return;
    }
    if runs(expected, seen, Role::Wired).next().is_none() {
        causes.push(Cause::NoProof { detail: "the plan had no probe of the number".to_owned() });
    }
    for (expected_run, run) in runs(expected, seen, Role::Wired) {
        if let Some(Behind::Unknown(detail)) = behind(expected, run) {
            causes.push(Cause::NoReport { program: expected_run.program.clone(), detail });
        }
    }
}

/// On a patched leg: the proof that the selftest made the call by this ABI's door.
pub(super) fn entered(expected: &Expectation, seen: &Evidence, causes: &mut Vec<Cause>) {
    if expected.leg.is_control() {
        return;
    }
    let traced: Vec<_> = runs(expected, seen, Role::Traced).collect();
    if traced.is_empty() {
        let detail = "the plan had no traced run".to_owned();
        causes.push(Cause::NoProof { detail });
        return;
    }
    let ends: Vec<&RunEnd> = traced.iter().filter_map(|(_, run)| run.end.as_ref()).collect();
    if ends.len() < traced.len() {
        // Whatever ended the machine is a cause already.
        causes.push(Cause::NoProof { detail: "the traced run did not end".to_owned() });
        return;
    }
    let door = expected.door();
    let traces: Vec<&Trace> = traces(expected, seen).collect();
    if entered_by(door, &traces) > 0 {
        return;
    }
    if let Some(errno) = ends.iter().find_map(|end| match end.outcome {
        Outcome::Untraced { errno } => Some(errno),
        _ => None,
    }) {
        causes.push(Cause::NoProof { detail: format!("the selftest could not be traced (errno {errno})") });
        return;
    }
    if traces.len() < traced.len() {
        causes.push(Cause::NoProof { detail: "the traced run came without its counts".to_owned() });
        return;
    }
    let others = entries(expected, seen).into_iter().filter(|e| e.count > 0);
    let others: Vec<String> = others.map(|e| format!("{} times by the {} door", e.count, e.abi)).collect();
    let mut detail =
        if others.is_empty() { String::new() } else { format!("; it was entered {}", others.join(" and ")) };
    let cut = traced
        .iter()
        .find(|(_, run)| run.end.as_ref().is_some_and(|end| matches!(end.outcome, Outcome::Timeout { .. })));
    if let Some((run, _)) = cut {
        let seconds = run.deadline_ms / 1000;
        let _ = write!(detail, "; {} was traced for {seconds} s (--timeout gives more)", run.program);
    }
    causes.push(Cause::NotEntered { abi: expected.abi, door, detail });
}
