//! A cell of an earlier run with a person in it: at a shell on its console, or with a debugger.
//!
//! The machine is the one of the cell's order. Nothing of it is judged.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use fs_err as fs;
use tokio::sync::Semaphore;

use super::again::Again;
use super::stored::{AnyCell, StoredCell, StoredError};
use super::{Expects, Looked, Prepared, RunError, SYMBOLS, prepare};
use crate::boot::gdb::{COMMANDS, SOCKET, Subject, VMLINUX};
use crate::boot::qemu::Guest;
use crate::boot::vm::{self, Company, Seat, VmError};
use crate::broken::broken;
use crate::build::debuginfo::{self, DebugKernel};
use crate::build::kernel::{self, Bench};
use crate::build::series::Overlay;
use crate::build::shell::{self, Window};
use crate::build::{Trouble, Workshop, config, elf, initramfs};
use crate::judge::watch::{Deadlines, Evidence};
use crate::limits;
use crate::model::{CellId, Leg, Plan as GuestPlan, SyscallName};
use crate::plan::Plan;
use crate::plan::files::Project;
use crate::plan::host::Host;
use crate::process::Ctx;
use crate::report::sealed::AnyRun;
use crate::store::Store;

/// Why nobody could be let in.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields mean")]
pub enum AttendError {
    #[error(
        "{cell}: its source, series, configuration or compiler is not what it was (its kernel would now be \
         {now}, and was {then}): run it again, and debug that run"
    )]
    Changed { cell: CellId, now: String, then: String },
    #[error("{cell}: a cell of test-selftest is not about one call: there is nothing to stop at")]
    NoCall { cell: String },
    #[error(transparent)]
    Stored(#[from] StoredError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Trouble(#[from] Trouble),
    #[error(transparent)]
    Vm(#[from] VmError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What a person is let into: a cell's machine, with what it was asked to do.
#[derive(Debug, Clone)]
pub struct Errand {
    /// The cell, as it is printed.
    pub name: String,
    /// The machine.
    pub guest: Guest,
    plan: GuestPlan,
}

impl Errand {
    /// Of a cell that was run. Its agent is reached over serial, whatever it was then.
    pub fn of(cell: &StoredCell, here: &Again) -> Result<Errand, AttendError> {
        cell.can_run()?;
        let order = cell.parts.iter().map(|part| here.adapt(&part.order)).next();
        let order = order.expect("a cell that can run has a guest");
        let guest = Guest { ssh: None, ..order.guest };
        Ok(Errand { name: cell.record.name(), guest, plan: order.plan })
    }
}

/// Boots the cell's machine with a shell on its console, and somebody at it. The logs go to `folder`.
pub async fn shell(
    ctx: &Ctx,
    errand: &Errand,
    terminal: (Window, &str),
    folder: &Path,
    seat: Seat<'_>,
) -> Result<Evidence, AttendError> {
    let image = folder.join("shell.initramfs");
    fs::create_dir_all(folder)?;
    let what = (errand.name.as_str(), &errand.plan);
    let made = shell::append(ctx, &errand.guest.initramfs, what, terminal, &image).await?;
    let guest = Guest { initramfs: made.image, ..errand.guest.clone() };
    let company = Company { seat: Some(seat), gdb: None };
    Ok(vm::run_with(ctx, &guest, &made.plan, Deadlines::of_a_shell(), folder, company).await?)
}

/// What the kernel of a cell is made of, as it is now.
#[derive(Debug)]
pub struct Sources<'a> {
    /// The checkout.
    pub project: &'a Project,
    /// The cache.
    pub store: &'a Store,
    /// The machine.
    pub host: &'a Host,
    /// The plan of that cell alone.
    pub plan: &'a Plan,
    /// The trees that were read for it.
    pub looked: Looked,
    /// Where logs of builds go.
    pub logs: PathBuf,
}

/// Builds a cell's kernel with debug info, or finds it. `then` is the key that the kernel had.
pub async fn debug_kernel(
    ctx: &Ctx,
    sources: Sources<'_>,
    cell: &CellId,
    then: &str,
) -> Result<DebugKernel, AttendError> {
    let Sources { project, store, host, plan, mut looked, logs } = sources;
    fs::create_dir_all(&logs)?;
    let shop = Workshop {
        ctx,
        store,
        compiler: host.compiler.as_ref().map(|c| c.version.clone()).unwrap_or_default(),
        libraries: BTreeMap::new(),
        ccache: host.ccache,
        make_jobs: host.cpus,
        logs,
        machine: Rc::new(Semaphore::new(1)),
        guests: 1,
    };
    let part = plan.kernels.iter().find(|part| part.kernel.name == cell.kernel);
    let part = part.ok_or_else(|| io::Error::other(format!("{} is not planned", cell.kernel)))?;
    let Prepared { pristine, series, .. } =
        prepare(&shop, part, plan, looked.remove(&part.kernel.name)).await??;
    let mut bench = Bench::new(&shop, &part.kernel, pristine);
    let none = Overlay::none();
    let overlay = if cell.leg == Leg::Unpatched { &none } else { &series };
    let fragments = config::fragments(&bench, part.layers(), cell.leg, &series)?;
    let what = format!("{} {}", cell.kernel, cell.leg);
    let configured = config::configure(&mut bench, &what, overlay, &fragments).await?;
    let now = kernel::key(&bench, overlay, &configured);
    if now.as_str() != then && !broken("debug-same-kernel") {
        let then = then.to_owned();
        return Err(AttendError::Changed { cell: cell.clone(), now: now.to_string(), then });
    }
    Ok(debuginfo::build(bench, project, &what, overlay, (&configured, fragments)).await?)
}

/// The call that a cell is about, and its number there.
pub fn call(cell: &StoredCell, run: &AnyRun) -> Result<(CellId, SyscallName, u32), AttendError> {
    let no_call = || AttendError::NoCall { cell: cell.record.name() };
    let (AnyCell::Syscall(record), AnyRun::Syscall(run)) = (&cell.record, run) else { return Err(no_call()) };
    let part = cell.parts.first().ok_or_else(no_call)?;
    let Expects::Syscall(expected) = &part.order.expects else { return Err(no_call()) };
    Ok((record.id(), run.syscall.clone(), expected.number))
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
    /// Writes what the debugger needs into `folder`, and opens its socket there.
    pub fn new(
        errand: &Errand,
        (cell, syscall, number): (&CellId, &SyscallName, u32),
        kernel: &DebugKernel,
        folder: &Path,
    ) -> Result<Debuggee, AttendError> {
        fs::create_dir_all(folder)?;
        let mut guest = errand.guest.clone();
        let mut notes = Vec::new();
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
        let mut programs = Vec::new();
        for (name, bytes) in initramfs::tests_in(&guest.initramfs)? {
            // What gdb would take for more than one word, or another command, is no program of a selftest.
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if elf::is_fixed(&bytes) && name.chars().all(plain) && !name.starts_with(['-', '.']) {
                let name = format!("selftest.{name}");
                fs::write(folder.join(&name), bytes)?;
                programs.push(name);
            }
        }
        let entry = kernel.entry(syscall, cell.abi)?;
        // A table may name what was not built: then the number leads nowhere.
        let has = |name: &str| symbols.lines().any(|line| line.rsplit(' ').next() == Some(name));
        let entry = entry.filter(|entry| has(entry));
        let title = cell.to_string();
        let subject = Subject {
            title: &title,
            syscall,
            abi: cell.abi,
            number,
            entry: entry.as_deref(),
            programs: &programs,
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
