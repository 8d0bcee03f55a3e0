//! Disks that are full, read-only or damaged, and what dead runs left there: a clear error or a rebuild, said
//! aloud, and never half an entry.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use harness::report::format::Format;
use serde_json::Value;

use super::support::Run;
use super::support::mini::{CELLS, World};
use super::{assert_says, assert_sound, support, warm};

pub fn cache_on_a_full_disk() {
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

pub fn record_on_a_full_disk() {
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

pub fn read_only_cache() {
    let world = warm();
    let cache = world.cache.display();
    let script = format!("mount --bind {cache} {cache}; mount -o remount,bind,ro {cache}; exec \"$@\"");
    let run = world.run_in_namespace(&script, &world.args("read-only"));
    assert_says(&run, 2, &["the cache's folder", "not writable", "Read-only file system"]);
    assert!(run.stdout.is_empty(), "{run}");
}

pub fn no_place_for_the_run() {
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

pub fn full_output() {
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

pub fn reports() {
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

pub fn damaged_entries() {
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

pub fn dead_git() {
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

pub fn left_by_the_dead() {
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

pub fn clean() {
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
