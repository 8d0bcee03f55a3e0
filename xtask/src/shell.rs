//! `repro --shell`, `--shell-on-fail`: a cell's machine with the user at its console.

use std::path::Path;

use anyhow::{Context, Result};
use harness::boot::vm::{Seat, Shown};
use harness::judge::console::{sanitize, sanitize_lines};
use harness::judge::watch::{Abort, Evidence};
use harness::process::{Ctx, StopSwitch};
use harness::run::attend::{self, Errand};
use harness::run::stored::{StoredCell, StoredRun};
use tokio::sync::mpsc::{Permit, Sender};

use crate::cli::{Common, Exit};
use crate::terminal::{self, Escape, Keyboard, Lent};
use crate::{clean, progress, repro, say, session};

/// Boots the cell's machine with a shell, and lends it the terminal until it goes off or is left.
pub fn run(run: &StoredRun, cell: &StoredCell, common: &Common) -> Result<Exit> {
    terminal::demand("--shell", "")?;
    session::run_suspendable(progress::events(common), |mut ctx| async move {
        let store = session::store(common.cache.as_deref(), &mut ctx)?;
        let errand = Errand::of(cell, &repro::here(&ctx, &store, run).await?)?;
        let _held = clean::hold(&run.folder);
        let folder = repro::new_folder(&run.folder)?;
        let seen = at_its_console(&ctx, &errand, &folder).await?;
        if let Some(signal) = session::stopped(&ctx.stop) {
            return Ok(Exit::Interrupted(signal));
        }
        let (words, exit) = how_it_ended(&seen);
        say::aside(sanitize_lines(&format!("{}: {words} (console: {})", errand.name, folder.display())));
        Ok(exit)
    })
}

/// `--shell-on-fail`: the first cell of the run that did not pass, if somebody is there. Whatever comes
/// of it, the run came to what it came to.
pub fn on_fail(folder: &Path, common: &Common) {
    if !terminal::is_there() {
        say::aside("--shell-on-fail: there is no terminal; later: cargo xtask repro RUN --shell");
        return;
    }
    let first = || {
        let stored = StoredRun::open(folder)?;
        let cell = stored.cell(stored.pick(&[])?)?;
        run(&stored, &cell, common)
    };
    if let Err(error) = first() {
        say::aside(sanitize_lines(&format!("--shell-on-fail: {error:#}")));
    }
}

async fn at_its_console(ctx: &Ctx, errand: &Errand, folder: &Path) -> Result<Evidence> {
    // Its own end is not the end of it all, nor the wish for it.
    let (switch, stop) = StopSwitch::new();
    let of_guest = Ctx { stop, ..ctx.clone() };
    let (sender, keys) = tokio::sync::mpsc::channel(16);
    let term = std::env::var("TERM").unwrap_or_default();
    // The plan that asks for it knows ASCII alone.
    let plain = |c: char| c.is_ascii_alphanumeric() || "-+._".contains(c);
    let term = if !term.is_empty() && term.chars().all(plain) { term } else { "vt100".to_owned() };
    let window = terminal::window();
    let lent = Lent::raw(&ctx.guard).context("the terminal cannot be lent")?;
    let screen = |shown: Shown<'_>| match shown {
        Shown::Bytes(bytes) => terminal::show(bytes),
        // A terminal that is gone is told by a signal.
        Shown::Paused(true) => drop(lent.back()),
        Shown::Paused(false) => drop(lent.again()),
    };
    let seat = Seat { keys, screen: Box::new(screen) };
    let guest = attend::shell(&of_guest, errand, (window, &term), folder, seat);
    tokio::pin!(guest);
    let (mut keyboard, mut escape) = (Keyboard::new()?, Escape::default());
    let (mut wish, mut pauses) = (ctx.stop.clone(), ctx.stop.pauses());
    let (mut typing, mut stopped) = (true, false);
    loop {
        tokio::select! {
            seen = &mut guest => return Ok(seen?),
            (place, keys) = typed(&sender, &mut keyboard), if typing => {
                let (keys, leave) = match keys {
                    Ok(Some(keys)) => escape.take(&keys),
                    // Nobody is there any more.
                    Ok(None) | Err(_) => (Vec::new(), true),
                };
                typing = !leave;
                if let Some(place) = place {
                    place.send(keys);
                }
                if leave {
                    switch.press("its user's wish");
                }
            }
            level = wish.wanted(), if !stopped => {
                stopped = true;
                switch.press(level.signal());
            }
            paused = pauses.next() => switch.pause(paused),
        }
    }
}

/// The next keys, once there is a place for them. A guest that takes none has them thrown away after a
/// while: it does not hold up the way out.
async fn typed<'a>(
    sender: &'a Sender<Vec<u8>>,
    keyboard: &mut Keyboard,
) -> (Option<Permit<'a, Vec<u8>>>, std::io::Result<Option<Vec<u8>>>) {
    let place = sender.reserve().await.ok();
    (place, keyboard.next().await)
}

/// In words, and whether it is the machine's own fault.
fn how_it_ended(seen: &Evidence) -> (String, Exit) {
    if let Some(fault) = seen.kernel_fault() {
        return (format!("the kernel said {}", sanitize(&fault.title)), Exit::Passed);
    }
    if seen.bye.is_some() || matches!(seen.abort, Some(Abort::Stop(_))) {
        return ("left".to_owned(), Exit::Passed);
    }
    match (&seen.shutdown, &seen.exit) {
        (Some((true, reason)), _) => (format!("the machine went off ({reason})"), Exit::Passed),
        (_, Some((how, _, stderr))) => {
            let stderr = stderr.trim_end();
            let words = if stderr.is_empty() { String::new() } else { format!(":\n{stderr}") };
            (format!("QEMU {how}{words}"), Exit::Incomplete)
        }
        (_, None) => ("the machine is lost".to_owned(), Exit::Incomplete),
    }
}
