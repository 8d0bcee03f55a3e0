//! What can be typed, and the exit codes.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod house;
mod logs;
mod run;
mod stored;

pub use house::{Bench, Clean, Completions, Doctor, Man, Test};
pub use logs::{Ktap, ScanLog};
pub use run::{Again, Flaky, Gate, Kernels, Nightly, RunArgs, TestSelftest, TestSyscall, TransportChoice};
pub use stored::{Baseline, Compare, Replay, Report, ReportFormat, ReportTo, Repro};

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

/// How a result is printed that is no run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
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
