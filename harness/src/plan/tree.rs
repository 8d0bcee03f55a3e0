//! A kernel tree on disk, as [`super::derive`] looks at it: read only, bounded, no links followed.

use std::io::Read;
use std::path::{Component, Path, PathBuf};

use super::derive::TreeFiles;
use crate::limits;

/// The tree in a folder.
#[derive(Debug, Clone)]
pub struct TreeFolder {
    root: PathBuf,
}

impl TreeFolder {
    /// The tree whose top is `root`.
    pub fn new(root: PathBuf) -> TreeFolder {
        TreeFolder { root }
    }
}

impl TreeFiles for TreeFolder {
    fn read(&self, path: &str) -> Option<String> {
        let stays = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        let mut folders = Path::new(path).ancestors().skip(1);
        if !stays || folders.any(|folder| self.root.join(folder).is_symlink() && folder != Path::new("")) {
            return None;
        }
        let path = self.root.join(path);
        let meta = std::fs::symlink_metadata(&path).ok()?;
        if !meta.is_file() || meta.len() > limits::TREE_FILE_BYTES {
            return None;
        }
        // One read for each of some thousand files: without a capacity it would be a dozen.
        let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0) + 1);
        std::fs::File::open(path).ok()?.take(limits::TREE_FILE_BYTES).read_to_end(&mut bytes).ok()?;
        // A name in a comment may be in an old encoding.
        let lossy =
            |error: std::string::FromUtf8Error| String::from_utf8_lossy(error.as_bytes()).into_owned();
        Some(String::from_utf8(bytes).unwrap_or_else(lossy))
    }

    fn files(&self, folder: &str, depth: usize) -> Vec<String> {
        let mut found = Vec::new();
        let mut todo = vec![(folder.to_owned(), depth)];
        while let Some((folder, depth)) = todo.pop() {
            let Ok(entries) = std::fs::read_dir(self.root.join(&folder)) else { continue };
            for entry in entries.flatten() {
                let (Ok(kind), Ok(name)) = (entry.file_type(), entry.file_name().into_string()) else {
                    continue;
                };
                let path = format!("{folder}/{name}");
                if kind.is_file() {
                    found.push(path);
                } else if kind.is_dir() && depth > 0 && name != ".git" {
                    todo.push((path, depth - 1));
                }
            }
        }
        found.sort();
        found
    }
}
