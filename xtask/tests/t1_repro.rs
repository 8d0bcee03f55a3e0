//! T1: earlier runs, judged again, run again and bundled. Every stage is real but the kernel, which is
//! small, and QEMU, which is played (see `support/mini.rs`); `xtask/tests/t3/repro.rs` does the same on
//! a real one.

mod support;

use std::path::{Path, PathBuf};

use support::mini::{self, World};
use support::{Run, xtask};

const CELL: &str = "mini-1.0 patched m32";

fn main() {
    if mini::played() {
        return;
    }
    support::run_all(&[
        ("logs of all sorts of ends are judged as they were", replayed),
        ("a verdict that repeats is told from one that does not", repeated),
        ("changed, missing and foreign runs are one clear message", changed),
        ("a bundle is the same whenever it is made, and replaces nothing", bundled),
    ]);
}

fn repro(world: &World, args: &[&str]) -> Run {
    let args: Vec<String> = ["repro"].iter().chain(args).map(ToString::to_string).collect();
    world.run(&args)
}

#[track_caller]
fn says(run: &Run, code: i32, words: &[&str]) {
    assert_eq!(run.code, Some(code), "{run}");
    let said = format!("{}{}", run.stdout, run.stderr);
    for word in words {
        assert!(said.contains(word), "no {word:?}: {run}");
    }
    assert!(!said.contains("panicked"), "{run}");
}

fn folder(path: &Path) -> String {
    path.display().to_string()
}

fn replayed() {
    let world = World::new();
    let panic = "console <0>[    0.400000] Kernel panic - not syncing: sysrq triggered crash\nshutdown guest-reset\nexit 0";
    let oops = "console <1>[    0.400000] BUG: kernel NULL pointer dereference, address: 0000000000000000";
    for (name, at, more, code) in [
        ("well", "bye", "console on its way", 0),
        ("panic", "run-all", panic, 1),
        ("oops", "bye", oops, 1),
        ("damage", "bye", "damage crc", 3),
        ("reset", "run-all", "hello\nforever", 1),
        ("lost", "bye", "stderr qemu: no more\nexit 9", 3),
    ] {
        world.life_with(at, more);
        let run = world.run(&world.args(name));
        assert_eq!(run.code, Some(code), "{name}: {run}");
        let replay = xtask(&["replay", &folder(&world.out(name))]);
        says(&replay, 0, &["6 cells judged again, 0 are not what they were"]);
        says(&xtask(&["replay", &folder(&world.out(name)), CELL]), 0, &["1 cells judged again"]);
    }
}

fn repeated() {
    let world = World::new();
    world.life_with("bye", "console <0>[    0.400000] BUG: kernel NULL pointer dereference, address: 0");
    let red = world.run(&world.args("red"));
    assert_eq!(red.code, Some(1));
    let first = red.cells()[0].clone();
    let first = ["kernel", "leg", "abi"].map(|key| first[key].as_str().unwrap().to_owned()).join(" ");
    let out = folder(&world.out("red"));
    // Without a name it is the first that did not pass.
    let run = repro(&world, &[&out]);
    says(&run, 0, &[&format!("{first}: it repeats: fail: "), "BUG: kernel NULL pointer", "repro.1"]);
    says(&repro(&world, &[&out, "patched", "m32", "--times", "3"]), 0, &["3 of 3 the same: fail"]);
    says(&repro(&world, &[&out, CELL, "--until-fail"]), 1, &["1 of 1 the same: fail"]);
    says(&repro(&world, &[&out, CELL, "--case", "works"]), 0, &["it repeats: works: pass"]);
    // The guest does something else now.
    world.life_with("bye", "console all is well");
    let run = repro(&world, &[&out, CELL]);
    says(&run, 1, &["it does not repeat: was fail", "verdict: was fail, is pass", "1 of 1: pass"]);
    let run = repro(&world, &[&out, CELL, "--until-fail", "--times", "2"]);
    says(&run, 0, &["0 of 2 the same", "2 of 2: pass"]);
    // Nothing of the run was written over.
    says(&xtask(&["replay", &out]), 0, &["0 are not what they were"]);
    let names = World::names(&world.out("red"));
    assert_eq!(names.iter().filter(|name| name.starts_with("repro.")).count(), 6, "{names:?}");
    // By another QEMU, which is said.
    world.program(
        "qemu-system-x86_64",
        &std::fs::read_to_string(world.bin().join("qemu-system-x86_64")).unwrap().replace("9.9.9", "9.9.10"),
    );
    says(&repro(&world, &[&out, CELL]), 1, &["9.9.10", "and was QEMU emulator version 9.9.9"]);
    assert_eq!(world.processes(), []);
}

/// A copy of a run's folder.
fn copied(world: &World, name: &str) -> PathBuf {
    let copy = world.root().join("copy").join(name);
    std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
    let cp = std::process::Command::new("cp").arg("-a").arg(world.out("run")).arg(&copy).status();
    assert!(cp.unwrap().success());
    copy
}

fn changed() {
    let world = World::new();
    world.assert_passed(&world.run(&world.args("run")));
    let logs = "mini-1.0.patched.m32";
    let cut = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        std::fs::write(path, &bytes[..bytes.len() - 7]).unwrap();
    };
    let more = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        std::fs::write(path, text.replace("0", "1")).unwrap();
    };
    let gone = |path: &Path| std::fs::remove_file(path).unwrap();
    type Change<'a> = (&'a str, &'a dyn Fn(&Path), &'a str);
    let changes: [Change<'_>; 8] = [
        ("console.log", &cut, "patched m32: its journal does not fit the console's log"),
        ("console.log", &gone, "patched m32: its console.log cannot be read"),
        ("results.bin", &cut, "its journal does not fit the result port's log"),
        ("journal", &more, "its journal"),
        ("journal", &cut, "its journal has no end"),
        ("journal", &gone, "its journal cannot be read"),
        ("order.json", &more, "was changed after the run had written it"),
        ("order.json", &gone, "order.json"),
    ];
    for (n, (file, change, said)) in changes.iter().enumerate() {
        let copy = copied(&world, &n.to_string());
        change(&copy.join(logs).join(file));
        says(&xtask(&["replay", &folder(&copy)]), 2, &[said]);
    }
    // A folder that was moved is as good as it was.
    let copy = copied(&world, "moved");
    says(&xtask(&["replay", &folder(&copy)]), 0, &["6 cells"]);
    says(&repro(&world, &[&folder(&copy), CELL]), 0, &["it repeats: pass"]);
    // The images are links into the cache: what is written here must not be written there.
    let image = copy.join("images/mini-1.0.m32.initramfs");
    let bytes = std::fs::read(&image).unwrap();
    gone(&image);
    std::fs::write(&image, [&bytes[..], b"x"].concat()).unwrap();
    says(&repro(&world, &[&folder(&copy), CELL]), 2, &["initramfs is not what the run booted"]);
    gone(&image);
    says(&repro(&world, &[&folder(&copy), CELL]), 2, &["mini-1.0.m32.initramfs"]);
    says(&repro(&world, &[&folder(&copy), "config-off", "m64"]), 0, &["it repeats"]);
    let out = folder(&world.out("run"));
    says(&repro(&world, &[&out]), 2, &["every cell of the run passed: name one of them", CELL]);
    says(&repro(&world, &[&out, "m33"]), 2, &["no cell of the run is called `m33`"]);
    says(&repro(&world, &[&out, "m32"]), 2, &["several cells"]);
    says(
        &repro(&world, &[&out, CELL, "--case", "nonsense"]),
        2,
        &["it has no case `nonsense`, but\n  works"],
    );
    says(&repro(&world, &[&folder(world.root())]), 2, &["no run: there is no run.json in it"]);
}

/// The files of a bundle, unpacked.
fn unpack(bundle: &Path, into: &Path) {
    let packed = std::fs::read(bundle).unwrap();
    let tar = ruzstd::decoding::StreamingDecoder::new(&packed[..]).unwrap();
    tar::Archive::new(tar).unpack(into).unwrap();
}

fn bundled() {
    let world = World::new();
    world.assert_passed(&world.run(&world.args("run")));
    let out = folder(&world.out("run"));
    let [one, two] = ["one", "two"].map(|name| world.root().join(format!("{name}.tar.zst")));
    says(&repro(&world, &[&out, CELL, "--bundle", &folder(&one)]), 0, &["start run.sh in it"]);
    says(&repro(&world, &[&out, CELL, "--bundle", &folder(&one)]), 2, &["is there already: name a new file"]);
    says(&repro(&world, &[&out, CELL, "--bundle", &folder(&two)]), 0, &[]);
    assert!(std::fs::read(&one).unwrap() == std::fs::read(&two).unwrap(), "two bundles of one cell differ");
    let into = world.root().join("unpacked");
    unpack(&one, &into);
    let inside = into.join("abimatrix-mini-1.0.patched.m32");
    for name in [
        "run.sh",
        "README",
        "vmlinux",
        "initramfs",
        "config",
        "versions",
        "expected",
        "verdict",
        "SHA256SUMS",
    ] {
        assert!(inside.join(name).is_file(), "{name}");
    }
    assert_eq!(World::names(&inside.join("patches")), ["001.0001-call.patch", "002.0002-test.patch"]);
    let expected = std::fs::read_to_string(inside.join("expected")).unwrap();
    for line in ["0: ok 1 works", "end 0 exit 0 tainted 0", "bye", "machine: went off"] {
        assert!(expected.lines().any(|found| found == line), "{line}: {expected}");
    }
    let checked = std::process::Command::new("sha256sum")
        .args(["-c", "--quiet", "SHA256SUMS"])
        .current_dir(&inside)
        .status();
    assert!(checked.unwrap().success());
    // One that was changed is refused before anything is booted.
    std::fs::write(inside.join("expected"), "bye\n").unwrap();
    let run = std::process::Command::new("/bin/sh").arg(inside.join("run.sh")).output().unwrap();
    assert_eq!(run.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&run.stderr).contains("a file was changed or is missing"));
}
