//! How often a cell is run: once, again where it did not pass, or until it does not.
//!
//! Each attempt has a fresh guest and a folder of its own, and takes its turn behind the other cells.
//! What was not built is not tried again: a compiler is not asked twice.

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Budget;
use crate::broken::broken;
use crate::limits;
use crate::model::{Cause, RunEvent, Verdict};
use crate::process::{Ctx, StopLevel};
use crate::report::attempts::{AttemptRecord, Attempted, decide};

/// How often each cell is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempts {
    /// Once, and up to so many times more while it does not pass for such a cause.
    Retries(u32, RetryOn),
    /// So many times, each of which has to pass.
    Repeat(u32),
    /// Until a cell of the run does not pass, but [`limits::ATTEMPTS_MAX`] times at most.
    UntilFail,
}

/// What is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryOn {
    /// What the host kept from its verdict: see [`Cause::is_of_host`].
    Host,
    /// Whatever is no pass.
    Any,
}

impl Attempts {
    /// As long as nobody asks for more.
    pub const ONE: Attempts = Attempts::Retries(0, RetryOn::Host);

    /// Whether a cell may take more than one.
    fn may_be_many(self) -> bool {
        !matches!(self, Attempts::Retries(0, _) | Attempts::Repeat(1))
    }

    /// Whether another one follows, after `done` of which this was the last.
    fn goes_on(self, done: u32, last: &AttemptRecord) -> bool {
        let passed = last.verdict == Verdict::Pass;
        match self {
            Attempts::Retries(..) if passed || broken("retry") => false,
            Attempts::Retries(most, RetryOn::Host) => done <= most && last.is_of_host(),
            Attempts::Retries(most, RetryOn::Any) => done <= most,
            Attempts::Repeat(times) => done < times,
            Attempts::UntilFail => passed && done < limits::ATTEMPTS_MAX,
        }
    }
}

/// The attempts of all cells of a run.
pub(super) struct Trials {
    attempts: Attempts,
    budget: Option<Budget>,
    /// Whether a cell did not pass: then nothing more has to be waited for until one fails.
    failed: Cell<bool>,
}

impl Trials {
    pub(super) fn new(attempts: Attempts, budget: Option<Budget>) -> Trials {
        Trials { attempts, budget, failed: Cell::new(false) }
    }

    /// Runs a cell by `once` in its folder, as often as it takes, and says how long that took without the
    /// waiting for its turns; none if it never came to run. `cut` is the cell as it is if it was to run once more and the user ended the run before.
    pub(super) async fn run<C: Attempted>(
        &self,
        (ctx, machine): (&Ctx, &Semaphore),
        (name, folder): (&str, &Path),
        once: impl AsyncFn(&Path) -> Option<C>,
        cut: impl Fn(Cause) -> C,
    ) -> Option<(C, Duration)> {
        let mut cells = Vec::new();
        let mut took = Duration::ZERO;
        let mut goes_on = true;
        while goes_on {
            let number = cells.len() as u32 + 1;
            // In turns: while one cell waits to fail, the others are tried as often.
            let Ok(_turn) = machine.acquire().await else { break };
            if ctx.stop.level() != StopLevel::Run || self.budget.is_some_and(|budget| budget.is_spent()) {
                break;
            }
            if self.attempts == Attempts::UntilFail && number > 1 && self.failed.get() {
                goes_on = false;
                break;
            }
            if number == 1 {
                ctx.events.send(RunEvent::CellStarted(name.to_owned()));
            }
            let many = self.attempts.may_be_many();
            let of_this = if many { folder.join(format!("try.{number}")) } else { folder.to_owned() };
            let begun = Instant::now();
            let Some(cell) = once(&of_this).await else { break };
            took += begun.elapsed();
            let last = cell.attempt();
            goes_on = self.attempts.goes_on(number, &last);
            if last.verdict != Verdict::Pass {
                self.failed.set(true);
            }
            if goes_on || number > 1 {
                let text = last.cause.map(|cause| cause.text).unwrap_or_default();
                let (cell, verdict) = (name.to_owned(), last.verdict);
                ctx.events.send(RunEvent::CellAttempt { cell, number, again: goes_on, verdict, text });
            }
            cells.push(cell);
        }
        let retried = matches!(self.attempts, Attempts::Retries(..));
        let passed = cells.last().is_some_and(|last: &C| last.attempt().verdict == Verdict::Pass);
        if goes_on && !retried && passed && !broken("cut-short") {
            // Fewer passes than were asked for are no pass.
            cells.push(cut(match (ctx.stop.level(), self.budget) {
                (StopLevel::Run, Some(budget)) => budget.cause(),
                (level, _) => Cause::Interrupted { signal: level.signal().to_owned() },
            }));
        }
        Some((decide(cells, retried)?, took))
    }
}

#[cfg(test)]
mod tests;
