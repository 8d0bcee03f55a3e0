//! The vocabulary of `docs`, README and reports as types: names, ABI, leg, cell.
//!
//! A value of one of these types has been checked once, at the edge; nothing further in looks at
//! it again. Knows no file, process or clock.

mod abi;
mod contract;
mod events;
mod explanation;
mod known;
mod message;
mod mutant;
mod names;
mod transport;
mod verdict;

pub use abi::{Abi, Door, Leg};
pub use contract::{NotApplicable, PlannedCase};
pub use events::{Events, Progress, RunEvent, Stage};
pub use explanation::{Doing, Explanation};
pub use known::{Date, KnownIssue, NoDate, Symptom};
pub use message::*;
pub use mutant::{Mutant, MutantError, Seen};
pub use names::{CellId, KernelName, NameError, OptionName, ProgramId, RelPath, SyscallName, Tests};
pub use transport::Transport;
pub use verdict::{CaseResult, Cause, FaultSummary, Judged, Verdict};
