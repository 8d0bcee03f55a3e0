//! One cell of either kind on its way: its guests, one over each transport, its verdict, its record.

use std::path::Path;
use std::rc::Rc;

use tokio::sync::Semaphore;

use super::below;
use super::judged::FromGuest;
use super::ledger::{Book, Entry, Id, Ledger};
use super::order::WorkOrder;
use crate::model::{Cause, Transport};
use crate::process::StopLevel;
use crate::report::attempts::Attempted;
use crate::report::record::transports::OverTransports;

/// One cell on its way.
pub(super) struct Job<B: Book> {
    /// What all parts of the run share.
    pub(super) ledger: Rc<Ledger<B>>,
    /// Which one.
    pub(super) id: Id<B>,
    /// What is done over each transport, one after the other.
    pub(super) orders: Vec<(Transport, WorkOrder)>,
}

impl<B: Book> Job<B>
where
    B::Cell: FromGuest,
{
    /// Waits for its turn, runs as often as it takes, is judged and closes itself.
    pub(super) async fn run(self, machine: &Semaphore) {
        let Ledger { ctx, trials, out, .. } = &*self.ledger;
        let (name, folder) = (self.id.to_string(), out.join(B::Cell::slug(&self.id)));
        let once = async |folder: &Path| self.attempt(folder).await;
        let cut = |cause| self.without_run(&cause);
        // One that never ran is closed at the end of the run.
        if let Some((cell, took)) = trials.run((ctx, machine), (&name, &folder), once, cut).await {
            self.ledger.close(cell, took);
        }
    }

    /// Runs it over each of its transports; none if the user ended the run before.
    async fn attempt(&self, folder: &Path) -> Option<B::Cell> {
        let mut cells = Vec::new();
        for (transport, order) in &self.orders {
            if self.ledger.ctx.stop.level() != StopLevel::Run {
                return None;
            }
            let folder = match self.orders.len() {
                1 => folder.to_owned(),
                _ => folder.join(transport.name()),
            };
            let mut cell = self.once(order, &folder).await;
            cell.over(*transport);
            let cause = cell.attempt().cause;
            if cause.is_some_and(|cause| matches!(cause.detail, Cause::Interrupted { .. })) {
                // What it showed before is no verdict any more, and nothing comes after.
                cells = vec![cell];
                break;
            }
            cells.push(cell);
        }
        let mut cell = cells.into_iter().reduce(B::Cell::merge)?;
        *cell.told().logs = below(&self.ledger.out, folder);
        Some(cell)
    }

    /// Runs one guest and judges it.
    async fn once(&self, order: &WorkOrder, folder: &Path) -> B::Cell {
        let seen = match order.run(&self.ledger.ctx, folder).await {
            Ok(seen) => seen,
            Err(error) => return self.without_run(&Cause::Harness { detail: error.to_string() }),
        };
        B::Cell::keep_words(&seen, folder);
        let judged = B::Cell::judged(&self.id, order, (&seen, folder), &self.ledger.out);
        judged.unwrap_or_else(|| {
            let detail = "the order of another kind of run came among these".to_owned();
            self.without_run(&Cause::Harness { detail })
        })
    }

    fn without_run(&self, cause: &Cause) -> B::Cell {
        B::Cell::without_run(&self.id, cause)
    }
}
