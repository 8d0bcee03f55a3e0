//! Directories of the tree's own selftests: what is in them, and their programs for each ABI.
//!
//! Built by each directory's own Makefile and `lib.mk`, linked as they say, and installed as
//! `make install` does, in a mirror of the source: some Makefiles write beside their sources.
//! A program that does not build costs nobody else anything; why it did not is read from what the
//! compiler said. Everything that goes into the guest is an archive, so that links and modes stay.

mod mirror;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::initramfs::{archive, nodes_of};
use super::kernel::{Bench, MAKE_VARS, make};
use super::series::Overlay;
use super::source::Pristine;
use super::tree::ended_by_itself;
use super::{StageTimer, Trouble, Workshop, build_failed, cached, compiler_death, elf, libraries};
use crate::broken::broken;
use crate::limits;
use crate::model::{Abi, Cause, RelPath, Stage};
use crate::plan::host::first_error;
use crate::plan::kselftest::{LIBRARIES, interpreter};
use crate::process::{Cmd, ProcessError, Stream, describe};
use crate::store::{Key, KeyBuilder};
use mirror::mirror;

/// Where the directories lie in a tree.
const SELFTESTS: &str = "tools/testing/selftests";
/// Where an installed kselftest lies in the guest.
pub const ROOT: &str = "kselftest";

/// Why a program is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unbuilt {
    /// The code does not compile; the compiler's first error.
    Compile {
        /// It.
        first_error: String,
    },
    /// The host lacks a library.
    Library {
        /// Its name after `-l`.
        library: String,
        /// How to get it.
        advice: String,
    },
    /// The compiler lacks a sanitizer for the ABI.
    Sanitizer {
        /// What the linker did not find.
        detail: String,
    },
    /// It is there, and not of the ABI.
    WrongElf {
        /// What it is.
        found: String,
    },
}

/// A program that a directory lists as one of its tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its file name.
    pub name: String,
    /// Why it is not there, if it is not.
    pub unbuilt: Option<Unbuilt>,
    /// The interpreter that a script asks for; nothing for a binary.
    pub interpreter: Option<String>,
    /// Whether it can be executed by itself.
    pub executable: bool,
}

impl Program {
    /// The cause of its cell, if it is not there.
    pub fn cause(&self, abi: Abi, log: &Path) -> Option<Cause> {
        let program = self.name.clone();
        Some(match self.unbuilt.clone()? {
            Unbuilt::Compile { first_error } => {
                Cause::SelftestBuild { abi, first_error, log: log.display().to_string() }
            }
            Unbuilt::Library { library, advice } => Cause::NoLibrary { abi, program, library, advice },
            Unbuilt::Sanitizer { detail } => Cause::NoSanitizer { abi, program, detail },
            Unbuilt::WrongElf { found } => Cause::WrongElf { abi, program, found },
        })
    }
}

/// A directory built for one ABI.
#[derive(Debug, Clone)]
pub struct Built {
    /// The key in the cache.
    pub key: Key,
    /// Its programs, in the order in which `lib.mk` lists them.
    pub programs: Vec<Program>,
    /// What was to lie beside them and was not built, with the first error.
    pub helpers: Vec<(String, String)>,
    /// Whether a Makefile asked for sanitizers, and they were left out.
    pub without_sanitizers: bool,
    /// What is unpacked in the guest.
    pub archive: PathBuf,
    /// What make said.
    pub log: PathBuf,
}

impl Built {
    /// The programs that are not there, each with why: a script may run them too.
    pub fn unbuilt(&self) -> impl Iterator<Item = (String, String)> {
        let why = |unbuilt: &Unbuilt| match unbuilt {
            Unbuilt::Compile { first_error } => first_error.clone(),
            Unbuilt::Library { library, .. } => format!("{library} is not here"),
            Unbuilt::Sanitizer { detail } => detail.clone(),
            Unbuilt::WrongElf { found } => found.clone(),
        };
        let programs = self.programs.iter();
        programs.filter_map(move |program| Some((program.name.clone(), why(program.unbuilt.as_ref()?))))
    }
}

/// What is kept of a build beside the archive.
#[derive(Debug, Serialize, Deserialize)]
struct Facts {
    programs: Vec<Program>,
    helpers: Vec<(String, String)>,
    without_sanitizers: bool,
}

/// A file of a directory in a source tree.
pub fn file(pristine: &Pristine, dir: &RelPath, name: &str) -> Option<String> {
    pristine.read(&format!("{SELFTESTS}/{dir}/{name}"))
}

/// Whether the tree has the directory.
pub fn exists(pristine: &Pristine, dir: &RelPath) -> bool {
    file(pristine, dir, "Makefile").is_some()
}

/// The programs of a directory, as its Makefile lists them.
pub async fn list(shop: &Workshop<'_>, pristine: &Pristine, dir: &RelPath) -> Result<Vec<String>, Trouble> {
    let mirror = mirror(shop, pristine, dir)?;
    let output = mirror.path().join("output");
    fs::create_dir(&output)?;
    listed(shop, &lib_mk(mirror.path(), dir, &output, "gcc", None), dir).await
}

/// The directory's make: a function, since a command is used up when it runs.
fn lib_mk<'a>(
    source: &'a Path,
    dir: &'a RelPath,
    output: &'a Path,
    cc: &'a str,
    headers: Option<&'a Path>,
) -> impl Fn() -> Cmd + 'a {
    move || {
        let mut command = Cmd::new("make")
            .arg("-C")
            .arg(source.join(SELFTESTS).join(dir))
            .args([format!("CC={cc}"), "ARCH=x86".to_owned()])
            .arg(format!("OUTPUT={}", output.display()))
            .deadline(limits::SELFTEST_DEADLINE);
        if let Some(headers) = headers {
            command = command.arg(format!("KHDR_INCLUDES=-isystem {}", headers.display()));
        }
        command
    }
}

async fn listed(shop: &Workshop<'_>, make: &impl Fn() -> Cmd, dir: &RelPath) -> Result<Vec<String>, Trouble> {
    let asked = make().args(["--silent", "--no-print-directory", "emit_tests", "COLLECTION=x"]);
    let said = match asked.output(shop.ctx).await {
        Ok(said) => said.text(),
        Err(ProcessError::Failed { stderr, .. }) => {
            let detail = format!("{SELFTESTS}/{dir} does not list its programs: {}", first_error(&stderr));
            return Err(Cause::Source { detail }.into());
        }
        Err(other) => return Err(other.into()),
    };
    let mut names: Vec<String> = Vec::new();
    for name in said.lines().filter_map(|line| line.strip_prefix("x:")) {
        if name.parse::<RelPath>().is_ok() && !name.contains('/') && !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// The tree's UAPI headers, installed once; the folder to include.
pub async fn headers(bench: &mut Bench<'_>) -> Result<PathBuf, Trouble> {
    let (shop, kernel) = (bench.shop, bench.kernel);
    let key = KeyBuilder::new("headers")
        .input("source", bench.pristine.id.as_str())
        .input("make variables", MAKE_VARS.join(" "))
        .finish();
    if let Some(entry) = shop.store.find(shop.ctx, "headers", &key)? {
        return Ok(entry.path.join("include"));
    }
    let what = format!("{} headers", kernel.name);
    let tree = bench.tree(&Overlay::none()).await?;
    let _quiet = shop.quiet().await;
    let timer = StageTimer::start(&shop.ctx.events, Stage::Selftest, &what);
    let unfinished = tree.begin()?;
    let installed = make(shop, &kernel.recipe, tree)
        .arg("headers")
        .deadline(limits::SELFTEST_DEADLINE)
        .output(shop.ctx)
        .await;
    if ended_by_itself(&installed) {
        unfinished.done()?;
    }
    timer.end(installed.is_ok());
    if let Err(ProcessError::Failed { status, stderr, .. }) = &installed {
        let log = shop.log(&what);
        fs::write(&log, stderr)?;
        return Err(build_failed("the UAPI headers", status, stderr, &log).into());
    }
    installed?;
    let made = shop.store.scratch("headers-")?;
    let from = tree.obj.join("usr/include");
    Cmd::new("cp").arg("--archive").arg("--").arg(&from).arg(made.path()).output(shop.ctx).await?;
    let entry = shop.store.publish("headers", &key, made)?;
    Ok(entry.path.join("include"))
}

/// Path, size and time of the libraries that a directory may be linked with: part of every key, so
/// that a library that is installed later is seen.
pub async fn libraries_of_host(shop: &Workshop<'_>, abi: Abi) -> Result<String, Trouble> {
    let mut stamps = Vec::new();
    let names = LIBRARIES.iter().map(|library| library.link).chain(["asan", "ubsan", "c"]);
    for name in names {
        let asked = Cmd::new("gcc").arg(abi.flag()).arg(format!("-print-file-name=lib{name}.so"));
        let path = asked.output(shop.ctx).await?.text().trim().to_owned();
        if let Ok(meta) = std::fs::metadata(&path) {
            let time = meta.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            stamps.push(format!("{path}:{}:{}", meta.len(), time.as_nanos()));
        }
    }
    for header in LIBRARIES.iter().flat_map(|library| library.headers) {
        if Path::new("/usr/include").join(header).exists() {
            stamps.push((*header).to_owned());
        }
    }
    Ok(stamps.join(" "))
}

/// What a directory is built with.
#[derive(Debug)]
pub struct Recipe<'a> {
    /// The source.
    pub pristine: &'a Pristine,
    /// What [`headers`] gave.
    pub headers: &'a Path,
    /// The directory.
    pub dir: &'a RelPath,
    /// The ABI.
    pub abi: Abi,
    /// What [`libraries_of_host`] gave.
    pub libraries: &'a str,
    /// Whether sanitizers that the Makefile asks for are built in.
    pub sanitizers: bool,
}

/// Builds a directory for one ABI, or finds it.
pub async fn build(shop: &Workshop<'_>, recipe: &Recipe<'_>) -> Result<Built, Trouble> {
    let Recipe { pristine, dir, abi, .. } = recipe;
    let what = format!("{dir} {}", abi.flag());
    let key = KeyBuilder::new("kselftest")
        .input("source", pristine.id.as_str())
        .input("folder", dir.as_str())
        .input("abi", abi.name())
        .input("compiler", &shop.compiler)
        .input("libraries", shop.libraries(*abi))
        .input("host's libraries", recipe.libraries)
        .input("sanitizers", if recipe.sanitizers { "yes" } else { "no" })
        .finish();
    let built = |key: Key, path: PathBuf| -> Result<Built, Trouble> {
        let facts = fs::read(path.join("facts"))?;
        let Facts { programs, helpers, without_sanitizers } =
            serde_json::from_slice(&facts).map_err(io::Error::from)?;
        let (archive, log) = (path.join("archive"), path.join("make.log"));
        Ok(Built { key, programs, helpers, without_sanitizers, archive, log })
    };
    if let Some(entry) = shop.store.find(shop.ctx, "kselftest", &key)? {
        cached(&shop.ctx.events, Stage::Selftest, &what);
        return built(key, entry.path);
    }
    let _quiet = shop.quiet().await;
    let timer = StageTimer::start(&shop.ctx.events, Stage::Selftest, &what);
    let made = make_programs(shop, recipe).await;
    timer.end(made.is_ok());
    let entry = shop.store.publish("kselftest", &key, made?)?;
    built(key, entry.path)
}

/// How a build fails by the host it is done on.
const HOST_TROUBLE: [&str; 4] = [
    "No space left on device",
    "Input/output error",
    "Too many open files",
    "Resource temporarily unavailable",
];

async fn make_programs(shop: &Workshop<'_>, recipe: &Recipe<'_>) -> Result<tempfile::TempDir, Trouble> {
    let Recipe { pristine, headers, dir, abi, .. } = *recipe;
    let mirror = mirror(shop, pristine, dir)?;
    let output = mirror.path().join("output");
    let root = mirror.path().join("root");
    let install = root.join(ROOT).join(dir);
    fs::create_dir_all(&output)?;
    fs::create_dir_all(&install)?;
    let cc = format!("gcc {}", abi.flag());
    let make = lib_mk(mirror.path(), dir, &output, &cc, Some(headers));
    // One program that does not compile is no reason to leave out the others.
    let mut command = make().args(["-k", "-i", "install"]).arg(format!("INSTALL_PATH={}", install.display()));
    let sanitized = file(pristine, dir, "Makefile").is_some_and(|text| text.contains("-fsanitize="));
    if sanitized && !recipe.sanitizers {
        // lib.mk puts it behind the directory's own flags.
        command = command.arg("USERCFLAGS=-fno-sanitize=all");
    }
    // All of it, and not its end alone: what was said first is about another program.
    let mut said = Vec::new();
    let hear = |stream, bytes: &[u8]| {
        if stream == Stream::Err && said.len() < limits::COMMAND_OUTPUT_BYTES {
            said.extend_from_slice(bytes);
        }
    };
    let status = describe(command.stream(shop.ctx, hear).await?);
    let said = String::from_utf8_lossy(&said).into_owned();
    if let Some(words) = compiler_death(&status, &said) {
        let log = shop.log(&format!("kselftest.{}.{abi}", dir.as_str().replace('/', ".")));
        fs::write(&log, &said)?;
        let what = format!("{dir} for {}", abi.flag());
        return Err(Cause::CompilerDied { what, words, log: log.display().to_string() }.into());
    }
    if let Some(line) = said.lines().find(|line| HOST_TROUBLE.iter().any(|words| line.contains(words))) {
        // Nothing of the code: kept, it would be the directory's fault for ever.
        let detail = format!("{dir} for {}: {}", abi.flag(), line.trim());
        return Err(Cause::Harness { detail }.into());
    }
    let names = listed(shop, &make, dir).await?;
    let failed = failures(&said);
    let mut programs = Vec::new();
    for name in &names {
        programs.push(program(name, &install.join(name), abi, &failed, &said)?);
    }
    bring_all(shop, &root, &install, abi, &mut programs).await?;
    let is_helper = |name: &String| !names.contains(name) && !install.join(name).exists();
    let is_target = |name: &String| !matches!(name.as_str(), "install" | "all" | "run_tests");
    let helpers = failed
        .iter()
        .filter(|(name, _)| is_helper(name) && is_target(name) && !name.ends_with(".o"))
        .map(|(name, said)| (name.clone(), first_error(said)))
        .collect();
    // Scripts take the runner's helpers from where an installed kselftest has them.
    let shared = mirror.path().join(SELFTESTS).join("kselftest");
    let nodes = {
        let mut nodes = nodes_of(&root)?;
        for (name, node) in nodes_of(&shared)? {
            nodes.insert(format!("{ROOT}/kselftest/{name}"), node);
        }
        nodes
    };
    let made = shop.store.scratch("programs-")?;
    fs::write(made.path().join("archive"), archive(nodes)?)?;
    fs::write(made.path().join("make.log"), said)?;
    let facts = Facts { programs, helpers, without_sanitizers: sanitized && !recipe.sanitizers };
    fs::write(made.path().join("facts"), serde_json::to_vec_pretty(&facts).map_err(io::Error::from)?)?;
    Ok(made)
}

/// What became of a program that the directory lists.
fn program(
    name: &str,
    path: &Path,
    abi: Abi,
    failed: &BTreeMap<String, String>,
    said: &str,
) -> Result<Program, Trouble> {
    let mut program = Program { name: name.to_owned(), unbuilt: None, interpreter: None, executable: false };
    if !path.is_file() {
        program.unbuilt = Some(reason(failed.get(name).map_or(said, String::as_str), abi));
        return Ok(program);
    }
    let bytes = fs::read(path)?;
    program.executable = fs::metadata(path)?.permissions().mode() & 0o111 != 0;
    program.interpreter = interpreter(&bytes);
    if program.interpreter.is_none()
        && let Err(found) = elf::prove(&bytes, abi)
    {
        program.unbuilt = Some(Unbuilt::WrongElf { found });
    }
    Ok(program)
}

/// The libraries of everything that was installed. A program whose library is not here loses its cell.
async fn bring_all(
    shop: &Workshop<'_>,
    root: &Path,
    install: &Path,
    abi: Abi,
    programs: &mut [Program],
) -> Result<(), Trouble> {
    for (name, _) in nodes_of(install)? {
        let path = install.join(&name);
        if !path.is_file() || path.is_symlink() {
            continue;
        }
        let bytes = fs::read(&path)?;
        let Ok(mut facts) = elf::prove(&bytes, abi) else { continue };
        // What lies beside the program is found by its own search path.
        facts.needed.retain(|library| !install.join(library).exists());
        match libraries::bring(shop, root, facts, abi).await {
            Ok(()) => {}
            Err(trouble @ Trouble::Interrupted(_)) => return Err(trouble),
            Err(Trouble::Cause(cause)) => {
                if let Some(program) = programs.iter_mut().find(|program| program.name == name) {
                    let first_error = cause.to_string();
                    program.unbuilt.get_or_insert(Unbuilt::Compile { first_error });
                }
            }
        }
    }
    Ok(())
}

/// What was said before each target that failed, by the target's file name.
///
/// `make: [../lib.mk:222: /out/prog] Error 1 (ignored)` and `make: *** [...] Error 1` end what a
/// compiler said; without `-j` nothing of another target stands between.
fn failures(said: &str) -> BTreeMap<String, String> {
    let mut failed = BTreeMap::new();
    let mut chunk = String::new();
    for line in said.lines() {
        let Some(target) = failed_target(line) else {
            chunk.push_str(line);
            chunk.push('\n');
            continue;
        };
        let text = if chunk.is_empty() { line.to_owned() } else { std::mem::take(&mut chunk) };
        failed.entry(target.to_owned()).or_insert(text);
    }
    failed
}

fn failed_target(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("make")?;
    let target = match rest.split_once("No rule to make target '") {
        Some((_, rest)) => rest.split_once('\'')?.0,
        None => {
            let (place, status) = rest.split_once('[')?.1.rsplit_once("] Error ")?;
            status.starts_with(|c: char| c.is_ascii_digit()).then_some(())?;
            place.rsplit_once(": ")?.1
        }
    };
    target.rsplit('/').next()
}

/// Why a program was not built, from what was said of it.
fn reason(said: &str, abi: Abi) -> Unbuilt {
    let library = |found: &dyn Fn(&str) -> Option<&'static crate::plan::kselftest::Library>| {
        said.lines().find_map(found).map(|library| Unbuilt::Library {
            library: format!("-l{}", library.link),
            advice: library.advice(abi),
        })
    };
    // The linker's words; a name that begins alike is another library.
    let by_link = |line: &str| {
        let name = line.split_once("cannot find -l")?.1;
        let name = name.split([':', ' ']).next()?;
        LIBRARIES.iter().find(|library| library.link == name)
    };
    let by_header = |line: &str| {
        let line = line.split_once("fatal error: ")?.1;
        let header = line.split_once(": No such file")?.0;
        LIBRARIES.iter().find(|library| library.headers.contains(&header))
    };
    let sanitizer = |line: &&str| {
        line.contains("cannot find")
            && ["asan", "ubsan", "tsan", "lsan"].iter().any(|name| line.contains(name))
    };
    if let Some(unbuilt) = library(&by_header).or_else(|| library(&by_link))
        && !broken("host-library")
    {
        return unbuilt;
    }
    match said.lines().find(sanitizer) {
        Some(line) => Unbuilt::Sanitizer { detail: line.trim().to_owned() },
        None => Unbuilt::Compile { first_error: first_error(said) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_belongs_to_the_target_that_failed_after_it() {
        let said = "a.c:3:1: error: one\nmake: [../lib.mk:222: /out/a] Error 1 (ignored)\n\
                    b.c: In function 'f':\nb.c:9:2: error: two\nmake: *** [Makefile:7: /out/b] Error 1\n\
                    make[1]: *** No rule to make target 'gone.h', needed by '/out/c'.  Stop.\n";
        let failed = failures(said);
        assert_eq!(first_error(&failed["a"]), "a.c:3:1: error: one");
        assert_eq!(first_error(&failed["b"]), "b.c:9:2: error: two");
        assert!(failed["gone.h"].contains("No rule"));
        assert_eq!(failed.len(), 3);
    }

    #[test]
    fn a_library_or_sanitizer_that_is_not_here_is_told_from_an_error_of_the_code() {
        let library = |said: &str, abi| match reason(said, abi) {
            Unbuilt::Library { library, advice } => (library, advice),
            other => panic!("{other:?}"),
        };
        let (name, advice) =
            library("t.c:4:10: fatal error: sys/capability.h: No such file or directory", Abi::M64);
        assert_eq!((name.as_str(), advice.as_str()), ("-lcap", "install libcap-dev"));
        let said = "/usr/bin/ld: skipping incompatible /usr/lib/libcap-ng.so when searching for -lcap-ng\n\
                    /usr/bin/ld: cannot find -lcap-ng: No such file or directory\ncollect2: error: ld returned 1";
        let (name, advice) = library(said, Abi::M32);
        assert_eq!(name, "-lcap-ng");
        assert!(advice.contains("libcap-ng-dev:i386"), "{advice}");
        assert!(library("ld: cannot find -lpopt", Abi::Mx32).1.contains("no libpopt-dev for x32"));
        let said = "/usr/bin/ld: cannot find libasan_preinit.o: No such file or directory";
        assert!(matches!(reason(said, Abi::Mx32), Unbuilt::Sanitizer { .. }));
        let said = "t.c:1: error: 'x' undeclared";
        assert_eq!(reason(said, Abi::M64), Unbuilt::Compile { first_error: said.to_owned() });
        // A header of the tree itself is no library of the host's.
        assert!(matches!(
            reason("t.c:2:10: fatal error: linux/xyz.h: No such file or directory", Abi::M64),
            Unbuilt::Compile { .. }
        ));
    }
}
