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
    // By their ids, and with what was not tested.
    let of_tree = &kernel(&ranged)["tree"];
    for (field, name) in [("base", "HEAD~2"), ("commit", "HEAD")] {
        assert_eq!(of_tree[field], git(&["rev-parse", name]).trim(), "{field}: {ranged}");
    }
    assert_eq!((&of_tree["dirty"], &of_tree["untested"]), (&Value::Null, &".gitignore (untracked)".into()));
    assert_says(&ranged, 0, &["no part of HEAD~2..HEAD and are not tested: .gitignore (untracked)"]);
    // Mailed.
    let mbox = world.root().join("series.mbox");
    std::fs::write(&mbox, git(&["format-patch", "--stdout", "HEAD~2..HEAD"])).unwrap();
    git(&["checkout", "--quiet", "--detach", "HEAD~2"]);
    let mailed = run("mailed", &[&["--patches", mbox.to_str().unwrap()], &three[..]].concat());
    assert_eq!((mailed.code, legs(&mailed).len()), (Some(0), 9), "{mailed}");
    // Without it there is no such call.
    assert_says(&run("without", &[]), 2, &["have no xyzzy", tree.to_str().unwrap()]);
}

/// Fragments, single lines, other bases and a folder of the user's own.
pub fn recipe() {
    let world = World::new();
    let run = |out: &str, more: &[&str]| {
        let mut args = world.args(out);
        args.extend(["--leg", "patched"].iter().chain(more).map(|word| (*word).to_owned()));
        world.run(&args)
    };
    let config = |out: &str, run: &Run| {
        let record: Value = serde_json::from_str(&run.stdout).unwrap();
        let config = record["kernels"][0]["legs"][0]["config"].as_str().unwrap().to_owned();
        std::fs::read_to_string(world.out(out).join(config)).unwrap()
    };
    let verdicts = |run: &Run| run.cells().iter().map(|cell| cell["verdict"].clone()).collect::<Vec<_>>();
    let file = world.root().join("mine.config");
    std::fs::write(&file, "CONFIG_MINE=y\nCONFIG_NOISE=y\n# CONFIG_MINI is not set\n").unwrap();
    let objects = world.root().join("objects");
    let [file, folder] = [&file, &objects].map(|path| path.to_str().unwrap());
    let mine = ["--config", file, "--config-item", "CONFIG_NOISE=n", "-O", folder, "--make", "W=1"];
    for base in ["defconfig", "kvm_guest"] {
        let made = run(base, &[&mine[..], &["--base-config", base]].concat());
        assert_eq!(verdicts(&made), ["pass"; 3], "{made}");
        let config = config(base, &made);
        let has = |line: &str| config.lines().any(|have| have == line);
        assert!(has("CONFIG_OF_DEFCONFIG=y") && has("CONFIG_MINE=y"), "{config}");
        assert_eq!(has("CONFIG_KVM_GUEST=y"), base == "kvm_guest", "{config}");
        // Ours give way to the user's, and the file to the line that came after it.
        assert!(!has("CONFIG_MINI=y") && !has("CONFIG_NOISE=y"), "{config}");
        assert!(objects.join("links.log").is_file(), "{made}");
        let recipe = &serde_json::from_str::<Value>(&made.stdout).unwrap()["kernels"][0]["recipe"];
        assert_eq!(recipe["base_config"], base, "{recipe}");
        assert_eq!(recipe["make"], serde_json::json!(["W=1"]), "{recipe}");
        assert!(recipe["configs"].to_string().contains("CONFIG_NOISE=n"), "{recipe}");
    }
    // A whole configuration, whose lines the fragments overrule.
    let whole = world.root().join("whole.config");
    std::fs::write(&whole, "CONFIG_WHOLE=y\n# CONFIG_X86_X32_ABI is not set\n").unwrap();
    let of_file = run("whole", &["--base-config", whole.to_str().unwrap()]);
    assert_eq!(verdicts(&of_file), ["pass"; 3], "{of_file}");
    assert!(config("whole", &of_file).contains("CONFIG_WHOLE=y"), "{of_file}");
    // Kconfig keeps what the user turns off, and the column is missed for it.
    let off = run("off", &["--config-item", "CONFIG_X86_X32_ABI=n"]);
    assert_eq!(verdicts(&off), ["pass", "pass", "miss"], "{off}");
    let cause = &off.cells()[2]["cause"];
    assert_eq!(cause["kind"], "no-kernel-abi", "{off}");
    assert!(cause["text"].as_str().unwrap().contains("has CONFIG_X86_X32_ABI=n"), "{off}");
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
    let run_with = |dir: &str, out: &str, more: &[&str]| {
        let args = ["test-selftest", dir, "--format", "json", "-vv", "--accel", "tcg"];
        let mut args: Vec<String> = args.iter().chain(more).map(|word| (*word).to_owned()).collect();
        let out = world.out(out).display().to_string();
        args.extend(["--tree".to_owned(), tree.display().to_string(), "--out".to_owned(), out]);
        let before = everything(&tree);
        let run = world.run(&args);
        assert_eq!(everything(&tree), before, "the user's tree was written to: {run}");
        run
    };
    let run = |dir: &str, out: &str| run_with(dir, out, &[]);
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
    // What a script would call lies there for the ABI that it was built for, and for no other one.
    write("helped/t.c", TEST);
    write("helped/helper.c", "int main(void) { return 0; }\n");
    write(
        "helped/Makefile",
        &MAKEFILE.replace("install: all\n", "install: all\n\tgcc -m64 -o $(INSTALL_PATH)/helper helper.c\n"),
    );
    let helped = run("helped", "helped");
    let record: Value = serde_json::from_str(&helped.stdout).unwrap();
    let notes = record["kernels"][0]["dirs"][0]["notes"].to_string();
    for (flag, lacks) in [("-m64", false), ("-m32", true), ("-mx32", true)] {
        let note = format!("helper was not built for {flag}: it was built as a -m64 binary");
        assert_eq!(notes.contains(&note), lacks, "{notes} {helped}");
    }
    let entries = world.cache.join("entry/kselftest");
    let archives = std::fs::read_dir(entries).unwrap().map(|entry| entry.unwrap().path().join("archive"));
    let has = |archive: &[u8], name: &str| archive.windows(name.len()).any(|here| here == name.as_bytes());
    let archives: Vec<Vec<u8>> = archives.filter_map(|path| std::fs::read(path).ok()).collect();
    let with = |name: &str| archives.iter().filter(|archive| has(archive, name)).count();
    assert_eq!((with("/helped/t\0"), with("/helped/helper\0")), (3, 1));
    // Sanitizers, where a Makefile heeds what it is told of them and where it does not.
    let flags = |flags: &str| MAKEFILE.replace("$(KHDR_INCLUDES)", &format!("$(KHDR_INCLUDES) {flags}"));
    for (dir, words, expected) in [
        ("heeds", "-fsanitize=undefined $(USERCFLAGS)", "built without the sanitizers"),
        ("deaf", "-fsanitize=undefined", "t has sanitizers all the same"),
    ] {
        write(&format!("{dir}/Makefile"), &flags(words));
        write(
            &format!("{dir}/t.c"),
            &TEST.replace("return puts", "int a[2] = {0}; return a[(long)puts % 2] + puts"),
        );
        let run = run_with(dir, dir, &["--no-sanitizers"]);
        let record: Value = serde_json::from_str(&run.stdout).unwrap();
        let notes = record["kernels"][0]["dirs"][0]["notes"].to_string();
        assert!(notes.contains(&format!("-m64: {expected}")), "{notes} {run}");
    }
    let list: Vec<String> =
        ["test-selftest", "mine", "--list", "--tree", tree.to_str().unwrap()].map(str::to_owned).to_vec();
    let listed = world.run(&list);
    assert_eq!(listed.code, Some(0), "{listed}");
    for program in ["mine", "t", "only32"] {
        assert!(
            listed.stdout.split_whitespace().any(|word| word.trim_end_matches(':') == program),
            "{listed}"
        );
    }
    let all: Vec<String> =
        ["test-selftest", "--list", "--tree", tree.to_str().unwrap()].map(str::to_owned).to_vec();
    let all = world.run(&all);
    assert_eq!(all.code, Some(0), "{all}");
    let dirs: Vec<&str> = all.stdout.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(dirs, ["deaf", "heeds", "helped", "mine", "new"], "{all}");
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
