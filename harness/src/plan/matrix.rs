//! The matrix to run, decided before anything is built. Pure: `--dry-run` prints it and stops.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::files::{Kernel, Project, Spec};
use super::host::Host;
use super::near::near;
use super::yaml::InputError;
use crate::broken::broken;
use crate::limits;
use crate::model::{Abi, Cause, CellId, Date, KernelName, KnownIssue, Leg, SyscallName, Transport};
use crate::process::quote;

/// What the user selected. Empty lists mean the default.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// `--kernel`.
    pub kernels: Vec<KernelName>,
    /// `--leg`.
    pub legs: Vec<Leg>,
    /// `--abi`.
    pub abis: Vec<Abi>,
    /// `--jobs`.
    pub jobs: Option<usize>,
    /// `--timeout`.
    pub timeout: Option<Duration>,
    /// `--transport`: each cell runs over all of them. Empty is serial.
    pub transports: Vec<Transport>,
    /// `--extra-patch`: applied after the series of every kernel.
    pub extra_patches: Vec<PathBuf>,
    /// The day of the run: known issues expire. Without it none is excused.
    pub today: Option<Date>,
}

/// A selection that cannot be planned.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields mean")]
pub enum PlanError {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("there is no kernel `{name}`; {}", hint(near, known))]
    NoKernel { name: String, near: Vec<String>, known: Vec<String> },
    #[error("no kernel has a series for the syscall `{name}`; {}", hint(near, known))]
    NoSyscall { name: String, near: Vec<String>, known: Vec<String> },
    #[error("nothing is selected: {0}")]
    Nothing(String),
    #[error("{kernel} has no series for `{syscall}`; kernels that have one: {known}")]
    NoSeries { kernel: KernelName, syscall: SyscallName, known: String },
}

fn hint(near: &[String], known: &[String]) -> String {
    match near {
        [] => format!("known: {}", known.join(", ")),
        near => format!("did you mean {}?", near.join(" or ")),
    }
}

/// One kernel of the plan.
#[derive(Debug, Clone)]
pub struct KernelPlan {
    /// The kernel.
    pub kernel: Kernel,
    /// The syscall on it.
    pub spec: Spec,
    /// What is built of it.
    pub legs: Vec<Leg>,
    /// What is known to be wrong with it, and excused today.
    pub known: Vec<KnownIssue>,
}

/// One cell of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellPlan {
    /// Which one.
    pub id: CellId,
    /// Why it cannot be run, if that is known already.
    pub miss: Option<Cause>,
}

/// All that one invocation will do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The syscall under test.
    pub syscall: SyscallName,
    /// The kernels, in the order in which they are built.
    pub kernels: Vec<KernelPlan>,
    /// The cells, in the order of the matrix.
    pub cells: Vec<CellPlan>,
    /// The ABIs selected.
    pub abis: Vec<Abi>,
    /// How guests are reached: a cell runs once by each.
    pub transports: Vec<Transport>,
    /// Guests at once.
    pub jobs: usize,
    /// The deadline of one test program.
    pub deadline: Duration,
    /// What was changed on the way, and why.
    pub notes: Vec<String>,
    /// The words of the command line that change what a cell is, quoted for a shell.
    pub options: Vec<String>,
}

/// Decides the matrix.
pub fn plan(project: &Project, syscall: &str, selection: &Selection, host: &Host) -> Result<Plan, PlanError> {
    let known = project.kernels()?;
    let names = |list: &[KernelName]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    for name in &selection.kernels {
        if !known.contains(name) {
            let near = suggestions(name.as_str(), &names(&known));
            return Err(PlanError::NoKernel { name: name.to_string(), near, known: names(&known) });
        }
    }
    let mut with_series: BTreeMap<SyscallName, Vec<KernelName>> = BTreeMap::new();
    for kernel in &known {
        for call in project.syscalls(kernel)? {
            with_series.entry(call).or_default().push(kernel.clone());
        }
    }
    let Some((syscall, with_series)) = with_series.iter().find(|(call, _)| call.as_str() == syscall) else {
        let known: Vec<String> = with_series.keys().map(ToString::to_string).collect();
        let name: String = syscall.chars().take(80).flat_map(char::escape_debug).collect();
        return Err(PlanError::NoSyscall { near: suggestions(syscall, &known), name, known });
    };
    let without = selection.kernels.iter().filter(|name| !with_series.contains(name)).count();
    if without > 0 && without < selection.kernels.len() {
        // Left out in silence, a kernel of a nightly job would be lost and the job stay green.
        let kernel = selection.kernels.iter().find(|name| !with_series.contains(name)).cloned();
        return Err(PlanError::NoSeries {
            kernel: kernel.expect("counted above"),
            syscall: syscall.clone(),
            known: names(with_series).join(", "),
        });
    }
    let selected: Vec<KernelName> = match &selection.kernels[..] {
        // The newest that has the syscall.
        [] => with_series.last().cloned().into_iter().collect(),
        chosen => {
            // In the order of the command line, each once.
            let mut once: Vec<KernelName> = Vec::new();
            for name in chosen.iter().filter(|name| with_series.contains(name)) {
                if !once.contains(name) {
                    once.push(name.clone());
                }
            }
            once
        }
    };
    if selected.is_empty() && !broken("nothing-selected") {
        let has = names(with_series).join(", ");
        return Err(PlanError::Nothing(format!(
            "the selected kernels have no series for `{syscall}`; {has} has one"
        )));
    }
    let pick = |chosen: &[Leg], default: &[Leg]| -> Vec<Leg> {
        let of = if chosen.is_empty() { default } else { chosen };
        Leg::ALL.into_iter().filter(|leg| of.contains(leg)).collect()
    };
    let legs = pick(&selection.legs, &[Leg::Patched, Leg::ConfigOff]);
    let abis: Vec<Abi> = match &selection.abis[..] {
        [] => Abi::ALL.to_vec(),
        chosen => Abi::ALL.into_iter().filter(|abi| chosen.contains(abi)).collect(),
    };
    let (jobs, mut notes) = jobs(selection.jobs, host);
    let mut kernels = Vec::new();
    let mut cells = Vec::new();
    for name in selected {
        let mut spec = project.spec(&name, syscall)?;
        spec.patches.extend(selection.extra_patches.iter().cloned());
        let known = project.known_issues(&name)?;
        let (known, expired): (Vec<_>, Vec<_>) = known
            .into_iter()
            .partition(|issue| selection.today.as_ref().is_some_and(|day| *day <= issue.expires));
        notes.extend(expired.iter().map(|issue| format!("{name}: no longer excused: {issue}")));
        kernels.push(KernelPlan { kernel: project.kernel(&name)?, spec, legs: legs.clone(), known });
        for &leg in &legs {
            for &abi in &abis {
                let id = CellId { kernel: name.clone(), leg, abi };
                let why = host.cannot_link.get(&abi).filter(|_| !broken("link-probe"));
                let miss = why.map(|detail| Cause::NoCompiler {
                    abi,
                    packages: abi.packages().join(" and "),
                    detail: detail.clone(),
                });
                cells.push(CellPlan { id, miss });
            }
        }
    }
    let deadline = selection.timeout.unwrap_or(limits::TEST_DEADLINE);
    let options = options(selection);
    let transports = match &selection.transports[..] {
        [] => vec![Transport::Serial],
        chosen => chosen.to_vec(),
    };
    Ok(Plan { syscall: syscall.clone(), kernels, cells, abis, transports, jobs, deadline, notes, options })
}

fn options(selection: &Selection) -> Vec<String> {
    let patches = selection.extra_patches.iter();
    let mut options: Vec<String> =
        patches.flat_map(|patch| ["--extra-patch".to_owned(), quote(&patch.display().to_string())]).collect();
    if let Some(timeout) = selection.timeout {
        options.extend(["--timeout".to_owned(), timeout.as_secs().to_string()]);
    }
    match &selection.transports[..] {
        [] | [Transport::Serial] => {}
        [one] => options.extend(["--transport".to_owned(), one.to_string()]),
        _ => options.extend(["--transport".to_owned(), "both".to_owned()]),
    }
    options
}

fn suggestions(word: &str, known: &[String]) -> Vec<String> {
    near(word, known.iter().map(String::as_str)).into_iter().map(str::to_owned).collect()
}

/// As many guests at once as asked for, or as there are processors; fewer if memory is short.
fn jobs(asked: Option<usize>, host: &Host) -> (usize, Vec<String>) {
    let wanted = asked.unwrap_or(host.cpus).clamp(1, limits::JOBS_MAX);
    let fit = (host.memory_free_mib / limits::GUEST_MEMORY_MIB).max(1) as usize;
    if fit < wanted && !broken("memory-bound") {
        let free = host.memory_free_mib;
        return (
            fit,
            vec![format!("{fit} guests at once and not {wanted}: only {free} MiB of memory are free")],
        );
    }
    (wanted, Vec::new())
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: Vec<&str>| names.join(", ");
        for part in &self.kernels {
            let numbers: Vec<String> =
                self.abis.iter().map(|&abi| part.spec.number(abi).to_string()).collect();
            let number = match numbers.iter().all(|n| *n == numbers[0]) {
                true => format!("number {}", numbers[0]),
                false => format!("numbers {}", numbers.join("/")),
            };
            writeln!(
                f,
                "  {}: {} patches, {number}, {}; legs {}",
                part.kernel.name,
                part.spec.patches.len(),
                part.spec.option,
                list(part.legs.iter().map(|leg| leg.name()).collect()),
            )?;
        }
        write!(
            f,
            "  ABIs {}; {} cells, {} at once",
            list(self.abis.iter().map(|abi| abi.name()).collect()),
            self.cells.len(),
            self.jobs
        )?;
        match &self.transports[..] {
            [] | [Transport::Serial] => {}
            [one] => write!(f, ", over {one}")?,
            _ => write!(f, ", each over serial and over ssh")?,
        }
        // Once for each ABI: the reason is the same in all its cells.
        for abi in &self.abis {
            if let Some(cause) =
                self.cells.iter().find(|cell| cell.id.abi == *abi).and_then(|c| c.miss.as_ref())
            {
                write!(f, "\n  {abi}: miss: {cause}")?;
            }
        }
        for note in &self.notes {
            write!(f, "\n  {note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
