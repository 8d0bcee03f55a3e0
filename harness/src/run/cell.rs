//! One cell on its way: what its guest is asked to do, its guest, its verdict, its record.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::ledger::Ledger;
use super::order::{Expects, WorkOrder};
use super::{below, file_name, judged};
use crate::build::initramfs::{CASES, Image, PROBE, PROBER};
use crate::judge::verdict::{Expectation, ExpectedRun, Role};
use crate::judge::watch::Evidence;
use crate::limits;
use crate::model::{Abi, Cause, CellId, Judged, Leg, Mode, PlannedRun, Transport};
use crate::plan::files::Spec;
use crate::plan::numbers;
use crate::process::{Ctx, StopLevel};
use crate::report::record::{CellRecord, RunRecord};

/// What a guest is asked to do, and what the judge is to expect of it.
pub(super) fn agenda(
    spec: &Spec,
    leg: Leg,
    (abi, number): (Abi, u32),
    image: &Image,
    deadline: Duration,
) -> (Vec<PlannedRun>, Expectation) {
    let probe = |role: Role, expect: &str| {
        let args =
            vec![PROBE.to_owned(), format!("door={abi}"), format!("nr={number}"), format!("expect={expect}")];
        (role, Mode::Plain, limits::PROBE_DEADLINE, args)
    };
    let tests = |role: Role, mode: Mode, deadline: Duration| {
        image.tests.iter().map(move |test| (role, mode, deadline, vec![test.clone()]))
    };
    let prober = |role: Role, mode: Mode, how: Option<&str>| {
        let args = [PROBER, CASES].into_iter().chain(how).map(str::to_owned).collect();
        (role, mode, limits::CONTRACT_DEADLINE, args)
    };
    let mut agenda = Vec::new();
    if leg.is_control() {
        agenda.push(probe(Role::Judged, "enosys"));
        agenda.extend(image.cases.iter().map(|_| prober(Role::Contract, Mode::Plain, Some("enosys"))));
        agenda.extend(tests(Role::Recorded, Mode::Plain, deadline));
    } else {
        agenda.extend(tests(Role::Judged, Mode::Plain, deadline));
        // A stop at every entry into the kernel makes a program slower, not faster.
        let traced = (deadline * 2).min(limits::TEST_DEADLINE_MAX);
        agenda.extend(tests(Role::Traced, Mode::Traced, traced));
        agenda.extend(image.cases.iter().map(|_| prober(Role::Contract, Mode::Plain, None)));
        if image.tests.is_empty() {
            // A selftest that never makes the call is not excused by a prober that does.
            agenda.push(prober(Role::Traced, Mode::Traced, Some("good")));
        }
        agenda.push(probe(Role::Wired, "wired"));
    }
    let mut expected = Vec::new();
    let mut runs = Vec::new();
    for (role, mode, deadline, args) in agenda {
        let program = file_name(Path::new(&args[0]));
        let cases = image.cases.iter().filter(|_| role == Role::Contract).flat_map(|cases| &cases.cases);
        let cases = cases.map(|case| case.planned.clone()).collect();
        expected.push(ExpectedRun { role, program, deadline_ms: deadline.as_millis() as u64, cases });
        let doors = match mode {
            Mode::Traced => spec.numbers.iter().map(|(abi, number)| abi.door(*number)).collect(),
            Mode::Plain => Vec::new(),
        };
        runs.push(PlannedRun { mode, deadline, dir: None, args, env: Vec::new(), doors });
    }
    let (table, known) = (numbers::table(abi).to_owned(), Vec::new());
    let not_applicable = image.cases.as_ref().map(|cases| cases.not_applicable.clone()).unwrap_or_default();
    (runs, Expectation { leg, abi, number, table, runs: expected, known, not_applicable })
}

/// One cell on its way.
pub(super) struct Job {
    /// What all parts of the run share.
    pub(super) ledger: Rc<Ledger<RunRecord>>,
    /// Which one.
    pub(super) id: CellId,
    /// What is done over each transport, one after the other.
    pub(super) orders: Vec<(Transport, WorkOrder)>,
}

impl Job {
    /// Waits for its turn, runs as often as it takes, is judged and closes itself.
    pub(super) async fn run(self, machine: &Semaphore) {
        let Ledger { ctx, trials, out, .. } = &*self.ledger;
        let (name, folder) = (self.id.to_string(), out.join(self.id.slug()));
        let once = async |folder: &Path| self.attempt(folder).await;
        let cut = |cause| CellRecord::new(&self.id, Judged::without_run(cause));
        // One that never ran is closed at the end of the run.
        if let Some((cell, took)) = trials.run((ctx, machine), (&name, &folder), once, cut).await {
            self.ledger.close(cell, took);
        }
    }

    /// Runs it over each of its transports; none if the user ended the run before.
    async fn attempt(&self, folder: &Path) -> Option<CellRecord> {
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
            if cell.cause.as_ref().is_some_and(|cause| matches!(cause.detail, Cause::Interrupted { .. })) {
                // What it showed before is no verdict any more.
                cells.clear();
            }
            cells.push(cell);
        }
        let mut cell = cells.into_iter().reduce(CellRecord::merge)?;
        cell.logs = below(&self.ledger.out, folder);
        Some(cell)
    }

    /// Runs one guest and judges it.
    async fn once(&self, order: &WorkOrder, folder: &Path) -> CellRecord {
        match seen(&self.ledger.ctx, order, folder).await {
            Ok((expected, seen)) => judged::cell(&self.id, expected, &seen, folder, &self.ledger.out),
            Err(detail) => CellRecord::new(&self.id, Judged::without_run(Cause::Harness { detail })),
        }
    }
}

/// What is seen of the guest of a syscall's cell.
async fn seen<'a>(
    ctx: &Ctx,
    order: &'a WorkOrder,
    folder: &Path,
) -> Result<(&'a Expectation, Evidence), String> {
    let Expects::Syscall(expected) = &order.expects else {
        return Err("a kselftest's order came among those of a syscall".to_owned());
    };
    Ok((expected, order.run(ctx, folder).await.map_err(|error| error.to_string())?))
}
