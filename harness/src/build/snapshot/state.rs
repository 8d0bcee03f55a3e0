//! In what a user's work tree differs from the commit that is checked out.

use fs_err as fs;

use super::Place;
use super::names::Unlooked;
use crate::broken::broken;
use crate::build::source::TreeState;
use crate::build::{Trouble, Workshop};
use crate::limits;
use crate::process::Stream;

/// In what a work tree differs from a commit.
#[derive(Debug, Default)]
struct Changes {
    changed: usize,
    untracked: usize,
    /// Those that a sparse checkout leaves out.
    absent: usize,
    /// The first of what is changed or untracked.
    named: Vec<String>,
}

impl Changes {
    /// What `git status --porcelain=v1 -z` says of one file.
    fn add(&mut self, entry: &[u8]) {
        /// More than this nobody reads.
        const NAMED_MAX: usize = 8;
        let untracked = entry.starts_with(b"??");
        *(if untracked { &mut self.untracked } else { &mut self.changed }) += 1;
        if self.named.len() < NAMED_MAX
            && let Some(name) = entry.get(3..)
        {
            let name = String::from_utf8_lossy(name).escape_debug().to_string();
            self.named.push(if untracked { format!("{name} (untracked)") } else { name });
        }
    }

    /// How many there are; none if there are none.
    fn counted(&self) -> Option<String> {
        let mut parts = Vec::new();
        match (self.changed, self.untracked) {
            (0, 0) => {}
            (0, n) => parts.push(format!("{n} untracked files")),
            (n, 0) => parts.push(format!("{n} files changed")),
            (n, m) => parts.push(format!("{n} files changed, {m} untracked")),
        }
        if self.absent > 0 {
            parts.push(format!("{} files left out by a sparse checkout", self.absent));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// Their names; none if there are none.
    fn listed(mut self) -> Option<String> {
        let more = (self.changed + self.untracked).saturating_sub(self.named.len());
        if more > 0 {
            self.named.push(format!("{more} more"));
        }
        (!self.named.is_empty()).then(|| self.named.join(", "))
    }
}

impl Place {
    /// The commit that is checked out, and in what the tree differs from it.
    pub(super) async fn state(&self, shop: &Workshop<'_>, unlooked: &Unlooked) -> Result<TreeState, Trouble> {
        if self.repository.is_none() {
            return Ok(TreeState::default());
        }
        let Some(commit) = self.resolve_if_any(shop, "HEAD").await? else {
            return Ok(TreeState {
                dirty: Some("there is no commit yet".to_owned()),
                ..TreeState::default()
            });
        };
        let dirty = match self.changes(shop, &commit, unlooked).await? {
            None => Some("git cannot tell whether it was changed".to_owned()),
            Some(changes) => changes.counted(),
        };
        let dirty = dirty.filter(|_| !broken("dirty"));
        Ok(TreeState { commit: Some(commit), dirty, ..TreeState::default() })
    }

    /// What the work tree has beside the commit that is checked out, by name; none if nothing.
    pub(super) async fn uncommitted(&self, shop: &Workshop<'_>) -> Result<Option<String>, Trouble> {
        let Some(commit) = self.resolve_if_any(shop, "HEAD").await? else { return Ok(None) };
        let changes = match self.list_unlooked(shop).await? {
            None => None,
            Some(unlooked) => self.changes(shop, &commit, &unlooked).await?,
        };
        Ok(match changes {
            None => Some("git cannot tell whether there are any".to_owned()),
            Some(changes) => changes.listed().filter(|_| !broken("range-dirt")),
        })
    }

    /// In what the tree differs from the commit that is checked out; none if git cannot tell.
    async fn changes(
        &self,
        shop: &Workshop<'_>,
        commit: &str,
        unlooked: &Unlooked,
    ) -> Result<Option<Changes>, Trouble> {
        fs::write(self.git_folder().join("HEAD"), format!("{commit}\n"))?;
        if unlooked.assumed {
            // In our copy of the index: what was changed is taken for unchanged no longer.
            let refresh = self.git(&["update-index", "-q", "--really-refresh"]);
            let argv = refresh.display();
            let said = refresh.deadline(limits::UNPACK_DEADLINE).status(shop.ctx).await?;
            match said.status.code() {
                // With the second it says that there are changes.
                Some(0 | 1) => {}
                Some(_) => return Ok(None),
                None => return Err(self.no_answer(&argv, said.status, &said.stderr)),
            }
        }
        let args = ["status", "--porcelain=v1", "-z", "--no-renames", "--ignore-submodules=all"];
        let (changed, absent) = (unlooked.skipped, unlooked.absent.len());
        let mut changes = Changes { changed, absent, ..Changes::default() };
        unlooked.gone.iter().for_each(|name| changes.add(format!(" D {name}").as_bytes()));
        let mut rest = Vec::new();
        let git = self.git(&args).arg("--untracked-files=all").deadline(limits::UNPACK_DEADLINE);
        let argv = git.display();
        let status = git.stream(shop.ctx, |stream, said| {
            if stream == Stream::Out {
                rest.extend_from_slice(said);
                while let Some(end) = rest.iter().position(|byte| *byte == 0) {
                    let entry: Vec<u8> = rest.drain(..=end).collect();
                    changes.add(&entry[..end]);
                }
            }
        });
        let status = status.await?;
        match status.code() {
            Some(0) => Ok(Some(changes)),
            Some(_) => Ok(None),
            None => Err(self.no_answer(&argv, status, "")),
        }
    }
}
