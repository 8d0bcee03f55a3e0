//! A kernel's source, unpacked once and kept pristine.
//!
//! Whatever it comes from, it ends as a folder in the cache that is named by its content and
//! never written to. A digest over names, sizes and times says before each use whether somebody
//! did write to it; then it is made again, said aloud.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use rustix::fs::FileType;
use sha2::{Digest, Sha256};

use super::series::Overlay;
use super::snapshot;
use super::tree::ended_by_itself;
use super::{StageTimer, Trouble, Workshop, cached, check_disk};
use crate::broken::broken;
use crate::limits;
use crate::model::{Cause, Progress, RunEvent, Stage};
use crate::plan::files::{Kernel, Source};
use crate::plan::tools::debian_tarball;
use crate::process::{Cmd, ProcessError, Stream};
use crate::store::Hash;

/// An untouched source tree.
#[derive(Debug, Clone)]
pub struct Pristine {
    /// What it is, by content: the hash of the archive, the folder or the commit.
    pub id: Hash,
    /// Where it lies; of a user's tree, what it was when the work tree was made.
    pub path: PathBuf,
    /// What `path` is, by content.
    pub(super) base: Hash,
    /// In what a user's tree differs from that by now.
    pub(super) edits: Arc<Overlay>,
    /// What is known of a user's tree.
    pub tree: Option<Arc<TreeState>>,
}

impl Pristine {
    /// The tree with a series applied, for who builds without a work tree.
    pub fn with(&self, series: &Overlay) -> Pristine {
        if series.is_empty() {
            return self.clone();
        }
        let id = Hash::of(format!("{} with {}", self.id, series.identity()).as_bytes());
        Pristine { id, edits: Arc::new(self.edits.then(series)), ..self.clone() }
    }
}

/// What is known of a user's tree beside its content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeState {
    /// The commit that is checked out, or the last one of a range; none where there is no git.
    pub commit: Option<String>,
    /// Of a range, the commit that its series stands on.
    pub base: Option<String>,
    /// In what the source differs from `commit`, in words; none if in nothing.
    pub dirty: Option<String>,
    /// Of a range, what the work tree has beside commits, by name: no part of the source.
    pub untested: Option<String>,
}

/// Finds or makes the pristine tree of a kernel.
pub async fn pristine(shop: &Workshop<'_>, kernel: &Kernel) -> Result<Pristine, Trouble> {
    let wrong = |detail: String| Trouble::from(Cause::Source { detail });
    match &kernel.source {
        Source::Debian(package) => {
            let archive = debian_tarball(package.as_str());
            if !archive.exists() {
                return Err(wrong(format!(
                    "there is no {}; the package {package} has it",
                    archive.display()
                )));
            }
            let id = archive_id(shop, &archive, None).map_err(wrong)?;
            unpack(shop, kernel, id, &archive).await
        }
        Source::Tarball { path, sha256 } => {
            let id = archive_id(shop, path, Some(sha256)).map_err(wrong)?;
            unpack(shop, kernel, id, path).await
        }
        Source::Directory(path) => snapshot::snapshot(shop, kernel, path).await,
        Source::Git { repository, revision } => from_git(shop, kernel, repository, revision).await,
    }
}

/// The hash of an archive, remembered by its name, size and time; its published sum is checked.
fn archive_id(shop: &Workshop<'_>, archive: &Path, sha256: Option<&str>) -> Result<Hash, String> {
    let meta = fs::metadata(archive).map_err(|error| error.to_string())?;
    let stamp = format!(
        "archive:{}:{}:{}:{}:{}:{}",
        archive.display(),
        meta.len(),
        meta.ino(),
        meta.mtime(),
        meta.mtime_nsec(),
        sha256.unwrap_or_default()
    );
    let stamp = Hash::of(stamp.as_bytes());
    if let Some(known) = shop.store.fact(&stamp) {
        return Ok(Hash::of(known.as_bytes()));
    }
    let mut file = fs::File::open(archive).map_err(|error| error.to_string())?;
    let (mut content, mut sum) = (blake3::Hasher::new(), Sha256::new());
    let mut buf = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buf).map_err(|error| error.to_string())?;
        if n == 0 {
            break;
        }
        content.update(&buf[..n]);
        if sha256.is_some() {
            sum.update(&buf[..n]);
        }
    }
    if let Some(expected) = sha256 {
        let found: String = sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if found != expected && !broken("archive-sum") {
            return Err(format!(
                "{} has the SHA-256 {found}, and kernel.yaml says {expected}",
                archive.display()
            ));
        }
    }
    let content = content.finalize().to_hex().to_string();
    shop.store.remember(&stamp, &content).map_err(|error| error.to_string())?;
    Ok(Hash::of(content.as_bytes()))
}

async fn unpack(shop: &Workshop<'_>, kernel: &Kernel, id: Hash, archive: &Path) -> Result<Pristine, Trouble> {
    let extract = async |into: &Path| {
        let most = (limits::UNPACKED_BYTES, limits::UNPACKED_FILES);
        extract_bounded(shop, kernel, archive, into, most).await
    };
    make_tree(shop, kernel, id, extract).await
}

/// tar tells of each so many records of 10 KiB that it has read, decompressed.
const CHECKPOINT_RECORDS: u64 = 1024;

/// Unpacks an archive that somebody else made, up to so many bytes and files.
async fn extract_bounded(
    shop: &Workshop<'_>,
    kernel: &Kernel,
    archive: &Path,
    into: &Path,
    (most_bytes, most_files): (u64, u64),
) -> Result<(), Trouble> {
    let wrong = |what: String| {
        let detail = format!("{} {what}", archive.display());
        Trouble::from(Cause::Source { detail })
    };
    let (files, bytes) = (Cell::new(0u64), Cell::new(0u64));
    let mut told = std::time::Instant::now();
    // tar strips a leading `/`, refuses `..`, and makes links last, so that nothing is
    // written through one.
    let tar = Cmd::new("tar")
        .args(["--extract", "--verbose", "--strip-components=1", "--no-same-owner", "--no-same-permissions"])
        .arg(format!("--checkpoint={CHECKPOINT_RECORDS}"))
        .arg("--checkpoint-action=echo=unpacked")
        .arg("--file")
        .arg(archive)
        .arg("--directory")
        .arg(into)
        .deadline(limits::UNPACK_DEADLINE);
    let mut words = crate::process::Tail::new(limits::QEMU_STDERR_BYTES);
    let mut line = Vec::new();
    let ended = tar.stream(shop.ctx, |stream, said| match stream {
        Stream::Out => {
            files.set(files.get() + said.iter().filter(|&&b| b == b'\n').count() as u64);
            if told.elapsed() >= limits::PROGRESS_EVERY {
                told = std::time::Instant::now();
                shop.ctx.events.send(RunEvent::StageProgress {
                    stage: Stage::Unpack,
                    what: kernel.name.to_string(),
                    progress: Progress { done: files.get(), total: None },
                });
            }
        }
        Stream::Err => {
            for part in said.split_inclusive(|&b| b == b'\n') {
                line.extend_from_slice(part);
                if line.ends_with(b": unpacked\n") {
                    bytes.set(bytes.get() + CHECKPOINT_RECORDS * 10 * 1024);
                } else if line.ends_with(b"\n") {
                    words.push(&line);
                } else {
                    continue;
                }
                line.clear();
            }
        }
    });
    let too_much = || !broken("archive-size") && (bytes.get() > most_bytes || files.get() > most_files);
    let stop = async {
        while !too_much() {
            tokio::time::sleep(limits::PROGRESS_EVERY).await;
        }
    };
    // What is dropped here in mid-way is ended with its group.
    let status = tokio::select! {
        status = ended => Some(status?),
        () = stop => None,
    };
    let Some(status) = status.filter(|_| !too_much()) else {
        let mib = most_bytes >> 20;
        return Err(wrong(format!(
            "unpacks to more than {mib} MiB or {most_files} files: no kernel has that"
        )));
    };
    if !status.success() {
        return Err(wrong(format!("does not unpack: {}", words.text().trim())));
    }
    Ok(())
}

async fn from_git(
    shop: &Workshop<'_>,
    kernel: &Kernel,
    repository: &str,
    revision: &str,
) -> Result<Pristine, Trouble> {
    let here = Path::new(repository);
    if here.is_absolute() && here.join(".git").exists() {
        return snapshot::commit(shop, kernel, here, revision).await;
    }
    let wrong = |detail: String| Trouble::from(Cause::Source { detail });
    let mirror = shop.store.place("git", Hash::of(repository.as_bytes()).as_str());
    let _lock = shop.store.lock(shop.ctx, &format!("git-{}", Hash::of(repository.as_bytes()))).await?;
    let git = |args: &[&str]| {
        // No tidying up behind our back: git does it in a process that leaves its group.
        let git = Cmd::new("git").args(["-c", "gc.auto=0", "--git-dir"]).arg(&mirror);
        git.args(args).deadline(limits::UNPACK_DEADLINE)
    };
    fs::create_dir_all(&mirror)?;
    forget_locks(&mirror)?;
    // Also where there is one: it may have been cut off in the middle of its making.
    git(&["init", "--quiet", "--bare"]).output(shop.ctx).await?;
    let whole_id = revision.len() == 40 && revision.bytes().all(|b| b.is_ascii_hexdigit());
    let known = |rev: String| async move {
        let spec = format!("{rev}^{{commit}}");
        let output =
            git(&["rev-parse", "--verify", "--quiet", "--end-of-options", &spec]).output(shop.ctx).await;
        // One that was cut off says nothing of the repository.
        let answered = ended_by_itself(&output);
        match output {
            Ok(output) => Ok(Some(output.text().trim().to_owned())),
            Err(_) if answered => Ok(None),
            Err(error) => Err(Trouble::from(error)),
        }
    };
    let mut commit = if whole_id { known(revision.to_owned()).await? } else { None };
    if commit.is_none() {
        let fetched =
            git(&["fetch", "--quiet", "--no-tags", "--depth=1", "--", repository, revision]).output(shop.ctx);
        fetched.await.map_err(|error| match error {
            ProcessError::Interrupted { .. } => error.into(),
            other => wrong(format!("{revision} of {repository}: {other}")),
        })?;
        commit = known("FETCH_HEAD".to_owned()).await?;
    }
    let commit = commit.ok_or_else(|| wrong(format!("{repository} has no commit {revision}")))?;
    let extract = async |into: &Path| -> Result<(), Trouble> {
        let archive = into.with_extension("tar");
        git(&["archive", "--format=tar", "--output"]).arg(&archive).arg(&commit).output(shop.ctx).await?;
        extract_plain(shop, &archive, into).await
    };
    make_tree(shop, kernel, Hash::of(commit.as_bytes()), extract).await
}

/// A git that was killed leaves its lock files, and no other would ever take them for its own. Ours,
/// which is held here, says that whoever made them is dead.
fn forget_locks(mirror: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(mirror)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "lock") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

pub(super) async fn extract_plain(shop: &Workshop<'_>, archive: &Path, into: &Path) -> Result<(), Trouble> {
    let tar = Cmd::new("tar").args(["--extract", "--no-same-owner", "--file"]).arg(archive);
    tar.arg("--directory").arg(into).deadline(limits::UNPACK_DEADLINE).output(shop.ctx).await?;
    fs::remove_file(archive)?;
    Ok(())
}

/// Finds the tree in the cache, or fills a new one and publishes it by one rename.
pub(super) async fn make_tree(
    shop: &Workshop<'_>,
    kernel: &Kernel,
    id: Hash,
    fill: impl AsyncFn(&Path) -> Result<(), Trouble>,
) -> Result<Pristine, Trouble> {
    let what = kernel.name.to_string();
    let place = shop.store.place("source", id.as_str());
    let pristine = Pristine::new(id, place.join("tree"));
    if place.join("digest").is_file() {
        shop.store.used(&place.join("digest"));
        cached(&shop.ctx.events, Stage::Unpack, &what);
        return Ok(pristine);
    }
    let _lock = shop.store.lock(shop.ctx, &format!("source-{}", pristine.id)).await?;
    if place.join("digest").is_file() {
        shop.store.used(&place.join("digest"));
        cached(&shop.ctx.events, Stage::Unpack, &what);
        return Ok(pristine);
    }
    check_disk(shop.store.root())?;
    let timer = StageTimer::start(&shop.ctx.events, Stage::Unpack, &what);
    let scratch = shop.store.scratch("source-")?;
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree)?;
    let made = fill(&tree).await;
    timer.end(made.is_ok());
    made?;
    if !tree.join("Kbuild").is_file() {
        let detail = format!("what {what} unpacks to is not a kernel tree: it has no Kbuild at its top");
        return Err(Cause::Source { detail }.into());
    }
    let facts = TreeFacts::read(&tree).await?;
    if let Some(odd) = facts.odd() {
        let detail = format!("{} in the source of {what} is neither file, folder nor link", odd.display());
        return Err(Cause::Source { detail }.into());
    }
    fs::write(scratch.path().join("digest"), facts.digest())?;
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent)?;
    }
    if place.exists() {
        // A tree without its digest: of another version of this tool, or taken apart by hand.
        shop.set_aside(&place, &format!("source-{}", pristine.id))?;
    }
    fs::rename(scratch.keep(), &place)?;
    Ok(pristine)
}

impl Pristine {
    /// The tree in a folder.
    pub fn new(id: Hash, path: PathBuf) -> Pristine {
        Pristine { base: id.clone(), id, path, edits: Arc::default(), tree: None }
    }

    /// The facts of the tree if nobody wrote to it since it was unpacked.
    pub async fn intact(&self) -> std::io::Result<Option<TreeFacts>> {
        let place = self.path.parent().unwrap_or(&self.path);
        let expected = match std::fs::read_to_string(place.join("digest")) {
            Ok(expected) => expected,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let facts = TreeFacts::read(&self.path).await?;
        Ok(Some(facts).filter(|facts| facts.digest() == expected))
    }

    /// Takes a tree that was written to out of the way, so that it is unpacked again.
    pub fn set_aside(&self, shop: &Workshop<'_>) -> Result<(), Trouble> {
        let place = self.path.parent().unwrap_or(&self.path);
        let bad = shop.set_aside(place, &format!("source-{}", self.id))?;
        shop.ctx.events.note(format!(
            "the pristine source {} was written to: it is unpacked again, the old one is {}",
            place.display(),
            bad.display()
        ));
        Ok(())
    }

    /// Reads a text file of the tree; `None` when there is none, or the path would leave it (a
    /// Kconfig file may source anything).
    pub fn read(&self, path: &str) -> Option<String> {
        if let Some(edited) = self.edits.get(path) {
            return edited.text();
        }
        let stays = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        if !stays {
            return None;
        }
        let file = std::fs::File::open(self.path.join(path)).ok()?;
        let mut text = String::new();
        file.take(limits::TREE_FILE_BYTES).read_to_string(&mut text).ok()?;
        Some(text)
    }
}

/// Name, mode, size and time of every file in a tree, `.git` left out: what changes when somebody
/// writes to it, and what a hard link or `cp --archive` keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFacts(BTreeMap<PathBuf, [i64; 4]>);

impl TreeFacts {
    /// Looks at a tree, on another thread: eighty thousand files take a while, and guests may run.
    pub async fn read(tree: &Path) -> std::io::Result<TreeFacts> {
        let tree = tree.to_owned();
        let facts = tokio::task::spawn_blocking(move || TreeFacts::walk(&tree));
        facts.await.map_err(std::io::Error::other)?
    }

    fn walk(tree: &Path) -> std::io::Result<TreeFacts> {
        let mut facts = BTreeMap::new();
        let mut todo = vec![PathBuf::new()];
        while let Some(folder) = todo.pop() {
            for entry in fs::read_dir(tree.join(&folder))? {
                let entry = entry?;
                let name = folder.join(entry.file_name());
                let meta = entry.metadata()?;
                if meta.is_dir() {
                    if entry.file_name() != ".git" {
                        todo.push(name);
                    }
                    continue;
                }
                facts.insert(
                    name,
                    [i64::from(meta.mode()), meta.len() as i64, meta.mtime(), meta.mtime_nsec()],
                );
            }
        }
        Ok(TreeFacts(facts))
    }

    /// The first file in which two trees differ, those of `but` left out.
    pub fn difference<'a>(&'a self, other: &'a TreeFacts, but: &BTreeSet<String>) -> Option<&'a Path> {
        if broken("tree-facts") {
            return None;
        }
        let counts = |path: &&PathBuf| path.to_str().is_none_or(|path| !but.contains(path));
        let mut all = self.0.keys().chain(other.0.keys()).filter(counts);
        all.find(|path| self.0.get(*path) != other.0.get(*path)).map(PathBuf::as_path)
    }

    /// The first device, pipe or socket: no kernel has one, and whoever reads it may wait for ever.
    fn odd(&self) -> Option<&Path> {
        let kind = |facts: &[i64; 4]| FileType::from_raw_mode(facts[0] as u32);
        let plain = |facts| matches!(kind(facts), FileType::RegularFile | FileType::Symlink);
        self.0.iter().find(|(_, facts)| !plain(facts)).map(|(path, _)| path.as_path())
    }

    /// One hash over all of them.
    fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (path, numbers) in &self.0 {
            hasher.update(path.as_os_str().as_encoded_bytes());
            hasher.update(&[0]);
            for number in numbers {
                hasher.update(&number.to_le_bytes());
            }
        }
        hasher.finalize().to_hex().to_string()
    }
}

#[cfg(test)]
mod tests;
