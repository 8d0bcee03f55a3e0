//! A series, applied strictly in order and without fuzz, to copies of the files that it touches.
//!
//! The result is an [`Overlay`]: the files in which the patched tree differs from the pristine
//! one. No tree is needed to make it, and a patch that does not apply leaves nothing behind. The
//! applying is `git apply`'s; what is ours is the inspection before it (nothing outside the tree,
//! no links, no submodules) and the words when it fails.

pub mod inspect;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fs_err as fs;

use super::source::Pristine;
use super::{StageTimer, Trouble, Workshop};
use crate::broken::broken;
use crate::limits;
use crate::model::{Cause, Stage};
use crate::plan::derive::TreeFiles;
use crate::plan::files::Patch;
use crate::plan::tree::TreeFolder;
use crate::process::{Cmd, ProcessError};
use crate::store::Hash;
use inspect::Inspected;

/// What a file of the patched tree is where it differs from the pristine one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A file with these bytes.
    File {
        /// All of it.
        bytes: Vec<u8>,
        /// Mode 755, otherwise 644.
        executable: bool,
    },
    /// The series removes it.
    Deleted,
}

impl Content {
    /// The text of a file that is there.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Content::File { bytes, .. } => Some(String::from_utf8_lossy(bytes).into_owned()),
            Content::Deleted => None,
        }
    }
}

/// A series as its effect on a pristine tree.
#[derive(Debug, Clone, Default)]
pub struct Overlay {
    files: BTreeMap<String, Content>,
    /// The hash of each patch's bytes, in order: what the keys of the cache see.
    patches: Vec<Hash>,
}

impl Overlay {
    /// No series.
    pub fn none() -> Overlay {
        Overlay::default()
    }

    /// Files that are other than a tree's, whatever made them so.
    pub(super) fn of(files: impl IntoIterator<Item = (String, Content)>) -> Overlay {
        Overlay { files: files.into_iter().collect(), patches: Vec::new() }
    }

    /// The same, and `later` over it.
    pub(super) fn then(&self, later: &Overlay) -> Overlay {
        let files = self.files.clone().into_iter().chain(later.files.clone()).collect();
        Overlay { files, patches: [&self.patches[..], &later.patches].concat() }
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The files that differ.
    pub fn files(&self) -> impl Iterator<Item = (&str, &Content)> {
        self.files.iter().map(|(path, content)| (path.as_str(), content))
    }

    /// The content of one, if it differs.
    pub fn get(&self, path: &str) -> Option<&Content> {
        self.files.get(path)
    }

    /// Reads a text file of the patched tree.
    pub fn read(&self, pristine: &Pristine, path: &str) -> Option<String> {
        match self.files.get(path) {
            Some(content) => content.text(),
            None => pristine.read(path),
        }
    }

    /// The identity of the series for a key.
    pub fn identity(&self) -> String {
        self.patches.iter().map(Hash::as_str).collect::<Vec<_>>().join(" ")
    }
}

/// A tree with a series laid over it, for who only reads.
#[derive(Debug, Clone, Copy)]
pub struct Patched<'a> {
    /// The tree.
    pub pristine: &'a Pristine,
    /// The series.
    pub series: &'a Overlay,
}

impl TreeFiles for Patched<'_> {
    fn read(&self, path: &str) -> Option<String> {
        let size = |content: &Content| match content {
            Content::File { bytes, .. } => bytes.len() as u64,
            Content::Deleted => 0,
        };
        match self.series.get(path).or_else(|| self.pristine.edits.get(path)) {
            Some(content) if size(content) > limits::TREE_FILE_BYTES => None,
            Some(content) => content.text(),
            None => TreeFolder::new(self.pristine.path.clone()).read(path),
        }
    }

    fn files(&self, folder: &str, depth: usize) -> Vec<String> {
        let base = TreeFolder::new(self.pristine.path.clone()).files(folder, depth);
        let mut found: BTreeSet<String> = base.into_iter().collect();
        for (path, content) in self.pristine.edits.files().chain(self.series.files()) {
            let below = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
            if below.is_none_or(|rest| rest.matches('/').count() > depth) {
                continue;
            }
            match content {
                Content::File { .. } => found.insert(path.to_owned()),
                Content::Deleted => found.remove(path),
            };
        }
        found.into_iter().collect()
    }
}

/// Applies `patches` to the pristine tree of the kernel `what`.
pub async fn apply(
    shop: &Workshop<'_>,
    what: &str,
    pristine: &Pristine,
    patches: &[Patch],
) -> Result<Overlay, Trouble> {
    let timer = StageTimer::start(&shop.ctx.events, Stage::Patch, what);
    let applied = apply_in_order(shop, pristine, patches).await;
    timer.end(applied.is_ok());
    applied
}

async fn apply_in_order(
    shop: &Workshop<'_>,
    pristine: &Pristine,
    patches: &[Patch],
) -> Result<Overlay, Trouble> {
    let scratch = shop.store.scratch("series-")?;
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree)?;
    let mut touched: BTreeSet<String> = BTreeSet::new();
    let mut hashes = Vec::new();
    for (index, patch) in patches.iter().enumerate() {
        let label = format!("patch {}/{} ({})", index + 1, patches.len(), patch.name());
        let failed =
            |detail: String| Trouble::from(Cause::PatchFailed { detail: format!("{label}: {detail}") });
        let text = patch.read().map_err(|error| failed(error.to_string()))?;
        let inspected = inspect::inspect(&text).map_err(|error| failed(error.to_string()))?;
        hashes.push(Hash::of(text.as_bytes()));
        for file in inspected.paths() {
            if touched.insert(file.to_owned()) {
                copy_in(pristine, &tree, file)?;
            }
        }
        // The very bytes that were inspected and hashed are the ones that are applied.
        let patch = scratch.path().join("patch");
        fs::write(&patch, &text)?;
        if let Err(error) = git_apply(&tree, &patch, &[]).output(shop.ctx).await {
            let ProcessError::Failed { stderr, .. } = &error else { return Err(error.into()) };
            if broken("patch-applies") {
                continue;
            }
            let reverse = git_apply(&tree, &patch, &["--reverse", "--check"]).output(shop.ctx).await;
            return Err(failed(explain(stderr, &inspected, reverse.is_ok())));
        }
    }
    let mut files = BTreeMap::new();
    for path in touched {
        let patched = tree.join(&path);
        let content = match fs::read(&patched) {
            Ok(bytes) => {
                let executable = fs::metadata(&patched)?.permissions().mode() & 0o100 != 0;
                Content::File { bytes, executable }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Content::Deleted,
            Err(error) => return Err(error.into()),
        };
        files.insert(path, content);
    }
    Ok(Overlay { files, patches: hashes })
}

fn copy_in(pristine: &Pristine, tree: &Path, file: &str) -> Result<(), Trouble> {
    let refuse = |detail: String| Err(Cause::PatchFailed { detail }.into());
    let (from, to) = (pristine.path.join(file), tree.join(file));
    if let Some(edited) = pristine.edits.get(file) {
        let Content::File { bytes, executable } = edited else { return Ok(()) };
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&to, bytes)?;
        let mode = if *executable { 0o755 } else { 0o644 };
        return Ok(fs::set_permissions(&to, std::fs::Permissions::from_mode(mode))?);
    }
    // A link in the tree may lead anywhere. git would refuse to go through one, but the copies that
    // it is given have none.
    let folders = Path::new(file).ancestors().skip(1);
    if let Some(link) = folders.filter(|folder| pristine.path.join(folder).is_symlink()).last() {
        return refuse(format!("{file} is beyond a symbolic link of this tree, {}", link.display()));
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    match std::fs::symlink_metadata(&from) {
        Ok(meta) if meta.is_file() => fs::copy(&from, &to).map(|_| ()).map_err(Trouble::from),
        Ok(_) => refuse(format!("{file} is not a plain file in this tree")),
        // A file that the patch creates, or one that it misses: git says which.
        Err(_) => Ok(()),
    }
}

/// `git apply` with no repository, no configuration and no fuzz.
fn git_apply(tree: &Path, patch: &Path, args: &[&str]) -> Cmd {
    Cmd::new("git")
        .args(["-c", "core.hooksPath=/dev/null", "apply", "--whitespace=nowarn"])
        .args(args)
        .arg("--")
        .arg(patch)
        .dir(tree)
        .env("GIT_CEILING_DIRECTORIES", tree.parent().unwrap_or(tree))
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
}

/// git's words with the hunk named and a guess that helps.
fn explain(stderr: &str, inspected: &Inspected, applied_already: bool) -> String {
    let mut text = String::from("does not apply");
    for line in stderr.lines().filter_map(|line| line.strip_prefix("error: ")).take(10) {
        text.push_str("\n  ");
        match line.strip_prefix("patch failed: ").and_then(|rest| rest.rsplit_once(':')) {
            Some((file, at)) => {
                text.push_str(&format!("{file}: line {at}"));
                if let Some(hunk) = inspected.hunk_at(file, at.parse().unwrap_or(0)) {
                    text.push_str(&format!(", hunk {} of {}: {}", hunk.number, hunk.of, hunk.header));
                }
            }
            None => text.push_str(line),
        }
    }
    if applied_already {
        text.push_str("\n  the same change is in the tree already: is the series applied twice?");
    }
    text
}

#[cfg(test)]
mod tests;
