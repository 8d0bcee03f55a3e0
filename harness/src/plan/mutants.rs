//! The seeded bugs of the kernels: the patches in `kernels/NAME/mutants/` that say what they are.

use std::path::PathBuf;

use fs_err as fs;

use super::files::{Patch, Project};
use super::yaml::InputError;
use crate::model::{KernelName, Mutant};

/// A mutant and where it lies.
#[derive(Debug, Clone)]
pub struct MutantPatch {
    /// Its file's name, without the ending.
    pub name: String,
    /// The kernel whose series it breaks.
    pub kernel: KernelName,
    /// The patch.
    pub path: PathBuf,
    /// What it says of itself.
    pub mutant: Mutant,
}

/// The mutants of a kernel.
#[derive(Debug, Clone, Default)]
pub struct Mutants {
    /// Those that say what must be seen, those that need the same kernel one after the other.
    pub named: Vec<MutantPatch>,
    /// The names of those that say nothing: only tests know what they are for.
    pub silent: Vec<String>,
}

impl Project {
    /// Reads the mutants of a kernel; one without such a folder has none.
    pub fn mutants(&self, kernel: &KernelName) -> Result<Mutants, InputError> {
        let folder = self.root().join("kernels").join(kernel.as_str()).join("mutants");
        let mut mutants = Mutants::default();
        if !folder.is_dir() {
            return Ok(mutants);
        }
        for entry in fs::read_dir(&folder).map_err(InputError::Read)? {
            let path = entry.map_err(InputError::Read)?.path();
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some(name) = file.strip_suffix(".patch") else { continue };
            let text = Patch::File(path.clone()).read()?;
            let wrong = |error: crate::model::MutantError| InputError::Yaml {
                path: path.clone(),
                line: error.line as u64,
                column: 1,
                what: error.what,
            };
            match Mutant::parse(&text).map_err(wrong)? {
                Some(mutant) => {
                    let (name, kernel) = (name.to_owned(), kernel.clone());
                    mutants.named.push(MutantPatch { name, kernel, path: path.clone(), mutant });
                }
                None => mutants.silent.push(name.to_owned()),
            }
        }
        // Another profile is another configuration of the whole kernel; another leg is a few objects.
        let order =
            |m: &MutantPatch| (m.mutant.profile.clone(), m.mutant.leg, m.mutant.of.clone(), m.name.clone());
        mutants.named.sort_by_key(order);
        mutants.silent.sort();
        Ok(mutants)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mutants_of_this_project_say_what_they_are() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let found = Project::new(root).mutants(&"linux-6.12".parse().unwrap()).unwrap();
        assert!(found.named.len() >= 20, "{} mutants", found.named.len());
    }

    #[test]
    fn mutants_are_ordered_by_what_has_to_be_built_for_them() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("kernels/k/mutants");
        std::fs::create_dir_all(&folder).unwrap();
        let of = |call: &str, more: &str| format!("Mutant-of: {call}\n{more}Expect: fail panic \"x\"\n---\n");
        for (name, text) in [
            ("a.patch", of("xyzzy", "Profile: debug\n")),
            ("b.patch", of("xyzzyfd", "")),
            ("c.patch", of("xyzzy", "")),
            ("d.patch", "---\n".to_owned()),
            ("notes.md", String::new()),
        ] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let project = Project::new(root.path().to_owned());
        let found = project.mutants(&"k".parse().unwrap()).unwrap();
        let names: Vec<&str> = found.named.iter().map(|mutant| mutant.name.as_str()).collect();
        assert_eq!((names, found.silent), (vec!["c", "b", "a"], vec!["d".to_owned()]));
        std::fs::write(folder.join("e.patch"), "Subject: x\nMutant-of: y\nExpect: maybe\n").unwrap();
        let error = project.mutants(&"k".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("mutants/e.patch:3:1: it is `pass`"), "{error}");
        assert!(project.mutants(&"other".parse().unwrap()).unwrap().named.is_empty());
    }
}
