//! A user's own tree, which is never written to.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use serde_json::Value;

use super::assert_says;
use super::support::Run;
use super::support::mini::{self, World};

pub fn users_tree() {
    let world = World::new();
    world.use_git();
    let tree = world.root().join("source/mini");
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(&tree).args(["-c", "user.name=x", "-c", "user.email=x@x"]).args(args);
        let said = git.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
        assert!(said.status.success(), "{args:?}: {}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).unwrap()
    };
    let run = |out: &str, more: &[&str]| {
        let before = everything(&tree);
        let mut args = world.args(out);
        args.extend(["--tree".to_owned(), tree.display().to_string()]);
        args.extend(
            ["--option", "CONFIG_XYZZY_SYSCALL", "--selftest", "xyzzy"]
                .iter()
                .chain(more)
                .map(|word| (*word).to_owned()),
        );
        let run = world.run(&args);
        assert_eq!(everything(&tree), before, "the user's tree was written to: {run}");
        run
    };
    let legs = |run: &Run| run.cells().iter().map(|cell| cell["leg"].clone()).collect::<Vec<_>>();
    let kernel = |run: &Run| {
        let record: Value = serde_json::from_str(&run.stdout).unwrap();
        record["kernels"][0].clone()
    };
    let series = world.project().join("kernels").join(mini::KERNEL).join("xyzzy");
    let patches = ["0001-call.patch", "0002-test.patch"].map(|name| series.join(name));
    for patch in &patches {
        git(&["apply", patch.to_str().unwrap()]);
    }
    // As a build in place leaves it.
    std::fs::write(tree.join(".gitignore"), "*.o\n.config\n").unwrap();
    std::fs::write(tree.join(".config"), "CONFIG_NOISE=y\n").unwrap();
    std::fs::write(tree.join("lib/a.o"), "not an object").unwrap();
    let dirty = run("dirty", &[]);
    world.assert_passed(&dirty);
    let of_tree = &kernel(&dirty)["tree"];
    assert_eq!(of_tree["path"], tree.to_str().unwrap(), "{dirty}");
    assert!(of_tree["dirty"].as_str().unwrap().contains("2 files changed"), "{dirty}");
    assert!(dirty.stderr.contains("no series"), "{dirty}");
    // An edit is laid over what is there: source, work tree and objects stay where they are.
    let source = std::fs::read_to_string(tree.join("lib/b.c")).unwrap();
    std::fs::write(tree.join("lib/b.c"), source.clone() + "int edited;\n").unwrap();
    world.assert_passed(&run("edited", &[]));
    for kind in ["source", "tree"] {
        assert_eq!(World::names(&world.cache.join(kind)).len(), 1, "{kind}");
    }
    std::fs::write(tree.join("lib/b.c"), source).unwrap();
    // Committed: the commits are the series, and there is a leg without them.
    git(&["add", "arch", "kernel"]);
    git(&["commit", "--quiet", "--message", "the call"]);
    git(&["add", "tools"]);
    git(&["commit", "--quiet", "--message", "its test"]);
    let three = ["--leg", "patched", "--leg", "config-off", "--leg", "unpatched"];
    let ranged = run("range", &[&["--range", "HEAD~2..HEAD"], &three[..]].concat());
    assert_eq!(ranged.code, Some(0), "{ranged}");
    assert_eq!((legs(&ranged).len(), &legs(&ranged)[8]), (9, &"unpatched".into()), "{ranged}");
    assert_eq!(kernel(&ranged)["patches"], serde_json::json!(["0001-the-call.patch", "0002-its-test.patch"]));
    // Mailed.
    let mbox = world.root().join("series.mbox");
    std::fs::write(&mbox, git(&["format-patch", "--stdout", "HEAD~2..HEAD"])).unwrap();
    git(&["checkout", "--quiet", "--detach", "HEAD~2"]);
    let mailed = run("mailed", &[&["--patches", mbox.to_str().unwrap()], &three[..]].concat());
    assert_eq!((mailed.code, legs(&mailed).len()), (Some(0), 9), "{mailed}");
    // Without it there is no such call.
    assert_says(&run("without", &[]), 2, &["have no xyzzy", tree.to_str().unwrap()]);
}

/// The guest that is played says yes to programs of the kernel's own variant alone.
pub fn users_selftest() {
    const MAKEFILE: &str = "progs := t $(if $(findstring -m32,$(CC)),only32)\nall:\n\
        \tset -e; for p in $(progs); do $(CC) $(KHDR_INCLUDES) -o $(OUTPUT)/$$p t.c; done\n\
        install: all\n\tfor p in $(progs); do cp $(OUTPUT)/$$p $(INSTALL_PATH); done\n\
        emit_tests:\n\t@for p in $(progs); do echo \"$(COLLECTION):$$p\"; done\n";
    const TEST: &str = "#include <stdio.h>\n#include \"variant.h\"\n#include \"../shared.h\"\n\
        int main(void) { return puts(\"selftest variant=\" VARIANT EDITED \";\") < 0; }\n";
    let world = World::new();
    let tree = world.root().join("source/mini");
    let selftests = tree.join("tools/testing/selftests");
    let write = |path: &str, text: &str| {
        let path = selftests.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let run = |dir: &str, out: &str| {
        let mut args =
            ["test-selftest", dir, "--format", "json", "-vv", "--accel", "tcg"].map(str::to_owned).to_vec();
        let out = world.out(out).display().to_string();
        args.extend(["--tree".to_owned(), tree.display().to_string(), "--out".to_owned(), out]);
        let before = everything(&tree);
        let run = world.run(&args);
        assert_eq!(everything(&tree), before, "the user's tree was written to: {run}");
        run
    };
    let verdicts = |run: &Run, program: &str| -> Vec<String> {
        let cells = run.cells().into_iter().filter(|cell| cell["program"] == program);
        cells.map(|cell| cell["verdict"].as_str().unwrap().to_owned()).collect()
    };
    let symbols = tree.join("Kconfig");
    let text = std::fs::read_to_string(&symbols).unwrap();
    std::fs::write(&symbols, text + "config MORE\n\tbool \"more\"\n").unwrap();
    write("kselftest/runner.sh", "");
    write("mine/Makefile", MAKEFILE);
    write("mine/t.c", TEST);
    write("shared.h", "#define EDITED\n");
    let first = run("mine", "first");
    assert_eq!(verdicts(&first, "t"), ["pass"; 3], "{first}");
    // One ABI's alone is missed for the others, and not left out.
    assert_eq!(verdicts(&first, "only32"), ["miss", "pass", "miss"], "{first}");
    assert!(first.stdout.contains("not-listed"), "{first}");
    // The header beside it, and so the test, is another one by now.
    write("shared.h", "#define EDITED \"edited\"\n");
    let edited = run("mine", "edited");
    assert_eq!(verdicts(&edited, "t"), ["fail"; 3], "{edited}");
    assert!(edited.stdout.contains("baseedited"), "{edited}");
    write("shared.h", "#define EDITED\n");
    let asks = |run: &Run, out: &str| {
        let record: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        let config = world.out(out).join(record["kernels"][0]["config"].as_str().unwrap());
        std::fs::read_to_string(config).unwrap().contains("CONFIG_MORE=y")
    };
    assert!(!asks(&edited, "edited"), "{edited}");
    // A directory that is new since the tree was copied, and whose `config` asks for more.
    write("new/config", "CONFIG_MORE=y\n");
    write("new/Makefile", MAKEFILE);
    write("new/t.c", TEST);
    let new = run("new", "new");
    assert_eq!(verdicts(&new, "t"), ["pass"; 3], "{new}");
    assert!(asks(&new, "new"), "{new}");
    // What was named and has nothing to run is an error.
    write("empty/Makefile", "emit_tests:\n\t@:\n");
    let empty = run("empty", "empty");
    assert_eq!(verdicts(&empty, "Makefile"), ["error"; 3], "{empty}");
    assert!(empty.stdout.contains("lists no program"), "{empty}");
}

/// Name, mode, size, times and content of all that is in a folder.
fn everything(folder: &Path) -> Vec<(PathBuf, u32, SystemTime, Vec<u8>)> {
    let mut found = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(path) = todo.pop() {
        let meta = std::fs::symlink_metadata(&path).unwrap();
        let content = if meta.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
        if meta.is_dir() {
            todo.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let mode = std::os::unix::fs::MetadataExt::mode(&meta);
        found.push((path, mode, meta.modified().unwrap(), content));
    }
    found.sort();
    found
}
