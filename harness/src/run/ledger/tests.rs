use super::*;
use crate::model::{Abi, Events, Leg, Verdict};
use crate::process::{Guard, StopSwitch};
use crate::report::view::tests::syscall;
use crate::run::Attempts;

fn id(leg: Leg, abi: Abi) -> CellId {
    CellId { kernel: "linux-6.12".parse().unwrap(), leg, abi }
}

/// A ledger with the three cells of a leg, and its folder.
fn opened() -> (tempfile::TempDir, Rc<Ledger<RunRecord>>) {
    let folder = tempfile::tempdir().unwrap();
    let (_switch, stop) = StopSwitch::new();
    let ctx = Ctx { events: Events::silent(), stop, guard: Guard::none(), env: Vec::new() };
    let record = RunRecord { cells: Vec::new(), notes: Vec::new(), state: State::Running, ..syscall() };
    let ledger = Ledger::open(&ctx, folder.path(), Trials::new(Attempts::ONE, None), record).unwrap();
    ledger.select(Abi::ALL.map(|abi| id(Leg::Patched, abi)));
    (folder, ledger)
}

fn lost(why: &str) -> Cause {
    Cause::NotRun { reason: why.to_owned() }
}

fn written(folder: &Path) -> Vec<(Abi, String)> {
    let record = RunRecord::read(folder).unwrap();
    record.cells.iter().map(|cell| (cell.abi, cell.cause.as_ref().unwrap().text.clone())).collect()
}

#[test]
fn cells_stand_as_they_were_selected_whenever_they_end() {
    let (folder, ledger) = opened();
    for abi in [Abi::Mx32, Abi::M64, Abi::M32] {
        let mut cell = CellRecord::without_run(&id(Leg::Patched, abi), &lost("x"));
        cell.verdict = Verdict::Pass;
        ledger.close(cell, Duration::ZERO);
    }
    let record = ledger.finish(State::Complete).unwrap();
    assert_eq!(record.cells.iter().map(|cell| cell.abi).collect::<Vec<_>>(), Abi::ALL);
    assert_eq!((record.selected, RunRecord::read(folder.path()).unwrap()), (3, record));
}

#[test]
fn what_is_on_its_way_is_not_closed_by_others_and_is_open_again_if_it_never_came() {
    let (folder, ledger) = opened();
    let [m64, m32, _] = Abi::ALL.map(|abi| id(Leg::Patched, abi));
    ledger.sent(&m64);
    assert!(!ledger.is_open(&m64) && ledger.is_open(&m32) && !ledger.is_open(&id(Leg::ConfigOff, Abi::M64)));
    ledger.close_all(|id| id.abi != Abi::Mx32, &lost("no image"));
    assert_eq!(written(folder.path()).iter().map(|(abi, _)| *abi).collect::<Vec<_>>(), [Abi::M32]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(ledger.all_back(JoinSet::new()));
    ledger.close_all(|_| true, &lost("interrupted"));
    let texts = written(folder.path());
    assert_eq!(
        texts.iter().map(|(_, text)| text.contains("no image")).collect::<Vec<_>>(),
        [false, true, false]
    );
    assert!(!Abi::ALL.into_iter().any(|abi| ledger.is_open(&id(Leg::Patched, abi))));
}

#[test]
#[should_panic(expected = "has two verdicts")]
fn a_second_verdict_is_a_bug() {
    let (_folder, ledger) = opened();
    ledger.close_without_run(&id(Leg::Patched, Abi::M64), &lost("once"));
    ledger.close_without_run(&id(Leg::Patched, Abi::M64), &lost("twice"));
}

#[test]
#[should_panic(expected = "was not selected")]
fn a_verdict_that_nobody_asked_for_is_a_bug() {
    let (_folder, ledger) = opened();
    ledger.close_without_run(&id(Leg::ConfigOff, Abi::M64), &lost("x"));
}

#[test]
fn an_entry_that_was_not_written_is_told_at_the_end() {
    let (folder, ledger) = opened();
    let (gone, kept) = (folder.path().to_owned(), folder.path().with_extension("kept"));
    std::fs::rename(&gone, &kept).unwrap();
    ledger.close_all(|_| true, &lost("x"));
    std::fs::rename(&kept, &gone).unwrap();
    assert!(matches!(ledger.finish(State::Complete), Err(RunError::Record(_))));
    // The last state is there all the same.
    assert_eq!(written(&gone).len(), 3);
}
