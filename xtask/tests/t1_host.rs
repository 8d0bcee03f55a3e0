//! T1: the program on a host that is not well: full or read-only disks, damaged caches, a hostile
//! environment, compilers and QEMUs that fail. Every stage is real but the kernel, which is small,
//! and QEMU, which is played (see `support/mini.rs`).

#[path = "t1_host/attempts.rs"]
mod attempts;
#[path = "t1_host/disk.rs"]
mod disk;
#[path = "t1_host/selftests.rs"]
mod selftests;
#[path = "t1_host/series.rs"]
mod series;
#[path = "t1_host/ssh.rs"]
mod ssh;
mod support;
#[path = "t1_host/tree.rs"]
mod tree;

use std::path::Path;

use harness::process::Guard;
use harness::store::Store;
use serde_json::Value;
use support::Run;
use support::mini::{self, CELLS, World};

fn main() {
    if mini::played() {
        return;
    }
    support::run_all(&[
        ("a full cache is a clear error and never half an entry", disk::cache_on_a_full_disk),
        ("run.json on a full disk stays what it was", disk::record_on_a_full_disk),
        ("a read-only cache is one clear error", disk::read_only_cache),
        (
            "a folder for the run that cannot be written to is told before any work",
            disk::no_place_for_the_run,
        ),
        ("output that is full or closed is no panic", disk::full_output),
        (
            "reports are written whole when a run ends or is ended, and none of another run stays",
            disk::reports,
        ),
        ("damaged entries are made again, said aloud", disk::damaged_entries),
        ("a git mirror that a killed git left locked is used again", disk::dead_git),
        ("what dead runs left is swept, and their locks hold nobody up", disk::left_by_the_dead),
        ("nothing of the caller's environment reaches a child", hostile_environment),
        ("a folder far down is as good as any", far_down),
        ("a qemu that lacks something is told before any work", unfit_qemu),
        ("a qemu that exits at once is lost with its last words", qemu_exits),
        ("a cell that was lost once and then passes is flaky, and both attempts are kept", attempts::flaky),
        ("a run against a baseline fails for what is worse alone", attempts::against_a_baseline),
        ("what ends a run over ssh ends it before the program builds itself", ssh::before_it_is_built),
        ("a program that does not build with ssh is no exit code of cargo's", ssh::that_does_not_build),
        ("code that does not build is named by file and line", build_error),
        ("a compiler that is killed is not a fault of the code", compiler_killed),
        ("clean removes all, and the next run is right", disk::clean),
        ("one kernel serves all series that stand on one another", series::stacked),
        ("a mutant is caught by what it names, and one that is not makes the run fail", series::mutants),
        ("a user's own tree is built as it is, and nothing of it changes", tree::users_tree),
        (
            "a configuration is merged from all that was asked for, and what it turns off is missed",
            tree::recipe,
        ),
        ("a kselftest of a user's own tree is built as it was edited", tree::users_selftest),
        ("a test that a series adds is held to more than those that were there", selftests::old_and_new),
    ]);
}

/// A world in which everything was built once.
fn warm() -> World {
    let world = World::new();
    world.assert_passed(&world.run(&world.args("warm")));
    world
}

fn assert_sound(cache: &Path) {
    let store = Store::open(cache, &Guard::none()).unwrap();
    assert_eq!(store.damaged().unwrap(), []);
}

/// All cells have this verdict and cause, whose text has these words.
#[track_caller]
fn assert_cells(cells: &[Value], verdict: &str, kind: &str, words: &[&str]) {
    assert!(!cells.is_empty());
    for cell in cells {
        assert_eq!((&cell["verdict"], &cell["cause"]["kind"]), (&verdict.into(), &kind.into()), "{cell:#}");
        for word in words {
            assert!(cell["cause"]["text"].as_str().unwrap().contains(word), "{word}: {cell:#}");
        }
    }
}

#[track_caller]
fn assert_says(run: &Run, code: i32, words: &[&str]) {
    assert_eq!(run.code, Some(code), "{run}");
    for word in words {
        assert!(run.stderr.contains(word), "no {word:?}: {run}");
    }
    assert!(!run.stderr.contains("panicked"), "{run}");
}

fn hostile_environment() {
    let mut world = World::new();
    let evil = |name: &str| (name.to_owned(), "/evil".to_owned());
    world.env = [
        "MAKEFLAGS",
        "MAKEFILES",
        "MAKELEVEL",
        "GNUMAKEFLAGS",
        "KBUILD_OUTPUT",
        "KBUILD_BUILD_USER",
        "KCONFIG_CONFIG",
        "KCONFIG_ALLCONFIG",
        "KCFLAGS",
        "CFLAGS",
        "CPPFLAGS",
        "LDFLAGS",
        "HOSTCFLAGS",
        "CC",
        "CXX",
        "LD",
        "AR",
        "ARCH",
        "CROSS_COMPILE",
        "LLVM",
        "O",
        "V",
        "CPATH",
        "C_INCLUDE_PATH",
        "LIBRARY_PATH",
        "GCC_EXEC_PREFIX",
        "COMPILER_PATH",
        "LD_LIBRARY_PATH",
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_CONFIG",
        "GIT_CONFIG_GLOBAL",
        "GIT_INDEX_FILE",
        "TAR_OPTIONS",
        "XZ_OPT",
        "GZIP",
        "PERL5LIB",
        "BASH_ENV",
        "ENV",
        "CDPATH",
        "LANG",
        "LC_ALL",
        "LANGUAGE",
        "TZ",
        "QEMU_AUDIO_DRV",
        "LD_PRELOAD",
        "SOURCE_DATE_EPOCH",
        "CCACHE_PREFIX",
        "TMPDIR",
    ]
    .map(evil)
    .to_vec();
    let run = world.run(&world.args("hostile"));
    world.assert_passed(&run);
    let tree = world.cache.join("tree");
    let of_make = tree.join(&World::names(&tree)[0]).join("obj/env.log");
    let guests = world.played("env");
    assert_eq!(guests.len() % CELLS, 0);
    for env in guests.into_iter().chain([std::fs::read_to_string(of_make).unwrap()]) {
        assert!(!env.contains("evil"), "{env}");
        assert!(env.contains("LC_ALL=C"), "{env}");
    }
}

fn far_down() {
    let scratch = tempfile::tempdir().unwrap();
    // No UNIX socket could have a path there.
    let deep = (0..3).fold(scratch.path().canonicalize().unwrap(), |path, _| path.join("d".repeat(100)));
    std::fs::create_dir_all(&deep).unwrap();
    let world = World::below(deep);
    world.assert_passed(&world.run(&world.args("deep")));
}

fn unfit_qemu() {
    let world = World::new();
    let good = std::fs::read_to_string(world.bin().join("qemu-system-x86_64")).unwrap();
    let bad = [
        (good.replace("\"virtserialport\"", "\"isa-serial\""), ["has no virtserialport", "9.9.9"]),
        (
            good.replace("'microvm ", "'isapc ").replace("'q35 ", "'pc "),
            ["neither the microvm nor the q35", "9.9.9"],
        ),
        (
            good.replace("--version)", "--version) echo broken >&2; exit 1;;\nx)"),
            ["does not answer", "status 1"],
        ),
    ];
    for (text, words) in bad {
        assert_ne!(text, good);
        world.program("qemu-system-x86_64", &text);
        let run = world.run(&world.args("unfit"));
        assert_says(&run, 3, &words);
        assert_says(&run, 3, &["package qemu-system-x86"]);
        assert!(!world.cache.join("source").exists() && !world.out("unfit").exists(), "{run}");
    }
    // Without microvm there is another board.
    world.program("qemu-system-x86_64", &good.replace("'microvm ", "'isapc "));
    let run = world.run(&world.args("q35"));
    world.assert_passed(&run);
    let record: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(record["host"]["machine"], "q35");
}

fn qemu_exits() {
    let world = warm();
    world.life("stderr qemu-system-x86_64: failed to initialize: no such thing\nexit 1\n");
    let run = world.run(&world.args("exits"));
    assert_eq!(run.code, Some(3), "{run}");
    assert_cells(&run.cells(), "error", "lost-vm", &["status 1", "no such thing"]);
}

/// A patch that adds a line to the end of a file of the small kernel.
fn line_patch(world: &World, file: &str, line: &str) -> String {
    let text = std::fs::read_to_string(world.root().join("source/mini").join(file)).unwrap();
    let context: String = text.lines().flat_map(|line| [" ", line, "\n"]).collect();
    let n = text.lines().count();
    let patch = world.root().join("line.patch");
    let text = format!(
        "diff --git a/{file} b/{file}\n--- a/{file}\n+++ b/{file}\n@@ -1,{n} +1,{} @@\n{context}+{line}\n",
        n + 1
    );
    std::fs::write(&patch, text).unwrap();
    patch.display().to_string()
}

fn build_error() {
    let world = warm();
    // Wrong only where the option is on.
    let line = "#ifdef CONFIG_XYZZY_SYSCALL\n+int wrong = \"x\" + ;\n+#endif";
    let patch = line_patch(&world, "lib/b.c", line).to_owned();
    let text = std::fs::read_to_string(&patch).unwrap().replace(",4 @@", ",6 @@");
    std::fs::write(&patch, text).unwrap();
    let mut args = world.args("wrong");
    args.extend(["--extra-patch".to_owned(), patch]);
    let run = world.run(&args);
    assert_eq!(run.code, Some(3), "{run}");
    let (patched, off): (Vec<Value>, Vec<Value>) =
        run.cells().into_iter().partition(|cell| cell["leg"] == "patched");
    assert_cells(
        &patched,
        "error",
        "build-failed",
        &["lib/b.c:5", "error:", "mini-1.0 patched does not build"],
    );
    assert!(off.iter().all(|cell| cell["verdict"] == "pass") && off.len() == 3, "{run}");
}

fn compiler_killed() {
    let world = World::new();
    let gcc = |then: &str| format!("#!/bin/sh\ncase \"$*\" in\n{then}esac\nexec /usr/bin/gcc \"$@\"\n");
    world.program("gcc", &gcc("*lib/a.c) kill -KILL $$ ;;\n"));
    let run = world.run(&world.args("killed"));
    assert_eq!(run.code, Some(3), "{run}");
    assert_cells(
        &run.cells(),
        "error",
        "compiler-died",
        &["the compiler died", "Killed", "says nothing of the code"],
    );
    // One that dies for want of memory may live when it is alone: make has no other jobs then.
    let crowded = "*lib/a.c) case \"$MAKEFLAGS\" in *jobserver*) kill -KILL $$ ;; esac ;;\n";
    world.program("gcc", &gcc(crowded));
    let run = world.run(&world.variant("retried", "retried"));
    assert!(run.stderr.contains("once more, one job at a time"), "{run}");
    world.assert_passed(&run);
    // In the middle of the selftest, for one ABI; linking it in another way would be another program.
    let crash = "*-m32*-static*xyzzy_test.c) echo 'x.c:1: internal compiler error: Aborted' >&2; exit 4 ;;\n";
    world.program("gcc", &gcc(crash));
    let run = world.run(&world.args("crashed"));
    assert_eq!(run.code, Some(3), "{run}");
    let (m32, others): (Vec<Value>, Vec<Value>) =
        run.cells().into_iter().partition(|cell| cell["abi"] == "m32");
    assert_cells(&m32, "error", "compiler-died", &["internal compiler error", "selftest for -m32"]);
    assert!(others.iter().all(|cell| cell["verdict"] == "pass") && others.len() == 4, "{run}");
    world.program("gcc", &gcc(""));
    world.assert_passed(&world.run(&world.args("well")));
}
