//! The cases of a contract, as the plan makes them and the judge expects them.

use serde::{Deserialize, Serialize};

/// A case that is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedCase {
    /// The rule that it tests, in words; the same by each ABI.
    pub name: String,
    /// What the rule is taken from.
    pub cite: String,
}

/// A case that an ABI cannot express: no skip, no divergence, and not vanished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NotApplicable {
    /// The rule, in words.
    pub name: String,
    /// What the ABI has not.
    pub reason: String,
}
