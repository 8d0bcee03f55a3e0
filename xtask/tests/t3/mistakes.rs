//! A person's mistakes: each is told with its place before, or without, a guest.

use super::support::{project_copy, xtask};

pub fn patch_does_not_apply() {
    let scratch = tempfile::tempdir().unwrap();
    let patch = scratch.path().join("0001-late.patch");
    let text = "diff --git a/kernel/sys_ni.c b/kernel/sys_ni.c\n--- a/kernel/sys_ni.c\n+++ b/kernel/sys_ni.c\n\
                @@ -40,3 +40,3 @@ top\n this line is\n-not there\n+at all\n in the file\n";
    std::fs::write(&patch, text).unwrap();
    let run = xtask(&["test-syscall", "xyzzy", "--extra-patch", patch.to_str().unwrap(), "--format", "json"]);
    assert_eq!(run.code, Some(3), "{run}");
    let cells = run.cells();
    assert_eq!(cells.len(), 6, "{run}");
    for cell in cells {
        assert_eq!(
            (&cell["verdict"], &cell["cause"]["kind"]),
            (&"error".into(), &"patch-failed".into()),
            "{cell:#}"
        );
        for word in ["patch 4/4", "0001-late.patch", "kernel/sys_ni.c", "line 40", "hunk 1 of 1"] {
            assert!(cell["cause"]["text"].as_str().unwrap().contains(word), "{word}: {cell:#}");
        }
    }
    assert!(!run.stderr.contains("compile"), "{run}");
}

pub fn build_error() {
    let scratch = tempfile::tempdir().unwrap();
    let patch = scratch.path().join("0001-typo.patch");
    let text = "diff --git a/kernel/xyzzy_typo.h b/kernel/xyzzy_typo.h\nnew file mode 100644\n--- /dev/null\n\
                +++ b/kernel/xyzzy_typo.h\n@@ -0,0 +1 @@\n+int x\n\
                diff --git a/kernel/Makefile b/kernel/Makefile\n--- a/kernel/Makefile\n+++ b/kernel/Makefile\n\
                @@ -1,2 +1,3 @@\n # SPDX-License-Identifier: GPL-2.0\n+CFLAGS_xyzzy.o += -include $(srctree)/kernel/xyzzy_typo.h\n #\n";
    std::fs::write(&patch, text).unwrap();
    let run = xtask(&["test-syscall", "xyzzy", "--extra-patch", patch.to_str().unwrap(), "--format", "json"]);
    let cells = run.cells();
    for cell in &cells[..3] {
        assert_eq!(
            (&cell["verdict"], &cell["cause"]["kind"]),
            (&"error".into(), &"build-failed".into()),
            "{cell:#}"
        );
        let text = cell["cause"]["text"].as_str().unwrap();
        assert!(text.contains("error:") && text.contains("xyzzy"), "{cell:#}");
    }
    // With the option off the file is not compiled at all.
    for cell in &cells[3..] {
        assert_eq!(cell["verdict"], "pass", "{cell:#}");
    }
    assert_eq!(run.code, Some(3), "{run}");
}

pub fn config_dropped() {
    let (_scratch, project) = project_copy();
    let base = project.join("configs/base.config");
    let text = std::fs::read_to_string(&base).unwrap();
    let line = text.lines().count() + 1;
    std::fs::write(&base, format!("{text}CONFIG_BTRFS_FS_POSIX_ACL=y\n")).unwrap();
    let args = [
        "test-syscall",
        "xyzzy",
        "--project",
        project.to_str().unwrap(),
        "--leg",
        "patched",
        "--format",
        "json",
    ];
    let run = xtask(&args);
    assert_eq!(run.code, Some(3), "{run}");
    let cell = &run.cells()[0];
    assert_eq!(cell["cause"]["kind"], "config-dropped", "{cell:#}");
    for word in [&format!("configs/base.config:{line}"), "CONFIG_BTRFS_FS_POSIX_ACL", "BTRFS_FS"] {
        assert!(cell["cause"]["text"].as_str().unwrap().contains(word), "{word}: {cell:#}");
    }
}

pub fn number_taken() {
    let (_scratch, project) = project_copy();
    let spec = project.join("kernels/linux-6.12/xyzzy/spec.yaml");
    let text = std::fs::read_to_string(&spec).unwrap().replace("number: 463", "number: 462");
    std::fs::write(&spec, text).unwrap();
    let run = xtask(&["test-syscall", "xyzzy", "--project", project.to_str().unwrap()]);
    assert_eq!(run.code, Some(2), "{run}");
    for word in ["462", "taken in the unpatched tree", "mseal", "463"] {
        assert!(run.stderr.contains(word), "{word}: {run}");
    }
}
