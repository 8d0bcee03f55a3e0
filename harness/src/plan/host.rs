//! What this machine has: tools, compilers per ABI, QEMU, /dev/kvm.
//!
//! Slow questions are asked once and remembered by the answering program's path, size and time.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::recipe::Recipe;
use super::tools::{self, Check, Need, Tool, tools};
use crate::broken::broken;
use crate::model::Abi;
use crate::process::{Cmd, Ctx};
use crate::store::{Hash, Store};

/// QEMU as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qemu {
    /// The program.
    pub path: PathBuf,
    /// The first line of `--version`.
    pub version: String,
    /// Whether it has the microvm machine.
    pub microvm: bool,
}

/// The C compiler as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compiler {
    /// The first lines of the compiler's and the linker's `--version`.
    pub version: String,
    /// For each ABI, path, size and time of the libraries that a static program takes in.
    pub libraries: BTreeMap<Abi, String>,
}

/// What opening /dev/kvm says. A guest may still not run under it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KvmDevice {
    /// There is none.
    Absent,
    /// It is there, and this user may not open it, or it does not work.
    Refused(String),
    /// It can be opened for reading and writing.
    Opens,
}

/// A tool and whether it is here.
#[derive(Debug, Clone)]
pub struct Found {
    /// The tool.
    pub tool: Tool,
    /// Where it is or which version it has; or why it counts as absent.
    pub state: Result<String, String>,
}

/// The facts about this machine that decide what can be run.
#[derive(Debug, Clone)]
pub struct Host {
    /// Processors.
    pub cpus: usize,
    /// Memory that is free for guests now, in MiB.
    pub memory_free_mib: u64,
    /// QEMU, if there is one.
    pub qemu: Option<Qemu>,
    /// The compiler, if there is one.
    pub compiler: Option<Compiler>,
    /// For each ABI, why the compiler cannot link it; empty when it can.
    pub cannot_link: BTreeMap<Abi, String>,
    /// The state of /dev/kvm.
    pub kvm: KvmDevice,
    /// Whether ccache is here.
    pub ccache: bool,
    /// Every tool of the table.
    pub found: Vec<Found>,
}

impl Host {
    /// What `test-selftest` cannot do without beyond that, and what of it is absent.
    pub fn missing_for_selftests(&self) -> Vec<(Tool, String)> {
        self.missing_for(Need::Selftests)
    }

    /// The required tools that are absent, those of `more` included.
    pub fn missing(&self, more: &[Tool]) -> Vec<(Tool, String)> {
        let mut missing = Vec::new();
        if broken("missing-tools") {
            return missing;
        }
        for found in &self.found {
            if let (Need::Required, Err(why)) = (found.tool.need, &found.state) {
                missing.push((found.tool.clone(), why.clone()));
            }
        }
        for tool in more {
            if let Check::File(path) = &tool.check
                && !path.exists()
            {
                missing.push((tool.clone(), format!("no {}", path.display())));
            }
        }
        missing
    }

    /// What of the table is absent and needed for the ssh transport alone.
    pub fn missing_for_ssh(&self) -> Vec<(Tool, String)> {
        self.missing_for(Need::Ssh)
    }

    /// What of the table is absent and needed for `repro --gdb` alone.
    pub fn missing_for_debugging(&self) -> Vec<(Tool, String)> {
        self.missing_for(Need::Debugger)
    }

    fn missing_for(&self, need: Need) -> Vec<(Tool, String)> {
        let absent = self.found.iter().filter(|found| found.tool.need == need);
        absent.filter_map(|found| Some((found.tool.clone(), found.state.clone().err()?))).collect()
    }

    /// Where a program of the table is.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        let found =
            self.found.iter().find(|found| matches!(&found.tool.check, Check::Program(of) if of == name))?;
        found.state.as_ref().ok().map(PathBuf::from)
    }
}

/// Looks at this machine. `path` is the search path for programs.
pub async fn look(ctx: &Ctx, store: &Store) -> Host {
    let path = search_path(ctx);
    let program = |name: &str| find(&path, name);
    let compiler = compiler(ctx, program("gcc"), program("ld")).await;
    let mut cannot_link = BTreeMap::new();
    for abi in Abi::ALL {
        if let Err(why) = links(ctx, store, compiler.as_ref(), abi).await {
            cannot_link.insert(abi, why);
        }
    }
    let qemu = match program("qemu-system-x86_64") {
        Some(path) => qemu(ctx, store, path).await,
        None => Err("not found".to_owned()),
    };
    let mut found = Vec::new();
    for tool in tools() {
        let state = match &tool.check {
            Check::Program(name) if name == "gcc" && compiler.is_some() => {
                let version = compiler.as_ref().map(|c| c.version.clone()).unwrap_or_default();
                Ok(version.lines().next().unwrap_or_default().to_owned())
            }
            Check::Program(name) if name == "qemu-system-x86_64" => match &qemu {
                Ok(qemu) => Ok(qemu.version.clone()),
                Err(why) => Err(why.clone()),
            },
            Check::Program(name) => match program(name) {
                Some(path) => Ok(path.display().to_string()),
                None => Err("not found".to_owned()),
            },
            Check::File(path) if path.exists() => Ok(path.display().to_string()),
            Check::File(path) => Err(format!("no {}", path.display())),
            Check::Links(abi) => match cannot_link.get(abi) {
                None => Ok("links a static program".to_owned()),
                Some(why) => Err(why.clone()),
            },
        };
        found.push(Found { tool, state });
    }
    Host {
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        memory_free_mib: memory_free_mib(),
        qemu: qemu.ok(),
        compiler,
        cannot_link,
        kvm: kvm(Path::new("/dev/kvm")),
        ccache: program("ccache").is_some(),
        found,
    }
}

fn search_path(ctx: &Ctx) -> Vec<PathBuf> {
    let path = ctx.env.iter().find(|(key, _)| key == "PATH").map(|(_, value)| value.clone());
    std::env::split_paths(&path.unwrap_or_default()).collect()
}

fn find(path: &[PathBuf], name: &str) -> Option<PathBuf> {
    let executable =
        |file: &PathBuf| std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.mode() & 0o111 != 0);
    path.iter().map(|folder| folder.join(name)).find(executable)
}

/// What a remembered fact about a program hangs on.
fn stamp(path: &Path) -> String {
    match std::fs::metadata(path) {
        Ok(m) => format!("{}:{}:{}:{}", path.display(), m.len(), m.mtime(), m.mtime_nsec()),
        Err(_) => format!("{}:gone", path.display()),
    }
}

/// Asked anew each time: `gcc` may be a link to ccache, whose own stamp says nothing.
async fn compiler(ctx: &Ctx, gcc: Option<PathBuf>, ld: Option<PathBuf>) -> Option<Compiler> {
    let (gcc, ld) = (gcc?, ld?);
    let mut version = String::new();
    for program in [&gcc, &ld] {
        let said = Cmd::new(program).arg("--version").output(ctx).await.ok()?.text();
        version.push_str(said.lines().next()?);
        version.push('\n');
    }
    let mut libraries = BTreeMap::new();
    for abi in Abi::ALL {
        let mut stamps = Vec::new();
        for library in ["libc.a", "libgcc.a"] {
            let asked = Cmd::new(&gcc).arg(abi.flag()).arg(format!("-print-file-name={library}"));
            let path = asked.output(ctx).await.map(|said| said.text().trim().to_owned()).unwrap_or_default();
            stamps.push(stamp(Path::new(&path)));
        }
        libraries.insert(abi, stamps.join(" "));
    }
    Some(Compiler { version: version.trim_end().to_owned(), libraries })
}

/// The programs that `--make` or a profile chooses and that are absent, and why they count as that.
pub fn missing_of_choice(ctx: &Ctx, recipe: &Recipe) -> Vec<(Tool, String)> {
    let path = search_path(ctx);
    let mut missing: Vec<(Tool, String)> = Vec::new();
    if broken("missing-choice") {
        return missing;
    }
    for words in recipe.programs() {
        // `ccache clang -m64` names two, `env A=1 clang` too.
        let programs =
            words.iter().take_while(|word| !word.starts_with('-')).filter(|word| !word.contains('='));
        for program in programs {
            let (here, why) = match program.contains('/') {
                true => (Path::new(program).exists(), format!("no {program}")),
                false => (find(&path, program).is_some(), "not found".to_owned()),
            };
            if !here && missing.iter().all(|(tool, _)| tool.name != *program) {
                missing.push((tools::chosen(program), why));
            }
        }
    }
    missing
}

/// What the programs say of themselves that `--make` or a profile chooses; none if no program is chosen.
pub async fn toolchain(ctx: &Ctx, recipe: &Recipe) -> Result<Option<String>, String> {
    let mut said = Vec::new();
    for words in recipe.programs() {
        let [program, args @ ..] = &words[..] else { continue };
        let asked = Cmd::new(program).args(args).arg("--version").output(ctx).await;
        let text = asked
            .map_err(|error| {
                format!("--make or the profile chooses `{}`: {}", words.join(" "), first_line(&error))
            })?
            .text();
        // llvm-objcopy begins with its own name, and has the version on a line of its own.
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(2).collect();
        said.push(format!("{}: {}", words.join(" "), lines.join(", ")));
    }
    Ok((!said.is_empty()).then(|| said.join("\n")))
}

/// A flag check is not a link check: a whole static program is made.
async fn links(ctx: &Ctx, store: &Store, compiler: Option<&Compiler>, abi: Abi) -> Result<(), String> {
    let Some(compiler) = compiler else { return Err("no compiler".to_owned()) };
    let name = Hash::of(format!("links:{abi}:{}:{}", compiler.version, compiler.libraries[&abi]).as_bytes());
    // Only a success is remembered, by the libraries that made it possible: packages come and go.
    if store.fact(&name).is_some() {
        return Ok(());
    }
    let folder = store.scratch("link-").map_err(|error| error.to_string())?;
    let source = folder.path().join("a.c");
    let text = "#include <stdio.h>\nint main(void) { return puts(\"\") < 0; }\n";
    std::fs::write(&source, text).map_err(|error| error.to_string())?;
    let gcc = Cmd::new("gcc").arg(abi.flag()).args(["-static", "-o", "a.out", "a.c"]).dir(folder.path());
    gcc.output(ctx).await.map_err(|error| first_error(&error.to_string()))?;
    let _ = store.remember(&name, "yes");
    Ok(())
}

/// The first line of a compiler's or linker's words that says what is wrong.
pub fn first_error(text: &str) -> String {
    let wrong = |line: &&str| {
        ["error", "Error:", "cannot find", "No such file", "undefined reference", "***"]
            .iter()
            .any(|word| line.contains(word))
    };
    let line = text
        .lines()
        .find(|line| !broken("first-error") && wrong(line))
        .or_else(|| text.lines().rev().find(|l| !l.trim().is_empty()));
    line.unwrap_or("it said nothing").trim().chars().take(400).collect()
}

/// The line by which gcc, the linker or make tells that a compiler was killed or crashed.
pub fn compiler_death(text: &str) -> Option<String> {
    if broken("compiler-death") {
        return None;
    }
    let tells = |line: &&str| {
        [
            "internal compiler error",
            "signal terminated program",
            "terminated with signal",
            "virtual memory exhausted",
            "out of memory allocating",
            "Cannot allocate memory",
        ]
        .iter()
        .any(|word| line.contains(word))
            // make's words on a recipe that a signal ended, by itself or below a shell.
            || (line.contains("***")
                && ["] Killed", "] Segmentation fault", "] Aborted", "] Error 137", "] Error 139", "] Error 134"]
                    .iter()
                    .any(|word| line.contains(word)))
    };
    text.lines().find(tells).map(|line| line.trim().chars().take(400).collect())
}

/// What QEMU can do is asked of itself and not read from its version: it is built with and without.
async fn qemu(ctx: &Ctx, store: &Store, path: PathBuf) -> Result<Qemu, String> {
    let name = Hash::of(format!("qemu with ports:{}", stamp(&path)).as_bytes());
    if let Some(known) = store.fact(&name).and_then(|text| serde_json::from_str(&text).ok()) {
        return Ok(known);
    }
    let ask = async |args: &[&str]| -> Result<String, String> {
        let said = Cmd::new(&path).args(args).output(ctx).await;
        said.map(|said| said.text()).map_err(|error| format!("it does not answer: {}", first_line(&error)))
    };
    let version = ask(&["--version"]).await?;
    let version = version.lines().next().ok_or("it does not say its version")?.to_owned();
    let machines = ask(&["-machine", "help"]).await?;
    let devices = ask(&["-device", "help"]).await?;
    if !devices.contains("\"virtserialport\"") {
        return Err(format!(
            "{} ({version}) has no virtserialport, by which results leave a guest: install a newer or fuller one",
            path.display()
        ));
    }
    let has = |machine: &str| machines.lines().any(|line| line.split_whitespace().next() == Some(machine));
    let microvm = has("microvm");
    if !microvm && !has("q35") {
        let path = path.display();
        return Err(format!(
            "{path} ({version}) has neither the microvm nor the q35 machine: install a newer one"
        ));
    }
    let qemu = Qemu { path, version, microvm };
    let _ = store.remember(&name, &serde_json::to_string(&qemu).unwrap_or_default());
    Ok(qemu)
}

fn first_line(error: &impl ToString) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Opens the device as QEMU would. Existence says nothing.
fn kvm(device: &Path) -> KvmDevice {
    match std::fs::File::options().read(true).write(true).open(device) {
        Ok(_) => KvmDevice::Opens,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => KvmDevice::Absent,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            KvmDevice::Refused(format!("{error}: is this user in the group kvm?"))
        }
        Err(error) => KvmDevice::Refused(error.to_string()),
    }
}

fn memory_free_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_the_line_that_says_what_is_wrong() {
        let ld = "/usr/bin/ld: skipping incompatible /usr/lib/libc.a\n/usr/bin/ld: cannot find -lc: No such file\ncollect2: error: ld returned 1 exit status\n";
        assert_eq!(first_error(ld), "/usr/bin/ld: cannot find -lc: No such file");
        assert_eq!(
            first_error("make: *** No rule to make target 'x'.\n"),
            "make: *** No rule to make target 'x'."
        );
        assert_eq!(first_error("a\nb\n\n"), "b");
    }

    #[test]
    fn a_compiler_that_died_is_told_from_code_that_is_wrong() {
        for line in [
            "gcc: fatal error: Killed signal terminated program cc1",
            "mm/slub.c:12:1: internal compiler error: Segmentation fault",
            "collect2: fatal error: ld terminated with signal 9 [Killed]",
            "cc1: out of memory allocating 4096 bytes after a total of 1 bytes",
            "make[3]: *** [scripts/Makefile.build:229: mm/slub.o] Killed",
            "make[3]: *** [scripts/Makefile.build:229: mm/slub.o] Error 137",
        ] {
            let text = format!("  CC      mm/slub.o\n{line}\nmake: *** [Makefile:224: __sub-make] Error 2\n");
            assert_eq!(compiler_death(&text).as_deref(), Some(line));
        }
        for text in [
            "mm/slub.c:12:1: error: expected ';' before 'return'\nmake[3]: *** [scripts/Makefile.build:229: mm/slub.o] Error 1\n",
            "a.c:1:2: error: 'Killed' undeclared\n",
            "make: *** No rule to make target 'x'.  Stop.\n",
        ] {
            assert_eq!(compiler_death(text), None);
        }
    }

    #[test]
    fn the_states_of_the_kvm_device_are_told_apart() {
        assert_eq!(kvm(Path::new("/no/such/device")), KvmDevice::Absent);
        assert!(matches!(kvm(Path::new("/")), KvmDevice::Refused(_)));
        assert_eq!(kvm(Path::new("/dev/null")), KvmDevice::Opens);
    }
}
