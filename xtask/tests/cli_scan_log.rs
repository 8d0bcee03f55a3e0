//! `scan-log --vmlinux`: a log with lines of the source, by the debug info of what stands for a kernel.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Run, xtask};

/// A landmark, and a function with another one in it, of which the second instruction multiplies.
const SOURCES: [(&str, &str); 2] = [
    ("init/main.c", "int do_xyzzy(int *);\nint start_kernel(int *at) { return do_xyzzy(at) + 1; }\n"),
    (
        "fs/xyzzy.c",
        "static inline __attribute__((always_inline)) int look(int *at)\n{\n\treturn at[0] * at[1];\n}\n\n\
         int do_xyzzy(int *at)\n{\n\treturn look(at);\n}\n\nint after(void) { return 0; }\n",
    ),
];

fn build(folder: &Path, how: &[&str]) -> PathBuf {
    let kernel = folder.join("vmlinux");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O1", "-static", "-nostdlib", "-fno-pic", "-no-pie", "-Wl,-e,start_kernel"]).args(how);
    gcc.arg("-o").arg(&kernel);
    for (name, text) in SOURCES {
        let path = folder.join("source").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        gcc.arg(path);
    }
    assert!(gcc.status().unwrap().success());
    kernel
}

/// How long a function is: up to the next one.
fn length(kernel: &Path) -> u64 {
    let nm = Command::new("nm").arg("-n").arg(kernel).output().unwrap();
    let text = String::from_utf8(nm.stdout).unwrap();
    let at = |name: &str| {
        let line = text.lines().find(|line| line.ends_with(&format!(" {name}"))).unwrap();
        u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap()
    };
    at("after") - at("do_xyzzy")
}

fn scan(folder: &Path, log: &str, kernel: &Path, more: &[&str]) -> Run {
    let file = folder.join("log");
    std::fs::write(&file, log).unwrap();
    let [file, kernel] = [&file, kernel].map(|path| path.to_str().unwrap());
    xtask(&[&["scan-log", file, "--vmlinux", kernel], more].concat())
}

#[test]
fn a_splat_is_shown_as_it_stands_with_its_places_below() {
    let folder = tempfile::tempdir().unwrap();
    let kernel = build(folder.path(), &["-g"]);
    let length = length(&kernel);
    let splat = format!(
        "[    1.000000] BUG: kernel NULL pointer dereference, address: 0000000000000008\n\
         [    1.000001] RIP: 0010:do_xyzzy+0x2/{length:#x}\n\
         [    1.000002] ---[ end trace 0000000000000000 ]---\n"
    );
    let log = format!("[    0.500000] nothing of do_xyzzy+0x0/{length:#x}\n{splat}[    2.000000] more\n");
    let run = scan(folder.path(), &log, &kernel, &[]);
    assert_eq!(run.code, Some(1), "{run}");
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(lines[0].starts_with("2: oops: BUG: kernel NULL pointer dereference"), "{run}");
    let shown: Vec<&str> = lines[1..].iter().map(|line| line.strip_prefix("    | ").unwrap()).collect();
    let [first, second, third] = splat.lines().collect::<Vec<_>>()[..] else { panic!("{splat}") };
    assert_eq!([shown[0], shown[1], shown[4]], [first, second, third], "{run}");
    assert_eq!(shown[2].trim(), "fs/xyzzy.c:3 (look, inlined)", "{run}");
    assert_eq!(shown[3].trim(), "fs/xyzzy.c:8 (do_xyzzy)", "{run}");
    assert_eq!((shown.len(), run.stderr.as_str()), (5, ""), "{run}");
    let run = scan(folder.path(), &log, &kernel, &["--format", "json"]);
    let found: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(found[0]["kind"], "oops", "{run}");
    assert_eq!(found[0]["decoded"][1], second, "{run}");
    // By another kernel's there are places, and a word that they may be wrong.
    let other = log.replace(&format!("/{length:#x}"), "/0x1234");
    let run = scan(folder.path(), &other, &kernel, &[]);
    assert!(run.stderr.contains("do_xyzzy has another length there than in the log"), "{run}");
    // Without debug info the rest is as it was.
    let bare = build(folder.path(), &[]);
    let run = scan(folder.path(), &log, &bare, &[]);
    assert_eq!((run.code, run.stdout.lines().count()), (Some(1), 4), "{run}");
    assert!(run.stderr.contains("it has no debug info (CONFIG_DEBUG_INFO)"), "{run}");
    let run = scan(folder.path(), "[    1.000000] all is well\n", &kernel, &[]);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (Some(0), "", ""), "{run}");
}

#[test]
fn what_is_no_vmlinux_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::write(&text, "no ELF file\n").unwrap();
    for (kernel, said) in [
        (text.as_path(), "it has to be the ELF file vmlinux with its symbols, not bzImage"),
        (Path::new("/nonexistent/vmlinux"), "--vmlinux /nonexistent/vmlinux: there is no such file"),
        (folder.path(), "there is no such file"),
    ] {
        let run = scan(folder.path(), "", kernel, &[]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{run}");
        assert!(run.stderr.contains(said), "{said}: {run}");
    }
}
