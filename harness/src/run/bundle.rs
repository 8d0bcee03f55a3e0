//! A cell as one file that runs it where there is QEMU and a shell, and nothing of this tool.
//!
//! The same kernel, image, plan and request; the board is q35, whose clock needs no number of the host
//! that it ran on. `run.sh` compares what decided the verdict ([`facts`]) and weighs nothing. The
//! archive is the same, byte by byte, whenever it is made of the same run by the same version.

mod facts;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use fs_err as fs;
use sha2::{Digest, Sha256};

use super::WorkOrder;
use super::stored::{AnyCell, Part, StoredCell, StoredError, StoredRun};
use crate::boot::frames::{self, Nonce};
use crate::boot::qemu::{Files, Guest, Machine};
use crate::boot::vm::log;
use crate::limits;
use crate::model::{KernelName, Transport};
use crate::report::record::{FILE, RecipeRecord, TreeRecord};
use crate::report::sealed::AnyRun;

const SCRIPT: &str = include_str!("bundle/run.sh");
const README: &str = include_str!("bundle/README");
/// The names of the images in the bundle.
const KERNEL: &str = "vmlinux";
const IMAGE: &str = "initramfs";

/// What `run.sh` writes, and where.
const FILES: Files<'_> = Files { console: "out/console.log", words: "out/words.log" };

/// The files of a bundle, by name: mode and content.
type Contents = BTreeMap<String, (u32, Vec<u8>)>;

/// The bundle of a cell, as a tar.zst.
pub fn bundle(run: &StoredRun, cell: &StoredCell) -> Result<Vec<u8>, StoredError> {
    cell.can_run()?;
    let name = cell.record.name();
    let Some(part) = cell.parts.iter().find(|part| part.transport == Transport::Serial) else {
        let what = "it was run over ssh, and a shell has no ssh: bundle one that ran over serial";
        return Err(StoredError::Kind { cell: name, what });
    };
    let contents = contents(run, cell, part, &name)?;
    let archive = archive(&format!("abimatrix-{}", cell.record.slug()), &contents)
        .map_err(|error| StoredError::Log { cell: name, name: "bundle", error })?;
    Ok(ruzstd::encoding::compress_to_vec(&archive[..], ruzstd::encoding::CompressionLevel::Fastest))
}

fn contents(run: &StoredRun, cell: &StoredCell, part: &Part, name: &str) -> Result<Contents, StoredError> {
    let seen = part.evidence(name)?;
    let read = |path: &Path, what: &'static str| {
        fs::read(path).map_err(|error| StoredError::Log { cell: name.to_owned(), name: what, error })
    };
    let console = read(&part.logs.join(log::CONSOLE), log::CONSOLE)?;
    let mut lines: Vec<u8> = facts::facts(&part.order.plan, &seen, &console).join(&b'\n');
    lines.push(b'\n');
    let seconds = limit(part, seen.over_at).as_secs().max(1);
    let script = script(&part.order, name, seconds).map_err(|error| StoredError::Log {
        cell: name.to_owned(),
        name: "plan",
        error: std::io::Error::other(error),
    })?;
    let verdict = format!("{name}: {}\n", crate::judge::console::sanitize_lines(&cell.record.in_words()));
    let mut files = Contents::new();
    let mut put = |name: &str, bytes: Vec<u8>| drop(files.insert(name.to_owned(), (0o644, bytes)));
    put(KERNEL, read(&part.order.guest.kernel, "kernel")?);
    put(IMAGE, read(&part.order.guest.initramfs, "image")?);
    put("expected", lines);
    put("README", README.replace("@CELL@", name).replace("@VERDICT@", verdict.trim_end()).into_bytes());
    put("versions", versions(run, &cell.record).into_bytes());
    put("verdict", verdict.into_bytes());
    put("run/run.json", read(&run.folder.join(FILE), FILE)?);
    for file in
        [WorkOrder::FILE, log::JOURNAL, log::CONSOLE, log::RESULTS, log::QEMU, log::ARGV, log::REGISTERS]
    {
        // Only a guest that fell silent has registers.
        if let Ok(bytes) = fs::read(part.logs.join(file)) {
            put(&format!("run/{file}"), bytes);
        }
    }
    let config = part.order.guest.kernel.with_extension("config");
    if let Ok(bytes) = fs::read(config) {
        put("config", bytes);
    }
    let patches = run.folder.join(super::PATCHES).join(kernel(&cell.record).as_str());
    for (file, bytes) in all_files(&patches) {
        put(&format!("patches/{file}"), bytes);
    }
    files.insert("run.sh".to_owned(), (0o755, script.into_bytes()));
    let sums: String =
        files.iter().map(|(name, (_, bytes))| format!("{}  {name}\n", hex(&Sha256::digest(bytes)))).collect();
    files.insert("SHA256SUMS".to_owned(), (0o644, sums.into_bytes()));
    Ok(files)
}

fn kernel(cell: &AnyCell) -> &KernelName {
    match cell {
        AnyCell::Syscall(cell) => &cell.kernel,
        AnyCell::Kselftest(cell) => &cell.kernel,
    }
}

/// The files in a folder, by name; none, if there is no such folder.
fn all_files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeMap::new() };
    let file = |entry: std::fs::DirEntry| {
        let name = entry.file_name().to_str()?.to_owned();
        Some((name, std::fs::read(entry.path()).ok()?))
    };
    entries.flatten().filter_map(file).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How long `run.sh` waits for a guest that hangs: twice as long as the run's own guest took, and not
/// longer than all its programs may take.
fn limit(part: &Part, took: Duration) -> Duration {
    let own: Duration = part.order.plan.runs.iter().map(|run| run.deadline + limits::AGENT_MARGIN).sum();
    let most = part.order.deadlines.boot + own + part.order.deadlines.power_off;
    (took * 2 + part.order.deadlines.boot).min(most)
}

fn script(order: &WorkOrder, name: &str, seconds: u64) -> Result<String, frames::EncodeError> {
    // Any will do that is no other bundle's, and the same when the bundle is made again.
    let sum = blake3::hash(&serde_json::to_vec(order).unwrap_or_default());
    let nonce = sum.as_bytes().first_chunk::<16>().copied().and_then(Nonce::new);
    let nonce = nonce.unwrap_or_else(|| Nonce::new([1; 16]).expect("not zero"));
    let request = [frames::encode_plan(nonce, &order.plan)?, frames::encode_close(nonce)].concat();
    let guest = Guest {
        machine: Machine::Q35,
        tsc_khz: None,
        kernel: KERNEL.into(),
        initramfs: IMAGE.into(),
        ssh: None,
        ..order.guest.clone()
    };
    let args = guest.args_for_files(FILES);
    let args = args.iter().map(|arg| match arg == &guest.accel.to_string() {
        true => "\"$accel\"".to_owned(),
        false => facts::quoted(arg),
    });
    // An option and its value on a line.
    let mut text = String::new();
    for arg in args {
        let option = arg.starts_with("'-");
        text += if option { " \\\n            " } else { " " };
        text +=
            arg.strip_prefix('\'').and_then(|arg| arg.strip_suffix('\'')).filter(|_| option).unwrap_or(&arg);
    }
    Ok(SCRIPT
        .replace("@CELL@", name)
        .replace("@ACCEL@", &guest.accel.to_string())
        .replace("@SECONDS@", &seconds.to_string())
        .replace("@REQUEST@", &printf(&request))
        .replace("@SPLATS@", &facts::splats())
        .replace(" @ARGS@", &text))
}

/// Commands that print these bytes: a shell has nothing else that makes a NUL.
fn printf(bytes: &[u8]) -> String {
    let mut text = String::new();
    for piece in bytes.chunks(32) {
        text += "    printf '";
        for &byte in piece {
            match byte {
                b'%' => text += "%%",
                // A piece that begins with `-` would be an option.
                b'\\' | b'\'' | b'-' => text += &format!("\\{byte:03o}"),
                0x20..=0x7e => text.push(byte.into()),
                _ => text += &format!("\\{byte:03o}"),
            }
        }
        text += "'\n";
    }
    text.trim_end_matches('\n').to_owned()
}

/// What it was made with.
fn versions(run: &StoredRun, cell: &AnyCell) -> String {
    let kernel = kernel(cell);
    let (tool, host) = match &run.record {
        AnyRun::Syscall(run) => (&run.tool, &run.host),
        AnyRun::Kselftest(run) => (&run.tool, &run.host),
    };
    let mut text = format!(
        "abimatrix {tool}\n{}\nguest: {}, accel {}\n{}\nhost: {}\n",
        host.qemu, host.machine, host.accel, host.compiler, host.system
    );
    let mut about = |source: &str, tree: Option<&TreeRecord>, recipe: &RecipeRecord| {
        text += &format!("kernel {kernel}: {source}\n");
        if let Some(TreeRecord { commit, base, dirty, .. }) = tree {
            let base = base.as_ref().map(|base| format!("a series on {base}"));
            let state =
                [commit.clone(), base, dirty.clone()].into_iter().flatten().collect::<Vec<_>>().join(", ");
            text += &format!("of a tree: {state}\n");
        }
        for (what, said) in [("configs", &recipe.configs), ("make", &recipe.make)] {
            if !said.is_empty() {
                text += &format!("{what}: {}\n", said.join(" "));
            }
        }
    };
    match &run.record {
        AnyRun::Syscall(run) => {
            for part in run.kernels.iter().filter(|part| part.kernel == *kernel) {
                about(&part.source, part.tree.as_ref(), &part.recipe);
            }
        }
        AnyRun::Kselftest(run) => {
            for part in run.kernels.iter().filter(|part| part.kernel == *kernel) {
                about(&part.source, part.tree.as_ref(), &part.recipe);
            }
        }
    }
    text
}

/// A tar of these files below one folder, with nothing in it that says who made it or when.
fn archive(folder: &str, files: &Contents) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let header = |mode: u32, kind: tar::EntryType, size: usize| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size as u64);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header
    };
    let mut folders = vec![String::new(), "out/".to_owned()];
    folders.extend(files.keys().filter_map(|name| Some(format!("{}/", name.rsplit_once('/')?.0))));
    folders.sort();
    folders.dedup();
    for name in folders {
        let mut header = header(0o755, tar::EntryType::Directory, 0);
        tar.append_data(&mut header, format!("{folder}/{name}"), std::io::empty())?;
    }
    for (name, (mode, bytes)) in files {
        let mut header = header(*mode, tar::EntryType::Regular, bytes.len());
        tar.append_data(&mut header, format!("{folder}/{name}"), &bytes[..])?;
    }
    tar.into_inner()
}

#[cfg(test)]
mod tests;
