//! What of the host goes into a kselftest beside its source.
//!
//! The Makefiles are other people's: they take headers, libraries and the answers of pkg-config as they
//! come. Which files were taken is found out while a directory is built, is remembered, and is part of
//! its key from then on. What was not found is in no list; whoever missed something is therefore
//! built again once anything was installed.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::broken::broken;
use crate::build::{Trouble, Workshop};
use crate::model::Abi;
use crate::plan::kselftest::LIBRARIES;
use crate::process::{Cmd, ProcessError};

/// gcc adds every header that it reads, the system's included, to the file that this names.
pub(super) const DEPFILE: &str = "SUNPRO_DEPENDENCIES";

/// Where installing something leaves a trace: the package manager's list, and where a library goes
/// that comes without it.
const INSTALLED: [&str; 8] = [
    "/var/lib/dpkg/status",
    "/usr/include",
    "/usr/lib",
    "/usr/lib32",
    "/usr/libx32",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/local/include",
    "/usr/local/lib",
];

/// The files of this host that went into a directory's programs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Taken {
    files: BTreeSet<PathBuf>,
    /// Whether something was not built: what it lacked may come with anything that is installed.
    pub lacking: bool,
}

impl Taken {
    /// Adds what gcc wrote down, but for what lies below `ours`: that is in the key by itself.
    pub fn add_headers(&mut self, depfile: &str, ours: &[&Path]) {
        let words = depfile.split_whitespace().filter(|word| word.starts_with('/') && !word.ends_with(':'));
        let theirs = words.map(Path::new).filter(|path| !ours.iter().any(|own| path.starts_with(own)));
        self.files.extend(theirs.map(Path::to_owned));
    }

    /// Adds files that were copied.
    pub fn add(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        self.files.extend(files);
    }

    /// What these files are now.
    pub fn stamps(&self) -> String {
        let installed = INSTALLED.iter().map(Path::new).filter(|_| self.lacking && !broken("host-installed"));
        stamps(self.files.iter().map(PathBuf::as_path).chain(installed))
    }
}

/// Path, size and time of each, or that it is not there.
fn stamps<'a>(paths: impl Iterator<Item = &'a Path>) -> String {
    let stamp = |path: &Path| match std::fs::metadata(path) {
        Ok(meta) => format!("{}:{}:{}.{}\n", path.display(), meta.len(), meta.mtime(), meta.mtime_nsec()),
        Err(_) => format!("{}: none\n", path.display()),
    };
    paths.map(stamp).collect()
}

/// The libraries that a directory may be linked with, and what pkg-config can be asked for: known
/// before anything is built.
pub async fn libraries_of_host(shop: &Workshop<'_>, abi: Abi) -> Result<String, Trouble> {
    let mut paths = Vec::new();
    for name in LIBRARIES.iter().map(|library| library.link).chain(["asan", "ubsan", "c"]) {
        for ending in ["so", "a"] {
            let asked = Cmd::new("gcc").arg(abi.flag()).arg(format!("-print-file-name=lib{name}.{ending}"));
            // The compiler echoes a name that it does not know.
            paths.push(PathBuf::from(asked.output(shop.ctx).await?.text().trim()));
        }
    }
    let headers = LIBRARIES.iter().flat_map(|library| library.headers);
    paths.extend(headers.map(|header| Path::new("/usr/include").join(header)));
    let asked = Cmd::new("pkg-config").args(["--variable", "pc_path", "pkg-config"]);
    match asked.output(shop.ctx).await {
        Ok(said) => paths.extend(said.text().trim().split(':').map(PathBuf::from)),
        Err(error @ ProcessError::Interrupted { .. }) => return Err(error.into()),
        // Where it is not there, it answers nothing.
        Err(_) => {}
    }
    Ok(stamps(paths.iter().map(PathBuf::as_path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_the_host_that_changes_makes_another_key() {
        let root = tempfile::tempdir().unwrap();
        let header = root.path().join("popt.h");
        std::fs::write(&header, "one").unwrap();
        let mut taken = Taken::default();
        let text =
            format!("/m/out/t: {} \\\n  /m/own.h ../near.h\n/m/out/u: /cache/linux/x.h\n", header.display());
        taken.add_headers(&text, &[Path::new("/m"), Path::new("/cache")]);
        assert_eq!(taken.files, BTreeSet::from([header.clone()]));
        let before = taken.stamps();
        assert_eq!(before, taken.stamps());
        std::fs::write(&header, "another").unwrap();
        assert_ne!(before, taken.stamps());
        std::fs::remove_file(&header).unwrap();
        assert!(taken.stamps().ends_with("popt.h: none\n"));
    }

    #[test]
    fn who_lacks_something_depends_on_all_that_is_installed() {
        let whole = Taken::default();
        assert_eq!(whole.stamps(), "");
        let lacking = Taken { lacking: true, ..whole };
        assert!(lacking.stamps().contains("/usr/include:"));
    }
}
