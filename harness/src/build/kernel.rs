//! Compiling a kernel out of tree, once per content.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use fs_err as fs;

use super::config::Configured;
use super::series::Overlay;
use super::source::Pristine;
use super::tree::{self, WorkTree};
use super::{StageTimer, Trouble, Workshop, build_failed, cached};
use crate::broken::broken;
use crate::limits;
use crate::model::{Cause, Progress, RunEvent, Stage};
use crate::plan::files::Kernel;
use crate::plan::recipe::{MakeVar, Recipe};
use crate::process::{Cmd, Stream, describe};
use crate::store::{Hash, Key, KeyBuilder};

/// What make is always told: nothing of this host's name, user or clock gets into the kernel.
/// And no version of a tool that the kernel is not built with: Kconfig would write it down.
pub(super) const MAKE_VARS: [&str; 9] = [
    "ARCH=x86",
    "RUSTC=false",
    "BINDGEN=false",
    "PAHOLE=false",
    "KBUILD_BUILD_TIMESTAMP=Thu Jan  1 00:00:00 UTC 1970",
    "KBUILD_BUILD_USER=abimatrix",
    "KBUILD_BUILD_HOST=abimatrix",
    "KBUILD_BUILD_VERSION=1",
    "LOCALVERSION=",
];

/// The folder of a work tree for objects that have debug info.
const WITH_DEBUG_INFO: &str = "obj.debuginfo";

/// Where one kernel is worked on. The work tree is locked and made only when something has to be
/// built: a run that finds all in the cache never touches it.
#[derive(Debug)]
pub struct Bench<'a> {
    /// The means.
    pub shop: &'a Workshop<'a>,
    /// The kernel.
    pub kernel: &'a Kernel,
    /// Its untouched source.
    pub pristine: Pristine,
    /// The folder of the work tree that objects lie in.
    objects: &'static str,
    tree: Option<WorkTree>,
}

impl<'a> Bench<'a> {
    /// A bench on which nothing lies yet.
    pub fn new(shop: &'a Workshop<'a>, kernel: &'a Kernel, pristine: Pristine) -> Bench<'a> {
        Bench { shop, kernel, pristine, objects: "obj", tree: None }
    }

    /// The same for kernels with debug info: their objects lie apart, so that neither kind is compiled
    /// anew after the other.
    pub fn with_debug_info(self) -> Bench<'a> {
        Bench { objects: WITH_DEBUG_INFO, tree: None, ..self }
    }

    /// The work tree with `overlay` selected.
    pub async fn tree(&mut self, overlay: &Overlay) -> Result<&WorkTree, Trouble> {
        if self.tree.is_none() {
            self.tree = Some(tree::open(self.shop, self.kernel, &self.pristine, self.objects).await?);
        }
        let tree = self.tree.as_ref().expect("made above");
        tree.select(overlay)?;
        Ok(tree)
    }
}

/// A `make` in the work tree's build folder.
pub(super) fn make(shop: &Workshop<'_>, recipe: &Recipe, tree: &WorkTree) -> Cmd {
    let mut obj = OsString::from("O=");
    obj.push(&tree.obj);
    let mut command = Cmd::new("make").arg("-C").arg(&tree.src).arg(obj).args(MAKE_VARS);
    command = command.args(recipe.make_vars().map(MakeVar::as_str));
    command = command.arg(format!("-j{}", shop.make_jobs));
    let cc = recipe.cc();
    if shop.ccache && !cc.contains("ccache") {
        // Depend mode asks the compiler for the headers it read and does not preprocess twice.
        command = command.arg(format!("CC=ccache {cc}")).env("CCACHE_DEPEND", "1");
    }
    command
}

/// What make is told and what it compiles with, for the keys of what it makes.
pub(super) fn toolchain(shop: &Workshop<'_>, recipe: &Recipe) -> (String, String) {
    let vars: Vec<&str> = MAKE_VARS.into_iter().chain(recipe.make_vars().map(MakeVar::as_str)).collect();
    let compiler = match &recipe.toolchain {
        // What --make does not choose is the default one's.
        Some(chosen) => format!("{chosen}\n{}", shop.compiler),
        None => shop.compiler.clone(),
    };
    (compiler, vars.join(" "))
}

/// A kernel that can be booted.
#[derive(Debug, Clone)]
pub struct BuiltKernel {
    /// Its key in the cache, which stands for all that went into it.
    pub key: Key,
    /// The stripped image with its PVH note.
    pub vmlinux: PathBuf,
    /// Its `System.map`.
    pub symbols: PathBuf,
    /// The configuration it was built with.
    pub config: Configured,
}

/// The key of a kernel: what goes into it.
pub fn key(bench: &Bench<'_>, overlay: &Overlay, config: &Configured) -> Key {
    let (compiler, vars) = toolchain(bench.shop, &bench.kernel.recipe);
    KeyBuilder::new("kernel")
        .input("source", bench.pristine.id.as_str())
        .input("series", overlay.identity())
        .input("config", &config.text)
        .input("compiler", compiler)
        .input("make variables", vars)
        .finish()
}

/// Compiles the kernel, or finds it.
pub async fn build(
    bench: &mut Bench<'_>,
    what: &str,
    overlay: &Overlay,
    config: Configured,
) -> Result<BuiltKernel, Trouble> {
    let (shop, recipe) = (bench.shop, &bench.kernel.recipe);
    // Who names a build folder wants to find the build in it.
    let find = |key: &Key| match recipe.build_folder {
        None => shop.store.find(shop.ctx, "kernel", key),
        Some(_) => Ok(None),
    };
    let key = key(bench, overlay, &config);
    let built = |path: PathBuf, key: Key, config: Configured| BuiltKernel {
        key,
        vmlinux: path.join("vmlinux"),
        symbols: path.join("System.map"),
        config,
    };
    if let Some(entry) = find(&key)? {
        cached(&shop.ctx.events, Stage::Compile, what);
        return Ok(built(entry.path, key, config));
    }
    bench.tree(overlay).await?;
    // Whoever held the work tree may have built the very same.
    if let Some(entry) = find(&key)? {
        cached(&shop.ctx.events, Stage::Compile, what);
        return Ok(built(entry.path, key, config));
    }
    let tree = make_vmlinux(bench, what, overlay, &config).await?;
    let made = shop.store.scratch("kernel-")?;
    let strip = Cmd::new("strip").arg("--strip-all").arg("-o").arg(made.path().join("vmlinux"));
    strip.arg(tree.obj.join("vmlinux")).output(shop.ctx).await?;
    fs::copy(tree.obj.join("System.map"), made.path().join("System.map"))?;
    fs::write(made.path().join("config"), &config.text)?;
    let entry = shop.store.publish("kernel", &key, made)?;
    Ok(built(entry.path, key, config))
}

/// Compiles the kernel in the work tree, and leaves it there.
pub(super) async fn make_vmlinux<'b>(
    bench: &'b mut Bench<'_>,
    what: &str,
    overlay: &Overlay,
    config: &Configured,
) -> Result<&'b WorkTree, Trouble> {
    let (shop, recipe, name) = (bench.shop, &bench.kernel.recipe, bench.kernel.name.clone());
    let names_sources = bench.objects == WITH_DEBUG_INFO && !broken("own-paths");
    let tree = bench.tree(overlay).await?;
    let _quiet = shop.quiet().await;
    let timer = StageTimer::start(&shop.ctx.events, Stage::Compile, what);
    put_config(tree, &config.text)?;
    let log = shop.log(&format!("{what}.compile"));
    // How many objects it was last time, so that a bar can have an end.
    let count_fact = Hash::of(format!("objects:{name}").as_bytes());
    let total = shop.store.fact(&count_fact).and_then(|text| text.parse().ok());
    let mut counter = Counter::new(shop, what, total, fs::File::create(&log)?);
    let make = || {
        let make = make(shop, recipe, tree).arg("vmlinux").deadline(limits::COMPILE_DEADLINE);
        match names_sources {
            // Whose ccache is told to share objects between folders (hash_dir, base_dir) would get those of
            // another work tree, whose debug info names that tree's sources, or none by its full path.
            true => make.env("CCACHE_HASHDIR", "1").env("CCACHE_BASEDIR", ""),
            false => make,
        }
    };
    let mut compiled = compile(tree, make(), &mut counter, &log).await;
    if let Err(Trouble::Cause(Cause::CompilerDied { words, .. })) = &compiled
        && !broken("compiler-retry")
    {
        // For want of memory, most often: one alone may have enough. Of make's words the last count.
        shop.ctx.events.note(format!("{what}: the compiler died ({words}): once more, one job at a time"));
        compiled = compile(tree, make().arg("-j1"), &mut counter, &log).await;
    }
    if let Err(trouble) = compiled {
        timer.end(false);
        return Err(trouble);
    }
    if total.is_none_or(|total: u64| counter.objects > total) {
        shop.store.remember(&count_fact, &counter.objects.to_string())?;
    }
    // What the compiler saw is auto.conf, which make renews when it thinks that it has to.
    if switches(&fs::read_to_string(tree.obj.join("include/config/auto.conf"))?) != switches(&config.text) {
        timer.end(false);
        return Err(build_failed(what, "", "*** the configuration changed under the build", &log).into());
    }
    timer.end(true);
    Ok(tree)
}

/// Has make go through a work tree once.
async fn compile(tree: &WorkTree, make: Cmd, counter: &mut Counter<'_>, log: &Path) -> Result<(), Trouble> {
    counter.errors = crate::process::Tail::new(limits::QEMU_STDERR_BYTES);
    let (ctx, what) = (counter.shop.ctx, counter.what);
    let unfinished = tree.begin()?;
    let status = make.stream(ctx, |stream, bytes| counter.take(stream, bytes)).await?;
    if status.code().is_some() {
        unfinished.done()?;
    }
    match status.success() {
        true => Ok(()),
        false => Err(build_failed(what, &describe(status), &counter.errors.text(), log).into()),
    }
}

/// What a configuration switches on. Strings are left out: auto.conf spells them in its own way.
fn switches(config: &str) -> BTreeSet<&str> {
    let on = |line: &&str| line.starts_with("CONFIG_") && (line.ends_with("=y") || line.ends_with("=m"));
    config.lines().filter(on).collect()
}

/// Writes the configuration only if it differs: its time decides what make looks at again.
fn put_config(tree: &WorkTree, text: &str) -> Result<(), Trouble> {
    let path = tree.obj.join(".config");
    if std::fs::read_to_string(&path).is_ok_and(|have| have == text) {
        return Ok(());
    }
    fs::write(&path, text)?;
    Ok(())
}

/// Counts objects in make's words, logs them all, and keeps what the compiler complains of.
struct Counter<'a> {
    shop: &'a Workshop<'a>,
    what: &'a str,
    total: Option<u64>,
    log: fs::File,
    line: Vec<u8>,
    objects: u64,
    told: Instant,
    errors: crate::process::Tail,
}

impl Counter<'_> {
    fn new<'a>(shop: &'a Workshop<'a>, what: &'a str, total: Option<u64>, log: fs::File) -> Counter<'a> {
        let errors = crate::process::Tail::new(limits::QEMU_STDERR_BYTES);
        Counter { shop, what, total, log, line: Vec::new(), objects: 0, told: Instant::now(), errors }
    }

    fn take(&mut self, stream: Stream, bytes: &[u8]) {
        // A log on a full disk is not worth a build that may still succeed.
        let _ = std::io::Write::write_all(&mut self.log, bytes);
        if stream == Stream::Err {
            self.errors.push(bytes);
            return;
        }
        for &byte in bytes {
            if byte != b'\n' {
                // Only the first words of a line are looked at.
                if self.line.len() < 16 {
                    self.line.push(byte);
                }
                continue;
            }
            let word = self.line.split(|b| *b == b' ').find(|word| !word.is_empty());
            if matches!(word, Some(b"CC" | b"AS" | b"HOSTCC")) {
                self.objects += 1;
            }
            self.line.clear();
        }
        if self.told.elapsed() >= limits::PROGRESS_EVERY {
            self.told = Instant::now();
            let progress = Progress { done: self.objects, total: self.total };
            let event =
                RunEvent::StageProgress { stage: Stage::Compile, what: self.what.to_owned(), progress };
            self.shop.ctx.events.send(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_conf_and_config_are_compared_by_what_they_switch_on() {
        let config = "# CONFIG_B is not set\nCONFIG_A=y\nCONFIG_S=\"\"\nCONFIG_N=12\nCONFIG_M=m\n";
        let auto = "#\n# Automatically generated file; DO NOT EDIT.\nCONFIG_A=y\nCONFIG_S=\nCONFIG_N=12\nCONFIG_M=m\n";
        assert_eq!(switches(config), switches(auto));
        assert_ne!(switches(config), switches(&auto.replace("CONFIG_A=y\n", "")));
        assert_ne!(switches(config), switches(&format!("{auto}CONFIG_B=y\n")));
    }
}
