//! Series that stand on one another, and mutants of one.

use serde_json::Value;

use super::support::Run;
use super::support::mini::{self, World};
use super::{assert_says, line_patch};

/// The small kernel as a user has it, a git repository: the series applied and not committed, then
/// committed, then in an mbox.
pub fn stacked() {
    let world = World::new();
    world.stacked_series("plugh");
    let run_of = |syscall: &str, more: &[&str]| {
        let mut args = world.args(&format!("{syscall}{}", more.concat()));
        syscall.clone_into(&mut args[1]);
        args.extend(more.iter().map(|word| word.to_string()));
        world.run(&args)
    };
    let record = |run: &Run| -> Value { serde_json::from_str(&run.stdout).unwrap() };
    let first = run_of("plugh", &["--stacked"]);
    world.assert_passed(&first);
    let kernel = record(&first)["kernels"][0].clone();
    assert_eq!(kernel["series"], serde_json::json!(["xyzzy", "plugh"]));
    let patches = serde_json::json!(["0001-call.patch", "0002-test.patch", "0001-all.patch"]);
    assert_eq!(kernel["patches"], patches);
    for (leg, line) in [("patched", "CONFIG_{}_SYSCALL=y"), ("config-off", "# CONFIG_{}_SYSCALL is not set")]
    {
        let config = world.out("plugh--stacked").join(format!("images/{}.{leg}.config", mini::KERNEL));
        let config = std::fs::read_to_string(config).unwrap();
        for option in ["XYZZY", "PLUGH"] {
            assert!(config.contains(&line.replace("{}", option)), "{leg} {option}: {config}");
        }
    }
    // The very same kernels, whichever is tested.
    let second = run_of("xyzzy", &["--stacked"]);
    world.assert_passed(&second);
    for stage in ["configure", "compile"] {
        let lines: Vec<&str> = second.stderr.lines().filter(|line| line.starts_with(stage)).collect();
        assert!(lines.len() == 2 && lines.iter().all(|line| line.ends_with("cached")), "{second}");
    }
    // And without the flag the lower one stands alone, and the upper one on it.
    for (syscall, series) in [("xyzzy", &["xyzzy"][..]), ("plugh", &["xyzzy", "plugh"])] {
        let run = run_of(syscall, &[]);
        world.assert_passed(&run);
        assert_eq!(record(&run)["kernels"][0]["series"], serde_json::json!(series));
    }
    world.stacked_series("grue");
    let fork = run_of("xyzzy", &["--stacked", "--dry-run"]);
    assert_says(&fork, 2, &["plugh/spec.yaml:6:8: grue stands on xyzzy, too: a stack is one line"]);
}

pub fn mutants() {
    let world = World::new();
    let folder = world.project().join("kernels").join(mini::KERNEL).join("mutants");
    std::fs::create_dir(&folder).unwrap();
    let mutant = |name: &str, expect: &str, line: &str| {
        let patch = std::fs::read_to_string(line_patch(&world, "lib/b.c", line)).unwrap();
        let text = format!("Subject: x\n\nMutant-of: xyzzy\nExpect: {expect}\n---\n{patch}");
        std::fs::write(folder.join(format!("{name}.patch")), text).unwrap();
    };
    mutant("no-build", "error build-failed \"seeded\"", "#error seeded");
    let run = |words: &[&str]| {
        let words = ["test", "--mutants"].iter().chain(words).map(|word| word.to_string());
        world.run(&words.collect::<Vec<_>>())
    };
    let caught = run(&[]);
    assert_eq!(caught.code, Some(0), "{caught}");
    assert!(caught.stdout.contains("1 of 1 mutants caught by what they name"), "{caught}");
    assert_eq!(run(&["other"]).code, Some(4));
    // One that nothing shows, and one that is caught by another thing than it names.
    mutant("harmless", "fail case-failed \"x\"", "int harmless;");
    mutant("mistaken", "error build-failed \"planted\"", "#error seeded");
    let missed = run(&[]);
    assert_eq!(missed.code, Some(1), "{missed}");
    for word in ["1 of 3 mutants caught", "not as named", "build-failed"] {
        assert!(missed.stdout.contains(word), "no {word:?}: {missed}");
    }
    assert_eq!(run(&["no-build"]).code, Some(0));
    mutant("mistaken", "maybe", "int x;");
    assert_says(&run(&[]), 2, &["mutants/mistaken.patch:4:1: it is `pass`"]);
}
