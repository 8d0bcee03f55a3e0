//! The programs that run in a guest: the patched tree's selftest and the tool's own, per ABI.
//!
//! A selftest that a series brings is built by the tree's own `lib.mk` against the tree's own UAPI
//! headers. It is linked statically where that works; otherwise the shared libraries it names travel
//! with it. The ABI of every binary is proved from its ELF header before it may run. One with scripts,
//! and one that the tree has had, are installed with all that belongs to them: [`super::kselftest`].

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::initramfs::TEST_DIR;
use super::kernel::{Bench, make};
use super::kselftest::{self, Unbuilt};
use super::series::Overlay;
use super::tree::{WorkTree, ended_by_itself};
use super::{StageTimer, Trouble, Workshop, build_failed, cached, compiler_death, elf, libraries};
use crate::limits;
use crate::model::{Abi, Cause, Stage, Tests};
use crate::plan::files::{Project, Spec};
use crate::plan::host::first_error;
use crate::plan::recipe::Recipe;
use crate::process::{Cmd, ProcessError};
use crate::store::{Hash, Key, KeyBuilder};

/// The programs of a selftest for one ABI, with what they need to run.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The key in the cache.
    pub key: Key,
    /// Their file names, in the order in which `lib.mk` lists them.
    pub names: Vec<String>,
    root: PathBuf,
}

impl Programs {
    /// All files, by their paths in the guest without the leading `/`.
    pub fn files(&self) -> std::io::Result<Vec<(String, PathBuf)>> {
        files_below(&self.root)
    }
}

/// All files below `root`, by their paths from there.
pub(super) fn files_below(root: &Path) -> std::io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                todo.push(path);
            } else if let Ok(inside) = path.strip_prefix(root) {
                found.push((inside.to_string_lossy().into_owned(), path));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// One of the tool's own programs.
#[derive(Debug, Clone)]
pub struct GuestProgram {
    /// The key in the cache.
    pub key: Key,
    /// The static binary.
    pub path: PathBuf,
}

/// Builds the selftest for one ABI, or finds it; nothing if some of its tests are no programs that it makes.
pub async fn build(
    bench: &mut Bench<'_>,
    series: &Overlay,
    spec: &Spec,
    selftest: &Tests,
    abi: Abi,
) -> Result<Option<Programs>, Trouble> {
    let shop = bench.shop;
    let what = format!("{} {}", bench.kernel.name, abi.flag());
    let key = KeyBuilder::new("selftest")
        .input("source", bench.pristine.id.as_str())
        .input("series", series.identity())
        .input("folder", selftest.to_string())
        .input("abi", abi.name())
        .input("compiler", &shop.compiler)
        .input("libraries", shop.libraries(abi))
        .input("linked", LINKED.join(","))
        .finish();
    let find = || -> Result<Option<Programs>, Trouble> {
        let Some(entry) = shop.store.find(shop.ctx, "selftest", &key)? else { return Ok(None) };
        cached(&shop.ctx.events, Stage::Selftest, &what);
        let names = fs::read_to_string(entry.path.join("programs"))?;
        let names = names.lines().map(str::to_owned).collect();
        Ok(Some(Programs { key: key.clone(), names, root: entry.path.join("root") }))
    };
    let has_scripts = Hash::of(format!("has scripts:{}", key.as_str()).as_bytes());
    if shop.store.fact(&has_scripts).is_some() {
        return Ok(None);
    }
    if let Some(programs) = find()? {
        return Ok(Some(programs));
    }
    let recipe = &bench.kernel.recipe;
    let tree = bench.tree(series).await?;
    if let Some(programs) = find()? {
        return Ok(Some(programs));
    }
    let _quiet = shop.quiet().await;
    let timer = StageTimer::start(&shop.ctx.events, Stage::Selftest, &what);
    let made = make_programs(shop, recipe, tree, (spec, selftest), abi).await;
    timer.end(made.is_ok());
    let Some((folder, names)) = made? else {
        shop.store.remember(&has_scripts, "yes")?;
        return Ok(None);
    };
    let entry = shop.store.publish("selftest", &key, folder)?;
    Ok(Some(Programs { key, names, root: entry.path.join("root") }))
}

/// How a selftest is linked: the first that works. Part of its key.
const LINKED: [&str; 2] = [" -static", ""];

/// Makes a folder with `root/test/PROGRAM`, the libraries, and the list of programs; nothing if some of
/// them are scripts.
async fn make_programs(
    shop: &Workshop<'_>,
    recipe: &Recipe,
    tree: &WorkTree,
    (spec, selftest): (&Spec, &Tests),
    abi: Abi,
) -> Result<Option<(tempfile::TempDir, Vec<String>)>, Trouble> {
    let folder = tree.src.join(kselftest::SELFTESTS).join(&selftest.dir);
    let headers = make(shop, recipe, tree).arg("headers").deadline(limits::SELFTEST_DEADLINE);
    let log = shop.log(&format!("selftest.{}.{abi}", spec.syscall));
    let died = |status: &str, stderr: &str| -> Option<Trouble> {
        let words = compiler_death(status, stderr)?;
        let _ = fs::write(&log, stderr);
        let what = format!("the selftest for {}", abi.flag());
        Some(Cause::CompilerDied { what, words, log: log.display().to_string() }.into())
    };
    let failed = |stderr: &str| -> Trouble {
        let _ = fs::write(&log, stderr);
        Cause::SelftestBuild { abi, first_error: first_error(stderr), log: log.display().to_string() }.into()
    };
    let work = shop.store.scratch("selftest-")?;
    let lib_mk = |output: &Path, cc: &str| {
        Cmd::new("make")
            .arg("-C")
            .arg(&folder)
            .args([format!("CC={cc}"), "ARCH=x86".to_owned()])
            .arg(format!("OUTPUT={}", output.display()))
            .arg(format!("KHDR_INCLUDES=-isystem {}", tree.obj.join("usr/include").display()))
            .deadline(limits::SELFTEST_DEADLINE)
    };
    let list = async |output: &Path, cc: &str| -> Result<Vec<String>, Trouble> {
        if let Some(program) = &selftest.only {
            return Ok(vec![program.to_string()]);
        }
        let asked = ["--silent", "--no-print-directory", "emit_tests", "COLLECTION=x"];
        match lib_mk(output, cc).args(asked).output(shop.ctx).await {
            Ok(said) => Ok(said
                .text()
                .lines()
                .filter_map(|line| line.strip_prefix("x:"))
                .map(str::to_owned)
                .collect()),
            Err(ProcessError::Failed { stderr, .. }) => Err(failed(&stderr)),
            Err(other) => Err(other.into()),
        }
    };
    let names = list(work.path(), &format!("gcc {}", abi.flag())).await?;
    if names.iter().any(|name| folder.join(name).is_file()) {
        return Ok(None);
    }
    let unfinished = tree.begin()?;
    let installed = headers.output(shop.ctx).await;
    if ended_by_itself(&installed) {
        unfinished.done()?;
    }
    match installed {
        Ok(_) => {}
        Err(ProcessError::Failed { status, stderr, .. }) => {
            return Err(died(&status, &stderr).unwrap_or_else(|| failed(&stderr)));
        }
        Err(other) => return Err(other.into()),
    }
    let mut output = None;
    let mut complaint = String::new();
    for how in LINKED {
        let cc = format!("gcc {}{how}", abi.flag());
        let into = work.path().join(if how.is_empty() { "dynamic" } else { "static" });
        fs::create_dir(&into)?;
        match lib_mk(&into, &cc).arg("all").output(shop.ctx).await {
            Ok(_) => {
                output = Some((into, cc));
                break;
            }
            // The last complaint is the one about the code; the first may be about `-static`. But the
            // next way to link is not for a compiler that was killed: it would be another program.
            Err(ProcessError::Failed { status, stderr, .. }) => match died(&status, &stderr) {
                Some(died) => return Err(died),
                None => complaint = stderr,
            },
            Err(other) => return Err(other.into()),
        }
    }
    let Some((output, cc)) = output else {
        return Err(match missing_library(&complaint, abi) {
            Some((library, advice)) => {
                let _ = fs::write(&log, &complaint);
                let program = format!("{}/{}", kselftest::SELFTESTS, selftest.dir);
                Cause::NoLibrary { abi, program, library, advice }.into()
            }
            None => failed(&complaint),
        });
    };
    // A Makefile may look at how it is linked.
    let names = list(&output, &cc).await?;
    if names.is_empty() {
        return Err(failed("error: lib.mk's emit_tests lists no program: is TEST_GEN_PROGS set?"));
    }
    let made = shop.store.scratch("programs-")?;
    let root = made.path().join("root");
    let tests = root.join(TEST_DIR.trim_start_matches('/'));
    fs::create_dir_all(&tests)?;
    for name in &names {
        if name.contains('/') || name.starts_with('.') {
            return Err(failed(&format!("error: the program {name:?} does not lie in the folder itself")));
        }
        if !output.join(name).exists() {
            // A script in a folder below is listed by its name alone; and who is not there at all is told there.
            return Ok(None);
        }
        let bytes = fs::read(output.join(name))?;
        let wrong = |found: String| Trouble::from(Cause::WrongElf { abi, program: name.clone(), found });
        let facts = elf::prove(&bytes, abi).map_err(wrong)?;
        let program = tests.join(name);
        fs::write(&program, &bytes)?;
        if facts.interpreter.is_some() || !facts.needed.is_empty() {
            libraries::bring(shop, &root, facts, abi).await?;
        }
    }
    fs::write(made.path().join("programs"), names.join("\n"))?;
    Ok(Some((made, names)))
}

/// The library that a selftest did not build for, and how to get it; nothing if its code is wrong as well,
/// which no library may hide.
fn missing_library(said: &str, abi: Abi) -> Option<(String, String)> {
    let of_code = |line: &str| {
        line.contains("undefined reference") || line.contains(": error: ") && !line.starts_with("collect2: ")
    };
    match kselftest::reason(said, abi) {
        Unbuilt::Library { library, advice } if !said.lines().any(of_code) => Some((library, advice)),
        _ => None,
    }
}

/// Builds PID 1 of every guest. It is an m64 program whatever ABI is tested: the kernel is.
pub async fn agent(shop: &Workshop<'_>, project: &Project) -> Result<GuestProgram, Trouble> {
    guest_program(shop, project, "agent", Abi::M64).await
}

/// Builds what carries bytes between the guest's sshd and its agent.
pub(super) async fn relay(shop: &Workshop<'_>, project: &Project) -> Result<GuestProgram, Trouble> {
    guest_program(shop, project, "relay", Abi::M64).await
}

/// Builds the tool's own probe for one ABI.
pub async fn probe(shop: &Workshop<'_>, project: &Project, abi: Abi) -> Result<GuestProgram, Trouble> {
    guest_program(shop, project, "probe", abi).await
}

/// Builds the prober of contracts for one ABI.
pub async fn prober(shop: &Workshop<'_>, project: &Project, abi: Abi) -> Result<GuestProgram, Trouble> {
    guest_program(shop, project, "contract", abi).await
}

/// How the tool's own programs are compiled. Part of their keys.
const GUEST_FLAGS: [&str; 8] =
    ["-O2", "-static", "-Wall", "-Wextra", "-Werror", "-s", "-ffile-prefix-map=/=", "-Wl,--build-id=none"];

/// Compiles `guest/NAME/*.c` into one static program.
async fn guest_program(
    shop: &Workshop<'_>,
    project: &Project,
    name: &str,
    abi: Abi,
) -> Result<GuestProgram, Trouble> {
    let guest = project.root().join("guest");
    let mut sources = Vec::new();
    let mut key = KeyBuilder::new("guest").input("name", name).input("abi", abi.name());
    for folder in [guest.join(name), guest.join("include")] {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(&folder)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
        paths.sort();
        for path in paths {
            let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
            if matches!(extension, "c" | "h") {
                key = key.input(&path.file_name().unwrap_or_default().to_string_lossy(), fs::read(&path)?);
            }
            if extension == "c" {
                sources.push(path);
            }
        }
    }
    let key = key
        .input("compiler", &shop.compiler)
        .input("libraries", shop.libraries(abi))
        .input("flags", GUEST_FLAGS.join(" "))
        .finish();
    if let Some(entry) = shop.store.find(shop.ctx, "guest", &key)? {
        return Ok(GuestProgram { key, path: entry.path.join(name) });
    }
    let made = shop.store.scratch("guest-")?;
    let binary = made.path().join(name);
    let aside = shop.store.scratch("cc-")?;
    let compile = Cmd::new(compiler(abi, aside.path())?)
        .arg(abi.flag())
        .args(GUEST_FLAGS)
        .arg("-I")
        .arg(guest.join("include"))
        .arg("-o")
        .arg(&binary)
        .args(&sources);
    if let Err(error) = compile.output(shop.ctx).await {
        let ProcessError::Failed { status, stderr, .. } = &error else { return Err(error.into()) };
        let log = shop.log(&format!("guest.{name}.{abi}"));
        fs::write(&log, stderr)?;
        return Err(build_failed(&format!("guest/{name} ({})", abi.flag()), status, stderr, &log).into());
    }
    let proved = elf::prove(&fs::read(&binary)?, abi);
    proved.map_err(|found| Cause::WrongElf { abi, program: name.to_owned(), found })?;
    let entry = shop.store.publish("guest", &key, made)?;
    Ok(GuestProgram { key, path: entry.path.join(name) })
}

/// The compiler for an ABI, as the `cc` crate finds it. Its flags are not taken: they come from
/// variables of the caller's environment too, and nothing of that may get into a binary. To tell
/// its family the crate runs it in that environment: what it says then is not wanted either.
fn compiler(abi: Abi, scratch: &Path) -> Result<PathBuf, Trouble> {
    let mut build = cc::Build::new();
    build.compiler("gcc").target(abi.triple()).host(Abi::M64.triple()).opt_level(2).out_dir(scratch);
    build.cargo_metadata(false).cargo_warnings(false).cargo_debug(false).cargo_output(false);
    let tool = build.try_get_compiler().map_err(|error| Cause::Harness { detail: error.to_string() })?;
    Ok(tool.path().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_not_here_hides_no_error_of_the_code() {
        let link = "/usr/bin/ld: cannot find -lcap: No such file or directory\n\
                    collect2: error: ld returned 1 exit status\n";
        let (library, advice) = missing_library(link, Abi::M32).unwrap();
        assert_eq!(library, "-lcap");
        assert!(advice.contains("libcap-dev:i386"), "{advice}");
        for wrong in
            ["x.c:3:1: error: unknown type name 'u64'\n", "x.c:(.text+0x9): undefined reference to `f'\n"]
        {
            assert_eq!(missing_library(&format!("{link}{wrong}"), Abi::M32), None, "{wrong}");
        }
    }
}
