//! T1: a person in an earlier run's cell: the terminal is as it was, whatever ends it; a debugger gets
//! that run's kernel and no other.
//!
//! The small kernel of `support/mini.rs`, a played QEMU, a played gdb; the terminal is real.

mod support;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal};
use support::mini::{self, World};
use support::{Run, eventually};

fn main() {
    if mini::played() {
        return;
    }
    support::run_all(&[
        ("a shell that ends leaves the terminal as it was", ends),
        ("ctrl-c is the guest's, and ctrl-a x leaves", is_left),
        ("a qemu that dies under a shell leaves the terminal as it was", qemu_dies),
        ("sigterm under a shell leaves the terminal as it was", sigterm),
        ("sigkill under a shell leaves the terminal as it was", sigkill),
        ("a run of either kind that failed ends in a shell, and with its own code", on_fail),
        ("after gdb the terminal is as it was", after_gdb),
        ("without a terminal, or without gdb, one message says so", nobody_there),
        ("a debugger gets the run's own kernel and no other", own_kernel),
        ("it gets the sources of that kernel, whatever lies in the work tree", own_sources),
        ("of a kselftest it gets the program, and where that begins", of_selftest),
    ]);
}

/// A world with a run, `out/run`, of which all cells passed.
fn world() -> World {
    let world = World::new();
    std::fs::write(
        world.project().join("configs/debuginfo.config"),
        "# A line that Kconfig keeps.\nCONFIG_DEBUG_INFO_DWARF5=y\n",
    )
    .unwrap();
    world.assert_passed(&world.run(&world.args("run")));
    world
}

/// The arguments of `repro` on a cell of that run.
fn repro(world: &World, more: &[&str]) -> Vec<String> {
    let run = world.out("run").display().to_string();
    let words = ["repro", &run, "mini-1.0 patched m64"].into_iter().chain(more.iter().copied());
    words.map(str::to_owned).collect()
}

/// The only process of the world whose arguments contain `word`.
fn process(world: &World, word: &str) -> Pid {
    let found: Vec<_> = world.processes().into_iter().filter(|(_, args)| args.contains(word)).collect();
    let [(pid, _)] = &found[..] else { panic!("{word}: {found:?}") };
    Pid::from_raw(*pid).unwrap()
}

/// What a terminal has seen.
struct Seen {
    code: String,
    screen: String,
}

/// Runs the program in a terminal's foreground, has `act` do something once a guest runs, and looks at
/// the terminal's settings before and after.
#[track_caller]
fn on_a_terminal(world: &World, args: &[String], act: impl FnOnce(&mut dyn Write)) -> Seen {
    let root = world.root();
    let before = world.played("monitor").len();
    let quoted = |name: &str| harness::process::quote(root.join(name).to_str().unwrap());
    let command = world.command(args);
    // Nobody has asked the guard to be quick: it is waited for.
    let text = format!(
        "trap : INT\nstty -g > {before}\n{program}\necho $? > {code}\nn=0\n\
         until [ \"$(stty -g)\" = \"$(cat {before})\" ] || [ $n = 200 ]; do sleep 0.05; n=$((n+1)); done\n\
         stty -g > {after}.new\nmv {after}.new {after}\n",
        before = quoted("before"),
        program = mini::shell_words(&command),
        code = quoted("code"),
        after = quoted("after"),
    );
    std::fs::write(root.join("shell"), text).unwrap();
    let mut script = Command::new("script");
    script
        .args(["--quiet", "--flush", "--command"])
        .arg(format!("sh {}", quoted("shell")))
        .arg(root.join("screen"));
    script.env_clear().envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    script.env("TERM", "xterm").env("SHELL", "/bin/sh");
    script.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut script = script.spawn().expect("this test needs script (Debian: bsdutils)");
    let mut keys = script.stdin.take().unwrap();
    let over = || root.join("after").exists();
    eventually("a guest runs, or none ever will", || world.played("monitor").len() > before || over());
    act(&mut keys);
    eventually("the shell has seen its end", over);
    drop(keys);
    script.wait().unwrap();
    let read = |name: &str| String::from_utf8_lossy(&std::fs::read(root.join(name)).unwrap()).into_owned();
    let screen = read("screen");
    assert!(!read("before").is_empty());
    assert_eq!(read("before"), read("after"), "{screen}");
    eventually("nobody is left", || world.processes().is_empty());
    assert_eq!(World::names(&world.cache.join("scratch")), [""; 0]);
    Seen { code: read("code").trim().to_owned(), screen }
}

fn ends() {
    let world = world();
    let seen = on_a_terminal(&world, &repro(&world, &["--shell"]), |_| {});
    assert_eq!(seen.code, "0", "{}", seen.screen);
    assert!(seen.screen.contains("Linux version 1.0.0-mini"), "{}", seen.screen);
    assert!(seen.screen.contains("mini-1.0 patched m64: left"), "{}", seen.screen);
    // It is the image of the run, byte for byte, with something behind it.
    let folder = world.out("run").join("repro.1");
    let with_shell = std::fs::read(folder.join("shell.initramfs")).unwrap();
    let images = world.out("run/images");
    let image = World::names(&images).into_iter().find(|name| name.contains(".m64.initramfs")).unwrap();
    let image = std::fs::read(images.join(image)).unwrap();
    assert!(with_shell.starts_with(&image) && with_shell.len() > image.len());
    // The console is in its log all the same.
    assert!(std::fs::read_to_string(folder.join("console.log")).unwrap().contains("Linux version"));
}

fn is_left() {
    let world = world();
    world.life_with("run-all", "console ready\nforever");
    let screen = world.root().join("screen");
    let seen = on_a_terminal(&world, &repro(&world, &["--shell"]), |keys| {
        eventually("the guest is seen", || {
            String::from_utf8_lossy(&std::fs::read(&screen).unwrap_or_default()).contains("ready")
        });
        keys.write_all(b"\x03").unwrap();
        keys.write_all(b"\x01x").unwrap();
    });
    // 130, if the terminal had made a signal of the first.
    assert_eq!(seen.code, "0", "{}", seen.screen);
}

fn qemu_dies() {
    let world = world();
    world.life_with("run-all", "forever");
    let seen = on_a_terminal(&world, &repro(&world, &["--shell"]), |_| {
        rustix::process::kill_process(process(&world, "-initrd"), Signal::KILL).unwrap();
    });
    assert_eq!(seen.code, "3", "{}", seen.screen);
    assert!(seen.screen.contains("QEMU was killed by signal 9"), "{}", seen.screen);
}

/// Ends the program itself.
fn ended_by(signal: Signal) -> Seen {
    let world = world();
    world.life_with("run-all", "console ready\nforever");
    let screen = world.root().join("screen");
    on_a_terminal(&world, &repro(&world, &["--shell"]), |_| {
        eventually("the guest is seen", || {
            String::from_utf8_lossy(&std::fs::read(&screen).unwrap_or_default()).contains("ready")
        });
        let program = env!("CARGO_BIN_EXE_xtask");
        let is_it = |args: &str| args.starts_with(program) && args.contains("--shell");
        let found: Vec<_> = world.processes().into_iter().filter(|(_, args)| is_it(args)).collect();
        let [(pid, _)] = &found[..] else { panic!("{found:?}") };
        rustix::process::kill_process(Pid::from_raw(*pid).unwrap(), signal).unwrap();
    })
}

fn sigterm() {
    let seen = ended_by(Signal::TERM);
    assert_eq!(seen.code, "143", "{}", seen.screen);
}

fn sigkill() {
    let seen = ended_by(Signal::KILL);
    assert_eq!(seen.code, "137", "{}", seen.screen);
}

/// The arguments of a run of kselftests: one program of the small kernel, by one ABI.
fn selftest(world: &World, out: &str) -> Vec<String> {
    let tree = world.root().join("source/mini");
    for (path, text) in [
        ("kselftest/runner.sh", ""),
        (
            "mine/Makefile",
            "all:\n\t$(CC) -g $(KHDR_INCLUDES) -o $(OUTPUT)/t t.c\n\
             install: all\n\tcp $(OUTPUT)/t $(INSTALL_PATH)\n\
             emit_tests:\n\t@echo \"$(COLLECTION):t\"\n",
        ),
        (
            "mine/t.c",
            "#include <stdio.h>\n#include \"variant.h\"\n\
             int main(void) { return puts(\"selftest variant=\" VARIANT \";\") < 0; }\n",
        ),
    ] {
        let path = tree.join("tools/testing/selftests").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let (tree, out) = (tree.display().to_string(), world.out(out).display().to_string());
    let args = ["test-selftest", "mine", "--abi", "m64", "--accel", "tcg", "--tree", &tree, "--out", &out];
    args.map(str::to_owned).to_vec()
}

/// What the run's guest does, the one with the shell in it does again.
const PANIC: &str = "console <0>[    0.400000] Kernel panic - not syncing: no\nexit 0";

fn on_fail() {
    let world = World::new();
    world.life_with("run-all", PANIC);
    let of_syscall =
        [world.args("syscall"), ["--abi", "m64", "--leg", "patched"].map(str::to_owned).to_vec()];
    for (args, out, cell, word) in [
        (of_syscall.concat(), "syscall", "mini-1.0 patched m64", "/test/xyzzy_test"),
        (selftest(&world, "selftest"), "selftest", "mini mine/t m64", "/mine/t"),
    ] {
        let args = [args, vec!["--shell-on-fail".to_owned()]].concat();
        let seen = on_a_terminal(&world, &args, |_| {});
        assert_eq!(seen.code, "1", "{}", seen.screen);
        assert!(seen.screen.contains(&format!("{cell}: the kernel said")), "{}", seen.screen);
        let image = std::fs::read(world.out(out).join("repro.1/shell.initramfs")).unwrap();
        let banner = format!("{cell}, to be tried by hand: nothing of it is judged.\nIt ran:");
        let text = String::from_utf8_lossy(&image);
        assert!(text.contains(&banner) && text.contains(word), "{banner}");
        for left in ["before", "after", "code"] {
            std::fs::remove_file(world.root().join(left)).unwrap();
        }
    }
    // Of a run that never had a guest there is none to be let into; its code is its own.
    let mut args = selftest(&world, "never");
    std::fs::write(world.root().join("source/mini/tools/testing/selftests/mine/t.c"), "no C\n").unwrap();
    args.push("--shell-on-fail".to_owned());
    let seen = on_a_terminal(&world, &args, |_| {});
    assert_eq!(seen.code, "3", "{}", seen.screen);
    assert!(
        seen.screen.contains("--shell-on-fail: mini mine/t m64: no guest of it ever ran"),
        "{}",
        seen.screen
    );
}

/// A gdb that makes a mess of the terminal, as one does that is killed.
const MESSY_GDB: &str =
    "#!/bin/sh\ncase \"$*\" in *--version*) echo played; exit ;; esac\nstty raw -echo\nkill -9 $$\n";

fn after_gdb() {
    let world = world();
    world.program("gdb", MESSY_GDB);
    let seen = on_a_terminal(&world, &repro(&world, &["--gdb"]), |_| {});
    assert_eq!(seen.code, "0", "{}", seen.screen);
}

#[track_caller]
fn says(run: &Run, code: i32, words: &[&str]) {
    assert_eq!(run.code, Some(code), "{run}");
    for word in words {
        assert!(run.stderr.contains(word), "{word}: {run}");
    }
}

fn nobody_there() {
    let mut world = world();
    says(&world.run(&repro(&world, &["--shell"])), 2, &["--shell needs a terminal"]);
    says(&world.run(&repro(&world, &["--gdb"])), 2, &["--gdb needs a terminal", "--gdb-script FILE"]);
    let absent = repro(&world, &["--gdb-script", "/no/such/file"]);
    says(&world.run(&absent), 2, &["--gdb-script /no/such/file: there is no such file"]);
    // A run whose cells fail, and nobody to look at them.
    world.life_with("run-all", "console <0>[    0.400000] Kernel panic - not syncing: no\nexit 0");
    let mut args = world.args("failed");
    args.push("--shell-on-fail".to_owned());
    says(&world.run(&args), 1, &["--shell-on-fail: there is no terminal"]);
    let mut args = selftest(&world, "failed-too");
    args.push("--shell-on-fail".to_owned());
    says(&world.run(&args), 1, &["--shell-on-fail: there is no terminal"]);
    let file = world.root().join("commands");
    std::fs::write(&file, "").unwrap();
    world.env.push(("PATH".to_owned(), world.bin().display().to_string()));
    let run = world.run(&repro(&world, &["--gdb-script", file.to_str().unwrap()]));
    says(&run, 3, &["gdb: not found (package gdb)"]);
}

/// A gdb that shows what it is given.
const SHOWING_GDB: &str =
    "#!/bin/sh\nfor last; do :; done\ncat gdb.commands \"$last\"\nls -l gdb.sock vmlinux\n";

fn own_kernel() {
    let world = world();
    world.program("gdb", SHOWING_GDB);
    let file = world.root().join("commands");
    std::fs::write(&file, "of the user\n").unwrap();
    let args = repro(&world, &["--gdb-script", file.to_str().unwrap()]);
    let config = world.project().join("configs/mini.config");
    let text = std::fs::read_to_string(&config).unwrap();
    let other = text.clone() + "# Something else.\nCONFIG_OTHER=y\n";
    std::fs::write(&config, &other).unwrap();
    let changed = world.run(&args);
    says(
        &changed,
        2,
        &["mini-1.0 patched m64: its source, series, configuration or compiler is not what it was"],
    );
    std::fs::write(&config, &text).unwrap();
    let run = world.run(&args);
    says(&run, 0, &["the kernel is the one that was judged", "compile    mini-1.0 patched with debug info"]);
    for word in ["file vmlinux\n", "target remote gdb.sock\n", "xyzzy by m64", "of the user\n"] {
        assert!(run.stdout.contains(word), "{word}: {run}");
    }
    // Once it is there, nothing has to be asked of sources that may have gone on.
    std::fs::write(&config, &other).unwrap();
    let again = world.run(&args);
    assert_eq!(again.code, Some(0), "{again}");
    assert!(!again.stderr.contains("compile"), "{again}");
    let folder = world.out("run").join("repro.3");
    let path: PathBuf = folder.join("vmlinux");
    assert!(path.is_file(), "{:?}", World::names(&folder));
}

fn own_sources() {
    let world = World::new();
    std::fs::write(world.project().join("configs/debuginfo.config"), "# Nothing more.\n").unwrap();
    world.program("gdb", SHOWING_GDB);
    let file = world.root().join("commands");
    std::fs::write(&file, "").unwrap();
    world.assert_passed(&world.run(&world.variant("one", "run")));
    let args = repro(&world, &["--gdb-script", file.to_str().unwrap()]);
    says(&world.run(&args), 0, &["compile    mini-1.0 patched with debug info"]);
    let trees = world.cache.join("tree");
    let place = trees.join(&World::names(&trees)[0]);
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
    // Objects that ccache has of another folder would name that one's sources.
    let env = read(place.join("obj.debuginfo/env.log"));
    for line in ["CCACHE_HASHDIR=1", "CCACHE_BASEDIR="] {
        assert!(env.lines().any(|said| said == line), "{line}: {env}");
    }
    world.assert_passed(&world.run(&world.variant("two", "two")));
    let tree = place.join("src");
    assert!(read(tree.join("include/variant.h")).contains("two"), "it would show another's source");
    let run = world.run(&args);
    assert_eq!(run.code, Some(0), "{run}");
    let own = world.out("run").join("repro.2/sources");
    assert!(read(own.join("include/variant.h")).contains("one"));
    assert!(own.join("kernel/xyzzy.c").is_file() && !own.join("lib").exists());
    // A file that is the series' own comes before what is the pristine tree's.
    let rule =
        |from: PathBuf, to: PathBuf| format!("set substitute-path {} {}\n", from.display(), to.display());
    let own = run.stdout.find(&rule(tree.join("kernel/xyzzy.c"), "sources/kernel/xyzzy.c".into()));
    let all =
        run.stdout.find(&format!("set substitute-path {} {}/source/", tree.display(), world.cache.display()));
    assert!(own.is_some() && own < all, "{run}");
}

fn of_selftest() {
    let world = world();
    world.program("gdb", SHOWING_GDB);
    let file = world.root().join("commands");
    std::fs::write(&file, "of the user\n").unwrap();
    let run = world.run(&selftest(&world, "selftest"));
    assert_eq!(run.code, Some(0), "{run}");
    let out = world.out("selftest").display().to_string();
    let args = |more: &[&str]| -> Vec<String> {
        let words = ["repro", &out, "mini mine/t m64", "--gdb-script", file.to_str().unwrap()];
        words.iter().chain(more).map(ToString::to_string).collect()
    };
    says(&world.run(&args(&["--break", "a b"])), 2, &["--break <FUNC>", "a function's name"]);
    let without: Vec<String> = ["repro", &out, "t", "--break", "f"].map(str::to_owned).to_vec();
    says(&world.run(&without), 2, &["--gdb"]);
    // The tree has gone on.
    let source = world.root().join("source/mini/lib/a.c");
    let text = std::fs::read_to_string(&source).unwrap();
    std::fs::write(&source, text.clone() + "int edited;\n").unwrap();
    says(&world.run(&args(&[])), 2, &["mini mine/t m64: its source, series, configuration or compiler"]);
    std::fs::write(&source, &text).unwrap();
    let run = world.run(&args(&["--break", "main", "--break", "nowhere"]));
    says(
        &run,
        0,
        &[
            "compile    mini kselftest with debug info",
            "the kernel is the one that was judged",
            "--break nowhere: neither the kernel nor the program has a function of that name",
        ],
    );
    assert!(!run.stderr.contains("--break main"), "{run}");
    for word in [
        "->filename, \"/kselftest/mine/t\")",
        "add-symbol-file selftest.t -o $abimatrix_at\n",
        "thbreak *main\n",
        "hbreak nowhere\n",
        "mini mine/t m64: it stops where the program begins",
        "of the user\n",
    ] {
        assert!(run.stdout.contains(word), "{word}: {run}");
    }
    assert!(!run.stdout.contains("abimatrix-args"), "{run}");
    assert!(world.out("selftest").join("repro.2/selftest.t").is_file());
}
