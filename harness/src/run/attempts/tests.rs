use std::cell::RefCell;
use std::path::PathBuf;

use super::*;
use crate::model::Events;
use crate::process::{Guard, StopSwitch};
use crate::report::attempts::tests::{cell, lost};
use crate::report::record::CellRecord;

/// What a cell comes to whose attempts give these causes, the last of them for ever; and the folders in
/// which they ran. Before the attempt `stop`, counted from 1, the user ends the run.
fn tried(attempts: Attempts, causes: &[Option<Cause>], stop: u32) -> (Option<CellRecord>, Vec<PathBuf>) {
    let (switch, stopper) = StopSwitch::new();
    let ctx = Ctx { events: Events::silent(), stop: stopper, guard: Guard::none(), env: Vec::new() };
    let folders = RefCell::new(Vec::new());
    let trials = Trials::new(attempts, None);
    let once = async |folder: &Path| {
        folders.borrow_mut().push(folder.to_owned());
        let done = folders.borrow().len();
        if done as u32 + 1 == stop {
            switch.press("SIGINT");
        }
        Some(cell(causes[(done - 1).min(causes.len() - 1)].clone()))
    };
    let cut = |cause| cell(Some(cause));
    let machine = Semaphore::new(1);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let cell = runtime.block_on(trials.run((&ctx, &machine), ("c", Path::new("c")), once, cut));
    (cell.map(|(cell, _)| cell), folders.into_inner())
}

const NEVER: u32 = 0;

#[test]
fn what_is_tried_again_and_how_often() {
    let failed = || Some(Cause::Reset);
    let host = |most| Attempts::Retries(most, RetryOn::Host);
    let any = |most| Attempts::Retries(most, RetryOn::Any);
    for (attempts, causes, tries, verdict) in [
        (Attempts::ONE, vec![lost()], 1, Verdict::Error),
        (host(2), vec![None], 1, Verdict::Pass),
        (host(2), vec![lost(), None], 2, Verdict::Pass),
        (host(2), vec![lost()], 3, Verdict::Error),
        // A kernel that fails is not asked again until it does not, unless somebody says so.
        (host(2), vec![failed(), None], 1, Verdict::Fail),
        (host(2), vec![lost(), failed(), None], 2, Verdict::Fail),
        (any(2), vec![failed(), None], 2, Verdict::Pass),
        (any(2), vec![failed()], 3, Verdict::Fail),
        (Attempts::Repeat(3), vec![None], 3, Verdict::Pass),
        (Attempts::Repeat(3), vec![None, failed(), None], 3, Verdict::Fail),
        (Attempts::UntilFail, vec![None, None, lost(), None], 3, Verdict::Error),
        (Attempts::UntilFail, vec![None], limits::ATTEMPTS_MAX, Verdict::Pass),
    ] {
        let (cell, folders) = tried(attempts, &causes, NEVER);
        let cell = cell.unwrap();
        assert_eq!((folders.len() as u32, cell.verdict), (tries, verdict), "{attempts:?} {causes:?}");
        let expected = if tries > 1 { tries as usize } else { 0 };
        assert_eq!(cell.attempts.len(), expected, "{attempts:?} {causes:?}");
    }
}

#[test]
fn each_attempt_has_a_folder_of_its_own_where_there_may_be_more_than_one() {
    let (_, folders) = tried(Attempts::ONE, &[None], NEVER);
    assert_eq!(folders, [Path::new("c")]);
    let (_, folders) = tried(Attempts::Retries(1, RetryOn::Host), &[lost(), None], NEVER);
    assert_eq!(folders, [Path::new("c/try.1"), Path::new("c/try.2")]);
}

#[test]
fn passes_that_the_user_cut_short_are_no_pass() {
    for attempts in [Attempts::Repeat(5), Attempts::UntilFail] {
        let (cell, folders) = tried(attempts, &[None], 3);
        let cell = cell.unwrap();
        assert_eq!((folders.len(), cell.verdict, cell.attempts.len()), (2, Verdict::Error, 3));
        assert_eq!(cell.cause.unwrap().kind, "interrupted");
    }
    // A failure that was seen is one,
    let (cell, _) = tried(Attempts::Repeat(5), &[Some(Cause::Reset)], 3);
    assert_eq!(cell.unwrap().verdict, Verdict::Fail);
    // and what was lost stays lost.
    let (cell, _) = tried(Attempts::Retries(5, RetryOn::Host), &[lost()], 3);
    assert_eq!(cell.unwrap().cause.unwrap().kind, "lost-vm");
}

/// Where one cell failed, the others need not go on until they do.
#[test]
fn until_fail_ends_with_the_first_cell_that_does_not_pass() {
    let (_switch, stop) = StopSwitch::new();
    let ctx = Ctx { events: Events::silent(), stop, guard: Guard::none(), env: Vec::new() };
    let (trials, machine) = (Trials::new(Attempts::UntilFail, None), Semaphore::new(1));
    let counts = [Cell::new(0), Cell::new(0)];
    let once = |at: usize, fails_at: u32| {
        let counts = &counts;
        async move |_: &Path| {
            // A guest takes its time.
            tokio::task::yield_now().await;
            counts[at].set(counts[at].get() + 1);
            let failed = (counts[at].get() == fails_at).then_some(Cause::Reset);
            Some(cell(failed))
        }
    };
    let cut = |cause| cell(Some(cause));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (good, bad) = runtime.block_on(async {
        tokio::join!(
            trials.run((&ctx, &machine), ("good", Path::new("good")), once(0, u32::MAX), cut),
            trials.run((&ctx, &machine), ("bad", Path::new("bad")), once(1, 4), cut),
        )
    });
    assert_eq!(bad.unwrap().0.verdict, Verdict::Fail);
    assert_eq!(good.unwrap().0.verdict, Verdict::Pass);
    // They took turns.
    assert_eq!(counts.map(|count| count.get()), [4, 4]);
}

/// A cell that waited for an hour behind others did not take an hour.
#[tokio::test(start_paused = true)]
async fn a_cell_takes_what_its_guests_take() {
    let (_switch, stop) = StopSwitch::new();
    let ctx = Ctx { events: Events::silent(), stop, guard: Guard::none(), env: Vec::new() };
    let (trials, machine) = (Trials::new(Attempts::Repeat(2), None), Semaphore::new(1));
    let once = async |_: &Path| {
        tokio::time::sleep(Duration::from_secs(10)).await;
        Some(cell(None))
    };
    let cut = |cause| cell(Some(cause));
    let run = |name| trials.run((&ctx, &machine), (name, Path::new(name)), once, cut);
    let (first, second) = tokio::join!(run("first"), run("second"));
    assert_eq!([first, second].map(|ran| ran.unwrap().1.as_secs()), [20, 20]);
}
