//! What every conductor needs of the machine: accelerator and board, and the files that a run keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::Means;
use super::order::{self, Images};
use crate::boot::accel::{self, Decision, Known};
use crate::boot::qemu::{Accel, Guest, Machine};
use crate::build::Trouble;
use crate::model::{Plan as GuestPlan, PlannedRun};
use crate::process::Ctx;
use crate::report::record::HostRecord;

/// The host as a run begins on it; accelerator and board are not decided yet.
pub(super) fn host_record(means: &Means<'_>, jobs: usize) -> HostRecord {
    let uname = rustix::system::uname();
    let word = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    HostRecord {
        system: [word(uname.sysname()), word(uname.release()), word(uname.machine())].join(" "),
        cpus: means.host.cpus,
        qemu: means.qemu.version.clone(),
        machine: String::new(),
        accel: String::new(),
        accel_why: String::new(),
        compiler: means.host.compiler.as_ref().map(|c| c.version.clone()).unwrap_or_default(),
        ccache: means.host.ccache,
        jobs,
    }
}

/// How the guests of a run are run.
#[derive(Debug, Clone)]
pub(super) struct Boards {
    accel: Accel,
    machine: Machine,
    tsc_khz: Option<u64>,
    why: String,
}

impl Boards {
    /// Gives a guest what was decided.
    pub(super) fn equip(&self, guest: &mut Guest) {
        (guest.accel, guest.machine, guest.tsc_khz) = (self.accel, self.machine, self.tsc_khz);
    }

    /// Writes down what was decided.
    pub(super) fn tell(&self, host: &mut HostRecord) {
        host.accel = self.accel.to_string();
        host.accel_why.clone_from(&self.why);
        host.machine = self.machine.to_string();
    }
}

/// The machines of a run.
pub(super) struct Machines<'a> {
    means: &'a Means<'a>,
    /// Accelerator, board and clock, once they are decided.
    boards: Option<Boards>,
    /// What this run has put among its images.
    kept: BTreeSet<PathBuf>,
    /// Their hashes, once they were asked for.
    hashes: BTreeMap<PathBuf, String>,
    /// A trial of KVM that failed, until it is known that TCG does better.
    pub(super) refused: Option<Decision>,
}

impl<'a> Machines<'a> {
    /// Nothing is decided, nothing is kept.
    pub(super) fn new(means: &'a Means<'a>) -> Machines<'a> {
        Machines { means, boards: None, kept: BTreeSet::new(), hashes: BTreeMap::new(), refused: None }
    }

    /// Puts a file of the cache into the run's folder, which is then whole by itself.
    pub(super) fn keep(&mut self, file: &Path, name: &str) -> Result<PathBuf, Trouble> {
        let folder = self.means.out.join("images");
        fs::create_dir_all(&folder)?;
        let kept = folder.join(name);
        if !self.kept.contains(&kept) {
            // Whatever lies there by this name is not of this run.
            let _ = std::fs::remove_file(&kept);
            if std::fs::hard_link(file, &kept).is_err() {
                fs::copy(file, &kept)?;
            }
            // Only a whole one is taken as there.
            self.kept.insert(kept.clone());
        }
        Ok(kept)
    }

    /// What identifies the images of a guest, for whoever boots them again.
    pub(super) fn images(&mut self, guest: &Guest) -> std::io::Result<Images> {
        let mut hash = |path: &Path| -> std::io::Result<String> {
            if let Some(known) = self.hashes.get(path) {
                return Ok(known.clone());
            }
            let hash = order::hash(path)?;
            self.hashes.insert(path.to_owned(), hash.clone());
            Ok(hash)
        };
        Ok(Images { kernel: hash(&guest.kernel)?, initramfs: hash(&guest.initramfs)? })
    }

    /// Accelerator and board, decided once per run, by a trial boot of the first guest if need be.
    pub(super) async fn boards(&mut self, ctx: &Ctx, guest: &Guest, mut runs: Vec<PlannedRun>) -> &Boards {
        if self.boards.is_none() {
            let Means { store, host, qemu, accel, out, .. } = *self.means;
            let tsc_khz = accel::tsc_khz(store);
            let decision = match accel::known(store, host, qemu, accel) {
                Known::Decided(decision) => decision,
                Known::Untried => {
                    let machine = accel::machine(qemu, Accel::Kvm, tsc_khz);
                    let trial = Guest { machine, tsc_khz, ..guest.clone() };
                    // The first program is enough: the question is whether a guest runs at all.
                    runs.truncate(1);
                    let plan = GuestPlan { runs };
                    let decision = accel::try_kvm(ctx, &trial, &plan, &out.join("kvm-trial")).await;
                    match decision.accel {
                        Accel::Kvm => accel::remember(store, qemu, &decision),
                        Accel::Tcg => self.refused = Some(decision.clone()),
                    }
                    decision
                }
            };
            let machine = accel::machine(qemu, decision.accel, tsc_khz);
            self.boards = Some(Boards { accel: decision.accel, machine, tsc_khz, why: decision.why });
        }
        self.boards.as_ref().expect("decided above")
    }
}
