//! The commands that run guests: `test-syscall`, `test-selftest`, `nightly`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use harness::boot::accel::AccelChoice;
use harness::boot::qemu::Accel;
use harness::model::{Abi, KernelName, Leg, OptionName, RelPath, Tests, Transport};
use harness::plan::ContractChoice;
use harness::plan::recipe::MakeVar;
use harness::run::{Attempts, RetryOn};

use super::{Common, EXIT_CODES, ReportFormat, ReportTo};

/// `test-syscall`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct TestSyscall {
    /// The syscall, by its name in the tables
    #[arg(value_name = "SYSCALL")]
    pub syscall: String,
    /// The series is these commits of the tree (BASE..HEAD), and BASE the kernel [default: it is applied]
    #[arg(long, value_name = "BASE..HEAD", requires = "tree")]
    pub range: Option<String>,
    /// The series is in this folder of patches, or in this mbox or diff [default: it is applied]
    #[arg(long, value_name = "DIR|FILE", conflicts_with = "range")]
    pub patches: Option<PathBuf>,
    /// The option that switches the syscall [default: what the spec file or the tree says]
    #[arg(long, value_name = "CONFIG_X")]
    pub option: Option<OptionName>,
    /// Its tests: a directory below tools/testing/selftests, or one program that this builds, as
    /// mm:mseal_test [default: what the spec file or the tree says]
    #[arg(long, value_name = "DIR[:PROGRAM]")]
    pub selftest: Option<Tests>,
    /// Take the exit status of a test of --tree that reports no cases, as the kselftest runner does: where
    /// the tree has the call already, nobody knows which tests are new and have to report
    #[arg(long, requires = "tree")]
    pub exit_status: bool,
    /// Only this leg (repeatable): patched, config-off, unpatched [default: the first two]
    #[arg(long, value_name = "LEG")]
    pub leg: Vec<Leg>,
    /// Try what the call's contract promises (guest/selftests/NAME/spec.yaml): --contract, or
    /// --contract=only for that alone, or --contract=no [default: where it has one]
    #[arg(
        long, value_name = "HOW", num_args = 0..=1, require_equals = true,
        default_value = "if-any", default_missing_value = "yes", hide_default_value = true
    )]
    pub contract: Contract,
    /// How the result is printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: ReportFormat,
    /// Configure kernels by a profile of configs/profiles.yaml, too: `debug` (lockdep, KASAN), `leaks`, `kmsan`
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Apply every series that stands on this one, too: one kernel then serves the whole stack
    #[arg(long, conflicts_with_all = ["tree", "patches"])]
    pub stacked: bool,
    /// Apply this patch after the series (repeatable; for trying out a mutation)
    #[arg(long, value_name = "PATCH")]
    pub extra_patch: Vec<PathBuf>,
    /// What test-selftest is told alike.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What both commands that run guests are told alike.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Whose kernel, and how it is built.
    #[command(flatten)]
    pub kernels: Kernels,
    /// Only this ABI (repeatable): m64, m32, mx32
    #[arg(long, value_name = "ABI")]
    pub abi: Vec<Abi>,
    /// Guests at once [default: the number of processors]
    #[arg(short, long, value_name = "N", value_parser = parse_jobs)]
    pub jobs: Option<usize>,
    /// Deadline of one test program, in seconds [of tests that a tree has had by default: four times what
    /// the directory's settings say, under TCG]
    #[arg(long, value_name = "SECONDS", value_parser = parse_timeout)]
    pub timeout: Option<Duration>,
    /// How guests are reached; both runs each cell twice and fails if the verdicts differ (what the host
    /// kept from one, as a lost boot, is that cell's error)
    #[arg(long, value_name = "HOW", default_value = "serial")]
    pub transport: TransportChoice,
    /// How guests are run: auto takes KVM only after a guest has really run under it
    #[arg(long, value_name = "HOW", default_value = "auto", value_parser = parse_accel)]
    pub accel: AccelChoice,
    /// Where logs and run.json go [default: a new folder below target/abimatrix]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Write a report when the run ends, or is ended (repeatable); the formats are those of `report`
    #[arg(long, value_name = "FORMAT=FILE", value_parser = crate::report::parse_to)]
    pub report: Vec<ReportTo>,
    /// After the run: a shell in the first cell that did not pass, if there is a terminal
    #[arg(long)]
    pub shell_on_fail: bool,
    /// Print what would be done, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// More than one attempt, and what the run is held against.
    #[command(flatten)]
    pub again: Again,
    /// What most commands have.
    #[command(flatten)]
    pub common: Common,
}

/// How often a cell is run, and what a run is held against.
#[derive(Debug, Args)]
#[command(next_help_heading = "More than once, and against an earlier run")]
pub struct Again {
    /// Run a cell up to so many times more, in a fresh guest, if it does not pass
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with_all = ["repeat", "until_fail"],
        value_parser = clap::value_parser!(u32).range(0..=i64::from(harness::limits::RETRIES_MAX)))]
    pub retries: u32,
    /// What is tried again: what the host kept from its verdict (a lost QEMU, a cut connection), or
    /// whatever does not pass
    #[arg(long, value_name = "WHAT", default_value = "host")]
    pub retry_on: RetryOnWord,
    /// What a cell counts as that passed only when it was tried again
    #[arg(long, value_name = "AS", default_value = "pass")]
    pub flaky: Flaky,
    /// Run each cell so many times, each of which has to pass
    #[arg(long, value_name = "N", conflicts_with = "until_fail",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(harness::limits::ATTEMPTS_MAX)))]
    pub repeat: Option<u32>,
    /// Run the cells again until one does not pass (a thousand times at most)
    #[arg(long)]
    pub until_fail: bool,
    /// Hold the run against this one, or this file of `baseline`; the exit code is then the comparison's
    #[arg(long, value_name = "RUN|FILE")]
    pub baseline: Option<PathBuf>,
}

impl Again {
    /// How often each cell is run.
    pub fn attempts(&self) -> Attempts {
        match self.repeat {
            Some(times) => Attempts::Repeat(times),
            None if self.until_fail => Attempts::UntilFail,
            None => Attempts::Retries(
                self.retries,
                match self.retry_on {
                    RetryOnWord::Host => RetryOn::Host,
                    RetryOnWord::Any => RetryOn::Any,
                },
            ),
        }
    }
}

/// `--retry-on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RetryOnWord {
    /// What the host kept from its verdict.
    Host,
    /// Whatever does not pass.
    Any,
}

/// `--flaky`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Flaky {
    /// It passed.
    Pass,
    /// It failed.
    Fail,
}

/// How guests are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TransportChoice {
    /// By a virtio-serial port.
    Serial,
    /// By a network card and an ssh session.
    Ssh,
    /// By either, one after the other.
    Both,
}

impl TransportChoice {
    /// In the order in which a cell runs over them.
    pub fn transports(self) -> Vec<Transport> {
        match self {
            TransportChoice::Serial => vec![Transport::Serial],
            TransportChoice::Ssh => vec![Transport::Ssh],
            TransportChoice::Both => vec![Transport::Serial, Transport::Ssh],
        }
    }
}

/// `--contract`, by the words that the plan has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contract(pub ContractChoice);

impl ValueEnum for Contract {
    fn value_variants<'a>() -> &'a [Contract] {
        const ALL: [Contract; 4] = [
            Contract(ContractChoice::IfAny),
            Contract(ContractChoice::Yes),
            Contract(ContractChoice::Only),
            Contract(ContractChoice::No),
        ];
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let word = ContractChoice::WORDS.iter().find(|(choice, _)| *choice == self.0);
        word.map(|(_, word)| PossibleValue::new(*word))
    }
}

/// Which kernels, and how they are configured and compiled.
#[derive(Debug, Args)]
#[command(next_help_heading = "The kernel")]
pub struct Kernels {
    /// Only this kernel (repeatable) [default: the newest; of test-syscall, that has a series for it]
    #[arg(long, value_name = "NAME")]
    pub kernel: Vec<KernelName>,
    /// Your own kernel tree, as it is; it is never written to
    #[arg(long, value_name = "DIR", conflicts_with = "kernel")]
    pub tree: Option<PathBuf>,
    /// A fragment merged into the configuration; ours give way to it (repeatable)
    #[arg(long, value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// One line of such a fragment (repeatable)
    #[arg(long, value_name = "CONFIG_X=y")]
    pub config_item: Vec<String>,
    /// What fragments are merged onto: defconfig, kvm_guest, or a whole .config [default: allnoconfig]
    #[arg(long, value_name = "FILE|defconfig|kvm_guest")]
    pub base_config: Option<PathBuf>,
    /// A variable for the kernel's make, such as LLVM=1 or CC=clang-14 (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    pub make: Vec<MakeVar>,
    /// Compile in this folder, a new one or one from an earlier run [default: in the cache]
    #[arg(short = 'O', value_name = "DIR")]
    pub build_folder: Option<PathBuf>,
}

/// `test-selftest`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct TestSelftest {
    /// A directory below tools/testing/selftests, or `all-syscalls`: those about system calls
    #[arg(value_name = "DIR", required_unless_present_any = ["from", "list"])]
    pub dirs: Vec<RelPath>,
    /// Run nothing: print earlier runs (their folders; repeatable, one kernel each) with today's explanations
    #[arg(long, value_name = "RUN", conflicts_with_all = ["dirs", "kernel", "tree", "abi", "transport", "list", "dry_run", "out", "retries", "repeat", "until_fail", "baseline", "shell_on_fail"])]
    pub from: Vec<PathBuf>,
    /// Build without the sanitizers that a directory's Makefile asks for
    #[arg(long)]
    pub no_sanitizers: bool,
    /// List the directories' programs, or without DIR the directories, and stop
    #[arg(long)]
    pub list: bool,
    /// How the result is printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: ReportFormat,
    /// What test-syscall is told alike.
    #[command(flatten)]
    pub run: RunArgs,
}

const NIGHTLY_HELP: &str = "\
Exit codes:
  0  every job passed; with --gate regressions: nothing is worse than it was
  1  a kernel or a call was found wrong, or a seeded bug was not seen; with --gate regressions:
     something is worse than it was in the last night that has it
  2  wrong usage, or a file that cannot be read
  3  nothing failed, but something was skipped, missed, left out or in error
  129, 130, 143  interrupted: night.json and the page have what was done";

/// `nightly`.
#[derive(Debug, Args)]
#[command(after_help = NIGHTLY_HELP)]
pub struct Nightly {
    /// What a night runs [default: configs/nightly.yaml]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Minutes after which nothing begins any more [default: what the file says]
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u64).range(0..=harness::limits::NIGHT_MINUTES))]
    pub budget: Option<u64>,
    /// Only the jobs whose names contain one of these
    #[arg(value_name = "WORD")]
    pub words: Vec<String>,
    /// What the exit code is about
    #[arg(long, value_name = "WHAT", default_value = "all")]
    pub gate: Gate,
    /// Where nights have their folders [default: target/abimatrix/nights]
    #[arg(long, value_name = "DIR")]
    pub nights: Option<PathBuf>,
    /// Also put the page and each run's report into this folder, as HTML, Markdown and JUnit
    #[arg(long, value_name = "DIR")]
    pub reports: Option<PathBuf>,
    /// Print the jobs as the commands that they are, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// What most commands have.
    #[command(flatten)]
    pub common: Common,
}

/// What the exit code of a night is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Gate {
    /// Every verdict.
    All,
    /// Only what became worse since the last night.
    Regressions,
}

fn parse_jobs(text: &str) -> Result<usize, String> {
    let max = harness::limits::JOBS_MAX;
    match text.parse() {
        Ok(n) if (1..=max).contains(&n) => Ok(n),
        _ => Err(format!("a number from 1 to {max}")),
    }
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    let max = harness::limits::TEST_DEADLINE_MAX.as_secs();
    match text.trim_end_matches('s').parse() {
        Ok(n) if (1..=max).contains(&n) => Ok(Duration::from_secs(n)),
        _ => Err(format!("a number of seconds from 1 to {max}")),
    }
}

fn parse_accel(text: &str) -> Result<AccelChoice, String> {
    match text {
        "auto" => Ok(AccelChoice::Auto),
        "kvm" => Ok(AccelChoice::Only(Accel::Kvm)),
        "tcg" => Ok(AccelChoice::Only(Accel::Tcg)),
        _ => Err("auto, kvm or tcg".to_owned()),
    }
}
