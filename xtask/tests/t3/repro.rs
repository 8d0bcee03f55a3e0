//! Earlier runs on a real kernel: judged again, run again, and as a bundle that needs QEMU and a shell.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::KERNEL;
use super::support::{Run, checkout, xtask};

/// A run that was just made, judged again by its logs.
#[track_caller]
pub fn replays_alike(run: &str) {
    let replay = xtask(&["replay", run]);
    assert_eq!(replay.code, Some(0), "{replay}");
    assert!(replay.stdout.contains(" cells judged again, 0 are not what they were"), "{replay}");
}

#[track_caller]
fn ends(run: &Run, code: i32, words: &[&str]) {
    assert_eq!(run.code, Some(code), "{run}");
    for word in words {
        assert!(run.stdout.contains(word), "no {word:?}: {run}");
    }
}

/// A run of one ABI's patched leg in a folder of its own, with this seeded bug if one is named.
fn ran(folder: &Path, abi: &str, mutant: Option<&str>, code: i32) -> String {
    let out = folder.join(format!("{abi}.{}", mutant.unwrap_or("good"))).display().to_string();
    let patch = mutant.map(|name| format!("{}/kernels/{KERNEL}/mutants/{name}.patch", checkout()));
    let mut args = vec!["test-syscall", "xyzzy", "--kernel", KERNEL, "--leg", "patched", "--abi", abi];
    args.extend(["--out", &out]);
    args.extend(patch.iter().flat_map(|patch| ["--extra-patch", patch]));
    let run = xtask(&args);
    assert_eq!(run.code, Some(code), "{run}");
    out
}

/// Bundles the only cell of a run, twice, and unpacks it in an empty folder.
fn unpacked(folder: &Path, run: &str, cell: &str) -> PathBuf {
    let name = Path::new(run).file_name().unwrap().to_str().unwrap();
    let [one, two] = [1, 2].map(|n| {
        let file = folder.join(format!("{name}.{n}.tar.zst"));
        ends(&xtask(&["repro", run, cell, "--bundle", file.to_str().unwrap()]), 0, &["start run.sh in it"]);
        std::fs::read(file).unwrap()
    });
    assert!(one == two, "two bundles of {name} differ");
    let into = folder.join(format!("{name}.unpacked"));
    let tar = ruzstd::decoding::StreamingDecoder::new(&one[..]).unwrap();
    tar::Archive::new(tar).unpack(&into).unwrap();
    into.join(format!("abimatrix-{KERNEL}.patched.{cell}"))
}

/// `run.sh` with nothing in its path but a folder with QEMU.
fn alone(bundle: &Path) -> Run {
    let path = bundle.join("../only-qemu");
    std::fs::create_dir_all(&path).unwrap();
    let qemu = ["/usr/local/bin", "/usr/bin"].map(|folder| Path::new(folder).join("qemu-system-x86_64"));
    let qemu = qemu.iter().find(|qemu| qemu.exists()).expect("this test needs qemu-system-x86_64");
    let link = path.join("qemu-system-x86_64");
    if !link.exists() {
        std::os::unix::fs::symlink(qemu, link).unwrap();
    }
    let mut command = Command::new("/bin/sh");
    command.arg(bundle.join("run.sh")).env_clear().env("PATH", &path);
    super::support::run(command)
}

pub fn again() {
    let scratch = tempfile::tempdir().unwrap();
    let good = ran(scratch.path(), "m32", None, 0);
    let bad = ran(scratch.path(), "m32", Some("flags-unchecked"), 1);
    for run in [&good, &bad] {
        ends(&xtask(&["replay", run]), 0, &["1 cells judged again, 0 are not what they were"]);
    }
    ends(&xtask(&["repro", &good, "m32"]), 0, &["it repeats: pass"]);
    ends(&xtask(&["repro", &bad, "--times", "2"]), 0, &["2 of 2 the same: fail: ", "unknown_flags"]);
    ends(&xtask(&["repro", &bad, "--until-fail"]), 1, &["1 of 1 the same: fail"]);
    // What a run says that was made by hand into another is seen.
    let images = |run: &str| Path::new(run).join(format!("images/{KERNEL}.patched.vmlinux"));
    std::fs::remove_file(images(&good)).unwrap();
    std::fs::copy(images(&bad), images(&good)).unwrap();
    let run = xtask(&["repro", &good, "m32"]);
    assert_eq!(run.code, Some(2), "{run}");
    assert!(run.stderr.contains("vmlinux is not what the run booted"), "{run}");
}

pub fn bundles() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let mut expected = Vec::new();
    for (abi, mutant, code, said) in [
        ("mx32", None, 0, "pass"),
        ("mx32", Some("flags-unchecked"), 1, "fail: "),
        ("m64", Some("panics"), 1, "Kernel panic"),
        ("m32", Some("oops-null"), 1, "NULL pointer"),
    ] {
        let run = ran(folder, abi, mutant, code);
        let bundle = unpacked(folder, &run, abi);
        ends(&alone(&bundle), 0, &[said, "it repeats: everything that decided it is as it was"]);
        expected.push((bundle, mutant));
    }
    // A kernel with the bug under what was expected without it.
    let (good, bad) = (&expected[0].0, &expected[1].0);
    std::fs::copy(bad.join("vmlinux"), good.join("vmlinux")).unwrap();
    ends(&alone(good), 1, &["it does not repeat", "is, and was not then: 0: not ok"]);
}
