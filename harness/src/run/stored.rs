//! A run that lies on disk: its record, and of each cell what it takes to judge it or run it again.

use std::path::{Path, PathBuf};

use super::WorkOrder;
use crate::boot::journal::{self, JournalError};
use crate::boot::vm::log;
use crate::judge::watch::Evidence;
use crate::limits;
use crate::model::{CaseResult, Transport, Verdict};
use crate::report::kselftest::ProgramRecord;
use crate::report::record::{CauseRecord, CellRecord, FindingRecord, State};
use crate::report::sealed::{AnyRun, ReadError};

/// Why an earlier run, or a cell of it, is of no use.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields mean")]
pub enum StoredError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("no cell of the run is called `{asked}`; {it_has}")]
    NoCell { asked: String, it_has: String },
    #[error("`{asked}` are several cells: name one of them\n  {}", .cells.join("\n  "))]
    Several { asked: String, cells: Vec<String> },
    #[error("every cell of the run passed: name one of them\n  {}", .cells.join("\n  "))]
    AllPassed { cells: Vec<String> },
    #[error("{cell}: no guest of it ever ran ({why}): there is nothing to run or judge again")]
    NeverRan { cell: String, why: String },
    #[error("{cell}: its {name} cannot be read: {error}")]
    Log { cell: String, name: &'static str, error: std::io::Error },
    #[error("{cell}: its journal {error}")]
    Journal { cell: String, error: JournalError },
    #[error("{cell}: {what}: take the original, or make the run again")]
    Image { cell: String, what: String },
    #[error("{cell}: {what}")]
    Kind { cell: String, what: &'static str },
    #[error("{cell}: it has no case `{asked}`, but\n  {}", .cases.join("\n  "))]
    NoCase { cell: String, asked: String, cases: Vec<String> },
}

/// A run.
#[derive(Debug)]
pub struct StoredRun {
    /// Its folder, where it lies now.
    pub folder: PathBuf,
    /// What it found out.
    pub record: AnyRun,
}

/// A cell's record, of either kind.
#[derive(Debug, Clone, PartialEq)]
pub enum AnyCell {
    /// Of `test-syscall`.
    Syscall(Box<CellRecord>),
    /// Of `test-selftest`.
    Kselftest(Box<ProgramRecord>),
}

/// One guest of a cell: there are two where it went over both transports.
#[derive(Debug, Clone)]
pub struct Part {
    /// How the agent was reached.
    pub transport: Transport,
    /// The folder with its logs.
    pub logs: PathBuf,
    /// What it was asked, with the images where they lie now.
    pub order: WorkOrder,
}

/// A cell and its guests.
#[derive(Debug, Clone)]
pub struct StoredCell {
    /// What the run wrote down.
    pub record: AnyCell,
    /// Its guests; none if it never ran.
    pub parts: Vec<Part>,
}

impl AnyCell {
    /// As it is printed.
    pub fn name(&self) -> String {
        match self {
            AnyCell::Syscall(cell) => cell.id().to_string(),
            AnyCell::Kselftest(cell) => cell.id().to_string(),
        }
    }

    /// As its folder is called.
    pub fn slug(&self) -> String {
        match self {
            AnyCell::Syscall(cell) => cell.id().slug(),
            AnyCell::Kselftest(cell) => cell.id().slug(),
        }
    }

    /// What it came to.
    pub fn verdict(&self) -> Verdict {
        match self {
            AnyCell::Syscall(cell) => cell.verdict,
            AnyCell::Kselftest(cell) => cell.verdict,
        }
    }

    /// Why it is not a pass.
    pub fn cause(&self) -> Option<&CauseRecord> {
        match self {
            AnyCell::Syscall(cell) => cell.cause.as_ref(),
            AnyCell::Kselftest(cell) => cell.cause.as_ref(),
        }
    }

    /// What else was seen.
    pub fn also(&self) -> &[CauseRecord] {
        match self {
            AnyCell::Syscall(cell) => &cell.also,
            AnyCell::Kselftest(cell) => &cell.also,
        }
    }

    /// Its cases.
    pub fn cases(&self) -> &[CaseResult] {
        match self {
            AnyCell::Syscall(cell) => &cell.cases,
            AnyCell::Kselftest(cell) => &cell.cases,
        }
    }

    /// What the kernel said was wrong.
    pub fn findings(&self) -> &[FindingRecord] {
        match self {
            AnyCell::Syscall(cell) => &cell.findings,
            AnyCell::Kselftest(cell) => &cell.findings,
        }
    }

    /// The case of this name.
    pub fn case(&self, name: &str) -> Option<&CaseResult> {
        self.cases().iter().find(|case| case.name == name)
    }

    /// `fail: not wired: number 463 …`, `pass 19/19`.
    pub fn in_words(&self) -> String {
        let passed = self.cases().iter().filter(|case| case.verdict == Verdict::Pass).count();
        match self.cause() {
            Some(cause) => format!("{}: {}", self.verdict(), cause.text),
            None => format!("{} {passed}/{}", self.verdict(), self.cases().len()),
        }
    }

    /// The folder of the logs that its record was made from, below the run's: see [`CellRecord::evidence`].
    pub fn evidence(&self) -> &str {
        match self {
            AnyCell::Syscall(cell) => cell.evidence(),
            AnyCell::Kselftest(cell) => cell.evidence(),
        }
    }

    /// The folders of its guests' logs, below the run's.
    pub(super) fn logs(&self) -> Vec<(Transport, String)> {
        let transports = match self {
            AnyCell::Syscall(cell) => &cell.transports,
            // Of an older version.
            AnyCell::Kselftest(cell) if cell.transports.is_empty() && !cell.logs.is_empty() => {
                return vec![(Transport::Serial, cell.logs.clone())];
            }
            AnyCell::Kselftest(cell) => &cell.transports,
        };
        let ran = transports.iter().filter(|part| !part.logs.is_empty());
        ran.map(|part| (part.transport, part.logs.clone())).collect()
    }
}

impl StoredRun {
    /// Reads the record of a run: its folder, or the file in it.
    pub fn open(run: &Path) -> Result<StoredRun, StoredError> {
        let record = AnyRun::read(run)?;
        let folder = if run.is_dir() { run } else { run.parent().unwrap_or(Path::new(".")) };
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        // `latest` is another run tomorrow.
        Ok(StoredRun { folder: folder.canonicalize().unwrap_or(folder), record })
    }

    /// How far it is.
    pub fn state(&self) -> State {
        match &self.record {
            AnyRun::Syscall(run) => run.state,
            AnyRun::Kselftest(run) => run.state,
        }
    }

    /// QEMU's version, as it was then.
    pub fn qemu(&self) -> &str {
        match &self.record {
            AnyRun::Syscall(run) => &run.host.qemu,
            AnyRun::Kselftest(run) => &run.host.qemu,
        }
    }

    /// The records of its cells, in its order.
    pub fn records(&self) -> Vec<AnyCell> {
        match &self.record {
            AnyRun::Syscall(run) => {
                run.cells.iter().map(|cell| AnyCell::Syscall(Box::new(cell.clone()))).collect()
            }
            AnyRun::Kselftest(run) => {
                run.cells.iter().map(|cell| AnyCell::Kselftest(Box::new(cell.clone()))).collect()
            }
        }
    }

    /// The kernel that a cell has booted: its key in the cache, and its image; none if the run built none.
    pub fn kernel_of(&self, cell: &AnyCell) -> Option<(&str, PathBuf)> {
        let (key, image) = match (&self.record, cell) {
            (AnyRun::Syscall(run), AnyCell::Syscall(cell)) => {
                let of_cell = run.kernels.iter().filter(|part| part.kernel == cell.kernel);
                let leg = of_cell.flat_map(|part| &part.legs).find(|leg| leg.leg == cell.leg)?;
                (&leg.key, &leg.image)
            }
            (AnyRun::Kselftest(run), AnyCell::Kselftest(cell)) => {
                let part = run.kernels.iter().find(|part| part.kernel == cell.kernel)?;
                (&part.key, &part.image)
            }
            (AnyRun::Syscall(_), AnyCell::Kselftest(_)) | (AnyRun::Kselftest(_), AnyCell::Syscall(_)) => {
                return None;
            }
        };
        (!key.is_empty()).then(|| (key.as_str(), self.folder.join(image)))
    }

    /// The cell that these words name: all of its name, its folder's name, words that it alone has, or a
    /// part of a word. Without words the first that ran and did not pass.
    pub fn pick(&self, words: &[String]) -> Result<AnyCell, StoredError> {
        let cells = self.records();
        let names = |cells: &[AnyCell]| cells.iter().map(AnyCell::name).collect::<Vec<_>>();
        let asked = words.join(" ");
        let words: Vec<&str> = asked.split_whitespace().collect();
        if words.is_empty() {
            let red = |cell: &&AnyCell| cell.verdict() != Verdict::Pass;
            let ran = cells.iter().filter(red).find(|cell| !cell.logs().is_empty());
            return match (ran, cells.iter().find(red)) {
                (Some(cell), _) => Ok(cell.clone()),
                (None, Some(cell)) => Err(never_ran(cell)),
                (None, None) if cells.is_empty() => Err(self.no_cell(asked, &[])),
                (None, None) => Err(StoredError::AllPassed { cells: names(&cells) }),
            };
        }
        let by = |fits: &dyn Fn(&AnyCell) -> bool| -> Vec<AnyCell> {
            cells.iter().filter(|cell| fits(cell)).cloned().collect()
        };
        let whole = |cell: &AnyCell| cell.name() == words.join(" ") || cell.slug() == asked;
        let of_words = |cell: &AnyCell| {
            let name = cell.name();
            let own: Vec<&str> = name.split([' ', '/']).collect();
            words.iter().all(|word| own.contains(word))
        };
        // Of several words none is a part of another one: linux-6.1 is not linux-6.12.
        let of_part = |cell: &AnyCell| match words[..] {
            [part] => cell.name().contains(part) || cell.slug().contains(part),
            _ => false,
        };
        for found in [by(&whole), by(&of_words), by(&of_part)] {
            match &found[..] {
                [] => {}
                [cell] => return Ok(cell.clone()),
                several => return Err(StoredError::Several { asked, cells: names(several) }),
            }
        }
        Err(self.no_cell(asked, &names(&cells)))
    }

    fn no_cell(&self, asked: String, names: &[String]) -> StoredError {
        let asked = if asked.is_empty() { "anything".to_owned() } else { asked };
        let mut it_has = match names {
            [] => "it has none with a verdict".to_owned(),
            names => format!("it has\n  {}", names.join("\n  ")),
        };
        match self.state() {
            State::Complete => {}
            State::Running => it_has += "\nThe run is not complete: it goes on, or was killed",
            State::Interrupted => it_has += "\nThe run is not complete: it was interrupted",
        }
        StoredError::NoCell { asked, it_has }
    }

    /// The cell of this record with its guests' orders.
    pub fn cell(&self, record: AnyCell) -> Result<StoredCell, StoredError> {
        let mut parts = Vec::new();
        for (transport, logs) in record.logs() {
            let logs = self.folder.join(logs);
            let order = WorkOrder::read(&logs)?.below(&self.folder);
            parts.push(Part { transport, logs, order });
        }
        Ok(StoredCell { record, parts })
    }
}

impl StoredCell {
    /// An error, if it never ran or its images are not those that it ran with.
    pub fn can_run(&self) -> Result<(), StoredError> {
        let cell = self.record.name();
        if self.parts.is_empty() {
            return Err(never_ran(&self.record));
        }
        match self.parts.iter().find_map(|part| part.order.changed_image()) {
            Some(what) => Err(StoredError::Image { cell, what }),
            None => Ok(()),
        }
    }
}

impl Part {
    /// What was seen of this guest, by its journal and its logs.
    pub fn evidence(&self, cell: &str) -> Result<Evidence, StoredError> {
        let read = |name: &'static str, limit: u64| {
            let error = |error| StoredError::Log { cell: cell.to_owned(), name, error };
            let path = self.logs.join(name);
            let bytes = std::fs::metadata(&path).map_err(error)?.len();
            if bytes > limit {
                return Err(error(std::io::Error::other(format!(
                    "{bytes} bytes are more than a run writes"
                ))));
            }
            std::fs::read(path).map_err(error)
        };
        let journal = read(log::JOURNAL, 2 * limits::JOURNAL_BYTES)?;
        let console = read(log::CONSOLE, limits::CONSOLE_BYTES)?;
        let results = read(log::RESULTS, limits::RESULT_BYTES)?;
        let journal = String::from_utf8_lossy(&journal);
        let mut seen = journal::replay(&journal, &self.order.plan, &console, &results)
            .map_err(|error| StoredError::Journal { cell: cell.to_owned(), error })?;
        super::judged::name_address(&mut seen, &self.order.guest.kernel);
        Ok(seen)
    }
}

fn never_ran(cell: &AnyCell) -> StoredError {
    StoredError::NeverRan { cell: cell.name(), why: cell.in_words() }
}

#[cfg(test)]
mod tests;
