//! What the kernel of a kselftest run is asked to be: by its own fragments, and by its directories' `config`.
//! Nothing else, so that it is the kernel that test-syscall runs if the directories ask for nothing more.

use std::collections::BTreeMap;

use crate::build::config;
use crate::build::kconfig::{Fragment, Value};
use crate::build::kernel::Bench;
use crate::build::{Trouble, kselftest as directories};
use crate::model::RelPath;

/// The fragments of a kernel.
#[derive(Debug)]
pub struct Asked {
    /// Every line of these is kept, or it is an error.
    pub fragments: Vec<Fragment>,
    /// Of these Kconfig may drop some.
    pub wishes: Vec<Fragment>,
    /// Directories whose `config` cannot be merged, and why.
    pub unread: Vec<(RelPath, String)>,
}

impl Asked {
    /// Of the directories that are run together.
    pub fn of<'a>(bench: &Bench<'_>, dirs: impl Iterator<Item = &'a RelPath>) -> Result<Asked, Trouble> {
        let mut fragments = config::base(bench)?;
        let mut wishes = Vec::new();
        let mut unread = Vec::new();
        for dir in dirs {
            let Some(text) = directories::file(&bench.pristine, dir, "config") else { continue };
            match Fragment::parse(dir.as_str(), &text) {
                Ok(mut fragment) => {
                    // There are no modules in the guest to load.
                    for entry in fragment.entries.iter_mut().filter(|entry| entry.value == Value::Module) {
                        entry.value = Value::Yes;
                    }
                    wishes.push(fragment);
                }
                Err(error) => unread.push((dir.clone(), error.to_string())),
            }
        }
        fragments.retain(|fragment| !fragment.entries.is_empty());
        Ok(Asked { fragments, wishes, unread })
    }

    /// Lines of two fragments that want different values: the first that asked has it.
    pub fn contradictions(&self) -> Vec<String> {
        let mut first: BTreeMap<&str, (&str, &Value)> = BTreeMap::new();
        let mut found = Vec::new();
        for Fragment { name, entries } in self.fragments.iter().chain(&self.wishes) {
            for entry in entries {
                let (by, value) = *first.entry(entry.symbol.as_str()).or_insert((name, &entry.value));
                if *value != entry.value {
                    found.push(format!(
                        "{name} asks for {}={}, and {by} for {value}",
                        entry.symbol, entry.value
                    ));
                }
            }
        }
        found
    }
}
