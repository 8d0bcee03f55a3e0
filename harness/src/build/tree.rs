//! The work tree of a kernel: one stable path for source and objects, whatever leg is built.
//!
//! A build folder that is copied or moved does not stay incremental; one whose paths stay and whose
//! unchanged files keep their times does. So each kernel has one work tree. Its source is made of
//! hard links (or clones) of the pristine tree, and a series is selected by writing only those
//! files whose content differs from what lies there. A file that changes is replaced, never
//! written in place: the pristine tree may share its inode.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use fs_err as fs;

use super::series::{Content, Overlay};
use super::source::{Pristine, TreeFacts};
use super::{Trouble, Workshop, check_disk};
use crate::limits;
use crate::model::Cause;
use crate::plan::files::Kernel;
use crate::process::{Cmd, Ctx, ProcessError};
use crate::store::Lock;

/// A work tree that this run has for itself.
#[derive(Debug)]
pub struct WorkTree {
    /// The source, with a series selected.
    pub src: PathBuf,
    /// The objects (make's `O=`).
    pub obj: PathBuf,
    pristine: Pristine,
    place: PathBuf,
    /// Where a file is made before it takes its place: a run that is killed leaves nothing in the tree.
    scratch: tempfile::TempDir,
    _lock: Lock,
    /// Of a build folder that the user named.
    _build_lock: Option<Lock>,
}

/// Locks the work tree of a kernel, makes it if there is none, and makes it again if it is not what
/// it should be: whatever lies in it besides the series would get into a kernel under the series' key.
/// The objects lie in its folder `objects`, unless the user named another.
pub async fn open(
    shop: &Workshop<'_>,
    kernel: &Kernel,
    pristine: &Pristine,
    objects: &str,
) -> Result<WorkTree, Trouble> {
    let name = format!("{}-{}", kernel.name, &pristine.base.as_str()[..12]);
    let lock = shop.store.lock(shop.ctx, &format!("tree-{name}")).await?;
    let place = shop.store.place("tree", &name);
    let (obj, build_lock) = match &kernel.recipe.build_folder {
        None => (place.join(objects), None),
        Some(folder) => (folder.clone(), Some(claim(shop, folder).await?)),
    };
    let tree = WorkTree {
        src: place.join("src"),
        obj,
        pristine: pristine.clone(),
        place: place.clone(),
        scratch: shop.store.scratch("put-")?,
        _lock: lock,
        _build_lock: build_lock,
    };
    let reference = match pristine.intact().await? {
        Some(facts) => facts,
        None => {
            pristine.set_aside(shop)?;
            if place.exists() {
                // It shares its files with the source that was written to.
                shop.set_aside(&place, &format!("tree-{name}"))?;
            }
            let again = super::source::pristine(shop, kernel).await?;
            if (&again.id, &again.base) != (&pristine.id, &pristine.base) {
                let detail = "it changed while it was read: run the same again".to_owned();
                return Err(Cause::Source { detail }.into());
            }
            TreeFacts::read(&pristine.path).await?
        }
    };
    if tree.src.exists() {
        let found = TreeFacts::read(&tree.src).await?;
        if let Some(file) = found.difference(&reference, &tree.deviating()?) {
            let bad = shop.set_aside(&place, &format!("tree-{name}"))?;
            let (src, file, bad) = (tree.src.display(), file.display(), bad.display());
            shop.ctx.events.note(format!(
                "{src} is not what was put there ({file}): it is made again, the old one is {bad}"
            ));
        }
    }
    if !tree.src.exists() {
        check_disk(shop.store.root())?;
        fs::create_dir_all(&place)?;
        let scratch = shop.store.scratch("tree-")?;
        let made = scratch.path().join("src");
        link_or_copy(shop.ctx, &pristine.path, &made).await?;
        fs::rename(&made, &tree.src)?;
    }
    fs::create_dir_all(&tree.obj)?;
    if kernel.recipe.build_folder.is_some() {
        tree.settle(shop.ctx)?;
    }
    tree.forget_unfinished(shop.ctx)?;
    Ok(tree)
}

/// Takes a build folder that the user named for this run.
async fn claim(shop: &Workshop<'_>, folder: &Path) -> Result<Lock, Trouble> {
    let refuse = |detail: String| Trouble::from(Cause::Harness { detail });
    // Again, now that it is about to be written to: it may have been looked at an hour ago.
    check_build_folder(folder, None).map_err(refuse)?;
    fs::create_dir_all(folder)?;
    let real = fs::canonicalize(folder)?;
    let name = crate::store::Hash::of(real.as_os_str().as_encoded_bytes());
    let lock = shop.store.lock(shop.ctx, &format!("build-{name}")).await?;
    let mark = folder.join(BUILD_MARK);
    if !mark.exists() {
        fs::write(&mark, "")?;
    }
    Ok(lock)
}

/// Whether objects may be put into a folder that the user names: a new or empty one, or one that was
/// filled by this tool. Another's `.config` and objects would be lost.
pub fn check_build_folder(folder: &Path, users_tree: Option<&Path>) -> Result<(), String> {
    let shown = folder.display();
    // What is behind `..` is known only once the folder before it is there.
    if folder.components().any(|part| part == Component::ParentDir) {
        return Err(format!("-O {shown} has `..` in it: name the folder without"));
    }
    let real = check_outside("-O", folder, users_tree)?;
    if let Some(tree) = real.ancestors().find(|above| above.join("Kbuild").is_file()) {
        return Err(format!("-O {shown} lies in a kernel tree, {}: name a folder outside", tree.display()));
    }
    match std::fs::read_dir(folder).map(|mut entries| entries.next().is_some()) {
        Ok(true) if !folder.join(BUILD_MARK).is_file() => Err(format!(
            "-O {shown} is not empty and not from an earlier run (it has no {BUILD_MARK}): name a new folder"
        )),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("-O {shown}: {error}")),
    }
}

/// Whether a folder that the user names with `flag` lies outside of his tree; returns where it is, or
/// the folder above it that is there already.
pub fn check_outside(flag: &str, folder: &Path, users_tree: Option<&Path>) -> Result<PathBuf, String> {
    let shown = folder.display();
    let there = |above: &Path| Some((std::fs::canonicalize(above).ok()?, above.to_owned()));
    let Some((real, above)) = folder.ancestors().find_map(there) else {
        return Err(format!("{flag} {shown}: no folder above it is there"));
    };
    let rest = folder.strip_prefix(&above).unwrap_or(folder);
    if rest.components().any(|part| part == Component::ParentDir) {
        return Err(format!("{flag} {shown} has `..` behind what is there: name the folder without"));
    }
    if users_tree.is_some_and(|tree| real.starts_with(tree)) {
        return Err(format!("{flag} {shown} lies in the tree itself, which is never written to"));
    }
    Ok(real)
}

/// The file that tells a build folder of the user's which this tool has made.
const BUILD_MARK: &str = ".abimatrix";

/// A make at work in the tree. Its mark stays if the run is killed, or kills the make.
#[derive(Debug)]
#[must_use = "a make that ended by itself is to be marked as done"]
pub struct Unfinished {
    mark: PathBuf,
}

impl Unfinished {
    /// make ended by itself, whatever its status: it has removed what it had only begun. (One that
    /// a signal ended has not: see [`ended_by_itself`].)
    pub fn done(self) -> std::io::Result<()> {
        fs::remove_file(&self.mark)
    }
}

/// Whether a make came to an end of its own, good or bad.
pub fn ended_by_itself<T>(output: &Result<T, ProcessError>) -> bool {
    match output {
        Ok(_) => true,
        Err(ProcessError::Failed { status, .. }) => !status.contains("killed by signal"),
        Err(_) => false,
    }
}

/// The cheapest that the file system can do: share blocks, share inodes, copy.
async fn link_or_copy(ctx: &Ctx, from: &Path, to: &Path) -> Result<(), Trouble> {
    let cp = |how: &[&str]| {
        let cmd = Cmd::new("cp").arg("--archive").args(how).arg("--").arg(from).arg(to);
        cmd.deadline(limits::UNPACK_DEADLINE)
    };
    for how in [&["--reflink=always"][..], &["--link"]] {
        match cp(how).output(ctx).await {
            Ok(_) => return Ok(()),
            Err(crate::process::ProcessError::Failed { .. }) => {
                let _ = fs::remove_dir_all(to);
            }
            Err(other) => return Err(other.into()),
        }
    }
    cp(&[]).output(ctx).await?;
    Ok(())
}

impl WorkTree {
    /// Marks that a make is about to write objects.
    pub fn begin(&self) -> std::io::Result<Unfinished> {
        // One that was cut off before, in this very run: its mark must not become ours.
        self.sweep()?;
        let mark = self.unfinished();
        fs::write(&mark, "")?;
        Ok(Unfinished { mark })
    }

    /// The mark lies beside the objects that it is about, wherever these are.
    fn unfinished(&self) -> PathBuf {
        self.obj.join(".abimatrix-unfinished")
    }

    /// Objects in a folder that the user named outlive the source that they were made of. When it is
    /// made anew its files may be older than they are, and make would take them for done: so they go.
    fn settle(&self, ctx: &Ctx) -> Result<(), Trouble> {
        let (ours, theirs) = (self.place.join("token"), self.obj.join(BUILD_MARK));
        if !ours.exists() {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            fs::write(&ours, format!("{}-{}\n", since.as_nanos(), std::process::id()))?;
        }
        let token = fs::read_to_string(&ours)?;
        if fs::read_to_string(&theirs)? == token {
            return Ok(());
        }
        let mut removed = 0u64;
        for entry in fs::read_dir(&self.obj)? {
            let path = entry?.path();
            if path == theirs {
                continue;
            }
            match path.is_dir() && !path.is_symlink() {
                true => fs::remove_dir_all(&path)?,
                false => fs::remove_file(&path)?,
            }
            removed += 1;
        }
        if removed > 0 {
            let folder = self.obj.display();
            ctx.events.note(format!("{folder} has objects of another source tree: they are made again"));
        }
        Ok(fs::write(theirs, token)?)
    }

    /// A make that was killed may leave an object that is newer than its source and yet not whole,
    /// or not seen by objtool: the next make would take it for done. All that it wrote goes.
    fn forget_unfinished(&self, ctx: &Ctx) -> Result<(), Trouble> {
        if let Some(removed) = self.sweep()? {
            ctx.events
                .note(format!("an earlier build was cut off: {removed} files that it wrote are made again"));
        }
        Ok(())
    }

    /// How many files of a make that was cut off were removed; none if there was no such make.
    fn sweep(&self) -> std::io::Result<Option<u64>> {
        let mark = self.unfinished();
        let Ok(since) = std::fs::metadata(&mark).and_then(|meta| meta.modified()) else { return Ok(None) };
        let kept = [mark.clone(), self.obj.join(BUILD_MARK)];
        let mut removed = 0u64;
        let mut todo = vec![self.obj.clone()];
        while let Some(folder) = todo.pop() {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                let meta = entry.metadata()?;
                if meta.is_dir() {
                    todo.push(entry.path());
                } else if meta.modified()? >= since && !kept.contains(&entry.path()) {
                    fs::remove_file(entry.path())?;
                    removed += 1;
                }
            }
        }
        fs::remove_file(&mark)?;
        Ok(Some(removed))
    }

    /// Makes the source what pristine tree and overlay say; returns how many files changed.
    ///
    /// The list of files that may deviate is written before the first of them is touched, so that
    /// a run that is killed in here leaves nothing that the next one does not look at.
    pub fn select(&self, overlay: &Overlay) -> Result<usize, Trouble> {
        let list = self.place.join("deviating");
        let before = self.deviating()?;
        let edits = &self.pristine.edits;
        let after: BTreeSet<String> =
            overlay.files().chain(edits.files()).map(|(path, _)| path.to_owned()).collect();
        let either: BTreeSet<&String> = before.union(&after).collect();
        write_list(self.scratch.path(), &list, either.iter().map(|path| path.as_str()))?;
        let mut wanted = Vec::new();
        for path in either {
            wanted.push((path, self.wanted(path, overlay.get(path).or(edits.get(path)))?));
        }
        // What goes, goes first: a folder may take the place of a file, and the other way round.
        wanted.sort_by_key(|(_, content)| content.is_some());
        let mut changed = 0;
        for (path, content) in wanted {
            changed += usize::from(self.put(path, content)?);
        }
        // The list only grows: a file that was put back has the old content and a new time.
        Ok(changed)
    }

    /// The files that are, or once were, not the pristine tree's own.
    fn deviating(&self) -> std::io::Result<BTreeSet<String>> {
        match std::fs::read_to_string(self.place.join("deviating")) {
            Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(error) => Err(error),
        }
    }

    /// What a file must be, and whether it is executable: as it is laid over the pristine tree, or
    /// as it is there.
    fn wanted(&self, path: &str, content: Option<&Content>) -> std::io::Result<Option<(Vec<u8>, bool)>> {
        match content {
            Some(Content::File { bytes, executable }) => Ok(Some((bytes.clone(), *executable))),
            Some(Content::Deleted) => Ok(None),
            None => read_with_mode(&self.pristine.path.join(path)),
        }
    }

    /// Gives one file the content it must have; says whether that was a change.
    fn put(&self, path: &str, wanted: Option<(Vec<u8>, bool)>) -> Result<bool, Trouble> {
        let target = self.src.join(path);
        if read_with_mode(&target)? == wanted {
            return Ok(false);
        }
        let Some((bytes, executable)) = wanted else {
            fs::remove_file(&target)?;
            // A folder that only the series had would confuse what looks for folders.
            let mut folder = target.parent();
            while let Some(path) = folder.filter(|path| *path != self.src) {
                if std::fs::remove_dir(path).is_err() {
                    break;
                }
                folder = path.parent();
            }
            return Ok(true);
        };
        let parent = target.parent().unwrap_or(&self.src);
        fs::create_dir_all(parent)?;
        let mut file = tempfile::NamedTempFile::new_in(self.scratch.path())?;
        file.write_all(&bytes)?;
        let mode = if executable { 0o755 } else { 0o644 };
        file.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.persist(&target).map_err(|error| error.error)?;
        Ok(true)
    }
}

fn write_list<'a>(scratch: &Path, path: &Path, names: impl Iterator<Item = &'a str>) -> std::io::Result<()> {
    let text: String = names.flat_map(|name| [name, "\n"]).collect();
    crate::store::write_by_way_of(scratch, path, text.as_bytes())
}

fn read_with_mode(path: &Path) -> std::io::Result<Option<(Vec<u8>, bool)>> {
    match std::fs::read(path) {
        Ok(bytes) => {
            let executable = fs::metadata(path)?.permissions().mode() & 0o100 != 0;
            Ok(Some((bytes, executable)))
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
