//! Printing to streams that may be closed or full: the macros for it panic there.

use std::fmt::Display;
use std::io::Write;

use anyhow::{Context, Result};

use crate::cli::Exit;

/// Prints a result. Who asked for it and does not get it has to be told by the exit code.
pub fn result(text: impl Display) -> Result<()> {
    let mut out = anstream::stdout().lock();
    let printed = writeln!(out, "{text}").and_then(|()| out.flush());
    printed.context("cannot print the result").context(Exit::Incomplete)
}

/// Says something beside the result. That nobody can read it is no reason to end a run.
pub fn aside(text: impl Display) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Prints a listing, whose meaning is in the exit code too: who closes the pipe has read enough.
pub fn listing(text: &str) -> Result<()> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed.context("cannot print the result").context(Exit::Incomplete),
    }
}
