//! One cell on its way: what its guest is asked to do, its guest, its verdict, its record.

use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fs_err as fs;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::{Shared, below, file_name};
use crate::boot::qemu::Guest;
use crate::boot::vm;
use crate::build::initramfs::{CASES, Image, PROBE, PROBER};
use crate::judge::verdict::{self, Expectation, ExpectedRun, Role};
use crate::judge::watch::{Deadlines, Evidence};
use crate::judge::{console, symbols};
use crate::limits;
use crate::model::{
    Abi, Cause, CellId, Judged, Leg, Mode, Plan as GuestPlan, PlannedRun, RunEvent, Transport, Verdict,
};
use crate::plan::files::Spec;
use crate::plan::numbers;
use crate::process::StopLevel;
use crate::report::record::{CellRecord, Durations, FindingRecord};

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

/// All that it takes to run a cell again and judge it, kept beside its logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkOrder {
    /// The machine.
    pub guest: Guest,
    /// What it is asked to do.
    pub plan: GuestPlan,
    /// What the judge expects of it.
    pub expectation: Expectation,
}

impl WorkOrder {
    /// The file's name in the cell's folder.
    pub const FILE: &str = "order.json";

    /// Reads the order of a cell that was run.
    pub fn read(cell: &Path) -> std::io::Result<WorkOrder> {
        Ok(serde_json::from_slice(&fs::read(cell.join(WorkOrder::FILE))?)?)
    }

    fn write(&self, cell: &Path) -> std::io::Result<()> {
        fs::create_dir_all(cell)?;
        fs::write(cell.join(WorkOrder::FILE), serde_json::to_vec_pretty(self)?)
    }
}

/// How a kernel's symbols are called beside it.
pub(super) const SYMBOLS: &str = "System.map";

/// One cell on its way.
pub(super) struct Job {
    /// What all parts of the run share.
    pub(super) shared: Rc<Shared>,
    /// Which one.
    pub(super) id: CellId,
    /// What is done over each transport, one after the other.
    pub(super) orders: Vec<(Transport, WorkOrder)>,
    /// How long its guest may take for what.
    pub(super) deadlines: Deadlines,
}

impl Job {
    /// Waits for its turn, runs, is judged and closes itself.
    pub(super) async fn run(self, machine: &Semaphore) {
        let Ok(_turn) = machine.acquire().await else { return };
        let ctx = &self.shared.ctx;
        if ctx.stop.level() != StopLevel::Run {
            // It never ran: the end of the run says so.
            return;
        }
        ctx.events.send(RunEvent::CellStarted(self.id.to_string()));
        let folder = self.shared.out.join(self.id.slug());
        let started = Instant::now();
        let mut cells = Vec::new();
        for (transport, order) in &self.orders {
            if ctx.stop.level() != StopLevel::Run {
                return;
            }
            let folder = match self.orders.len() {
                1 => folder.clone(),
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
        if let Some(mut cell) = cells.into_iter().reduce(CellRecord::merge) {
            cell.logs = below(&self.shared.out, &folder);
            self.shared.close(cell, started.elapsed());
        }
    }

    /// Runs one guest and judges it.
    async fn once(&self, order: &WorkOrder, folder: &Path) -> CellRecord {
        let WorkOrder { guest, plan, .. } = order;
        let ran = match order.write(folder) {
            Ok(()) => vm::run(&self.shared.ctx, guest, plan, self.deadlines, folder).await,
            Err(error) => Err(error.into()),
        };
        match ran {
            Ok(mut seen) => {
                // A name needs the kernel's symbols, and the judge reads no files.
                let map =
                    || std::fs::read_to_string(guest.kernel.with_extension(SYMBOLS)).unwrap_or_default();
                seen.at = seen.instruction.map(|address| symbols::name(&map(), address));
                self.record(&order.expectation, &seen, folder)
            }
            Err(error) => {
                let detail = error.to_string();
                CellRecord::new(&self.id, Judged::without_run(Cause::Harness { detail }))
            }
        }
    }

    fn record(&self, expected: &Expectation, seen: &Evidence, folder: &Path) -> CellRecord {
        let mut cell = CellRecord::new(&self.id, verdict::judge(expected, seen));
        cell.entries = verdict::entries(expected, seen);
        cell.not_applicable.clone_from(&expected.not_applicable);
        cell.recorded = verdict::recorded(expected, seen).into_iter().map(Into::into).collect();
        cell.guest = seen.hello.as_ref().map(|(_, hello)| hello.clone());
        cell.durations = Durations::of(seen);
        cell.findings = seen.findings.iter().map(FindingRecord::from).collect();
        cell.logs = below(&self.shared.out, folder);
        if cell.verdict != Verdict::Pass {
            let console = std::fs::read(folder.join(vm::log::CONSOLE)).unwrap_or_default();
            cell.console_tail = console::tail(&console, limits::TAIL_LINES);
        }
        cell
    }
}
