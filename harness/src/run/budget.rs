//! The time that a run may take, as a night has it: what has not begun when it is over is left out.

use std::time::{Duration, Instant};

use crate::broken::broken;
use crate::model::Cause;

/// How long a run may go on beginning things. A guest that runs and a kernel that is being compiled
/// come to their ends, so that a run is late by no more than the longer of both.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// From here on nothing begins.
    pub until: Instant,
    /// The time that all of the night had, for the reader.
    pub whole: Duration,
}

impl Budget {
    /// Whether the time is over.
    pub fn is_spent(&self) -> bool {
        Instant::now() >= self.until && !broken("budget")
    }

    /// Why a cell was left out.
    pub fn cause(&self) -> Cause {
        Cause::Budget { minutes: self.whole.as_secs() / 60 }
    }
}
