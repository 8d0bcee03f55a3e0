//! What can be typed, and the exit codes.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Args, Parser, Subcommand, ValueEnum};
use harness::boot::accel::AccelChoice;
use harness::boot::gdb::Function;
use harness::boot::qemu::Accel;
use harness::model::{Abi, KernelName, Leg, OptionName, RelPath, Transport};
use harness::plan::ContractChoice;
use harness::plan::recipe::MakeVar;
use harness::report::format as report;
use harness::run::{Attempts, RetryOn};

const EXIT_CODES: &str = "\
Exit codes:
  0    every selected cell passed
  1    at least one cell failed
  2    wrong usage or input
  3    nothing failed, but something was skipped, missed or in error
  4    nothing was selected
  129  interrupted by SIGHUP
  130  interrupted by Ctrl-C (SIGINT)
  143  interrupted by SIGTERM
A cell that passed only when it was tried again (--retries) passed; with --flaky fail it failed.
With --baseline:
  0    nothing is worse than the baseline, though cells may fail, be skipped or missed as in it
  1    something is worse (see `compare --help`)
  3    nothing is worse, but a cell is in error: what it would have come to is not known";

/// Does a system call behave the same for a 64-bit, a 32-bit and an x32 program?
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build kernels with a syscall's series, run its selftest by every ABI, print the matrix
    TestSyscall(Box<TestSyscall>),
    /// Build directories of the kernel's own selftests by every ABI, run each program in a guest of its own
    TestSelftest(Box<TestSelftest>),
    /// Run what configs/nightly.yaml lists within a night's time, and compare it with the last night
    Nightly(Nightly),
    /// Hold a run against an earlier one or a baseline: what is worse, better, gone or built otherwise
    Compare(Compare),
    /// Make a baseline of a run: a small file that can be committed, for --baseline and compare
    Baseline(Baseline),
    /// Show what is needed on this machine and what of it is missing
    Doctor(Doctor),
    /// Run this project's own tests
    Test(Test),
    /// Remove what was not used for long from the cache, and the runs of that time
    Clean(Clean),
    /// List what a kernel said was wrong, from any log of its console
    ScanLog(ScanLog),
    /// Measure this tool against bare QEMU and bare make, as ratios
    Bench(Bench),
    /// Read a KTAP or TAP log, console prefixes included: its tree, totals and problems
    Ktap(Ktap),
    /// Print what a shell needs to complete this tool's words
    Completions(Completions),
    /// Write this tool's man pages into a folder
    Man(Man),
    /// Print an earlier run in any format: for people, a cover letter, CI systems, programs
    Report(Report),
    /// Judge the logs of an earlier run again by today's rules, without a guest
    Replay(Replay),
    /// Run one cell of an earlier run again, and say whether its verdict repeats
    Repro(Repro),
}

/// Options that most commands have.
#[derive(Debug, Args)]
pub struct Common {
    /// Install what is missing through apt (as root, or with sudo), and say what
    #[arg(long)]
    pub setup: bool,
    /// The folder with configs/, guest/ and kernels/ [default: this checkout]
    #[arg(long, value_name = "DIR")]
    pub project: Option<PathBuf>,
    /// Where sources, kernels and images are kept [default: $XDG_CACHE_HOME/abimatrix]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// When to use colour
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// Show more: -v every stage and note, -vv every command
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// In any case.
    Always,
    /// Not at all.
    Never,
}

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
    /// The series is in this folder of patches, or in this mbox [default: it is applied]
    #[arg(long, value_name = "DIR|MBOX", conflicts_with = "range")]
    pub patches: Option<PathBuf>,
    /// The option that switches the syscall [default: what the spec file or the tree says]
    #[arg(long, value_name = "CONFIG_X")]
    pub option: Option<OptionName>,
    /// Its tests, below tools/testing/selftests [default: what the spec file or the tree says]
    #[arg(long, value_name = "DIR")]
    pub selftest: Option<RelPath>,
    /// Only this leg (repeatable): patched, config-off, unpatched [default: the first two]
    #[arg(long, value_name = "LEG")]
    pub leg: Vec<Leg>,
    /// How guests are reached; both runs each cell twice and fails if the verdicts differ
    #[arg(long, value_name = "HOW", default_value = "serial")]
    pub transport: TransportChoice,
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
    /// Configure kernels by a profile of configs/profiles.yaml, too: `debug` has lockdep, KASAN and the like
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
    /// Deadline of one test program, in seconds [of test-selftest by default: four times what the
    /// directory's settings say]
    #[arg(long, value_name = "SECONDS", value_parser = parse_timeout)]
    pub timeout: Option<Duration>,
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

const COMPARE_HELP: &str = "\
Exit codes:
  0  nothing is worse than it was, whatever fails
  1  something is: a cell or case has a worse verdict (pass, skip, miss, error, fail: in this order),
     fails for a new cause, or is not there any more; or NEW did not come to its end
  2  wrong usage, a run or baseline that cannot be read, or runs of different syscalls or commands
Options and tools that differ are told, and are no reason for 1.";

/// `compare`.
#[derive(Debug, Args)]
#[command(after_help = COMPARE_HELP)]
pub struct Compare {
    /// What is compared with: a run's folder, its run.json, or a file of `baseline`
    #[arg(value_name = "BASE")]
    pub base: PathBuf,
    /// The run: its folder, or its run.json
    #[arg(value_name = "NEW")]
    pub new: PathBuf,
    /// How it is printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
    /// What a cell counts as that passed only when it was tried again, and did at once in BASE
    #[arg(long, value_name = "AS", default_value = "pass")]
    pub flaky: Flaky,
}

/// `baseline`.
#[derive(Debug, Args)]
pub struct Baseline {
    /// The run: its folder, or its run.json
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// The file that is made, or replaced
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
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

/// How a result is printed that is no run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// `test-selftest`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct TestSelftest {
    /// A directory below tools/testing/selftests, or `all-syscalls`: those about system calls
    #[arg(value_name = "DIR", required_unless_present = "from")]
    pub dirs: Vec<RelPath>,
    /// Run nothing: print earlier runs (their folders; repeatable, one kernel each) with today's explanations
    #[arg(long, value_name = "RUN", conflicts_with_all = ["dirs", "kernel", "tree", "abi", "list", "dry_run", "out", "retries", "repeat", "until_fail", "baseline", "shell_on_fail"])]
    pub from: Vec<PathBuf>,
    /// Build without the sanitizers that a directory's Makefile asks for
    #[arg(long)]
    pub no_sanitizers: bool,
    /// List the directories' programs, and stop
    #[arg(long)]
    pub list: bool,
    /// How the result is printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: ReportFormat,
    /// What test-syscall is told alike.
    #[command(flatten)]
    pub run: RunArgs,
}

/// How a run is told, by the names that the library has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportFormat(pub report::Format);

impl ValueEnum for ReportFormat {
    fn value_variants<'a>() -> &'a [ReportFormat] {
        const ALL: [ReportFormat; report::Format::ALL.len()] = {
            let mut all = [ReportFormat(report::Format::Text); report::Format::ALL.len()];
            let mut n = 0;
            while n < all.len() {
                all[n] = ReportFormat(report::Format::ALL[n]);
                n += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()))
    }
}

/// A report that is written when the run ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportTo {
    /// What it is.
    pub format: report::Format,
    /// Where it goes.
    pub file: PathBuf,
}

/// `report`.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 it was printed (whatever the run came to), 2 no run or no whole \
    record of one, 3 it cannot be printed")]
pub struct Report {
    /// The run: its folder, or the run.json in it [default: target/abimatrix/latest]
    #[arg(value_name = "RUN")]
    pub run: Option<PathBuf>,
    /// How it is printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: ReportFormat,
    /// What most commands have.
    #[command(flatten)]
    pub common: Common,
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

/// `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// What most commands have.
    #[command(flatten)]
    pub common: Common,
}

/// `test`.
#[derive(Debug, Args)]
pub struct Test {
    /// Only the tiers without a kernel (T0 to T2): under four minutes
    #[arg(long)]
    pub fast: bool,
    /// Prove that no test is empty: switch off the handling of each fault of docs/faults.md in turn
    #[arg(long = "break", conflicts_with = "fast")]
    pub breaks: bool,
    /// Try the seeded bugs of kernels/*/mutants instead: each has to be caught by what it names
    #[arg(long, conflicts_with_all = ["fast", "breaks"])]
    pub mutants: bool,
    /// Only those mutants whose names or syscalls contain one of these
    #[arg(value_name = "WORD", requires = "mutants")]
    pub words: Vec<String>,
    /// What most commands have.
    #[command(flatten)]
    pub common: Common,
}

/// `clean`.
#[derive(Debug, Args)]
pub struct Clean {
    /// What was not used for so many days goes
    #[arg(long, value_name = "DAYS", default_value_t = harness::limits::CLEAN_DAYS,
        value_parser = clap::value_parser!(u64).range(1..=36_500))]
    pub older_than: u64,
    /// Everything goes that no run is using
    #[arg(long, conflicts_with = "older_than")]
    pub all: bool,
    /// What most commands have.
    #[command(flatten)]
    pub common: Common,
}

/// `scan-log`.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 nothing wrong, 1 something wrong, 2 the log cannot be read")]
pub struct ScanLog {
    /// The log: of a console, of dmesg, of a system's log; - is the standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// How the findings are printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
    /// Also list what is no fault of the kernel: crashed programs, lost messages, and such
    #[arg(long)]
    pub notes: bool,
    /// Show each report with lines of the source, by the debug info of that kernel: its ELF file, not bzImage
    #[arg(long, value_name = "FILE")]
    pub vmlinux: Option<PathBuf>,
}

/// `bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// How often the warm run and the raw boots are timed
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub rounds: usize,
    /// Also time a cold kernel build against a bare make (takes minutes)
    #[arg(long)]
    pub build: bool,
    /// Only push a gigabyte of console through the scanner (needs no kernel)
    #[arg(long)]
    pub console: bool,
    /// Boot this often beside a processor burner and count the boots that were lost
    #[arg(long, value_name = "N")]
    pub boots: Option<usize>,
    /// What most commands have.
    #[command(flatten)]
    pub common: Common,
}

/// `completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
A shell completes the words of a command, and `cargo xtask` is two. So give it a name:

  alias abimatrix='cargo xtask'
  source <(cargo xtask completions bash)")]
pub struct Completions {
    /// Which shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
    /// What the tool is called in that shell
    #[arg(long, value_name = "NAME", default_value = "abimatrix")]
    pub name: String,
}

/// `man`.
#[derive(Debug, Args)]
#[command(
    after_help = "One page a command: cargo-xtask.1, cargo-xtask-test-syscall.1, … Read one by `man -l FILE`."
)]
pub struct Man {
    /// The folder; it is made if it is not there
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

const KTAP_HELP: &str = "\
Exit codes:
  0  nothing is wrong: verdict pass or skip (all skipped, or expected to fail)
  1  something is wrong: verdict fail (a case failed), or error (a plan that is not met, results
     that were lost, no results at all)
  2  wrong usage, or a file that cannot be read

With --format json, one object: `verdict`; `totals` (`pass`, `fail`, `skip`, `xfail`, counting
leaves); `problems`, each with `line`, `kind`, `text`, `accepted`, and what its kind has to add;
`cases`, the leaves in the order of the log, each with `name` (from the outermost down, joined
by `/`), `verdict`, `status` (ok, not-ok, skip, todo, xfail, xpass, timeout, error, missing),
`line`, `message` (or null); `skipped`, the reason of `1..0 # SKIP` (or null).

A log is judged by what KTAP and TAP allow: a missing plan is listed, and accepted. A cell of
test-syscall has to have one.";

/// `ktap`.
#[derive(Debug, Args)]
#[command(after_help = KTAP_HELP)]
pub struct Ktap {
    /// The log, or - for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// How it is printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// `replay`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 everything is judged as it was, 1 something is not, 2 the run cannot be read or its logs
are not what it wrote

What was expected of a cell, known issues included, is what was expected then: today's are the rules.")]
pub struct Replay {
    /// The run: its folder, or `latest`
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Only this cell, by its name as it is printed, its folder's name, or words that only it has [default: all]
    #[arg(value_name = "CELL")]
    pub cell: Vec<String>,
    /// The folder with configs/, guest/ and kernels/, below which `latest` lies [default: this checkout]
    #[arg(long, value_name = "DIR")]
    pub project: Option<PathBuf>,
}

/// `repro`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("debugger").args(["gdb", "gdb_script"]).multiple(true)))]
#[command(after_help = "\
Exit codes: 0 the verdict repeats, every time (--until-fail: it passed every time), 1 it does not, 2 wrong
usage or input, 3 it could not be tried; 129, 130 and 143 as of the other commands

The same means: verdict, cause and each case's verdict are those of the run.")]
pub struct Repro {
    /// The run: its folder, or `latest`
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// The cell, by its name as it is printed (linux-6.12 patched m32), its folder's name, or words that only
    /// it has (m32) [default: the first that did not pass]
    #[arg(value_name = "CELL")]
    pub cell: Vec<String>,
    /// So many times, one after another
    #[arg(long, value_name = "N", default_value_t = 1, hide_default_value = true,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(harness::limits::REPRO_TIMES)))]
    pub times: u32,
    /// Until it does not pass, as often as --times says at most [default: 1000]
    #[arg(long)]
    pub until_fail: bool,
    /// Look at this case alone; the whole program is run nevertheless
    #[arg(long, value_name = "NAME")]
    pub case: Option<String>,
    /// Run nothing: write the cell to this file (tar.zst), which runs it where there is QEMU and a shell
    #[arg(long, value_name = "FILE", conflicts_with_all = ["times", "until_fail", "case"])]
    pub bundle: Option<PathBuf>,
    /// Judge nothing: its machine with a shell on this terminal
    #[arg(long, conflicts_with_all = ["times", "until_fail", "case", "bundle"])]
    pub shell: bool,
    /// Judge nothing: its machine under gdb, stopped at the call's entry for that ABI, or where a kselftest's
    /// program begins; the kernel is compiled once more for it, with debug info
    #[arg(long, conflicts_with_all = ["times", "until_fail", "case", "bundle", "shell"])]
    pub gdb: bool,
    /// The same without a terminal: gdb does what this file says, and ends
    #[arg(long, value_name = "FILE", conflicts_with_all = ["times", "until_fail", "case", "bundle", "shell"])]
    pub gdb_script: Option<PathBuf>,
    /// With gdb: stop in this function, too, of the kernel or of the program (repeatable), once the cell's
    /// program has begun
    #[arg(long = "break", value_name = "FUNC", requires = "debugger")]
    pub breaks: Vec<Function>,
    /// What most commands have.
    #[command(flatten)]
    pub common: Common,
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

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Every selected cell passed.
    Passed,
    /// At least one failed.
    Failed,
    /// Wrong usage or input.
    Usage,
    /// Nothing failed, but something was skipped, missed or in error.
    Incomplete,
    /// Nothing was selected.
    Nothing,
    /// The user ended it, by this signal.
    Interrupted(&'static str),
}

impl Exit {
    /// Whether a cell of a run that ended so is one for `--shell-on-fail`.
    pub fn asks_for_a_look(self) -> bool {
        matches!(self, Exit::Failed | Exit::Incomplete)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Passed => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Incomplete => 3,
            Exit::Nothing => 4,
            Exit::Interrupted("SIGHUP") => 129,
            Exit::Interrupted("SIGTERM") => 143,
            Exit::Interrupted(_) => 130,
        })
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Exit::Passed => "passed",
            Exit::Failed => "failed",
            Exit::Usage => "wrong usage or input",
            Exit::Incomplete => "incomplete",
            Exit::Nothing => "nothing was selected",
            Exit::Interrupted(_) => "interrupted",
        })
    }
}

impl std::error::Error for Exit {}
