//! Tier 0: the guest's C code against the vectors, and by every ABI's compiler.

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::model::Abi;

fn guest() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest")
}

/// Compiles C files below `guest/`; what the compiler says otherwise is the failure.
#[track_caller]
fn compile(options: &[&str], sources: &[PathBuf], output: &Path, needs: &str) {
    let guest = guest();
    let made = Command::new("gcc")
        .args(["-O2", "-Wall", "-Wextra", "-Werror"])
        .args(options)
        .arg("-I")
        .arg(guest.join("include"))
        .arg("-I")
        .arg(guest.join("agent"))
        .args(sources)
        .arg("-o")
        .arg(output)
        .output()
        .expect("this test needs gcc (Debian: gcc)");
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(
        made.status.success(),
        "gcc {options:?} failed; if something is missing, install {needs}:\n{said}"
    );
}

#[test]
fn the_agents_codec_agrees_with_the_vectors() {
    let folder = tempfile::tempdir().unwrap();
    let sources = ["tests/frame_vectors.c", "agent/frame.c", "agent/plan.c"].map(|name| guest().join(name));
    let sanitized = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    for (name, options) in [("plain", &[][..]), ("sanitized", &sanitized[..])] {
        let program = folder.path().join(name);
        compile(options, &sources, &program, "gcc's libasan and libubsan (Debian: libgcc-12-dev)");
        let ran = Command::new(&program)
            .arg(guest().join("vectors/frames.txt"))
            .env("ASAN_OPTIONS", "detect_leaks=0")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
        assert!(ran.status.success() && said.contains("vectors agree"), "{name}: {said}");
    }
}

#[test]
fn no_plan_makes_the_agents_parser_leave_its_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let sources = ["tests/plan_mutations.c", "agent/plan.c"].map(|name| guest().join(name));
    let program = folder.path().join("plan_mutations");
    let sanitized = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    compile(&sanitized, &sources, &program, "gcc's libasan and libubsan (Debian: libgcc-12-dev)");
    let mut command = Command::new(&program);
    let ran = command.args(["50000", "1"]).env("ASAN_OPTIONS", "detect_leaks=0").output().unwrap();
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert!(ran.status.success() && said.contains("50000 plans"), "{said}");
}

#[test]
fn what_carries_the_connection_is_tended() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("ssh_tended");
    compile(&[], &[guest().join("tests/ssh_tended.c")], &program, "gcc");
    let ran = Command::new(&program).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success() && said.contains("they go on"), "{said}");
}

#[test]
fn what_runs_in_the_guest_compiles_without_a_warning_for_every_abi() {
    let folder = tempfile::tempdir().unwrap();
    for abi in Abi::ALL {
        for part in ["agent", "contract", "probe", "relay"] {
            let sources: Vec<PathBuf> = std::fs::read_dir(guest().join(part))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
                .collect();
            assert!(!sources.is_empty(), "no sources in guest/{part}");
            let binary = folder.path().join(format!("{part}.{abi}"));
            compile(&[abi.flag(), "-static"], &sources, &binary, &abi.packages().join(" and "));
            let bytes = std::fs::read(&binary).unwrap();
            harness::build::elf::prove(&bytes, abi).unwrap_or_else(|found| panic!("{part}: {found}"));
        }
    }
}
