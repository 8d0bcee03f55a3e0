//! Directories of the tree's own selftests: what is in them, and their programs for each ABI.
//!
//! Built by each directory's own Makefile and `lib.mk`, linked as they say, and installed as
//! `make install` does, in a mirror of the source: some Makefiles write beside their sources.
//! A program that does not build costs nobody else anything; why it did not is read from what the
//! compiler said. Everything that goes into the guest is an archive, so that links and modes stay.

mod blame;
mod mirror;
mod taken;

use std::collections::{BTreeMap, BTreeSet};
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
use crate::plan::kselftest::interpreter;
use crate::process::{Cmd, ProcessError, Stream, describe};
use crate::store::{Hash, Key, KeyBuilder};
use blame::Failures;
pub(super) use blame::reason;
use mirror::mirror;
pub use taken::libraries_of_host;
use taken::{DEPFILE, Taken};

/// Where the directories lie in a tree.
pub const SELFTESTS: &str = "tools/testing/selftests";
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
    /// Its programs, in the order in which `lib.mk` lists them, and [`Recipe::also`].
    pub programs: Vec<Program>,
    /// What was to lie beside them and was not built, with the first error.
    pub helpers: Vec<(String, String)>,
    /// What became of the sanitizers that a Makefile asks for, if they were to be left out.
    pub sanitizers: Option<String>,
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
    sanitizers: Option<String>,
}

/// A file of a directory in a source tree.
pub fn file(pristine: &Pristine, dir: &RelPath, name: &str) -> Option<String> {
    pristine.read(&format!("{SELFTESTS}/{dir}/{name}"))
}

/// Whether the tree has the directory.
pub fn exists(pristine: &Pristine, dir: &RelPath) -> bool {
    file(pristine, dir, "Makefile").is_some()
}

/// The directories that have a Makefile, sorted.
pub fn all(pristine: &Pristine) -> io::Result<Vec<RelPath>> {
    let root = pristine.path.join(SELFTESTS);
    let mut found = BTreeSet::new();
    // A tree may be without them.
    let mut todo: Vec<PathBuf> = root.is_dir().then(|| root.clone()).into_iter().collect();
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                todo.push(entry.path());
            }
        }
        found.extend(folder.strip_prefix(&root).ok().and_then(|inside| inside.to_str()?.parse().ok()));
    }
    // Of a user's tree, what is new since the cache has it.
    let edited =
        pristine.edits.files().filter_map(|(path, _)| path.strip_prefix(SELFTESTS)?.strip_prefix('/'));
    found.extend(edited.filter_map(|path| path.strip_suffix("/Makefile")?.parse().ok()));
    Ok(found.into_iter().filter(|dir| exists(pristine, dir)).collect())
}

/// The programs of a directory, as its Makefile lists them for one ABI or another.
pub async fn list(
    shop: &Workshop<'_>,
    pristine: &Pristine,
    dir: &RelPath,
    abis: &[Abi],
) -> Result<Vec<String>, Trouble> {
    let _quiet = shop.quiet().await;
    let mirror = mirror(shop, pristine, dir)?;
    let output = mirror.path().join("output");
    fs::create_dir(&output)?;
    let mut names: Vec<String> = Vec::new();
    for abi in abis {
        let cc = format!("gcc {}", abi.flag());
        let found = listed(shop, &lib_mk(mirror.path(), dir, &output, &cc, None), dir).await?;
        names.extend(found.into_iter().filter(|name| !names.contains(name)).collect::<Vec<_>>());
    }
    Ok(names)
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

/// The UAPI headers of the tree with a series, installed once; the folder to include.
pub async fn headers(bench: &mut Bench<'_>, series: &Overlay) -> Result<PathBuf, Trouble> {
    let (shop, kernel) = (bench.shop, bench.kernel);
    let key = KeyBuilder::new("headers")
        .input("source", bench.pristine.with(series).id.as_str())
        .input("make variables", MAKE_VARS.join(" "))
        .finish();
    if let Some(entry) = shop.store.find(shop.ctx, "headers", &key)? {
        return Ok(entry.path.join("include"));
    }
    let what = format!("{} headers", kernel.name);
    let tree = bench.tree(series).await?;
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

/// What a directory is built with.
#[derive(Debug)]
pub struct Recipe<'a> {
    /// The source.
    pub pristine: &'a Pristine,
    /// What [`headers`] gave.
    pub headers: &'a Path,
    /// The directory.
    pub dir: &'a RelPath,
    /// A program that is wanted, whether the directory lists it or not.
    pub also: Option<&'a RelPath>,
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
    let asked = || {
        KeyBuilder::new("kselftest")
            .input("source", pristine.id.as_str())
            .input("folder", dir.as_str())
            .input("also", recipe.also.map_or("", RelPath::as_str))
            .input("abi", abi.name())
            .input("compiler", &shop.compiler)
            .input("libraries", shop.libraries(*abi))
            .input("host's libraries", recipe.libraries)
            .input("sanitizers", if recipe.sanitizers { "yes" } else { "no" })
            .input("installed", "with TEST_INCLUDES, and nothing of another ABI")
    };
    // What it took from the host is known once it was built.
    let name = Hash::of(format!("kselftest-taken:{}", asked().finish().as_str()).as_bytes());
    let key = |taken: &Taken| asked().input("taken from the host", taken.stamps()).finish();
    let built = |key: Key, path: PathBuf| -> Result<Built, Trouble> {
        let facts = fs::read(path.join("facts"))?;
        let Facts { programs, helpers, sanitizers } =
            serde_json::from_slice(&facts).map_err(io::Error::from)?;
        let (archive, log) = (path.join("archive"), path.join("make.log"));
        Ok(Built { key, programs, helpers, sanitizers, archive, log })
    };
    let known = shop.store.fact(&name).and_then(|text| serde_json::from_str::<Taken>(&text).ok());
    if let Some(key) = known.as_ref().map(key)
        && let Some(entry) = shop.store.find(shop.ctx, "kselftest", &key)?
    {
        cached(&shop.ctx.events, Stage::Selftest, &what);
        return built(key, entry.path);
    }
    let _quiet = shop.quiet().await;
    let timer = StageTimer::start(&shop.ctx.events, Stage::Selftest, &what);
    let made = make_programs(shop, recipe).await;
    timer.end(made.is_ok());
    let (made, taken) = made?;
    shop.store.remember(&name, &serde_json::to_string(&taken).map_err(io::Error::from)?)?;
    let key = key(&taken);
    let entry = shop.store.publish("kselftest", &key, made)?;
    built(key, entry.path)
}

/// How a build fails by the host it is done on.
const HOST_TROUBLE: [&str; 4] = [
    "No space left on device",
    "Input/output error",
    "Too many open files",
    "Resource temporarily unavailable",
];

async fn make_programs(
    shop: &Workshop<'_>,
    recipe: &Recipe<'_>,
) -> Result<(tempfile::TempDir, Taken), Trouble> {
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
    let depfile = mirror.path().join("depfile");
    command = command.env(DEPFILE, &depfile);
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
    let mut names = listed(shop, &make, dir).await?;
    names.extend(recipe.also.map(ToString::to_string).filter(|also| !names.contains(also)));
    let failed = Failures::read(&said);
    let mut programs = Vec::new();
    for name in &names {
        let why = || failed.why(&output, name, abi);
        programs.push(program(name, &install.join(name), abi, why)?);
    }
    include(shop, &make, &mirror.path().join(SELFTESTS), dir, &root.join(ROOT)).await?;
    let mut taken = Taken::default();
    let (brought, unfit) = bring_all(shop, &root, &install, abi, &mut programs).await?;
    taken.add(brought);
    let is_helper = |name: &String| !names.contains(name) && !install.join(name).exists();
    let unbuilt = failed.helpers().filter(|(name, _)| is_helper(name));
    let helpers: Vec<_> = unbuilt.chain(unfit).collect();
    taken.lacking = !helpers.is_empty() || programs.iter().any(|program| program.unbuilt.is_some());
    let depfile = fs::read(&depfile).unwrap_or_default();
    let ours = [mirror.path(), pristine.path.as_path(), headers];
    taken.add_headers(&String::from_utf8_lossy(&depfile), &ours);
    // Scripts take the runner's helpers from where an installed kselftest has them.
    let shared = mirror.path().join(SELFTESTS).join("kselftest");
    let nodes = {
        let mut nodes = nodes_of(&root)?;
        // A tree may be older than they are.
        let shared = if shared.is_dir() { nodes_of(&shared)? } else { BTreeMap::new() };
        for (name, node) in shared {
            nodes.insert(format!("{ROOT}/kselftest/{name}"), node);
        }
        nodes
    };
    let made = shop.store.scratch("programs-")?;
    fs::write(made.path().join("archive"), archive(nodes)?)?;
    fs::write(made.path().join("make.log"), said)?;
    let sanitizers = (sanitized && !recipe.sanitizers).then(|| left_out(&install)).transpose()?;
    let facts = Facts { programs, helpers, sanitizers };
    fs::write(made.path().join("facts"), serde_json::to_vec_pretty(&facts).map_err(io::Error::from)?)?;
    Ok((made, taken))
}

/// Whether the sanitizers that were to be left out are: a Makefile may have no ear for it.
fn left_out(install: &Path) -> io::Result<String> {
    let has = |bytes: &[u8], name: &[u8]| bytes.windows(name.len()).any(|window| window == name);
    for (name, _) in nodes_of(install)? {
        let path = install.join(&name);
        if path.is_file()
            && [&b"__asan_"[..], b"__ubsan_"].iter().any(|of| fs::read(&path).is_ok_and(|b| has(&b, of)))
        {
            return Ok(format!("{name} has sanitizers all the same: the Makefile overrules --no-sanitizers"));
        }
    }
    Ok("built without the sanitizers that its Makefile asks for".to_owned())
}

/// Installs the directory's TEST_INCLUDES, files of other directories that its scripts source, at the
/// same place beside it. `make install` would do it from the runner's own Makefile alone, and as links.
async fn include(
    shop: &Workshop<'_>,
    make: &impl Fn() -> Cmd,
    selftests: &Path,
    dir: &RelPath,
    installed: &Path,
) -> Result<(), Trouble> {
    let rule = "--eval=abimatrix_includes:;@for file in $(TEST_INCLUDES); do echo \"i:$$file\"; done";
    let asked = make().args(["--silent", "--no-print-directory", rule, "abimatrix_includes"]);
    for line in asked.output(shop.ctx).await?.text().lines() {
        let Some(named) = line.strip_prefix("i:").and_then(|name| beside(dir, name)) else { continue };
        let Ok(bytes) = fs::read(selftests.join(named.as_str())) else { continue };
        let to = installed.join(named.as_str());
        fs::create_dir_all(to.parent().unwrap_or(installed))?;
        fs::write(&to, bytes)?;
        let mode = fs::metadata(selftests.join(named.as_str()))?.permissions().mode();
        fs::set_permissions(&to, std::fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Where a file lies, below the selftests, that a directory names by a path from itself.
fn beside(dir: &RelPath, named: &str) -> Option<RelPath> {
    let mut parts: Vec<&str> = dir.as_str().split('/').collect();
    for part in named.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop()?,
            name => parts.push(name),
        }
    }
    parts.join("/").parse().ok()
}

/// What became of a program that the directory lists.
fn program(name: &str, path: &Path, abi: Abi, why: impl FnOnce() -> Unbuilt) -> Result<Program, Trouble> {
    let mut program = Program { name: name.to_owned(), unbuilt: None, interpreter: None, executable: false };
    if !path.is_file() {
        program.unbuilt = Some(why());
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

/// The libraries of everything that was installed, and what lies there and cannot do its work: its library
/// is not here, or it is of another ABI, and then it does not lie there any longer. A program whose library
/// is not here loses its cell.
async fn bring_all(
    shop: &Workshop<'_>,
    root: &Path,
    install: &Path,
    abi: Abi,
    programs: &mut [Program],
) -> Result<(Vec<PathBuf>, Vec<(String, String)>), Trouble> {
    let (mut brought, mut unfit) = (Vec::new(), Vec::new());
    for (name, _) in nodes_of(install)? {
        let path = install.join(&name);
        if !path.is_file() || path.is_symlink() {
            continue;
        }
        let bytes = fs::read(&path)?;
        let is_listed = programs.iter().any(|program| program.name == name);
        let mut facts = match elf::prove(&bytes, abi) {
            Ok(facts) => facts,
            Err(found) => {
                if elf::is_executable(&bytes) {
                    // It would run, and a script that calls it would report of that ABI and not of this one.
                    if !broken("helper-abi") {
                        fs::remove_file(&path)?;
                    }
                    if !is_listed {
                        unfit.push((name, format!("it was built as {found}")));
                    }
                }
                continue;
            }
        };
        // What lies beside the program is found by its own search path.
        facts.needed.retain(|library| !install.join(library).exists());
        match libraries::bring(shop, root, facts, abi).await {
            Ok(files) => brought.extend(files),
            Err(trouble @ Trouble::Interrupted(_)) => return Err(trouble),
            Err(Trouble::Cause(cause)) => {
                let first_error = cause.to_string();
                match programs.iter_mut().find(|program| program.name == name) {
                    Some(program) => _ = program.unbuilt.get_or_insert(Unbuilt::Compile { first_error }),
                    None => unfit.push((name, first_error)),
                }
            }
        }
    }
    Ok((brought, unfit))
}

#[cfg(test)]
mod tests {
    use super::beside;

    #[test]
    fn a_file_of_another_directory_lies_beside_this_one() {
        let at = |named: &str| beside(&"net/mptcp".parse().unwrap(), named).map(|path| path.to_string());
        assert_eq!(at("../lib.sh").as_deref(), Some("net/lib.sh"));
        assert_eq!(at("../../kselftest/./ktap_helpers.sh").as_deref(), Some("kselftest/ktap_helpers.sh"));
        assert_eq!(at("own.sh").as_deref(), Some("net/mptcp/own.sh"));
        assert_eq!(at("../../../lib.mk"), None);
    }
}
