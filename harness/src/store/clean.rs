//! Removing from the cache: by one rename into this run's scratch, so that nobody ever sees half of
//! an entry, and a clean-up that is killed leaves nothing that the next start does not remove.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs_err as fs;

use super::tidy::{Candidate, Rule, surplus};
use super::{Store, StoreError};
use crate::limits;

/// What a clean-up came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Entries, sources and work trees that are gone.
    pub things: u64,
    /// Their bytes. A file of many names is counted once for each.
    pub bytes: u64,
}

impl Store {
    /// Removes what the rule says, but nothing that a run works in. With [`Rule::All`], nothing while
    /// any other run uses the cache: what it has just found would be gone under it.
    pub fn clean(&self, rule: Rule) -> Result<Cleaned, StoreError> {
        if rule == Rule::All && self.others()? > 0 {
            return Err(StoreError::InUse);
        }
        let mut candidates = Vec::new();
        for kind in folders(&self.root.join("entry"))? {
            candidates.extend(folders(&kind)?.into_iter().map(|path| aged(&path, path.clone())));
        }
        for (kind, mark) in [("source", "digest"), ("bad", ".")] {
            let places = folders(&self.root.join(kind))?;
            candidates.extend(places.into_iter().map(|path| aged(&path.join(mark), path.clone())));
        }
        // Places that are worked in, by the lock that is written whenever one begins.
        let mut locks = Vec::new();
        for kind in ["tree", "git", "snapshot"] {
            for path in folders(&self.root.join(kind))? {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let lock = self.root.join("lock").join(format!("{kind}-{name}.lock"));
                let mut candidate = aged(&lock, path.clone());
                if let Ok(file) = File::open(&lock) {
                    candidate.in_use = file.try_lock().is_err();
                    // Held until all is removed.
                    locks.push(file);
                }
                candidates.push(candidate);
            }
        }
        self.remove(surplus(candidates, rule))
    }

    /// Keeps the newest of what was set aside: each may be as large as a source tree.
    pub(super) fn forget_old_damage(&self) {
        let bad = folders(&self.root.join("bad")).unwrap_or_default();
        let bad = bad.into_iter().map(|path| aged(&path, path.clone())).collect();
        // Not removed now is removed by the next run.
        let _ = self.remove(surplus(bad, Rule::BeyondNewest(limits::BAD_KEPT)));
    }

    fn remove(&self, candidates: Vec<Candidate>) -> Result<Cleaned, StoreError> {
        let mut cleaned = Cleaned::default();
        for Candidate { path, .. } in candidates {
            let grave = self.scratch("gone-")?;
            // Another clean-up may have been faster.
            if std::fs::rename(&path, grave.path().join("it")).is_ok() {
                cleaned.things += 1;
                cleaned.bytes += bytes(grave.path())?;
            }
        }
        Ok(cleaned)
    }

    /// How many other runs use this cache: they hold the locks in their scratch.
    fn others(&self) -> Result<usize, StoreError> {
        let scratch = folders(&self.root.join("scratch"))?;
        let held = |path: &PathBuf| File::open(path.join("lock")).is_ok_and(|lock| lock.try_lock().is_err());
        Ok(scratch.iter().filter(|path| **path != self.scratch && held(path)).count())
    }
}

/// Notes that something was used now.
pub(crate) fn touch(path: &Path) {
    // A cache that cannot be written to is not cleaned either.
    let _ = File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
}

/// A candidate whose last use is the time of `mark`.
fn aged(mark: &Path, path: PathBuf) -> Candidate {
    let modified = std::fs::metadata(mark).or_else(|_| std::fs::metadata(&path)).and_then(|m| m.modified());
    let age = modified.ok().and_then(|time| time.elapsed().ok()).unwrap_or(Duration::ZERO);
    Candidate { path, age, in_use: false }
}

fn folders(parent: &Path) -> std::io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(parent) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn bytes(folder: &Path) -> std::io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        sum += if meta.is_dir() { bytes(&entry.path())? } else { meta.len() };
    }
    Ok(sum)
}
