//! `report` and `--report`: what earlier runs look like, good and bad. No kernel is built here.

mod support;

use std::path::Path;

use harness::report::sealed::seal;
use serde_json::{Value, json};
use support::{Run, project_copy, xtask};

const FORMATS: [&str; 6] = ["text", "markdown", "cover-letter", "json", "junit", "ktap"];

/// What `test-syscall` writes of one cell that passed and one that did not.
fn record(state: &str) -> Value {
    let cell = |abi: &str, verdict: &str, cause: Value| {
        json!({
            "kernel": "linux-6.12", "leg": "patched", "abi": abi, "verdict": verdict, "cause": cause, "also": [],
            "cases": [{"name": "basic", "verdict": verdict, "message": null}],
            "entries": [], "recorded": [], "findings": [],
            "durations": {"boot_ms": 400, "run_ms": 900, "total_ms": 1300},
            "guest": null, "console_tail": [], "logs": format!("linux-6.12.patched.{abi}"),
        })
    };
    let cause = json!({
        "kind": "case-failed", "text": "1 of 1 cases failed; first: basic",
        "detail": {"kind": "case-failed", "failed": 1, "total": 1, "first": "basic"},
    });
    json!({
        "schema": 1, "tool": "0.1.0", "state": state, "syscall": "xyzzy", "started_unix_s": 1_795_302_181,
        "elapsed_ms": 61_234, "folder": "/runs/1",
        "host": {
            "system": "Linux 6.1.0 x86_64", "cpus": 2, "qemu": "QEMU emulator version 7.2.22",
            "machine": "microvm", "accel": "tcg", "accel_why": "there is no /dev/kvm",
            "compiler": "gcc 12.2.0\nGNU ld 2.40", "ccache": false, "jobs": 2,
        },
        "kernels": [], "selected": 2,
        "cells": [cell("m64", "pass", Value::Null), cell("m32", "fail", cause)],
        "notes": [], "options": [],
    })
}

fn keep(folder: &Path, record: &Value) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("run.json"), seal(record).unwrap()).unwrap();
}

fn kept(record: &Value) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    keep(folder.path(), record);
    let path = folder.path().display().to_string();
    (folder, path)
}

#[track_caller]
fn ends(run: &Run, code: i32, words: &[&str]) {
    assert_eq!(run.code, Some(code), "{run}");
    for word in words {
        assert!(run.stdout.contains(word) || run.stderr.contains(word), "no {word:?}: {run}");
    }
    assert!(!run.stderr.contains("panicked"), "{run}");
    if code != 0 {
        assert_eq!((run.stdout.as_str(), run.stderr.matches("error: ").count()), ("", 1), "{run}");
    }
}

#[test]
fn a_run_is_told_in_every_format() {
    let (_folder, path) = kept(&record("complete"));
    for format in FORMATS {
        let run = xtask(&["report", &path, "--format", format]);
        ends(&run, 0, &["linux-6.12", "basic"]);
        // By the file, too.
        assert_eq!(xtask(&["report", &format!("{path}/run.json"), "--format", format]).stdout, run.stdout);
        assert_eq!(run.stderr, "");
    }
    ends(&xtask(&["report", &path]), 0, &["xyzzy: 2 of 2 cells judged: 1 pass, 1 fail\n"]);
    // What is printed is a record, and can be read as one.
    let json = xtask(&["report", &path, "--format", "json"]).stdout;
    let file = format!("{path}/again.json");
    std::fs::write(&file, json).unwrap();
    ends(&xtask(&["report", &file, "--format", "junit"]), 0, &["<testsuite "]);
}

#[test]
fn without_a_name_it_is_the_last_run_of_the_checkout() {
    let (_scratch, project) = project_copy();
    let args = ["report", "--project", project.to_str().unwrap()];
    ends(&xtask(&args), 2, &["no run is named", "target/abimatrix/latest: no such run"]);
    let runs = project.join("target/abimatrix");
    keep(&runs.join("1"), &record("complete"));
    std::os::unix::fs::symlink("1", runs.join("latest")).unwrap();
    ends(&xtask(&args), 0, &["xyzzy: 2 of 2 cells judged"]);
}

#[test]
fn a_run_that_is_not_whole_is_marked_in_every_format() {
    let cut = |state: &str| {
        let mut record = record(state);
        record["cells"].as_array_mut().unwrap().truncate(1);
        record
    };
    for (state, words) in
        [("interrupted", ["INTERRUPTED", "\"interrupted\""]), ("running", ["NOT FINISHED", "\"running\""])]
    {
        let (_folder, path) = kept(&cut(state));
        for format in FORMATS {
            let run = xtask(&["report", &path, "--format", format]);
            ends(&run, 0, &[]);
            assert!(words.iter().any(|word| run.stdout.contains(word)), "{state} {format}: {run}");
        }
        let junit = xtask(&["report", &path, "--format", "junit"]).stdout;
        assert!(
            junit.contains("errors=\"2\"") && junit.contains("cell without a verdict, 1 of 1"),
            "{junit}"
        );
        let ktap = xtask(&["report", &path, "--format", "ktap"]).stdout;
        assert!(ktap.contains("not ok 1 the run came to its end # ERROR"), "{ktap}");
    }
}

#[test]
fn what_is_no_whole_record_is_one_clear_message() {
    let (folder, path) = kept(&record("complete"));
    let file = folder.path().join("run.json");
    let good = std::fs::read_to_string(&file).unwrap();
    let report = |text: &str| {
        std::fs::write(&file, text).unwrap();
        xtask(&["report", &path, "--format", "junit"])
    };
    ends(&report(&good), 0, &[]);
    ends(&report(&good[..good.len() / 2]), 2, &["run.json: no record of a run: EOF"]);
    ends(
        &report(&good.replace("\"fail\"", "\"pass\"")),
        2,
        &["run.json: was changed after the run", "its seal"],
    );
    ends(&report(&good.replace("\"schema\": 1", "\"schema\": 2")), 2, &["was changed after the run"]);
    ends(&report("{\"tests\": 1}"), 2, &["run.json: no record of a run", "`schema` and `cells`"]);
    ends(&report("\u{1b}[2J"), 2, &["run.json: no record of a run"]);
    let mut newer = record("complete");
    newer["schema"] = json!(9);
    keep(folder.path(), &newer);
    ends(&xtask(&["report", &path]), 2, &["of schema 9, by version 0.1.0 of this tool; this one reads 1"]);
    std::fs::remove_file(&file).unwrap();
    ends(&xtask(&["report", &path]), 2, &["no run: there is no run.json in it"]);
    ends(&xtask(&["report", "/nonexistent/run"]), 2, &["/nonexistent/run: no such run"]);
    ends(&xtask(&["report", "/dev/null"]), 2, &["/dev/null: no run"]);
    let unknown = xtask(&["report", &path, "--format", "xml"]);
    assert_eq!(unknown.code, Some(2), "{unknown}");
    assert!(unknown.stderr.contains("cover-letter"), "{unknown}");
}

/// Each is said at once: nothing is looked for, built or run before.
#[test]
fn a_report_that_cannot_be_written_is_refused_before_any_work() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name).display().to_string();
    std::fs::create_dir(at("folder")).unwrap();
    let cache = at("cache");
    let with = |command: &str, reports: &[&str]| {
        let mut args =
            vec![command, if command == "test-syscall" { "xyzzy" } else { "futex" }, "--cache", &cache];
        reports.iter().for_each(|report| args.extend(["--report", report]));
        let run = xtask(&args);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{run}");
        assert!(!Path::new(&cache).exists(), "{run}");
        run.stderr
    };
    for command in ["test-syscall", "test-selftest"] {
        for (report, words) in [
            (
                format!("xml={}", at("a")),
                "`xml` is no format: text, markdown, cover-letter, json, junit, ktap",
            ),
            (at("a"), "FORMAT=FILE"),
            ("junit=".to_owned(), "no file is named after `junit=`"),
            (format!("junit={}", at("absent/a.xml")), "there is no folder"),
            (format!("junit={}", at("folder")), "is no file that can be replaced"),
            ("junit=/dev/null".to_owned(), "is no file that can be replaced"),
        ] {
            let said = with(command, &[&report]);
            assert!(said.contains(words), "{report}: {said}");
        }
        let two = [format!("junit={}", at("a")), format!("ktap={}", at("a"))];
        let said = with(command, &[&two[0], &two[1]]);
        assert!(said.contains("another report is to go there"), "{said}");
    }
}

#[test]
fn a_dry_run_leaves_the_reports_of_earlier_runs_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("report.xml");
    std::fs::write(&file, "of yesterday").unwrap();
    let to = format!("junit={}", file.display());
    let cache = scratch.path().join("cache").display().to_string();
    let run = xtask(&["test-syscall", "xyzzy", "--dry-run", "--cache", &cache, "--report", &to]);
    assert_eq!(run.code, Some(0), "{run}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "of yesterday");
}
