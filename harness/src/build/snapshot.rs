//! A user's own tree, taken as it is: dirty, built in place, a git work tree or no git at all.
//!
//! It is only ever read. What belongs to its source is git's knowledge (tracked, or untracked and not
//! ignored), asked for with a git folder of our own in the cache: neither the user's configuration
//! nor any program that it names takes part. What the files hold is read by us and hashed; a file
//! whose name, size, times and inode are the same as when it was hashed is not read again.
//!
//! The first copy of a tree is its *base*; later ones are the files in which it differs from that,
//! so that a work tree keeps its objects and only what was edited is compiled.

mod range;
mod state;

use std::collections::{BTreeMap, HashSet};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
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
use crate::process::{Cmd, Stream, describe};
use crate::store::{Hash, Lock, write_atomic};

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

/// What was hashed before, and what it was then.
type Seen = BTreeMap<String, (Stat, Item)>;

/// The copy that later ones are compared with.
#[derive(Debug, Serialize, Deserialize)]
struct Base {
    id: Hash,
    listing: Listing,
}

/// The sources of Debian's packages ignore all of themselves at the top, since what git tracks there
/// is the packaging alone. This counts before that, for the top alone: what a build leaves there.
const TOP_OF_A_PACKAGE: [&str; 9] =
    ["!/*", "/.*", "/*.a", "/*.o", "/vmlinux*", "/System.map", "/Module.symvers", "/modules.*", "/debian"];

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
    let paths = place.list(shop).await?;
    let seen: Seen = place.recall("seen");
    let timer = StageTimer::start(&shop.ctx.events, Stage::Read, kernel.name.as_str());
    let root = place.tree.clone();
    let scanned = tokio::task::spawn_blocking(move || scan(&root, &paths, &seen)).await;
    let scanned = scanned.map_err(std::io::Error::other)?;
    timer.end(scanned.is_ok());
    let (listing, seen) = scanned.map_err(|what| wrong(tree, what))?;
    place.remember("seen", &seen)?;
    let id = identity(&listing);
    let base: Option<Base> = place.recall("base");
    let base = base.filter(|base| shop.store.place("source", base.id.as_str()).join("digest").is_file());
    let edits = base.as_ref().and_then(|base| differing(&base.listing, &listing));
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
    let state = place.state(shop).await?;
    Ok(Pristine { tree: Some(Arc::new(state)), ..pristine })
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
        let git = Cmd::new("git")
            .args(quiet.into_iter().chain(files).chain(["gc.auto=0"]).flat_map(|set| ["-c", set]));
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

    /// The paths of all source files: what git tracks, and what is there and not ignored.
    async fn list(&self, shop: &Workshop<'_>) -> Result<Vec<String>, Trouble> {
        if self.repository.is_none() && !self.tree.join(".gitignore").is_file() {
            let built = [".config", "include/config", "arch/x86/include/generated"];
            if let Some(trace) = built.iter().find(|trace| self.tree.join(trace).exists()) {
                let what = format!(
                    "it was built in place (it has {trace}), and there is neither git nor a .gitignore to tell \
                     what is its source: `make mrproper` there, or name a clean copy"
                );
                return Err(wrong(&self.tree, what));
            }
        }
        let mut listed = match self.ls_files(shop, &[]).await? {
            Err(_) if self.git_folder().join("index").exists() => {
                fs::remove_file(self.git_folder().join("index"))?;
                let tree = self.tree.display();
                shop.ctx.events.note(format!(
                    "git cannot read a copy of the index of {tree}: what it tracks and yet ignores is left out"
                ));
                self.ls_files(shop, &[]).await??
            }
            other => other?,
        };
        if self.repository.is_none() && !listed.split(|byte| *byte == 0).any(|name| name == b"Kbuild") {
            listed = self.ls_files(shop, &TOP_OF_A_PACKAGE).await??;
        }
        let (mut paths, mut odd) = (Vec::new(), Vec::new());
        for name in listed.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            match std::str::from_utf8(name) {
                Ok(name) if is_plain(name) => paths.push(name.to_owned()),
                _ => odd.push(String::from_utf8_lossy(name).escape_debug().to_string()),
            }
        }
        if let Some(first) = odd.first() {
            let (tree, n) = (self.tree.display(), odd.len());
            shop.ctx.events.note(format!(
                "{tree}: left out {n} that no kernel has (another repository, a strange name): {first}"
            ));
        }
        // A file of a merge that goes on is listed once for each side.
        paths.sort();
        paths.dedup();
        Ok(paths)
    }

    /// What git lists; an error of the inner kind if it does not, and was not cut off in it.
    async fn ls_files(
        &self,
        shop: &Workshop<'_>,
        more: &[&str],
    ) -> Result<Result<Vec<u8>, Trouble>, Trouble> {
        let mut listed = Vec::new();
        let mut words = crate::process::Tail::new(limits::QEMU_STDERR_BYTES);
        let git = self.git(&["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let git = git.args(more.iter().map(|pattern| format!("--exclude={pattern}")));
        let argv = git.display();
        let status = git.deadline(limits::UNPACK_DEADLINE).stream(shop.ctx, |stream, said| match stream {
            Stream::Out => listed.extend_from_slice(said),
            Stream::Err => words.push(said),
        });
        let status = status.await?;
        match status.code() {
            Some(0) => Ok(Ok(listed)),
            Some(_) => Ok(Err(self.no_answer(&argv, status, &words.text()))),
            None => Err(self.no_answer(&argv, status, "")),
        }
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

fn is_plain(name: &str) -> bool {
    let stays = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    stays && !name.ends_with('/') && !name.chars().any(char::is_control)
}

/// Hashes every file of a tree, but for those that are as they were when they were hashed before.
fn scan(tree: &Path, paths: &[String], seen: &Seen) -> Result<(Listing, Seen), String> {
    // What was written as lately as this may be written again within one tick of the clock.
    let settled = SystemTime::now() - RACY;
    let settled = settled.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
    let (mut listing, mut found) = (Listing::new(), Seen::new());
    let mut folders: HashSet<&Path> = HashSet::new();
    let mut bytes = 0;
    for path in paths {
        let Some(stat) = stat(tree, Path::new(path), &mut folders)? else { continue };
        let mode = stat[0] as u32;
        bytes += stat[1] as u64;
        if bytes > limits::UNPACKED_BYTES {
            let most = limits::UNPACKED_BYTES >> 20;
            return Err(format!("it has more than {most} MiB of files that .gitignore does not name"));
        }
        let known = seen.get(path).filter(|(then, _)| *then == stat || broken("snapshot-stat"));
        let item = match known {
            Some((_, item)) => item.clone(),
            None => match read(&tree.join(path), mode).map_err(|error| format!("{path}: {error}"))? {
                Some((kind, content)) => Item { kind, hash: hash(&content) },
                None => continue,
            },
        };
        if stat[2].max(stat[4]) < settled {
            found.insert(path.clone(), (stat, item.clone()));
        }
        listing.insert(path.clone(), item);
    }
    Ok((listing, found))
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

/// Kind and content of a file; none if it is gone.
fn read(path: &Path, mode: u32) -> std::io::Result<Option<(Kind, Vec<u8>)>> {
    use rustix::fs::FileType;
    let read = match FileType::from_raw_mode(mode) {
        FileType::Symlink => {
            std::fs::read_link(path).map(|to| (Kind::Link, to.into_os_string().into_encoded_bytes()))
        }
        _ => std::fs::read(path)
            .map(|bytes| (if mode & 0o100 != 0 { Kind::Program } else { Kind::File }, bytes)),
    };
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
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

/// Reads what differs, as it was when it was hashed.
fn read_edits(tree: &Path, listing: &Listing, paths: Vec<String>) -> Result<Overlay, String> {
    let mut files = BTreeMap::new();
    for path in paths {
        let content = match listing.get(&path) {
            None => Content::Deleted,
            Some(item) => {
                Content::File { bytes: same(tree, &path, item)?, executable: item.kind == Kind::Program }
            }
        };
        files.insert(path, content);
    }
    Ok(Overlay::of(files))
}

/// The content of a file, which must be the one that was hashed.
fn same(tree: &Path, path: &str, item: &Item) -> Result<Vec<u8>, String> {
    let whole = tree.join(path);
    let bytes = match item.kind {
        Kind::Link => std::fs::read_link(&whole).map(|to| to.into_os_string().into_encoded_bytes()),
        Kind::File | Kind::Program => std::fs::read(&whole),
    };
    let bytes = bytes.map_err(|error| format!("{path}: {error}"))?;
    match hash(&bytes) == item.hash || broken("snapshot-same") {
        true => Ok(bytes),
        false => Err(format!("{path} changed while it was read: run the same again")),
    }
}

/// Copies every file of a listing. No hard links: an editor may write in place.
fn copy(tree: &Path, into: &Path, listing: &Listing) -> Result<(), String> {
    let mut made: HashSet<PathBuf> = HashSet::new();
    for (path, item) in listing {
        let bytes = same(tree, path, item)?;
        let target = into.join(path);
        let mut put = || -> std::io::Result<()> {
            if let Some(folder) = target.parent()
                && made.insert(folder.to_owned())
            {
                fs::create_dir_all(folder)?;
            }
            match item.kind {
                Kind::Link => {
                    use std::os::unix::ffi::OsStringExt;
                    let to = std::ffi::OsString::from_vec(bytes.clone());
                    std::os::unix::fs::symlink(to, &target)
                }
                Kind::File => fs::write(&target, &bytes),
                Kind::Program => {
                    fs::write(&target, &bytes)?;
                    fs::set_permissions(&target, std::fs::Permissions::from_mode(0o755))
                }
            }
        };
        put().map_err(|error| format!("cannot copy {path}: {error}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
