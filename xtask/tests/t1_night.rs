//! T1: a night over a kernel that builds in a second, and the files that start one elsewhere.
//!
//! Not libtest's: this program also plays QEMU (see `support/mini.rs`).

mod support;

use std::path::PathBuf;

use serde_json::Value;
use support::mini::{self, World};
use support::{Run, run_all};

fn main() {
    if mini::played() {
        return;
    }
    run_all(&[
        ("a night goes on past a job that cannot begin, and is compared with the last", nights),
        ("what has not begun when the time is over is told as a miss", budget),
        ("a seeded bug that is not caught any more fails the night, and is a regression", mutants),
        ("the files that start a night elsewhere have commands that run", files),
    ]);
}

const NIGHT: &str = "budget_minutes: 30\nnights_kept: 2\njobs:\n\
    \x20 - {name: gone, syscall: xyzzy, kernels: [nothing-9]}\n\
    \x20 - {name: call, syscall: xyzzy, kernels: [mini-1.0]}\n";

fn with_night(text: &str) -> World {
    let world = World::new();
    std::fs::create_dir_all(world.project().join("configs")).unwrap();
    std::fs::write(world.project().join("configs/nightly.yaml"), text).unwrap();
    world
}

fn nights_of(world: &World) -> PathBuf {
    world.out("nights")
}

fn night(world: &World, more: &[&str]) -> Run {
    let nights = nights_of(world).display().to_string();
    let words = ["nightly", "--nights", &nights].into_iter().chain(more.iter().copied());
    world.run(&words.map(str::to_owned).collect::<Vec<_>>())
}

/// `night.json` of the newest night.
fn record(world: &World) -> Value {
    let text = std::fs::read(nights_of(world).join("latest/night.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn nights() {
    let world = with_night(NIGHT);
    let first = night(&world, &["--reports", world.out("page").to_str().unwrap()]);
    assert_eq!(first.code, Some(3), "one job could not begin: {first}");
    for word in ["| gone.nothing-9 | error |", "| call.mini-1.0 | pass | 6 pass |", "1 of 2 jobs passed"] {
        assert!(first.stdout.contains(word), "no {word:?}: {first}");
    }
    let pages = World::names(&world.out("page"));
    let wanted = ["call.mini-1.0.html", "call.mini-1.0.junit.xml", "call.mini-1.0.md", "night.md"];
    assert_eq!(pages, wanted);
    assert!(nights_of(&world).join("latest/call.mini-1.0/run.json").is_file());

    // By itself the good job is a good night, and nothing is worse than it was.
    let good = night(&world, &["call"]);
    assert_eq!(good.code, Some(0), "{good}");
    assert!(good.stdout.contains("no regression against the last night"), "{good}");
    assert_eq!(record(&world)["jobs"][0]["compared"]["regressions"], serde_json::json!([]));

    // QEMU dies: all cells are worse, and they are named.
    world.life("stderr qemu-system-x86_64: failed to initialize: no such thing\nexit 1\n");
    let worse = night(&world, &["call", "--gate", "regressions"]);
    assert_eq!(worse.code, Some(1), "{worse}");
    for word in ["6 regressions", "mini-1.0 patched m32", "## Worse than in"] {
        assert!(worse.stdout.contains(word), "no {word:?}: {worse}");
    }
    // Two are kept, and a gate on regressions takes the last night as it was.
    let same = night(&world, &["call", "--gate", "regressions"]);
    assert_eq!(same.code, Some(0), "{same}");
    assert_eq!(night(&world, &["call"]).code, Some(3));
    let kept = World::names(&nights_of(&world)).len();
    assert_eq!(kept, 3, "two nights and `latest`");
    assert_eq!(night(&world, &["nothing-of-this-name"]).code, Some(4));
}

fn budget() {
    let world = with_night(NIGHT);
    let late = night(&world, &["call", "--budget", "0"]);
    assert_eq!(late.code, Some(3), "{late}");
    assert!(late.stdout.contains("| call.mini-1.0 | miss | 6 miss (6 left out: budget) |"), "{late}");
    let run = std::fs::read(nights_of(&world).join("latest/call.mini-1.0/run.json")).unwrap();
    let run: Value = serde_json::from_slice(&run).unwrap();
    for cell in run["cells"].as_array().unwrap() {
        assert_eq!((&cell["verdict"], &cell["cause"]["kind"]), (&"miss".into(), &"budget".into()));
    }
    assert!(!world.cache.join("store/kernel").exists(), "nothing was built");
}

fn mutants() {
    let text = "budget_minutes: 30\nnights_kept: 9\njobs:\n  - {name: bugs, mutants: []}\n";
    let world = with_night(text);
    let source = std::fs::read_to_string(world.root().join("source/mini/lib/a.c")).unwrap();
    let mut lines = source.lines();
    let (first, rest) = (lines.next().unwrap(), lines.map(|line| format!(" {line}\n")).collect::<String>());
    let n = source.lines().count();
    let folder = world.project().join("kernels/mini-1.0/mutants");
    std::fs::create_dir_all(&folder).unwrap();
    let seeded = |seen: &str| {
        let patch = format!(
            "An object of another kernel.\n\nMutant-of: xyzzy\nExpect: fail panic \"{seen}\"\n---\n\
             diff --git a/lib/a.c b/lib/a.c\n--- a/lib/a.c\n+++ b/lib/a.c\n@@ -1,{n} +1,{n} @@\n-{first}\n\
             +#define VARIANT \"mutant\"\n{rest}"
        );
        std::fs::write(folder.join("object.patch"), patch).unwrap();
    };
    seeded("variant=mutant");
    let good = night(&world, &[]);
    assert_eq!(good.code, Some(0), "{good}");
    assert!(good.stdout.contains("| bugs | pass | 1 of 1 seeded bugs caught as they are to be |"), "{good}");
    // It is seen as something else.
    seeded("no such word");
    let page = world.out("page").display().to_string();
    let worse = night(&world, &["--gate", "regressions", "--reports", &page]);
    assert_eq!(worse.code, Some(1), "{worse}");
    for word in
        ["| bugs | fail | 0 of 1", "not: object", "1 regression against", "object: pass -> fail: -m64 "]
    {
        assert!(worse.stdout.contains(word), "no {word:?}: {worse}");
    }
    assert_eq!(World::names(&world.out("page")), ["bugs.junit.xml", "bugs.txt", "night.md"]);
    let junit = std::fs::read_to_string(world.out("page").join("bugs.junit.xml")).unwrap();
    assert!(junit.contains("failures=\"1\"") && junit.contains("not-caught"), "{junit}");
    assert_eq!(night(&world, &["--gate", "regressions"]).code, Some(0), "it is as it was");
    assert_eq!(night(&world, &[]).code, Some(1), "and as bad");
    // What had no time is no failure of the kernel's, and no pass.
    let late = night(&world, &["--budget", "0"]);
    assert_eq!(late.code, Some(3), "{late}");
    assert!(
        late.stdout.contains("| bugs | miss | 0 of 1") && late.stdout.contains("(1 left out: budget)"),
        "{late}"
    );
}

/// The command lines of a file: whatever begins with `cargo xtask`, up to the end of its line.
fn commands(file: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(PathBuf::from(support::checkout()).join(file)).unwrap();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let after = lines.filter_map(|line| line.split_once("xtask nightly")).map(|(_, rest)| rest);
    let words = |rest: &str| {
        let words = rest.trim_end_matches('\'').split_whitespace().filter(|word| !word.starts_with('$'));
        ["nightly"].into_iter().chain(words).map(str::to_owned).collect()
    };
    after.map(words).collect()
}

fn files() {
    let world = with_night(NIGHT);
    for file in [
        ".github/workflows/nightly.yml",
        ".gitlab/nightly.yml",
        "configs/nightly/abimatrix-nightly.service",
        "configs/nightly/crontab",
    ] {
        let found = commands(file);
        assert_eq!(found.len(), 1, "{file}: {found:?}");
        for mut words in found {
            // Installed here or not: apt is asked for nothing by the small kernel's world.
            words.retain(|word| word != "--setup");
            let home = world.out(&file.replace('/', "+"));
            for folder in words.iter_mut().filter(|word| matches!(word.as_str(), "night" | "nights")) {
                *folder = home.join(&folder).display().to_string();
            }
            words.push("call".to_owned());
            let run = world.run(&words);
            assert_eq!(run.code, Some(0), "{file}: {words:?}: {run}");
            // What the CI systems are told to take is there.
            let taken = World::names(&home.join("night"));
            let is_there = |end: &str| taken.iter().any(|name| name.ends_with(end));
            assert_eq!(is_there("night.md") && is_there(".junit.xml"), file.ends_with("yml"), "{taken:?}");
        }
    }
    let yaml = PathBuf::from(support::checkout()).join("configs/nightly.yaml");
    let plan = harness::plan::nightly::nightly(&yaml).unwrap();
    assert!(plan.jobs.iter().all(|job| job.words.len() > 1) && plan.jobs.len() > 20);
}
