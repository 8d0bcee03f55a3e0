//! A kernel so small that a whole run over it takes a second: source, series and guest programs
//! that the tool unpacks, patches, configures, compiles and boots by the same code as a real one.
//!
//! git, tar, make, gcc and strip are real; QEMU is the scripted one of `harness/tests/support`, and
//! this test program plays it (see [`played`]). What is built carries the name of its *variant*, which
//! an extra patch sets: the wrapper that stands for QEMU boots a kernel only if every object of it
//! and the selftest in the image are of one variant, and panics the guest otherwise. A run that
//! takes something half made or of another series therefore does not pass.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Run, Started};

#[path = "../../../harness/tests/support/fake_qemu.rs"]
mod fake_qemu;

/// The kernel's name.
pub const KERNEL: &str = "mini-1.0";
/// The cells of a run without a selection: two legs, three ABIs.
pub const CELLS: usize = 6;
/// The number of the syscall.
const NUMBER: u32 = 4;
/// The environment variable by which a process of a run is known: it is passed on to all of them.
const MARK: &str = "HOME";

/// Plays QEMU if this process was started for that, and says so. The first thing that `main` asks.
pub fn played() -> bool {
    let is_qemu = std::env::args().nth(1).is_some_and(|arg| arg == "-initrd");
    if is_qemu {
        fake_qemu::main();
    }
    is_qemu
}

/// A project with the small kernel, a cache of its own, and a search path with the scripted QEMU.
pub struct World {
    _scratch: Option<tempfile::TempDir>,
    root: PathBuf,
    /// The cache; a folder that does not exist yet.
    pub cache: PathBuf,
    /// What the caller has in its environment beyond what the tool needs.
    pub env: Vec<(String, String)>,
}

/// Sources of the kernel, by path. The tables have the format of the real ones.
const SOURCE: [(&str, &str); 9] = [
    ("Kbuild", "# Its presence says that this is a kernel.\n"),
    ("Kconfig", "config XYZZY_SYSCALL\n\tbool \"xyzzy\"\n"),
    ("Makefile", MAKEFILE),
    ("include/variant.h", "#define VARIANT \"base\"\n"),
    ("init/main.c", OBJECT_MAIN),
    ("lib/a.c", OBJECT),
    ("lib/b.c", OBJECT),
    (
        "arch/x86/entry/syscalls/syscall_64.tbl",
        "0\tcommon\tread\t\t\tsys_read\n1\tcommon\twrite\t\t\tsys_write\n",
    ),
    (
        "arch/x86/entry/syscalls/syscall_32.tbl",
        "0\ti386\tread\t\t\tsys_read\n1\ti386\twrite\t\t\tsys_write\n",
    ),
];

const OBJECT: &str = "#include \"variant.h\"\nstatic const char say[] = \"object variant=\" VARIANT \";\";\nconst char *NAME(void) { return say; }\n";
const OBJECT_MAIN: &str = "#include \"variant.h\"\n#ifndef CONFIG_XYZZY_SYSCALL\n#define SWITCH \"off\"\n#else\n#define SWITCH \"on\"\n#endif\n\
    static const char say[] = \"object variant=\" VARIANT \";\";\nconst char state[] = \"xyzzy=\" SWITCH \";\";\n\
    const char *NAME(void) { return say; }\nvoid _start(void) { for (;;) ; }\n";

/// What the tool asks of a kernel's Makefile, done in the kernel's way: objects in another folder,
/// remade when their sources are newer; auto.conf remade from .config; words for each object.
const MAKEFILE: &str = r##"O ?= .
CC := gcc
objs := init/main.o lib/a.o lib/b.o

ifneq ($(filter vmlinux,$(MAKECMDGOALS)),)
-include $(O)/include/config/auto.conf
endif
ifeq ($(CONFIG_XYZZY_SYSCALL),y)
objs += kernel/xyzzy.o
endif

$(O)/vmlinux: $(addprefix $(O)/,$(objs))
	@echo "  LD      vmlinux"
	@gcc -static -nostdlib -Wl,--build-id=none -o $@ $^
	@nm $@ > $(O)/System.map
	@echo linked >> $(O)/links.log
	@env > $(O)/env.log
vmlinux: $(O)/vmlinux

$(O)/%.o: %.c include/variant.h $(O)/include/config/auto.conf
	@mkdir -p $(@D)
	@echo "  CC      $*.o"
	@$(CC) -O1 -fno-pic -Iinclude -DNAME=name_$(notdir $*) $(if $(CONFIG_XYZZY_SYSCALL),-DCONFIG_XYZZY_SYSCALL) -c -o $@ $<

$(O)/include/config/auto.conf: $(O)/.config
	@mkdir -p $(@D)
	@grep '=[ym]' $< > $@

allnoconfig:
	@cp $(KCONFIG_ALLCONFIG) $(O)/.config
defconfig:
	@echo CONFIG_OF_DEFCONFIG=y > $(O)/.config
kvm_guest.config:
	@echo CONFIG_KVM_GUEST=y >> $(O)/.config
olddefconfig:
	@tac $(O)/.config | awk -F'[= ]' '/CONFIG_/ { s = $$1 == "#" ? $$2 : $$1; if (!(s in had)) print; had[s] }' > $(O)/.config.new
	@mv $(O)/.config.new $(O)/.config

headers:
	@mkdir -p $(O)/usr/include
	@cp include/variant.h $(O)/usr/include/variant.h

.PHONY: vmlinux allnoconfig defconfig kvm_guest.config olddefconfig headers
"##;

const SELFTEST_MAKEFILE: &str = "all:\n\t$(CC) $(KHDR_INCLUDES) -o $(OUTPUT)/xyzzy_test xyzzy_test.c\ninstall: all\n\tcp $(OUTPUT)/xyzzy_test $(INSTALL_PATH)\nemit_tests:\n\t@echo \"$(COLLECTION):xyzzy_test\"\n";
const SELFTEST: &str = "#include <stdio.h>\n#include \"variant.h\"\nint main(void) { return puts(\"selftest variant=\" VARIANT \";\") < 0; }\n";

/// What stands for QEMU on the search path. It answers the questions that are asked of a QEMU, and
/// plays a guest by a script that tells whether kernel and image belong together.
const QEMU: &str = r#"#!/bin/sh
here=HERE
case "$*" in
--version) echo "QEMU emulator version 9.9.9 (played)"; exit ;;
"-machine help") printf '%s\n' 'microvm              microvm (i386)' 'q35                  PC'; exit ;;
"-device help") printf '%s\n' 'name "virtserialport", bus virtio-serial-bus' 'name "virtio-serial-device"'; exit ;;
esac
last=
for word; do
    case $last in
    -kernel) kernel=$word ;;
    -initrd) initrd=$word ;;
    -name) name=$word ;;
    esac
    last=$word
done
say() { grep -a -o "$1" "$2" | sort -u | tr '\n' ' '; }
objects=$(grep -a -o 'object variant=[0-9a-z]*;' "$kernel" | wc -l)
of_kernel=$(say 'object variant=[0-9a-z]*;' "$kernel")
of_test=$(say 'selftest variant=[0-9a-z]*;' "$initrd")
switch=$(say 'xyzzy=o[nf]*;' "$kernel")
case $name in
*.patched.*) leg="4 xyzzy=on; " ;;
*) leg="3 xyzzy=off; " ;;
esac
script=$here/played/$$
env > "$script.env"
readlink /proc/$$/fd/* > "$script.fds"
life=$here/life
if [ -e "$here/life.first" ] && mkdir "$here/booted.$name" 2>/dev/null; then life=$life.first; fi
if [ "object ${of_test#selftest }" = "$of_kernel" ] && [ "$objects $switch" = "$leg" ]; then
    cat "$life" > "$script"
else
    echo "console Linux version 1.0.0-mini" > "$script"
    echo "console <0>[    0.400000] Kernel panic - not syncing: $objects objects: $of_kernel, $switch, $of_test" >> "$script"
fi
exec PLAYER -initrd "$script" "$@"
"#;

/// The perfect life.
pub const LIFE: &str = "console Linux version 1.0.0-mini (gcc) #1 SMP\nsleep 10\nhello\nplan\nsleep 5\nrun-all\nsleep 5\nbye\nclose\n\
    console <6>[    0.500000] reboot: Power down\nshutdown guest-shutdown\nexit 0\n";

/// A command as a line for a shell, its environment left out.
pub fn shell_words(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words.map(|word| harness::process::quote(word.to_str().unwrap())).collect();
    words.join(" ")
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A patch that makes a new file.
pub fn new_file(path: &str, text: &str) -> String {
    let lines: String = text.lines().flat_map(|line| ["+", line, "\n"]).collect();
    format!(
        "diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,{} @@\n{lines}",
        text.lines().count()
    )
}

/// A patch that adds a line at the end of a file of the source.
fn table_line(path: &str, line: &str) -> String {
    let (_, text) = SOURCE.iter().find(|(name, _)| *name == path).unwrap();
    appended(path, text, line)
}

/// A patch that adds lines at the end of a file with this text.
fn appended(path: &str, text: &str, lines: &str) -> String {
    let context: String = text.lines().flat_map(|line| [" ", line, "\n"]).collect();
    let more: String = lines.lines().flat_map(|line| ["+", line, "\n"]).collect();
    let (n, m) = (text.lines().count(), text.lines().count() + lines.lines().count());
    format!("diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1,{n} +1,{m} @@\n{context}{more}")
}

impl World {
    /// One in a folder of its own.
    pub fn new() -> World {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().canonicalize().unwrap();
        World { _scratch: Some(scratch), ..World::below(root) }
    }

    /// One in this folder, which somebody else removes.
    pub fn below(root: PathBuf) -> World {
        let world = World { _scratch: None, cache: root.join("cache"), root, env: Vec::new() };
        for folder in ["home", "tmp", "out", "bin/played"] {
            std::fs::create_dir_all(world.root.join(folder)).unwrap();
        }
        let source = world.root.join("source/mini");
        for (path, text) in SOURCE {
            write(&source.join(path), text);
        }
        let project = world.project();
        let folder = project.join("kernels").join(KERNEL);
        let tarball = folder.join("mini.tar");
        std::fs::create_dir_all(&folder).unwrap();
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(world.root.join("source")).arg("-cf").arg(&tarball).arg("mini");
        assert!(tar.status().unwrap().success());
        let sum = Command::new("sha256sum").arg(&tarball).output().unwrap();
        let sum = String::from_utf8(sum.stdout).unwrap();
        write(
            &folder.join("kernel.yaml"),
            &format!(
                "kernel: {KERNEL}\nsource:\n  tarball: {{path: mini.tar, sha256: {}}}\nconfigs: [mini.config]\n",
                &sum[..64]
            ),
        );
        write(
            &project.join("configs/mini.config"),
            "# Lines that Kconfig keeps.\nCONFIG_MINI=y\nCONFIG_IA32_EMULATION=y\nCONFIG_X86_X32_ABI=y\n",
        );
        for program in ["agent", "probe"] {
            let text = format!("int main(void) {{ return sizeof \"{program}\" == 0; }}\n");
            write(&project.join(format!("guest/{program}/{program}.c")), &text);
        }
        write(&project.join("guest/include/nothing.h"), "");
        write(&project.join("guest/lines/lines.c"), "int lines;\n");
        let series = folder.join("xyzzy");
        write(
            &series.join("spec.yaml"),
            &format!(
                "syscall: xyzzy\nnumber: {NUMBER}\noption: CONFIG_XYZZY_SYSCALL\nselftest: xyzzy\npatches: [0001-call.patch, 0002-test.patch]\n"
            ),
        );
        let call = [
            new_file("kernel/xyzzy.c", OBJECT),
            table_line(
                "arch/x86/entry/syscalls/syscall_64.tbl",
                &format!("{NUMBER}\tcommon\txyzzy\t\t\tsys_xyzzy"),
            ),
            table_line(
                "arch/x86/entry/syscalls/syscall_32.tbl",
                &format!("{NUMBER}\ti386\txyzzy\t\t\tsys_xyzzy"),
            ),
        ];
        write(&series.join("0001-call.patch"), &call.concat());
        let tests = "tools/testing/selftests/xyzzy";
        let test = [
            new_file(&format!("{tests}/Makefile"), SELFTEST_MAKEFILE),
            new_file(&format!("{tests}/xyzzy_test.c"), SELFTEST),
        ];
        write(&series.join("0002-test.patch"), &test.concat());
        let player = std::env::current_exe().unwrap().display().to_string();
        let here = world.bin().display().to_string();
        world.program("qemu-system-x86_64", &QEMU.replace("HERE", &here).replace("PLAYER", &player));
        world.life(LIFE);
        world
    }

    /// Adds a series that stands on xyzzy's: entries, an option, and a selftest.
    pub fn stacked_series(&self, syscall: &str) {
        let series = self.project().join("kernels").join(KERNEL).join(syscall);
        let number = NUMBER + 1;
        let option = format!("{}_SYSCALL", syscall.to_uppercase());
        let (tests, program) = (format!("tools/testing/selftests/{syscall}"), format!("{syscall}_test"));
        let mut patch = vec![
            new_file(&format!("{tests}/Makefile"), &SELFTEST_MAKEFILE.replace("xyzzy_test", &program)),
            new_file(&format!("{tests}/{program}.c"), SELFTEST),
        ];
        for (path, text) in SOURCE {
            let abi = match path {
                "arch/x86/entry/syscalls/syscall_64.tbl" => "common",
                "arch/x86/entry/syscalls/syscall_32.tbl" => "i386",
                "Kconfig" => {
                    let entry = format!("config {option}\n\tbool \"{syscall}\"\n");
                    patch.push(appended(path, text, &entry));
                    continue;
                }
                _ => continue,
            };
            let below = format!("{text}{NUMBER}\t{abi}\txyzzy\t\t\tsys_xyzzy\n");
            patch.push(appended(path, &below, &format!("{number}\t{abi}\t{syscall}\t\t\tsys_{syscall}")));
        }
        write(&series.join("0001-all.patch"), &patch.concat());
        let spec = format!(
            "syscall: {syscall}\nnumber: {number}\noption: CONFIG_{option}\nselftest: {syscall}\npatches: [0001-all.patch]\nafter: xyzzy\n"
        );
        write(&series.join("spec.yaml"), &spec);
    }

    /// The same with another cache.
    pub fn with_cache(&self, cache: PathBuf) -> World {
        World { _scratch: None, root: self.root.clone(), cache, env: self.env.clone() }
    }

    /// Takes the kernel's source from a git repository instead of a tarball.
    pub fn use_git(&self) {
        let source = self.root.join("source/mini");
        for args in [
            &["init", "--quiet", "--initial-branch=main"][..],
            &["add", "."],
            &["-c", "user.name=x", "-c", "user.email=x@x", "commit", "--quiet", "--message=x"],
        ] {
            let git = Command::new("git")
                .arg("-C")
                .arg(&source)
                .args(args)
                .env("GIT_CONFIG_GLOBAL", "/dev/null")
                .status();
            assert!(git.unwrap().success(), "{args:?}");
        }
        write(
            &self.project().join("kernels").join(KERNEL).join("kernel.yaml"),
            &format!(
                "kernel: {KERNEL}\nsource:\n  git: {{repository: {:?}, revision: main}}\nconfigs: [mini.config]\n",
                format!("file://{}", source.display())
            ),
        );
    }

    /// Temporary files in the cache, outside of its scratch.
    pub fn temporary_files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut todo = vec![self.cache.clone()];
        while let Some(folder) = todo.pop() {
            for name in World::names(&folder) {
                let path = folder.join(&name);
                if name.starts_with(".tmp") {
                    found.push(path);
                } else if path.is_dir() && !path.is_symlink() {
                    todo.push(path);
                }
            }
        }
        found
    }

    /// The folder that all of it lies in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder with configs/, guest/ and kernels/.
    pub fn project(&self) -> PathBuf {
        self.root.join("project")
    }

    /// The folder that comes first on the search path.
    pub fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }

    /// Where the caller's temporary files go.
    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Puts a program first on the search path.
    pub fn program(&self, name: &str, text: &str) {
        let path = self.bin().join(name);
        write(&path, text);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What a guest does whose kernel and image belong together.
    pub fn life(&self, script: &str) {
        write(&self.bin().join("life"), script);
    }

    /// What it does when a cell of this name is booted for the first time from here on.
    pub fn first_life(&self, script: &str) {
        for name in World::names(&self.bin()).iter().filter(|name| name.starts_with("booted.")) {
            std::fs::remove_dir(self.bin().join(name)).unwrap();
        }
        write(&self.bin().join("life.first"), script);
    }

    /// The perfect life with `more` before its line `at`.
    pub fn life_with(&self, at: &str, more: &str) {
        self.life(&LIFE.replacen(at, &format!("{more}\n{at}"), 1));
    }

    /// The arguments of a run that builds everything that depends on the series anew.
    pub fn variant(&self, name: &str, out: &str) -> Vec<String> {
        let patch = self.root.join(format!("variant-{name}.patch"));
        let file = "include/variant.h";
        let text = format!(
            "diff --git a/{file} b/{file}\n--- a/{file}\n+++ b/{file}\n@@ -1 +1 @@\n-#define VARIANT \"base\"\n+#define VARIANT \"{name}\"\n"
        );
        write(&patch, &text);
        let mut args = self.args(out);
        args.extend(["--extra-patch".to_owned(), patch.display().to_string()]);
        args
    }

    /// The arguments of a run whose folder is `out/NAME`.
    pub fn args(&self, out: &str) -> Vec<String> {
        let out = self.out(out).display().to_string();
        let args = ["test-syscall", "xyzzy", "--accel", "tcg", "--format", "json", "-vv", "--out", &out];
        args.map(str::to_owned).to_vec()
    }

    /// The folder of a run.
    pub fn out(&self, name: &str) -> PathBuf {
        self.root.join("out").join(name)
    }

    /// The program with this world's project, cache and search path, and nothing of the caller's.
    pub fn command(&self, args: &[String]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(args).args(["--project", self.project().to_str().unwrap()]);
        command.args(["--cache", self.cache.to_str().unwrap()]).stdin(Stdio::null()).env_clear();
        command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", self.bin().display()));
        command.env(MARK, self.root.join("home")).env("TMPDIR", self.tmp());
        command.env("CCACHE_DIR", self.root.join("home/ccache"));
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        // What `test --break` has switched off is switched off in the program, too.
        command.envs(std::env::var_os("ABIMATRIX_BREAK").map(|switch| ("ABIMATRIX_BREAK", switch)));
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, args: &[String]) -> Run {
        super::run(self.command(args))
    }

    /// Starts the program.
    pub fn start(&self, args: &[String]) -> Started {
        let mut command = self.command(args);
        // A job, as a shell makes one: what has no group of its own nobody would continue.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        super::start_command(command)
    }

    /// Runs a shell script in which the program's command is `"$@"`. What it mounts is its own: it is
    /// root of a namespace.
    pub fn run_in_namespace(&self, script: &str, args: &[String]) -> Run {
        let program = self.command(args);
        let mut command = Command::new("unshare");
        // Who is root needs no namespace of users for it, which some hosts forbid.
        let root: &[&str] = if rustix::process::geteuid().is_root() { &[] } else { &["--map-root-user"] };
        command.args(root).args(["--mount", "sh", "-ec", script, "sh"]);
        command.arg(program.get_program()).args(program.get_args()).stdin(Stdio::null()).env_clear();
        command.envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
        let run = super::run(command);
        assert!(!run.stderr.contains("unshare:"), "this test needs user and mount namespaces: {run}");
        run
    }

    /// Every process that the runs of this world started and that is alive, with its arguments.
    pub fn processes(&self) -> Vec<(i32, String)> {
        let mark = format!("{MARK}={}", self.root.join("home").display());
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            let read = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
            let marked = read("environ").split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes());
            let inside =
                std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&self.root));
            if (marked || inside) && super::alive(pid) {
                let args = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
                found.push((pid, args));
            }
        }
        found
    }

    /// What the guests that were played left behind in files of this kind: `monitor`, `env`, `fds`.
    pub fn played(&self, kind: &str) -> Vec<String> {
        let folder = self.bin().join("played");
        let names = World::names(&folder).into_iter().filter(|name| name.ends_with(&format!(".{kind}")));
        names.map(|name| std::fs::read_to_string(folder.join(name)).unwrap()).collect()
    }

    /// What lies in a folder, by name; empty if there is no such folder.
    pub fn names(folder: &Path) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The run ended well: all cells passed, and the folder says the same.
    #[track_caller]
    pub fn assert_passed(&self, run: &Run) {
        assert_eq!(run.code, Some(0), "{run}");
        let cells = run.cells();
        assert_eq!(cells.len(), CELLS, "{run}");
        for cell in cells {
            assert_eq!(cell["verdict"], "pass", "{cell:#}\n{run}");
        }
    }
}
