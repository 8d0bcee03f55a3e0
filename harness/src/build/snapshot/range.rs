//! The commits of a user's tree as a series.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::{Place, wrong};
use crate::build::source::TreeState;
use crate::build::{Trouble, Workshop};
use crate::limits;
use crate::plan::files::Patch;

/// The commits `BASE..HEAD` of a user's tree.
#[derive(Debug)]
pub struct Range {
    /// The commit that they stand on, by its id.
    pub base: String,
    /// One for each, in order.
    pub patches: Vec<Patch>,
    /// Both ends, and what the work tree has beside its commits.
    pub state: TreeState,
    /// What the user is to know of how they were read.
    pub notes: Vec<String>,
}

/// Reads the commits `BASE..HEAD` of a user's tree as a series.
pub async fn range(shop: &Workshop<'_>, tree: &Path, range: &str) -> Result<Range, Trouble> {
    let refuse = |what: &str| wrong(tree, format_args!("--range {range}: {what}"));
    let (base, head) = match range.split_once("..") {
        Some((base, head)) if !base.is_empty() && !head.starts_with('.') => (base, head),
        _ => return Err(refuse("it is BASE..HEAD, such as v6.12..my-branch")),
    };
    let place = Place::open(shop, tree).await?;
    let base = place.resolve(shop, base).await?;
    let head = place.resolve(shop, if head.is_empty() { "HEAD" } else { head }).await?;
    let between = format!("{base}..{head}");
    let count = async |args: &[&str]| -> Result<usize, Trouble> {
        let said = place.git(&["rev-list", "--count"]).args(args).arg(&between).output(shop.ctx).await?;
        said.text().trim().parse().map_err(|_| refuse("git does not count its commits"))
    };
    if place.ask(shop, place.git(&["merge-base", "--is-ancestor", &base, &head])).await?.is_none() {
        return Err(refuse("BASE is no ancestor of HEAD: name the commit on which the series stands"));
    }
    if count(&["--merges"]).await? > 0 {
        return Err(refuse("there are merges in it, and a series has none: rebase it"));
    }
    match count(&[]).await? {
        0 => return Err(refuse("there is no commit in it")),
        n if n > limits::SERIES_PATCHES => return Err(refuse(&format!("it has {n} commits"))),
        _ => {}
    }
    let patches = place.format_patch(shop, &between).await?;
    let untested = place.uncommitted(shop).await?;
    let note =
        |what: &String| format!("uncommitted changes are no part of {range} and are not tested: {what}");
    let notes = untested.iter().map(note).collect();
    let state = TreeState { commit: Some(head), base: Some(base.clone()), untested, dirty: None };
    Ok(Range { base, patches, state, notes })
}

impl Place {
    async fn format_patch(&self, shop: &Workshop<'_>, between: &str) -> Result<Vec<Patch>, Trouble> {
        let scratch = shop.store.scratch("range-")?;
        let format = ["format-patch", "--quiet", "--no-signature", "--no-stat", "--no-renames", "--binary"];
        let made = self.git(&format).args(["--no-cover-letter", "--no-attach", "--no-thread", "-o"]);
        made.arg(scratch.path()).arg(between).deadline(limits::UNPACK_DEADLINE).output(shop.ctx).await?;
        let mut paths: Vec<PathBuf> =
            fs::read_dir(scratch.path())?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        paths.sort();
        let mut patches = Vec::new();
        for path in paths {
            let text = Patch::File(path.clone()).read()?;
            patches.push(Patch::Text { name: Patch::File(path).name(), text });
        }
        Ok(patches)
    }
}
