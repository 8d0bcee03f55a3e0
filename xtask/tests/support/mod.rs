//! What the tests that run the program stand on: starting it, looking at processes, a list of
//! tests in order, a kernel that is built in a second.

#![allow(dead_code, reason = "each test program uses its part")]

pub mod mini;

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Verdict, cause and a word of its text.
pub type Expect = (&'static str, &'static str, &'static str);

/// The checkout under test.
pub fn checkout() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().display().to_string()
}

/// What a test's name begins with that costs more than CI has for what it shows: it runs if it is asked for.
const BY_HAND: &str = "by hand: ";

/// Names and bodies.
pub type Tests<'a> = &'a [(&'a str, fn())];

/// Whether the time that `cargo xtask test --within` gave is over.
fn time_is_over() -> bool {
    let until = std::env::var("ABIMATRIX_UNTIL").ok();
    let until: Option<i64> = until.map(|text| text.parse().expect("seconds"));
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec;
    until.is_some_and(|until| now >= until)
}

/// Runs the tests in their order, prints what libtest prints, and exits as it does. An argument
/// selects those whose names contain it.
pub fn run_all(tests: Tests<'_>) {
    run_all_within(tests, &[]);
}

/// The same; those that may wait are skipped once the time for tests is over.
pub fn run_all_within(always: Tests<'_>, may_wait: Tests<'_>) {
    let tests = || always.iter().map(|test| (test, false)).chain(may_wait.iter().map(|test| (test, true)));
    let filter: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    if std::env::args().any(|arg| arg == "--list") {
        tests().for_each(|((name, _), _)| println!("{name}: test"));
        return;
    }
    let (mut passed, mut failed, mut skipped, mut left_out) = (0, Vec::new(), 0, 0);
    for ((name, test), waits) in tests() {
        let asked = filter.iter().any(|word| name.contains(word.as_str()));
        if !asked && name.starts_with(BY_HAND) {
            println!("test {name} ... left out: see CONTRIBUTING.md");
        }
        if !asked && (!filter.is_empty() || name.starts_with(BY_HAND)) {
            left_out += 1;
            continue;
        }
        if waits && time_is_over() {
            println!("test {name} ... skipped: the time for tests is over (--within)");
            skipped += 1;
            continue;
        }
        let started = Instant::now();
        let ok = std::panic::catch_unwind(test).is_ok();
        let word = if ok { "ok" } else { "FAILED" };
        println!("test {name} ... {word} ({:.0} s)", started.elapsed().as_secs_f64());
        if ok {
            passed += 1;
        } else {
            failed.push(*name);
        }
    }
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    let n = failed.len();
    println!(
        "\ntest result: {word}. {passed} passed; {n} failed; {skipped} ignored; 0 measured; {left_out} filtered out"
    );
    if !failed.is_empty() {
        println!("failed:\n  {}", failed.join("\n  "));
        std::process::exit(101);
    }
}

/// A run of the program that has ended.
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// The cells of the JSON on its standard output.
    #[track_caller]
    pub fn cells(&self) -> Vec<Value> {
        let record: Value =
            serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"));
        record["cells"].as_array().unwrap_or_else(|| panic!("no cells: {self}")).clone()
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {:?}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

/// The program under test: the one that was compiled with the tests, unless another is named. `cargo xtask
/// test` names a copy of itself to T3, so that real kernels are judged by the very program that a user runs.
pub fn program() -> String {
    std::env::var("ABIMATRIX_TESTED").unwrap_or_else(|_| env!("CARGO_BIN_EXE_xtask").to_owned())
}

fn command(args: &[impl AsRef<str>]) -> Command {
    let mut command = Command::new(program());
    command.args(args.iter().map(AsRef::as_ref)).stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub fn xtask(args: &[&str]) -> Run {
    run(command(args))
}

/// Runs a command to its end.
pub fn run(mut command: Command) -> Run {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A run of the program that goes on.
pub struct Started {
    child: Child,
    lines: Receiver<String>,
    seen: String,
}

/// Starts the program.
pub fn start(args: &[String]) -> Started {
    start_command(command(args))
}

/// Starts a command.
pub fn start_command(mut command: Command) -> Started {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (sender, lines) = channel();
    let stderr = child.stderr.take().unwrap();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    Started { child, lines, seen: String::new() }
}

impl Started {
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Waits until a line on standard error begins with `word`.
    pub fn wait_for(&mut self, word: &str) {
        let deadline = Instant::now() + Duration::from_secs(900);
        while let Some(line) = self.line(deadline) {
            if line.starts_with(word) {
                return;
            }
        }
        panic!("it never said {word:?}:\n{}", self.seen);
    }

    /// The next line on standard error; none at its end, or when it does not come in time.
    pub fn line(&mut self, deadline: Instant) -> Option<String> {
        let line = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()?;
        self.seen.push_str(&line);
        self.seen.push('\n');
        Some(line)
    }

    pub fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end, which must come soon.
    pub fn finish(mut self) -> Run {
        let deadline = Instant::now() + Duration::from_secs(60);
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                let _ = self.child.kill();
                panic!("it did not end:\n{}", self.seen);
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        self.seen.extend(self.lines.iter().flat_map(|line| [line, "\n".to_owned()]));
        Run { code: status.code(), stdout, stderr: self.seen }
    }
}

/// Whether a process exists and is more than a zombie.
pub fn alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z')))
}

/// All processes below `root`, with their names.
pub fn descendants(root: i32) -> Vec<(i32, String)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((head, tail)) = stat.rsplit_once(')') else { continue };
        let name = head.split_once('(').map_or("", |(_, name)| name).to_owned();
        let parent = tail.split_whitespace().nth(1).and_then(|word| word.parse::<i32>().ok()).unwrap_or(0);
        all.push((pid, parent, name));
    }
    let mut found: Vec<(i32, String)> = Vec::new();
    let mut todo = vec![root];
    while let Some(parent) = todo.pop() {
        for (pid, of, name) in &all {
            if *of == parent {
                found.push((*pid, name.clone()));
                todo.push(*pid);
            }
        }
    }
    found
}

/// Waits a bounded time for something that a killed run's guard does.
#[track_caller]
pub fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "not so after 60 s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The cache that the program uses when it is not told of another.
pub fn cache() -> PathBuf {
    let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = home.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    home.join("abimatrix")
}

/// Scratch folders in the cache whose lock nobody holds.
pub fn scratch_of_dead_runs() -> Vec<PathBuf> {
    let dead =
        |path: &PathBuf| std::fs::File::open(path.join("lock")).is_ok_and(|lock| lock.try_lock().is_ok());
    let folders = std::fs::read_dir(cache().join("scratch")).unwrap().flatten();
    folders.map(|entry| entry.path()).filter(dead).collect()
}

/// A copy of configs, guest and kernels, to make mistakes in.
pub fn project_copy() -> (tempfile::TempDir, PathBuf) {
    let scratch = tempfile::tempdir().unwrap();
    for folder in ["configs", "guest", "kernels"] {
        let from = Path::new(&checkout()).join(folder);
        let status = Command::new("cp").arg("-a").arg(from).arg(scratch.path()).status().unwrap();
        assert!(status.success());
    }
    let path = scratch.path().to_owned();
    (scratch, path)
}
