//! What a person found out about a disagreement of the ABIs, or about a failure that they share.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Abi, ProgramId, RelPath};

/// What somebody found out by reading the code. It holds for what was seen then: an ABI that differs
/// since is not explained, and no note explains a kernel that fell over, but one of the kernel.
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
    /// The ABIs that do not come to what the first comes to; all of them if they fail alike. Without it,
    /// whichever: for what is a matter of luck.
    #[serde(default)]
    pub abis: Vec<Abi>,
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
    /// The host: what depends on how fast it is, and on what runs beside the guest.
    Host,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Doing::Kernel => "kernel",
            Doing::Test => "test",
            Doing::Toolchain => "toolchain",
            Doing::Config => "config",
            Doing::Host => "host",
        })
    }
}

impl Explanation {
    /// Whether it is about this program and case (`None` is the program as a whole) where just these
    /// ABIs differ from the first.
    pub fn concerns(&self, id: &ProgramId, case: Option<&str>, differ: &[Abi]) -> bool {
        let same = |own: &[Abi]| differ.iter().all(|abi| own.contains(abi)) && own.len() == differ.len();
        self.dir == id.dir
            && (self.abis.is_empty() || same(&self.abis))
            && self.kernel.as_ref().is_none_or(|kernel| fits(kernel, id.kernel.as_str()))
            && fits(&self.program, id.program.as_str())
            && self.case.as_ref().is_none_or(|own| case.is_some_and(|case| fits(own, case)))
    }

    /// Whether it is about a program that fails alike by all ABIs that ran.
    pub fn concerns_all(&self, id: &ProgramId) -> bool {
        self.abis.len() == Abi::ALL.len() && self.concerns(id, None, &self.abis)
    }
}

/// A pattern: the name itself, or its beginning and `*`.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => pattern == name,
    }
}
