//! A cell of an earlier run under gdb: its kernel once more, with debug info; what gdb is told; its machine.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use fs_err as fs;
use tokio::sync::Semaphore;

use super::attend::{AttendError, Errand};
use super::stored::{AnyCell, StoredCell, StoredError};
use super::{Expects, Looked, Prepared, SYMBOLS, prepare};
use crate::boot::gdb::{COMMANDS, Call, Function, SOCKET, Start, Subject, Symbols, VMLINUX};
use crate::boot::qemu::Guest;
use crate::boot::vm::{self, Company};
use crate::broken::broken;
use crate::build::config::{self, Request};
use crate::build::debuginfo::{self, DebugKernel, SourcesOf};
use crate::build::initramfs::{TEST_DIR, files_in};
use crate::build::kernel::{self, Bench};
use crate::build::kselftest::{ROOT, SELFTESTS};
use crate::build::series::Overlay;
use crate::build::{Workshop, elf, source};
use crate::judge::watch::{Deadlines, Evidence};
use crate::limits;
use crate::model::{CellId, KernelName, Leg, Plan as GuestPlan, ProgramId, SyscallName};
use crate::plan::Plan;
use crate::plan::files::Project;
use crate::plan::host::Host;
use crate::plan::kselftest::KselftestPlan;
use crate::process::Ctx;
use crate::report::sealed::AnyRun;
use crate::store::Store;

/// The folder with the sources that are not the pristine ones, for the debugger.
const SOURCES: &str = "sources";

/// What a debugger is to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aim {
    /// A call, by the ABI of a cell.
    Call {
        /// The cell.
        cell: CellId,
        /// The call.
        syscall: SyscallName,
        /// Its number there.
        number: u32,
    },
    /// A program of the kernel's own selftests.
    Program(ProgramId),
}

impl Aim {
    /// What a cell of this run is about.
    pub fn of(cell: &StoredCell, run: &AnyRun) -> Result<Aim, AttendError> {
        match (&cell.record, run, cell.parts.first().map(|part| &part.order.expects)) {
            (AnyCell::Syscall(record), AnyRun::Syscall(run), Some(Expects::Syscall(expected))) => {
                let (syscall, number) = (run.syscall.clone(), expected.number);
                Ok(Aim::Call { cell: record.id(), syscall, number })
            }
            (AnyCell::Kselftest(record), AnyRun::Kselftest(_), Some(Expects::Kselftest(_))) => {
                Ok(Aim::Program(record.id()))
            }
            _ => {
                let what = "its order is one of another kind of run: this is not its folder";
                Err(StoredError::Kind { cell: cell.record.name(), what }.into())
            }
        }
    }
}

/// What the kernel of a cell is made with, as it is now.
#[derive(Debug)]
pub struct Sources<'a> {
    /// The checkout.
    pub project: &'a Project,
    /// The cache.
    pub store: &'a Store,
    /// The machine.
    pub host: &'a Host,
    /// Where logs of builds go.
    pub logs: PathBuf,
}

impl<'a> Sources<'a> {
    fn workshop(&self, ctx: &'a Ctx) -> io::Result<Workshop<'a>> {
        fs::create_dir_all(&self.logs)?;
        Ok(Workshop {
            ctx,
            store: self.store,
            compiler: self.host.compiler.as_ref().map(|c| c.version.clone()).unwrap_or_default(),
            libraries: BTreeMap::new(),
            ccache: self.host.ccache,
            make_jobs: self.host.cpus,
            logs: self.logs.clone(),
            machine: Rc::new(Semaphore::new(1)),
            guests: 1,
        })
    }
}

/// An error, unless the kernel would be made as the one with the key `then` was.
fn is_the_same(cell: &str, now: &str, then: &str) -> Result<(), AttendError> {
    if now == then || broken("debug-same-kernel") {
        return Ok(());
    }
    Err(AttendError::Changed { cell: cell.to_owned(), now: now.to_owned(), then: then.to_owned() })
}

fn not_planned(kernel: &KernelName) -> AttendError {
    io::Error::other(format!("{kernel} is not planned")).into()
}

/// Builds the kernel of a syscall's cell with debug info, or finds it. `plan` is of that cell alone, with
/// the trees that were read for it; `then` is the key that the kernel had.
pub async fn kernel_of_cell(
    ctx: &Ctx,
    sources: &Sources<'_>,
    cell: &CellId,
    then: &str,
    (plan, mut looked): (&Plan, Looked),
) -> Result<DebugKernel, AttendError> {
    let shop = sources.workshop(ctx)?;
    let part = plan.kernels.iter().find(|part| part.kernel.name == cell.kernel);
    let part = part.ok_or_else(|| not_planned(&cell.kernel))?;
    let Prepared { pristine, series, .. } =
        prepare(&shop, part, plan, looked.remove(&part.kernel.name)).await??;
    let mut bench = Bench::new(&shop, &part.kernel, pristine);
    let none = Overlay::none();
    let overlay = if cell.leg == Leg::Unpatched { &none } else { &series };
    let request = Request::of_leg(&bench, part.layers(), cell.leg, &series)?;
    let what = format!("{} {}", cell.kernel, cell.leg);
    let configured = config::configure(&mut bench, &what, overlay, &request).await?;
    is_the_same(&cell.to_string(), kernel::key(&bench, overlay, &configured).as_str(), then)?;
    Ok(debuginfo::build(bench, sources.project, &what, overlay, (&configured, request)).await?)
}

/// The same for a program of a run of the kernel's own selftests. `plan` has the directories of the run: the
/// kernel has what all of them ask for.
pub async fn kernel_of_program(
    ctx: &Ctx,
    sources: &Sources<'_>,
    program: &ProgramId,
    then: &str,
    plan: &KselftestPlan,
) -> Result<DebugKernel, AttendError> {
    let shop = sources.workshop(ctx)?;
    let kernel = plan.kernels.iter().find(|kernel| kernel.name == program.kernel);
    let kernel = kernel.ok_or_else(|| not_planned(&program.kernel))?;
    let mut bench = Bench::new(&shop, kernel, source::pristine(&shop, kernel).await?);
    let request = Request::of_directories(&bench, plan.dirs.iter())?;
    let (what, none) = (format!("{} kselftest", kernel.name), Overlay::none());
    let configured = config::configure(&mut bench, &what, &none, &request).await?;
    is_the_same(&program.to_string(), kernel::key(&bench, &none, &configured).as_str(), then)?;
    Ok(debuginfo::build(bench, sources.project, &what, &none, (&configured, request)).await?)
}

/// A cell that is ready for a debugger, which is started in [`Debuggee::folder`] with [`COMMANDS`].
#[derive(Debug)]
pub struct Debuggee {
    /// Where all of it lies.
    pub folder: PathBuf,
    /// What a person has to know of it.
    pub notes: Vec<String>,
    guest: Guest,
    plan: GuestPlan,
    listener: OwnedFd,
}

impl Debuggee {
    /// Writes what the debugger needs into `folder`, and opens its socket there. It stops in the functions
    /// `breaks`, too, once the cell's program has begun.
    pub fn new(
        errand: &Errand,
        (aim, breaks): (&Aim, &[Function]),
        kernel: &DebugKernel,
        folder: &Path,
    ) -> Result<Debuggee, AttendError> {
        fs::create_dir_all(folder)?;
        let mut guest = errand.guest.clone();
        let mut notes = Vec::new();
        let sources = sources(kernel, folder, &mut notes)?;
        let mut directories = Vec::new();
        let installed =
            |dir: &str| Some(dir.strip_prefix('/')?.strip_prefix(ROOT)?.strip_prefix('/')?.to_owned());
        if let Some(dir) = errand.plan.runs.iter().find_map(|run| installed(run.dir.as_deref()?)) {
            let trees = [Some(folder.join(SOURCES)), kernel.sources()?.pristine].into_iter().flatten();
            directories.extend(trees.map(|tree| tree.join(SELFTESTS).join(&dir)));
            directories.retain(|folder| folder.is_dir());
        }
        place(&kernel.vmlinux, &folder.join(VMLINUX))?;
        let symbols = fs::read_to_string(guest.kernel.with_extension(SYMBOLS))?;
        if kernel.describes(&symbols)? {
            notes.push(
                "the kernel is the one that was judged: debug info has moved none of its symbols".into(),
            );
        } else {
            guest.kernel = folder.join(VMLINUX);
            notes.push(
                "debug info has moved the kernel's symbols: what is booted is the kernel that was compiled \
                 with it, from the same source and configuration"
                    .into(),
            );
        }
        let mut functions: BTreeSet<String> = symbols.lines().filter_map(symbol).map(str::to_owned).collect();
        let (mut programs, mut waited_for, mut main) = (Vec::new(), None, false);
        let is_test = |file: &str| file.strip_prefix(TEST_DIR).is_some_and(|rest| rest.starts_with('/'));
        let started: Vec<&str> =
            errand.plan.runs.iter().filter_map(|run| Some(run.args.first()?.as_str())).collect();
        // A script's interpreter is no test.
        let started: Vec<&str> = started.into_iter().filter(|path| !path.starts_with("/bin/")).collect();
        let files = files_in(&guest.initramfs, |file| started.contains(&file) || is_test(file))?;
        // The first that is a program: a script has no functions.
        let is_program =
            |path: &&&str| files.iter().any(|(file, bytes)| file == **path && elf::is_executable(bytes));
        let path = started.iter().find(is_program).copied().unwrap_or_default();
        for (inside, bytes) in &files {
            let name = inside.rsplit('/').next().unwrap_or(inside);
            // What gdb would take for more than one word, or another command, is no program of a selftest.
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            let Some(code) = elf::code(bytes).filter(|code| !code.functions.is_empty()) else { continue };
            if name.starts_with(['-', '.']) || !name.chars().all(plain) {
                continue;
            }
            let file = format!("selftest.{name}");
            if elf::is_fixed(bytes) {
                programs.push(file.clone());
            } else if inside == path {
                waited_for = Some((file.clone(), code.begins));
            } else {
                continue;
            }
            main |= inside == path && code.functions.contains("main");
            fs::write(folder.join(file), bytes)?;
            functions.extend(code.functions);
        }
        for name in breaks.iter().map(Function::as_str).filter(|name| !functions.contains(*name)) {
            notes.push(format!(
                "--break {name}: neither the kernel nor the program has a function of that name; gdb stops \
                 where it was inlined, if it was"
            ));
        }
        let entry = match aim {
            Aim::Call { cell, syscall, .. } => kernel.entry(syscall, cell.abi)?,
            Aim::Program(_) => None,
        };
        // A table may name what was not built: then the number leads nowhere.
        let entry = entry.filter(|entry| functions.contains(entry));
        let call = match aim {
            Aim::Call { cell, syscall, number } => {
                // It has better places to stop at.
                main = false;
                Some(Call { syscall, abi: cell.abi, number: *number, entry: entry.as_deref() })
            }
            Aim::Program(_) => None,
        };
        let symbols = waited_for.as_ref().map(|(file, code)| Symbols { file, code: *code });
        let start = Start { path, symbols, main };
        let start = Some(start).filter(|_| call.is_none() || !breaks.is_empty());
        let subject = Subject {
            title: &errand.name,
            call,
            start,
            breaks,
            programs: &programs,
            sources: &sources,
            directories: &directories,
        };
        fs::write(folder.join(COMMANDS), subject.commands())?;
        // A program has no deadline that a debugger would not outlast.
        let mut plan = errand.plan.clone();
        plan.runs.iter_mut().for_each(|run| run.deadline = limits::SHELL_DEADLINE);
        Ok(Debuggee { listener: listen(folder)?, folder: folder.to_owned(), notes, guest, plan })
    }

    /// Has the machine made, and waits for its end. The debugger has to start it.
    pub async fn run(self, ctx: &Ctx) -> Result<Evidence, AttendError> {
        let company = Company { seat: None, gdb: Some(self.listener) };
        let (guest, plan, folder) = (&self.guest, &self.plan, &self.folder);
        Ok(vm::run_with(ctx, guest, plan, Deadlines::of_a_debugger(), folder, company).await?)
    }
}

/// Where a debugger finds the sources that the kernel was made of: the work tree, which its debug info names,
/// may be another leg's by now. What is not pristine is put into `folder`.
fn sources(
    kernel: &DebugKernel,
    folder: &Path,
    notes: &mut Vec<String>,
) -> io::Result<Vec<(PathBuf, PathBuf)>> {
    let SourcesOf { pristine, kept, names } = kernel.sources()?;
    let mut rules = Vec::new();
    if broken("own-sources") {
        return Ok(rules);
    }
    for name in names {
        let own = Path::new(SOURCES).join(&name);
        fs::create_dir_all(folder.join(&own).parent().unwrap_or(folder))?;
        // A copy: who edits it from gdb must not edit the cache. Its time is that of the kernel, or gdb warns.
        let (from, to) = (kept.join(&name), folder.join(&own));
        fs::copy(&from, &to)?;
        std::fs::File::options().write(true).open(&to)?.set_modified(fs::metadata(&from)?.modified()?)?;
        rules.push((kernel.source.join(&name), own));
    }
    match pristine {
        Some(tree) => rules.push((kernel.source.clone(), tree)),
        None => notes.push(
            "the kernel's source is not in the cache any more: only the files that a series or edits have \
             changed are sure to be those that it was compiled from"
                .into(),
        ),
    }
    Ok(rules)
}

/// The name in a line of a `System.map`.
fn symbol(line: &str) -> Option<&str> {
    line.rsplit(' ').next()
}

/// Puts a file of the cache into the folder, which is then whole by itself.
fn place(file: &Path, into: &Path) -> io::Result<()> {
    if std::fs::hard_link(file, into).is_err() {
        fs::copy(file, into)?;
    }
    Ok(())
}

/// A socket in a folder of whatever length: its own path may have 108 bytes.
fn listen(folder: &Path) -> io::Result<OwnedFd> {
    let opened = fs::File::open(folder)?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd());
    Ok(UnixListener::bind(path)?.into())
}
