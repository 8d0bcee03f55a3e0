//! Consoles with lines of the source below what they name, where the kernel's debug info is at hand: a
//! debugger has asked for it before, and it is never built for that alone; or somebody has it for a log.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::stored::StoredRun;
use crate::boot::vm::log;
use crate::build::Trouble;
use crate::build::debuginfo;
use crate::judge::decode::{Frames, Functions, LANDMARK, decode, read_addr2line, source_by_landmark, wanted};
use crate::limits;
use crate::plan::files::Project;
use crate::process::{Cmd, Ctx, ProcessError, Stream, describe};
use crate::store::Store;

/// What a decoded console is called, beside the raw one.
pub const DECODED: &str = "console.decoded";

/// A console that was decoded.
#[derive(Debug)]
pub struct Decoded {
    /// Where it is now.
    pub file: PathBuf,
    /// See [`decode`].
    pub lines: Vec<(u64, String)>,
}

/// Decodes the console in `logs`, of a guest of this kernel (its key in the cache, and its image in the run's
/// folder); none if there was nothing to decode, or nothing to decode it by.
pub async fn console(
    ctx: &Ctx,
    (store, project): (&Store, &Project),
    (key, image): (&str, &Path),
    logs: &Path,
) -> Result<Option<Decoded>, Trouble> {
    let Some(kernel) = debuginfo::at_hand(ctx, store, project, key)? else { return Ok(None) };
    let symbols = fs::read_to_string(image.with_extension(super::SYMBOLS))?;
    // Where debug info has moved a symbol, its lines are not those of this kernel.
    if !kernel.describes(&symbols)? {
        return Ok(None);
    }
    let console = String::from_utf8_lossy(&fs::read(logs.join(log::CONSOLE))?).into_owned();
    let functions = Functions::of(&symbols);
    let addresses = wanted(&console, &functions);
    if addresses.is_empty() {
        return Ok(None);
    }
    let said = look_up(ctx, &kernel.vmlinux, &addresses).await?;
    let frames = read_addr2line(&said, &kernel.source.to_string_lossy());
    let file = logs.join(DECODED);
    let lines = decode(&console, &functions, &frames);
    let text: String = lines.iter().flat_map(|(_, line)| [line.as_str(), "\n"]).collect();
    fs::write(&file, text)?;
    Ok(Some(Decoded { file, lines }))
}

/// What the debug info in `vmlinux` says of addresses, as [`read_addr2line`] reads it.
async fn look_up(ctx: &Ctx, vmlinux: &Path, addresses: &BTreeSet<u64>) -> Result<String, ProcessError> {
    let addr2line = Cmd::new("addr2line").args(["-a", "-f", "-i", "-e"]).arg(vmlinux);
    let addr2line = addr2line.args(addresses.iter().map(|address| format!("{address:#x}")));
    Ok(addr2line.deadline(limits::DECODE_DEADLINE).output(ctx).await?.text())
}

/// A log with lines of the source.
#[derive(Debug)]
pub struct DecodedLog {
    /// See [`decode`].
    pub lines: Vec<(u64, String)>,
    /// What a person has to know of it.
    pub notes: Vec<String>,
}

/// Decodes a log by the `vmlinux` that somebody has for it.
pub async fn log(ctx: &Ctx, vmlinux: &Path, log: &str) -> Result<DecodedLog, Trouble> {
    let symbols = symbols(ctx, vmlinux).await?;
    let functions = Functions::of(&symbols);
    let mut notes = Vec::new();
    let misfits = functions.misfits(log);
    if let Some(first) = misfits.first() {
        let more = match misfits.len() {
            1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        notes.push(format!(
            "{first}{more} has another length there than in the log: it is another kernel's, and places may be \
             wrong"
        ));
    }
    let mut addresses = wanted(log, &functions);
    let mut frames = Frames::new();
    if !addresses.is_empty() {
        let landmark = functions.of_name(LANDMARK.0);
        addresses.extend(landmark);
        let said = look_up(ctx, vmlinux, &addresses).await?;
        frames = read_addr2line(&said, "");
        if frames.is_empty() {
            notes.push("it has no debug info (CONFIG_DEBUG_INFO): no place is known".into());
        }
        let source = landmark.map(|at| source_by_landmark(&frames, at).to_owned()).unwrap_or_default();
        frames = read_addr2line(&said, &source);
    }
    Ok(DecodedLog { lines: decode(log, &functions, &frames), notes })
}

/// The symbols of an ELF file, in the form of a `System.map`: which is made by this very program.
async fn symbols(ctx: &Ctx, vmlinux: &Path) -> Result<String, ProcessError> {
    let nm = Cmd::new("nm").arg("--").arg(vmlinux).deadline(limits::DECODE_DEADLINE);
    let argv = nm.display();
    let (mut text, mut errors) = (Vec::new(), Vec::new());
    let status = nm.stream(ctx, |stream, bytes| {
        let (kept, most) = match stream {
            Stream::Out => (&mut text, limits::SYMBOLS_BYTES),
            Stream::Err => (&mut errors, limits::QEMU_STDERR_BYTES),
        };
        kept.extend_from_slice(&bytes[..bytes.len().min(most.saturating_sub(kept.len()))]);
    });
    let status = status.await?;
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match status.success() {
        true => Ok(words(&text)),
        false => Err(ProcessError::Failed { argv, status: describe(status), stderr: words(&errors) }),
    }
}

/// The same for each cell in which the kernel had something to say. What cannot be decoded is told.
pub(super) async fn consoles(ctx: &Ctx, tools: (&Store, &Project), run: &StoredRun) {
    for cell in run.records().iter().filter(|cell| !cell.findings().is_empty()) {
        let Some((key, image)) = run.kernel_of(cell) else { continue };
        for (_, logs) in cell.logs() {
            let logs = run.folder.join(logs);
            if let Err(trouble) = console(ctx, tools, (key, &image), &logs).await {
                ctx.events.note(format!("{}: its console is not decoded: {trouble}", cell.name()));
            }
        }
    }
}
