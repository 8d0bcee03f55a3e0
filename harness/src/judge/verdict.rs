//! The verdict of a cell: all causes that the evidence gives, in the order of their weight.
//!
//! The first cause decides. A pass is what is left when none applies, and each step that could
//! lack evidence gives a cause of its own: there is no way to a pass around them.

use std::time::Duration;

use super::console::{Finding, Kind};
use super::contract;
use super::known;
use super::ktap::{self, Status};
use super::watch::{Abort, Evidence, LinkFailure, RunEvidence};
use crate::broken::broken_one;
use crate::model::{
    Abi, CaseResult, Cause, Door, FaultSummary, Judged, KnownIssue, Leg, NotApplicable, Outcome, PlannedCase,
    RunEnd, Trace, Verdict,
};

/// What a run of the plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Its report decides.
    Judged,
    /// The same program under ptrace: only whether it entered the syscall counts.
    Traced,
    /// The tool's probe on a patched kernel: is there anything behind the number?
    Wired,
    /// What a selftest says on a control leg: written down, not weighed.
    Recorded,
    /// The prober with the cases of the contract; on a control leg each of them must give -ENOSYS.
    Contract,
}

impl Role {
    /// How it ends is weighed.
    fn decides(self) -> bool {
        match self {
            Role::Judged | Role::Contract => true,
            Role::Traced | Role::Wired | Role::Recorded => false,
        }
    }
}

/// One run of the plan, as the judge needs to know it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ExpectedRun {
    /// What it is for.
    pub role: Role,
    /// The program's file name.
    pub program: String,
    /// Its deadline.
    pub deadline_ms: u64,
    /// The cases that it has to report, in their order; of a contract alone.
    #[serde(default)]
    pub cases: Vec<PlannedCase>,
}

/// What a cell was to show.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Expectation {
    /// The leg.
    pub leg: Leg,
    /// The ABI.
    pub abi: Abi,
    /// The syscall's number by that ABI, without the x32 bit.
    pub number: u32,
    /// The table in which its entry belongs.
    pub table: String,
    /// The runs, in the plan's order.
    pub runs: Vec<ExpectedRun>,
    /// What is known to be wrong in this cell, and excused today.
    #[serde(default)]
    pub known: Vec<KnownIssue>,
    /// The cases of the contract that this ABI cannot express: nothing is expected of them.
    #[serde(default)]
    pub not_applicable: Vec<NotApplicable>,
}

impl Expectation {
    /// What the kernel sees when the syscall is made by this ABI.
    pub fn door(&self) -> Door {
        self.abi.door(self.number)
    }
}

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
    let many = judged.len() > 1;
    for (expected_run, run) in &judged {
        let report = ktap::parse(&run.stdout, ktap::Limits::default());
        cases.extend(case_results(&report, many.then_some(expected_run.program.as_str())));
    }
    for (_, run) in runs(expected, seen, Role::Contract) {
        cases.extend(contract::results(run));
    }
    wired(expected, seen, &mut causes);
    for (expected_run, run) in expected.runs.iter().zip(&seen.runs) {
        outcome(expected.abi, expected_run, run, seen, &mut causes);
    }
    for (expected_run, run) in &judged {
        report(expected, (expected_run, many), run, &mut met, &mut causes);
    }
    for (expected_run, run) in runs(expected, seen, Role::Contract) {
        contract::weigh(expected, expected_run, run, &mut met, &mut causes);
    }
    entered(expected, seen, &mut causes);
    probed(expected, seen, &mut causes);
    tainted(&expected.runs, seen, known_taint, &mut causes);
    blind(seen, &mut causes);
    let judged = decide(causes, cases, met);
    // The last line of defence, should a step above ever forget a case.
    if judged.verdict == Verdict::Pass && !judged.cases.iter().any(|case| case.verdict == Verdict::Pass) {
        let detail = "it reported no case that passed".to_owned();
        let program = "the cell".to_owned();
        return Judged::without_run(Cause::NoReport { program, detail });
    }
    judged
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

fn summary(finding: &Finding) -> FaultSummary {
    let (kind, title) = (finding.kind.as_str().to_owned(), finding.whole_title());
    FaultSummary { kind, title, line: finding.line }
}

/// What became of the machine as a whole.
pub(super) fn machine(seen: &Evidence, causes: &mut Vec<Cause>) {
    if let Some(Abort::Stop(signal)) = &seen.abort {
        causes.push(Cause::Interrupted { signal: (*signal).to_owned() });
    }
    if let Some(finding) = seen.finding(Kind::NoInit) {
        causes.push(Cause::NoInit { detail: finding.title.clone() });
    }
    // A kernel that died on its way has a better reason than its clock.
    if seen.hello.is_none()
        && !seen.findings.iter().any(|finding| finding.fatal)
        && let Some(finding) = seen.finding(Kind::TscLost)
    {
        causes.push(Cause::LostBoot { detail: finding.title.clone() });
    }
    faults(seen, causes);
    let gave_up = seen.agent_words.as_ref().filter(|_| seen.bye.is_none());
    let link = link(seen, gave_up.map(String::as_str));
    let by_link = link.is_some();
    causes.extend(link);
    if let Some(why) = seen.refused.as_ref().or(gave_up.filter(|_| !by_link)) {
        causes.push(Cause::AgentRefused { detail: why.clone() });
    }
    aborted(seen, causes);
    if seen.abort.is_none() {
        match seen.bye {
            Some(_) => causes.extend(after_bye(seen)),
            None if seen.refused.is_some() || gave_up.is_some() => {}
            None => causes.push(without_bye(seen)),
        }
    }
    match &seen.bad_frame {
        // A second hello is the same agent in a machine that has started again.
        Some(("second-hello", _)) => causes.push(Cause::Reset),
        // A stream ends with its connection.
        Some(("truncated", _)) if by_link => {}
        Some((_, text)) => causes.push(Cause::BadFrames { detail: text.clone() }),
        None => {}
    }
    if seen.bye.is_some() && seen.hello.is_none() {
        causes.push(Cause::BadFrames { detail: "it said bye and had never said hello".to_owned() });
    }
    if seen.exit.is_none() {
        causes.push(Cause::Harness { detail: "the guest was judged before it had ended".to_owned() });
    }
    if let (Some(abort), []) = (&seen.abort, &causes[..]) {
        let detail = format!("it ended the guest and kept no evidence why ({abort:?})");
        causes.push(Cause::Harness { detail });
    }
}

/// What became of the way to the agent over ssh: by what the harness met, or by the agent's last words,
/// which stand on the console. A connection that ended with its machine is no cause of its own.
fn link(seen: &Evidence, gave_up: Option<&str>) -> Option<Cause> {
    let said = |about: &str| gave_up.and_then(|words| words.strip_prefix(about)).map(str::to_owned);
    let lost = said("connection: ");
    match (seen.link.clone(), &lost) {
        (Some(LinkFailure::HostKey { expected, found }), _) => {
            return Some(Cause::WrongHostKey { expected, found });
        }
        (Some(LinkFailure::Refused { detail }), _) => return Some(Cause::SshRefused { detail }),
        (Some(LinkFailure::Cut { detail }), Some(words)) => {
            return Some(Cause::ConnectionCut { detail: format!("{detail}; the agent: {words}") });
        }
        (Some(LinkFailure::Cut { detail }), None) if seen.abort == Some(Abort::Link) => {
            return Some(Cause::ConnectionCut { detail });
        }
        (Some(LinkFailure::Cut { .. }) | None, _) => {}
    }
    if let Some(detail) = lost {
        return Some(Cause::ConnectionCut { detail });
    }
    if let Some(detail) = said("no network: ") {
        return Some(Cause::NoNetwork { detail });
    }
    match seen.abort {
        Some(Abort::Boot { waited }) if seen.listens => {
            let detail = format!("the agent listens, and there was none within {} ms", waited.as_millis());
            Some(Cause::NoSshd { detail })
        }
        _ => said("sshd: ").map(|detail| Cause::NoSshd { detail }),
    }
}

/// What the kernel itself said was wrong.
fn faults(seen: &Evidence, causes: &mut Vec<Cause>) {
    let panic = seen.findings.iter().find(|f| matches!(f.kind, Kind::Panic | Kind::InitDied));
    let first = seen.kernel_fault();
    match (panic, first) {
        // An oops or a lockup that led to the panic says more than the panic does.
        (Some(panic), Some(fault)) if fault.line < panic.line => {
            causes.push(Cause::KernelFault { fault: summary(fault) });
            causes.push(Cause::Panic { fault: summary(panic) });
        }
        (Some(panic), _) => causes.push(Cause::Panic { fault: summary(panic) }),
        (None, Some(fault)) => causes.push(match seen.abort {
            Some(Abort::Stall { silent }) => hang(silent, seen),
            _ => Cause::KernelFault { fault: summary(fault) },
        }),
        (None, None) => {}
    }
}

fn hang(silent: Duration, seen: &Evidence) -> Cause {
    let (silent_ms, at) = (silent.as_millis() as u64, seen.at.clone());
    Cause::Hang { silent_ms, at, fault: seen.kernel_fault().map(summary) }
}

/// Why the harness ended the guest.
fn aborted(seen: &Evidence, causes: &mut Vec<Cause>) {
    match &seen.abort {
        // Init was reached.
        Some(Abort::Boot { .. }) if seen.listens => {}
        Some(Abort::Boot { waited }) => causes.push(Cause::BootHang {
            waited_ms: waited.as_millis() as u64,
            at: seen.at.clone(),
            last_line: seen.last_line.clone(),
        }),
        Some(Abort::Stall { silent }) => {
            if !causes.iter().any(|cause| matches!(cause, Cause::Hang { .. })) {
                causes.push(hang(*silent, seen));
            }
        }
        Some(Abort::PowerOff { waited }) => causes.push(hang(*waited, seen)),
        Some(Abort::Overrun { run, waited }) => {
            let detail = format!("the agent had not ended run {run} after {} s", waited.as_secs());
            causes.push(Cause::Harness { detail });
        }
        Some(Abort::TooMuch { stream, limit_bytes }) => {
            causes.push(Cause::OutputLimit { stream: (*stream).to_owned(), limit_bytes: *limit_bytes });
        }
        // What led to these is evidence of its own.
        Some(Abort::Panicked | Abort::BadFrames | Abort::Link | Abort::Stop(_)) | None => {}
    }
}

/// A machine that ended by itself without the agent's bye.
fn without_bye(seen: &Evidence) -> Cause {
    match &seen.shutdown {
        Some((true, reason)) if reason == GUEST_OFF => Cause::EarlyPowerOff,
        Some((true, _)) => Cause::Reset,
        other => {
            let why = other.as_ref().map(|(_, reason)| format!(" ({reason})")).unwrap_or_default();
            let (how, stderr) = match &seen.exit {
                Some((how, _, stderr)) => (how.as_str(), stderr.as_str()),
                None => ("did not end", ""),
            };
            Cause::LostVm { detail: format!("QEMU {how}{why}{}", words(stderr)) }
        }
    }
}

/// The agent powers the machine off when it has said bye. With any other end there is no telling
/// what the kernel did, or would still have said. (QEMU's word may be missing: its monitor is a
/// help, not a witness.)
fn after_bye(seen: &Evidence) -> Option<Cause> {
    let (how, success, stderr) = seen.exit.as_ref()?;
    let lost =
        |why: &str| Some(Cause::LostVm { detail: format!("after bye, QEMU {how}{why}{}", words(stderr)) });
    match &seen.shutdown {
        Some((true, reason)) if reason != GUEST_OFF => Some(Cause::Reset),
        Some((false, reason)) => lost(&format!(" ({reason})")),
        _ if !success => lost(""),
        _ => None,
    }
}

/// QEMU's word for a guest that powered itself off.
const GUEST_OFF: &str = "guest-shutdown";

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

fn words(stderr: &str) -> String {
    let line = stderr.lines().rev().find(|line| !line.trim().is_empty());
    line.map(|line| format!(": {}", super::console::sanitize(line.as_bytes()))).unwrap_or_default()
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

pub(super) fn incomplete(report: &ktap::Report, run: &RunEvidence) -> String {
    if let Some(reason) = &report.bail {
        return format!("it bailed out: {}", one_line(reason));
    }
    if report.cases.is_empty() && report.plan.is_none() {
        let said = super::console::tail(&[&run.stdout[..], &run.stderr[..]].concat(), 1).join("");
        return if said.is_empty() { "it said nothing".to_owned() } else { format!("it said only {said:?}") };
    }
    let fatal = report.problems.iter().filter(|problem| problem.is_fatal());
    fatal.map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What every case of the tool's probe is called. It names number and expectation: the answer to
/// another question is none. The door is not in the name, so that the ABIs can be compared; that it
/// is the right one follows from the probe's ABI, which its ELF header proved. See
/// `guest/probe/probe.c`.
fn question(expected: &Expectation) -> String {
    let asked = if expected.leg.is_control() { "gives -ENOSYS" } else { "is wired" };
    format!("number {} {asked}", expected.number)
}

/// How many cases the probe has: on a control leg, one for each way to fill the arguments.
fn probe_cases(leg: Leg) -> usize {
    if leg.is_control() { 3 } else { 1 }
}

fn is_answer(expected: &Expectation, leaves: &[ktap::Leaf<'_>]) -> bool {
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
fn wired(expected: &Expectation, seen: &Evidence, causes: &mut Vec<Cause>) {
    let mut answers = runs(expected, seen, Role::Wired).filter_map(|(_, run)| behind(expected, run));
    if answers.any(|behind| matches!(behind, Behind::Nothing)) {
        let (abi, number, table) = (expected.abi, expected.number, expected.table.clone());
        causes.push(Cause::NotWired { abi, number, door: expected.door(), table });
    }
}

/// On a patched leg: a probe that came to no answer.
fn probed(expected: &Expectation, seen: &Evidence, causes: &mut Vec<Cause>) {
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
fn entered(expected: &Expectation, seen: &Evidence, causes: &mut Vec<Cause>) {
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
    let detail =
        if others.is_empty() { String::new() } else { format!("; it was entered {}", others.join(" and ")) };
    causes.push(Cause::NotEntered { abi: expected.abi, door, detail });
}

/// Whether the kernel came out of the boot and of each run as clean as it went in.
///
/// `excused` is what reports that are known have left: they taint the kernel as any other.
pub(super) fn tainted(expected: &[ExpectedRun], seen: &Evidence, excused: u64, causes: &mut Vec<Cause>) {
    let mut known = excused | seen.hello.as_ref().map_or(0, |(_, hello)| hello.tainted);
    let faults = known & TAINT_FAULTS & !excused;
    if faults != 0 {
        let (program, flags) = ("the boot".to_owned(), taint_flags(faults));
        causes.push(Cause::Tainted { program, before: 0, after: known, flags });
    }
    for (expected_run, run) in expected.iter().zip(&seen.runs) {
        let Some(end) = &run.end else { continue };
        // What came between two runs is the work of something that the first left behind.
        let after = known | end.tainted_before | end.tainted_after;
        let new = after & !known;
        if new != 0 {
            let (program, flags) = (expected_run.program.clone(), taint_flags(new));
            causes.push(Cause::Tainted { program, before: known, after, flags });
        }
        known = after;
    }
}

/// What taints a kernel by a fault of its own (M, B, D, W, L), and not by what it is made of: the
/// rest may be there from the beginning.
const TAINT_FAULTS: u64 = 1 << 4 | 1 << 5 | 1 << 7 | 1 << 9 | 1 << 14;

/// The letters of `/proc/sys/kernel/tainted`, by bit.
const TAINT_LETTERS: &[u8] = b"PFSRMBUDAWCIOELKXTN";

fn taint_flags(bits: u64) -> String {
    let letter = |bit: usize| match TAINT_LETTERS.get(bit) {
        Some(letter) => char::from(*letter).to_string(),
        None => format!("bit {bit}"),
    };
    (0..64).filter(|bit| bits & (1 << bit) != 0).map(letter).collect::<Vec<_>>().join("")
}

/// What may have kept a fault from being seen in a guest that came to its end.
pub(super) fn blind(seen: &Evidence, causes: &mut Vec<Cause>) {
    if seen.bye.is_none() {
        return;
    }
    let mut why = Vec::new();
    if !seen.banner {
        why.push("its console was silent (`quiet` or `loglevel=` on the command line?)".to_owned());
    }
    if seen.findings_left_out > 0 {
        why.push(format!("{} further findings were not kept", seen.findings_left_out));
    }
    let gaps = [Kind::MessagesDropped, Kind::LockdepOff].into_iter();
    why.extend(gaps.filter_map(|kind| seen.finding(kind)).map(|finding| finding.title.clone()));
    if !why.is_empty() {
        causes.push(Cause::Blind { detail: why.join("; ") });
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

pub(super) fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let joined: String = lines.collect::<Vec<_>>().join("; ").chars().take(200).collect();
    super::console::sanitize(joined.as_bytes())
}

pub(super) fn in_words(outcome: Outcome) -> String {
    match outcome {
        Outcome::Exit { code } => format!("exited with status {code}"),
        Outcome::Signal { signal } => format!("killed by {}", signal_name(signal)),
        Outcome::Timeout { .. } => "did not end in time".to_owned(),
        Outcome::NoExec { errno } => format!("could not be executed (errno {errno})"),
        Outcome::Stuck => "could not be killed".to_owned(),
        Outcome::Untraced { errno } => format!("could not be traced (errno {errno})"),
    }
}

/// A signal's name, for the numbers of x86.
pub fn signal_name(signal: u8) -> &'static str {
    const NAMES: [&str; 32] = [
        "?",
        "SIGHUP",
        "SIGINT",
        "SIGQUIT",
        "SIGILL",
        "SIGTRAP",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGKILL",
        "SIGUSR1",
        "SIGSEGV",
        "SIGUSR2",
        "SIGPIPE",
        "SIGALRM",
        "SIGTERM",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGCONT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGXCPU",
        "SIGXFSZ",
        "SIGVTALRM",
        "SIGPROF",
        "SIGWINCH",
        "SIGIO",
        "SIGPWR",
        "SIGSYS: a bad system call",
    ];
    NAMES.get(usize::from(signal)).copied().unwrap_or("a real-time signal")
}

#[cfg(test)]
mod tests;
