//! Known issues at the judge's: what of the evidence is set aside, and what a run did not show.
//!
//! Only what the kernel survives can be excused, and only by its own name: a panic ends the guest
//! whether it is known or not, and a case that is missing is no case that fails.

use super::console::{Finding, Kind};
use super::ktap::Status;
use super::watch::Evidence;
use crate::model::{CellId, KnownIssue, SyscallName};

/// Takes the findings that are known out of the evidence. Those issues, each once, and the bits of
/// taint that such reports leave.
pub fn set_aside(known: &[KnownIssue], seen: &mut Evidence) -> (Vec<KnownIssue>, u64) {
    let (mut met, mut taint) = (Vec::new(), 0);
    seen.findings.retain(|finding| {
        let Some(of_kind) = taint_of(finding.kind).filter(|_| !finding.fatal) else { return true };
        let issue = known.iter().find(|issue| excuses(issue, finding));
        note(&mut met, issue);
        taint |= if issue.is_some() { of_kind } else { 0 };
        issue.is_none()
    });
    (met, taint)
}

fn excuses(issue: &KnownIssue, finding: &Finding) -> bool {
    issue.symptom.is_splat(&finding.title) || issue.symptom.is_splat(&finding.whole_title())
}

/// What a report of this kind taints the kernel with; `None` if it cannot be excused: the kernel is
/// done for, or the reporter is, which turns itself off after its first report, so that its
/// silence from there on is worth nothing. (`kernel/panic.c`, `lib/{ubsan,debugobjects}.c`,
/// `mm/{page_alloc,slub,kfence,kmsan}`, `kernel/{watchdog,sched/core}.c`.)
fn taint_of(kind: Kind) -> Option<u64> {
    const BAD_PAGE: u64 = 1 << 5;
    const WARN: u64 = 1 << 9;
    const SOFT_LOCKUP: u64 = 1 << 14;
    match kind {
        Kind::Warning
        | Kind::Refcount
        | Kind::ListCorruption
        | Kind::DebugObjects
        | Kind::Cfi
        | Kind::SleepInAtomic
        | Kind::ScheduleWhileAtomic
        | Kind::Ubsan => Some(WARN),
        Kind::BadPage | Kind::SlabCorruption | Kind::Kfence | Kind::Kmsan => Some(BAD_PAGE),
        Kind::SoftLockup => Some(SOFT_LOCKUP),
        Kind::RcuStall
        | Kind::HungTask
        | Kind::WorkqueueLockup
        | Kind::Kcsan
        | Kind::Kmemleak
        | Kind::NetdevLeak
        | Kind::Bug => Some(0),
        Kind::Lockdep | Kind::LockdepOff | Kind::Spinlock | Kind::Kasan => None,
        Kind::Panic
        | Kind::NoInit
        | Kind::InitDied
        | Kind::UnexpectedReboot
        | Kind::Oops
        | Kind::SmapViolation
        | Kind::SmepViolation
        | Kind::HardLockup
        | Kind::Usercopy => None,
        // No faults of the kernel's, or what makes it blind.
        Kind::OutOfMemory
        | Kind::Segfault
        | Kind::MsrAccess
        | Kind::TscLost
        | Kind::X32Disabled
        | Kind::MessagesDropped => None,
    }
}

/// The issue that a case of this name is known by, if it failed.
pub fn of_case<'a>(known: &'a [KnownIssue], name: &str, status: Status) -> Option<&'a KnownIssue> {
    known.iter().find(|issue| status == Status::NotOk && issue.symptom.is_case(name))
}

/// Adds an issue to those that were met, once.
pub fn note(met: &mut Vec<KnownIssue>, issue: Option<&KnownIssue>) {
    if let Some(issue) = issue.filter(|issue| !met.contains(issue)) {
        met.push(issue.clone());
    }
}

/// The issues that no cell has met although one of theirs ran to its end: fixed, perhaps.
/// `ran` is the cells that did, with what they met.
pub fn not_met<'a>(
    known: &'a [KnownIssue],
    syscall: &SyscallName,
    ran: &[(CellId, &[KnownIssue])],
) -> Vec<&'a KnownIssue> {
    let not_met = |issue: &&KnownIssue| {
        let mut cells = ran.iter().filter(|(cell, _)| issue.concerns(syscall, cell)).peekable();
        cells.peek().is_some() && !cells.any(|(_, met)| met.contains(*issue))
    };
    known.iter().filter(not_met).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Abi, Leg, Symptom};

    fn issue(symptom: Symptom, abi: Option<Abi>) -> KnownIssue {
        let (reason, link) = ("being fixed".to_owned(), "https://example.org/1".to_owned());
        KnownIssue {
            symptom,
            syscall: None,
            leg: Some(Leg::Patched),
            abi,
            reason,
            link,
            expires: "2030-01-01".parse().unwrap(),
        }
    }

    #[test]
    fn an_issue_is_missed_only_where_it_could_have_been_met() {
        let known = [
            issue(Symptom::Case("a".to_owned()), None),
            issue(Symptom::Case("b".to_owned()), Some(Abi::M32)),
            issue(Symptom::Case("c".to_owned()), Some(Abi::M64)),
        ];
        let cell = |leg, abi| CellId { kernel: "k".parse().unwrap(), leg, abi };
        let syscall = "xyzzy".parse().unwrap();
        let first = &known[..1];
        let ran = [(cell(Leg::Patched, Abi::M64), first), (cell(Leg::ConfigOff, Abi::M32), &[][..])];
        assert_eq!(not_met(&known, &syscall, &ran), [&known[2]]);
        assert!(not_met(&known, &syscall, &[]).is_empty());
    }
}
