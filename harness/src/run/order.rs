//! What was asked of a guest, kept beside its logs: enough to judge them again, or to run it again.

use std::path::Path;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::judged;
use crate::boot::qemu::Guest;
use crate::boot::vm::{self, VmError};
use crate::broken::broken;
use crate::judge::kselftest::{self, Expected};
use crate::judge::verdict::{self, Expectation};
use crate::judge::watch::{Deadlines, Evidence};
use crate::limits;
use crate::model::{Judged, Plan as GuestPlan};
use crate::process::Ctx;
use crate::report::sealed::{self, ReadError};
use crate::store::write_atomic;

/// All that it takes to run a cell again and judge it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkOrder {
    /// The machine.
    pub guest: Guest,
    /// What it is asked to do.
    pub plan: GuestPlan,
    /// How long it may take for what.
    pub deadlines: Deadlines,
    /// The hashes of its kernel and its image.
    pub images: Images,
    /// What the judge expects of it.
    pub expects: Expects,
}

/// The folder of a run with the key to its guests over ssh.
pub(super) const KEYS: &str = "ssh";

/// What a guest was booted from, as BLAKE3 hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Images {
    /// Of the kernel.
    pub kernel: String,
    /// Of the image with the programs.
    pub initramfs: String,
}

/// By which rules a cell is judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expects {
    /// As a cell of `test-syscall`.
    Syscall(Expectation),
    /// As one of `test-selftest`.
    Kselftest(Expected),
}

impl WorkOrder {
    /// The file's name in the cell's folder.
    pub const FILE: &str = "order.json";

    /// Reads the order of a cell that was run.
    pub fn read(cell: &Path) -> Result<WorkOrder, ReadError> {
        sealed::read(&cell.join(WorkOrder::FILE), limits::ORDER_BYTES)
    }

    /// Writes it, sealed, into the cell's folder.
    fn write(&self, cell: &Path) -> std::io::Result<()> {
        fs::create_dir_all(cell)?;
        write_atomic(&cell.join(WorkOrder::FILE), &sealed::seal(self)?)
    }

    /// The same with the images, and the key to the guest, where they lie below this run's folder, wherever
    /// that is by now.
    pub(super) fn below(mut self, run: &Path) -> WorkOrder {
        let moved = |folder: &str, file: &Path| run.join(folder).join(file.file_name().unwrap_or_default());
        let Guest { kernel, initramfs, ssh, .. } = &mut self.guest;
        for image in [kernel, initramfs] {
            *image = moved("images", image);
        }
        if let Some(access) = ssh {
            access.client_key = moved(KEYS, &access.client_key);
        }
        self
    }

    /// Boots the guest, with its logs and this order in `cell`, and returns what was seen of it.
    pub(super) async fn run(&self, ctx: &Ctx, cell: &Path) -> Result<Evidence, VmError> {
        self.write(cell)?;
        let mut seen = vm::run(ctx, &self.guest, &self.plan, self.deadlines, cell).await?;
        judged::name_address(&mut seen, &self.guest.kernel);
        Ok(seen)
    }

    /// What the judge makes of a guest that was given this order.
    pub fn judge(&self, seen: &Evidence) -> Judged {
        match &self.expects {
            Expects::Syscall(expected) => verdict::judge(expected, seen),
            Expects::Kselftest(expected) => kselftest::judge(expected, seen),
        }
    }

    /// The first image that is not there, or not what the run booted, in words; or that the key to the
    /// guest is not there.
    pub fn changed_image(&self) -> Option<String> {
        let Images { kernel, initramfs } = &self.images;
        let mut images = [(&self.guest.kernel, kernel), (&self.guest.initramfs, initramfs)].into_iter();
        let changed = images.find_map(|(path, sum)| match hash(path) {
            Ok(found) if found == *sum || broken("image-hash") => None,
            Ok(_) => Some(format!("{} is not what the run booted (its hash differs)", path.display())),
            Err(error) => Some(error.to_string()),
        });
        let key = self.guest.ssh.as_ref().map(|access| fs::File::open(&access.client_key));
        changed.or_else(|| key?.err().map(|error| error.to_string()))
    }
}

/// The hash of an image, as [`Images`] has it.
pub(super) fn hash(path: &Path) -> std::io::Result<String> {
    let mut sum = blake3::Hasher::new();
    sum.update_reader(fs::File::open(path)?)?;
    Ok(sum.finalize().to_hex().to_string())
}
