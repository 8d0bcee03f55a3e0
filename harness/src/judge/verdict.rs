//! The verdict of a cell: all causes that the evidence gives, in the order of their weight.
//!
//! The first cause decides. A pass is what is left when none applies, and each step that could
//! lack evidence gives a cause of its own: there is no way to a pass around them.

mod expected;
mod machine;
mod proof;
mod words;

pub use expected::{Expectation, ExpectedRun, Role, Rules};
pub(super) use machine::{blind, machine, tainted};
pub use proof::{Entry, entries};
use proof::{entered, is_answer, probed, question, wired};
pub use words::signal_name;
pub(super) use words::{in_words, incomplete, one_line};

use std::cmp::Reverse;

use super::console::Kind;
use super::contract;
use super::known;
use super::kselftest;
use super::ktap::{self, Status};
use super::watch::{Evidence, RunEvidence};
use crate::broken::{broken, broken_one};
use crate::model::{Abi, CaseResult, Cause, Judged, KnownIssue, Outcome, RunEnd, Symptom, Verdict};

/// What a selftest said where it is not weighed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The program.
    pub program: String,
    /// How it ended, in words.
    pub outcome: String,
    /// Its cases.
    pub cases: Vec<CaseResult>,
}

/// Weighs the evidence of a cell.
pub fn judge(expected: &Expectation, seen: &Evidence) -> Judged {
    let mut unknown = seen.clone();
    let (mut met, known_taint) = known::set_aside(&expected.known, &mut unknown);
    let seen = &unknown;
    let mut causes = Vec::new();
    machine(seen, &mut causes);
    gaps(&expected.runs, seen, &mut causes);
    let mut cases = Vec::new();
    let judged: Vec<_> = runs(expected, seen, Role::Judged).collect();
    let many = judged.len() > 1 || expected.many;
    let mut found = Vec::new();
    for (expected_run, run) in &judged {
        let (mut of_test, causes) = match expected_run.rules {
            Rules::Cell => {
                let report = ktap::parse(&run.stdout, ktap::Limits::default());
                (case_results(&report, None), Vec::new())
            }
            Rules::Kselftest { script, reports } => {
                directory(expected, (expected_run, many, script, reports), (run, seen), &mut met)
            }
        };
        for case in of_test.iter_mut().filter(|_| many) {
            case.name = format!("{}/{}", expected_run.program, case.name);
        }
        cases.append(&mut of_test);
        found.push(causes);
    }
    for (_, run) in runs(expected, seen, Role::Contract) {
        cases.extend(contract::results(run));
    }
    wired(expected, seen, &mut causes);
    let of_cell = |(run, _): &(&ExpectedRun, _)| run.role != Role::Judged || run.rules == Rules::Cell;
    for (expected_run, run) in expected.runs.iter().zip(&seen.runs).filter(of_cell) {
        outcome(expected.abi, expected_run, run, seen, &mut causes);
    }
    for ((expected_run, run), causes) in judged.iter().zip(&mut found) {
        if expected_run.rules == Rules::Cell {
            report(expected, (expected_run, many), run, &mut met, causes);
        }
    }
    for (expected_run, run) in runs(expected, seen, Role::Contract) {
        let mut causes = Vec::new();
        contract::weigh(expected, expected_run, run, &mut met, &mut causes);
        found.push(causes);
    }
    // What one of them found is not hidden by what another one lacked.
    let weight = |causes: &Vec<Cause>| {
        let first = causes.iter().find(|cause| cause.verdict() != Verdict::Skip);
        Reverse(first.map_or(0, |cause| cause.verdict().weight()))
    };
    found.sort_by_key(weight);
    let lacks = found.split_off(found.partition_point(|causes| weight(causes).0 > Verdict::Miss.weight()));
    causes.extend(found.into_iter().flatten());
    if expected.absent.is_empty() || broken("absent") {
        // Who knows what calls the others would make.
        entered(expected, seen, &mut causes);
    }
    probed(expected, seen, &mut causes);
    tainted(&expected.runs, seen, known_taint, &mut causes);
    blind(seen, &mut causes);
    causes.extend(lacks.into_iter().flatten());
    if !expected.leg.is_control() && !broken("absent") {
        causes.extend(expected.absent.iter().cloned());
    }
    let judged = decide(causes, cases, met);
    // The last line of defence, should a step above ever forget a case.
    if judged.verdict == Verdict::Pass && !judged.cases.iter().any(|case| case.verdict == Verdict::Pass) {
        let detail = "it reported no case that passed".to_owned();
        let program = "the cell".to_owned();
        return Judged::without_run(Cause::NoReport { program, detail });
    }
    judged
}

/// What a test of a directory came to, by the kselftest runner's rules: its cases, and why it is no pass.
fn directory(
    expected: &Expectation,
    (run, many, script, reports): (&ExpectedRun, bool, bool, bool),
    (evidence, seen): (&RunEvidence, &Evidence),
    met: &mut Vec<KnownIssue>,
) -> (Vec<CaseResult>, Vec<Cause>) {
    let program = run.program.clone();
    let test = kselftest::Expected {
        abi: expected.abi,
        program: program.clone(),
        deadline_ms: run.deadline_ms,
        script,
        helpers: expected.helpers.clone(),
    };
    let mut is_known = |leaf: &ktap::Leaf<'_>| {
        let name = case_name(many.then_some(run.program.as_str()), leaf);
        let issue = known::of_case(&expected.known, &name, leaf.case.status);
        known::note(met, issue);
        issue.is_some()
    };
    let found = kselftest::program(&test, evidence, seen, &mut is_known);
    let (mut cases, mut causes) = (found.cases, found.causes);
    let ended = matches!(evidence.end, Some(RunEnd { outcome: Outcome::Exit { .. }, .. }));
    if ended && !found.reported {
        if !reports || broken("new-test-reports") {
            let verdict = causes.first().map_or(Verdict::Pass, Cause::verdict);
            let message = causes.first().map_or_else(|| UNREPORTED.to_owned(), ToString::to_string);
            cases.push(CaseResult { name: EXIT_STATUS.to_owned(), verdict, message: Some(message) });
            let name = if many { format!("{program}/{EXIT_STATUS}") } else { EXIT_STATUS.to_owned() };
            // By its whole name: what a pattern is about was not reported. And not where a program died.
            let issue = expected.known.iter().find(|issue| issue.symptom == Symptom::Case(name.clone()));
            let died = script && seen.finding(Kind::Segfault).is_some();
            if issue.is_some() && !died && matches!(causes[..], [Cause::ExitFailed { .. }]) {
                known::note(met, issue);
                causes.clear();
            }
        } else if causes.is_empty() {
            let report = ktap::parse(&evidence.stdout, ktap::Limits::default());
            causes.push(Cause::NoReport { program, detail: incomplete(&report, evidence) });
        }
    }
    (cases, causes)
}

/// The case of a program that reports none.
const EXIT_STATUS: &str = "exit status";
/// What is said of it.
const UNREPORTED: &str = "it reports no cases: its exit status is all there is";

/// The program that a case stands for whose exit status is all that it said, if it is one; the name is empty
/// in a cell with one test.
pub fn unreported(case: &CaseResult) -> Option<&str> {
    let program = case.name.strip_suffix(EXIT_STATUS)?;
    program.strip_suffix('/').or_else(|| program.is_empty().then_some(""))
}

/// The first cause decides; without one it is a pass.
pub(super) fn decide(mut causes: Vec<Cause>, cases: Vec<CaseResult>, known: Vec<KnownIssue>) -> Judged {
    causes.retain(|cause| !broken_one("cause", &cause.kind()));
    // Skips weigh least: they only say that nothing was seen.
    let (skips, mut causes): (Vec<_>, Vec<_>) =
        causes.into_iter().partition(|cause| cause.verdict() == Verdict::Skip);
    causes.extend(skips);
    let mut causes = causes.into_iter();
    let cause = causes.next();
    let verdict = cause.as_ref().map_or(Verdict::Pass, Cause::verdict);
    Judged { verdict, cause, also: causes.collect(), cases, known }
}

/// What the selftest said on a control leg.
pub fn recorded(expected: &Expectation, seen: &Evidence) -> Vec<Recorded> {
    let record = |(run, evidence): (&ExpectedRun, &RunEvidence)| Recorded {
        program: run.program.clone(),
        outcome: match &evidence.end {
            Some(end) => in_words(end.outcome),
            None => "did not end".to_owned(),
        },
        cases: case_results(&ktap::parse(&evidence.stdout, ktap::Limits::default()), None),
    };
    runs(expected, seen, Role::Recorded).map(record).collect()
}

fn runs<'a>(
    expected: &'a Expectation,
    seen: &'a Evidence,
    role: Role,
) -> impl Iterator<Item = (&'a ExpectedRun, &'a RunEvidence)> {
    expected.runs.iter().zip(&seen.runs).filter(move |(run, _)| run.role == role)
}

/// What should be there after a bye and is not. A stream's decoder has made sure of all that
/// already; nothing here relies on it.
pub(super) fn gaps(expected: &[ExpectedRun], seen: &Evidence, causes: &mut Vec<Cause>) {
    if expected.len() != seen.runs.len() {
        let detail = format!("{} runs were planned and {} kept", expected.len(), seen.runs.len());
        causes.push(Cause::Harness { detail });
    }
    if !expected.iter().any(|run| run.role.decides()) {
        causes.push(Cause::Harness { detail: "the plan had no run to judge".to_owned() });
    }
    // No run follows one that cannot be killed, and that one is a cause of its own.
    let is_stuck = |end: &RunEnd| end.outcome == Outcome::Stuck;
    let stuck = seen.runs.iter().any(|run| run.end.as_ref().is_some_and(is_stuck));
    let complete = seen.runs.iter().all(|run| run.started && run.end.is_some());
    if !complete && !stuck && causes.is_empty() {
        let detail = "the agent said bye before all programs had ended".to_owned();
        causes.push(Cause::NoReport { program: "the agent".to_owned(), detail });
    }
    for (expected_run, run) in expected.iter().zip(&seen.runs) {
        let Some(end) = &run.end else { continue };
        let arrived = (run.stdout.len() as u64, run.stderr.len() as u64);
        let wrote = (end.stdout_bytes, end.stderr_bytes);
        if arrived != wrote {
            let program = &expected_run.program;
            let detail = format!(
                "{program} wrote {} + {} bytes, {} + {} arrived",
                wrote.0, wrote.1, arrived.0, arrived.1
            );
            causes.push(Cause::BadFrames { detail });
        }
    }
}

/// How a program ended.
pub(super) fn outcome(
    abi: Abi,
    expected: &ExpectedRun,
    run: &RunEvidence,
    seen: &Evidence,
    causes: &mut Vec<Cause>,
) {
    let program = expected.program.clone();
    let Some(end) = &run.end else { return };
    match end.outcome {
        // A process that SIGKILL does not end is the kernel's doing, whatever the run was for.
        Outcome::Stuck => causes.push(Cause::TestStuck { program }),
        _ if !expected.role.decides() => {}
        Outcome::Exit { .. } => {}
        Outcome::Timeout { .. } => {
            causes.push(Cause::TestTimeout { program, deadline_ms: expected.deadline_ms })
        }
        Outcome::NoExec { .. } if abi == Abi::Mx32 && seen.finding(Kind::X32Disabled).is_some() => {
            causes.push(Cause::NoKernelAbi { option: "x32 is turned off on its command line".to_owned() });
        }
        Outcome::NoExec { errno } => {
            let hint = match errno {
                8 => ": the kernel does not know this binary format: is the ABI switched off at boot?",
                2 => ": no such file, or no dynamic loader for it",
                _ => "",
            };
            causes.push(Cause::NoExec { program, errno: i32::from(errno), hint: hint.to_owned() });
        }
        // Nobody asked for this one to be traced.
        Outcome::Untraced { .. } => {
            causes.push(Cause::NoReport { program, detail: in_words(end.outcome) });
        }
        Outcome::Signal { signal } => {
            let mut name = signal_name(signal).to_owned();
            if signal == 9 && seen.finding(Kind::OutOfMemory).is_some() {
                name.push_str(", by the OOM killer");
            }
            causes.push(Cause::TestSignalled { program, signal: i32::from(signal), signal_name: name });
        }
    }
}

/// What a judged program reported.
fn report(
    expected: &Expectation,
    (run, many): (&ExpectedRun, bool),
    seen: &RunEvidence,
    met: &mut Vec<KnownIssue>,
    causes: &mut Vec<Cause>,
) {
    let Some(end) = &seen.end else { return };
    let report = ktap::parse(&seen.stdout, ktap::Limits::default());
    let program = run.program.clone();
    let leaves: Vec<_> = report.leaves().collect();
    let is_known = |leaf: &&ktap::Leaf<'_>| match expected.leg.is_control() {
        true => None,
        false => known::of_case(
            &expected.known,
            &case_name(many.then_some(run.program.as_str()), leaf),
            leaf.case.status,
        ),
    };
    let bad = leaves.iter().filter(|leaf| leaf.case.status.is_bad());
    let (known_bad, bad): (Vec<_>, Vec<_>) = bad.partition(|leaf| is_known(leaf).is_some());
    known_bad.iter().for_each(|leaf| known::note(met, is_known(leaf)));
    let total = leaves.len() as u64;
    if expected.leg.is_control() && !leaves.is_empty() && !is_answer(expected, &leaves) {
        let detail = format!("it did not answer {:?}", question(expected));
        causes.push(Cause::NoReport { program, detail });
        return;
    }
    if let Some(first) = bad.first() {
        let said = first.case.message.as_deref().map(|m| format!(" ({})", one_line(m))).unwrap_or_default();
        causes.push(match expected.leg.is_control() {
            true => Cause::NotAbsent {
                abi: expected.abi,
                number: expected.number,
                door: expected.door(),
                said: format!("{}{said}", first.name),
            },
            false => {
                Cause::CaseFailed { failed: bad.len() as u64, total, first: format!("{}{said}", first.name) }
            }
        });
    }
    if !report.is_complete() {
        let detail = incomplete(&report, seen);
        let nothing = report.cases.is_empty() && report.plan.is_none();
        causes.push(match nothing {
            true => Cause::NoReport { program, detail },
            false => Cause::PlanMismatch { program, detail },
        });
        return;
    }
    if let Some(reason) = &report.skip_all {
        let reason = if reason.is_empty() { "it gave no reason".to_owned() } else { one_line(reason) };
        causes.push(Cause::Skipped { reason });
    }
    let skipped: Vec<_> =
        leaves.iter().filter(|leaf| case_verdict(leaf.case.status) == Verdict::Skip).collect();
    if let Some(first) = skipped.first() {
        let said = first.case.message.as_deref().map(|m| format!(" ({})", one_line(m))).unwrap_or_default();
        causes.push(Cause::CasesSkipped {
            skipped: skipped.len() as u64,
            total,
            first: format!("{}{said}", first.name),
        });
    }
    let code = match end.outcome {
        Outcome::Exit { code } => i32::from(code),
        _ => return,
    };
    // 4 is KSFT_SKIP: a program may say it beside a report that says the same.
    let says_skip = code == 4 && (report.skip_all.is_some() || !skipped.is_empty());
    // 1 is KSFT_FAIL: what a case that is known to fail makes of the whole.
    let says_known = code == 1 && !known_bad.is_empty();
    if bad.is_empty() && code != 0 && !says_skip && !says_known {
        causes.push(Cause::ExitStatus { program, code });
    } else if !(bad.is_empty() && known_bad.is_empty()) && code == 0 {
        let detail = "cases failed, and yet it exited with status 0".to_owned();
        causes.push(Cause::PlanMismatch { program, detail });
    }
}

pub(super) fn case_verdict(status: Status) -> Verdict {
    match status {
        Status::Ok => Verdict::Pass,
        // What is expected to fail shows nothing, whichever way it went.
        Status::Skip | Status::Todo | Status::Xfail => Verdict::Skip,
        Status::NotOk | Status::Xpass | Status::Timeout | Status::Missing => Verdict::Fail,
        Status::Error => Verdict::Error,
    }
}

pub(super) fn case_results(report: &ktap::Report, program: Option<&str>) -> Vec<CaseResult> {
    let leaf = |leaf: ktap::Leaf<'_>| CaseResult {
        name: case_name(program, &leaf),
        verdict: case_verdict(leaf.case.status),
        message: leaf.case.message.clone(),
    };
    report.leaves().map(leaf).collect()
}

/// A case's name in reports: with its program's, where there are several.
fn case_name(program: Option<&str>, leaf: &ktap::Leaf<'_>) -> String {
    match program {
        Some(program) => format!("{program}/{}", leaf.name),
        None => leaf.name.clone(),
    }
}

#[cfg(test)]
mod tests;
