//! The conductor: the only module that sees all five verbs.
//!
//! Kernels are prepared one after another (source, series, tables), so that a mistake in any of
//! them is told before the first is built. Then they are built one after another, and a cell
//! boots as soon as its image is there; while something is compiled, nothing boots, so that no
//! guest is starved by a compiler. `run.json` is written after every cell.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;
use std::time::SystemTime;

use fs_err as fs;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::boot::accel::{self, AccelChoice};
use crate::boot::qemu::{Accel, Guest, Machine, Size};
use crate::build::config::{self, Configured, Request};
use crate::build::initramfs::{self, Contents};
use crate::build::kernel::{self, Bench, BuiltKernel};
use crate::build::kselftest as directories;
use crate::build::selftest;
use crate::build::series::{self, Overlay};
use crate::build::source::{self, Pristine};
use crate::build::{Trouble, Workshop};
use crate::judge::watch::Deadlines;
use crate::judge::{divergence, known, verdict};
use crate::limits;
use crate::model::{Abi, Cause, CellId, KernelName, KnownIssue, Leg, Plan as GuestPlan};
use crate::plan::files::{Kernel, Patch, Project, Spec};
use crate::plan::host::{Host, Qemu};
use crate::plan::numbers::{self, NumberError};
use crate::plan::profile::Profile;
use crate::plan::recipe::{Asked, BaseConfig, Recipe};
use crate::plan::{KernelPlan, Plan};
use crate::process::{Ctx, StopLevel};
use crate::report::record::{
    CellRecord, KernelRecord, LegRecord, RecipeRecord, RunRecord, SCHEMA, State, TreeRecord,
};
use crate::report::sealed::AnyRun;
use crate::store::Store;

mod again;
mod attempts;
pub mod attend;
mod budget;
mod bundle;
mod cell;
pub mod debugger;
pub mod decoded;
mod job;
mod judged;
pub mod kselftest;
mod ledger;
mod machines;
mod order;
mod programs;
pub mod stored;
mod survey;
mod transports;

pub use again::{Again, Replayed, again, replay};
use attempts::Trials;
pub use attempts::{Attempts, RetryOn};
pub use budget::Budget;
pub use bundle::bundle;
use cell::{Packed, agenda};
use job::Job;
use judged::SYMBOLS;
use ledger::Ledger;
use machines::{Machines, host_record};
pub use order::{Expects, Images, WorkOrder};
use programs::{Selftest, compare_lists};
use stored::StoredRun;
pub use survey::{Looked, survey};
use transports::Transports;

/// The folder of a run in which its patches are, one folder per kernel.
const PATCHES: &str = "patches";

/// What a run needs beside its plan.
#[derive(Debug)]
pub struct Means<'a> {
    /// The checkout.
    pub project: &'a Project,
    /// The cache.
    pub store: &'a Store,
    /// The machine.
    pub host: &'a Host,
    /// QEMU.
    pub qemu: &'a Qemu,
    /// `--accel`.
    pub accel: AccelChoice,
    /// How often each cell is run.
    pub attempts: Attempts,
    /// How long it may go on beginning things, if that is bounded.
    pub budget: Option<Budget>,
    /// The run's folder; it exists.
    pub out: &'a Path,
}

impl Means<'_> {
    fn trials(&self) -> Trials {
        Trials::new(self.attempts, self.budget)
    }

    /// Why the run goes on with nothing, if its time is over.
    fn spent(&self) -> Option<Cause> {
        self.budget.filter(Budget::is_spent).map(|budget| budget.cause())
    }
}

/// Why a run could not be started or written down.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields mean")]
pub enum RunError {
    #[error("{0}")]
    Number(#[from] NumberError),
    #[error("{kernel}: the spec and the tree contradict each other:\n  {what}")]
    Contradiction { kernel: KernelName, what: String },
    #[error("the run cannot be written down: {0}")]
    Record(std::io::Error),
}

/// A kernel whose source, series and tables are in order.
struct Prepared<'a> {
    plan: &'a KernelPlan,
    pristine: Pristine,
    series: Overlay,
}

/// Runs a plan and returns the record, which is also in `run.json`.
///
/// `looked` are the trees that were read for the plan: they are taken as they were then.
pub async fn run(
    ctx: &Ctx,
    means: &Means<'_>,
    plan: &Plan,
    looked: &mut Looked,
) -> Result<RunRecord, RunError> {
    let ledger = Ledger::open(ctx, means.out, means.trials(), first_record(means, plan))?;
    ledger.select(plan.cells.iter().map(|cell| cell.id.clone()));
    for cell in &plan.cells {
        if let Some(cause) = &cell.miss {
            ledger.close_without_run(&cell.id, cause);
        }
    }
    let machine = Rc::new(Semaphore::new(plan.jobs));
    let shop = workshop(ctx, means, plan.jobs, &machine);
    let mut prepared = Vec::new();
    for part in &plan.kernels {
        if ctx.stop.level() != StopLevel::Run || means.spent().is_some() {
            break;
        }
        let ready = match prepare(&shop, part, plan, looked.remove(&part.kernel.name)).await {
            Ok(ready) => ready,
            Err(error) => {
                ledger.close_all(|_| true, &Cause::NotRun { reason: error.to_string() });
                ledger.finish(State::Complete)?;
                return Err(error);
            }
        };
        match ready {
            Ok(ready) => prepared.push(ready),
            Err(trouble) => ledger.close_all(|id| id.kernel == part.kernel.name, &trouble.cause()),
        }
    }
    let local = tokio::task::LocalSet::new();
    let refused = local
        .run_until(async {
            let mut cells = JoinSet::new();
            let mut conductor = Conductor {
                means,
                plan,
                shop: &shop,
                ledger: &ledger,
                machine,
                machines: Machines::new(means),
                transports: Transports::new(means, &shop, &plan.transports),
            };
            for ready in &prepared {
                if ctx.stop.level() != StopLevel::Run || means.spent().is_some() {
                    break;
                }
                if let Err(trouble) = conductor.kernel(ready, &mut cells).await {
                    ledger.close_all(|id| id.kernel == ready.plan.kernel.name, &trouble.cause());
                }
            }
            ledger.all_back(cells).await;
            conductor.machines.refused
        })
        .await;
    let level = ctx.stop.level();
    compare_rows(&mut ledger.record.borrow_mut().cells);
    ledger.close_all(|_| true, &why_not_run(level, means));
    if let Some(no) = refused.filter(|_| ledger.record.borrow().cells.iter().any(|cell| cell.guest.is_some()))
    {
        // The same kernel came up under TCG: it is KVM that does not work here.
        accel::remember(means.store, means.qemu, &no);
    }
    let not_met = not_met(&ledger.record.borrow().cells, plan);
    ledger.note(not_met);
    let unreported = unreported(&ledger.record.borrow().cells);
    ledger.note(unreported);
    let advice = advice(&ledger.record.borrow().cells, plan);
    ledger.note(advice);
    if level == StopLevel::Run {
        let record = AnyRun::Syscall(Box::new(ledger.record.borrow().clone()));
        let so_far = StoredRun { folder: means.out.to_owned(), record };
        decoded::consoles(ctx, (means.store, means.project), &so_far).await;
    }
    ledger.finish(if level == StopLevel::Run { State::Complete } else { State::Interrupted })
}

/// Why a cell has no verdict when a run has come to its end.
fn why_not_run(level: StopLevel, means: &Means<'_>) -> Cause {
    let reason = match level {
        StopLevel::Run => match means.spent() {
            Some(cause) => return cause,
            None => "a stage before it gave nothing".to_owned(),
        },
        StopLevel::Gently(signal) | StopLevel::AtOnce(signal) => format!("interrupted by {signal}"),
    };
    Cause::NotRun { reason }
}

fn first_record(means: &Means<'_>, plan: &Plan) -> RunRecord {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    RunRecord {
        schema: SCHEMA,
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        state: State::Running,
        syscall: plan.syscall.clone(),
        started_unix_s: since.as_secs(),
        elapsed_ms: 0,
        folder: means.out.display().to_string(),
        host: host_record(means, plan.jobs),
        kernels: Vec::new(),
        selected: plan.cells.len(),
        cells: Vec::new(),
        notes: plan.notes.clone(),
        options: plan.options.clone(),
    }
}

/// Source, series and tables of one kernel. A number that is taken or contradicts the tables ends
/// the whole run before anything is built; other trouble is this kernel's alone.
async fn prepare<'a>(
    shop: &Workshop<'_>,
    part: &'a KernelPlan,
    plan: &Plan,
    looked: Option<Pristine>,
) -> Result<Result<Prepared<'a>, Trouble>, RunError> {
    let pristine = match looked {
        Some(pristine) => pristine,
        None => match source::pristine(shop, &part.kernel).await {
            Ok(pristine) => pristine,
            Err(trouble) => return Ok(Err(trouble)),
        },
    };
    let series = match series::apply(shop, part.kernel.name.as_str(), &pristine, &part.patches()).await {
        Ok(series) => series,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let before = |path: &str| pristine.read(path);
    let after = |path: &str| series.read(&pristine, path);
    for layer in part.layers() {
        numbers::check(&part.kernel.name, layer, &plan.abis, before, after)?;
        survey::check(shop, &part.kernel.name, layer, &pristine, &series)?;
    }
    Ok(Ok(Prepared { plan: part, pristine, series }))
}

/// The known issues that no cell has shown although it could have.
fn not_met(cells: &[CellRecord], plan: &Plan) -> Vec<String> {
    let mut notes = Vec::new();
    for KernelPlan { kernel, known, contract, .. } in &plan.kernels {
        // What was not tried cannot be met.
        let tried = |issue: &&KnownIssue| contract.is_some() || !issue.symptom.is_of_contract();
        let known: Vec<KnownIssue> = known.iter().filter(tried).cloned().collect();
        let ended = |cell: &&CellRecord| cell.kernel == kernel.name && cell.durations.run_ms.is_some();
        let ran: Vec<_> = cells.iter().filter(ended).map(|cell| (cell.id(), &cell.known[..])).collect();
        let not_met = known::not_met(&known, &plan.syscall, &ran);
        notes.extend(not_met.iter().map(|issue| format!("{}: not met, fixed perhaps: {issue}", kernel.name)));
    }
    notes
}

/// What to do about a test of a user's tree that reports nothing.
fn advice(cells: &[CellRecord], plan: &Plan) -> Option<String> {
    let is_silent = |cell: &CellRecord| {
        matches!(cell.cause.as_ref().map(|cause| &cause.detail), Some(Cause::NoReport { .. }))
    };
    let own = |part: &KernelPlan| part.kernel.is_users && !part.spec.adds_call && !plan.exit_status;
    let advice = "a test that has been there long may report no cases: --exit-status takes its exit status, \
                  as the kselftest runner does";
    (plan.kernels.iter().any(own) && cells.iter().any(is_silent)).then(|| advice.to_owned())
}

/// What was judged by its exit status alone: a reader may ask for more.
fn unreported(cells: &[CellRecord]) -> Vec<String> {
    let mut found: BTreeMap<&KernelName, BTreeSet<&str>> = BTreeMap::new();
    for cell in cells {
        for program in cell.cases.iter().filter_map(verdict::unreported) {
            let program = if program.is_empty() { "its test" } else { program };
            found.entry(&cell.kernel).or_default().insert(program);
        }
    }
    let note = |(kernel, programs): (&KernelName, BTreeSet<&str>)| {
        let programs: Vec<&str> = programs.into_iter().collect();
        format!("{kernel}: judged by exit status alone, with no cases reported: {}", programs.join(", "))
    };
    found.into_iter().map(note).collect()
}

fn workshop<'a>(ctx: &'a Ctx, means: &Means<'a>, guests: usize, machine: &Rc<Semaphore>) -> Workshop<'a> {
    let compiler = means.host.compiler.as_ref();
    Workshop {
        ctx,
        store: means.store,
        compiler: compiler.map(|c| c.version.clone()).unwrap_or_default(),
        libraries: compiler.map(|c| c.libraries.clone()).unwrap_or_default(),
        ccache: means.host.ccache,
        make_jobs: means.host.cpus,
        logs: means.out.join("build"),
        machine: machine.clone(),
        guests,
    }
}

/// The same call with the same meaning gives the same by every ABI: where each cell is content
/// with its own answers and they are not the same, none of them is a pass.
fn compare_rows(cells: &mut [CellRecord]) {
    let rows: BTreeSet<(KernelName, Leg)> =
        cells.iter().map(|cell| (cell.kernel.clone(), cell.leg)).collect();
    for (kernel, leg) in rows {
        let mut row: Vec<_> = cells.iter_mut().collect();
        row.retain(|cell| cell.kernel == kernel && cell.leg == leg && !cell.cases.is_empty());
        let cases = row.iter().map(|cell| (cell.abi, cell.cases.as_slice())).collect();
        let Some(cause) = divergence::in_value(&cases) else { continue };
        row.into_iter().for_each(|cell| cell.disagrees(&cause));
    }
}

/// Why programs of an ABI cannot run on a kernel that is configured so.
fn lost(config: &Configured, kernel: &Kernel, abi: Abi) -> Option<Cause> {
    let lost = config.lost.get(&abi)?;
    let hint = kernel.recipe.x32_hint().filter(|_| abi == Abi::Mx32);
    let hint = hint.map(|hint| format!("\n    {hint}")).unwrap_or_default();
    Some(Cause::NoKernelAbi { option: format!("{lost}{hint}") })
}

/// What is written down of a kernel before anything of it is built.
fn kernel_record(ready: &Prepared<'_>, profile: Option<&Profile>) -> KernelRecord {
    let KernelPlan { kernel, tree, spec, derived, .. } = ready.plan;
    let applied = ready.plan.layers().filter(|layer| !layer.patches.is_empty());
    KernelRecord {
        kernel: kernel.name.clone(),
        source: ready.pristine.id.to_string(),
        tree: tree.as_deref().map(|path| tree_record(path, &ready.pristine)),
        series: applied.map(|layer| layer.syscall.clone()).collect(),
        patches: ready.plan.patches().iter().map(Patch::name).collect(),
        numbers: spec.numbers.iter().map(|(abi, number)| (*abi, *number)).collect(),
        option: spec.option.as_ref().map(ToString::to_string),
        selftest: spec.selftest.as_ref().map(ToString::to_string).unwrap_or_default(),
        derived: derived.clone(),
        recipe: recipe_record(&kernel.recipe, profile),
        legs: Vec::new(),
    }
}

/// What is written down of a user's tree.
fn tree_record(path: &Path, pristine: &Pristine) -> TreeRecord {
    let state = pristine.tree.as_deref();
    TreeRecord {
        path: path.display().to_string(),
        commit: state.and_then(|state| state.commit.clone()),
        base: state.and_then(|state| state.base.clone()),
        dirty: state.and_then(|state| state.dirty.clone()),
        untested: state.and_then(|state| state.untested.clone()),
    }
}

fn recipe_record(recipe: &Recipe, profile: Option<&Profile>) -> RecipeRecord {
    RecipeRecord {
        profile: profile.map(|profile| profile.name.clone()),
        base_config: match &recipe.base {
            BaseConfig::AllNo => RecipeRecord::USUAL_BASE.to_owned(),
            other => other.to_string(),
        },
        configs: recipe.asked.iter().map(Asked::recorded).collect(),
        make: recipe.make_vars().map(ToString::to_string).collect(),
        toolchain: recipe.toolchain.clone(),
    }
}

/// Puts the patches into the run's folder, which is then whole by itself.
fn keep_patches(part: &KernelPlan, out: &Path) -> Result<(), Trouble> {
    let folder = out.join(PATCHES).join(part.kernel.name.as_str());
    for (number, patch) in (1..).zip(part.patches()) {
        fs::create_dir_all(&folder)?;
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._+-".contains(c) { c } else { '-' };
        let name: String = patch.name().chars().map(plain).take(limits::PATCH_NAME_CHARS).collect();
        let text = patch.read().map_err(|error| Cause::Source { detail: error.to_string() })?;
        fs::write(folder.join(format!("{number:03}.{name}")), text)?;
    }
    Ok(())
}

struct Conductor<'a> {
    means: &'a Means<'a>,
    plan: &'a Plan,
    shop: &'a Workshop<'a>,
    ledger: &'a Rc<Ledger<RunRecord>>,
    machine: Rc<Semaphore>,
    machines: Machines<'a>,
    transports: Transports<'a>,
}

impl Conductor<'_> {
    /// Builds what the cells of one kernel need, and sends each off as soon as it can boot.
    async fn kernel(&mut self, ready: &Prepared<'_>, cells: &mut JoinSet<()>) -> Result<(), Trouble> {
        let KernelPlan { kernel, spec, legs, known, .. } = ready.plan;
        self.ledger.record.borrow_mut().kernels.push(kernel_record(ready, self.plan.profile.as_ref()));
        keep_patches(ready.plan, self.means.out)?;
        let mut bench = Bench::new(self.shop, kernel, ready.pristine.clone());
        let (mut size, mut deadlines) = (Size::default(), Deadlines::default());
        if let Some(Profile { memory_mib, patience, .. }) = &self.plan.profile {
            size.memory_mib = *memory_mib;
            deadlines = deadlines.times(*patience);
        }
        let asked = spec.selftest.as_ref().filter(|_| !self.plan.contract_only);
        if asked.is_some_and(|asked| directories::exists(&ready.pristine, &asked.dir)) {
            // As test-selftest runs them.
            size.cpus = limits::KSELFTEST_CPUS;
            size.memory_mib = size.memory_mib.max(limits::KSELFTEST_MEMORY_MIB);
        }
        let mut images: Option<BTreeMap<Abi, Packed>> = None;
        for &leg in legs {
            if self.plan.abis.iter().all(|&abi| !self.open(ready, leg, abi)) || self.means.spent().is_some() {
                continue;
            }
            let built = match self.leg(&mut bench, ready, leg).await {
                Ok(built) => built,
                Err(trouble @ Trouble::Interrupted(_)) => return Err(trouble),
                Err(Trouble::Cause(cause)) => {
                    self.ledger.close_all(|id| id.kernel == kernel.name && id.leg == leg, &cause);
                    continue;
                }
            };
            if images.is_none() {
                let command_line = &kernel.command_line;
                let is_closed = |abi: &Abi| {
                    built.config.lost.contains_key(abi)
                        || command_line.iter().filter_map(|word| abi.opened_by(word)).next_back()
                            == Some(false)
                };
                let closed = Abi::ALL.into_iter().filter(is_closed).collect();
                let made = self.images(&mut bench, ready, &closed).await?;
                self.warn_of_long_tests(spec, &made);
                images = Some(made);
            }
            let vmlinux = self.machines.keep(&built.vmlinux, &format!("{}.{leg}.vmlinux", kernel.name))?;
            self.machines.keep(&built.symbols, &format!("{}.{leg}.{SYMBOLS}", kernel.name))?;
            let config = format!("images/{}.{leg}.config", kernel.name);
            fs::write(self.means.out.join(&config), &built.config.text)?;
            self.ledger.note(left_out(&built.config, &kernel.name));
            if let Some(record) = self.ledger.record.borrow_mut().kernels.last_mut() {
                let (key, image) = (built.key.to_string(), below(self.means.out, &vmlinux));
                record.legs.push(LegRecord { leg, key, image, config });
            }
            for (&abi, packed) in images.iter().flatten() {
                let id = CellId { kernel: kernel.name.clone(), leg, abi };
                if !self.ledger.is_open(&id) {
                    continue;
                }
                if let Some(cause) = lost(&built.config, kernel, abi) {
                    self.ledger.close_without_run(&id, &cause);
                    continue;
                }
                let initramfs =
                    self.machines.keep(&packed.image.path, &format!("{}.{abi}.initramfs", kernel.name))?;
                let mut guest = Guest {
                    qemu: self.means.qemu.path.clone(),
                    name: format!("abimatrix.{}", id.slug()),
                    accel: Accel::Tcg,
                    machine: Machine::Q35,
                    kernel: vmlinux.clone(),
                    initramfs,
                    command_line: kernel.command_line.clone(),
                    tsc_khz: None,
                    size,
                    ssh: None,
                };
                let number = spec.number(abi).expect("a cell without a number is a miss of the plan");
                let agenda = |leg, accel| agenda(spec, leg, (abi, number), packed, accel == Accel::Tcg);
                let trial = agenda(Leg::ConfigOff, Accel::Tcg).0;
                let boards = self.machines.boards(&self.ledger.ctx, &guest, trial).await;
                boards.equip(&mut guest);
                boards.tell(&mut self.ledger.record.borrow_mut().host);
                let (runs, mut expectation) = agenda(leg, guest.accel);
                let of_cell = known.iter().filter(|issue| issue.concerns(&self.plan.syscall, &id));
                expectation.known = of_cell.cloned().collect();
                let images = self.machines.images(&guest)?;
                let (plan, expects) = (GuestPlan { runs }, Expects::Syscall(expectation));
                let order = WorkOrder { guest, plan, deadlines, images, expects };
                let orders = self.transports.orders(&mut self.machines, order).await?;
                let job = Job { ledger: self.ledger.clone(), id, orders };
                let machine = self.machine.clone();
                self.ledger.sent(&job.id);
                cells.spawn_local(async move { job.run(&machine).await });
            }
        }
        Ok(())
    }

    /// Says before it happens what a directory's `settings` may make of a cell.
    fn warn_of_long_tests(&self, spec: &Spec, packed: &BTreeMap<Abi, Packed>) {
        let selftests = packed.values().filter_map(|packed| packed.selftest.as_ref());
        let longest = selftests.map(Selftest::longest).max().unwrap_or_default();
        if let Some(tests) = spec.selftest.as_ref().filter(|_| longest >= limits::LONG_CELL) {
            self.ledger.ctx.events.note(format!(
                "{}: by its own deadlines the selftest {tests} may take up to {} min by each ABI: --timeout \
                 SECONDS sets that of each test, --selftest {}:PROGRAM names one",
                spec.syscall,
                longest.as_secs() / 60,
                tests.dir
            ));
        }
    }

    fn open(&self, ready: &Prepared<'_>, leg: Leg, abi: Abi) -> bool {
        self.ledger.is_open(&CellId { kernel: ready.plan.kernel.name.clone(), leg, abi })
    }

    async fn leg(
        &self,
        bench: &mut Bench<'_>,
        ready: &Prepared<'_>,
        leg: Leg,
    ) -> Result<BuiltKernel, Trouble> {
        let what = format!("{} {leg}", bench.kernel.name);
        let none = Overlay::none();
        let overlay = if leg == Leg::Unpatched { &none } else { &ready.series };
        let request = Request::of_leg(bench, ready.plan.layers(), leg, &ready.series)?;
        let configured: Configured = config::configure(bench, &what, overlay, &request).await?;
        self.ledger.note(request.contradictions().into_iter().map(|conflict| format!("{what}: {conflict}")));
        let unread = request.unread.iter();
        self.ledger.note(unread.map(|(dir, error)| format!("{dir}: its config is not merged: {error}")));
        let one_line = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("; ");
        let dropped = configured.dropped.iter();
        self.ledger.note(dropped.map(|wish| format!("{what}: {}", one_line(&wish.text))));
        // What nobody could run need not be compiled.
        let open: Vec<Abi> =
            self.plan.abis.iter().copied().filter(|&abi| self.open(ready, leg, abi)).collect();
        if let [abi] = open[..]
            && let Some(cause) = lost(&configured, bench.kernel, abi)
        {
            return Err(cause.into());
        }
        kernel::build(bench, &what, overlay, configured).await
    }

    /// The images of all open ABIs. An ABI whose programs do not build loses its cells alone.
    async fn images(
        &self,
        bench: &mut Bench<'_>,
        ready: &Prepared<'_>,
        closed: &BTreeSet<Abi>,
    ) -> Result<BTreeMap<Abi, Packed>, Trouble> {
        let agent = selftest::agent(self.shop, self.means.project).await?;
        let (mut images, mut shared) = (BTreeMap::new(), None);
        for &abi in &self.plan.abis {
            if ready.plan.legs.iter().all(|&leg| !self.open(ready, leg, abi)) {
                continue;
            }
            let image = async {
                let (project, spec) = (self.means.project, &ready.plan.spec);
                let probe = selftest::probe(self.shop, project, abi).await?;
                let selftest = match &spec.selftest {
                    Some(asked) if !self.plan.contract_only => {
                        let plan = (self.means, self.plan);
                        let own = (abi, &mut shared);
                        Some(programs::build(bench, plan, &ready.series, (spec, asked), own).await?)
                    }
                    _ => None,
                };
                let prober = match &ready.plan.contract {
                    Some(_) => Some(selftest::prober(self.shop, project, abi).await?),
                    None => None,
                };
                let cases =
                    ready.plan.contract.as_ref().map(|contract| contract.cases(abi, &spec.numbers, closed));
                let contents = Contents {
                    agent: &agent,
                    probe: &probe,
                    tests: selftest.as_ref().map(Selftest::packed),
                    contract: prober.as_ref().zip(cases),
                };
                Ok(Packed { image: initramfs::pack(self.shop, contents)?, selftest })
            };
            match image.await {
                Ok(packed) => {
                    let selftest = packed.selftest.as_ref();
                    self.ledger.note(selftest.map(|selftest| selftest.notes(abi)).unwrap_or_default());
                    images.insert(abi, packed);
                }
                Err(trouble @ Trouble::Interrupted(_)) => return Err(trouble),
                Err(Trouble::Cause(cause)) => {
                    let name = &ready.plan.kernel.name;
                    self.ledger.close_all(|id| id.kernel == *name && id.abi == abi, &cause);
                }
            }
        }
        compare_lists(&mut images);
        Ok(images)
    }
}

/// What of the fragments a tree's own version does not know, as the report notes it.
fn left_out(config: &Configured, kernel: &KernelName) -> Vec<String> {
    let note = |line| format!("{kernel}: left out, since this tree does not know it: {line}");
    config.left_out.iter().map(note).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn below(folder: &Path, path: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).display().to_string()
}
