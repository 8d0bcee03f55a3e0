//! Five verdicts, never mixed, each but `pass` with a typed cause.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Abi, Door, KnownIssue};

/// What a cell or a case came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Complete, plan-matched, kernel clean.
    Pass,
    /// The kernel or the syscall is wrong.
    Fail,
    /// The test itself said that it could not tell, and why.
    Skip,
    /// It could not be run, and why.
    Miss,
    /// The harness or its inputs are at fault.
    Error,
}

impl Verdict {
    /// The word in reports.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::Skip => "skip",
            Verdict::Miss => "miss",
            Verdict::Error => "error",
        }
    }

    /// How much it weighs beside others, the best first. An error outweighs a miss, since somebody has to
    /// repair something; a failure outweighs both, since it is the kernel that is wrong.
    pub fn weight(self) -> u8 {
        match self {
            Verdict::Pass => 0,
            Verdict::Skip => 1,
            Verdict::Miss => 2,
            Verdict::Error => 3,
            Verdict::Fail => 4,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Something that the kernel said was wrong, as a cause carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FaultSummary {
    /// The row of the console table (`oops`, `warning`, `soft-lockup`, …).
    pub kind: String,
    /// One line, without addresses, times and pids: equal bugs have equal titles.
    pub title: String,
    /// Line of the console log, counted from 1.
    pub line: u64,
}

impl fmt::Display for FaultSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (console line {})", self.title, self.line)
    }
}

/// Why a cell is not a pass. The whole space of causes: there is no "other".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each variant's message says what its fields mean")]
pub enum Cause {
    // The kernel or the syscall is wrong.
    #[error("kernel panic: {0}", fault)]
    Panic { fault: FaultSummary },
    #[error("the kernel reported a fault: {0}", fault)]
    KernelFault { fault: FaultSummary },
    #[error(
        "the guest hung{}: nothing heard for {silent_ms} ms{}",
        at.as_ref().map(|at| format!(" at {at}")).unwrap_or_default(),
        fault.as_ref().map(|f| format!("; last kernel fault: {f}")).unwrap_or_default()
    )]
    Hang { silent_ms: u64, at: Option<String>, fault: Option<FaultSummary> },
    #[error("the guest reset itself instead of going off at its end (triple fault or reboot)")]
    Reset,
    #[error("the kernel powered off or halted before the agent said bye")]
    EarlyPowerOff,
    #[error(
        "the boot hung: nothing heard of the agent within {waited_ms} ms{}; last console line: {last_line:?}",
        at.as_ref().map(|at| format!(", it was at {at}")).unwrap_or_default()
    )]
    BootHang { waited_ms: u64, at: Option<String>, last_line: String },
    #[error("{failed} of {total} cases failed; first: {first}")]
    CaseFailed { failed: u64, total: u64, first: String },
    #[error("{program} did not end within {deadline_ms} ms")]
    TestTimeout { program: String, deadline_ms: u64 },
    #[error("{program} could not be killed: it hangs in the kernel")]
    TestStuck { program: String },
    #[error("{program} was killed by signal {signal} ({signal_name})")]
    TestSignalled { program: String, signal: i32, signal_name: String },
    #[error("{program} exited with status {code} although no case failed")]
    ExitStatus { program: String, code: i32 },
    #[error("{program} exited with status {code}; it reports no cases and said {said:?}")]
    ExitFailed { program: String, code: i32, said: String },
    #[error(
        "not wired: number {number} gives -ENOSYS by the {abi} door ({door}); no entry for it in {table}, or the entry's function is not built"
    )]
    NotWired { abi: Abi, number: u32, door: Door, table: String },
    #[error(
        "the call is there although it must not be: number {number} by the {abi} door ({door}) did not give -ENOSYS; {said}"
    )]
    NotAbsent { abi: Abi, number: u32, door: Door, said: String },
    #[error("kernel tainted ({}): {before} before, {after} after {program}", flags)]
    Tainted { program: String, before: u64, after: u64, flags: String },
    #[error("the kernel cannot execute {program} (errno {errno}{})", hint)]
    NoExec { program: String, errno: i32, hint: String },
    #[error("the ABIs answer differently in {cases} cases that each passed; first: {first}")]
    AbisDiffer { cases: u64, first: String },
    #[error("the transports disagree: over serial {serial}; over ssh {ssh}{first}")]
    TransportsDiffer {
        serial: String,
        ssh: String,
        /// The first case that is not the same, with what it came to over either; empty if it is no case.
        #[serde(default)]
        first: String,
    },

    // The test said so.
    #[error("the selftest skipped: {reason}")]
    Skipped { reason: String },
    #[error("{skipped} of {total} cases skipped; first: {first}")]
    CasesSkipped { skipped: u64, total: u64, first: String },

    // It could not be run.
    #[error("the compiler cannot link {0}: install {1} ({detail})", abi.flag(), packages)]
    NoCompiler { abi: Abi, packages: String, detail: String },
    #[error("{syscall} is no call of {0}: {table} has no line for it", abi.flag())]
    NoEntry { abi: Abi, syscall: String, table: String },
    #[error("programs of this ABI cannot run on this kernel: {option}")]
    NoKernelAbi { option: String },
    #[error("{program} needs {library}, which is not here for {}: {advice}", abi.flag())]
    NoLibrary { abi: Abi, program: String, library: String, advice: String },
    #[error(
        "{program} is to be built with a sanitizer that the compiler lacks for {}: build without (--no-sanitizers), or install it ({detail})",
        abi.flag()
    )]
    NoSanitizer { abi: Abi, program: String, detail: String },
    #[error("{program} needs `{command}`, which the guest's userland does not have")]
    NoCommand { program: String, command: String },
    #[error("{program} is not for {}: its Makefile does not list it with that flag", abi.flag())]
    NotListed { abi: Abi, program: String },
    #[error("the run ended before this cell: {reason}")]
    NotRun { reason: String },
    #[error("left out: the {minutes} minutes of the night were over before its turn")]
    Budget { minutes: u64 },

    // The harness or its inputs are at fault.
    #[error("kernel source: {detail}")]
    Source { detail: String },
    #[error("{detail}")]
    PatchFailed { detail: String },
    #[error("{detail}")]
    ConfigDropped { detail: String },
    #[error("{what} does not build: {first_error} (log: {log})")]
    BuildFailed { what: String, first_error: String, log: String },
    #[error(
        "{what} was not built: the compiler died, which says nothing of the code (short of memory?): {words} (log: {log})"
    )]
    CompilerDied { what: String, words: String, log: String },
    #[error("the selftest does not build for {0}: {first_error} (log: {log})", abi.flag())]
    SelftestBuild { abi: Abi, first_error: String, log: String },
    #[error("{program} proves nothing: {helper}, which lies beside it in a kselftest, was not built for {}: {first_error}", abi.flag())]
    HelperNotBuilt { abi: Abi, program: String, helper: String, first_error: String },
    #[error("{program} is not a {0} binary: {found}", abi.flag())]
    WrongElf { abi: Abi, program: String, found: String },
    #[error("{program}'s report does not match its plan: {detail}")]
    PlanMismatch { program: String, detail: String },
    #[error("the contract is wrong, or the call is not what it is about: {detail}")]
    ContractWrong { detail: String },
    #[error("{broken} of {total} cases of the contract could not do their work; first: {first}")]
    CasesBroken { broken: u64, total: u64, first: String },
    #[error("{program} gave no complete report: {detail}")]
    NoReport { program: String, detail: String },
    #[error("the syscall was never entered by the {abi} door ({door}): the selftest proved nothing{detail}")]
    NotEntered { abi: Abi, door: Door, detail: String },
    #[error("the call could not be observed: {detail}")]
    NoProof { detail: String },
    #[error("the kernel may have reported faults that were not seen: {detail}")]
    Blind { detail: String },
    #[error("the platform lost this boot, not the kernel: {detail}")]
    LostBoot { detail: String },
    #[error("QEMU ended by itself: {detail}")]
    LostVm { detail: String },
    #[error("the agent's stream is not valid: {detail}")]
    BadFrames { detail: String },
    #[error("the agent gave up: {detail}")]
    AgentRefused { detail: String },
    #[error("the guest has no network: {detail}")]
    NoNetwork { detail: String },
    #[error("no ssh session with the guest: {detail}")]
    NoSshd { detail: String },
    #[error("another host key than the guest's: {found} and not {expected}")]
    WrongHostKey { expected: String, found: String },
    #[error("the guest's sshd refused the run's key: {detail}")]
    SshRefused { detail: String },
    #[error("the ssh connection was cut in mid-test: {detail}")]
    ConnectionCut { detail: String },
    #[error("no usable init in the image: {detail}")]
    NoInit { detail: String },
    #[error("the guest wrote more than {limit_bytes} bytes to its {stream}")]
    OutputLimit { stream: String, limit_bytes: u64 },
    #[error("interrupted by {signal}")]
    Interrupted { signal: String },
    #[error("the harness failed: {detail}")]
    Harness { detail: String },
}

impl Cause {
    /// The word for reports: `panic`, `plan-mismatch` …
    pub fn kind(&self) -> String {
        let tagged = serde_json::to_value(self).ok();
        let kind = tagged.as_ref().and_then(|tagged| tagged.get("kind")?.as_str());
        kind.unwrap_or_default().to_owned()
    }

    /// The verdict that this cause stands for.
    pub fn verdict(&self) -> Verdict {
        use Cause::*;
        match self {
            Panic { .. }
            | KernelFault { .. }
            | Hang { .. }
            | Reset
            | EarlyPowerOff
            | BootHang { .. }
            | CaseFailed { .. }
            | TestTimeout { .. }
            | TestStuck { .. }
            | TestSignalled { .. }
            | ExitStatus { .. }
            | ExitFailed { .. }
            | NotWired { .. }
            | NotAbsent { .. }
            | Tainted { .. }
            | NoExec { .. }
            | AbisDiffer { .. }
            | TransportsDiffer { .. } => Verdict::Fail,
            Skipped { .. } | CasesSkipped { .. } => Verdict::Skip,
            NoCompiler { .. }
            | NoEntry { .. }
            | NoKernelAbi { .. }
            | NoLibrary { .. }
            | NoSanitizer { .. }
            | NoCommand { .. }
            | NotListed { .. }
            | NotRun { .. }
            | Budget { .. } => Verdict::Miss,
            Source { .. }
            | PatchFailed { .. }
            | ConfigDropped { .. }
            | BuildFailed { .. }
            | CompilerDied { .. }
            | SelftestBuild { .. }
            | HelperNotBuilt { .. }
            | WrongElf { .. }
            | PlanMismatch { .. }
            | ContractWrong { .. }
            | CasesBroken { .. }
            | NoReport { .. }
            | NotEntered { .. }
            | NoProof { .. }
            | Blind { .. }
            | LostBoot { .. }
            | LostVm { .. }
            | BadFrames { .. }
            | AgentRefused { .. }
            | NoNetwork { .. }
            | NoSshd { .. }
            | WrongHostKey { .. }
            | SshRefused { .. }
            | ConnectionCut { .. }
            | NoInit { .. }
            | OutputLimit { .. }
            | Interrupted { .. }
            | Harness { .. } => Verdict::Error,
        }
    }

    /// Whether the kernel is at fault by its own words, or by its silence: nothing else explains that.
    pub fn is_of_kernel(&self) -> bool {
        use Cause::*;
        matches!(
            self,
            Panic { .. }
                | KernelFault { .. }
                | Hang { .. }
                | BootHang { .. }
                | Reset
                | EarlyPowerOff
                | TestStuck { .. }
                | Tainted { .. }
        )
    }

    /// Whether the host, and not guest, kernel or inputs, kept a cell from its verdict: then the same cell
    /// in a fresh guest may come to another one. A guest that hangs is no such thing, however busy
    /// the host: time in which nobody could look does not count, and a rare hang is what is looked for.
    /// That nobody came over ssh is one, since it is told by an agent that lives.
    pub fn is_of_host(&self) -> bool {
        use Cause::*;
        match self {
            CompilerDied { .. }
            | LostBoot { .. }
            | LostVm { .. }
            | BadFrames { .. }
            | NoSshd { .. }
            | ConnectionCut { .. }
            | Harness { .. } => true,
            Panic { .. }
            | KernelFault { .. }
            | Hang { .. }
            | Reset
            | EarlyPowerOff
            | BootHang { .. }
            | CaseFailed { .. }
            | TestTimeout { .. }
            | TestStuck { .. }
            | TestSignalled { .. }
            | ExitStatus { .. }
            | ExitFailed { .. }
            | NotWired { .. }
            | NotAbsent { .. }
            | Tainted { .. }
            | NoExec { .. }
            | AbisDiffer { .. }
            | TransportsDiffer { .. }
            | Skipped { .. }
            | CasesSkipped { .. }
            | NoCompiler { .. }
            | NoEntry { .. }
            | NoKernelAbi { .. }
            | NoLibrary { .. }
            | NoSanitizer { .. }
            | NoCommand { .. }
            | NotListed { .. }
            | NotRun { .. }
            | Budget { .. }
            | Source { .. }
            | PatchFailed { .. }
            | ConfigDropped { .. }
            | BuildFailed { .. }
            | SelftestBuild { .. }
            | HelperNotBuilt { .. }
            | WrongElf { .. }
            | PlanMismatch { .. }
            | ContractWrong { .. }
            | CasesBroken { .. }
            | NoReport { .. }
            | NotEntered { .. }
            | NoProof { .. }
            | Blind { .. }
            | AgentRefused { .. }
            | NoNetwork { .. }
            | WrongHostKey { .. }
            | SshRefused { .. }
            | NoInit { .. }
            | OutputLimit { .. }
            | Interrupted { .. } => false,
        }
    }
}

/// One KTAP result line of a cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CaseResult {
    /// The program's file name and the case's, nested names joined by `/`.
    pub name: String,
    /// What it came to.
    pub verdict: Verdict,
    /// What the test said about it.
    pub message: Option<String>,
}

/// What the judge made of a cell's evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// Why it is not a pass; `None` exactly for a pass.
    pub cause: Option<Cause>,
    /// Further causes that were seen, in the order of their weight.
    pub also: Vec<Cause>,
    /// The cases of what was judged.
    pub cases: Vec<CaseResult>,
    /// What is wrong and known to be: shown, and not held against the cell.
    pub known: Vec<KnownIssue>,
}

impl Judged {
    /// A cell that never came to run.
    pub fn without_run(cause: Cause) -> Judged {
        let (verdict, cause) = (cause.verdict(), Some(cause));
        Judged { verdict, cause, also: Vec::new(), cases: Vec::new(), known: Vec::new() }
    }

    /// How many cases passed, of how many.
    pub fn passed(&self) -> (u64, u64) {
        let passed = self.cases.iter().filter(|case| case.verdict == Verdict::Pass).count();
        (passed as u64, self.cases.len() as u64)
    }
}
