//! `run.json`: all that one run found out. Every report is made from this and from nothing else.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::attempts::{AttemptRecord, Attempted};
use super::sealed;
use crate::broken::broken;
use crate::judge::console::Finding;
use crate::judge::contract;
use crate::judge::divergence::{Divergence, divergences};
use crate::judge::verdict::{Entry, Recorded};
use crate::judge::watch::Evidence;
use crate::model::{
    Abi, CaseResult, Cause, CellId, Hello, Judged, KernelName, KnownIssue, Leg, NotApplicable, SyscallName,
    Transport, Verdict,
};

/// The version of this format: raised when a reader of the one before would misread it.
pub const SCHEMA: u32 = 1;
/// The file's name in the run's folder.
pub const FILE: &str = "run.json";

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It goes on, or its process was killed.
    Running,
    /// Every selected cell has its verdict.
    Complete,
    /// The user ended it.
    Interrupted,
}

/// The host that a run was measured on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HostRecord {
    /// `uname -srm`.
    pub system: String,
    /// Processors.
    pub cpus: usize,
    /// QEMU's version.
    pub qemu: String,
    /// The board.
    pub machine: String,
    /// The accelerator; empty while it is not decided.
    pub accel: String,
    /// Why it is this one.
    pub accel_why: String,
    /// Compiler and linker.
    pub compiler: String,
    /// Whether ccache was used.
    pub ccache: bool,
    /// Guests at once.
    pub jobs: usize,
}

/// A kernel of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KernelRecord {
    /// Its name.
    pub kernel: KernelName,
    /// The identity of its source.
    pub source: String,
    /// The user's tree, if it is one.
    #[serde(default)]
    pub tree: Option<TreeRecord>,
    /// The syscalls whose series were applied, in this order.
    #[serde(default)]
    pub series: Vec<SyscallName>,
    /// The patches, by name.
    pub patches: Vec<String>,
    /// The syscall's number by each ABI.
    pub numbers: Vec<(Abi, u32)>,
    /// The option that switches it; none where it is in every kernel.
    pub option: Option<String>,
    /// The folder of its tests, below tools/testing/selftests.
    #[serde(default)]
    pub selftest: String,
    /// What was read from the tree for want of a spec file, each with its place there.
    #[serde(default)]
    pub derived: Vec<String>,
    /// How it was configured and compiled beyond what its own file says.
    #[serde(default)]
    pub recipe: RecipeRecord,
    /// What was built.
    pub legs: Vec<LegRecord>,
}

/// A user's tree, as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TreeRecord {
    /// The folder.
    pub path: String,
    /// The commit that was checked out, or of a range of commits the last one; none where there is no git.
    pub commit: Option<String>,
    /// Of a range of commits, the one that the first of them stands on.
    #[serde(default)]
    pub base: Option<String>,
    /// In what the source that was tested differed from `commit`; none if in nothing.
    pub dirty: Option<String>,
    /// Of a range of commits, what the work tree had beside commits and was not tested.
    #[serde(default)]
    pub untested: Option<String>,
}

/// What the command line said of configuring and compiling.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RecipeRecord {
    /// The profile, by name.
    #[serde(default)]
    pub profile: Option<String>,
    /// What the configuration started from.
    pub base_config: String,
    /// The user's fragments, by name, and lines.
    pub configs: Vec<String>,
    /// The variables for make.
    pub make: Vec<String>,
    /// What compiler and linker say of themselves, where they are not the default ones.
    pub toolchain: Option<String>,
}

impl RecipeRecord {
    /// What it started from where nothing else was asked for.
    pub const USUAL_BASE: &str = "allnoconfig";
}

/// A built kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LegRecord {
    /// Which one.
    pub leg: Leg,
    /// Its key in the cache.
    pub key: String,
    /// The image, below the run's folder.
    pub image: String,
    /// Its configuration, below the run's folder.
    pub config: String,
}

/// A cause, for machines and for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CauseRecord {
    /// The cause's name (`not-wired`, `panic`, …).
    pub kind: String,
    /// In words.
    pub text: String,
    /// All its fields.
    pub detail: Cause,
}

impl From<&Cause> for CauseRecord {
    fn from(cause: &Cause) -> CauseRecord {
        CauseRecord { kind: cause.kind(), text: cause.to_string(), detail: cause.clone() }
    }
}

/// What a selftest said on a control leg.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RecordedRecord {
    /// The program.
    pub program: String,
    /// How it ended.
    pub outcome: String,
    /// Its cases.
    pub cases: Vec<CaseResult>,
}

impl From<Recorded> for RecordedRecord {
    fn from(recorded: Recorded) -> RecordedRecord {
        let Recorded { program, outcome, cases } = recorded;
        RecordedRecord { program, outcome, cases }
    }
}

/// How long the parts of a cell took, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Durations {
    /// From spawn to the agent's hello.
    pub boot_ms: Option<u64>,
    /// From hello to bye.
    pub run_ms: Option<u64>,
    /// From spawn to QEMU's end.
    pub total_ms: u64,
}

impl Durations {
    /// The times of a guest.
    pub fn of(seen: &Evidence) -> Durations {
        let ms = |time: Duration| time.as_millis() as u64;
        let ran = seen.hello.as_ref().zip(seen.bye);
        Durations {
            boot_ms: seen.hello.as_ref().map(|(at, _)| ms(*at)),
            run_ms: ran.map(|((hello, _), bye)| ms(bye.saturating_sub(*hello))),
            total_ms: ms(seen.over_at),
        }
    }
}

/// How a cell went over one transport.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TransportRecord {
    /// Which one.
    pub transport: Transport,
    /// What the cell came to over it.
    pub verdict: Verdict,
    /// Why it was not a pass.
    pub cause: Option<CauseRecord>,
    /// How many cases passed, and of how many.
    pub passed: (usize, usize),
    /// How long it took.
    pub durations: Durations,
    /// The folder of its logs, below the run's.
    pub logs: String,
}

/// A kernel report on the console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FindingRecord {
    /// The row of the console table.
    pub kind: String,
    /// One line that is the same for equal bugs.
    pub title: String,
    /// Line of the console log, from 1; 0 of a report that was seen over the other transport than the one
    /// whose console the cell has.
    pub line: u64,
    /// Whether the kernel's state was worth nothing from there on.
    pub fatal: bool,
}

impl From<&Finding> for FindingRecord {
    fn from(finding: &Finding) -> FindingRecord {
        FindingRecord {
            kind: finding.kind.as_str().to_owned(),
            title: finding.title.clone(),
            line: finding.line,
            fatal: finding.fatal,
        }
    }
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CellRecord {
    /// The kernel.
    pub kernel: KernelName,
    /// The leg.
    pub leg: Leg,
    /// The ABI.
    pub abi: Abi,
    /// What it came to.
    pub verdict: Verdict,
    /// Why it is not a pass.
    pub cause: Option<CauseRecord>,
    /// What else was seen.
    pub also: Vec<CauseRecord>,
    /// The judged cases.
    pub cases: Vec<CaseResult>,
    /// Proof of entry: how often the syscall was entered by each ABI's door.
    pub entries: Vec<Entry>,
    /// What the selftest said on a control leg.
    pub recorded: Vec<RecordedRecord>,
    /// What the kernel said was wrong.
    pub findings: Vec<FindingRecord>,
    /// What of findings and cases is known to be wrong, and was not held against the cell.
    #[serde(default)]
    pub known: Vec<KnownIssue>,
    /// The cases of the contract that this ABI cannot express, each with the reason.
    #[serde(default)]
    pub not_applicable: Vec<NotApplicable>,
    /// How long it took.
    pub durations: Durations,
    /// How it went over each transport that it was run over, in order; empty if it never ran.
    #[serde(default)]
    pub transports: Vec<TransportRecord>,
    /// All attempts at it, in order, where there was more than one.
    #[serde(default)]
    pub attempts: Vec<AttemptRecord>,
    /// The guest, by its own account.
    pub guest: Option<Hello>,
    /// The last lines of the console, escaped; only where it neither passed nor said itself why not.
    pub console_tail: Vec<String>,
    /// The folder of its logs, below the run's; empty if it never ran.
    pub logs: String,
}

impl CellRecord {
    /// A record of what was judged, with nothing measured yet.
    pub fn new(id: &CellId, judged: Judged) -> CellRecord {
        CellRecord {
            kernel: id.kernel.clone(),
            leg: id.leg,
            abi: id.abi,
            verdict: judged.verdict,
            cause: judged.cause.as_ref().map(CauseRecord::from),
            also: judged.also.iter().map(CauseRecord::from).collect(),
            cases: judged.cases,
            entries: Vec::new(),
            recorded: Vec::new(),
            findings: Vec::new(),
            known: judged.known,
            not_applicable: Vec::new(),
            durations: Durations::default(),
            transports: Vec::new(),
            attempts: Vec::new(),
            guest: None,
            console_tail: Vec::new(),
            logs: String::new(),
        }
    }

    /// Which cell it is.
    pub fn id(&self) -> CellId {
        CellId { kernel: self.kernel.clone(), leg: self.leg, abi: self.abi }
    }

    /// Notes that the ABIs answer differently. What it came to before weighs more, but for a pass.
    pub fn disagrees(&mut self, cause: &Cause) {
        let record = CauseRecord::from(cause);
        if matches!(self.verdict, Verdict::Pass | Verdict::Skip) {
            self.also.splice(0..0, self.cause.take());
            (self.verdict, self.cause) = (cause.verdict(), Some(record));
        } else {
            self.also.push(record);
        }
    }

    /// Notes that this is how it went over `transport`.
    pub fn over(&mut self, transport: Transport) {
        self.transports = vec![TransportRecord {
            transport,
            verdict: self.verdict,
            cause: self.cause.clone(),
            passed: self.passed(),
            durations: self.durations,
            logs: self.logs.clone(),
        }];
    }

    /// One cell of the same cell over serial and over ssh: what it was over both, or a failure if they
    /// disagree, in which both say how.
    ///
    /// The evidence is that of the one that weighs more, whose logs are in [`CellRecord::evidence`]; of the
    /// other one it has what the kernel said there alone.
    pub fn merge(self, ssh: CellRecord) -> CellRecord {
        let differ = self.differs_from(&ssh) && !broken("transports-differ");
        let causes = [&self, &ssh].map(|cell| cell.cause.clone());
        let cause = Cause::TransportsDiffer {
            serial: self.in_words(),
            ssh: ssh.in_words(),
            first: self.cases_that_differ(&ssh).first().map(words_of).unwrap_or_default(),
        };
        let transports = [&self.transports[..], &ssh.transports].concat();
        let [of_serial, of_ssh] = [&self, &ssh].map(|cell| weight(cell.verdict, cell.cause.as_ref()));
        let (mut cell, other) = match of_ssh > of_serial {
            true => (ssh, self),
            false => (self, ssh),
        };
        if differ {
            cell.also = causes.into_iter().flatten().chain(cell.also).chain(other.also).collect();
            cell.verdict = cause.verdict();
            cell.cause = Some(CauseRecord::from(&cause));
        } else {
            for cause in other.cause.into_iter().chain(other.also) {
                if !cell.cause.iter().chain(&cell.also).any(|told| told.kind == cause.kind) {
                    cell.also.push(cause);
                }
            }
        }
        for finding in other.findings {
            let same = |told: &FindingRecord| (&told.kind, &told.title) == (&finding.kind, &finding.title);
            if !cell.findings.iter().any(same) {
                cell.findings.push(FindingRecord { line: 0, ..finding });
            }
        }
        for issue in other.known {
            if !cell.known.contains(&issue) {
                cell.known.push(issue);
            }
        }
        cell.transports = transports;
        cell
    }

    /// Whether it and the same cell over the other transport disagree.
    ///
    /// A guest that the host kept from its verdict has none that could differ: the other one's stands if it
    /// weighs more, and otherwise the cell is the error that it would be over that transport alone, which
    /// `--retries` tries again. And of two guests that ended alike before their time, how much of a report
    /// got out is up to the way that it took.
    fn differs_from(&self, other: &CellRecord) -> bool {
        let cause = |cell: &CellRecord| cell.cause.as_ref().map(|cause| cause.kind.clone());
        let died = |cell: &CellRecord| cell.verdict != Verdict::Pass && cell.durations.run_ms.is_none();
        if [self, other].iter().any(|cell| cell.attempt().is_of_host()) {
            return false;
        }
        if died(self) && died(other) && cause(self) == cause(other) {
            return false;
        }
        self.verdict != other.verdict || !self.cases_that_differ(other).is_empty()
    }

    /// What has to be the same over both transports has to be the same by all ABIs: each case and its
    /// verdict, and of a contract's what the call returned. Names and messages may have a process's number.
    fn cases_that_differ(&self, ssh: &CellRecord) -> Vec<Divergence<Transport>> {
        divergences(&BTreeMap::from([
            (Transport::Serial, self.cases.as_slice()),
            (Transport::Ssh, ssh.cases.as_slice()),
        ]))
    }

    /// The folder, below the run's, with the logs of the guest that this record is the evidence of: where
    /// the cell went over both transports, of the one that weighs more.
    pub fn evidence(&self) -> &str {
        match &self.transports[..] {
            [serial, ssh]
                if weight(ssh.verdict, ssh.cause.as_ref())
                    > weight(serial.verdict, serial.cause.as_ref()) =>
            {
                &ssh.logs
            }
            [serial, _] => &serial.logs,
            _ => &self.logs,
        }
    }

    fn in_words(&self) -> String {
        let (passed, total) = self.passed();
        let kind = self.cause.as_ref().map(|cause| format!(" ({})", cause.kind)).unwrap_or_default();
        format!("{}{kind}, {passed} of {total} cases passed", self.verdict)
    }

    /// How many cases passed, of how many.
    pub fn passed(&self) -> (usize, usize) {
        (self.cases.iter().filter(|case| case.verdict == Verdict::Pass).count(), self.cases.len())
    }
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

impl Attempted for CellRecord {
    fn attempt(&self) -> AttemptRecord {
        AttemptRecord {
            verdict: self.verdict,
            cause: self.cause.clone(),
            passed: self.passed(),
            durations: self.durations,
            logs: self.logs.clone(),
        }
    }

    fn attempts(&self) -> &[AttemptRecord] {
        &self.attempts
    }

    fn keep(&mut self, attempts: Vec<AttemptRecord>) {
        self.attempts = attempts;
    }
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RunRecord {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of the tool.
    pub tool: String,
    /// How far it is.
    pub state: State,
    /// The syscall under test.
    pub syscall: SyscallName,
    /// When it began, in seconds since 1970.
    pub started_unix_s: u64,
    /// How long it took so far, in milliseconds.
    pub elapsed_ms: u64,
    /// The run's folder.
    pub folder: String,
    /// Where it ran.
    pub host: HostRecord,
    /// What it built.
    pub kernels: Vec<KernelRecord>,
    /// How many cells were selected.
    pub selected: usize,
    /// The cells that have their verdict, in the order of the matrix.
    pub cells: Vec<CellRecord>,
    /// What the user was told on the way.
    pub notes: Vec<String>,
    /// The words of the command line that change what a cell is, quoted for a shell.
    #[serde(default)]
    pub options: Vec<String>,
}

impl RunRecord {
    /// Writes the record into the run's folder, whole or not at all.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        sealed::write(folder, self)
    }

    /// How many cells have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.cells.iter().filter(|cell| cell.verdict == verdict).count()
    }

    /// Whether every selected cell passed. A cell that is not there did not.
    pub fn all_passed(&self) -> bool {
        self.count(Verdict::Pass) == self.selected && self.cells.len() == self.selected && self.selected > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FaultSummary;

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
