//! The tool is ended in the midst of its work, by a person or for good: nothing of the run stays, and the next
//! one is right.

use super::support::{self, alive, xtask};
use super::{KERNEL, repro};

fn loops_args(out: &str) -> Vec<String> {
    let patch = format!("{}/kernels/{KERNEL}/mutants/loops-forever.patch", support::checkout());
    ["test-syscall", "xyzzy", "--leg", "patched", "--extra-patch", &patch, "-v", "--out", out]
        .map(str::to_owned)
        .to_vec()
}

pub fn interrupt_in_boot() {
    for (presses, signal, code) in [(1, "INT", 130), (1, "TERM", 143), (2, "INT", 130)] {
        let scratch = tempfile::tempdir().unwrap();
        let out = scratch.path().join("run");
        let mut started = support::start(&loops_args(out.to_str().unwrap()));
        started.wait_for("boot ");
        std::thread::sleep(std::time::Duration::from_secs(3));
        let guests = support::descendants(started.pid());
        assert!(guests.iter().any(|(_, name)| name.contains("qemu")), "{guests:?}");
        for _ in 0..presses {
            started.signal(signal);
        }
        let run = started.finish();
        assert_eq!(run.code, Some(code), "{run}");
        assert!(!guests.iter().any(|(pid, _)| alive(*pid)), "{guests:?}");
        let record: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(out.join("run.json")).unwrap()).unwrap();
        assert_eq!(record["state"], "interrupted", "{record:#}");
        assert!(
            record["cells"].as_array().unwrap().iter().all(|cell| cell["verdict"] != "pass"),
            "{record:#}"
        );
        repro::replays_alike(out.to_str().unwrap());
    }
}

/// A change that makes make look at a good part of the kernel again.
fn touch_patch(folder: &std::path::Path) -> String {
    let patch = folder.join("0001-touch.patch");
    let text = "diff --git a/kernel/Makefile b/kernel/Makefile\n--- a/kernel/Makefile\n+++ b/kernel/Makefile\n\
                @@ -1,2 +1,3 @@\n # SPDX-License-Identifier: GPL-2.0\n+ccflags-y += -DABIMATRIX_TOUCHED\n #\n";
    std::fs::write(&patch, text).unwrap();
    patch.to_str().unwrap().to_owned()
}

pub fn interrupt_in_compile() {
    let scratch = tempfile::tempdir().unwrap();
    let patch = touch_patch(scratch.path());
    let args = ["test-syscall", "xyzzy", "--leg", "patched", "--extra-patch", &patch].map(str::to_owned);
    let mut started = support::start(&args);
    started.wait_for("compile ");
    std::thread::sleep(std::time::Duration::from_secs(4));
    let children = support::descendants(started.pid());
    assert!(children.iter().any(|(_, name)| name.contains("make")), "{children:?}");
    started.signal("INT");
    let run = started.finish();
    assert_eq!(run.code, Some(130), "{run}");
    assert!(!children.iter().any(|(pid, _)| alive(*pid)), "{children:?}");
    // What was half-made is not taken for the kernel of the series.
    let again = xtask(&["test-syscall", "xyzzy"]);
    assert_eq!(again.code, Some(0), "{again}");
}

pub fn killed() {
    let scratch = tempfile::tempdir().unwrap();
    let patch = touch_patch(scratch.path());
    let compiling =
        ["test-syscall", "xyzzy", "--leg", "patched", "--extra-patch", &patch].map(str::to_owned).to_vec();
    let booting = loops_args(scratch.path().join("run").to_str().unwrap());
    for (args, when) in [(compiling, "compile "), (booting, "boot ")] {
        let mut started = support::start(&args);
        started.wait_for(when);
        std::thread::sleep(std::time::Duration::from_secs(3));
        let children = support::descendants(started.pid());
        assert!(children.len() > 1, "{children:?}");
        started.signal("KILL");
        started.finish();
        support::eventually("every process of the run is gone", || {
            !children.iter().any(|(pid, _)| alive(*pid))
        });
    }
    support::eventually("no scratch is left", || support::scratch_of_dead_runs().is_empty());
    let again = xtask(&["test-syscall", "xyzzy"]);
    assert_eq!(again.code, Some(0), "{again}");
}
