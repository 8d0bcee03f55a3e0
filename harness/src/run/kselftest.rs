//! The conductor of a kselftest run: one kernel with what all directories ask for, then one guest per
//! program and ABI.
//!
//! All programs are built before the first guest starts: a directory takes seconds, and a kernel with
//! them all in its configuration is built once. A directory that does not build loses its own cells.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use fs_err as fs;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::job::Job;
use super::judged::SYMBOLS;
use super::ledger::Ledger;
use super::machines::{Machines, host_record};
use super::order::{Expects, WorkOrder};
use super::programs::{cannot_run, planned};
use super::stored::StoredRun;
use super::transports::Transports;
use super::{
    Means, RunError, below, decoded, left_out, lost, recipe_record, tree_record, why_not_run, workshop,
};
use crate::boot::accel;
use crate::boot::qemu::{Accel, Guest, Machine, Size};
use crate::build::config::{self, Configured, Request};
use crate::build::initramfs;
use crate::build::kconfig::FinalConfig;
use crate::build::kernel::{self, Bench, BuiltKernel};
use crate::build::kselftest::{self as directories, Built, Recipe};
use crate::build::series::Overlay;
use crate::build::source::{self, Pristine};
use crate::build::userland;
use crate::build::{Trouble, Workshop, selftest};
use crate::judge::kselftest::Expected;
use crate::judge::watch::Deadlines;
use crate::limits;
use crate::model::{Abi, Cause, Plan as GuestPlan, ProgramId, RelPath};
use crate::plan::files::{Kernel, Source};
use crate::plan::kselftest::{KselftestPlan, deadline, timeout};
use crate::process::{Ctx, StopLevel};
use crate::report::kselftest::{DirPart, DroppedOption, KernelPart, KselftestRecord, ProgramRecord, SCHEMA};
use crate::report::record::State;
use crate::report::sealed::AnyRun;

/// What the report shows of a configuration: what decides most often whether an ABI differs.
const SHOWN: [&str; 12] = [
    "CONFIG_IA32_EMULATION",
    "CONFIG_X86_X32_ABI",
    "CONFIG_COMPAT_32BIT_TIME",
    "CONFIG_CHECKPOINT_RESTORE",
    "CONFIG_USER_NS",
    "CONFIG_TIME_NS",
    "CONFIG_CGROUPS",
    "CONFIG_HUGETLBFS",
    "CONFIG_SECURITY_LANDLOCK",
    "CONFIG_FUSE_FS",
    "CONFIG_MODULES",
    "CONFIG_X86_VSYSCALL_EMULATION",
];

/// A directory that a kernel has, with its programs.
struct Listed {
    dir: RelPath,
    programs: Vec<String>,
    /// What its `settings` give a program, in the runner's own seconds; nothing is no limit.
    timeout: Option<u64>,
    /// Why its programs are not known; a cell of this name stands for them.
    failed: Option<Cause>,
}

/// The cell that stands for a directory whose programs nobody could list.
const UNLISTED: &str = "Makefile";

/// A kernel whose source is there and whose directories are listed.
struct Ready<'a> {
    kernel: &'a Kernel,
    pristine: Pristine,
    dirs: Vec<Listed>,
}

/// The programs of each directory of each kernel, without building anything but a source tree.
pub async fn list(
    ctx: &Ctx,
    means: &Means<'_>,
    plan: &KselftestPlan,
) -> Result<Vec<(Kernel, Vec<(RelPath, Vec<String>)>)>, Trouble> {
    let shop = workshop(ctx, means, plan.jobs, &Rc::new(Semaphore::new(plan.jobs)));
    let mut found = Vec::new();
    for kernel in &plan.kernels {
        let pristine = source::pristine(&shop, kernel).await?;
        let mut dirs = Vec::new();
        for dir in
            plan.dirs.iter().filter(|dir| directories::exists(&pristine, dir) || !plan.of_sets.contains(dir))
        {
            let programs = programs(&shop, kernel, &pristine, plan, dir).await?;
            dirs.push((dir.clone(), programs));
        }
        found.push((kernel.clone(), dirs));
    }
    Ok(found)
}

/// The directories of each kernel, of which none is named.
pub async fn directories(
    ctx: &Ctx,
    means: &Means<'_>,
    plan: &KselftestPlan,
) -> Result<Vec<(Kernel, Vec<RelPath>)>, Trouble> {
    let shop = workshop(ctx, means, plan.jobs, &Rc::new(Semaphore::new(plan.jobs)));
    let mut found = Vec::new();
    for kernel in &plan.kernels {
        let pristine = source::pristine(&shop, kernel).await?;
        found.push((kernel.clone(), directories::all(&pristine)?));
    }
    Ok(found)
}

/// Runs a plan and returns the record, which is also in `run.json`.
pub async fn run(ctx: &Ctx, means: &Means<'_>, plan: &KselftestPlan) -> Result<KselftestRecord, RunError> {
    let ledger = Ledger::open(ctx, means.out, means.trials(), first_record(means, plan))?;
    let machine = Rc::new(Semaphore::new(plan.jobs));
    let shop = workshop(ctx, means, plan.jobs, &machine);
    let mut prepared = Vec::new();
    for kernel in &plan.kernels {
        if ctx.stop.level() != StopLevel::Run {
            break;
        }
        match prepare(&shop, kernel, plan, &ledger).await {
            Ok(ready) => prepared.push(ready),
            Err(trouble) => {
                // Without its source nobody knows what its cells are.
                let note = format!("{}: nothing of it was run: {}", kernel.name, trouble.cause());
                ctx.events.note(note.clone());
                ledger.note([note]);
            }
        }
    }
    let local = tokio::task::LocalSet::new();
    let refused = local
        .run_until(async {
            let mut cells = JoinSet::new();
            let mut conductor = Conductor {
                plan,
                shop: &shop,
                means,
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
                    ledger.close_all(|id| id.kernel == ready.kernel.name, &trouble.cause());
                }
            }
            ledger.all_back(cells).await;
            conductor.machines.refused
        })
        .await;
    let level = ctx.stop.level();
    ledger.close_all(|_| true, &why_not_run(level, means));
    let ran = |cell: &ProgramRecord| cell.guest.is_some();
    if let Some(no) = refused.filter(|_| ledger.record.borrow().cells.iter().any(ran)) {
        // The same kernel came up under TCG: it is KVM that does not work here.
        accel::remember(means.store, means.qemu, &no);
    }
    if level == StopLevel::Run {
        let record = AnyRun::Kselftest(Box::new(ledger.record.borrow().clone()));
        let so_far = StoredRun { folder: means.out.to_owned(), record };
        decoded::consoles(ctx, (means.store, means.project), &so_far).await;
    }
    ledger.record.borrow_mut().explain(&plan.explanations);
    ledger.finish(if level == StopLevel::Run { State::Complete } else { State::Interrupted })
}

fn first_record(means: &Means<'_>, plan: &KselftestPlan) -> KselftestRecord {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    KselftestRecord {
        schema: SCHEMA,
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        command: plan.command.clone(),
        state: State::Running,
        started_unix_s: since.as_secs(),
        elapsed_ms: 0,
        folder: means.out.display().to_string(),
        host: host_record(means, plan.jobs),
        kernels_selected: plan.kernels.len(),
        kernels: Vec::new(),
        selected: 0,
        cells: Vec::new(),
        disagreements: Vec::new(),
        alike: Vec::new(),
        notes: plan.notes.clone(),
    }
}

/// Source and directories of one kernel; its cells are known from here on.
async fn prepare<'a>(
    shop: &Workshop<'_>,
    kernel: &'a Kernel,
    plan: &KselftestPlan,
    ledger: &Ledger<KselftestRecord>,
) -> Result<Ready<'a>, Trouble> {
    let pristine = source::pristine(shop, kernel).await?;
    let mut dirs = Vec::new();
    let mut parts = Vec::new();
    for dir in &plan.dirs {
        if !directories::exists(&pristine, dir) && plan.of_sets.contains(dir) {
            ledger.note([absent(kernel, dir)]);
            continue;
        }
        let own = timeout(directories::file(&pristine, dir, "settings").as_deref());
        // Once a guest runs under KVM it is another one.
        let deadline_ms = deadline(own, plan.timeout, true).as_millis() as u64;
        let (programs, failed) = match programs(shop, kernel, &pristine, plan, dir).await {
            Ok(programs) => (programs, None),
            Err(trouble @ Trouble::Interrupted(_)) => return Err(trouble),
            Err(Trouble::Cause(cause)) => (vec![UNLISTED.to_owned()], Some(cause)),
        };
        let empty = programs.is_empty().then(|| "it lists no program".to_owned());
        let notes = empty.into_iter().collect();
        parts.push(DirPart { dir: dir.clone(), timeout_s: own, deadline_ms, notes });
        dirs.push(Listed { dir: dir.clone(), programs, timeout: own, failed });
    }
    let part = KernelPart {
        kernel: kernel.name.clone(),
        source: pristine.id.to_string(),
        tree: users_tree(kernel).map(|path| tree_record(path, &pristine)),
        recipe: recipe_record(&kernel.recipe, None),
        key: String::new(),
        image: String::new(),
        config: String::new(),
        options: BTreeMap::new(),
        dropped: Vec::new(),
        dirs: parts,
    };
    let ready = Ready { kernel, pristine, dirs };
    ledger.select(ready.ids(&plan.abis));
    ledger.record.borrow_mut().kernels.push(part);
    Ok(ready)
}

fn absent(kernel: &Kernel, dir: &RelPath) -> String {
    format!("{} has no tools/testing/selftests/{dir}", kernel.name)
}

/// The programs of a directory; one that the user named has some.
async fn programs(
    shop: &Workshop<'_>,
    kernel: &Kernel,
    pristine: &Pristine,
    plan: &KselftestPlan,
    dir: &RelPath,
) -> Result<Vec<String>, Trouble> {
    if !directories::exists(pristine, dir) {
        return Err(Cause::Source { detail: absent(kernel, dir) }.into());
    }
    let programs = directories::list(shop, pristine, dir, &plan.abis).await?;
    if programs.is_empty() && !plan.of_sets.contains(dir) {
        let detail = format!("the Makefile of {dir} lists no program: name one of the folders below it");
        return Err(Cause::Source { detail }.into());
    }
    Ok(programs)
}

/// Where a kernel's tree lies, if it is the user's.
fn users_tree(kernel: &Kernel) -> Option<&Path> {
    match &kernel.source {
        Source::Directory(path) if kernel.is_users => Some(path),
        Source::Directory(_) | Source::Debian(_) | Source::Tarball { .. } | Source::Git { .. } => None,
    }
}

impl Ready<'_> {
    fn id(&self, dir: &RelPath, program: &str, abi: Abi) -> Option<ProgramId> {
        let (kernel, dir) = (self.kernel.name.clone(), dir.clone());
        Some(ProgramId { kernel, dir, program: program.parse().ok()?, abi })
    }

    fn ids(&self, abis: &[Abi]) -> Vec<ProgramId> {
        let mut ids = Vec::new();
        for Listed { dir, programs, .. } in &self.dirs {
            for program in programs {
                ids.extend(abis.iter().filter_map(|&abi| self.id(dir, program, abi)));
            }
        }
        ids
    }
}

/// What the guests of one directory and ABI are booted with.
struct Bootable<'a> {
    kernel: PathBuf,
    image: PathBuf,
    built: Built,
    /// The commands of the userland.
    commands: &'a BTreeSet<String>,
}

struct Conductor<'a> {
    plan: &'a KselftestPlan,
    shop: &'a Workshop<'a>,
    means: &'a Means<'a>,
    ledger: &'a Rc<Ledger<KselftestRecord>>,
    machine: Rc<Semaphore>,
    machines: Machines<'a>,
    transports: Transports<'a>,
}

impl Conductor<'_> {
    /// Adds to what a reader should know of a directory.
    fn note_dir(&self, kernel: &Kernel, dir: &RelPath, note: String) {
        self.of_dir(kernel, dir, |part| part.notes.push(note));
    }

    /// Writes down what each program of a directory gets, now that it is known what runs it.
    fn allow(&self, kernel: &Kernel, dir: &RelPath, deadline: Duration) {
        self.of_dir(kernel, dir, |part| part.deadline_ms = deadline.as_millis() as u64);
    }

    fn of_dir(&self, kernel: &Kernel, dir: &RelPath, change: impl FnOnce(&mut DirPart)) {
        let mut record = self.ledger.record.borrow_mut();
        let part = record.kernels.iter_mut().find(|part| part.kernel == kernel.name);
        if let Some(part) = part.and_then(|part| part.dirs.iter_mut().find(|part| part.dir == *dir)) {
            change(part);
        }
    }

    /// Builds the kernel and the programs, and sends off every cell that can boot.
    async fn kernel(&mut self, ready: &Ready<'_>, cells: &mut JoinSet<()>) -> Result<(), Trouble> {
        for Listed { dir, failed, .. } in &ready.dirs {
            if let Some(cause) = failed {
                self.ledger.close_all(|id| id.kernel == ready.kernel.name && id.dir == *dir, cause);
            }
        }
        if ready.dirs.iter().all(|dir| dir.failed.is_some() || dir.programs.is_empty()) {
            return Ok(());
        }
        let mut bench = Bench::new(self.shop, ready.kernel, ready.pristine.clone());
        let built = self.built_kernel(&mut bench, ready).await?;
        let headers = directories::headers(&mut bench, &Overlay::none()).await?;
        let userland = userland::userland(self.shop, self.means.project).await?;
        let agent = selftest::agent(self.shop, self.means.project).await?;
        let kernel = self.machines.keep(&built.vmlinux, &format!("{}.vmlinux", ready.kernel.name))?;
        self.machines.keep(&built.symbols, &format!("{}.{SYMBOLS}", ready.kernel.name))?;
        self.write_down(ready, &built, &kernel)?;
        // All that has to be compiled first: between two compilations a guest would only wait.
        let mut made = Vec::new();
        for &abi in &self.plan.abis {
            let lost = || lost(&built.config, ready.kernel, abi);
            if let Some(cause) = self.plan.misses.get(&abi).cloned().or_else(lost) {
                self.ledger.close_all(|id| id.kernel == ready.kernel.name && id.abi == abi, &cause);
                continue;
            }
            let libraries = directories::libraries_of_host(self.shop, abi).await?;
            let dirs = ready.dirs.iter().zip(0..);
            for (listed, place) in dirs.filter(|(dir, _)| dir.failed.is_none() && !dir.programs.is_empty()) {
                let recipe = Recipe {
                    pristine: &ready.pristine,
                    headers: &headers,
                    dir: &listed.dir,
                    also: None,
                    abi,
                    libraries: &libraries,
                    sanitizers: self.plan.sanitizers,
                };
                let bootable = directories::build(self.shop, &recipe).await.and_then(|built| {
                    let image = initramfs::pack_kselftest(self.shop, &agent, &userland, &built)?;
                    let dir = listed.dir.as_str().replace('/', "+");
                    let name = format!("{}.{dir}.{abi}.initramfs", ready.kernel.name);
                    let (kernel, image) = (kernel.clone(), self.machines.keep(&image, &name)?);
                    Ok(Bootable { kernel, image, built, commands: &userland.commands })
                });
                match bootable {
                    Ok(bootable) => made.push((place, abi, listed, bootable)),
                    Err(trouble @ Trouble::Interrupted(_)) => return Err(trouble),
                    Err(Trouble::Cause(cause)) => {
                        let of_dir = |id: &ProgramId| {
                            id.kernel == ready.kernel.name && id.dir == listed.dir && id.abi == abi
                        };
                        self.ledger.close_all(of_dir, &cause);
                    }
                }
            }
        }
        made.sort_by_key(|(place, abi, ..)| (*place, *abi));
        for (_, abi, listed, bootable) in &made {
            self.send_off(ready, listed, *abi, bootable, cells).await;
        }
        Ok(())
    }

    /// The kernel with all that the directories ask for.
    async fn built_kernel(&self, bench: &mut Bench<'_>, ready: &Ready<'_>) -> Result<BuiltKernel, Trouble> {
        let what = format!("{} kselftest", ready.kernel.name);
        let dirs = ready.dirs.iter().map(|listed| &listed.dir);
        let request = Request::of_directories(bench, dirs)?;
        for (dir, error) in &request.unread {
            self.note_dir(ready.kernel, dir, format!("its config is not merged: {error}"));
        }
        for conflict in request.contradictions() {
            self.ledger.note([format!("{}: {conflict}", ready.kernel.name)]);
        }
        let configured: Configured = config::configure(bench, &what, &Overlay::none(), &request).await?;
        self.ledger.note(left_out(&configured, &ready.kernel.name));
        kernel::build(bench, &what, &Overlay::none(), configured).await
    }

    fn write_down(&self, ready: &Ready<'_>, built: &BuiltKernel, vmlinux: &Path) -> Result<(), Trouble> {
        let config = format!("images/{}.config", ready.kernel.name);
        fs::write(self.means.out.join(&config), &built.config.text)?;
        let wrong = |error: crate::build::kconfig::ParseError| Cause::Harness { detail: error.to_string() };
        let options = FinalConfig::parse(&built.config.text).map_err(wrong)?;
        let mut record = self.ledger.record.borrow_mut();
        let Some(part) = record.kernels.iter_mut().find(|part| part.kernel == ready.kernel.name) else {
            return Ok(());
        };
        part.key = built.key.to_string();
        part.image = below(self.means.out, vmlinux);
        part.config = config;
        let value = |name: &str| options.get(name.trim_start_matches("CONFIG_")).to_string();
        part.options = SHOWN.iter().map(|name| ((*name).to_owned(), value(name))).collect();
        let dropped = built.config.dropped.iter().map(|dropped| DroppedOption {
            dir: dropped.fragment.clone(),
            option: dropped.option.clone(),
            text: dropped.text.clone(),
        });
        part.dropped = dropped.collect();
        Ok(())
    }

    /// Sends off the cells of one directory and ABI.
    async fn send_off(
        &mut self,
        ready: &Ready<'_>,
        listed: &Listed,
        abi: Abi,
        made: &Bootable<'_>,
        cells: &mut JoinSet<()>,
    ) {
        let built = &made.built;
        for (helper, first_error) in &built.helpers {
            let note = format!("{helper} was not built for {}: {first_error}", abi.flag());
            self.note_dir(ready.kernel, &listed.dir, note);
        }
        if let Some(became) = &built.sanitizers {
            self.note_dir(ready.kernel, &listed.dir, format!("{}: {became}", abi.flag()));
        }
        for name in &listed.programs {
            let Some(id) = ready.id(&listed.dir, name, abi) else { continue };
            let Some(program) = built.programs.iter().find(|program| program.name == *name) else {
                self.ledger.close_without_run(&id, &Cause::NotListed { abi, program: name.clone() });
                continue;
            };
            if let Some(cause) = cannot_run(program, abi, &built.log, made.commands) {
                self.ledger.close_without_run(&id, &cause);
                continue;
            }
            let mut guest = Guest {
                qemu: self.means.qemu.path.clone(),
                name: format!("abimatrix.{}", id.slug()),
                accel: Accel::Tcg,
                machine: Machine::Q35,
                kernel: made.kernel.clone(),
                initramfs: made.image.clone(),
                command_line: ready.kernel.command_line.clone(),
                tsc_khz: None,
                size: Size { cpus: limits::KSELFTEST_CPUS, memory_mib: limits::KSELFTEST_MEMORY_MIB },
                ssh: None,
            };
            let allowed = |accel| deadline(listed.timeout, self.plan.timeout, accel == Accel::Tcg);
            let trial = vec![planned(program, &listed.dir, allowed(Accel::Tcg))];
            let boards = self.machines.boards(&self.ledger.ctx, &guest, trial).await;
            boards.equip(&mut guest);
            boards.tell(&mut self.ledger.record.borrow_mut().host);
            let deadline = allowed(guest.accel);
            let runs = vec![planned(program, &listed.dir, deadline)];
            self.allow(ready.kernel, &listed.dir, deadline);
            let expected = Expected {
                abi,
                program: name.clone(),
                deadline_ms: deadline.as_millis() as u64,
                script: program.interpreter.is_some(),
                helpers: built.helpers.iter().cloned().chain(built.unbuilt()).collect(),
            };
            let images = match self.machines.images(&guest) {
                Ok(images) => images,
                Err(error) => {
                    self.ledger.close_without_run(&id, &Cause::Harness { detail: error.to_string() });
                    continue;
                }
            };
            let order = WorkOrder {
                guest,
                plan: GuestPlan { runs },
                deadlines: Deadlines::default(),
                images,
                expects: Expects::Kselftest(expected),
            };
            let orders = match self.transports.orders(&mut self.machines, order).await {
                Ok(orders) => orders,
                Err(trouble) => {
                    self.ledger.close_without_run(&id, &trouble.cause());
                    continue;
                }
            };
            let job = Job { ledger: self.ledger.clone(), id, orders };
            let machine = self.machine.clone();
            self.ledger.sent(&job.id);
            cells.spawn_local(async move { job.run(&machine).await });
        }
    }
}
