//! Which kernels a run is about, and what is known of the syscall on each before any tree is
//! looked at: the spec files, and what the command line says instead of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::derive::{DeriveError, Derived};
use super::files::{Kernel, Patch, Project, Spec};
use super::mail::{self, MailError};
use super::matrix::{PlanError, Selection, select_kernels, suggestions};
use super::stack::Stack;
use super::yaml::{InputError, read_bytes};
use crate::limits;
use crate::model::{KernelName, SyscallName};

/// A kernel that was selected.
#[derive(Debug, Clone)]
pub struct Target {
    /// The kernel; of a range of commits, once its tree was looked at, the one it starts from.
    pub kernel: Kernel,
    /// The user's folder, if it is one.
    pub tree: Option<PathBuf>,
    /// What the spec file says, if there is one.
    pub spec: Option<Spec>,
    /// What is applied beside its series.
    pub stack: Stack,
    /// The series that comes with the command line instead of the spec's.
    pub patches: Vec<Patch>,
    /// The commits that are the series.
    pub range: Option<String>,
    /// What the tree says, once it was looked at.
    pub found: Option<Found>,
    /// What the user is to know of how it was read.
    pub notes: Vec<String>,
}

/// What a tree says of the syscall.
#[derive(Debug, Clone)]
pub struct Found {
    /// Numbers, option and tests, the series applied.
    pub derived: Result<Derived, DeriveError>,
    /// The call is there without the series.
    pub in_base: bool,
}

impl Target {
    /// Whether the plan needs a look at the tree: nothing else says what the syscall is, or the
    /// tree is the user's, who may edit it while the run goes on.
    pub fn needs_look(&self) -> bool {
        self.spec.is_none() || self.kernel.is_users
    }
}

/// What a run is about.
#[derive(Debug, Clone)]
pub struct Targets {
    /// The syscall.
    pub syscall: SyscallName,
    /// The kernels, in the order in which they are built.
    pub kernels: Vec<Target>,
    /// The kernels that have a series for it.
    pub with_series: Vec<KernelName>,
}

/// Chooses the kernels.
pub fn targets(project: &Project, syscall: &str, selection: &Selection) -> Result<Targets, PlanError> {
    let known = project.kernels()?;
    select_kernels(&selection.kernels, &known)?;
    let mut with_series: BTreeMap<SyscallName, Vec<KernelName>> = BTreeMap::new();
    for kernel in &known {
        for call in project.syscalls(kernel)? {
            with_series.entry(call).or_default().push(kernel.clone());
        }
    }
    let kernels = match (&selection.tree, &selection.kernels[..]) {
        (Some(path), _) => vec![project.tree(path)?],
        // The newest that has the syscall.
        (None, []) => {
            let found = with_series.iter().find(|(call, _)| call.as_str() == syscall);
            let Some(newest) = found.and_then(|(_, kernels)| kernels.last()) else {
                let known: Vec<String> = with_series.keys().map(ToString::to_string).collect();
                let name: String = syscall.chars().take(80).flat_map(char::escape_debug).collect();
                return Err(PlanError::NoSyscall { near: suggestions(syscall, &known), name, known });
            };
            vec![project.kernel(newest)?]
        }
        (None, chosen) => {
            // In the order of the command line, each once.
            let mut once: Vec<&KernelName> = Vec::new();
            for name in chosen {
                if !once.contains(&name) {
                    once.push(name);
                }
            }
            once.into_iter().map(|name| project.kernel(name)).collect::<Result<_, _>>()?
        }
    };
    let syscall: SyscallName = syscall.parse().map_err(PlanError::Name)?;
    let with_series = with_series.remove(&syscall).unwrap_or_default();
    let mut targets = Vec::new();
    for mut kernel in kernels {
        kernel.recipe = selection.recipe.clone();
        selection.profile.iter().for_each(|profile| profile.equip(&mut kernel));
        let mut spec = project.spec_if_any(&kernel.name, &syscall)?;
        let mut notes = Vec::new();
        let stack = match &spec {
            // What is in the user's tree, or comes with it, is the series.
            _ if kernel.is_users => Stack::default(),
            Some(spec) => project.stack(&kernel.name, spec, selection.stacked)?,
            None if selection.stacked => return Err(PlanError::NoStack { kernel: kernel.name, syscall }),
            None => Stack::default(),
        };
        if let Some(spec) = &mut spec {
            if kernel.is_users {
                spec.patches.clear();
                spec.man_page = None;
            } else if selection.patches.is_some() {
                return Err(PlanError::TwoSeries { kernel: kernel.name.clone(), syscall });
            }
            spec.option = selection.option.clone().or(spec.option.take());
            spec.selftest = selection.selftest.clone().or(spec.selftest.take());
        }
        let patches = match &selection.patches {
            Some(path) => read_series(path, &mut notes)?,
            None => Vec::new(),
        };
        let tree = selection.tree.clone();
        let range = selection.range.clone();
        targets.push(Target { kernel, tree, spec, stack, patches, range, found: None, notes });
    }
    Ok(Targets { syscall, kernels: targets, with_series })
}

/// The patches of a folder, those of an mbox, or the one of a file of `git diff`.
fn read_series(path: &Path, notes: &mut Vec<String>) -> Result<Vec<Patch>, PlanError> {
    let patches = match path.is_dir() {
        true => read_folder(path, notes)?,
        false => read_one_file(path, notes)?,
    };
    let mut kept = Vec::new();
    for patch in patches {
        if mail::is_man_page(&patch.read()?) {
            notes.push(format!("{} is for the man-pages repository: not applied", patch.name()));
        } else {
            kept.push(patch);
        }
    }
    if kept.is_empty() || kept.len() > limits::SERIES_PATCHES {
        let what = format!("it has {} patches: 1 to {} are a series", kept.len(), limits::SERIES_PATCHES);
        return Err(InputError::Content { path: path.to_owned(), what }.into());
    }
    Ok(kept)
}

fn wrong(path: &Path, error: &MailError) -> PlanError {
    InputError::Content { path: path.to_owned(), what: error.to_string() }.into()
}

fn read_folder(path: &Path, notes: &mut Vec<String>) -> Result<Vec<Patch>, PlanError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(InputError::Read)? {
        names.push(entry.map_err(InputError::Read)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    let (ordered, more) = mail::order_folder(&names).map_err(|error| wrong(path, &error))?;
    notes.extend(more);
    let (mut patches, mut places) = (Vec::new(), Vec::new());
    for name in ordered {
        let file = path.join(&name);
        let read = mail::read_file(&name, &read_bytes(&file, limits::PATCH_BYTES)?);
        let read = read.map_err(|error| wrong(path, &error))?;
        patches.push(patch_of(file, name.clone(), read.decoded));
        places.push((name, read.place));
    }
    notes.extend(mail::check_parts(&places).map_err(|error| wrong(path, &error))?);
    Ok(patches)
}

fn read_one_file(path: &Path, notes: &mut Vec<String>) -> Result<Vec<Patch>, PlanError> {
    let bytes = read_bytes(path, limits::MBOX_BYTES)?;
    let series = match mail::read_mbox(&bytes) {
        Ok(series) => series,
        // As a folder may have it.
        Err(MailError::NoMail { .. }) if mail::is_diff(&bytes) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let read = mail::read_file(&name, &bytes).map_err(|error| wrong(path, &error))?;
            return Ok(vec![patch_of(path.to_owned(), name, read.decoded)]);
        }
        Err(error) => return Err(wrong(path, &error)),
    };
    notes.extend(series.notes);
    let patch = |patch: mail::PatchText| {
        let name = format!("{:04} {}", patch.number, patch.subject);
        Patch::Text { name, text: patch.text }
    };
    Ok(series.patches.into_iter().map(patch).collect())
}

/// A patch file, or what it says once it is decoded.
fn patch_of(file: PathBuf, name: String, decoded: Option<String>) -> Patch {
    match decoded {
        Some(text) => Patch::Text { name, text },
        None => Patch::File(file),
    }
}

#[cfg(test)]
mod tests;
