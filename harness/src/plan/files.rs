//! `kernels/<name>/kernel.yaml` and `kernels/<name>/<syscall>/spec.yaml`, and the tree they lie in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Deserialize;

use super::contract::{self, Contract};
use super::recipe::Recipe;
use super::yaml::{InputError, Spanned, load, read_text};
use crate::limits;
use crate::model::{
    Abi, Date, KernelName, KnownIssue, Leg, NameError, OptionName, RelPath, Symptom, SyscallName, Tests,
};

/// Where a kernel's source comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Source {
    /// Debian's package of this name, which puts `/usr/src/NAME.tar.xz` there.
    Debian(KernelName),
    /// An archive on this machine with its published sum.
    Tarball {
        /// Absolute, or relative to the folder of `kernel.yaml`.
        path: PathBuf,
        /// SHA-256 in hexadecimal digits.
        sha256: String,
    },
    /// A folder with a kernel tree in it, be it dirty or built in place; it is copied, never
    /// written to.
    Directory(PathBuf),
    /// A commit of a git repository on this machine or behind a URL that git can clone.
    Git {
        /// What `git fetch` takes.
        repository: String,
        /// A full commit id, a tag or a branch.
        revision: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KernelFile {
    kernel: KernelName,
    source: Source,
    configs: Vec<RelPath>,
    #[serde(default)]
    command_line: Vec<String>,
}

/// A kernel as its folder describes it.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// Its name, which is its folder's.
    pub name: KernelName,
    /// Where its source comes from, paths made absolute.
    pub source: Source,
    /// The fragments of its base configuration, in the order in which they are merged.
    pub fragments: Vec<PathBuf>,
    /// What it needs on its command line beyond what every guest gets.
    pub command_line: Vec<String>,
    /// How it is configured and compiled beyond that.
    pub recipe: Recipe,
    /// It is the user's own tree, of any version: what our fragments ask for and it does not define
    /// is left out.
    pub is_users: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpecFile {
    syscall: SyscallName,
    number: u32,
    option: OptionName,
    selftest: Tests,
    patches: Vec<RelPath>,
    #[serde(default)]
    man_page: Option<RelPath>,
    #[serde(default)]
    numbers: BTreeMap<Abi, u32>,
    #[serde(default)]
    after: Option<Spanned<SyscallName>>,
}

/// One patch of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Patch {
    /// A file of its own.
    File(PathBuf),
    /// Out of an mbox or a repository.
    Text {
        /// What messages call it.
        name: String,
        /// What `git apply` takes.
        text: String,
    },
}

impl Patch {
    /// What messages and records call it.
    pub fn name(&self) -> String {
        match self {
            Patch::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Patch::Text { name, .. } => name.clone(),
        }
    }

    /// Its text, bounded.
    pub fn read(&self) -> Result<String, InputError> {
        match self {
            Patch::File(path) => read_text(path, limits::PATCH_BYTES),
            Patch::Text { text, .. } => Ok(text.clone()),
        }
    }
}

/// The series that another one stands on, and where that is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    /// Whose series.
    pub syscall: SyscallName,
    /// The line of the spec file, from 1.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
}

/// A syscall on one kernel: its series and what the tool has to know of it.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The call.
    pub syscall: SyscallName,
    /// Its number by each ABI that has it, without the x32 bit.
    pub numbers: BTreeMap<Abi, u32>,
    /// The option that switches it; none where it is in every kernel.
    pub option: Option<OptionName>,
    /// Its tests, if it has some of its own that are to run.
    pub selftest: Option<Tests>,
    /// The patches to apply, in order.
    pub patches: Vec<Patch>,
    /// The patches bring the call: without them its number is free, and the kernel is without it.
    pub adds_call: bool,
    /// The patch for the man-pages repository: part of what is mailed, not of the kernel.
    pub man_page: Option<PathBuf>,
    /// What its series is made on top of; nothing if on the kernel itself.
    pub after: Option<After>,
}

impl Spec {
    /// The number by this ABI, without the x32 bit; none if there is no such call by it.
    pub fn number(&self, abi: Abi) -> Option<u32> {
        self.numbers.get(&abi).copied()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IssueEntry {
    #[serde(default)]
    splat: Option<String>,
    #[serde(default)]
    case: Option<String>,
    #[serde(default)]
    syscall: Option<SyscallName>,
    #[serde(default)]
    leg: Option<Leg>,
    #[serde(default)]
    abi: Option<Abi>,
    reason: String,
    link: String,
    expires: Date,
}

/// The checkout that the tool works on.
#[derive(Debug, Clone)]
pub struct Project {
    root: PathBuf,
}

impl Project {
    /// The project in `root`.
    pub fn new(root: PathBuf) -> Project {
        Project { root }
    }

    /// Its top folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The names of all kernels, oldest version first.
    pub fn kernels(&self) -> Result<Vec<KernelName>, InputError> {
        let mut names = self.folders_with("kernels", "kernel.yaml")?;
        names.sort_by_key(|name: &KernelName| version_key(name.as_str()));
        Ok(names)
    }

    /// The syscalls that have a series on this kernel.
    pub fn syscalls(&self, kernel: &KernelName) -> Result<BTreeSet<SyscallName>, InputError> {
        let names = self.folders_with(&format!("kernels/{kernel}"), "spec.yaml")?;
        Ok(names.into_iter().collect())
    }

    fn folders_with<T: std::str::FromStr<Err = NameError>>(
        &self,
        folder: &str,
        file: &str,
    ) -> Result<Vec<T>, InputError> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.root.join(folder)).map_err(InputError::Read)? {
            let entry = entry.map_err(InputError::Read)?;
            if entry.path().join(file).is_file() {
                let name = entry.file_name().to_string_lossy().parse();
                let wrong =
                    |error: NameError| InputError::Content { path: entry.path(), what: error.to_string() };
                found.push(name.map_err(wrong)?);
            }
        }
        Ok(found)
    }

    /// Reads a kernel's file.
    pub fn kernel(&self, name: &KernelName) -> Result<Kernel, InputError> {
        let folder = self.root.join("kernels").join(name.as_str());
        let path = folder.join("kernel.yaml");
        let file: KernelFile = load(&path)?;
        let wrong = |what: String| InputError::Content { path: path.clone(), what };
        if file.kernel != *name {
            return Err(wrong(format!("it says `kernel: {}` but lies in the folder `{name}`", file.kernel)));
        }
        check_words(&file.command_line).map_err(wrong)?;
        let source = match file.source {
            Source::Tarball { path: tarball, sha256 } => {
                if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(wrong("`sha256` is 64 hexadecimal digits".to_owned()));
                }
                Source::Tarball { path: folder.join(tarball), sha256: sha256.to_lowercase() }
            }
            Source::Directory(path) => Source::Directory(folder.join(path)),
            Source::Git { repository, revision } => {
                if revision.starts_with('-') || repository.starts_with('-') {
                    return Err(wrong("a repository or revision does not begin with `-`".to_owned()));
                }
                Source::Git { repository, revision }
            }
            Source::Debian(package) => Source::Debian(package),
        };
        let fragments = fragment_paths(&self.root, &file.configs).map_err(wrong)?;
        let (command_line, recipe) = (file.command_line, Recipe::default());
        Ok(Kernel { name: name.clone(), source, fragments, command_line, recipe, is_users: false })
    }

    /// A user's tree as a kernel: its name is its folder's, and its configuration is made of the
    /// fragments of all kernels here, since its version may be any.
    pub fn tree(&self, path: &Path) -> Result<Kernel, InputError> {
        let mut fragments: Vec<PathBuf> = Vec::new();
        for name in self.kernels()? {
            for fragment in self.kernel(&name)?.fragments {
                if !fragments.contains(&fragment) {
                    fragments.push(fragment);
                }
            }
        }
        Ok(Kernel {
            name: tree_name(path),
            source: Source::Directory(path.to_owned()),
            fragments,
            command_line: Vec::new(),
            recipe: Recipe::default(),
            is_users: true,
        })
    }

    /// Reads what is known to be wrong with a kernel; a kernel without such a file has nothing.
    pub fn known_issues(&self, kernel: &KernelName) -> Result<Vec<KnownIssue>, InputError> {
        let path = self.root.join("kernels").join(kernel.as_str()).join("known-issues.yaml");
        if !path.exists() {
            return Ok(Vec::new());
        }
        let entries: Vec<IssueEntry> = load(&path)?;
        let wrong = |number: usize, what: &str| InputError::Content {
            path: path.clone(),
            what: format!("entry {}: {what}", number + 1),
        };
        let mut issues = Vec::new();
        for (number, entry) in entries.into_iter().enumerate() {
            let IssueEntry { splat, case, syscall, leg, abi, reason, link, expires } = entry;
            let symptom = match (splat, case) {
                (Some(title), None) => Symptom::Splat(title),
                (None, Some(name)) => Symptom::Case(name),
                _ => return Err(wrong(number, "it names either a `splat` or a `case`")),
            };
            let (Symptom::Splat(text) | Symptom::Case(text)) = &symptom;
            // `*` alone would excuse everything, and `WARNING*` nearly so.
            let place = |text: &str| text.contains(" at ") || text.contains(" in ");
            let wide = matches!(symptom, Symptom::Splat(_)) && text.ends_with('*') && !place(text);
            if text.trim_end_matches('*').trim().len() < 4 || wide {
                let what = "it could mean many things: a `splat` with `*` names the place (` at FILE`, ` in FUNCTION`)";
                return Err(wrong(number, what));
            }
            if reason.trim().is_empty() || link.trim().is_empty() {
                return Err(wrong(number, "its `reason` or `link` is empty"));
            }
            issues.push(KnownIssue { symptom, syscall, leg, abi, reason, link, expires });
        }
        Ok(issues)
    }

    /// Reads the contract of a syscall, if there is one; it is the same on all kernels.
    pub fn contract(&self, syscall: &SyscallName) -> Result<Option<Contract>, InputError> {
        let path = self.root.join("guest/selftests").join(syscall.as_str()).join("spec.yaml");
        path.is_file().then(|| contract::load(&path, syscall)).transpose()
    }

    /// The syscalls that have a contract.
    pub fn contracts(&self) -> Result<BTreeSet<SyscallName>, InputError> {
        Ok(self.folders_with("guest/selftests", "spec.yaml")?.into_iter().collect())
    }

    /// Reads the spec of a syscall on a kernel, if there is one.
    pub fn spec_if_any(
        &self,
        kernel: &KernelName,
        syscall: &SyscallName,
    ) -> Result<Option<Spec>, InputError> {
        self.spec_file(kernel, syscall).is_file().then(|| self.spec(kernel, syscall)).transpose()
    }

    /// Reads the spec of a syscall on a kernel.
    pub fn spec(&self, kernel: &KernelName, syscall: &SyscallName) -> Result<Spec, InputError> {
        spec_in(&self.root, &self.spec_file(kernel, syscall), syscall)
    }

    /// Where the spec of a syscall on a kernel lies, if there is one.
    pub(super) fn spec_file(&self, kernel: &KernelName, syscall: &SyscallName) -> PathBuf {
        self.root.join("kernels").join(kernel.as_str()).join(syscall.as_str()).join("spec.yaml")
    }
}

/// The name of a user's tree: its folder's, as far as a kernel can be called that.
pub(super) fn tree_name(path: &Path) -> KernelName {
    let folder = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let mut name: String = folder.chars().map(plain).collect();
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        name.insert_str(0, "tree-");
    }
    name.truncate(48);
    name.replace("..", "-").parse().unwrap_or_else(|_| "tree".parse().expect("a name"))
}

/// Refuses what would be more than a word of a kernel's command line.
pub(super) fn check_words(command_line: &[String]) -> Result<(), String> {
    let is_word = |word: &&String| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b',')
    };
    match command_line.iter().find(|word| !is_word(word)) {
        Some(word) => Err(format!(
            "`command_line` has {word:?}: a word of printable ASCII without quotes, blanks or commas is allowed"
        )),
        None => Ok(()),
    }
}

/// The fragments of a list, which lie in `configs/`.
pub(super) fn fragment_paths(root: &Path, configs: &[RelPath]) -> Result<Vec<PathBuf>, String> {
    if configs.is_empty() {
        return Err("`configs` names no fragment".to_owned());
    }
    let mut fragments = Vec::new();
    for config in configs {
        let fragment = root.join("configs").join(config);
        if !fragment.is_file() {
            return Err(format!("`configs` names `{config}`, but there is no configs/{config}"));
        }
        if !stays(&fragment, root) {
            return Err(format!("`configs` names `{config}`, a link that leaves the project"));
        }
        fragments.push(fragment);
    }
    Ok(fragments)
}

/// Whether a file lies below `root` once all links on the way are followed.
fn stays(file: &Path, root: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    real(file).zip(real(root)).is_some_and(|(file, root)| file.starts_with(root))
}

/// Reads the spec in a folder that also holds the patches.
fn spec_in(root: &Path, path: &Path, syscall: &SyscallName) -> Result<Spec, InputError> {
    let folder = path.parent().unwrap_or(root);
    let file: SpecFile = load(path)?;
    let wrong = |what: String| InputError::Content { path: path.to_owned(), what };
    if file.syscall != *syscall {
        return Err(wrong(format!("it says `syscall: {}` but lies in the folder `{syscall}`", file.syscall)));
    }
    if file.patches.is_empty() || file.patches.len() > limits::SERIES_PATCHES {
        return Err(wrong(format!("`patches` names 1 to {} patches", limits::SERIES_PATCHES)));
    }
    let named: BTreeSet<&str> = file.patches.iter().chain(&file.man_page).map(RelPath::as_str).collect();
    if named.len() != file.patches.len() + usize::from(file.man_page.is_some()) {
        return Err(wrong("a patch is named twice".to_owned()));
    }
    for entry in fs::read_dir(folder).map_err(InputError::Read)? {
        let name = entry.map_err(InputError::Read)?.file_name();
        let name = name.to_string_lossy();
        // A patch that lies there and is not applied would be reviewed in vain.
        if name.ends_with(".patch") && !name.starts_with("0000-") && !named.contains(&*name) {
            return Err(wrong(format!(
                "{name} lies beside it, but neither `patches` nor `man_page` names it"
            )));
        }
    }
    if let Some(missing) = named.iter().find(|name| !folder.join(name).is_file()) {
        return Err(wrong(format!("it names {missing}, but there is no such file beside it")));
    }
    if let Some(away) = named.iter().find(|name| !stays(&folder.join(name), root)) {
        return Err(wrong(format!("it names {away}, a link that leaves the project")));
    }
    let numbers = Abi::ALL.map(|abi| (abi, *file.numbers.get(&abi).unwrap_or(&file.number)));
    if let Some((abi, number)) = numbers.iter().find(|(_, number)| *number == 0 || *number > 0xffff) {
        return Err(wrong(format!("the number by {abi} is {number}: it is 1 to 65535, without the x32 bit")));
    }
    Ok(Spec {
        syscall: file.syscall,
        numbers: numbers.into(),
        option: Some(file.option),
        selftest: Some(file.selftest),
        patches: file.patches.iter().map(|patch| Patch::File(folder.join(patch))).collect(),
        adds_call: true,
        man_page: file.man_page.map(|patch| folder.join(patch)),
        after: file.after.map(|Spanned { value, referenced, .. }| After {
            syscall: value,
            line: referenced.line(),
            column: referenced.column(),
        }),
    })
}

/// Reads a fragment, bounded.
pub fn read_fragment(path: &Path) -> Result<String, InputError> {
    read_text(path, limits::INPUT_FILE_BYTES)
}

/// `linux-6.12` sorts after `linux-6.2`: runs of digits compare as numbers.
fn version_key(name: &str) -> Vec<(String, u64)> {
    let mut key = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let word = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(word);
        let number = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        let (number, tail) = tail.split_at(number);
        key.push((word.to_owned(), number.parse().unwrap_or(0)));
        rest = tail;
    }
    key
}

#[cfg(test)]
mod tests;
