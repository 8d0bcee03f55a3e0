//! Words for what a program did and said, short and safe to print.

use crate::judge::watch::RunEvidence;
use crate::judge::{console, ktap};
use crate::model::Outcome;

pub(in crate::judge) fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let joined: String = lines.collect::<Vec<_>>().join("; ").chars().take(200).collect();
    console::sanitize(joined.as_bytes())
}

pub(in crate::judge) fn in_words(outcome: Outcome) -> String {
    match outcome {
        Outcome::Exit { code } => format!("exited with status {code}"),
        Outcome::Signal { signal } => format!("killed by {}", signal_name(signal)),
        Outcome::Timeout { .. } => "did not end in time".to_owned(),
        Outcome::NoExec { errno } => format!("could not be executed (errno {errno})"),
        Outcome::Stuck => "could not be killed".to_owned(),
        Outcome::Untraced { errno } => format!("could not be traced (errno {errno})"),
    }
}

/// A signal's name, for the numbers of x86.
pub fn signal_name(signal: u8) -> &'static str {
    const NAMES: [&str; 32] = [
        "?",
        "SIGHUP",
        "SIGINT",
        "SIGQUIT",
        "SIGILL",
        "SIGTRAP",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGKILL",
        "SIGUSR1",
        "SIGSEGV",
        "SIGUSR2",
        "SIGPIPE",
        "SIGALRM",
        "SIGTERM",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGCONT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGXCPU",
        "SIGXFSZ",
        "SIGVTALRM",
        "SIGPROF",
        "SIGWINCH",
        "SIGIO",
        "SIGPWR",
        "SIGSYS: a bad system call",
    ];
    NAMES.get(usize::from(signal)).copied().unwrap_or("a real-time signal")
}

pub(in crate::judge) fn incomplete(report: &ktap::Report, run: &RunEvidence) -> String {
    if let Some(reason) = &report.bail {
        return format!("it bailed out: {}", one_line(reason));
    }
    if report.cases.is_empty() && report.plan.is_none() {
        let said = console::tail(&[&run.stdout[..], &run.stderr[..]].concat(), 1).join("");
        return if said.is_empty() { "it said nothing".to_owned() } else { format!("it said only {said:?}") };
    }
    let fatal = report.problems.iter().filter(|problem| problem.is_fatal());
    fatal.map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
