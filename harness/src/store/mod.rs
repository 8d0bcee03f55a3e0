//! The cache: entries addressed by what went into them, published whole or not at all.
//!
//! An entry is a folder whose name is the hash of its inputs. It is made in a scratch folder, gets
//! a manifest with the size and hash of each file, and takes its final name by one rename; a
//! reader therefore sees a complete entry or none. A hit is verified against the manifest, and an
//! entry that does not match is set aside and made again, said aloud. A lock per source and
//! work tree lets two runs share the cache: the second waits for the first and finds its entries.
//!
//! Below the root: `entry/KIND/KEY/`, `source/`, `tree/`, `git/` and `snapshot/` (see [`Store::place`]), `lock/`, `scratch/` (removed when its owner is gone),
//! `bad/` (what did not match its manifest), `fact/` (small remembered facts of this host).

mod clean;
mod key;
mod lock;
pub mod tidy;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};

pub use clean::Cleaned;
pub use key::{Hash, Key, KeyBuilder};
pub use lock::Lock;

use crate::broken::broken;
use crate::process::{Ctx, Guard, guard::Guarded};

/// Part of every key: raised when the meaning of an entry changes.
const STORE_VERSION: &str = "1";
/// The manifest of an entry, written last.
const MANIFEST: &str = "manifest.json";

/// Why the store could not do its work.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields mean")]
pub enum StoreError {
    #[error("the cache cannot be used: {0}")]
    Io(#[from] io::Error),
    #[error("the cache's file system is full: {0}")]
    Full(io::Error),
    #[error("interrupted by {signal} while waiting for another run")]
    Interrupted { signal: &'static str },
    #[error("another run uses the cache: wait for its end")]
    InUse,
    #[error("the cache's folder {path} is not writable: {source}")]
    ReadOnly { path: PathBuf, source: io::Error },
}

impl StoreError {
    fn from_write(error: io::Error) -> StoreError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full(error),
            _ => StoreError::Io(error),
        }
    }
}

/// The cache of one user.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    /// Scratch of this run, locked for as long as the run lives.
    scratch: PathBuf,
    _scratch_lock: std::fs::File,
    _guarded: Guarded,
}

/// A complete, verified entry.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// Its folder; nothing in it may be changed.
    pub path: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    /// What the key was made of, for people.
    inputs: BTreeMap<String, String>,
    files: BTreeMap<String, FileFact>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FileFact {
    bytes: u64,
    hash: String,
}

impl Store {
    /// Opens the cache below `root`, makes its folders, and removes what dead runs left behind.
    pub fn open(root: &Path, guard: &Guard) -> Result<Store, StoreError> {
        let read_only = |source| StoreError::ReadOnly { path: root.to_owned(), source };
        for folder in ["entry", "lock", "scratch", "bad", "fact"] {
            std::fs::create_dir_all(root.join(folder)).map_err(read_only)?;
        }
        let root = fs::canonicalize(root)?;
        let scratch_root = root.join("scratch");
        sweep(&scratch_root);
        let folder = tempfile::Builder::new().prefix("run-").tempdir_in(&scratch_root);
        let scratch = folder.map_err(read_only)?.keep();
        let guarded = guard.folder(&scratch);
        // Under its name only once it is held: a sweep that finds it free takes its owner for dead.
        let lock = std::fs::File::create(scratch.join(".lock")).map_err(StoreError::from_write)?;
        lock.lock()?;
        fs::rename(scratch.join(".lock"), scratch.join("lock"))?;
        let store = Store { root, scratch, _scratch_lock: lock, _guarded: guarded };
        store.forget_old_damage();
        Ok(store)
    }

    /// The folder that all of it lies in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A new folder for this run alone; it is gone when the run is.
    pub fn scratch(&self, prefix: &str) -> Result<tempfile::TempDir, StoreError> {
        let made = tempfile::Builder::new().prefix(prefix).tempdir_in(&self.scratch);
        made.map_err(StoreError::from_write)
    }

    /// The folder for the temporary files of what this run starts; it is gone when the run is.
    pub fn temporary(&self) -> Result<PathBuf, StoreError> {
        let folder = self.scratch.join("tmp");
        fs::create_dir_all(&folder).map_err(StoreError::from_write)?;
        Ok(folder)
    }

    /// A folder that is not an entry: a work tree that is reused, and locked while it is.
    pub fn place(&self, kind: &str, name: &str) -> PathBuf {
        self.root.join(kind).join(name)
    }

    /// Notes that the place with this mark was used: the oldest are the first that `clean` removes.
    pub fn used(&self, mark: &Path) {
        clean::touch(mark);
    }

    /// Takes the lock called `name`, and says who holds it if it has to wait.
    pub async fn lock(&self, ctx: &Ctx, name: &str) -> Result<Lock, StoreError> {
        lock::take(&self.root.join("lock").join(format!("{name}.lock")), ctx, name).await
    }

    /// The entry of this kind and key, verified; a broken one is set aside and counts as none.
    pub fn find(&self, ctx: &Ctx, kind: &str, key: &Key) -> Result<Option<Entry>, StoreError> {
        let path = self.entry_path(kind, key);
        if !path.join(MANIFEST).exists() {
            return Ok(None);
        }
        match verify(&path) {
            Ok(()) => {
                clean::touch(&path);
                Ok(Some(Entry { key: key.clone(), path }))
            }
            Err(reason) => {
                let bad = self.root.join("bad").join(format!("{kind}-{key}-{}", std::process::id()));
                let _ = fs::remove_dir_all(&bad);
                fs::rename(&path, &bad).map_err(StoreError::from_write)?;
                ctx.events.note(format!(
                    "cache entry {kind}/{key} is damaged ({reason}): it is made again, the old one is kept in {}",
                    bad.display()
                ));
                Ok(None)
            }
        }
    }

    /// Publishes `folder` (made by [`Store::scratch`]) under its final name.
    pub fn publish(&self, kind: &str, key: &Key, folder: tempfile::TempDir) -> Result<Entry, StoreError> {
        let path = self.entry_path(kind, key);
        let parent = self.root.join("entry").join(kind);
        fs::create_dir_all(&parent).map_err(StoreError::from_write)?;
        let manifest = Manifest { inputs: key.inputs().clone(), files: facts(folder.path())? };
        let mut file = fs::File::create(folder.path().join(MANIFEST)).map_err(StoreError::from_write)?;
        let text = serde_json::to_vec_pretty(&manifest).map_err(io::Error::from)?;
        file.write_all(&text).map_err(StoreError::from_write)?;
        file.sync_all().map_err(StoreError::from_write)?;
        fs::File::open(folder.path())?.sync_all()?;
        let made = folder.keep();
        // Another run may have been first where locks do not work: its entry is as good.
        if let Err(error) = fs::rename(&made, &path) {
            fs::remove_dir_all(&made)?;
            if !path.join(MANIFEST).exists() {
                return Err(StoreError::from_write(error));
            }
        }
        fs::File::open(&parent)?.sync_all()?;
        Ok(Entry { key: key.clone(), path })
    }

    /// The entries that are not what was published, and what is wrong with each. Reads all of them.
    pub fn damaged(&self) -> io::Result<Vec<(PathBuf, String)>> {
        let mut damaged = Vec::new();
        for kind in fs::read_dir(self.root.join("entry"))? {
            for entry in fs::read_dir(kind?.path())? {
                let path = entry?.path();
                if let Err(reason) = verify(&path) {
                    damaged.push((path, reason));
                }
            }
        }
        Ok(damaged)
    }

    /// A small fact of this host that was worth measuring, by name.
    pub fn fact(&self, name: &Hash) -> Option<String> {
        fs::read_to_string(self.root.join("fact").join(name.as_str())).ok()
    }

    /// Remembers such a fact.
    pub fn remember(&self, name: &Hash, value: &str) -> Result<(), StoreError> {
        write_by_way_of(&self.scratch, &self.root.join("fact").join(name.as_str()), value.as_bytes())
            .map_err(StoreError::from_write)
    }

    fn entry_path(&self, kind: &str, key: &Key) -> PathBuf {
        self.root.join("entry").join(kind).join(key.as_str())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.scratch);
    }
}

/// Writes a file whole or not at all: a temporary one beside it, synced, then renamed.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_by_way_of(path.parent().unwrap_or(Path::new(".")), path, bytes)
}

/// The same with the temporary file in a folder of the same file system that is gone when the run is.
pub fn write_by_way_of(scratch: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(scratch)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Removes the scratch of runs that are no more: whoever lives holds the lock in it.
fn sweep(scratch_root: &Path) {
    let Ok(entries) = std::fs::read_dir(scratch_root) else { return };
    for entry in entries.flatten() {
        let lock = entry.path().join("lock");
        let dead = match std::fs::File::open(&lock) {
            Ok(file) => file.try_lock().is_ok(),
            // No lock yet: a run that starts this instant, or one that died there long ago.
            Err(_) => entry
                .metadata()
                .and_then(|m| m.modified())
                .is_ok_and(|t| t.elapsed().is_ok_and(|age| age.as_secs() > 60)),
        };
        if dead && !broken("sweep") {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Size and hash of every file below `folder`, the manifest itself excepted.
fn facts(folder: &Path) -> io::Result<BTreeMap<String, FileFact>> {
    let mut found = BTreeMap::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(relative) = todo.pop() {
        for entry in fs::read_dir(folder.join(&relative))? {
            let entry = entry?;
            let name = relative.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                todo.push(name);
            } else if name != Path::new(MANIFEST) {
                found.insert(name.to_string_lossy().into_owned(), fact(&entry.path())?);
            }
        }
    }
    Ok(found)
}

fn fact(path: &Path) -> io::Result<FileFact> {
    let mut file = fs::File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buf = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let n = file.read(&mut buf)?;
        if n == 0 {
            break;
        }
        hasher.update(&buf[..n]);
        bytes += n as u64;
    }
    Ok(FileFact { bytes, hash: hasher.finalize().to_hex().to_string() })
}

fn verify(path: &Path) -> Result<(), String> {
    if broken("verify-hit") {
        return Ok(());
    }
    let text = fs::read(path.join(MANIFEST)).map_err(|e| e.to_string())?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| format!("manifest: {e}"))?;
    let found = facts(path).map_err(|e| e.to_string())?;
    if let Some(name) = manifest.files.keys().find(|name| !found.contains_key(*name)) {
        return Err(format!("{name} is gone"));
    }
    for (name, fact) in &found {
        match manifest.files.get(name) {
            Some(expected) if expected == fact => {}
            Some(_) => return Err(format!("{name} has changed")),
            None => return Err(format!("{name} was added")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
