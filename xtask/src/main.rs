//! `cargo xtask`: the command line of abimatrix.
//!
//! The only place that prints, reads the environment, or picks an exit code. What is decided,
//! built, booted and judged is the `harness` crate's.

mod bench;
mod breaks;
mod cargo;
mod clean;
mod cli;
mod compare;
mod debug;
mod doctor;
mod formats;
mod ktap;
mod manual;
mod mutants;
mod nightly;
mod progress;
mod recipe;
mod replay;
mod report;
mod repro;
mod runs;
mod say;
mod scan_log;
mod session;
mod setup;
mod shell;
mod terminal;
mod test;
mod test_selftest;
mod test_syscall;
mod with_ssh;

use std::process::ExitCode;

use clap::Parser;
use harness::judge::console::sanitize_lines;

fn main() -> ExitCode {
    // Started by ourselves, to clean up if we are killed: see harness::process::guard.
    if std::env::args_os().nth(1).is_some_and(|arg| arg == harness::process::guard::GUARD_ARG) {
        harness::process::guard::main(std::io::stdin());
        return ExitCode::SUCCESS;
    }
    let cli = cli::Cli::parse();
    let ended = match &cli.command {
        command if with_ssh::is_needed(command) => with_ssh::run(command),
        cli::Command::TestSyscall(args) => test_syscall::run(args),
        cli::Command::TestSelftest(args) => test_selftest::run(args),
        cli::Command::Nightly(args) => nightly::run(args),
        cli::Command::Compare(args) => compare::run(args),
        cli::Command::Baseline(args) => compare::write_baseline(args),
        cli::Command::Doctor(args) => doctor::run(args),
        cli::Command::Test(args) => test::run(args),
        cli::Command::Clean(args) => clean::run(args),
        cli::Command::ScanLog(args) => scan_log::run(args),
        cli::Command::Bench(args) => bench::run(args),
        cli::Command::Ktap(args) => ktap::run(args),
        cli::Command::Completions(args) => manual::completions(args),
        cli::Command::Man(args) => manual::pages(args),
        cli::Command::Report(args) => report::run(args),
        cli::Command::Replay(args) => replay::run(args),
        cli::Command::Repro(args) => repro::run(args),
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(error) => {
            let exit = error.downcast_ref::<cli::Exit>().copied();
            // An exit code that travels with an error is not a part of its words.
            let words = error.chain().skip(usize::from(exit.is_some())).map(ToString::to_string);
            let words = sanitize_lines(&words.collect::<Vec<_>>().join(": "));
            say::aside(format_args!("error: {words}"));
            exit.unwrap_or(cli::Exit::Usage).into()
        }
    }
}
