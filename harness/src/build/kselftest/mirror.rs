//! A source tree in which one directory of selftests is built: that is a copy, since some Makefiles
//! write beside their sources, and everything else is links.
//!
//! Of a user's tree the cache has a base and the files that are other by now. Those lie here as files,
//! in folders of their own; and a folder that is reached through a link is not left by `..` to where
//! the link is, so that once a selftest was edited every folder of theirs is one of the mirror's.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::SELFTESTS;
use crate::broken::broken;
use crate::build::series::{Content, Overlay};
use crate::build::source::Pristine;
use crate::build::{Trouble, Workshop};
use crate::model::RelPath;

/// Makes the mirror for a directory, in a scratch folder.
pub(super) fn mirror(
    shop: &Workshop<'_>,
    pristine: &Pristine,
    dir: &RelPath,
) -> Result<tempfile::TempDir, Trouble> {
    let made = shop.store.scratch("kselftest-")?;
    lay(&pristine.path, made.path(), &Path::new(SELFTESTS).join(dir), &pristine.edits)?;
    Ok(made)
}

fn lay(from: &Path, to: &Path, inside: &Path, edits: &Overlay) -> io::Result<()> {
    Links::new(from, to, inside, edits).lay(Path::new(""))?;
    // The user's tree may have it now, and not have had it when the base was made.
    fs::create_dir_all(to.join(inside))?;
    if !broken("mirror-edits") {
        edit(to, edits)?;
    }
    Ok(())
}

/// What is laid where.
struct Links<'a> {
    from: &'a Path,
    to: &'a Path,
    /// The directory itself, below both.
    inside: &'a Path,
    /// Folders that cannot be one link.
    open: BTreeSet<&'a Path>,
    /// Whether any of the selftests was edited.
    edited: bool,
}

impl<'a> Links<'a> {
    fn new(from: &'a Path, to: &'a Path, inside: &'a Path, edits: &'a Overlay) -> Links<'a> {
        let edits: Vec<&Path> = edits.files().map(|(path, _)| Path::new(path)).collect();
        let edited = edits.iter().any(|path| path.starts_with(SELFTESTS));
        let open = edits.into_iter().chain([inside]).flat_map(|path| path.ancestors().skip(1)).collect();
        Links { from, to, inside, open, edited }
    }

    /// One folder, and those in it that are to be folders.
    fn lay(&self, folder: &Path) -> io::Result<()> {
        let selftests = folder.starts_with(SELFTESTS);
        let own = folder.starts_with(self.inside);
        // lib.mk finds the top of the source by where it really lies itself; and what the runner has
        // for scripts goes into the guest.
        let copied = selftests && (own || self.inside.starts_with(folder) || folder.ends_with("kselftest"));
        for entry in fs::read_dir(self.from.join(folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            let to = self.to.join(&path);
            let kind = entry.file_type()?;
            let open =
                own || path == self.inside || self.open.contains(path.as_path()) || selftests && self.edited;
            if kind.is_dir() && open {
                fs::create_dir(&to)?;
                self.lay(&path)?;
            } else if kind.is_symlink() && own {
                symlink(fs::read_link(entry.path())?, &to)?;
            } else if kind.is_file() && copied {
                fs::copy(entry.path(), &to)?;
            } else {
                symlink(entry.path(), &to)?;
            }
        }
        Ok(())
    }
}

/// Lays the files that differ over a mirror. What goes makes place first.
fn edit(mirror: &Path, edits: &Overlay) -> io::Result<()> {
    for (path, _) in edits.files() {
        remove(&mirror.join(path))?;
    }
    for (path, content) in edits.files() {
        let Content::File { bytes, executable } = content else { continue };
        let target = mirror.join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&target, bytes)?;
        let mode = if *executable { 0o755 } else { 0o644 };
        fs::set_permissions(&target, std::fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Removes a file or link, and the folders that it leaves empty.
fn remove(target: &Path) -> io::Result<()> {
    match fs::remove_file(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    let mut folder: Option<PathBuf> = target.parent().map(Path::to_owned);
    while let Some(empty) = folder.filter(|folder| fs::remove_dir(folder).is_ok()) {
        folder = empty.parent().map(Path::to_owned);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree with two directories of selftests, of which one takes a header of the other's.
    fn base(root: &Path) {
        for path in ["lib.mk", "shared.h", "a/Makefile", "a/t.c", "b/b.h", "kselftest/runner.sh"] {
            let path = root.join(SELFTESTS).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "base").unwrap();
        }
        fs::create_dir_all(root.join("tools/include/linux")).unwrap();
        fs::write(root.join("tools/include/linux/types.h"), "base").unwrap();
    }

    fn mirrored(edits: &[(&str, Option<&str>)], dir: &str) -> (tempfile::TempDir, tempfile::TempDir) {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        base(from.path());
        let content = |text: &Option<&str>| match text {
            Some(text) => {
                Content::File { bytes: text.as_bytes().to_vec(), executable: text.starts_with("#!") }
            }
            None => Content::Deleted,
        };
        let edits = edits.iter().map(|(path, text)| ((*path).to_owned(), content(text)));
        let edits = Overlay::of(edits);
        let inside = Path::new(SELFTESTS).join(dir);
        lay(from.path(), to.path(), &inside, &edits).unwrap();
        (from, to)
    }

    fn read(mirror: &Path, path: &str) -> Option<String> {
        std::fs::read_to_string(mirror.join(path)).ok()
    }

    #[test]
    fn what_was_edited_in_a_users_tree_is_what_is_built() {
        let at = |path: &str| format!("{SELFTESTS}/{path}");
        let (edited, new, header, gone) = (at("a/t.c"), at("a/new/t.sh"), at("shared.h"), at("a/Makefile"));
        let edits = [
            (edited.as_str(), Some("edited")),
            (new.as_str(), Some("#!/bin/sh")),
            (header.as_str(), Some("edited")),
            (gone.as_str(), None),
            ("tools/include/linux/types.h", Some("edited")),
        ];
        let (from, to) = mirrored(&edits, "a");
        let mirror = to.path();
        for path in [edited.as_str(), &header, "tools/include/linux/types.h"] {
            assert_eq!(read(mirror, path).as_deref(), Some("edited"), "{path}");
            assert_eq!(read(from.path(), path).as_deref(), Some("base"), "{path} of the base");
        }
        assert_eq!(read(mirror, &gone), None);
        assert!(from.path().join(&gone).exists());
        assert!(fs::metadata(mirror.join(&new)).unwrap().permissions().mode() & 0o111 != 0);
        // By way of another directory, too.
        assert_eq!(read(mirror, &at("a/../b/../shared.h")).as_deref(), Some("edited"));
        // What goes into the guest is a file, and no link to this host.
        assert!(!mirror.join(at("kselftest/runner.sh")).is_symlink());
    }

    #[test]
    fn a_directory_that_only_the_users_tree_has_is_there() {
        let makefile = format!("{SELFTESTS}/new/one/Makefile");
        let (_from, to) = mirrored(&[(&makefile, Some("mine"))], "new/one");
        assert_eq!(read(to.path(), &makefile).as_deref(), Some("mine"));
        assert_eq!(read(to.path(), &format!("{SELFTESTS}/new/one/../../lib.mk")).as_deref(), Some("base"));
    }

    #[test]
    fn without_edits_other_directories_are_one_link_each() {
        let (_from, to) = mirrored(&[], "a");
        assert!(to.path().join(SELFTESTS).join("b").is_symlink());
        assert!(!to.path().join(SELFTESTS).join("lib.mk").is_symlink());
        assert!(to.path().join("tools/include").is_symlink());
    }
}
