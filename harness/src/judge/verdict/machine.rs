//! The causes that lie in the machine and its kernel, whatever ran there: how the guest ended, what the
//! kernel said was wrong, what it was tainted by, and what may have kept a fault from being seen.

use std::time::Duration;

use super::ExpectedRun;
use crate::judge::console::{self, Finding, Kind};
use crate::judge::watch::{Abort, Evidence, LinkFailure};
use crate::model::{Cause, FaultSummary};

/// What became of the machine as a whole.
pub(in crate::judge) fn machine(seen: &Evidence, causes: &mut Vec<Cause>) {
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
        (Some(failure @ LinkFailure::Key { .. }), _) => {
            return Some(Cause::Harness { detail: failure.to_string() });
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
    // The agent's word alone: one that lives does not wait for ever, and one that says nothing hangs.
    said("sshd: ").map(|detail| Cause::NoSshd { detail })
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

fn words(stderr: &str) -> String {
    let line = stderr.lines().rev().find(|line| !line.trim().is_empty());
    line.map(|line| format!(": {}", console::sanitize(line.as_bytes()))).unwrap_or_default()
}

fn summary(finding: &Finding) -> FaultSummary {
    let (kind, title) = (finding.kind.as_str().to_owned(), finding.whole_title());
    FaultSummary { kind, title, line: finding.line }
}

/// Whether the kernel came out of the boot and of each run as clean as it went in.
///
/// `excused` is what reports that are known have left: they taint the kernel as any other.
pub(in crate::judge) fn tainted(
    expected: &[ExpectedRun],
    seen: &Evidence,
    excused: u64,
    causes: &mut Vec<Cause>,
) {
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

pub(super) fn taint_flags(bits: u64) -> String {
    let letter = |bit: usize| match TAINT_LETTERS.get(bit) {
        Some(letter) => char::from(*letter).to_string(),
        None => format!("bit {bit}"),
    };
    (0..64).filter(|bit| bits & (1 << bit) != 0).map(letter).collect::<Vec<_>>().join("")
}

/// What may have kept a fault from being seen in a guest that came to its end.
pub(in crate::judge) fn blind(seen: &Evidence, causes: &mut Vec<Cause>) {
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
