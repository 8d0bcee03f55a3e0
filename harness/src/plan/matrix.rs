//! The matrix to run, decided before anything is built. Pure: `--dry-run` prints it and stops.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::contract::Contract;
use super::derive::DeriveError;
use super::files::{Kernel, Patch, Project, Spec};
use super::host::Host;
use super::near::near;
use super::numbers;
use super::profile::Profile;
use super::recipe::Recipe;
use super::stack::Stack;
use super::tables::LEGACY_X32;
use super::target::{Found, Target, Targets};
use super::yaml::InputError;
use crate::broken::broken;
use crate::limits;
use crate::model::{
    Abi, Cause, CellId, Date, KernelName, KnownIssue, Leg, NameError, OptionName, SyscallName, Tests,
    Transport,
};
use crate::process::quote;

/// What the user selected. Empty lists mean the default.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// `--kernel`.
    pub kernels: Vec<KernelName>,
    /// `--tree`, absolute.
    pub tree: Option<PathBuf>,
    /// `--range`: the commits of the tree that are the series.
    pub range: Option<String>,
    /// `--patches`: the folder or mbox that is the series, absolute.
    pub patches: Option<PathBuf>,
    /// `--option`.
    pub option: Option<OptionName>,
    /// `--exit-status`.
    pub exit_status: bool,
    /// `--selftest`.
    pub selftest: Option<Tests>,
    /// `--contract`.
    pub contract: ContractChoice,
    /// How kernels are configured and compiled.
    pub recipe: Recipe,
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
    /// `--profile`.
    pub profile: Option<Profile>,
    /// `--stacked`: what stands on the series is applied, too.
    pub stacked: bool,
    /// `--extra-patch`: applied after the series of every kernel.
    pub extra_patches: Vec<PathBuf>,
    /// The day of the run: known issues expire. Without it none is excused.
    pub today: Option<Date>,
}

/// Whether a syscall's contract is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContractChoice {
    /// Where it has one.
    #[default]
    IfAny,
    /// It has to have one.
    Yes,
    /// That alone, without the selftest.
    Only,
    /// Not at all.
    No,
}

impl ContractChoice {
    /// The choices as the command line has them.
    pub const WORDS: [(ContractChoice, &str); 4] = [
        (ContractChoice::IfAny, "if-any"),
        (ContractChoice::Yes, "yes"),
        (ContractChoice::Only, "only"),
        (ContractChoice::No, "no"),
    ];
}

/// A selection that cannot be planned.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields mean")]
pub enum PlanError {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("there is no kernel `{name}`; {}", hint(near, known))]
    NoKernel { name: String, near: Vec<String>, known: Vec<String> },
    #[error(
        "no kernel has a series for the syscall `{name}`; {}; of a call that a kernel has already, \
         name the kernel (--kernel) or your own tree (--tree)",
        hint(near, known)
    )]
    NoSyscall { name: String, near: Vec<String>, known: Vec<String> },
    #[error("nothing is selected: {0}")]
    Nothing(String),
    #[error("{kernel} has no series for `{syscall}`{}, and its own tree: {derived}", having(known))]
    NoSeries { kernel: KernelName, syscall: SyscallName, known: Vec<KernelName>, derived: Box<DeriveError> },
    #[error("{tree}: {derived}")]
    NotInTree { tree: String, derived: Box<DeriveError> },
    #[error("{kernel} has a series for `{syscall}` already: what is to come on top of it is --extra-patch")]
    TwoSeries { kernel: KernelName, syscall: SyscallName },
    #[error("{kernel}: there is no leg {leg} of `{syscall}`: {why}")]
    NoLeg { kernel: KernelName, syscall: SyscallName, leg: Leg, why: &'static str },
    #[error("{kernel} has no series for `{syscall}`: nothing stands on it (--stacked)")]
    NoStack { kernel: KernelName, syscall: SyscallName },
    #[error("{kernel}: {what}")]
    NoSelftest { kernel: KernelName, what: String },
    #[error(
        "`{syscall}` has no contract: guest/selftests/{syscall}/spec.yaml is not there; {}",
        hint(&[], known)
    )]
    NoContract { syscall: SyscallName, known: Vec<String> },
}

fn having(kernels: &[KernelName]) -> String {
    if kernels.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = kernels.iter().map(KernelName::as_str).collect();
    format!(" ({} has one)", names.join(", "))
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
    /// The user's folder, if it is one.
    pub tree: Option<PathBuf>,
    /// The syscall on it.
    pub spec: Spec,
    /// The series that are applied beside its own.
    pub stack: Stack,
    /// What is applied after all of them.
    pub extra_patches: Vec<Patch>,
    /// What is built of it.
    pub legs: Vec<Leg>,
    /// What is known to be wrong with it, and excused today.
    pub known: Vec<KnownIssue>,
    /// What was read from its tree for want of a spec file, each with its place there.
    pub derived: Vec<String>,
    /// What the call promises, if that is to be tried.
    pub contract: Option<Rc<Contract>>,
}

impl KernelPlan {
    /// The syscalls whose series are applied, in this order: the one under test is one of them.
    pub fn layers(&self) -> impl Iterator<Item = &Spec> {
        self.stack.below.iter().chain([&self.spec]).chain(&self.stack.above)
    }

    /// All patches in the order in which they are applied.
    pub fn patches(&self) -> Vec<Patch> {
        self.layers().flat_map(|layer| &layer.patches).chain(&self.extra_patches).cloned().collect()
    }
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
    /// `--timeout`.
    pub timeout: Option<Duration>,
    /// Tests of the user's own tree may say by their exit status alone what they found.
    pub exit_status: bool,
    /// The deadline of one test program that a series brings.
    pub deadline: Duration,
    /// What kernels have beyond their own fragments, and guests beyond an ordinary one.
    pub profile: Option<Profile>,
    /// Selftests are not run, their contracts alone.
    pub contract_only: bool,
    /// What was changed on the way, and why.
    pub notes: Vec<String>,
    /// The words of the command line that change what a cell is, quoted for a shell.
    pub options: Vec<String>,
}

impl Plan {
    /// Whether tests are run that a tree has had, as far as that is known before any series is applied.
    pub fn has_tests_of_a_tree(&self) -> bool {
        let has = |part: &KernelPlan| part.spec.selftest.is_some() && part.patches().is_empty();
        !self.contract_only && self.kernels.iter().any(has)
    }
}

/// Decides the matrix, once the trees that had to be looked at were.
pub fn plan(
    project: &Project,
    targets: &Targets,
    selection: &Selection,
    host: &Host,
) -> Result<Plan, PlanError> {
    let Targets { syscall, kernels: targets, with_series } = targets;
    let unknown = |target: &&Target| matches!(target.found, Some(Found { derived: Err(_), .. }));
    let absent: Vec<&Target> = targets.iter().filter(unknown).filter(|t| t.spec.is_none()).collect();
    if let Some(first) = absent.first()
        && let Some(Found { derived: Err(derived), .. }) = &first.found
        && !broken("nothing-selected")
    {
        let (kernel, derived) = (first.kernel.name.clone(), Box::new(derived.clone()));
        if let Some(tree) = &first.tree {
            return Err(PlanError::NotInTree { tree: tree.display().to_string(), derived });
        }
        let error =
            PlanError::NoSeries { kernel, syscall: syscall.clone(), known: with_series.clone(), derived };
        // Left out in silence, a kernel of a nightly job would be lost and the job stay green.
        let nothing = absent.len() == targets.len() && !with_series.is_empty();
        return Err(if nothing { PlanError::Nothing(error.to_string()) } else { error });
    }
    let abis: Vec<Abi> = match &selection.abis[..] {
        [] => Abi::ALL.to_vec(),
        chosen => Abi::ALL.into_iter().filter(|abi| chosen.contains(abi)).collect(),
    };
    let profile = selection.profile.clone();
    let memory_mib = profile.as_ref().map_or(limits::GUEST_MEMORY_MIB, |profile| profile.memory_mib);
    // A test that the tree has had gets what the kselftest runner's guests have; whether a user's series
    // brings its own is not known yet.
    let own = |target: &Target| {
        let brings =
            !target.kernel.is_users && target.spec.as_ref().is_some_and(|spec| !spec.patches.is_empty());
        selection.contract != ContractChoice::Only && !brings
    };
    let memory_mib = match targets.iter().any(own) {
        true => memory_mib.max(limits::KSELFTEST_MEMORY_MIB),
        false => memory_mib,
    };
    let (jobs, mut notes) = jobs(selection.jobs, host, memory_mib);
    let contract = contract(project, syscall, selection.contract)?;
    let mut kernels = Vec::new();
    let mut cells = Vec::new();
    for target in targets {
        let name = &target.kernel.name;
        notes.extend(target.notes.iter().map(|note| format!("{name}: {note}")));
        let mut said = |note: String| notes.push(format!("{name}: {note}"));
        let spec = spec(syscall, target, selection, contract.is_some(), &mut said)?;
        let legs = legs(name, &spec, target, selection, &mut said)?;
        let extra_patches = selection.extra_patches.iter().cloned().map(Patch::File).collect();
        let derived = match &target.found {
            Some(Found { derived: Ok(derived), .. }) if target.spec.is_none() => derived.describe(),
            _ => Vec::new(),
        };
        // What is excused is a kernel's, and a user's tree of the same name is not that kernel.
        let known = if target.kernel.is_users { Vec::new() } else { project.known_issues(name)? };
        let (known, expired): (Vec<_>, Vec<_>) = known
            .into_iter()
            .partition(|issue| selection.today.as_ref().is_some_and(|day| *day <= issue.expires));
        notes.extend(expired.iter().map(|issue| format!("{name}: no longer excused: {issue}")));
        for &leg in &legs {
            for &abi in &abis {
                let id = CellId { kernel: name.clone(), leg, abi };
                cells.push(CellPlan { id, miss: miss(host, &spec, abi) });
            }
        }
        let (kernel, tree) = (target.kernel.clone(), target.tree.clone());
        let (stack, contract) = (target.stack.clone(), contract.clone());
        kernels.push(KernelPlan { kernel, tree, spec, stack, extra_patches, legs, known, derived, contract });
    }
    let patience = profile.as_ref().map_or(1, |profile| profile.patience);
    let deadline = selection.timeout.unwrap_or(limits::TEST_DEADLINE * patience);
    let options = options(selection);
    let transports = match &selection.transports[..] {
        [] => vec![Transport::Serial],
        chosen => chosen.to_vec(),
    };
    Ok(Plan {
        syscall: syscall.clone(),
        kernels,
        cells,
        abis,
        transports,
        jobs,
        timeout: selection.timeout,
        exit_status: selection.exit_status,
        deadline,
        profile,
        contract_only: selection.contract == ContractChoice::Only,
        notes,
        options,
    })
}

fn contract(
    project: &Project,
    syscall: &SyscallName,
    choice: ContractChoice,
) -> Result<Option<Rc<Contract>>, PlanError> {
    if choice == ContractChoice::No {
        return Ok(None);
    }
    let contract = project.contract(syscall)?;
    if contract.is_none() && choice != ContractChoice::IfAny {
        let known = project.contracts()?.iter().map(ToString::to_string).collect();
        return Err(PlanError::NoContract { syscall: syscall.clone(), known });
    }
    Ok(contract.map(Rc::new))
}

/// What is known of the syscall on one kernel: a spec file wins, and the command line over both.
fn spec(
    syscall: &SyscallName,
    target: &Target,
    selection: &Selection,
    has_contract: bool,
    said: &mut impl FnMut(String),
) -> Result<Spec, PlanError> {
    let in_base = target.found.as_ref().is_some_and(|found| found.in_base);
    let adds_call = !target.patches.is_empty() && !in_base;
    if let Some(spec) = &target.spec {
        let mut spec = spec.clone();
        if target.kernel.is_users {
            (spec.patches, spec.adds_call) = (target.patches.clone(), adds_call);
        }
        return Ok(spec);
    }
    let Some(Found { derived: Ok(derived), .. }) = &target.found else {
        unreachable!("a tree without a spec was looked at, and one without the call is refused above")
    };
    let mut numbers: BTreeMap<Abi, u32> =
        Abi::ALL.into_iter().filter_map(|abi| Some((abi, derived.number(abi)?))).collect();
    let shared = numbers.values().copied().find(|n| *n >= SHARED_FROM && !LEGACY_X32.contains(n));
    for abi in derived.absent() {
        if let Some(number) = shared {
            numbers.insert(abi, number);
        }
    }
    let option = match (&selection.option, derived.option()) {
        (Some(option), _) => Some(option.clone()),
        (None, Ok(option)) => Some(option.clone()),
        (None, Err(why)) => {
            said(format!("no leg config-off: {why}"));
            None
        }
    };
    let selftest = match (&selection.selftest, derived.selftest()) {
        // Nor is its `config` asked for then: one kernel is good for the contracts of all its calls.
        _ if selection.contract == ContractChoice::Only => None,
        (Some(tests), _) => Some(tests.clone()),
        (None, Ok(tests)) => Some(tests.clone()),
        (None, Err(what)) if has_contract => {
            said(format!("its contract alone is tried: {what}"));
            None
        }
        (None, Err(what)) => {
            return Err(PlanError::NoSelftest { kernel: target.kernel.name.clone(), what });
        }
    };
    let patches = target.patches.clone();
    let syscall = syscall.clone();
    Ok(Spec { syscall, numbers, option, selftest, patches, adds_call, man_page: None, after: None })
}

/// Since 5.1 a new call has one number for all architectures: one that an ABI lacks from here on was
/// forgotten, and below it the ABI may well have another call for the same.
const SHARED_FROM: u32 = 424;

fn legs(
    name: &KernelName,
    spec: &Spec,
    target: &Target,
    selection: &Selection,
    said: &mut impl FnMut(String),
) -> Result<Vec<Leg>, PlanError> {
    let why_not = |leg: Leg| match leg {
        Leg::Patched => None,
        Leg::ConfigOff => spec.option.is_none().then_some("no option switches it (or name it: --option)"),
        Leg::Unpatched if spec.adds_call => None,
        Leg::Unpatched if spec.patches.is_empty() => Some("no series is applied to this tree"),
        Leg::Unpatched => Some("the call is in the tree without the series, too"),
    };
    if let Some((leg, why)) = selection.legs.iter().find_map(|leg| Some((*leg, why_not(*leg)?))) {
        let syscall = spec.syscall.clone();
        return Err(PlanError::NoLeg { kernel: name.clone(), syscall, leg, why });
    }
    if spec.patches.is_empty() && target.needs_look() {
        said("no series: the leg patched is the tree as it is, and there is no leg unpatched".to_owned());
    }
    let of = match &selection.legs[..] {
        [] => &[Leg::Patched, Leg::ConfigOff][..],
        chosen => chosen,
    };
    Ok(Leg::ALL.into_iter().filter(|leg| of.contains(leg) && why_not(*leg).is_none()).collect())
}

fn miss(host: &Host, spec: &Spec, abi: Abi) -> Option<Cause> {
    if spec.number(abi).is_none() {
        let (syscall, table) = (spec.syscall.to_string(), numbers::table(abi).to_owned());
        return Some(Cause::NoEntry { abi, syscall, table });
    }
    let why = host.cannot_link.get(&abi).filter(|_| !broken("link-probe"));
    why.map(|detail| Cause::NoCompiler {
        abi,
        packages: abi.packages().join(" and "),
        detail: detail.clone(),
    })
}

fn options(selection: &Selection) -> Vec<String> {
    let path = |flag: &str, path: &Path| [flag.to_owned(), quote(&path.display().to_string())];
    let word = |flag: &str, word: &str| [flag.to_owned(), quote(word)];
    let mut options: Vec<String> = Vec::new();
    options.extend(selection.tree.iter().flat_map(|tree| path("--tree", tree)));
    options.extend(selection.range.iter().flat_map(|range| word("--range", range)));
    options.extend(selection.patches.iter().flat_map(|patches| path("--patches", patches)));
    options.extend(selection.option.iter().flat_map(|option| word("--option", option.as_str())));
    options.extend(selection.selftest.iter().flat_map(|tests| word("--selftest", &tests.to_string())));
    options.extend(selection.exit_status.then(|| "--exit-status".to_owned()));
    options.extend(selection.profile.iter().flat_map(|profile| word("--profile", &profile.name)));
    options.extend(selection.stacked.then(|| "--stacked".to_owned()));
    let choice = ContractChoice::WORDS.iter().find(|(choice, _)| *choice == selection.contract);
    if let Some((_, choice)) = choice.filter(|(choice, _)| *choice != ContractChoice::IfAny) {
        options.push(format!("--contract={choice}"));
    }
    options.extend(selection.extra_patches.iter().flat_map(|patch| path("--extra-patch", patch)));
    options.extend(selection.recipe.words());
    if let Some(timeout) = selection.timeout {
        options.extend(["--timeout".to_owned(), timeout.as_secs().to_string()]);
    }
    options.extend(Transport::options(&selection.transports));
    options
}

/// The kernels of the command line in its order, each once; all have to be known.
pub(super) fn select_kernels(
    chosen: &[KernelName],
    known: &[KernelName],
) -> Result<Vec<KernelName>, PlanError> {
    let mut once: Vec<KernelName> = Vec::new();
    for name in chosen {
        if !known.contains(name) {
            let near = suggestions(name.as_str(), &names(known));
            return Err(PlanError::NoKernel { name: name.to_string(), near, known: names(known) });
        }
        if !once.contains(name) {
            once.push(name.clone());
        }
    }
    Ok(once)
}

fn names(list: &[KernelName]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

pub(super) fn suggestions(word: &str, known: &[String]) -> Vec<String> {
    near(word, known.iter().map(String::as_str)).into_iter().map(str::to_owned).collect()
}

/// As many guests at once as asked for, or as there are processors; fewer if memory is short.
pub(super) fn jobs(asked: Option<usize>, host: &Host, memory_mib: u64) -> (usize, Vec<String>) {
    let wanted = asked.unwrap_or(host.cpus).clamp(1, limits::JOBS_MAX);
    let fit = (host.memory_free_mib / memory_mib).max(1) as usize;
    if fit < wanted && !broken("memory-bound") {
        let free = host.memory_free_mib;
        return (
            fit,
            vec![format!("{fit} guests at once and not {wanted}: only {free} MiB of memory are free")],
        );
    }
    (wanted, Vec::new())
}

impl Plan {
    /// How many cases follow from a contract by each ABI, in words.
    fn cases_of(&self, contract: &Contract, spec: &Spec) -> String {
        let cases = |abi: &Abi| contract.cases(*abi, &spec.numbers, &BTreeSet::new()).cases.len().to_string();
        format!("; contract of {} cases", self.abis.iter().map(cases).collect::<Vec<_>>().join("/"))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: Vec<&str>| names.join(", ");
        for part in &self.kernels {
            let KernelPlan { kernel, tree, spec, legs, derived, contract, .. } = part;
            let number = |abi: &Abi| spec.number(*abi).map_or("-".to_owned(), |n| n.to_string());
            let numbers: Vec<String> = self.abis.iter().map(number).collect();
            let number = match numbers.iter().all(|n| *n == numbers[0]) {
                true => format!("number {}", numbers[0]),
                false => format!("numbers {}", numbers.join("/")),
            };
            writeln!(
                f,
                "  {}: {}, {number}, {}; selftest {}{}; legs {}",
                kernel.name,
                match part.patches().len() {
                    0 => "no patches".to_owned(),
                    n => format!("{n} patches"),
                },
                spec.option.as_ref().map_or("no option", OptionName::as_str),
                match &spec.selftest {
                    Some(tests) if !self.contract_only => tests.to_string(),
                    _ => "not run".to_owned(),
                },
                contract.as_ref().map(|contract| self.cases_of(contract, spec)).unwrap_or_default(),
                list(legs.iter().map(|leg| leg.name()).collect()),
            )?;
            let series: Vec<&str> = part.layers().map(|layer| layer.syscall.as_str()).collect();
            if series.len() > 1 {
                writeln!(f, "    series {}", list(series))?;
            }
            if let Some(tree) = tree {
                writeln!(f, "    tree {}", tree.display())?;
            }
            for line in derived {
                writeln!(f, "    {line}")?;
            }
        }
        write!(
            f,
            "  ABIs {}; {} cells, {} at once",
            list(self.abis.iter().map(|abi| abi.name()).collect()),
            self.cells.len(),
            self.jobs
        )?;
        if let Some(Profile { name, memory_mib, patience, .. }) = &self.profile {
            write!(f, ", profile {name} ({memory_mib} MiB, deadlines times {patience})")?;
        }
        f.write_str(&Transport::in_words(&self.transports))?;
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
