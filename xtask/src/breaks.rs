//! `test --break`: proves that the test of each fault can fail.
//!
//! `docs/faults.md` has one row a fault, with the test that covers it and the switch that turns its
//! handling off (see `harness::broken`). Each test is run as it is, and has to pass; then once more
//! with the handling switched off, and has to fail.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, WaitOptions};

use crate::cli::Exit;
use crate::{cargo, session};

/// A broken handling may make its test wait for ever. The slowest of these tests, on two busy
/// cores, takes a tenth of this.
const TEST_DEADLINE: Duration = Duration::from_secs(90);

/// One row of the table: what is switched off, and the test that must see it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    number: u32,
    switch: String,
    /// `lib`, `xtask`, or the file of an integration test.
    target: String,
    test: String,
}

/// How many rows did what they should, and how many did not.
pub fn run() -> Result<(u64, u64)> {
    let table = session::checkout().join("docs/faults.md");
    let text = std::fs::read_to_string(&table).with_context(|| format!("cannot read {}", table.display()))?;
    let rows = read(&text)?;
    let programs = compile()?;
    // What a test leaves behind while its handling is broken becomes this process's to end.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let counts = all(&rows, &programs);
    // Whoever runs tests after this expects that an orphan is reaped.
    rustix::process::set_child_subreaper(None)?;
    counts
}

/// Goes through the rows.
fn all(rows: &[Row], programs: &BTreeMap<String, (PathBuf, PathBuf)>) -> Result<(u64, u64)> {
    let (mut passed, mut failed) = (0, 0);
    for row in rows {
        let Row { number, switch, target, test } = row;
        let program =
            programs.get(target).with_context(|| format!("row {number}: no test program {target}"))?;
        let word = match (once(program, row, false)?, once(program, row, true)?) {
            (Ended::Passed, Ended::Failed) => "ok",
            (Ended::Passed, Ended::Late) => "ok (did not end)",
            (Ended::Passed, Ended::Passed) => "FAILED: it passes although the handling is switched off",
            (Ended::Passed, Ended::NotRun) | (Ended::NotRun, _) => "FAILED: there is no such test",
            (Ended::Failed | Ended::Late, _) => "FAILED: it does not pass with all in order",
        };
        anstream::println!("break {number:2} {switch:24} {target} {test} ... {word}");
        if word.starts_with("ok") { passed += 1 } else { failed += 1 }
    }
    Ok((passed, failed))
}

/// Reads the rows of the table that name a switch.
fn read(text: &str) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [number, _fault, _verdict, _handling, switch, test] = cells[..] else { continue };
        let Ok(number) = number.parse() else { continue };
        let code = |cell: &str| cell.split('`').nth(1).map(str::to_owned);
        // A row without a switch says why in words.
        let Some(switch) = code(switch) else { continue };
        let test = code(test).with_context(|| format!("row {number} names no test"))?;
        let (target, test) = test.split_once(' ').with_context(|| format!("row {number}: `target test`"))?;
        rows.push(Row { number, switch, target: target.to_owned(), test: test.to_owned() });
    }
    if rows.is_empty() {
        bail!("docs/faults.md has no row with a switch");
    }
    Ok(rows)
}

/// The tests with the switches in them, compiled: by the name of the target, the program and the
/// folder of its package, in which cargo would run it.
fn compile() -> Result<BTreeMap<String, (PathBuf, PathBuf)>> {
    let mut command = cargo::test()?;
    command.args(["--no-run", "--message-format", "json-render-diagnostics"]);
    let output = command.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("the tests do not compile");
    }
    let mut programs = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        let text = |pointer: &str| message.pointer(pointer).and_then(|value| value.as_str());
        let (Some(program), Some(manifest), Some(name), Some(kind)) =
            (text("/executable"), text("/manifest_path"), text("/target/name"), text("/target/kind/0"))
        else {
            continue;
        };
        if message.pointer("/profile/test").and_then(|test| test.as_bool()) == Some(true) {
            let name = if kind == "lib" { "lib" } else { name };
            let package = Path::new(manifest).parent().unwrap_or(Path::new("/")).to_owned();
            programs.insert(name.to_owned(), (PathBuf::from(program), package));
        }
    }
    Ok(programs)
}

enum Ended {
    Passed,
    Failed,
    Late,
    NotRun,
}

/// Runs one test, with its handling switched off or not.
fn once((program, package): &(PathBuf, PathBuf), row: &Row, broken: bool) -> Result<Ended> {
    let scratch = tempfile::tempdir()?;
    let said = scratch.path().join("said");
    let mut command = Command::new(program);
    command.args([&row.test, "--exact", "--test-threads=1"]).current_dir(package);
    command
        .env_remove("ABIMATRIX_BREAK")
        .env_remove("ABIMATRIX_TESTED")
        .env_remove("UPDATE_CORPUS")
        .env("TMPDIR", scratch.path());
    // What proptest finds in a broken program is nothing to remember.
    command.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
    if broken {
        command.env("ABIMATRIX_BREAK", &row.switch);
    }
    command.stdin(Stdio::null()).stdout(std::fs::File::create(&said)?).stderr(Stdio::null());
    let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
    let started = Instant::now();
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if started.elapsed() > TEST_DEADLINE => {
                child.kill()?;
                child.wait()?;
                end_orphans()?;
                return Ok(Ended::Late);
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    end_orphans()?;
    if let Some(signal) = session::interrupted(status) {
        return Err(anyhow::anyhow!("interrupted by {signal}").context(Exit::Interrupted(signal)));
    }
    let said = String::from_utf8_lossy(&std::fs::read(&said)?).into_owned();
    if !broken && !status.success() {
        anstream::println!("{said}");
    }
    let ran = said.lines().any(|line| line.starts_with(&format!("test {}", row.test)));
    Ok(match (ran, status.success()) {
        (false, _) => Ended::NotRun,
        (true, true) => Ended::Passed,
        (true, false) => Ended::Failed,
    })
}

/// Ends all children that this process has: it started none of them itself.
fn end_orphans() -> Result<()> {
    // Those that are killed leave theirs to us in turn: as often as a tree of processes is deep.
    for _ in 0..100 {
        let tasks = std::fs::read_dir("/proc/self/task")?;
        let lists = tasks.flatten().map(|task| std::fs::read_to_string(task.path().join("children")));
        let children = lists.map(Result::unwrap_or_default).collect::<Vec<_>>().join(" ");
        let children: Vec<Pid> =
            children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect();
        if children.is_empty() {
            return Ok(());
        }
        for child in children {
            let _ = rustix::process::kill_process(child, Signal::KILL);
            let _ = rustix::process::waitpid(Some(child), WaitOptions::empty());
        }
    }
    bail!("the processes that a test left behind do not end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_with_their_switch_and_test() {
        let text = "| # | fault | verdict | done | switch | test |\n|---|---|---|---|---|---|\n\
                    | 7 | boot | fail | waits | `abort:boot` | `lib judge::watch::tests::lives` |\n\
                    | 43 | ssh | | | none yet | with ssh |\n";
        let row = Row {
            number: 7,
            switch: "abort:boot".to_owned(),
            target: "lib".to_owned(),
            test: "judge::watch::tests::lives".to_owned(),
        };
        assert_eq!(read(text).unwrap(), [row]);
        assert!(read("no table").is_err());
        assert!(read("| 7 | boot | fail | waits | `a` | none |").is_err());
    }
}
