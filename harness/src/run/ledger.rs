//! The ledger of a run: which cells were selected, which of them are on their way, and the record to which each
//! comes exactly once. Both kinds of run keep the same one.
//!
//! `run.json` is written anew with every entry, so that whatever ends the tool leaves what was finished.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use fs_err as fs;
use tokio::task::JoinSet;

use super::RunError;
use super::attempts::Trials;
use crate::model::{Cause, CellId, Judged, ProgramId, RunEvent};
use crate::process::Ctx;
use crate::report::attempts::Attempted;
use crate::report::kselftest::{KselftestRecord, ProgramRecord};
use crate::report::record::{CellRecord, RunRecord, State};

/// A cell as the ledger takes it.
pub(super) trait Entry: Attempted {
    /// What it is known by.
    type Id: Clone + Ord + Display;

    /// Which cell it is.
    fn id(&self) -> Self::Id;

    /// What its folder is called.
    fn slug(id: &Self::Id) -> String;

    /// A cell that came to nothing.
    fn without_run(id: &Self::Id, cause: &Cause) -> Self;
}

/// The record of a run as the ledger keeps it.
pub(super) trait Book: Clone {
    /// Its cells.
    type Cell: Entry;

    /// What is kept alike in both kinds of record.
    fn pages(&mut self) -> Pages<'_, Self::Cell>;

    /// Writes it into the run's folder, whole or not at all.
    fn write(&self, folder: &Path) -> io::Result<()>;
}

/// What is kept alike in both kinds of record.
pub(super) struct Pages<'a, C> {
    state: &'a mut State,
    elapsed_ms: &'a mut u64,
    selected: &'a mut usize,
    cells: &'a mut Vec<C>,
    notes: &'a mut Vec<String>,
}

pub(super) type Id<B> = <<B as Book>::Cell as Entry>::Id;

/// How far a selected cell is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Nothing is known of it yet.
    Open,
    /// Its guest was sent off: it closes itself.
    Sent,
    /// It is in the record.
    Closed,
}

/// What all parts of a run share.
pub(super) struct Ledger<B: Book> {
    pub(super) ctx: Ctx,
    /// The run's folder.
    pub(super) out: PathBuf,
    pub(super) trials: Trials,
    pub(super) record: RefCell<B>,
    started: Instant,
    /// The selected cells, each with its place in the record.
    selected: RefCell<BTreeMap<Id<B>, (usize, Standing)>>,
    write_error: RefCell<Option<io::Error>>,
}

impl<B: Book> Ledger<B> {
    /// Opens it: the record is in the run's folder, without a cell.
    ///
    /// # Errors
    ///
    /// [`RunError::Record`], if it cannot be written there.
    pub(super) fn open(ctx: &Ctx, out: &Path, trials: Trials, record: B) -> Result<Rc<Self>, RunError> {
        record.write(out).map_err(RunError::Record)?;
        fs::create_dir_all(out.join("build")).map_err(RunError::Record)?;
        Ok(Rc::new(Ledger {
            ctx: ctx.clone(),
            out: out.to_owned(),
            trials,
            record: RefCell::new(record),
            started: Instant::now(),
            selected: RefCell::default(),
            write_error: RefCell::default(),
        }))
    }

    /// Selects cells, behind those that are selected already.
    pub(super) fn select(&self, ids: impl IntoIterator<Item = Id<B>>) {
        let mut selected = self.selected.borrow_mut();
        for id in ids {
            let place = selected.len();
            selected.entry(id).or_insert((place, Standing::Open));
        }
        *self.record.borrow_mut().pages().selected = selected.len();
    }

    /// Selected, without a verdict, and not on its way to one.
    pub(super) fn is_open(&self, id: &Id<B>) -> bool {
        self.selected.borrow().get(id).is_some_and(|(_, standing)| *standing == Standing::Open)
    }

    /// Its guest is sent off: from here on it closes itself.
    pub(super) fn sent(&self, id: &Id<B>) {
        if let Some((_, standing)) = self.selected.borrow_mut().get_mut(id) {
            *standing = Standing::Sent;
        }
    }

    /// Waits for the cells that were sent off. Those that never came to run are open again.
    pub(super) async fn all_back(&self, mut cells: JoinSet<()>) {
        while let Some(ended) = cells.join_next().await {
            if let Err(error) = ended
                && let Ok(panic) = error.try_into_panic()
            {
                // A bug is loud.
                std::panic::resume_unwind(panic);
            }
        }
        for (_, standing) in self.selected.borrow_mut().values_mut() {
            if *standing == Standing::Sent {
                *standing = Standing::Open;
            }
        }
    }

    /// Writes a cell down and tells of it; it took so long.
    ///
    /// # Panics
    ///
    /// If it was not selected, or is in the record already: that is a bug.
    pub(super) fn close(&self, cell: B::Cell, took: Duration) {
        let (id, last) = (cell.id(), cell.attempt());
        self.ctx.events.send(RunEvent::CellEnded {
            cell: id.to_string(),
            verdict: last.verdict,
            passed: last.passed.0 as u64,
            total: last.passed.1 as u64,
            text: last.cause.map(|cause| cause.text).unwrap_or_default(),
            elapsed: took,
        });
        let mut selected = self.selected.borrow_mut();
        let (_, standing) = selected.get_mut(&id).unwrap_or_else(|| panic!("{id} was not selected"));
        assert_ne!(*standing, Standing::Closed, "{id} has two verdicts");
        *standing = Standing::Closed;
        let mut record = self.record.borrow_mut();
        let Pages { cells, elapsed_ms, .. } = record.pages();
        let place = |id: &Id<B>| selected.get(id).map(|(place, _)| *place);
        let at = cells.partition_point(|other| place(&other.id()) < place(&id));
        cells.insert(at, cell);
        *elapsed_ms = self.elapsed_ms();
        if let Err(error) = record.write(&self.out) {
            self.write_error.borrow_mut().get_or_insert(error);
        }
    }

    /// Closes a cell that comes to nothing.
    pub(super) fn close_without_run(&self, id: &Id<B>, cause: &Cause) {
        self.close(Entry::without_run(id, cause), Duration::ZERO);
    }

    /// Gives the open cells that `which` picks this cause.
    pub(super) fn close_all(&self, which: impl Fn(&Id<B>) -> bool, cause: &Cause) {
        let mut open: Vec<(usize, Id<B>)> = Vec::new();
        for (id, (place, standing)) in &*self.selected.borrow() {
            if *standing == Standing::Open && which(id) {
                open.push((*place, id.clone()));
            }
        }
        open.sort();
        open.iter().for_each(|(_, id)| self.close_without_run(id, cause));
    }

    /// Writes notes down that are not there yet.
    pub(super) fn note(&self, notes: impl IntoIterator<Item = String>) {
        let mut record = self.record.borrow_mut();
        let Pages { notes: written, .. } = record.pages();
        for note in notes {
            if !written.contains(&note) {
                written.push(note);
            }
        }
    }

    /// Writes the last state of the record.
    ///
    /// # Errors
    ///
    /// [`RunError::Record`], if that fails now or an entry could not be written.
    pub(super) fn finish(&self, state: State) -> Result<B, RunError> {
        let mut record = self.record.borrow_mut();
        let pages = record.pages();
        (*pages.state, *pages.elapsed_ms) = (state, self.elapsed_ms());
        record.write(&self.out).map_err(RunError::Record)?;
        match self.write_error.take() {
            Some(error) => Err(RunError::Record(error)),
            None => Ok(record.clone()),
        }
    }

    fn elapsed_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }
}

impl Entry for CellRecord {
    type Id = CellId;

    fn id(&self) -> CellId {
        self.id()
    }

    fn slug(id: &CellId) -> String {
        id.slug()
    }

    fn without_run(id: &CellId, cause: &Cause) -> CellRecord {
        CellRecord::new(id, Judged::without_run(cause.clone()))
    }
}

impl Entry for ProgramRecord {
    type Id = ProgramId;

    fn id(&self) -> ProgramId {
        self.id()
    }

    fn slug(id: &ProgramId) -> String {
        id.slug()
    }

    fn without_run(id: &ProgramId, cause: &Cause) -> ProgramRecord {
        ProgramRecord::new(id, Judged::without_run(cause.clone()))
    }
}

impl Book for RunRecord {
    type Cell = CellRecord;

    fn pages(&mut self) -> Pages<'_, CellRecord> {
        let RunRecord { state, elapsed_ms, selected, cells, notes, .. } = self;
        Pages { state, elapsed_ms, selected, cells, notes }
    }

    fn write(&self, folder: &Path) -> io::Result<()> {
        self.write(folder)
    }
}

impl Book for KselftestRecord {
    type Cell = ProgramRecord;

    fn pages(&mut self) -> Pages<'_, ProgramRecord> {
        let KselftestRecord { state, elapsed_ms, selected, cells, notes, .. } = self;
        Pages { state, elapsed_ms, selected, cells, notes }
    }

    fn write(&self, folder: &Path) -> io::Result<()> {
        self.write(folder)
    }
}

#[cfg(test)]
mod tests;
