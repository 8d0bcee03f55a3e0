//! `configs/profiles.yaml`: fragments merged on top of a kernel's own, by one name, what such a kernel is
//! made with, and what a guest of it needs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::files::{Kernel, Project, check_words, fragment_paths};
use super::near::near;
use super::recipe::MakeVar;
use super::yaml::{InputError, load};
use crate::limits;
use crate::model::RelPath;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileEntry {
    configs: Vec<RelPath>,
    #[serde(default)]
    command_line: Vec<String>,
    #[serde(default)]
    make: Vec<String>,
    #[serde(default)]
    memory_mib: Option<u64>,
    #[serde(default)]
    patience: Option<u32>,
}

/// A way to configure kernels beyond what they always have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// As the command line calls it.
    pub name: String,
    /// The fragments, after the kernel's own.
    pub fragments: Vec<PathBuf>,
    /// Words for the kernel's command line.
    pub command_line: Vec<String>,
    /// Variables for the kernel's make, before those of `--make`: make takes the last.
    pub make: Vec<MakeVar>,
    /// A guest's memory, in MiB.
    pub memory_mib: u64,
    /// How many times the deadlines of an ordinary guest one of these has.
    pub patience: u32,
}

impl Profile {
    /// Makes it part of a kernel.
    pub fn equip(&self, kernel: &mut Kernel) {
        let more = self.fragments.iter().filter(|path| !kernel.fragments.contains(path));
        let more: Vec<PathBuf> = more.cloned().collect();
        kernel.fragments.extend(more);
        kernel.command_line.extend(self.command_line.iter().cloned());
    }
}

impl Project {
    /// Reads a profile.
    pub fn profile(&self, name: &str) -> Result<Profile, InputError> {
        let path = self.root().join("configs/profiles.yaml");
        let mut entries: BTreeMap<String, ProfileEntry> = load(&path)?;
        let wrong = |what: String| InputError::Content { path: path.clone(), what };
        let Some(entry) = entries.remove(name) else {
            let known: Vec<&str> = entries.keys().map(String::as_str).collect();
            let hint = match &near(name, known.iter().copied())[..] {
                [] => format!("known: {}", known.join(", ")),
                near => format!("did you mean {}?", near.join(" or ")),
            };
            let name: String = name.chars().take(80).flat_map(char::escape_debug).collect();
            return Err(wrong(format!("there is no profile `{name}`; {hint}")));
        };
        let ProfileEntry { configs, command_line, make, memory_mib, patience } = entry;
        let of_profile = |what: String| wrong(format!("`{name}`: {what}"));
        check_words(&command_line).map_err(of_profile)?;
        let fragments = fragment_paths(self.root(), &configs).map_err(of_profile)?;
        let make = make.iter().map(|var| var.parse()).collect::<Result<_, String>>();
        let make = make.map_err(|what| of_profile(format!("`make`: {what}")))?;
        let memory_mib = memory_mib.unwrap_or(limits::GUEST_MEMORY_MIB);
        let patience = patience.unwrap_or(1);
        if !(limits::GUEST_MEMORY_MIB..=limits::PROFILE_MEMORY_MIB).contains(&memory_mib) {
            let (least, most) = (limits::GUEST_MEMORY_MIB, limits::PROFILE_MEMORY_MIB);
            return Err(of_profile(format!("`memory_mib` is {least} to {most}")));
        }
        if !(1..=limits::PROFILE_PATIENCE).contains(&patience) {
            return Err(of_profile(format!("`patience` is 1 to {}", limits::PROFILE_PATIENCE)));
        }
        Ok(Profile { name: name.to_owned(), fragments, command_line, make, memory_mib, patience })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBUG: &str = "debug:\n  configs: [a.config]\n  command_line: [page_poison=1]\n  memory_mib: 1024\n  patience: 4\n  make: [CC=clang]\nplain: {configs: [a.config]}\n";

    fn profile(text: &str, name: &str) -> Result<Profile, String> {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("configs")).unwrap();
        std::fs::write(root.path().join("configs/profiles.yaml"), text).unwrap();
        std::fs::write(root.path().join("configs/a.config"), "").unwrap();
        let project = Project::new(root.path().to_owned());
        let found = project.profile(name).map_err(|error| error.to_string())?;
        assert!(found.fragments.iter().all(|path| path.is_file()));
        Ok(found)
    }

    #[test]
    fn a_profile_has_fragments_words_memory_and_patience() {
        let debug = profile(DEBUG, "debug").unwrap();
        assert_eq!((debug.memory_mib, debug.patience, debug.fragments.len()), (1024, 4, 1));
        assert_eq!(debug.command_line, ["page_poison=1"]);
        assert_eq!(debug.make.iter().map(MakeVar::as_str).collect::<Vec<_>>(), ["CC=clang"]);
        let plain = profile(DEBUG, "plain").unwrap();
        assert_eq!((plain.memory_mib, plain.patience), (limits::GUEST_MEMORY_MIB, 1));
    }

    #[test]
    fn every_mistake_in_a_profile_is_named() {
        for (text, name, word) in [
            (DEBUG.to_owned(), "debgu", "there is no profile `debgu`; did you mean debug?"),
            (DEBUG.replace("a.config", "b.config"), "debug", "no configs/b.config"),
            (DEBUG.replace("[a.config]", "[]"), "debug", "names no fragment"),
            (DEBUG.replace("page_poison=1", "'a b'"), "debug", "without quotes, blanks or commas"),
            (DEBUG.replace("CC=clang", "ARCH=um"), "debug", "`make`: ARCH is not to be set"),
            (DEBUG.replace("1024", "64"), "debug", "`memory_mib` is 512 to"),
            (DEBUG.replace(": 4", ": 0"), "debug", "`patience` is 1 to"),
            (DEBUG.replace("patience", "colour"), "debug", "profiles.yaml:5:3"),
        ] {
            let error = profile(&text, name).unwrap_err();
            assert!(error.contains(word) && error.contains("configs/profiles.yaml"), "{word}: {error}");
        }
    }
}
