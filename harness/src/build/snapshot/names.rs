//! Which files are a tree's source: git is asked for their names, and for what it is told not to look at.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use fs_err as fs;

use super::{Place, wrong};
use crate::broken::broken;
use crate::build::{Trouble, Workshop};
use crate::limits;
use crate::process::Stream;

/// The names of a tree's source files.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// All, in order, each once.
    pub paths: Vec<String>,
    /// Those that git does not track; of a tree without git, all.
    pub untracked: HashSet<String>,
    pub unlooked: Unlooked,
}

/// Files of the index that `git status` says nothing of, whatever becomes of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Unlooked {
    /// There are some that are taken for unchanged (`assume-unchanged`).
    pub assumed: bool,
    /// The names of those that are not there: git believes them unchanged even when it looks anew.
    pub gone: Vec<String>,
    /// Of those that are skipped (`skip-worktree`) and there all the same, how many git passes over:
    /// since 2.36 it looks at them if it is told that there is a sparse checkout.
    pub skipped: usize,
    /// The names of those that are skipped and not there, as in a sparse checkout.
    pub absent: Vec<String>,
}

/// What `git ls-files -v -z` says of one file.
struct Entry<'a> {
    /// `?` if it is not tracked, `S` if it is skipped; a small letter if it is taken for unchanged.
    tag: u8,
    name: &'a [u8],
}

fn entries(listed: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    listed.split(|byte| *byte == 0).filter_map(|line| match line {
        [tag, b' ', name @ ..] if !name.is_empty() => Some(Entry { tag: *tag, name }),
        _ => None,
    })
}

const OTHERS: [&str; 2] = ["--others", "--exclude-standard"];

/// The sources of Debian's packages ignore all of themselves at the top, since what git tracks there
/// is the packaging alone. This counts before that, for the top alone: what a build leaves there.
const TOP_OF_A_PACKAGE: [&str; 9] =
    ["!/*", "/.*", "/*.a", "/*.o", "/vmlinux*", "/System.map", "/Module.symvers", "/modules.*", "/debian"];

impl Place {
    /// The paths of all source files: what git tracks, and what is there and not ignored.
    pub(super) async fn list(&self, shop: &Workshop<'_>) -> Result<Names, Trouble> {
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
        let mut listed = match self.ls_files(shop, &OTHERS, &[]).await? {
            Err(_) if self.git_folder().join("index").exists() => {
                fs::remove_file(self.git_folder().join("index"))?;
                let tree = self.tree.display();
                shop.ctx.events.note(format!(
                    "git cannot read a copy of the index of {tree}: what it tracks and yet ignores is left out"
                ));
                self.ls_files(shop, &OTHERS, &[]).await??
            }
            other => other?,
        };
        if self.repository.is_none() && !entries(&listed).any(|entry| entry.name == b"Kbuild") {
            listed = self.ls_files(shop, &OTHERS, &TOP_OF_A_PACKAGE).await??;
        }
        let (mut names, mut odd) = (Names::default(), Vec::new());
        for Entry { tag, name } in entries(&listed) {
            match std::str::from_utf8(name) {
                Ok(name) if is_plain(name) => {
                    names.paths.push(name.to_owned());
                    if tag == b'?' {
                        names.untracked.insert(name.to_owned());
                    }
                }
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
        names.paths.sort();
        names.paths.dedup();
        names.unlooked = self.unlooked(&listed);
        Ok(names)
    }

    /// The files that git is told not to look at, without a list of all others; none if git does not list
    /// them.
    pub(super) async fn list_unlooked(&self, shop: &Workshop<'_>) -> Result<Option<Unlooked>, Trouble> {
        let listed = self.ls_files(shop, &[], &[]).await?;
        Ok(listed.ok().map(|listed| self.unlooked(&listed)))
    }

    fn unlooked(&self, listed: &[u8]) -> Unlooked {
        let mut unlooked = Unlooked::default();
        if broken("unlooked") {
            return unlooked;
        }
        for Entry { tag, name } in entries(listed) {
            let (assumed, skipped) = (tag.is_ascii_lowercase(), tag.eq_ignore_ascii_case(&b'S'));
            unlooked.assumed |= assumed;
            if !assumed && !skipped {
                continue;
            }
            let is_there = std::fs::symlink_metadata(self.tree.join(OsStr::from_bytes(name))).is_ok();
            match (is_there, skipped) {
                (true, true) => unlooked.skipped += 1,
                (true, false) => {}
                (false, true) => {
                    unlooked.absent.push(String::from_utf8_lossy(name).escape_debug().to_string())
                }
                (false, false) => unlooked.gone.push(String::from_utf8_lossy(name).into_owned()),
            }
        }
        unlooked
    }

    /// What git lists; an error of the inner kind if it does not, and was not cut off in it.
    async fn ls_files(
        &self,
        shop: &Workshop<'_>,
        which: &[&str],
        ignored: &[&str],
    ) -> Result<Result<Vec<u8>, Trouble>, Trouble> {
        let mut listed = Vec::new();
        let mut words = crate::process::Tail::new(limits::QEMU_STDERR_BYTES);
        let git = self.git(&["ls-files", "-v", "-z", "--cached"]).args(which);
        let git = git.args(ignored.iter().map(|pattern| format!("--exclude={pattern}")));
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
}

fn is_plain(name: &str) -> bool {
    let stays = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    stays && !name.ends_with('/') && !name.chars().any(char::is_control)
}
