//! What a person found out about a disagreement of the ABIs.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ProgramId, RelPath};

/// What somebody found out about a disagreement of the ABIs, by reading the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Explanation {
    /// The kernel, with a `*` at the end for any rest; any if it is not said.
    #[serde(default)]
    pub kernel: Option<String>,
    /// The directory.
    pub dir: RelPath,
    /// The program, with a `*` at the end for any rest.
    pub program: String,
    /// The case, likewise; without it the note is about the program and all its cases.
    #[serde(default)]
    pub case: Option<String>,
    /// Whose doing it is.
    pub what: Doing,
    /// How that is known.
    pub why: String,
}

/// Where a disagreement comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Doing {
    /// The kernel treats the ABIs differently.
    Kernel,
    /// The test takes something for granted that one ABI does not have.
    Test,
    /// The C library or the compiler.
    Toolchain,
    /// The kernel's configuration, or what the guest has.
    Config,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Doing::Kernel => "kernel",
            Doing::Test => "test",
            Doing::Toolchain => "toolchain",
            Doing::Config => "config",
        })
    }
}

impl Explanation {
    /// Whether it is about this program and case (`None` is the program as a whole).
    pub fn concerns(&self, id: &ProgramId, case: Option<&str>) -> bool {
        self.dir == id.dir
            && self.kernel.as_ref().is_none_or(|kernel| fits(kernel, id.kernel.as_str()))
            && fits(&self.program, id.program.as_str())
            && self.case.as_ref().is_none_or(|own| case.is_some_and(|case| fits(own, case)))
    }
}

/// A pattern: the name itself, or its beginning and `*`.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => pattern == name,
    }
}
