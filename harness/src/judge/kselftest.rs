//! The verdict of one kselftest program: what the kselftest runner would say, and what it overlooks.
//!
//! The runner looks at the exit status alone. Here a report, where there is one, has to agree with
//! it, and the kernel has to come out clean. There is no proof of entry: a program of kselftest is
//! not about one call, and nobody has said which ones it makes.

use super::console::Kind;
use super::ktap::{self, ProblemKind, Status};
use super::verdict::{self, ExpectedRun, Role, Rules};
use super::watch::{Evidence, RunEvidence};
use crate::model::{Abi, CaseResult, Cause, Judged, Outcome, Verdict};

/// What a program was to show.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Expected {
    /// The ABI.
    pub abi: Abi,
    /// Its file name.
    pub program: String,
    /// Its deadline.
    pub deadline_ms: u64,
    /// Whether it is a script, run by a shell.
    pub script: bool,
    /// What should lie beside it and was not built, with the first error.
    pub helpers: Vec<(String, String)>,
}

impl Expected {
    fn run(&self) -> ExpectedRun {
        let Expected { program, deadline_ms, script, .. } = self;
        ExpectedRun {
            role: Role::Judged,
            program: program.clone(),
            deadline_ms: *deadline_ms,
            rules: Rules::Kselftest { script: *script, reports: false },
            cases: Vec::new(),
        }
    }
}

/// The exit statuses of `kselftest.h`.
const KSFT_PASS: u8 = 0;
const KSFT_FAIL: u8 = 1;
const KSFT_XFAIL: u8 = 2;
const KSFT_SKIP: u8 = 4;

/// What the program said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// How it ended, in words; nothing if it did not.
    pub outcome: Option<String>,
    /// Whether it reported cases; otherwise its exit status is all there is.
    pub reported: bool,
}

/// What the program said of itself, without a judgement.
pub fn said(expected: &Expected, seen: &Evidence) -> Said {
    let run = seen.runs.first();
    let outcome = run.and_then(|run| run.end.as_ref()).map(|end| verdict::in_words(end.outcome));
    Said { outcome, reported: run.is_some_and(|run| Heard::new(expected, run).reported) }
}

/// What a program reported.
struct Heard {
    report: ktap::Report,
    /// What it said on the other stream: only what failed there counts.
    beside: ktap::Report,
    /// A line that begins with `ok` is only words until a version line, a plan or a bail-out makes it a
    /// report.
    reported: bool,
    /// This is all that it had to say.
    complete: bool,
}

impl Heard {
    /// A script may run several programs, of which each reports. Each report has to be right by itself,
    /// its plan included; who is one program has one.
    fn new(expected: &Expected, run: &RunEvidence) -> Heard {
        // To the kselftest runner the two are one stream: the report is on either, and what failed on one
        // is not mended by the other.
        let (mut heard, mut beside) = (Heard::of(expected, &run.stdout), Heard::of(expected, &run.stderr));
        if beside.reported && !heard.reported {
            std::mem::swap(&mut heard, &mut beside);
        }
        Heard { beside: beside.report, ..heard }
    }

    fn bad(&self) -> Vec<ktap::Leaf<'_>> {
        let all = self.report.leaves().chain(self.beside.leaves());
        all.filter(|leaf| leaf.case.status.is_bad()).collect()
    }

    fn of(expected: &Expected, said: &[u8]) -> Heard {
        let beside = ktap::Report::default();
        let report = ktap::parse(said, ktap::Limits::default());
        let again = |problem: &ktap::Problem| {
            matches!(problem.kind, ProblemKind::PlanTwice | ProblemKind::VersionTwice)
        };
        if !expected.script || !report.problems.iter().any(again) {
            let reported = report.version.is_some() || report.plan.is_some() || report.bail.is_some();
            let complete = report.is_complete();
            return Heard { report, beside, reported, complete };
        }
        let report = ktap::read_log(said, ktap::Limits::LOG).into_report();
        let sound = !report.problems.iter().any(ktap::Problem::is_fatal);
        let complete = sound && !report.cases.is_empty() && report.bail.is_none();
        Heard { report, beside, reported: true, complete }
    }
}

/// Weighs the evidence of a cell with one program.
pub fn judge(expected: &Expected, seen: &Evidence) -> Judged {
    let run = expected.run();
    let runs = std::slice::from_ref(&run);
    let mut causes = Vec::new();
    verdict::machine(seen, &mut causes);
    verdict::gaps(runs, seen, &mut causes);
    let mut cases = Vec::new();
    for evidence in &seen.runs {
        let found = program(expected, evidence, seen, &mut |_| false);
        cases = found.cases;
        causes.extend(found.causes);
    }
    verdict::tainted(runs, seen, 0, &mut causes);
    verdict::blind(seen, &mut causes);
    verdict::decide(causes, cases, Vec::new())
}

/// What one program came to, whatever became of its machine.
#[derive(Debug)]
pub(super) struct Found {
    /// What it reported.
    pub cases: Vec<CaseResult>,
    /// Why it is not a pass.
    pub causes: Vec<Cause>,
    /// Whether it reported cases; otherwise its exit status is all there is.
    pub reported: bool,
}

/// Weighs what one program did. `is_known` holds for a case that is known to fail as it does.
pub(super) fn program(
    expected: &Expected,
    evidence: &RunEvidence,
    seen: &Evidence,
    is_known: &mut dyn FnMut(&ktap::Leaf<'_>) -> bool,
) -> Found {
    let mut causes = Vec::new();
    verdict::outcome(expected.abi, &expected.run(), evidence, seen, &mut causes);
    let heard = Heard::new(expected, evidence);
    let reported = heard.reported;
    let cases = if reported { verdict::case_results(&heard.report, None) } else { Vec::new() };
    weigh(expected, evidence, &heard, is_known, &mut causes);
    let mut well = Vec::new();
    verdict::machine(seen, &mut well);
    let well = well.is_empty() && causes.iter().all(|cause| cause.verdict() == Verdict::Skip);
    if let Some(killed) = seen.finding(Kind::Segfault).filter(|_| expected.script && well) {
        // What it would have reported nobody knows, and a shell goes on. A program that is run by itself
        // may let its children die, and tells by its own end.
        let detail = format!("a program that it runs was killed: {}", killed.title);
        causes.push(Cause::NoReport { program: expected.program.clone(), detail });
    }
    // It looked for itself, and skipped.
    let skipped = !causes.is_empty() && causes.iter().all(|cause| cause.verdict() == Verdict::Skip);
    if !skipped
        && evidence.end.is_some()
        && let Some(lack) = missing_means(expected, evidence, &cases, !causes.is_empty())
    {
        // A case that failed is evidence of its own: what was not there may have nothing to do with it.
        // So is a program that cannot be killed, which is the kernel's doing, and one that was.
        let is_evidence = |cause: &Cause| {
            matches!(cause, Cause::CaseFailed { .. } | Cause::TestStuck { .. } | Cause::NoReport { .. })
        };
        let is_evidence = causes.iter().any(is_evidence);
        let at = if lack.named && !is_evidence { 0 } else { causes.len() };
        causes.insert(at, lack.cause);
    }
    Found { cases, causes, reported }
}

/// The exit status and the report, which have to agree.
fn weigh(
    expected: &Expected,
    run: &RunEvidence,
    heard: &Heard,
    is_known: &mut dyn FnMut(&ktap::Leaf<'_>) -> bool,
    causes: &mut Vec<Cause>,
) {
    let Heard { report, beside, reported, complete } = heard;
    let program = expected.program.clone();
    let Some(Outcome::Exit { code }) = run.end.as_ref().map(|end| end.outcome) else { return };
    let leaves: Vec<_> = report.leaves().collect();
    let of = |status: Status| leaves.iter().filter(move |leaf| leaf.case.status == status).count();
    let (known_bad, bad): (Vec<_>, Vec<_>) =
        heard.bad().into_iter().partition(|leaf| *reported && is_known(leaf));
    let total = (leaves.len() + beside.leaves().filter(|leaf| leaf.case.status.is_bad()).count()) as u64;
    if let Some(first) = bad.first()
        && (*reported || code == KSFT_PASS)
    {
        let said = first.case.message.as_deref().map(|m| format!(" ({})", verdict::one_line(m)));
        let first = format!("{}{}", first.name, said.unwrap_or_default());
        causes.push(Cause::CaseFailed { failed: bad.len() as u64, total, first });
    }
    if !(bad.is_empty() && known_bad.is_empty()) && code == KSFT_PASS {
        let detail = "cases failed, and yet it exited with status 0".to_owned();
        causes.push(Cause::PlanMismatch { program: program.clone(), detail });
    }
    let agrees = match code {
        KSFT_PASS => true,
        // Whoever skips may have reported a part of what it planned.
        KSFT_SKIP if bad.is_empty() => match skip_reason(report, run, expected.script) {
            Ok(reason) => {
                causes.push(Cause::Skipped { reason });
                return;
            }
            // Scripts that exit with the number of their failures have had four.
            Err(_) => false,
        },
        KSFT_FAIL if !known_bad.is_empty() => bad.is_empty(),
        KSFT_XFAIL => bad.is_empty() && of(Status::Xfail) > 0,
        _ => false,
    };
    if !agrees && (bad.is_empty() || !*reported) {
        let (program, code) = (program.clone(), i32::from(code));
        causes.push(match *reported {
            true => Cause::ExitStatus { program, code },
            false => Cause::ExitFailed { program, code, said: last_words(run) },
        });
    }
    if !*reported {
        return;
    }
    if !complete {
        causes.push(Cause::PlanMismatch { program, detail: verdict::incomplete(report, run) });
    } else if let Some(reason) = &report.skip_all {
        causes.push(Cause::Skipped { reason: verdict::one_line(reason) });
    }
    let skipped =
        |leaf: &&ktap::Leaf<'_>| matches!(leaf.case.status, Status::Skip | Status::Todo | Status::Xfail);
    if let Some(first) = leaves.iter().find(skipped) {
        let said = first.case.message.as_deref().map(|m| format!(" ({})", verdict::one_line(m)));
        causes.push(Cause::CasesSkipped {
            skipped: leaves.iter().filter(skipped).count() as u64,
            total: leaves.len() as u64,
            first: format!("{}{}", first.name, said.unwrap_or_default()),
        });
    }
}

/// Why a program with the status of a skip skipped; what a script said last, if that is a failure.
fn skip_reason(report: &ktap::Report, run: &RunEvidence, script: bool) -> Result<String, String> {
    let leaves: Vec<_> = report.leaves().collect();
    let skipped = leaves.iter().rfind(|leaf| leaf.case.status == Status::Skip);
    let reason = report.skip_all.clone().or_else(|| {
        let leaf = skipped?;
        Some(leaf.case.message.clone().unwrap_or_else(|| leaf.name.clone()))
    });
    let reason = reason.filter(|reason| !reason.trim().is_empty());
    if let Some(reason) = reason {
        return Ok(verdict::one_line(&reason));
    }
    let last = last_words(run);
    let says = |word: &str| last.to_ascii_lowercase().contains(word);
    match (says("skip"), says("fail"), last.is_empty()) {
        (false, true, _) if script => Err(last),
        (_, _, true) => Ok("by its exit status, without a word".to_owned()),
        _ => Ok(last),
    }
}

/// The last line that a program said: on standard error, where complaints go, or on the other.
fn last_words(run: &RunEvidence) -> String {
    let last = |bytes: &[u8]| super::console::tail(bytes, 1).join("");
    let said = last(&run.stderr);
    if said.is_empty() { last(&run.stdout) } else { said }
}

/// What a program lacked.
struct Lack {
    cause: Cause,
    /// Its own words name it, or there is nothing else that it said.
    named: bool,
}

/// What the program could not do its work without. A script goes on where a command is not there: its
/// success is worth something only if it reports what it did (colours are a command's doing, too). A
/// helper that was not built and that its words miss is a cause whatever it says of itself.
fn missing_means(expected: &Expected, run: &RunEvidence, cases: &[CaseResult], failed: bool) -> Option<Lack> {
    let program = expected.program.clone();
    let words = [&run.stderr, &run.stdout].map(|bytes| String::from_utf8_lossy(bytes));
    let named = expected.helpers.iter().find(|(helper, _)| words.iter().any(|said| misses(said, helper)));
    let helper = |(helper, first_error): &(String, String), named| Lack {
        cause: Cause::HelperNotBuilt {
            abi: expected.abi,
            program: program.clone(),
            helper: helper.clone(),
            first_error: first_error.clone(),
        },
        named,
    };
    if let Some(found) = named {
        return Some(helper(found, true));
    }
    if expected.script
        && (failed || cases.is_empty())
        && let Some(command) = words.iter().find_map(|said| command_not_found(said))
    {
        return Some(Lack { cause: Cause::NoCommand { program, command }, named: true });
    }
    // Nobody says what became of it.
    let silent = expected.script && cases.is_empty();
    expected.helpers.first().filter(|_| failed || silent).map(|found| helper(found, false))
}

/// Whether a line says that this file is not there: `./helper: not found`, `helper: No such file or directory`.
fn misses(said: &str, file: &str) -> bool {
    let ends = ["not found", "No such file or directory"];
    said.lines().map(str::trim_end).any(|line| {
        let words = line.split([' ', ':', '\'', '"', '`', '/']);
        ends.iter().any(|end| line.ends_with(end)) && words.into_iter().any(|word| word == file)
    })
}

/// A shell's complaint of a command that is not there: busybox's `x: not found`, bash's
/// `x: command not found`. A path is no command of the userland.
fn command_not_found(said: &str) -> Option<String> {
    let name = |line: &str| {
        let line = line.trim_end();
        let rest = line.strip_suffix(": command not found").or_else(|| line.strip_suffix(": not found"))?;
        let name = rest.rsplit(": ").next()?.trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        (!name.is_empty() && name.chars().all(plain)).then(|| name.to_owned())
    };
    said.lines().find_map(name)
}

#[cfg(test)]
mod tests;
