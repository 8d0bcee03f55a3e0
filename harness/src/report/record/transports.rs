//! A cell over both transports: what it came to over each, whether they agree, and which of the two is
//! looked at. Pure.

use std::collections::BTreeMap;
use std::mem;

use super::{CauseRecord, CellRecord, FindingRecord, TransportRecord};
use crate::broken::broken;
use crate::judge::contract;
use crate::judge::divergence::{Divergence, divergences};
use crate::model::{CaseResult, Cause, KnownIssue, Transport, Verdict};
use crate::report::attempts::{AttemptRecord, Attempted};
use crate::report::kselftest::ProgramRecord;

/// The record of a cell of either kind, as far as it is over both transports.
pub trait OverTransports: Attempted + Sized {
    /// What of it is put together of both.
    fn told(&mut self) -> Told<'_>;

    /// Notes that this is how it went over `transport`.
    fn over(&mut self, transport: Transport) {
        let AttemptRecord { verdict, cause, passed, durations, logs } = self.attempt();
        *self.told().transports =
            vec![TransportRecord { transport, verdict, cause, passed, durations, logs }];
    }

    /// One record of the same cell over serial and over ssh: what it was over both, or a failure if they
    /// disagree, in which both say how.
    ///
    /// The evidence is that of the one that weighs more, whose logs [`evidence`] names; of the other one
    /// it has what the kernel said there alone.
    fn merge(mut self, mut ssh: Self) -> Self {
        let halves = [self.attempt(), ssh.attempt()];
        let transports = [&self.told().transports[..], &ssh.told().transports[..]].concat();
        let disagreement = disagreement(&halves, [&*self.told().cases, &*ssh.told().cases])
            .filter(|_| !broken("transports-differ"));
        let [of_serial, of_ssh] = halves.each_ref().map(|half| weight(half.verdict, half.cause.as_ref()));
        let (mut cell, mut other) = match of_ssh > of_serial {
            true => (ssh, self),
            false => (self, ssh),
        };
        let (told, other) = (cell.told(), other.told());
        let others = mem::take(other.also);
        match disagreement {
            Some(cause) => {
                let causes = halves.into_iter().filter_map(|half| half.cause);
                *told.also = causes.chain(mem::take(told.also)).chain(others).collect();
                *told.verdict = cause.verdict();
                *told.cause = Some(CauseRecord::from(&cause));
            }
            None => {
                for cause in other.cause.take().into_iter().chain(others) {
                    if !told.cause.iter().chain(&*told.also).any(|told| says_no_more(told, &cause)) {
                        told.also.push(cause);
                    }
                }
            }
        }
        for finding in mem::take(other.findings) {
            let same = |told: &FindingRecord| (&told.kind, &told.title) == (&finding.kind, &finding.title);
            if !told.findings.iter().any(same) {
                told.findings.push(FindingRecord { line: 0, ..finding });
            }
        }
        if let (Some(known), Some(others)) = (told.known, other.known) {
            for issue in mem::take(others) {
                if !known.contains(&issue) {
                    known.push(issue);
                }
            }
        }
        *told.transports = transports;
        cell
    }
}

/// What of a cell's record is put together of both transports, or is another one over both.
#[derive(Debug)]
#[expect(missing_docs, reason = "they are the record's fields, where they are told")]
pub struct Told<'a> {
    pub verdict: &'a mut Verdict,
    pub cause: &'a mut Option<CauseRecord>,
    pub also: &'a mut Vec<CauseRecord>,
    pub cases: &'a mut Vec<CaseResult>,
    pub findings: &'a mut Vec<FindingRecord>,
    /// A kselftest has none.
    pub known: Option<&'a mut Vec<KnownIssue>>,
    pub transports: &'a mut Vec<TransportRecord>,
    pub logs: &'a mut String,
}

impl OverTransports for CellRecord {
    fn told(&mut self) -> Told<'_> {
        Told {
            verdict: &mut self.verdict,
            cause: &mut self.cause,
            also: &mut self.also,
            cases: &mut self.cases,
            findings: &mut self.findings,
            known: Some(&mut self.known),
            transports: &mut self.transports,
            logs: &mut self.logs,
        }
    }
}

impl OverTransports for ProgramRecord {
    fn told(&mut self) -> Told<'_> {
        Told {
            verdict: &mut self.verdict,
            cause: &mut self.cause,
            also: &mut self.also,
            cases: &mut self.cases,
            findings: &mut self.findings,
            known: None,
            transports: &mut self.transports,
            logs: &mut self.logs,
        }
    }
}

/// In what a cell and the same cell over the other transport disagree.
///
/// A guest that the host kept from its verdict has none that could differ: the other one's stands if it
/// weighs more, and otherwise the cell is the error that it would be over that transport alone, which
/// `--retries` tries again. And of two guests that ended alike before their time, how much of a report
/// got out is up to the way that it took.
fn disagreement(halves: &[AttemptRecord; 2], cases: [&[CaseResult]; 2]) -> Option<Cause> {
    let [serial, ssh] = halves;
    let kind = |half: &AttemptRecord| half.cause.as_ref().map(|cause| cause.kind.clone());
    let died = |half: &AttemptRecord| half.verdict != Verdict::Pass && half.durations.run_ms.is_none();
    if halves.iter().any(AttemptRecord::is_of_host) {
        return None;
    }
    if halves.iter().all(died) && kind(serial) == kind(ssh) {
        return None;
    }
    let other_end = || match (&serial.cause, &ssh.cause) {
        (Some(serial), Some(ssh)) => !same_end(serial, ssh),
        _ => false,
    };
    // How it ended is all that a program without a report has to say.
    let other_end = cases.iter().all(|cases| cases.is_empty()) && other_end();
    // What has to be the same over both transports has to be the same by all ABIs: each case and its
    // verdict, and of a contract's what the call returned. Names and messages may have a process's number.
    let [of_serial, of_ssh] = cases;
    let differ = divergences(&BTreeMap::from([(Transport::Serial, of_serial), (Transport::Ssh, of_ssh)]));
    (serial.verdict != ssh.verdict || other_end || !differ.is_empty()).then(|| Cause::TransportsDiffer {
        serial: in_words(serial),
        ssh: in_words(ssh),
        first: differ.first().map(words_of).unwrap_or_default(),
    })
}

/// Whether a program of either ended alike: by the same cause, but for times and other numbers that no two
/// guests share. Where a kernel was when it was found hanging is one of them.
fn same_end(one: &CauseRecord, other: &CauseRecord) -> bool {
    use Cause::{
        CaseFailed, ExitFailed, ExitStatus, HelperNotBuilt, KernelFault, NoCommand, Tainted, TestSignalled,
    };
    one.kind == other.kind
        && match (&one.detail, &other.detail) {
            (ExitStatus { code: one, .. }, ExitStatus { code: other, .. })
            | (ExitFailed { code: one, .. }, ExitFailed { code: other, .. })
            | (TestSignalled { signal: one, .. }, TestSignalled { signal: other, .. }) => one == other,
            (CaseFailed { failed: one, .. }, CaseFailed { failed: other, .. }) => one == other,
            (KernelFault { fault: one }, KernelFault { fault: other }) => one.kind == other.kind,
            (Tainted { flags: one, .. }, Tainted { flags: other, .. })
            | (NoCommand { command: one, .. }, NoCommand { command: other, .. })
            | (HelperNotBuilt { helper: one, .. }, HelperNotBuilt { helper: other, .. }) => one == other,
            _ => true,
        }
}

/// Whether the second cause tells nothing that the first does not.
fn says_no_more(told: &CauseRecord, cause: &CauseRecord) -> bool {
    use Cause::{KernelFault, Panic, Skipped};
    same_end(told, cause)
        && match (&told.detail, &cause.detail) {
            (KernelFault { fault: one }, KernelFault { fault: other })
            | (Panic { fault: one }, Panic { fault: other }) => one.title == other.title,
            (Skipped { reason: one }, Skipped { reason: other }) => one == other,
            _ => true,
        }
}

/// The folder, below the run's, with the logs of the guest that a cell's record is the evidence of: where
/// it went over both transports, of the one that weighs more. `logs` is the cell's own.
pub fn evidence<'a>(transports: &'a [TransportRecord], logs: &'a str) -> &'a str {
    match transports {
        [serial, ssh]
            if weight(ssh.verdict, ssh.cause.as_ref()) > weight(serial.verdict, serial.cause.as_ref()) =>
        {
            &ssh.logs
        }
        [serial, _] => &serial.logs,
        [one] if !one.logs.is_empty() => &one.logs,
        _ => logs,
    }
}

fn in_words(half: &AttemptRecord) -> String {
    let kind = half.cause.as_ref().map(|cause| format!(" ({})", cause.kind)).unwrap_or_default();
    let cases = match half.passed {
        // It reported none, or none of them got out.
        (_, 0) => String::new(),
        (passed, total) => format!(", {passed} of {total} cases passed"),
    };
    format!("{}{kind}{cases}", half.verdict)
}

/// Which of two halves of a cell is looked at: the one that weighs more, and of equal ones not that which
/// the host kept from its verdict, since another attempt may come to a better one.
fn weight(verdict: Verdict, cause: Option<&CauseRecord>) -> (u8, bool) {
    (verdict.weight(), !cause.is_some_and(|cause| cause.detail.is_of_host()))
}

/// A case that is not the same over both transports.
fn words_of(found: &Divergence<Transport>) -> String {
    let said = found.said.iter().map(|(transport, said)| {
        let Some((verdict, message)) = said else { return format!("{transport} did not report it") };
        let returned = contract::returned(message.as_deref()).filter(|_| contract::is_case(&found.case));
        let returned = returned.map(|returned| format!(", {returned}")).unwrap_or_default();
        format!("{transport} {verdict}{returned}")
    });
    format!("; first: {}: {}", found.case, said.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Abi, CellId, FaultSummary, Judged, Leg};

    /// A cell over one transport, in which these cases passed or not.
    fn over(transport: Transport, cause: Option<Cause>, cases: &[(&str, Verdict)]) -> CellRecord {
        let id = CellId { kernel: "linux-6.12".parse().unwrap(), leg: Leg::Patched, abi: Abi::M64 };
        let case = |(name, verdict): &(&str, Verdict)| CaseResult {
            name: (*name).to_owned(),
            verdict: *verdict,
            message: None,
        };
        let verdict = cause.as_ref().map_or(Verdict::Pass, Cause::verdict);
        let cases = cases.iter().map(case).collect();
        let mut cell =
            CellRecord::new(&id, Judged { verdict, cause, also: Vec::new(), cases, known: Vec::new() });
        cell.durations.run_ms = Some(1);
        cell.logs = format!("m64/{transport}");
        cell.over(transport);
        cell
    }

    fn both(
        serial: (Option<Cause>, &[(&str, Verdict)]),
        ssh: (Option<Cause>, &[(&str, Verdict)]),
    ) -> CellRecord {
        over(Transport::Serial, serial.0, serial.1).merge(over(Transport::Ssh, ssh.0, ssh.1))
    }

    const OK: &[(&str, Verdict)] = &[("a", Verdict::Pass), ("b", Verdict::Pass)];
    const B_FAILED: &[(&str, Verdict)] = &[("a", Verdict::Pass), ("b", Verdict::Fail)];
    const A_FAILED: &[(&str, Verdict)] = &[("a", Verdict::Fail), ("b", Verdict::Pass)];

    fn failed() -> Option<Cause> {
        Some(Cause::CaseFailed { failed: 1, total: 2, first: "b".to_owned() })
    }

    #[test]
    fn a_cell_over_both_transports_is_one_cell_with_the_times_of_both() {
        let cell = both((None, OK), (None, OK));
        assert_eq!((cell.verdict, &cell.cause, cell.passed()), (Verdict::Pass, &None, (2, 2)));
        let transports: Vec<_> = cell.transports.iter().map(|t| (t.transport, t.passed)).collect();
        assert_eq!(transports, [(Transport::Serial, (2, 2)), (Transport::Ssh, (2, 2))]);
        let cell = both((failed(), B_FAILED), (failed(), B_FAILED));
        assert_eq!((cell.verdict, cell.cause.unwrap().kind.as_str()), (Verdict::Fail, "case-failed"));
        assert_eq!(cell.also, []);
    }

    #[test]
    fn transports_that_disagree_fail_and_both_are_heard() {
        let no_network = || Some(Cause::NoNetwork { detail: "x".to_owned() });
        for (serial, ssh, said) in [
            (
                (None, OK),
                (no_network(), OK),
                "over serial pass, 2 of 2 cases passed; over ssh error (no-network)",
            ),
            (
                (failed(), B_FAILED),
                (None, OK),
                "over serial fail (case-failed), 1 of 2 cases passed; over ssh pass",
            ),
            // The same verdict for another reason is another verdict.
            ((failed(), B_FAILED), (failed(), A_FAILED), "over serial fail (case-failed)"),
        ] {
            let causes = [&serial.0, &ssh.0].map(|cause| cause.as_ref().map(Cause::kind));
            let cell = both(serial, ssh);
            let cause = cell.cause.unwrap();
            assert_eq!((cell.verdict, cause.kind.as_str()), (Verdict::Fail, "transports-differ"));
            assert!(cause.text.contains(said), "{}", cause.text);
            let also: Vec<_> = cell.also.iter().map(|cause| Some(cause.kind.clone())).collect();
            assert_eq!(also, causes.into_iter().filter(Option::is_some).collect::<Vec<_>>());
        }
        // How it ended is all that a program without a report says.
        let status = |code| Some(Cause::ExitFailed { program: "x".to_owned(), code, said: code.to_string() });
        let killed =
            || Some(Cause::TestSignalled { program: "x".to_owned(), signal: 11, signal_name: String::new() });
        for (serial, ssh) in [(status(1), status(2)), (status(1), killed())] {
            let cell = both((serial, &[]), (ssh, &[]));
            assert_eq!(cell.cause.unwrap().kind, "transports-differ");
            assert_eq!(cell.also.len(), 2);
        }
        let cell = both((status(1), &[]), (status(1), &[]));
        assert_eq!((cell.cause.unwrap().kind.as_str(), cell.also), ("exit-failed", vec![]));
        // Another fault of the kernel's is told, whatever the cases say.
        let oops = |title: &str| {
            let fault = FaultSummary { title: title.to_owned(), ..fault("oops") };
            Some(Cause::KernelFault { fault })
        };
        let cell = both((oops("a"), OK), (oops("b"), OK));
        assert_eq!((cell.cause.unwrap().kind.as_str(), cell.also.len()), ("kernel-fault", 1));
        // Where it was is another place at each boot.
        let cell = both((oops("a"), &[]), (oops("b"), &[]));
        assert_eq!((cell.cause.unwrap().kind.as_str(), cell.also.len()), ("kernel-fault", 1));
        let skipped = |reason: &str| Some(Cause::Skipped { reason: reason.to_owned() });
        let cell = both((skipped("no /dev/x"), &[]), (skipped("no network"), &[]));
        assert_eq!((cell.cause.unwrap().kind.as_str(), cell.also.len()), ("skipped", 1));
        let hung = Some(Cause::Hang { silent_ms: 1, at: None, fault: None });
        let cell = both((failed(), OK), (hung, OK));
        assert_eq!((cell.cause.unwrap().kind.as_str(), cell.also[0].kind.as_str()), ("case-failed", "hang"));
    }

    fn fault(kind: &str) -> FaultSummary {
        FaultSummary { kind: kind.to_owned(), title: format!("{kind} in do_xyzzy"), line: 7 }
    }

    #[test]
    fn of_guests_that_died_alike_the_reports_need_not_be_equally_long() {
        let dies = |cause: &Cause, transport, cases| {
            let mut cell = over(transport, Some(cause.clone()), cases);
            cell.durations.run_ms = None;
            cell
        };
        let panic = Cause::Panic { fault: fault("panic") };
        let hang = Cause::Hang { silent_ms: 1, at: None, fault: None };
        let oops = Cause::KernelFault { fault: fault("oops") };
        for cause in [&panic, &hang, &oops, &Cause::Reset, &Cause::EarlyPowerOff] {
            let cell = dies(cause, Transport::Serial, OK).merge(dies(cause, Transport::Ssh, &OK[..1]));
            assert_eq!(cell.cause.unwrap().kind, cause.kind());
            assert_eq!((cell.verdict, cell.also), (Verdict::Fail, vec![]), "{cause:?}");
        }
        // Another death is another one, and a kernel that lives on has a whole report.
        let cell = dies(&panic, Transport::Serial, OK).merge(dies(&hang, Transport::Ssh, &OK[..1]));
        assert_eq!(cell.cause.unwrap().kind, "transports-differ");
        let cell = both((Some(oops.clone()), OK), (Some(oops), &OK[..1]));
        assert_eq!(cell.cause.unwrap().kind, "transports-differ");
    }

    #[test]
    fn what_the_host_did_to_one_transport_is_no_difference_and_is_tried_again() {
        let lost = || Some(Cause::LostBoot { detail: "x".to_owned() });
        let cut = || Some(Cause::ConnectionCut { detail: "x".to_owned() });
        for (serial, ssh) in [((None, OK), (cut(), &OK[..1])), ((lost(), &[][..]), (None, OK))] {
            let cause = serial.0.clone().or(ssh.0.clone()).unwrap();
            let cell = both(serial, ssh);
            assert_eq!((cell.verdict, cell.cause.as_ref().unwrap().detail.clone()), (Verdict::Error, cause));
            assert!(cell.attempt().is_of_host() && cell.also.is_empty(), "{cell:?}");
        }
        // Of two errors it is the one that another attempt would not mend.
        let refused = || Some(Cause::PlanMismatch { program: "x".to_owned(), detail: "y".to_owned() });
        for (serial, ssh, logs) in [(lost(), refused(), "m64/ssh"), (refused(), lost(), "m64/serial")] {
            let cell = both((serial, &[]), (ssh, &[]));
            assert_eq!(cell.cause.as_ref().unwrap().kind, "plan-mismatch");
            assert_eq!((cell.verdict, cell.evidence(), cell.also.len()), (Verdict::Error, logs, 1));
            assert!(!cell.attempt().is_of_host());
        }
        // It excuses no failure of the kernel's, however that one came to light.
        let cell = both((lost(), &[]), (failed(), B_FAILED));
        assert_eq!(
            (cell.verdict, cell.cause.as_ref().unwrap().kind.as_str()),
            (Verdict::Fail, "case-failed")
        );
        assert_eq!(cell.also[0].kind, "lost-boot");
        assert!(!cell.attempt().is_of_host());
    }

    #[test]
    fn the_evidence_is_that_of_the_transport_over_which_it_did_not_pass() {
        let mut ssh = over(Transport::Ssh, Some(Cause::KernelFault { fault: fault("oops") }), OK);
        let report = |kind: &str, line: u64| FindingRecord {
            kind: kind.to_owned(),
            title: fault(kind).title,
            line,
            fatal: false,
        };
        ssh.findings = vec![report("oops", 7), report("segfault", 9)];
        ssh.console_tail = vec!["---[ end trace ]---".to_owned()];
        let mut serial = over(Transport::Serial, None, OK);
        serial.findings = vec![report("segfault", 5), report("out-of-memory", 6)];
        let cell = serial.clone().merge(ssh.clone());
        assert_eq!(cell.cause.as_ref().unwrap().kind, "transports-differ");
        assert_eq!((cell.console_tail.clone(), cell.evidence()), (ssh.console_tail.clone(), "m64/ssh"));
        assert_eq!(cell.findings, [report("oops", 7), report("segfault", 9), report("out-of-memory", 0)]);
        let order: Vec<_> = cell.transports.iter().map(|over| over.transport).collect();
        assert_eq!(order, [Transport::Serial, Transport::Ssh]);
        // Of equal ones serial's.
        let cell =
            over(Transport::Serial, failed(), B_FAILED).merge(over(Transport::Ssh, failed(), B_FAILED));
        assert_eq!(cell.evidence(), "m64/serial");
        // Of one alone its own, wherever the cell has others.
        serial.logs = "m64".to_owned();
        assert_eq!(serial.evidence(), "m64/serial");
    }

    #[test]
    fn a_contracts_answers_have_to_be_the_same_over_both() {
        let says = |transport, name: &str, message: &str| {
            let mut cell = over(transport, None, &[(name, Verdict::Pass)]);
            cell.cases[0].message = Some(message.to_owned());
            cell
        };
        let merged = |name: &str, [one, other]: [&str; 2]| {
            let cell = says(Transport::Serial, name, one).merge(says(Transport::Ssh, name, other));
            cell.cause.map(|cause| (cause.kind, cause.text))
        };
        let name = contract::case_name("flags/0x1");
        assert_eq!(merged(&name, ["returned 1\nat 0x10", "returned 1\nat 0x20"]), None);
        let (kind, text) = merged(&name, ["returned 1", "returned 2"]).unwrap();
        assert_eq!(kind, "transports-differ");
        let first = "; first: contract/flags/0x1: serial pass, returned 1; ssh pass, returned 2";
        assert!(text.ends_with(first), "{text}");
        // What a selftest prints beside its verdict is its own.
        assert_eq!(merged("basic", ["returned 1", "returned 2"]), None);
    }
}
