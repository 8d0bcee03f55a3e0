//! A kernel once more, with what a debugger wants to know of it.
//!
//! The same source, series, configuration and compiler; only `configs/debuginfo.config` is merged on
//! top. Debug info changes no code, so that the kernel that was judged is booted and this one read. That
//! it is so is not taken on trust: see [`DebugKernel::describes`].
//!
//! A debugger finds the sources by the paths of the work tree, in which another leg or series may be
//! selected by the time it looks. So the files in which this kernel's source is not the pristine one are
//! kept beside it: see [`DebugKernel::sources`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::config::{self, Configured, Request};
use super::kconfig::Fragment;
use super::kernel::{self, Bench};
use super::series::{Content, Overlay};
use super::{Trouble, cached};
use crate::broken::broken;
use crate::model::{Abi, Cause, Stage, SyscallName};
use crate::plan::files::{Project, read_fragment};
use crate::plan::tables::{TABLE_32, TABLE_64, Tables};
use crate::process::Ctx;
use crate::store::{Entry, Key, KeyBuilder, Store};

/// The fragment, below the project's root.
const FRAGMENT: &str = "configs/debuginfo.config";

/// A kernel with debug info.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebugKernel {
    /// The ELF file, not stripped.
    pub vmlinux: PathBuf,
    /// Its `System.map`.
    pub symbols: PathBuf,
    /// Where its source lay: what the debug info's paths begin with.
    pub source: PathBuf,
    tables: [PathBuf; 2],
    pristine: PathBuf,
    kept: PathBuf,
}

/// Where the sources are that a kernel was compiled from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcesOf {
    /// The tree without series and edits; none if it is not in the cache any more.
    pub pristine: Option<PathBuf>,
    /// A folder with the files that are not that tree's.
    pub kept: PathBuf,
    /// Their paths below it.
    pub names: Vec<String>,
}

impl DebugKernel {
    fn of(entry: Entry) -> std::io::Result<DebugKernel> {
        let file = |name: &str| entry.path.join(name);
        Ok(DebugKernel {
            vmlinux: file("vmlinux"),
            symbols: file("System.map"),
            source: PathBuf::from(fs::read_to_string(file("source"))?),
            pristine: PathBuf::from(fs::read_to_string(file("pristine"))?),
            kept: file(KEPT),
            tables: [file("syscall_64.tbl"), file("syscall_32.tbl")],
        })
    }

    /// Whether it is, address by address, the kernel that has this `System.map`.
    pub fn describes(&self, symbols: &str) -> std::io::Result<bool> {
        Ok(fs::read_to_string(&self.symbols)? == symbols || broken("symbols-equal"))
    }

    /// Where its sources are now.
    pub fn sources(&self) -> std::io::Result<SourcesOf> {
        let names = fs::read_to_string(self.kept.with_extension("list"))?;
        Ok(SourcesOf {
            pristine: Some(self.pristine.clone()).filter(|tree| tree.is_dir()),
            kept: self.kept.clone(),
            names: names.lines().map(str::to_owned).collect(),
        })
    }

    /// The function by which a call enters this kernel for an ABI, by the tables that it was built
    /// with; none if they have no line for it.
    pub fn entry(&self, syscall: &SyscallName, abi: Abi) -> Result<Option<String>, Trouble> {
        let [t64, t32] = [fs::read_to_string(&self.tables[0])?, fs::read_to_string(&self.tables[1])?];
        let tables = Tables::parse(&t64, &t32, None);
        let tables = tables.map_err(|error| Cause::Source { detail: error.to_string() })?;
        Ok(tables.entry_symbol(syscall.as_str(), abi))
    }
}

/// The debug info of the kernel with this key, if it was built before.
pub fn at_hand(
    ctx: &Ctx,
    store: &Store,
    project: &Project,
    kernel: &str,
) -> Result<Option<DebugKernel>, Trouble> {
    // A project without the fragment has never had any built.
    let Ok((_, fragment)) = fragment(project) else { return Ok(None) };
    let entry = store.find(ctx, KIND, &key(kernel, &fragment))?;
    Ok(entry.map(DebugKernel::of).transpose()?)
}

/// What an entry is called in the cache.
const KIND: &str = "debuginfo";
/// The folder of an entry with the sources that are not the pristine ones; its list lies beside it.
const KEPT: &str = "sources";

/// All that went into a kernel is in its key already.
fn key(kernel: &str, fragment: &str) -> Key {
    let key = KeyBuilder::new(KIND).input("kernel", kernel).input("fragment", fragment);
    key.input("beside it", KEPT).input("its paths", "the work tree's own").finish()
}

fn fragment(project: &Project) -> Result<(Fragment, String), Trouble> {
    let text = read_fragment(&project.root().join(FRAGMENT))?;
    let parsed = Fragment::parse(FRAGMENT, &text);
    Ok((parsed.map_err(|error| Cause::ConfigDropped { detail: error.to_string() })?, text))
}

/// Compiles the kernel that `configured` was made for by what was `asked`, with debug info, or finds it.
pub async fn build(
    bench: Bench<'_>,
    project: &Project,
    what: &str,
    overlay: &Overlay,
    (configured, mut request): (&Configured, Request),
) -> Result<DebugKernel, Trouble> {
    let ordinary = kernel::key(&bench, overlay, configured);
    let (more, text) = fragment(project)?;
    let key = key(ordinary.as_str(), &text);
    let shop = bench.shop;
    let find = || shop.store.find(shop.ctx, KIND, &key);
    let what = format!("{what} with debug info");
    if let Some(entry) = find()? {
        cached(&shop.ctx.events, Stage::Compile, &what);
        return Ok(DebugKernel::of(entry)?);
    }
    let mut bench = bench.with_debug_info();
    // What the kernel asks of this otherwise gives way: there it was about speed.
    for entry in &more.entries {
        request.fragments.iter_mut().for_each(|fragment| _ = fragment.remove(&entry.symbol));
    }
    request.fragments.push(more);
    let config = config::configure(&mut bench, &what, overlay, &request).await?;
    bench.tree(overlay).await?;
    // Whoever held the work tree may have built the very same.
    if let Some(entry) = find()? {
        cached(&shop.ctx.events, Stage::Compile, &what);
        return Ok(DebugKernel::of(entry)?);
    }
    let (pristine, edits) = (bench.pristine.path.clone(), bench.pristine.edits.clone());
    let tree = kernel::make_vmlinux(&mut bench, &what, overlay, &config).await?;
    let made = shop.store.scratch("debuginfo-")?;
    // Before the kernel: a debugger complains of sources that are younger.
    keep_sources(made.path(), overlay, &edits)?;
    fs::write(made.path().join("pristine"), pristine.as_os_str().as_encoded_bytes())?;
    let keep = |from: &Path, name: &str| fs::copy(from, made.path().join(name));
    keep(&tree.obj.join("vmlinux"), "vmlinux")?;
    keep(&tree.obj.join("System.map"), "System.map")?;
    for (table, name) in [(TABLE_64, "syscall_64.tbl"), (TABLE_32, "syscall_32.tbl")] {
        keep(&tree.src.join(table), name)?;
    }
    fs::write(made.path().join("source"), tree.src.as_os_str().as_encoded_bytes())?;
    Ok(DebugKernel::of(shop.store.publish(KIND, &key, made)?)?)
}

/// Writes the files that a series, or edits of a user's, have laid over the pristine tree, and their names.
fn keep_sources(entry: &Path, overlay: &Overlay, edits: &Overlay) -> std::io::Result<()> {
    let paths = overlay.files().chain(edits.files()).map(|(path, _)| path);
    let mut names = String::new();
    // Such a name is no line of a list.
    for path in paths.filter(|path| !path.contains('\n')).collect::<BTreeSet<_>>() {
        let Some(Content::File { bytes, .. }) = overlay.get(path).or(edits.get(path)) else { continue };
        let kept = entry.join(KEPT).join(path);
        fs::create_dir_all(kept.parent().unwrap_or(entry))?;
        fs::write(kept, bytes)?;
        names += &format!("{path}\n");
    }
    fs::write(entry.join(KEPT).with_extension("list"), names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_described_only_by_the_very_same_addresses_and_entered_as_its_tables_say() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("System.map", "ffffffff81000000 T _text\n");
        write("source", "/c/src");
        write("pristine", "/c/pristine");
        write("syscall_64.tbl", "1 common write sys_write\n2 64 plugh sys_plugh\n");
        write("syscall_32.tbl", "1 i386 write sys_write\n2 i386 plugh sys_plugh compat_sys_plugh\n");
        let key = key("0123", "CONFIG_X=y\n");
        let kernel = DebugKernel::of(Entry { key, path: folder.path().to_owned() }).unwrap();
        assert!(kernel.describes("ffffffff81000000 T _text\n").unwrap());
        assert!(!kernel.describes("ffffffff81000010 T _text\n").unwrap());
        let entry = |name: &str, abi| kernel.entry(&name.parse().unwrap(), abi).unwrap();
        assert_eq!(entry("plugh", Abi::M64).as_deref(), Some("__x64_sys_plugh"));
        assert_eq!(entry("plugh", Abi::M32).as_deref(), Some("__ia32_compat_sys_plugh"));
        assert_eq!(entry("plugh", Abi::Mx32), None);
        assert_eq!(entry("write", Abi::Mx32).as_deref(), Some("__x64_sys_write"));
        assert_eq!(kernel.source, Path::new("/c/src"));
        let file = |text: &str| Content::File { bytes: text.into(), executable: false };
        let of =
            |files: &[(&str, Content)]| Overlay::of(files.iter().map(|(p, c)| ((*p).to_owned(), c.clone())));
        let series = of(&[("kernel/plugh.c", file("series")), ("old.c", Content::Deleted)]);
        let edits = of(&[("kernel/plugh.c", file("edit")), ("a\nb", file("")), ("b.c", file("edit"))]);
        keep_sources(folder.path(), &series, &edits).unwrap();
        let sources = kernel.sources().unwrap();
        assert_eq!((sources.pristine, sources.names), (None, vec!["b.c".into(), "kernel/plugh.c".into()]));
        assert_eq!(fs::read_to_string(sources.kept.join("kernel/plugh.c")).unwrap(), "series");
    }
}
