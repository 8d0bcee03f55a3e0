//! Consoles with lines of the source below what they name, where the kernel's debug info is at hand: a
//! debugger has asked for it before. It is never built for that alone.

use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::boot::vm::log;
use crate::build::Trouble;
use crate::build::debuginfo::{self, DebugKernel};
use crate::judge::decode::{Functions, decode, read_addr2line, wanted};
use crate::model::CellId;
use crate::plan::files::Project;
use crate::process::{Cmd, Ctx};
use crate::report::record::{CellRecord, RunRecord};
use crate::store::Store;

/// What a decoded console is called, beside the raw one.
pub const DECODED: &str = "console.decoded";

/// The debug info of the kernel that a cell of the run booted, if it is at hand and about that kernel.
fn at_hand(
    ctx: &Ctx,
    (store, project): (&Store, &Project),
    (record, cell): (&RunRecord, &CellId),
    folder: &Path,
) -> Result<Option<(DebugKernel, String)>, Trouble> {
    let of_cell = record.kernels.iter().filter(|kernel| kernel.kernel == cell.kernel);
    let Some(leg) = of_cell.flat_map(|kernel| &kernel.legs).find(|leg| leg.leg == cell.leg) else {
        return Ok(None);
    };
    let Some(kernel) = debuginfo::at_hand(ctx, store, project, &leg.key)? else { return Ok(None) };
    let symbols = fs::read_to_string(folder.join(&leg.image).with_extension(super::SYMBOLS))?;
    // Where debug info has moved a symbol, its lines are not those of this kernel.
    Ok(kernel.describes(&symbols)?.then_some((kernel, symbols)))
}

/// A console that was decoded.
#[derive(Debug)]
pub struct Decoded {
    /// Where it is now.
    pub file: PathBuf,
    /// See [`decode`].
    pub lines: Vec<(u64, String)>,
}

/// Decodes the console in `logs`, of a cell of the run in `folder`; none if there was nothing to decode,
/// or nothing to decode it by.
pub async fn console(
    ctx: &Ctx,
    tools: (&Store, &Project),
    (record, cell): (&RunRecord, &CellId),
    folder: &Path,
    logs: &Path,
) -> Result<Option<Decoded>, Trouble> {
    let Some((kernel, symbols)) = at_hand(ctx, tools, (record, cell), folder)? else { return Ok(None) };
    let console = String::from_utf8_lossy(&fs::read(logs.join(log::CONSOLE))?).into_owned();
    let functions = Functions::of(&symbols);
    let addresses = wanted(&console, &functions);
    if addresses.is_empty() {
        return Ok(None);
    }
    let addr2line = Cmd::new("addr2line").args(["-a", "-f", "-i", "-e"]).arg(&kernel.vmlinux);
    let said = addr2line.args(addresses.iter().map(|address| format!("{address:#x}"))).output(ctx).await?;
    let frames = read_addr2line(&said.text(), &kernel.source.to_string_lossy());
    let file = logs.join(DECODED);
    let lines = decode(&console, &functions, &frames);
    let text: String = lines.iter().flat_map(|(_, line)| [line.as_str(), "\n"]).collect();
    fs::write(&file, text)?;
    Ok(Some(Decoded { file, lines }))
}

/// The same for each cell in which the kernel had something to say. What cannot be decoded is told.
pub(super) async fn consoles(ctx: &Ctx, tools: (&Store, &Project), record: &RunRecord, folder: &Path) {
    let splat = |cell: &&CellRecord| !cell.findings.is_empty();
    for cell in record.cells.iter().filter(splat) {
        for part in cell.transports.iter().filter(|part| !part.logs.is_empty()) {
            let logs = folder.join(&part.logs);
            if let Err(trouble) = console(ctx, tools, (record, &cell.id()), folder, &logs).await {
                ctx.events.note(format!("{}: its console is not decoded: {trouble}", cell.id()));
            }
        }
    }
}
