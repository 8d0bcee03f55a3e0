//! What the library tells whoever shows progress. The library itself prints nothing.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::Verdict;

/// A step of the job that may take long enough to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// A user's tree is looked through.
    Read,
    /// A source tree is unpacked.
    Unpack,
    /// A series is applied.
    Patch,
    /// The kernel is configured.
    Configure,
    /// The kernel is compiled.
    Compile,
    /// The UAPI headers and the selftest are built for the ABIs.
    Selftest,
    /// The accelerator is tried.
    Probe,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Stage::Read => "read",
            Stage::Unpack => "unpack",
            Stage::Patch => "patch",
            Stage::Configure => "configure",
            Stage::Compile => "compile",
            Stage::Selftest => "selftests",
            Stage::Probe => "probe",
        })
    }
}

/// How far a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Units done (objects, files).
    pub done: u64,
    /// Units expected, where somebody knows.
    pub total: Option<u64>,
}

/// One thing worth showing.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "fields are what their names say")]
pub enum RunEvent {
    /// A stage begins; `what` names the kernel and leg or the ABI.
    StageStarted { stage: Stage, what: String },
    /// It has come so far.
    StageProgress { stage: Stage, what: String, progress: Progress },
    /// It is over; `cached` when nothing had to be done.
    StageEnded { stage: Stage, what: String, cached: bool, ok: bool, elapsed: Duration },
    /// Something is not as usual and the user should know (a rebuilt cache entry, a lost lock).
    Note(String),
    /// A command is about to run (shown with `-v`).
    Command(String),
    /// A guest is booted.
    CellStarted(String),
    /// One of several attempts at a cell is over; `again` if another one follows.
    CellAttempt { cell: String, number: u32, again: bool, verdict: Verdict, text: String },
    /// A cell has its verdict.
    CellEnded { cell: String, verdict: Verdict, passed: u64, total: u64, text: String, elapsed: Duration },
}

/// Where events go.
#[derive(Clone)]
pub struct Events(Rc<dyn Fn(RunEvent)>);

impl Events {
    /// Sends every event to `sink`, on the thread that has them.
    pub fn new(sink: impl Fn(RunEvent) + 'static) -> Events {
        Events(Rc::new(sink))
    }

    /// Drops every event.
    pub fn silent() -> Events {
        Events::new(|_| ())
    }

    /// Tells one event.
    pub fn send(&self, event: RunEvent) {
        (self.0)(event);
    }

    /// Tells a note.
    pub fn note(&self, text: impl Into<String>) {
        self.send(RunEvent::Note(text.into()));
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}
