//! `clean`: removes what piles up, in the cache and among the runs. And keeping the runs few without
//! being asked.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use harness::store::tidy::{Candidate, Rule, surplus};

use crate::cli::{Clean, Exit};
use crate::{progress, say, session};

/// Removes and says how much.
pub fn run(args: &Clean) -> Result<Exit> {
    let rule = match args.all {
        true => Rule::All,
        false => Rule::OlderThan(Duration::from_secs(args.older_than * 24 * 3600)),
    };
    let project = session::project(args.common.project.as_deref())?;
    let cleaned = session::run(progress::events(&args.common), |mut ctx| async move {
        let store = session::store(args.common.cache.as_deref(), &mut ctx)?;
        Ok(store.clean(rule)?)
    })?;
    let runs = remove_runs(&runs_folder(project.root()), rule)?;
    say::result(format_args!(
        "removed {} things ({} MiB) of the cache and {runs} runs",
        cleaned.things,
        cleaned.bytes >> 20
    ))?;
    Ok(Exit::Passed)
}

/// Where runs go that nobody chose a folder for.
pub fn runs_folder(project: &Path) -> PathBuf {
    project.join("target/abimatrix")
}

/// Marks a run's folder as in use for as long as the returned value lives.
pub fn hold(run: &Path) -> Option<File> {
    // A file system without locks: its runs are told by their age alone.
    File::open(run).ok().filter(|folder| folder.try_lock().is_ok())
}

/// Keeps so many of the newest runs.
pub fn keep_newest(runs: &Path, kept: usize) {
    // Not removed now is removed after the next run.
    let _ = remove_runs(runs, Rule::BeyondNewest(kept));
}

fn remove_runs(runs: &Path, rule: Rule) -> Result<usize> {
    let Ok(entries) = std::fs::read_dir(runs) else { return Ok(0) };
    let latest = std::fs::read_link(runs.join("latest")).ok();
    let mut candidates = Vec::new();
    for entry in entries.flatten() {
        if !is_run(&entry.file_name().to_string_lossy()) {
            continue;
        }
        let path = entry.path();
        let in_use = latest.as_deref().is_some_and(|latest| latest == Path::new(&entry.file_name()))
            || File::open(&path).is_ok_and(|folder| folder.try_lock().is_err());
        let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
        candidates.push(Candidate { path, age: age.unwrap_or_default(), in_use });
    }
    let surplus = surplus(candidates, rule);
    for Candidate { path, .. } in &surplus {
        std::fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(surplus.len())
}

/// `20261121T230301Z-xyzzy`: what this program called itself. Whatever else lies there is somebody's.
fn is_run(name: &str) -> bool {
    let bytes = name.as_bytes();
    let digits =
        |range: std::ops::Range<usize>| bytes.get(range).is_some_and(|b| b.iter().all(u8::is_ascii_digit));
    digits(0..8) && digits(9..15) && bytes[8] == b'T' && bytes[15..].starts_with(b"Z-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness::limits;

    #[test]
    fn only_what_this_program_named_is_a_run() {
        assert!(is_run("20261121T230301Z-xyzzy") && is_run("20261121T230301Z-xyzzy.1"));
        for name in ["latest", "my-run", "20261121T230301Z", "20261121-230301Z-x", "2026112aT230301Z-x", ""] {
            assert!(!is_run(name), "{name}");
        }
    }

    #[test]
    fn the_newest_runs_stay_with_the_one_that_goes_on_and_the_latest() {
        let runs = tempfile::tempdir().unwrap();
        let name = |n: usize| format!("20260101T{n:06}Z-x");
        for n in 0..limits::RUNS_KEPT + 10 {
            let path = runs.path().join(name(n));
            std::fs::create_dir_all(path.join("build")).unwrap();
            let then = std::time::SystemTime::now() - Duration::from_secs(3600 - n as u64);
            File::open(&path).unwrap().set_modified(then).unwrap();
        }
        std::fs::create_dir(runs.path().join("mine")).unwrap();
        std::os::unix::fs::symlink(name(2), runs.path().join("latest")).unwrap();
        let held = hold(&runs.path().join(name(5)));
        assert!(held.is_some());
        keep_newest(runs.path(), limits::RUNS_KEPT);
        let there = |name: &str| runs.path().join(name).exists();
        for n in 0..10 {
            assert_eq!(there(&name(n)), n == 2 || n == 5, "{n}");
        }
        assert!((10..limits::RUNS_KEPT + 10).all(|n| there(&name(n))));
        assert!(there("mine") && there("latest"));
    }
}
