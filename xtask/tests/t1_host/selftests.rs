//! Tests that were there, and tests that a series adds.

use std::path::Path;

use serde_json::{Value, json};

use super::support::Run;
use super::support::mini::{self, World};

/// All that there is a source for, one more by an ABI, and a script; `helper` lies beside them.
const MAKEFILE: &str = "progs := $(patsubst %.c,%,$(wildcard *_test.c))\n\
    progs += $(if $(findstring -mx32,$(CC)),$(patsubst %.c,%,$(wildcard more.c)))\n\
    progs += $(if $(wildcard again),a_test2)\nall:\n\
    \tset -e; for p in $(progs); do $(CC) $(KHDR_INCLUDES) -o $(OUTPUT)/$$p $${p%2}.c; done\n\
    $(OUTPUT)/helper: helper.c\n\t$(CC) -o $@ $<\n\
    install: all $(OUTPUT)/helper\n\tcp $(addprefix $(OUTPUT)/,$(progs)) run.sh $(INSTALL_PATH)\n\
    emit_tests:\n\t@for p in $(progs) run.sh; do echo \"$(COLLECTION):$$p\"; done\n";
const TEST: &str = "#include <stdio.h>\n#include \"variant.h\"\n\
    int main(void) { return puts(\"selftest variant=\" VARIANT \";\") < 0; }\n";
/// One ABI cannot have it.
const HELPER: &str = "#ifdef __i386__\n#error \"not for i386\"\n#endif\nint main(void)\n{\n\treturn 0;\n}\n";
const SCRIPT: &str = "#!/bin/sh\n./helper || true\n";

pub fn old_and_new() {
    let world = World::new();
    let tree = world.root().join("source/mini");
    let dir = |name: &str| format!("tools/testing/selftests/{name}");
    let write = |path: &Path, text: &str| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let files = |name: &str, test: &str| {
        let texts = [("Makefile", MAKEFILE), (test, TEST), ("helper.c", HELPER), ("run.sh", SCRIPT)].to_vec();
        texts.into_iter().map(|(file, text)| (format!("{}/{file}", dir(name)), text)).collect::<Vec<_>>()
    };
    for (path, text) in files("old", "a_test.c") {
        write(&tree.join(path), text);
    }
    write(&tree.join(dir("kselftest/runner.sh")), "");
    write(&tree.join(dir("old")).join("more.c"), TEST);
    // The series adds a test to them, and a folder of its own.
    let call = world.project().join("kernels").join(mini::KERNEL).join("xyzzy/0001-call.patch");
    let mut series = vec![std::fs::read_to_string(call).unwrap()];
    series.push(mini::new_file(&format!("{}/b_test.c", dir("old")), TEST));
    // One more of a source that was there.
    series.push(mini::new_file(&format!("{}/again", dir("old")), "a_test2\n"));
    series.extend(files("new", "c_test.c").iter().map(|(path, text)| mini::new_file(path, text)));
    let patch = world.root().join("series.patch");
    std::fs::write(&patch, series.concat()).unwrap();
    let run = |out: &str, more: &[&str]| {
        let mut args = world.args(out);
        let tree = ["--tree", tree.to_str().unwrap(), "--option", "CONFIG_XYZZY_SYSCALL", "--leg", "patched"];
        args.extend(tree.iter().chain(more).map(|word| (*word).to_owned()));
        world.run(&args)
    };
    // What the judge was to expect of the first cell.
    let expects = |out: &str, run: &Run| -> Value {
        let logs = run.cells()[0]["logs"].as_str().unwrap_or_else(|| panic!("{run}")).to_owned();
        let order = std::fs::read_to_string(world.out(out).join(logs).join("order.json")).unwrap();
        serde_json::from_str::<Value>(&order).unwrap()["expects"]["syscall"].clone()
    };
    let rules = |out: &str, run: &Run| -> Vec<(String, Value)> {
        let expects = expects(out, run);
        let runs = expects["runs"].as_array().unwrap_or_else(|| panic!("{expects:#}"));
        let judged = runs.iter().filter(|run| run["role"] == "judged");
        judged
            .map(|run| (run["program"].as_str().unwrap().to_owned(), run["rules"]["kselftest"].clone()))
            .collect()
    };
    let held = |program: &str, script: bool, reports: bool| {
        (program.to_owned(), json!({ "script": script, "reports": reports }))
    };
    let cause = |run: &Run, abi: usize| run.cells()[abi]["cause"]["kind"].clone();
    let patches = ["--patches", patch.to_str().unwrap()];
    let mixed = run("mixed", &[&patches[..], &["--selftest", "old"]].concat());
    let expected = [
        held("a_test", false, false),
        held("b_test", false, true),
        held("a_test2", false, true),
        held("run.sh", true, false),
    ];
    assert_eq!(rules("mixed", &mixed), expected, "{mixed}");
    // Another ABI's Makefile has one more.
    let absent = &expects("mixed", &mixed)["absent"];
    assert_eq!(*absent, json!([{ "kind": "not-listed", "abi": "m64", "program": "more" }]), "{mixed}");
    let alone = run("alone", &[&patches[..], &["--selftest", "old", "--abi", "m64"]].concat());
    assert_eq!(expects("alone", &alone)["absent"], *absent, "{alone}");
    // What was there may lack its helper by an ABI, and is told.
    assert!(mixed.stdout.contains("helper was not built for -m32"), "{mixed}");
    assert_ne!(cause(&mixed, 1), "helper-not-built", "{mixed}");
    let new = run("new", &[&patches[..], &["--selftest", "new"]].concat());
    assert_eq!(rules("new", &new), [held("c_test", false, true), held("run.sh", true, true)], "{new}");
    assert_eq!(cause(&new, 1), "helper-not-built", "{new}");
    assert!(new.stdout.contains("not for i386"), "{new}");
    // One program, and what the series has become part of.
    let one = run("one", &[&patches[..], &["--selftest", "old:a_test"]].concat());
    assert_eq!(rules("one", &one), [held("a_test", false, false)], "{one}");
    for (path, text) in files("new", "c_test.c") {
        write(&tree.join(path), text);
    }
    let git = std::process::Command::new("git")
        .args(["apply", "--include=arch/*", "--include=kernel/*"])
        .arg(&patch)
        .current_dir(&tree)
        .status();
    assert!(git.unwrap().success());
    let other = world.root().join("other.patch");
    std::fs::write(&other, mini::new_file("lib/other.h", "int other;\n")).unwrap();
    let other = ["--patches", other.to_str().unwrap()];
    for (out, more, reports) in
        [("applied", &[][..], true), ("other", &other[..], true), ("status", &["--exit-status"][..], false)]
    {
        let run = run(out, &[&["--selftest", "new"], more].concat());
        assert_eq!(
            rules(out, &run),
            [held("c_test", false, reports), held("run.sh", true, reports)],
            "{run}"
        );
    }
}
