//! What a shell at a guest's console adds to a cell's image: busybox, and a script that starts it.
//!
//! An archive of its own behind the image, as [`super::ssh`]'s is: what is under test stays, byte for
//! byte, what it was when it was judged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::initramfs::{Node, archive};
use super::{Trouble, userland};
use crate::limits;
use crate::model::{Mode, Plan, PlannedRun};
use crate::process::{Ctx, quote};

/// The applet that runs a script, by a path that no image has a program of its own at.
const BUSYBOX: &str = "/shell/busybox";
/// What the agent is asked to run.
const START: &str = "/shell/start";
/// What the shell reads first.
const PROFILE: &str = "/shell/profile";
/// What is said first.
const BANNER: &str = "/shell/banner";
/// The kernel's console, which is the guest's only terminal.
const TERMINAL: &str = "/dev/ttyS0";

/// The size of the user's terminal: a serial line tells none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Lines.
    pub rows: u16,
    /// Characters in each.
    pub columns: u16,
}

/// A cell's image with a shell in it, and the plan that starts that.
#[derive(Debug)]
pub struct Shell {
    /// The archives in a row.
    pub image: PathBuf,
    /// One run: the shell.
    pub plan: Plan,
}

/// Writes `image` with a shell behind it to `into`. `cell` names it, `plan` is what it ran.
pub async fn append(
    ctx: &Ctx,
    image: &Path,
    (cell, plan): (&str, &Plan),
    (window, terminal): (Window, &str),
    into: &Path,
) -> Result<Shell, Trouble> {
    let (busybox, applets) = userland::busybox(ctx).await?;
    let names: BTreeSet<&str> = applets.iter().map(|path| path.rsplit('/').next().unwrap_or(path)).collect();
    let mut nodes = BTreeMap::new();
    let mut add = |path: &str, node: Node| nodes.insert(path.trim_start_matches('/').to_owned(), node);
    for name in names {
        add(&format!("/shell/bin/{name}"), Node::Link { to: BUSYBOX.to_owned() });
    }
    add(BUSYBOX, Node::File { mode: 0o755, bytes: busybox });
    let text = |text: String| Node::File { mode: 0o644, bytes: text.into_bytes() };
    add(START, text(start(window)));
    add(PROFILE, text("PS1='guest# '\n".to_owned()));
    add(BANNER, text(banner(cell, plan)));
    let mut both = fs::read(image)?;
    both.resize(both.len().next_multiple_of(4), 0);
    both.extend(archive(nodes)?);
    fs::write(into, both)?;
    let first = plan.runs.first();
    // What the cell's programs find in their environment is there in the shell, too.
    let mut env: Vec<(String, String)> = first.map(|run| run.env.clone()).unwrap_or_default();
    env.retain(|(name, _)| !["PATH", "TERM", "ENV"].contains(&name.as_str()));
    let path = "/shell/bin:/bin:/sbin:/usr/bin:/usr/sbin";
    for (name, value) in [("PATH", path), ("TERM", terminal), ("ENV", PROFILE)] {
        env.push((name.to_owned(), value.to_owned()));
    }
    let dir = first.and_then(|run| run.dir.clone());
    let run = PlannedRun {
        mode: Mode::Plain,
        deadline: limits::SHELL_DEADLINE,
        dir: Some(dir.unwrap_or_else(|| "/tmp".to_owned())),
        args: [BUSYBOX, "sh", START].map(str::to_owned).to_vec(),
        env,
        doors: Vec::new(),
    };
    Ok(Shell { image: into.to_owned(), plan: Plan { runs: vec![run] } })
}

/// A program of the agent's leads no session, and so has no terminal of its own. The shell gets both, so
/// that Ctrl-C and job control work there. (What leads a group cannot make a session, and setsid would
/// fork away from us: a shell's command leads none.)
fn start(window: Window) -> String {
    let Window { rows, columns } = window;
    let size = if rows > 0 && columns > 0 { format!(" rows {rows} cols {columns}") } else { String::new() };
    format!(
        "exec <{TERMINAL} >{TERMINAL} 2>&1\n\
         stty sane{size}\n\
         cat {BANNER}\n\
         {BUSYBOX} setsid -c {BUSYBOX} sh -i\n\
         exit $?\n"
    )
}

/// What is there to be run, and how to leave.
fn banner(cell: &str, plan: &Plan) -> String {
    let mut lines = vec![String::new(), format!("{cell}, to be tried by hand: nothing of it is judged.")];
    if !plan.runs.is_empty() {
        lines.push("It ran:".to_owned());
    }
    let mut told = BTreeSet::new();
    for run in &plan.runs {
        let words: Vec<String> = run.args.iter().map(|word| quote(word)).collect();
        let place = run.dir.as_ref().map(|dir| format!("cd {} && ", quote(dir))).unwrap_or_default();
        let line = format!("  {place}{}", words.join(" "));
        // A program that was also counted by ptrace is listed once.
        if told.insert(line.clone()) {
            lines.push(line);
        }
    }
    lines.push("Leave by exit, or by Ctrl-A X if it no longer listens.".to_owned());
    lines.join("\n") + "\n\n"
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn run(args: &[&str], dir: Option<&str>) -> PlannedRun {
        PlannedRun {
            mode: Mode::Plain,
            deadline: Duration::from_secs(1),
            dir: dir.map(str::to_owned),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: Vec::new(),
            doors: Vec::new(),
        }
    }

    #[test]
    fn the_banner_has_each_program_once_as_it_is_typed_and_the_way_out() {
        let runs = vec![
            run(&["/test/xyzzy_test"], None),
            run(&["/test/xyzzy_test"], None),
            run(&["/probe", "door=m32", "name=it's"], None),
            run(&["/bin/sh", "./x.sh"], Some("/selftests/proc")),
        ];
        let text = banner("linux-6.12 patched m32", &Plan { runs });
        assert_eq!(
            text,
            "\nlinux-6.12 patched m32, to be tried by hand: nothing of it is judged.\nIt ran:\n  \
             /test/xyzzy_test\n  /probe door=m32 'name=it'\\''s'\n  cd /selftests/proc && /bin/sh ./x.sh\n\
             Leave by exit, or by Ctrl-A X if it no longer listens.\n\n"
        );
    }

    #[test]
    fn a_size_that_nobody_knows_is_not_told() {
        assert!(start(Window { rows: 50, columns: 120 }).contains("stty sane rows 50 cols 120\n"));
        assert!(start(Window { rows: 0, columns: 0 }).contains("stty sane\n"));
    }
}
