//! T1: the program on a host that is not well: full or read-only disks, damaged caches, a hostile
//! environment, compilers and QEMUs that fail. Every stage is real but the kernel, which is small,
//! and QEMU, which is played (see `support/mini.rs`).

mod support;

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use harness::process::Guard;
use harness::report::format::Format;
use harness::store::Store;
use serde_json::Value;
use support::Run;
use support::mini::{self, CELLS, World};

fn main() {
    if mini::played() {
        return;
    }
    support::run_all(&[
        ("a full cache is a clear error and never half an entry", cache_on_a_full_disk),
        ("run.json on a full disk stays what it was", record_on_a_full_disk),
        ("a read-only cache is one clear error", read_only_cache),
        ("a folder for the run that cannot be written to is told before any work", no_place_for_the_run),
        ("output that is full or closed is no panic", full_output),
        ("reports are written whole when a run ends or is ended, and none of another run stays", reports),
        ("damaged entries are made again, said aloud", damaged_entries),
        ("a git mirror that a killed git left locked is used again", dead_git),
        ("what dead runs left is swept, and their locks hold nobody up", left_by_the_dead),
        ("nothing of the caller's environment reaches a child", hostile_environment),
        ("a folder far down is as good as any", far_down),
        ("a qemu that lacks something is told before any work", unfit_qemu),
        ("a qemu that exits at once is lost with its last words", qemu_exits),
        ("a cell that was lost once and then passes is flaky, and both attempts are kept", flaky),
        ("a run against a baseline fails for what is worse alone", against_a_baseline),
        ("code that does not build is named by file and line", build_error),
        ("a compiler that is killed is not a fault of the code", compiler_killed),
        ("clean removes all, and the next run is right", clean),
        ("one kernel serves all series that stand on one another", stacked),
        ("a mutant is caught by what it names, and one that is not makes the run fail", mutants),
        ("a user's own tree is built as it is, and nothing of it changes", users_tree),
        ("a kselftest of a user's own tree is built as it was edited", users_selftest),
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

fn cache_on_a_full_disk() {
    let world = warm();
    let full = world.root().join("full");
    std::fs::create_dir(&full).unwrap();
    // A warm cache on a small disk of which so much is left, and a series that is new to it.
    for (index, left_kib) in [8, 200, 900, 2500].into_iter().enumerate() {
        let name = format!("full{index}");
        let after = world.root().join(format!("after{index}"));
        let script = format!(
            "mount -t tmpfs -o size=48m none {full}; cp -a {cache} {full}/cache
             free=$(df --output=avail -k {full} | tail -1)
             head -c $(( (free - {left_kib}) * 1024 )) /dev/zero > {full}/filler
             set +e; \"$@\"; code=$?; set -e
             rm {full}/filler; cp -a {full}/cache {after}; exit $code",
            full = full.display(),
            cache = world.cache.display(),
            after = after.display(),
        );
        let run =
            world.with_cache(full.join("cache")).run_in_namespace(&script, &world.variant(&name, &name));
        assert!(matches!(run.code, Some(2 | 3)), "{left_kib} KiB: {run}");
        let told = format!("{}{}", run.stdout, run.stderr);
        assert!(told.contains("No space left") || told.contains("full"), "{left_kib} KiB: {run}");
        assert!(!told.contains("panicked"), "{run}");
        if run.code == Some(3) && !run.stdout.is_empty() {
            assert!(run.cells().iter().any(|cell| cell["verdict"] == "error"), "{run}");
            assert!(run.cells().iter().all(|cell| cell["verdict"] != "fail"), "{run}");
        }
        assert_eq!(World::names(&after.join("scratch")), [""; 0], "{run}");
        assert_sound(&after);
        // With room again, what is there is as good as new.
        let again = world.with_cache(after);
        again.assert_passed(&again.run(&again.variant(&name, &format!("{name}.again"))));
        assert_eq!(World::names(&again.cache.join("bad")), [""; 0]);
    }
}

fn record_on_a_full_disk() {
    let world = warm();
    // Everything is cached: of what is written, only run.json grows beyond eight KiB. That is told by
    // an error for a write as on a full disk, once the signal that goes with it is ignored.
    let mut command = Command::new("sh");
    let program = world.command(&world.args("record"));
    command.args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$@\"", "sh"]);
    command.arg(program.get_program()).args(program.get_args()).env_clear().stdin(Stdio::null());
    command.envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let run = support::run(command);
    assert_says(&run, 3, &["the run cannot be written down", "File too large"]);
    let out = world.out("record");
    let record: Value = serde_json::from_slice(&std::fs::read(out.join("run.json")).unwrap()).unwrap();
    let cells = record["cells"].as_array().unwrap();
    assert!((1..CELLS).contains(&cells.len()), "{record:#}");
    assert_eq!(record["state"], "running", "{record:#}");
    assert!(World::names(&out).iter().all(|name| !name.starts_with('.')), "{:?}", World::names(&out));
    assert_sound(&world.cache);
}

fn read_only_cache() {
    let world = warm();
    let cache = world.cache.display();
    let script = format!("mount --bind {cache} {cache}; mount -o remount,bind,ro {cache}; exec \"$@\"");
    let run = world.run_in_namespace(&script, &world.args("read-only"));
    assert_says(&run, 2, &["the cache's folder", "not writable", "Read-only file system"]);
    assert!(run.stdout.is_empty(), "{run}");
}

fn no_place_for_the_run() {
    let world = World::new();
    let mut args = world.args("x");
    let out = args.iter().position(|arg| arg == "--out").unwrap() + 1;
    args[out] = "/proc/abimatrix/run".to_owned();
    assert_says(&world.run(&args), 3, &["cannot make /proc/abimatrix/run"]);
    let there = world.root().join("there");
    std::fs::create_dir(&there).unwrap();
    args[out] = there.display().to_string();
    let script = format!("mount -t tmpfs -o ro none {}; exec \"$@\"", there.display());
    let run = world.run_in_namespace(&script, &args);
    assert_says(&run, 3, &["the run cannot be written down", "Read-only file system"]);
    assert!(!world.cache.join("source").exists(), "something was unpacked");
}

fn full_output() {
    let world = warm();
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    for (name, stdout, code) in [("full", Stdio::from(full()), 3), ("closed", Stdio::piped(), 3)] {
        let mut command = world.command(&world.args(name));
        let mut child = command.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!text.contains("panicked"), "{name}: {text}");
        assert_eq!(output.status.code(), Some(code), "{name}: {text}");
        let record = std::fs::read(world.out(name).join("run.json")).unwrap();
        let record: Value = serde_json::from_slice(&record).unwrap();
        assert_eq!(record["state"], "complete", "{record:#}");
    }
    // Progress that nobody can read is no reason to end a run.
    let output = world.command(&world.args("deaf")).stderr(full()).output().unwrap();
    let run = Run {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::new(),
    };
    world.assert_passed(&run);
}

/// `--report` for each format, into this folder.
fn asked(folder: &Path) -> Vec<String> {
    let to = |format: &Format| ["--report".to_owned(), format!("{format}={}/{format}", folder.display())];
    Format::ALL.iter().flat_map(to).collect()
}

fn reports() {
    let world = warm();
    let read = |folder: &Path, format: Format| std::fs::read_to_string(folder.join(format.name()));
    let args = |name: &str, folder: &Path| [world.args(name), asked(folder)].concat();
    // The run's own folder is made by the run.
    let run = world.run(&args("reported", &world.out("reported")));
    world.assert_passed(&run);
    for format in Format::ALL {
        let out = world.out("reported");
        let told = support::xtask(&["report", out.to_str().unwrap(), "--format", format.name()]);
        assert_eq!(read(&out, format).unwrap(), told.stdout, "{format}");
    }
    let schema = std::fs::read(Path::new(&support::checkout()).join("docs/run.schema.json")).unwrap();
    let schema = jsonschema::draft202012::new(&serde_json::from_slice(&schema).unwrap()).unwrap();
    let record: Value =
        serde_json::from_slice(&std::fs::read(world.out("reported/run.json")).unwrap()).unwrap();
    assert!(schema.is_valid(&record), "{:?}", schema.validate(&record));
    // Ended by the user in a guest that never ends by itself.
    world.life("console Linux version 1.0.0-mini (gcc) #1 SMP\nhello\nforever\n");
    let folder = world.root().join("reports");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("junit"), "of yesterday").unwrap();
    let mut started = world.start(&args("ended", &folder));
    started.wait_for("boot ");
    assert!(!folder.join("junit").exists(), "yesterday's report would be taken for this run's");
    started.signal("INT");
    let run = started.finish();
    assert_eq!(run.code, Some(130), "{run}");
    for format in Format::ALL {
        let text = read(&folder, format).unwrap();
        assert!(text.contains("INTERRUPTED") || text.contains("\"interrupted\""), "{format}: {text}");
    }
    let record: Value = serde_json::from_slice(&std::fs::read(folder.join("json")).unwrap()).unwrap();
    assert!(schema.is_valid(&record), "{:?}", schema.validate(&record));
    let junit = read(&folder, Format::Junit).unwrap();
    let cells = junit.matches("<testsuite ").count();
    assert_eq!(cells, 1 + CELLS, "{junit}");
    assert!(!junit.contains("errors=\"0\""), "{junit}");
    // What is printed goes nowhere: the files are there all the same.
    world.life_with("bye", "sleep 1");
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = world.command(&args("deaf", &folder)).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(read(&folder, Format::Junit).unwrap().contains("failures=\"0\""));
    assert_eq!(World::names(&folder).len(), Format::ALL.len(), "nothing is left half written");
}

/// The files of this name in the entries of a kind.
fn entry_files(world: &World, kind: &str, file: &str) -> Vec<PathBuf> {
    let folder = world.cache.join("entry").join(kind);
    let files: Vec<PathBuf> =
        World::names(&folder).iter().map(|key| folder.join(key).join(file)).filter(|f| f.exists()).collect();
    assert!(!files.is_empty(), "{kind}/*/{file}");
    files
}

fn damaged_entries() {
    let world = warm();
    let kernel = &entry_files(&world, "kernel", "vmlinux")[0];
    let file = std::fs::File::options().read(true).write(true).open(kernel).unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[byte[0] ^ 1], middle).unwrap();
    std::fs::remove_file(&entry_files(&world, "image", "initramfs")[0]).unwrap();
    std::fs::write(entry_files(&world, "guest", "agent")[0].with_file_name("more"), "").unwrap();
    let run = world.run(&world.args("damaged"));
    world.assert_passed(&run);
    for word in ["vmlinux has changed", "initramfs is gone", "more was added", "it is made again"] {
        assert!(run.stderr.contains(word), "{word}: {run}");
    }
    assert_eq!(World::names(&world.cache.join("bad")).len(), 3, "{run}");
    assert_sound(&world.cache);
    // A source that somebody wrote to is unpacked again, and the work tree with it.
    let source = world.cache.join("source");
    let source = source.join(&World::names(&source)[0]).join("tree/lib/a.c");
    std::fs::write(&source, "int written_to;\n").unwrap();
    let run = world.run(&world.variant("written", "written"));
    world.assert_passed(&run);
    assert!(run.stderr.contains("was written to: it is unpacked again"), "{run}");
}

fn dead_git() {
    let world = World::new();
    world.use_git();
    world.assert_passed(&world.run(&world.args("git")));
    let mirrors = world.cache.join("git");
    let mirror = mirrors.join(&World::names(&mirrors)[0]);
    for lock in ["shallow.lock", "config.lock", "HEAD.lock"] {
        std::fs::write(mirror.join(lock), "").unwrap();
    }
    // A later commit has to be fetched, and the source unpacked.
    let source = world.root().join("source/mini");
    std::fs::write(source.join("README"), "more\n").unwrap();
    world.use_git();
    let run = world.run(&world.args("git-again"));
    world.assert_passed(&run);
    assert_eq!(World::names(&world.cache.join("source")).len(), 2, "{run}");
}

fn left_by_the_dead() {
    let world = warm();
    for lock in World::names(&world.cache.join("lock")) {
        std::fs::write(world.cache.join("lock").join(lock), "process 999999").unwrap();
    }
    let scratch = world.cache.join("scratch");
    let [dead, unborn] = ["run-dead", "run-unborn"].map(|name| scratch.join(name));
    std::fs::create_dir_all(dead.join("config-x")).unwrap();
    std::fs::write(dead.join("lock"), "").unwrap();
    // Killed before it had its lock, an hour ago.
    std::fs::create_dir(&unborn).unwrap();
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    std::fs::File::open(&unborn).unwrap().set_modified(hour_ago).unwrap();
    let run = world.run(&world.variant("heir", "heir"));
    world.assert_passed(&run);
    assert!(!run.stderr.contains("waiting"), "{run}");
    assert_eq!(World::names(&scratch), [""; 0]);
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

/// Words of a run, without the format that is theirs.
fn with(args: Vec<String>, more: &[&str]) -> Vec<String> {
    args.into_iter().chain(more.iter().map(|word| (*word).to_owned())).collect()
}

const LOST: &str = "console Linux version 1.0.0-mini\nstderr qemu: out of memory\nexit 1\n";

fn flaky() {
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

fn against_a_baseline() {
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

fn clean() {
    let world = warm();
    let clean = |more: &[&str]| {
        let args: Vec<String> =
            std::iter::once(&"clean").chain(more).map(|word| (*word).to_owned()).collect();
        world.run(&args)
    };
    let nothing = clean(&[]);
    assert_eq!(nothing.code, Some(0), "{nothing}");
    assert!(nothing.stdout.contains("removed 0 things"), "{nothing}");
    let all = clean(&["--all"]);
    assert_eq!(all.code, Some(0), "{all}");
    for kind in ["source", "tree", "entry/kernel", "entry/image", "bad", "scratch"] {
        assert_eq!(World::names(&world.cache.join(kind)), [""; 0], "{kind}: {all}");
    }
    world.assert_passed(&world.run(&world.args("anew")));
    assert_sound(&world.cache);
}

/// The small kernel as a user has it, a git repository: the series applied and not committed, then
/// committed, then in an mbox.
fn stacked() {
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

fn mutants() {
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

fn users_tree() {
    let world = World::new();
    world.use_git();
    let tree = world.root().join("source/mini");
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(&tree).args(["-c", "user.name=x", "-c", "user.email=x@x"]).args(args);
        let said = git.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
        assert!(said.status.success(), "{args:?}: {}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).unwrap()
    };
    let run = |out: &str, more: &[&str]| {
        let before = everything(&tree);
        let mut args = world.args(out);
        args.extend(["--tree".to_owned(), tree.display().to_string()]);
        args.extend(
            ["--option", "CONFIG_XYZZY_SYSCALL", "--selftest", "xyzzy"]
                .iter()
                .chain(more)
                .map(|word| (*word).to_owned()),
        );
        let run = world.run(&args);
        assert_eq!(everything(&tree), before, "the user's tree was written to: {run}");
        run
    };
    let legs = |run: &Run| run.cells().iter().map(|cell| cell["leg"].clone()).collect::<Vec<_>>();
    let kernel = |run: &Run| {
        let record: Value = serde_json::from_str(&run.stdout).unwrap();
        record["kernels"][0].clone()
    };
    let series = world.project().join("kernels").join(mini::KERNEL).join("xyzzy");
    let patches = ["0001-call.patch", "0002-test.patch"].map(|name| series.join(name));
    for patch in &patches {
        git(&["apply", patch.to_str().unwrap()]);
    }
    // As a build in place leaves it.
    std::fs::write(tree.join(".gitignore"), "*.o\n.config\n").unwrap();
    std::fs::write(tree.join(".config"), "CONFIG_NOISE=y\n").unwrap();
    std::fs::write(tree.join("lib/a.o"), "not an object").unwrap();
    let dirty = run("dirty", &[]);
    world.assert_passed(&dirty);
    let of_tree = &kernel(&dirty)["tree"];
    assert_eq!(of_tree["path"], tree.to_str().unwrap(), "{dirty}");
    assert!(of_tree["dirty"].as_str().unwrap().contains("2 files changed"), "{dirty}");
    assert!(dirty.stderr.contains("no series"), "{dirty}");
    // An edit is laid over what is there: source, work tree and objects stay where they are.
    let source = std::fs::read_to_string(tree.join("lib/b.c")).unwrap();
    std::fs::write(tree.join("lib/b.c"), source.clone() + "int edited;\n").unwrap();
    world.assert_passed(&run("edited", &[]));
    for kind in ["source", "tree"] {
        assert_eq!(World::names(&world.cache.join(kind)).len(), 1, "{kind}");
    }
    std::fs::write(tree.join("lib/b.c"), source).unwrap();
    // Committed: the commits are the series, and there is a leg without them.
    git(&["add", "arch", "kernel"]);
    git(&["commit", "--quiet", "--message", "the call"]);
    git(&["add", "tools"]);
    git(&["commit", "--quiet", "--message", "its test"]);
    let three = ["--leg", "patched", "--leg", "config-off", "--leg", "unpatched"];
    let ranged = run("range", &[&["--range", "HEAD~2..HEAD"], &three[..]].concat());
    assert_eq!(ranged.code, Some(0), "{ranged}");
    assert_eq!((legs(&ranged).len(), &legs(&ranged)[8]), (9, &"unpatched".into()), "{ranged}");
    assert_eq!(kernel(&ranged)["patches"], serde_json::json!(["0001-the-call.patch", "0002-its-test.patch"]));
    // Mailed.
    let mbox = world.root().join("series.mbox");
    std::fs::write(&mbox, git(&["format-patch", "--stdout", "HEAD~2..HEAD"])).unwrap();
    git(&["checkout", "--quiet", "--detach", "HEAD~2"]);
    let mailed = run("mailed", &[&["--patches", mbox.to_str().unwrap()], &three[..]].concat());
    assert_eq!((mailed.code, legs(&mailed).len()), (Some(0), 9), "{mailed}");
    // Without it there is no such call.
    assert_says(&run("without", &[]), 2, &["have no xyzzy", tree.to_str().unwrap()]);
}

/// The guest that is played says yes to programs of the kernel's own variant alone.
fn users_selftest() {
    const MAKEFILE: &str = "progs := t $(if $(findstring -m32,$(CC)),only32)\nall:\n\
        \tset -e; for p in $(progs); do $(CC) $(KHDR_INCLUDES) -o $(OUTPUT)/$$p t.c; done\n\
        install: all\n\tfor p in $(progs); do cp $(OUTPUT)/$$p $(INSTALL_PATH); done\n\
        emit_tests:\n\t@for p in $(progs); do echo \"$(COLLECTION):$$p\"; done\n";
    const TEST: &str = "#include <stdio.h>\n#include \"variant.h\"\n#include \"../shared.h\"\n\
        int main(void) { return puts(\"selftest variant=\" VARIANT EDITED \";\") < 0; }\n";
    let world = World::new();
    let tree = world.root().join("source/mini");
    let selftests = tree.join("tools/testing/selftests");
    let write = |path: &str, text: &str| {
        let path = selftests.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let run = |dir: &str, out: &str| {
        let mut args =
            ["test-selftest", dir, "--format", "json", "-vv", "--accel", "tcg"].map(str::to_owned).to_vec();
        let out = world.out(out).display().to_string();
        args.extend(["--tree".to_owned(), tree.display().to_string(), "--out".to_owned(), out]);
        let before = everything(&tree);
        let run = world.run(&args);
        assert_eq!(everything(&tree), before, "the user's tree was written to: {run}");
        run
    };
    let verdicts = |run: &Run, program: &str| -> Vec<String> {
        let cells = run.cells().into_iter().filter(|cell| cell["program"] == program);
        cells.map(|cell| cell["verdict"].as_str().unwrap().to_owned()).collect()
    };
    write("kselftest/runner.sh", "");
    write("mine/Makefile", MAKEFILE);
    write("mine/t.c", TEST);
    write("shared.h", "#define EDITED\n");
    let first = run("mine", "first");
    assert_eq!(verdicts(&first, "t"), ["pass"; 3], "{first}");
    // One ABI's alone is missed for the others, and not left out.
    assert_eq!(verdicts(&first, "only32"), ["miss", "pass", "miss"], "{first}");
    assert!(first.stdout.contains("not-listed"), "{first}");
    // The header beside it, and so the test, is another one by now.
    write("shared.h", "#define EDITED \"edited\"\n");
    let edited = run("mine", "edited");
    assert_eq!(verdicts(&edited, "t"), ["fail"; 3], "{edited}");
    assert!(edited.stdout.contains("baseedited"), "{edited}");
    write("shared.h", "#define EDITED\n");
    // A directory that is new since the tree was copied.
    write("new/Makefile", MAKEFILE);
    write("new/t.c", TEST);
    let new = run("new", "new");
    assert_eq!(verdicts(&new, "t"), ["pass"; 3], "{new}");
    // What was named and has nothing to run is an error.
    write("empty/Makefile", "emit_tests:\n\t@:\n");
    let empty = run("empty", "empty");
    assert_eq!(verdicts(&empty, "Makefile"), ["error"; 3], "{empty}");
    assert!(empty.stdout.contains("lists no program"), "{empty}");
}

/// Name, mode, size, times and content of all that is in a folder.
fn everything(folder: &Path) -> Vec<(PathBuf, u32, SystemTime, Vec<u8>)> {
    let mut found = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(path) = todo.pop() {
        let meta = std::fs::symlink_metadata(&path).unwrap();
        let content = if meta.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
        if meta.is_dir() {
            todo.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let mode = std::os::unix::fs::MetadataExt::mode(&meta);
        found.push((path, mode, meta.modified().unwrap(), content));
    }
    found.sort();
    found
}
