//! The invariants of ARCHITECTURE.md that a reader of the sources can check, checked.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All files below `folder` with this ending, by their paths from the top.
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut todo = vec![root().join(folder)];
    while let Some(folder) = todo.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else if path.to_str().unwrap().ends_with(ending) {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "no {ending} below {folder}");
    found.sort();
    found
}

fn is_test(name: &str) -> bool {
    name.contains("/tests") || name.ends_with("tests.rs")
}

/// A source without its `#[cfg(test)]` module, which stands at its end.
fn shipped(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

#[track_caller]
fn nowhere(folder: &str, words: &[&str], but: &[&str], why: &str) {
    for (name, text) in files(folder, ".rs") {
        if is_test(&name) || but.iter().any(|allowed| name.ends_with(allowed)) {
            continue;
        }
        for (number, line) in shipped(&text).lines().enumerate() {
            let code = line.split("//").next().unwrap_or(line);
            if let Some(word) = words.iter().find(|word| code.contains(**word)) {
                panic!("{name}:{}: `{word}`: {why}", number + 1);
            }
        }
    }
}

#[test]
fn the_verbs_import_only_what_lies_before_them() {
    let no = |folder: &str, verbs: &[&str]| {
        let words: Vec<String> = verbs.iter().map(|verb| format!("crate::{verb}")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        nowhere(&format!("harness/src/{folder}"), &words, &[], "design: no circles between the verbs");
    };
    no("model", &["limits", "process", "store", "plan", "build", "boot", "judge", "report", "run"]);
    no("process", &["store", "plan", "build", "boot", "judge", "report", "run"]);
    no("store", &["plan", "build", "boot", "judge", "report", "run"]);
    no("plan", &["build", "boot", "judge", "report", "run"]);
    no("build", &["boot", "judge", "report", "run"]);
    no("judge", &["process", "store", "plan", "build", "boot", "report", "run"]);
    no("boot", &["build", "report", "run"]);
    no("report", &["process", "plan", "build", "boot", "run"]);
}

#[test]
fn one_file_knows_qemus_options() {
    let words = ["\"-machine", "\"-accel", "-chardev", "virtserialport", "\"accel\"", "hostfwd", "-netdev"];
    nowhere(
        "harness/src",
        &words,
        &["boot/qemu.rs", "plan/host.rs"],
        "only boot/qemu.rs builds QEMU's arguments",
    );
}

#[test]
fn the_judge_and_the_record_know_no_clock_and_no_file() {
    let words = ["Instant::now", "SystemTime", "std::fs", "fs_err", "std::process", "tokio"];
    nowhere("harness/src/judge", &words, &[], "judge/ is pure");
    nowhere("harness/src/model", &words, &[], "model/ is pure");
}

#[test]
fn only_xtask_prints_reads_the_environment_or_ends_the_process() {
    let words = ["println!", "eprintln!", "print!(", "env::var", "process::exit"];
    // The break switches of a test build are the exception, and say so.
    nowhere("harness/src", &words, &["src/broken.rs"], "that is xtask's");
}

#[test]
fn there_is_no_shell() {
    let words = ["Cmd::new(\"sh\")", "Cmd::new(\"bash\")", "Command::new(\"sh\")", "\"/bin/sh\""];
    nowhere("harness/src", &words, &[], "argument vectors only");
    nowhere("xtask/src", &words, &[], "argument vectors only");
}

#[test]
fn unsafe_code_stands_in_two_files() {
    let words = ["unsafe {", "unsafe fn", "unsafe impl"];
    nowhere("harness/src", &words, &["process/mod.rs", "boot/accel.rs"], "see ARCHITECTURE.md");
    nowhere("xtask/src", &words, &[], "see ARCHITECTURE.md");
}

#[test]
fn every_module_says_what_it_is_for() {
    for folder in ["harness/src", "xtask/src"] {
        for (name, text) in files(folder, ".rs") {
            assert!(is_test(&name) || text.starts_with("//! "), "{name} has no module doc");
        }
    }
}

#[test]
fn what_runs_in_the_guest_or_the_kernel_says_its_licence() {
    for ending in [".c", ".h"] {
        for (name, text) in files("guest", ending) {
            let first = text.lines().next().unwrap_or_default();
            assert!(first.contains("SPDX-License-Identifier: GPL-2.0"), "{name}: {first}");
        }
    }
    for (name, text) in files("kernels", ".patch") {
        for added in text.split("new file mode").skip(1) {
            let file = added.split("diff --git").next().unwrap_or(added);
            let source = file
                .lines()
                .any(|line| line.starts_with("+++ b/") && (line.ends_with(".c") || line.ends_with(".h")));
            assert!(
                !source || file.contains("SPDX-License-Identifier: GPL-2.0"),
                "{name} adds a file without a licence"
            );
        }
    }
}

#[test]
fn every_line_of_a_fragment_has_its_reason() {
    for (name, text) in files("configs", ".config") {
        let mut reasoned = false;
        for (number, line) in text.lines().enumerate() {
            let switch = line.starts_with("# CONFIG_") && line.ends_with(" is not set");
            if line.starts_with("CONFIG_") || switch {
                assert!(reasoned, "{name}:{}: no comment above it says why", number + 1);
            } else {
                // A blank line ends what a comment is about.
                reasoned = line.starts_with('#');
            }
        }
    }
}

#[test]
fn every_test_program_is_run_by_the_test_command() {
    let stages = std::fs::read_to_string(root().join("xtask/src/test.rs")).unwrap();
    let folders = ["harness/tests", "xtask/tests"].map(|folder| root().join(folder));
    for entry in folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap()) {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "rs") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(stages.contains(&format!("\"{name}\"")), "{name}");
        }
    }
}
