//! A spec file against what the tree says.

use std::fmt;

use super::{Derived, TreeFiles};
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
pub fn check(_spec: &Spec, _derived: &Derived, _tree: &dyn TreeFiles) -> Vec<Contradiction> {
    Vec::new()
}
