//! A user's own tree, taken as it is: dirty, built in place, a git work tree or no git at all.
//!
//! It is only ever read. What belongs to its source is git's knowledge (tracked, or untracked and not
//! ignored), asked for with a git folder of our own in the cache: neither the user's configuration
//! nor any program that it names takes part. What the files hold is read by us and hashed; a file
//! whose name, size, times and inode are the same as when it was hashed is not read again.
//!
//! The first copy of a tree is its *base*; later ones are the files in which it differs from that,
//! so that a work tree keeps its objects and only what was edited is compiled.

mod names;
mod range;
mod state;

use std::collections::{BTreeMap, HashSet};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::series::{Content, Overlay};
use super::source::{Pristine, TreeState, make_tree};
use super::{StageTimer, Trouble, Workshop};
use crate::broken::broken;
use crate::limits;
use crate::model::{Cause, Stage};
use crate::plan::files::Kernel;
use crate::process::{Cmd, describe};
use crate::store::{Hash, Lock, write_atomic};

use names::Names;
pub use range::{Range, range};

/// What stands at a path of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Item {
    kind: Kind,
    hash: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    File,
    Program,
    Link,
}

/// Every file of a tree by its path.
type Listing = BTreeMap<String, Item>;

/// Mode, size, modification and change time, inode: what changes when somebody writes to a file.
type Stat = [i64; 7];

/// The files of a tree with their facts.
type Stats<'a> = Vec<(&'a String, Stat)>;

/// What was hashed before, and what it was then.
type Seen = BTreeMap<String, (Stat, Item)>;

/// The copy that later ones are compared with.
#[derive(Debug, Serialize, Deserialize)]
struct Base {
    id: Hash,
    listing: Listing,
}

/// What the store keeps of one user's tree.
struct Place {
    tree: PathBuf,
    place: PathBuf,
    /// The user's repository, if the tree is the top of one.
    repository: Option<Repository>,
    _lock: Lock,
}

/// Where the user's git has what; of a linked work tree the two differ.
#[derive(Debug)]
struct Repository {
    own: PathBuf,
    common: PathBuf,
}

fn wrong(tree: &Path, what: impl std::fmt::Display) -> Trouble {
    Cause::Source { detail: format!("{}: {what}", tree.display()) }.into()
}

/// Takes a user's tree as it is now.
pub(super) async fn snapshot(shop: &Workshop<'_>, kernel: &Kernel, tree: &Path) -> Result<Pristine, Trouble> {
    let place = Place::open(shop, tree).await?;
    if !place.tree.join("Kbuild").is_file() {
        return Err(wrong(tree, "not a kernel tree: it has no Kbuild"));
    }
    let names = place.list(shop).await?;
    let unlooked = names.unlooked.clone();
    let seen: Seen = place.recall("seen");
    let timer = StageTimer::start(&shop.ctx.events, Stage::Read, kernel.name.as_str());
    let root = place.tree.clone();
    let scanned = tokio::task::spawn_blocking(move || scan(&root, &names, &seen)).await;
    let scanned = scanned.map_err(std::io::Error::other)?;
    timer.end(scanned.is_ok());
    let Scanned { listing, seen, left_out } = scanned.map_err(|what| wrong(tree, what))?;
    place.remember("seen", &seen)?;
    tell(shop, tree, &left_out, &unlooked.absent);
    let id = identity(&listing);
    let base: Option<Base> = place.recall("base");
    let base = base.filter(|base| shop.store.place("source", base.id.as_str()).join("digest").is_file());
    let edits = base.as_ref().and_then(|base| differing(&base.listing, &listing));
    let edits = edits.filter(|edits| size_of(&place.tree, edits) <= limits::TREE_EDITS_BYTES);
    let pristine = match (base, edits) {
        (Some(base), Some(edits)) => {
            let edits = read_edits(&place.tree, &listing, edits).map_err(|what| wrong(tree, what))?;
            let base = make_tree(shop, kernel, base.id, async |_: &Path| {
                Err(wrong(tree, "its copy is gone from the cache: run the same again"))
            });
            Pristine { id, edits: Arc::new(edits), ..base.await? }
        }
        _ => {
            let fill = async |into: &Path| {
                let (from, into, listing) = (place.tree.clone(), into.to_owned(), listing.clone());
                let copied = tokio::task::spawn_blocking(move || copy(&from, &into, &listing)).await;
                copied.map_err(std::io::Error::other)?.map_err(|what| wrong(tree, what))
            };
            let made = make_tree(shop, kernel, id, fill).await?;
            place.remember("base", &Base { id: made.id.clone(), listing })?;
            made
        }
    };
    let state = place.state(shop, &unlooked).await?;
    Ok(Pristine { tree: Some(Arc::new(state)), ..pristine })
}

/// Says what of a tree is not in its snapshot.
fn tell(shop: &Workshop<'_>, tree: &Path, left_out: &[String], absent: &[String]) {
    /// More than this nobody reads.
    const NAMED_MAX: usize = 8;
    let tree = tree.display();
    if !left_out.is_empty() {
        let mut files = left_out[..left_out.len().min(NAMED_MAX)].join(", ");
        if left_out.len() > NAMED_MAX {
            files.push_str(&format!(", {} more", left_out.len() - NAMED_MAX));
        }
        let why = "not tracked by git, and larger than any source file of a kernel";
        shop.ctx.events.note(format!("{tree}: left out {files}: {why}"));
    }
    if let Some(first) = absent.first() {
        let n = absent.len();
        shop.ctx.events.note(format!(
            "{tree} is a sparse checkout: {n} files of its commit are not there, {first} the first of them, \
             and what needs them does not build (`git sparse-checkout disable` brings them)"
        ));
    }
}

/// A commit of a repository on this machine, without a copy of its history.
pub(super) async fn commit(
    shop: &Workshop<'_>,
    kernel: &Kernel,
    tree: &Path,
    revision: &str,
) -> Result<Pristine, Trouble> {
    let place = Place::open(shop, tree).await?;
    let commit = place.resolve(shop, revision).await?;
    let extract = async |into: &Path| -> Result<(), Trouble> {
        let archive = into.with_extension("tar");
        let archived = place.git(&["archive", "--format=tar", "--output"]).arg(&archive).arg(&commit);
        archived.deadline(limits::UNPACK_DEADLINE).output(shop.ctx).await?;
        super::source::extract_plain(shop, &archive, into).await
    };
    let pristine = make_tree(shop, kernel, Hash::of(commit.as_bytes()), extract).await?;
    let state = TreeState { commit: Some(commit), ..TreeState::default() };
    Ok(Pristine { tree: Some(Arc::new(state)), ..pristine })
}

impl Place {
    /// Locks what the store keeps of a tree, and makes it anew from what the tree is now.
    async fn open(shop: &Workshop<'_>, tree: &Path) -> Result<Place, Trouble> {
        let real = fs::canonicalize(tree)?;
        let name = Hash::of(real.as_os_str().as_encoded_bytes());
        let lock = shop.store.lock(shop.ctx, &format!("snapshot-{name}")).await?;
        let place = shop.store.place("snapshot", name.as_str());
        let repository = Repository::of(&real).map_err(|what| wrong(tree, what))?;
        let place = Place { tree: real, place, repository, _lock: lock };
        let git = place.git_folder();
        fs::create_dir_all(&place.place)?;
        // Anew each time: nothing of an earlier run that was cut off stays.
        if git.exists() {
            fs::remove_dir_all(&git)?;
        }
        let init = Cmd::new("git").args(["init", "--quiet", "--bare", "--template=", "--"]).arg(&git);
        let init = init.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        init.output(shop.ctx).await?;
        fs::create_dir_all(git.join("info"))?;
        fs::write(
            git.join("info/attributes"),
            "* -text -ident -filter -working-tree-encoding -export-ignore -export-subst\n",
        )?;
        if let Some(Repository { own, common }) = &place.repository {
            let objects = common.join("objects");
            let mut line = objects.as_os_str().as_encoded_bytes().to_vec();
            line.push(b'\n');
            fs::create_dir_all(git.join("objects/info"))?;
            fs::write(git.join("objects/info/alternates"), line)?;
            copy_if_there(&common.join("info/exclude"), &git.join("info/exclude"))?;
            // Where a clone's history ends: git would look for the parents of these commits.
            copy_if_there(&common.join("shallow"), &git.join("shallow"))?;
            copy_if_there(&own.join("index"), &git.join("index"))?;
            for entry in fs::read_dir(own)? {
                // A part of an index that is kept in two files.
                let entry = entry?;
                if entry.file_name().to_string_lossy().starts_with("sharedindex.") {
                    copy_if_there(&entry.path(), &git.join(entry.file_name()))?;
                }
            }
        }
        Ok(place)
    }

    fn git_folder(&self) -> PathBuf {
        self.place.join("git")
    }

    /// A git that works on the user's tree with a git folder of ours, and reads no configuration but
    /// that one's.
    fn git(&self, args: &[&str]) -> Cmd {
        self.git_in(&self.git_folder(), args)
    }

    fn git_in(&self, folder: &Path, args: &[&str]) -> Cmd {
        let path = |flag: &str, path: &Path| {
            let mut word = std::ffi::OsString::from(flag);
            word.push(path);
            word
        };
        let quiet = ["core.fsmonitor=false", "core.hooksPath=/dev/null", "core.untrackedCache=false"];
        // A user's own list of what is ignored would leave sources out, unsaid.
        let files = ["core.excludesFile=/dev/null", "core.attributesFile=/dev/null"];
        // With this git looks at files that it is to skip and that are there.
        let sparse = ["core.sparseCheckout=true"];
        let git = Cmd::new("git").args(
            quiet.into_iter().chain(files).chain(sparse).chain(["gc.auto=0"]).flat_map(|set| ["-c", set]),
        );
        git.arg(path("--git-dir=", folder))
            .arg(path("--work-tree=", &self.tree))
            .args(args)
            .dir(&self.tree)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
    }

    /// The commit that a name stands for in the user's repository.
    async fn resolve(&self, shop: &Workshop<'_>, name: &str) -> Result<String, Trouble> {
        let none = || wrong(&self.tree, format_args!("it has no commit {}", name.escape_debug()));
        self.resolve_if_any(shop, name).await?.ok_or_else(none)
    }

    /// The commit that a name stands for; none if for none.
    async fn resolve_if_any(&self, shop: &Workshop<'_>, name: &str) -> Result<Option<String>, Trouble> {
        let Some(repository) = &self.repository else {
            return Err(wrong(&self.tree, "it is no git repository, so it has no commits"));
        };
        let args = ["rev-parse", "--verify", "--quiet", "--end-of-options"];
        // Only the user's own folder knows the names. This looks one up, and starts nothing.
        self.ask(shop, self.git_in(&repository.own, &args).arg(format!("{name}^{{commit}}"))).await
    }

    /// What git answers: something, or no (status 1, and any other of which it says nothing). A git
    /// that was cut off, or has something to complain of, has not answered.
    async fn ask(&self, shop: &Workshop<'_>, git: Cmd) -> Result<Option<String>, Trouble> {
        let argv = git.display();
        let said = git.status(shop.ctx).await?;
        match said.status.code() {
            Some(0) => Ok(Some(said.text().trim().to_owned())),
            _ if broken("git-no-answer") => Ok(None),
            Some(1) => Ok(None),
            Some(_) if said.stderr.trim().is_empty() => Ok(None),
            _ => Err(self.no_answer(&argv, said.status, &said.stderr)),
        }
    }

    fn no_answer(&self, argv: &str, status: ExitStatus, stderr: &str) -> Trouble {
        let status = describe(status);
        wrong(
            &self.tree,
            format_args!("`{argv}` {status}: {}", stderr.trim()).to_string().trim_end_matches(": "),
        )
    }

    fn recall<T: Default + serde::de::DeserializeOwned>(&self, name: &str) -> T {
        let bytes = std::fs::read(self.place.join(name)).unwrap_or_default();
        // What cannot be read is found out again.
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    fn remember(&self, name: &str, what: &impl Serialize) -> Result<(), Trouble> {
        let bytes = serde_json::to_vec(what).map_err(std::io::Error::from)?;
        Ok(write_atomic(&self.place.join(name), &bytes)?)
    }
}

impl Repository {
    /// The repository whose top is `tree`: with a folder `.git`, or a file that says where it is.
    fn of(tree: &Path) -> Result<Option<Repository>, String> {
        let dot = tree.join(".git");
        let Ok(meta) = std::fs::metadata(&dot) else { return Ok(None) };
        let own = match meta.is_dir() {
            true => dot,
            false => {
                let text = read_line(&dot).ok_or("its .git is no file of git's")?;
                let path = text.strip_prefix("gitdir: ").ok_or("its .git does not say where it is")?;
                tree.join(path)
            }
        };
        let common = match read_line(&own.join("commondir")) {
            Some(path) => own.join(path),
            None => own.clone(),
        };
        if !common.join("objects").is_dir() {
            return Err(format!("{} is no repository: it has no objects", common.display()));
        }
        let real = |path: PathBuf| std::fs::canonicalize(&path).map_err(|error| error.to_string());
        Ok(Some(Repository { own: real(own)?, common: real(common)? }))
    }
}

fn read_line(path: &Path) -> Option<String> {
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(limits::INPUT_FILE_BYTES).read_to_string(&mut text).ok()?;
    text.lines().next().map(str::to_owned)
}

/// Copies a file with its time: git takes an entry as old as its index for one that may have changed
/// unseen.
fn copy_if_there(from: &Path, to: &Path) -> std::io::Result<()> {
    let modified = match std::fs::metadata(from) {
        Ok(meta) if meta.is_file() => meta.modified()?,
        _ => return Ok(()),
    };
    let bytes = fs::read(from)?;
    fs::write(to, bytes)?;
    std::fs::File::options().write(true).open(to)?.set_modified(modified)
}

/// What was found of a tree's files.
struct Scanned {
    listing: Listing,
    /// What need not be read again.
    seen: Seen,
    /// The files that were not taken, each with its size.
    left_out: Vec<String>,
}

/// Hashes every file of a tree, but for those that are as they were when they were hashed before.
fn scan(tree: &Path, names: &Names, seen: &Seen) -> Result<Scanned, String> {
    // What was written as lately as this may be written again within one tick of the clock.
    let settled = SystemTime::now() - RACY;
    let settled = settled.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
    let mut scanned = Scanned { listing: Listing::new(), seen: Seen::new(), left_out: Vec::new() };
    let (stats, left_out) = stats(tree, names)?;
    scanned.left_out = left_out;
    for (path, stat) in stats {
        let known = seen.get(path).filter(|(then, _)| *then == stat || broken("snapshot-stat"));
        let item = match known {
            Some((_, item)) => item.clone(),
            None => {
                match read(&tree.join(path), stat[0] as u32).map_err(|error| format!("{path}: {error}"))? {
                    Some(item) => item,
                    None => continue,
                }
            }
        };
        if stat[2].max(stat[4]) < settled {
            scanned.seen.insert(path.clone(), (stat, item.clone()));
        }
        scanned.listing.insert(path.clone(), item);
    }
    Ok(scanned)
}

/// The facts of all files before any is read, and those that are left out: a disk image or a core dump
/// that lies about in a tree is no source, and to read it would take longer than a build.
fn stats<'a>(tree: &Path, names: &'a Names) -> Result<(Stats<'a>, Vec<String>), String> {
    let (mut found, mut left_out) = (Stats::new(), Vec::new());
    let mut folders: HashSet<&Path> = HashSet::new();
    let mut bytes = 0;
    for path in &names.paths {
        let Some(stat) = stat(tree, Path::new(path), &mut folders)? else { continue };
        let size = stat[1] as u64;
        let is_large = size > limits::TREE_UNTRACKED_BYTES && !broken("untracked-size");
        if is_large && names.untracked.contains(path) {
            left_out.push(with_size(path, size));
            continue;
        }
        bytes += size;
        found.push((path, stat));
    }
    if bytes > limits::UNPACKED_BYTES {
        found.sort_by_key(|(_, stat)| std::cmp::Reverse(stat[1]));
        let largest: Vec<String> =
            found.iter().take(3).map(|(path, stat)| with_size(path, stat[1] as u64)).collect();
        return Err(format!(
            "it has more than {} MiB of files that neither .gitignore nor .git/info/exclude names; the \
             largest are {}",
            limits::UNPACKED_BYTES >> 20,
            largest.join(", ")
        ));
    }
    Ok((found, left_out))
}

fn with_size(path: &str, bytes: u64) -> String {
    format!("{path} ({} MiB)", bytes >> 20)
}

/// How old a file's last change must be for its times to tell the next one: file systems count in
/// ticks of up to two seconds.
const RACY: Duration = Duration::from_secs(3);

/// The facts of a plain file or link that is not beyond a link; none of what is not there.
fn stat<'a>(tree: &Path, path: &'a Path, folders: &mut HashSet<&'a Path>) -> Result<Option<Stat>, String> {
    let above: Vec<&Path> =
        path.ancestors().skip(1).take_while(|path| !path.as_os_str().is_empty()).collect();
    for folder in above.into_iter().rev() {
        if folders.contains(folder) {
            continue;
        }
        if !std::fs::symlink_metadata(tree.join(folder)).is_ok_and(|meta| meta.is_dir()) {
            return Ok(None);
        }
        folders.insert(folder);
    }
    let meta = match std::fs::symlink_metadata(tree.join(path)) {
        Ok(meta) if meta.is_file() || meta.is_symlink() => meta,
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
    let [mtime, mtime_ns, ctime, ctime_ns] = times;
    Ok(Some([i64::from(meta.mode()), meta.len() as i64, mtime, mtime_ns, ctime, ctime_ns, meta.ino() as i64]))
}

/// Kind and hash of a file; none if it is gone.
fn read(path: &Path, mode: u32) -> std::io::Result<Option<Item>> {
    use rustix::fs::FileType;
    let kind = match FileType::from_raw_mode(mode) {
        FileType::Symlink => Kind::Link,
        _ if mode & 0o100 != 0 => Kind::Program,
        _ => Kind::File,
    };
    let read = match kind {
        Kind::Link => std::fs::read_link(path).map(|to| hash(to.as_os_str().as_encoded_bytes())),
        Kind::File | Kind::Program => std::fs::File::open(path).and_then(hash_of),
    };
    match read {
        Ok(hash) => Ok(Some(Item { kind, hash })),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The hash of what is still to be read, however large.
fn hash_of(from: impl Read) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(from)?;
    Ok(hasher.finalize().to_hex().to_string())
}

fn hash(content: &[u8]) -> String {
    blake3::hash(content).to_hex().to_string()
}

fn identity(listing: &Listing) -> Hash {
    let mut hasher = blake3::Hasher::new();
    for (path, Item { kind, hash }) in listing {
        hasher.update(path.as_bytes());
        hasher.update(&[0, *kind as u8]);
        hasher.update(hash.as_bytes());
    }
    Hash::of(hasher.finalize().to_hex().as_bytes())
}

/// The paths in which two listings differ; none if they are too many, or not to be laid over.
fn differing(base: &Listing, now: &Listing) -> Option<Vec<String>> {
    let all: std::collections::BTreeSet<&String> = base.keys().chain(now.keys()).collect();
    let differ: Vec<&String> = all.into_iter().filter(|path| base.get(*path) != now.get(*path)).collect();
    let is_link = |item: Option<&Item>| item.is_some_and(|item| item.kind == Kind::Link);
    let link = differ.iter().any(|path| is_link(base.get(*path)) || is_link(now.get(*path)));
    let few = differ.len() <= limits::TREE_EDITS && !link;
    few.then(|| differ.into_iter().cloned().collect())
}

/// How many bytes some files have now.
fn size_of(tree: &Path, paths: &[String]) -> u64 {
    let size = |path: &String| std::fs::symlink_metadata(tree.join(path)).map_or(0, |meta| meta.len());
    paths.iter().map(size).sum()
}

/// Reads what differs, as it was when it was hashed.
fn read_edits(tree: &Path, listing: &Listing, paths: Vec<String>) -> Result<Overlay, String> {
    let mut files = BTreeMap::new();
    for path in paths {
        let content = match listing.get(&path) {
            None => Content::Deleted,
            Some(item) => {
                let bytes = std::fs::read(tree.join(&path)).map_err(|error| format!("{path}: {error}"))?;
                same(&path, item, &hash(&bytes))?;
                Content::File { bytes, executable: item.kind == Kind::Program }
            }
        };
        files.insert(path, content);
    }
    Ok(Overlay::of(files))
}

/// The content of a file must be the one that was hashed before.
fn same(path: &str, item: &Item, hash: &str) -> Result<(), String> {
    match hash == item.hash || broken("snapshot-same") {
        true => Ok(()),
        false => Err(format!("{path} changed while it was read: run the same again")),
    }
}

/// Copies every file of a listing. No hard links: an editor may write in place.
fn copy(tree: &Path, into: &Path, listing: &Listing) -> Result<(), String> {
    let mut made: HashSet<PathBuf> = HashSet::new();
    for (path, item) in listing {
        let target = into.join(path);
        let mut put = || -> std::io::Result<String> {
            if let Some(folder) = target.parent()
                && made.insert(folder.to_owned())
            {
                fs::create_dir_all(folder)?;
            }
            copy_one(&tree.join(path), &target, item.kind)
        };
        let hash = put().map_err(|error| format!("cannot copy {path}: {error}"))?;
        same(path, item, &hash)?;
    }
    Ok(())
}

/// Copies a file or link; returns the hash of what was copied.
fn copy_one(from: &Path, to: &Path, kind: Kind) -> std::io::Result<String> {
    if kind == Kind::Link {
        let target = std::fs::read_link(from)?;
        std::os::unix::fs::symlink(&target, to)?;
        return Ok(hash(target.as_os_str().as_encoded_bytes()));
    }
    let (mut from, mut to) = (fs::File::open(from)?, fs::File::create(to)?);
    let mut hasher = blake3::Hasher::new();
    let mut buf = vec![0; 1 << 16];
    loop {
        let n = from.read(&mut buf)?;
        if n == 0 {
            break;
        }
        hasher.update(&buf[..n]);
        to.write_all(&buf[..n])?;
    }
    if kind == Kind::Program {
        to.set_permissions(std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(hasher.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests;
