//! The commands about the tool and the machine itself.

use std::path::PathBuf;

use clap::Args;

use super::Common;

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
    /// Minutes after which no test on real kernels begins that may wait: those are skipped, by name
    #[arg(long, value_name = "MINUTES", conflicts_with_all = ["fast", "breaks", "mutants"], value_parser = clap::value_parser!(u64).range(0..=harness::limits::NIGHT_MINUTES))]
    pub within: Option<u64>,
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
