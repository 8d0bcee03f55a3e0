//! What a kernel tree itself says of a syscall, with no YAML: numbers and entry points of each
//! ABI, where the call is defined, the option that switches it, and its selftest.
//!
//! Pure: the tree is behind [`TreeFiles`]. What could not be derived is said as such and is never
//! held against a spec file, which wins where there is one ([`check`]).

mod choose;
mod contradict;
mod define;
mod expr;
mod kconfig;
mod makefile;
mod selftest;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;
use std::fmt;

use super::tables::{Entry, TableError};
use crate::model::{Abi, OptionName, RelPath, SyscallName, Tests};

pub use contradict::{Contradiction, check};
pub use selftest::SELFTESTS;

/// How a tree is looked at: pristine on disk, with a series laid over it, or a map in a test.
pub trait TreeFiles {
    /// The text of a file, by its path below the tree's top; none if it is not there, is larger
    /// than a source file can be, or is not text.
    fn read(&self, path: &str) -> Option<String>;
    /// The files in `folder` and in the folders at most `depth` below it, by their paths below the
    /// tree's top, sorted; nothing if there is no such folder. Links are passed over.
    fn files(&self, folder: &str, depth: usize) -> Vec<String>;
}

/// A tree for tests: path and text of each file.
impl TreeFiles for BTreeMap<String, String> {
    fn read(&self, path: &str) -> Option<String> {
        self.get(path).cloned()
    }

    fn files(&self, folder: &str, depth: usize) -> Vec<String> {
        let below =
            |path: &str| path.strip_prefix(folder)?.strip_prefix('/').map(|rest| rest.matches('/').count());
        self.keys().filter(|path| below(path).is_some_and(|deep| deep <= depth)).cloned().collect()
    }
}

/// What a tree says of one syscall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    /// The call.
    pub syscall: SyscallName,
    /// The line of the tables for each ABI that has one, and what it leads to.
    pub entries: BTreeMap<Abi, AbiEntry>,
    /// The option that switches it.
    pub switch: Switch,
    /// `COND_SYSCALL(name)` (or `SYS_NI`) of its entry point, as file and line: what lets a kernel
    /// link without the call. None: with no such line, it cannot be left out of a build.
    pub conditional: Option<Place>,
    /// Where its tests are.
    pub selftest: Selftest,
    /// What a reader should know: one line each.
    pub notes: Vec<String>,
}

/// A line of a file of the tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Below the tree's top.
    pub file: String,
    /// From 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// The syscall by one ABI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbiEntry {
    /// The table's line: number, ABI column, entry, compat entry, noreturn; `file()` and `line`.
    pub entry: Entry,
    /// What a 64-bit kernel runs for it.
    pub target: Target,
}

/// What a line of a table leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The line has no function, or `sys_ni_syscall`: the number is taken and gives ENOSYS.
    NotImplemented,
    /// The function as the table names it, and its definition in C.
    Defined {
        /// `sys_newfstat`, or `compat_sys_execve` where the compat column decides.
        function: String,
        /// The `SYSCALL_DEFINE` (or a sibling) of it.
        definition: Definition,
    },
    /// Every definition of it is left out of a 64-bit kernel (`vm86`): the number gives ENOSYS.
    NotBuilt {
        /// As the table names it.
        function: String,
        /// The definition that is left out.
        definition: Definition,
    },
    /// No definition was found where they are looked for.
    NotFound {
        /// As the table names it.
        function: String,
    },
}

/// A `SYSCALL_DEFINEn(name, …)` in C.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// `SYSCALL_DEFINE3`, `COMPAT_SYSCALL_DEFINE2` or `SYSCALL32_DEFINE0`.
    pub macro_name: String,
    /// Its first argument.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// What has to hold for it to be compiled, the nearest to it first.
    pub conditions: Vec<Condition>,
}

/// An option that something in C or in a Makefile depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The option.
    pub option: OptionName,
    /// Whether it has to be set, or has to be unset.
    pub set: bool,
    /// How it decides.
    pub how: How,
    /// Where that stands.
    pub place: Place,
}

/// How an option decides whether code is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// `#ifdef`, `#if defined(…)` or `#if IS_ENABLED(…)` around it.
    Guard,
    /// `IS_ENABLED(…)` in its body, beside ENOSYS.
    Body,
    /// The file is included by another, inside such a region.
    Include,
    /// `obj-$(CONFIG_X) += file.o`, or a composite object of which it is part.
    Object,
    /// `obj-$(CONFIG_X) += folder/`.
    Folder,
    /// `ifdef CONFIG_X` or `ifeq ($(CONFIG_X),y)` around such a line.
    Block,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            How::Guard => "a guard of the preprocessor",
            How::Body => "IS_ENABLED in its body",
            How::Include => "a guard around the #include of its file",
            How::Object => "its object in the Makefile",
            How::Folder => "its folder in the Makefile",
            How::Block => "a conditional block of the Makefile",
        })
    }
}

/// Whether a syscall can be switched, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Switch {
    /// This option switches it, and a configuration can ask for it both ways.
    Option(Condition),
    /// These options decide, but none has a prompt, so that no configuration can ask for it off
    /// (CONFIG_MMU); the nearest one first.
    Fixed(Vec<Condition>),
    /// Nothing switches it: it is in every kernel.
    Always,
    /// It was not found out; the text says why.
    Unknown(String),
}

/// Where the tests of a syscall are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selftest {
    /// What there is, the best first.
    pub candidates: Vec<Candidate>,
    /// What was chosen: the folder of the first candidate; of that the program alone that has the call's
    /// name, if the folder builds it and does not list it among its tests (one script of `mm` runs them
    /// all). None if nothing tells the best candidates apart, or if all do no more than mention the call.
    pub chosen: Option<Tests>,
}

/// A folder of selftests that may be a syscall's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Below tools/testing/selftests.
    pub folder: RelPath,
    /// Why it is one.
    pub why: Why,
    /// The program that is named after the call, or the first file that mentions it; below the
    /// folder. None for a folder of the call's name in which nothing mentions it.
    pub file: Option<String>,
    /// How many sources in it mention `__NR_name` or `SYS_name`.
    pub mentions: usize,
}

/// Why a folder is a candidate, the strongest reason first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It has the call's name.
    Named,
    /// A program in it has the call's name (`core/close_range_test.c`).
    Program,
    /// It has the name of the call's family (`landlock`), and its sources mention the call.
    Family,
    /// Its sources mention the call.
    Mentions,
    /// Its sources call a function of that name, and none anywhere mentions its number.
    Calls,
}

/// Why nothing is said of a syscall.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields mean")]
pub enum DeriveError {
    #[error("there is no {table}: this is not the top of a kernel tree with x86")]
    NoTable { table: &'static str },
    #[error("{0}")]
    Table(#[from] TableError),
    #[error("the tables of this tree have no {syscall}{}", near_text(near))]
    Unknown { syscall: SyscallName, near: Vec<String> },
}

fn near_text(near: &[String]) -> String {
    match near {
        [] => String::new(),
        names => format!("; there is {}", names.join(", ")),
    }
}

impl Derived {
    /// The ABIs that have no line in the tables.
    pub fn absent(&self) -> Vec<Abi> {
        Abi::ALL.into_iter().filter(|abi| !self.entries.contains_key(abi)).collect()
    }

    /// Its number by an ABI, without the x32 bit.
    pub fn number(&self, abi: Abi) -> Option<u32> {
        self.entries.get(&abi).map(|entry| entry.entry.number)
    }

    /// What its entries run, in the order of [`Abi::ALL`]; the same definition may come again.
    pub fn definitions(&self) -> impl Iterator<Item = &Definition> {
        self.entries.values().filter_map(|entry| match &entry.target {
            Target::Defined { definition, .. } => Some(definition),
            Target::NotImplemented | Target::NotBuilt { .. } | Target::NotFound { .. } => None,
        })
    }

    /// Everything that has to hold for its definitions.
    pub fn needs(&self) -> impl Iterator<Item = &Condition> {
        self.definitions().flat_map(|definition| &definition.conditions)
    }

    /// The option that switches it; otherwise one line that says why there is none and what to do.
    pub fn option(&self) -> Result<&OptionName, String> {
        words::option(self)
    }

    /// Its tests; otherwise one line that lists what there is and says what to do.
    pub fn selftest(&self) -> Result<&Tests, String> {
        words::tests(self)
    }

    /// All of it for a reader: one line per fact, each with its place in the tree.
    pub fn describe(&self) -> Vec<String> {
        words::describe(self)
    }
}

/// Derives what the tree says of `syscall`.
pub fn derive(syscall: &SyscallName, tree: &dyn TreeFiles) -> Result<Derived, DeriveError> {
    choose::derive(syscall, tree)
}
