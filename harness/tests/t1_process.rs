//! Tier 1: nothing outlives its harness, whatever ends that.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use support::{FAKE_QEMU, assert_nobody, marker, processes, within};

/// A harness in a process of its own, and what it keeps.
struct Parent {
    child: Child,
    marker: String,
    scratch: tempfile::TempDir,
}

impl Parent {
    /// Starts it and waits until `expected` processes are there, itself among them.
    fn start(what: &str, how: &str, expected: usize) -> Parent {
        let scratch = tempfile::tempdir().unwrap();
        let guarded = scratch.path().join("guarded");
        std::fs::create_dir_all(guarded.join("deep/er")).unwrap();
        std::fs::write(guarded.join("deep/er/file"), "x").unwrap();
        std::fs::write(guarded.join("script"), "ignore-term\nleave-behind stubborn\nforever\n").unwrap();
        let marker = marker();
        let child = Command::new(FAKE_QEMU)
            .args(["parent", what, &marker, how])
            .arg(&guarded)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut parent = Parent { child, marker, scratch };
        if what == "tree" {
            let mut line = String::new();
            BufReader::new(parent.child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
            assert_eq!(line, "started\n");
        }
        let there = within(Duration::from_secs(20), || processes(&parent.marker).len() == expected);
        assert!(there, "{expected} processes, not {:?}", processes(&parent.marker));
        parent
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Its guard: the child that is not marked.
    fn guard(&self) -> i32 {
        let pid = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let children = children.split_whitespace().map(|pid| pid.parse().unwrap());
        let marked = processes(&self.marker);
        let guards: Vec<i32> = children.filter(|pid| !marked.contains(pid)).collect();
        assert_eq!(guards.len(), 1, "one guard");
        guards[0]
    }

    /// Ends it by `signal`; all is gone within seconds, also on a host that has much else to do.
    fn die_by(mut self, signal: Signal) {
        let guard = self.guard();
        kill_process(self.pid(), signal).unwrap();
        let killed = Instant::now();
        self.child.wait().unwrap();
        let folder = self.scratch.path().join("guarded");
        let clean = || processes(&self.marker).is_empty() && !folder.exists() && !runs(guard);
        let gone = within(Duration::from_secs(5), clean);
        assert!(
            gone,
            "after {:?}: processes {:?}, the folder {}, the guard {}",
            killed.elapsed(),
            processes(&self.marker),
            if folder.exists() { "is there" } else { "is gone" },
            if runs(guard) { "is there" } else { "is gone" },
        );
    }
}

fn runs(pid: i32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|args| !args.is_empty())
}

#[test]
fn a_killed_harness_leaves_no_tree_and_no_folder() {
    Parent::start("tree", "plain", 4).die_by(Signal::KILL);
}

#[test]
fn a_killed_harness_leaves_no_tree_that_ignores_sigterm() {
    Parent::start("tree", "stubborn", 4).die_by(Signal::KILL);
}

#[test]
fn a_killed_harness_leaves_no_folder_that_is_still_written_to() {
    for _ in 0..5 {
        Parent::start("tree", "writing", 4).die_by(Signal::KILL);
    }
}

#[test]
fn a_harness_that_dies_otherwise_leaves_nothing_either() {
    for signal in [Signal::TERM, Signal::HUP, Signal::ABORT] {
        Parent::start("tree", "plain", 4).die_by(signal);
    }
}

#[test]
fn a_killed_harness_leaves_no_guest() {
    // The harness, its QEMU, and what that left behind; both ignore SIGTERM.
    Parent::start("guest", "plain", 3).die_by(Signal::KILL);
}

#[test]
fn a_killed_harness_without_its_guard_takes_its_children_along() {
    let mut parent = Parent::start("tree", "plain", 4);
    let guard = parent.guard();
    let pid = parent.pid().as_raw_nonzero().get();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let child =
        children.split_whitespace().map(|pid| pid.parse().unwrap()).find(|pid| *pid != guard).unwrap();
    for pid in [Pid::from_raw(guard).unwrap(), parent.pid()] {
        kill_process(pid, Signal::KILL).unwrap();
    }
    parent.child.wait().unwrap();
    let gone = within(Duration::from_secs(2), || !runs(child));
    // What that child left behind nobody knows of any more: it is this test's to end.
    for left in processes(&parent.marker) {
        let _ = kill_process(Pid::from_raw(left).unwrap(), Signal::KILL);
    }
    assert!(gone, "the direct child {child} is still there");
}

#[test]
fn a_signal_to_the_whole_group_spares_the_guard_until_it_is_done() {
    let parent = Parent::start("tree", "plain", 4);
    // As a CI runner does it, but for the group: this test is in the same one.
    let guard = Pid::from_raw(parent.guard()).unwrap();
    // Asked of the guard alone: this test's own session may lie outside of its PID namespace, as in a
    // container, and has no number there.
    assert_eq!(rustix::process::getpgid(Some(guard)).unwrap(), guard, "a group of its own");
    assert_eq!(rustix::process::getsid(Some(guard)).unwrap(), guard, "a session of its own");
    parent.die_by(Signal::INT);
}

#[test]
fn a_normal_end_leaves_nothing_but_the_folder() {
    for how in ["plain", "stubborn"] {
        let mut parent = Parent::start("tree", how, 4);
        let guard = parent.guard();
        let started = Instant::now();
        parent.child.stdin.take().unwrap().write_all(b"end\n").unwrap();
        assert!(parent.child.wait().unwrap().success());
        assert!(started.elapsed() < harness::limits::TERM_GRACE + Duration::from_secs(1), "{how}");
        assert_nobody(&parent.marker);
        assert!(within(Duration::from_secs(1), || !runs(guard)), "the guard is still there");
        // What is not in the guard's care any more is none of its business.
        assert!(parent.scratch.path().join("guarded/deep/er/file").exists());
    }
}

#[test]
fn a_harness_whose_guard_was_killed_still_ends_well() {
    let mut parent = Parent::start("tree", "plain", 4);
    kill_process(Pid::from_raw(parent.guard()).unwrap(), Signal::KILL).unwrap();
    parent.child.stdin.take().unwrap().write_all(b"end\n").unwrap();
    assert!(parent.child.wait().unwrap().success());
    assert_nobody(&parent.marker);
}
