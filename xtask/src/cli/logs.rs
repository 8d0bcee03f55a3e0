//! The commands for logs of any kernel: `scan-log`, `ktap`.

use std::path::PathBuf;

use clap::Args;

use super::Format;

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
