//! Cells that are run more than once, and runs that are held against an earlier one.

use serde_json::Value;

use super::support::mini::{self, CELLS};
use super::{assert_cells, assert_says, support, warm};

const LOST: &str = "console Linux version 1.0.0-mini\nstderr qemu: out of memory\nexit 1\n";

/// Words of a run, without the format that is theirs.
fn with(args: Vec<String>, more: &[&str]) -> Vec<String> {
    args.into_iter().chain(more.iter().map(|word| (*word).to_owned())).collect()
}

pub fn flaky() {
    let world = warm();
    world.first_life(LOST);
    let run = world.run(&with(world.args("flaky"), &["--retries", "2"]));
    world.assert_passed(&run);
    assert_says(&run, 0, &[", attempt 1: QEMU ended by itself", "; again"]);
    for cell in run.cells() {
        let [lost, passed] = &cell["attempts"].as_array().unwrap()[..] else { panic!("{cell:#}") };
        assert_eq!(
            (&lost["verdict"], &lost["cause"]["kind"]),
            (&"error".into(), &"lost-vm".into()),
            "{cell:#}"
        );
        assert_eq!((&passed["verdict"], &passed["logs"]), (&"pass".into(), &cell["logs"]), "{cell:#}");
        for (attempt, number) in [(lost, 1), (passed, 2)] {
            let logs = attempt["logs"].as_str().unwrap();
            assert!(logs.ends_with(&format!("/try.{number}")), "{cell:#}");
            for file in ["console.log", "order.json"] {
                assert!(world.out("flaky").join(logs).join(file).is_file(), "{logs}/{file}");
            }
        }
    }
    // Who wants no such pass, has none,
    world.first_life(LOST);
    let run = world.run(&with(world.args("strict"), &["--retries", "1", "--flaky", "fail"]));
    assert_says(&run, 1, &[]);
    // what the guest did is not tried again, unless that is asked for,
    let panic =
        "console Linux version 1.0.0-mini\nconsole <0>[    0.4] Kernel panic - not syncing: x\nexit 0\n";
    world.first_life(panic);
    let run = world.run(&with(world.args("panic"), &["--retries", "1"]));
    assert_cells(&run.cells(), "fail", "panic", &[]);
    world.first_life(panic);
    world.assert_passed(&world.run(&with(world.args("any"), &["--retries", "1", "--retry-on", "any"])));
    // and of several attempts each has to pass.
    world.first_life(LOST);
    let run = world.run(&with(world.args("repeat"), &["--repeat", "3"]));
    assert_cells(&run.cells(), "error", "lost-vm", &[]);
    assert!(run.cells().iter().all(|cell| cell["attempts"].as_array().unwrap().len() == 3), "{run}");
    // Each cell passes once; the first that does not ends it for all of them.
    world.first_life(mini::LIFE);
    world.life(LOST);
    let run = world.run(&with(world.args("until"), &["--until-fail"]));
    assert_says(&run, 3, &[", attempt 1; again"]);
    let lost = |cell: &Value| cell["attempts"].as_array().unwrap().len() == 2;
    assert!(run.cells().iter().any(|cell| cell["verdict"] == "error" && lost(cell)), "{run}");
    assert!(run.cells().iter().all(|cell| cell["verdict"] == "pass" || lost(cell)), "{run}");
}

pub fn against_a_baseline() {
    let world = warm();
    let (file, warm) = (world.root().join("baseline"), world.out("warm"));
    let (file, warm) = (file.display().to_string(), warm.display().to_string());
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let plain = |args: &[&str]| support::xtask(args);
    assert_eq!(plain(&["baseline", &warm, &file]).code, Some(0));
    let against = |out: &str, base: &str| world.run(&with(world.args(out), &["--baseline", base]));
    let run = against("same", &file);
    assert_says(&run, 0, &["nothing is worse", "6 cells are as they were"]);
    // The same as what was broken then is not worse, whatever it is;
    world.life_with("run-all", "console <0>[    0.4] Kernel panic - not syncing: x");
    let run = against("broken", &file);
    assert_says(&run, 1, &["new failures (a regression)", "pass -> fail: kernel panic", "worse: 6 cells"]);
    let broken = world.out("broken").display().to_string();
    let run = against("as broken", &broken);
    assert_says(&run, 0, &["nothing is worse"]);
    assert_cells(&run.cells(), "fail", "panic", &[]);
    // and what is cured is told.
    world.life_with("run-all", "");
    assert_says(&against("cured", &broken), 0, &["fixes", "fail -> pass"]);
    // Who runs less has to say so by a baseline of his own.
    let run = world.run(&with(world.args("less"), &["--abi", "m64", "--baseline", &file]));
    assert_says(&run, 1, &["vanished (a regression)", "this run has mini-1.0 patched by m64"]);
    // An error keeps its code.
    world.first_life(LOST);
    let lost = world.run(&world.args("lost"));
    assert_eq!(lost.code, Some(3), "{lost}");
    world.first_life(LOST);
    assert_says(&against("lost too", &world.out("lost").display().to_string()), 3, &["nothing is worse"]);
    // Told before any work.
    let run = world.run(&words(&["test-syscall", "other", "--baseline", &file]));
    assert_says(&run, 2, &["it is of test-syscall xyzzy, and this run is of test-syscall other"]);
    let run = plain(&["compare", &warm, &broken, "--format", "json"]);
    assert_eq!(run.code, Some(1), "{run}");
    let found: Value = serde_json::from_str(&run.stdout).unwrap();
    let changes = found["changes"].as_array().unwrap();
    assert!(changes.iter().all(|change| change["what"] == "new-failure"), "{found:#}");
    assert_eq!((changes.len(), &found["base"]), (CELLS, &warm.as_str().into()), "{found:#}");
}
