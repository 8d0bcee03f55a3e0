//! A cell of an earlier run with a person in it: here at a shell on its console; `debugger` is about gdb.
//!
//! The machine is the one of the cell's order. Nothing of it is judged.

use std::io;
use std::path::Path;

use fs_err as fs;

use super::RunError;
use super::again::Again;
use super::stored::{StoredCell, StoredError};
use crate::boot::qemu::Guest;
use crate::boot::vm::{self, Company, Seat, VmError};
use crate::build::Trouble;
use crate::build::shell::{self, Window};
use crate::judge::watch::{Deadlines, Evidence};
use crate::model::Plan as GuestPlan;
use crate::process::Ctx;

/// Why nobody could be let in.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields mean")]
pub enum AttendError {
    #[error(
        "{cell}: its source, series, configuration or compiler is not what it was (its kernel would now be \
         {now}, and was {then}): run it again, and debug that run"
    )]
    Changed { cell: String, now: String, then: String },
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
    pub(super) plan: GuestPlan,
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
