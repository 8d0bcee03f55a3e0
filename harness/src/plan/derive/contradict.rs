//! A spec file against what the tree says.

use std::fmt;

use super::kconfig::Options;
use super::{Derived, SELFTESTS, Switch, TreeFiles};
use crate::broken::broken;
use crate::plan::files::Spec;

/// A spec and the tree that say different things: one clear line with both sides and the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction(String);

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a spec and the tree contradict each other. `tree` is the one that `derived` is of, with
/// the series applied. What could not be derived is no contradiction, and neither is a missing
/// entry: a cell shows that.
pub fn check(spec: &Spec, derived: &Derived, tree: &dyn TreeFiles) -> Vec<Contradiction> {
    let syscall = &spec.syscall;
    if broken("spec-against-tree") {
        return Vec::new();
    }
    let mut found: Vec<String> = Vec::new();
    for (abi, entry) in &derived.entries {
        let Some(number) = spec.number(*abi) else { continue };
        if number != entry.entry.number {
            found.push(format!(
                "the spec says that {syscall} is number {number} by {abi}, and the tree says {}",
                entry.entry
            ));
        }
    }
    found.extend(option(spec, derived, tree));
    if let Some(folder) = spec.selftest.as_ref().map(|tests| &tests.dir)
        && tree.files(&format!("{SELFTESTS}/{folder}"), 0).is_empty()
    {
        let instead = match derived.selftest() {
            Ok(other) => format!("; its tests seem to be in {SELFTESTS}/{}", other.dir),
            Err(_) => String::new(),
        };
        found.push(format!(
            "the spec says that the tests of {syscall} are in {folder}, and there is no {SELFTESTS}/{folder}{instead}"
        ));
    }
    found.into_iter().map(Contradiction).collect()
}

/// The option of the spec against Kconfig and against the one that was derived.
fn option(spec: &Spec, derived: &Derived, tree: &dyn TreeFiles) -> Option<String> {
    let (syscall, said) = (&spec.syscall, spec.option.as_ref()?);
    let decisive = match &derived.switch {
        Switch::Option(condition) => vec![condition],
        Switch::Fixed(conditions) => conditions.iter().collect(),
        Switch::Always | Switch::Unknown(_) => Vec::new(),
    };
    let wanted = decisive.iter().map(|condition| condition.option.clone()).chain([said.clone()]).collect();
    let options = Options::read(tree, &wanted);
    if options.of(said).is_empty() {
        let instead = match decisive.first() {
            Some(condition) => {
                format!("; {} switches it: {} ({})", condition.option, condition.how, condition.place)
            }
            None => String::new(),
        };
        return Some(format!(
            "the spec says that {said} switches {syscall}, and no Kconfig file of this tree has that option{instead}"
        ));
    }
    match &derived.switch {
        // Anything around the definition switches it; so may what the nearest option depends on.
        Switch::Option(condition) => {
            let around = derived.needs().any(|needed| needed.option == *said);
            let tied = options.are_tied(said, &condition.option);
            (!around && !tied).then(|| {
                format!(
                    "the spec says that {said} switches {syscall}, and in this tree {} does: {} ({})",
                    condition.option, condition.how, condition.place
                )
            })
        }
        Switch::Always if derived.conditional.is_none() => {
            let definition = derived.definitions().next()?;
            Some(format!(
                "the spec says that {said} switches {syscall}, and in this tree nothing does: {} stands under no option, and kernel/sys_ni.c has no COND_SYSCALL of it",
                definition.place
            ))
        }
        Switch::Always | Switch::Fixed(_) | Switch::Unknown(_) => None,
    }
}
