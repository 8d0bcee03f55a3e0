//! The commands for runs that are over: `report`, `compare`, `baseline`, `replay`, `repro`.

use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use harness::boot::gdb::Function;
use harness::report::format as report;

use super::{Common, Flaky, Format};

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
