//! The other lives of the fake QEMU: a harness that is going to be killed, and what it leaves.

use std::io::{BufRead, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use harness::boot::qemu::{Accel, Guest, Machine, Size};
use harness::boot::vm;
use harness::judge::watch::Deadlines;
use harness::model::{Events, Mode, Plan, PlannedRun};
use harness::process::{Cmd, Ctx, Guard, StopSwitch};

/// `parent WHAT MARKER HOW FOLDER`: guards FOLDER, starts a tree of processes or a guest whose
/// script is FOLDER/script, and waits. A line on standard input makes it end as a run ends.
pub fn main(words: &[&str]) {
    let [what, marker, how, folder] = words else { panic!("parent WHAT MARKER HOW FOLDER: {words:?}") };
    let own = std::env::current_exe().unwrap();
    let (_switch, stop) = StopSwitch::new();
    let guard = Guard::start(&own).unwrap();
    let env = vec![("PATH".into(), "/usr/bin:/bin".into())];
    let ctx = Ctx { events: Events::silent(), stop, guard, env };
    let folder = Path::new(folder);
    let guarded = ctx.guard.folder(folder);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        if *what == "guest" {
            let guest = Guest {
                qemu: own,
                name: (*marker).to_owned(),
                accel: Accel::Tcg,
                machine: Machine::Q35,
                kernel: folder.join("kernel"),
                initramfs: folder.join("script"),
                command_line: Vec::new(),
                tsc_khz: None,
                size: Size::default(),
                ssh: None,
            };
            let args = vec!["/bin/test".to_owned()];
            let deadline = Duration::from_secs(60);
            let run = PlannedRun {
                mode: Mode::Plain,
                deadline,
                dir: None,
                args,
                env: Vec::new(),
                doors: Vec::new(),
            };
            let plan = Plan { runs: vec![run] };
            vm::run(&ctx, &guest, &plan, Deadlines::default(), &folder.join("logs")).await.unwrap();
        } else {
            let folder = folder.to_str().unwrap();
            let mut running = Cmd::new(own).args(["tree", marker, how, folder]).spawn(&ctx).unwrap();
            println!("started");
            std::io::stdout().flush().unwrap();
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).unwrap();
            running.end(&ctx.stop).await;
        }
    });
    drop(guarded);
}

/// A make and its makes: three processes in one group, one of which has lost its parent.
pub fn tree(marker: &str, how: &str, folder: &Path) {
    let own = std::env::current_exe().unwrap();
    let leaf = || {
        let mut leaf = Command::new(&own);
        leaf.args(["left-behind", marker, how]).arg(folder);
        leaf
    };
    drop(leaf().spawn().unwrap());
    // A shell that does not wait leaves its child to init.
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$@\" &", "sh"]).arg(&own).args(["left-behind", marker, how]).arg(folder);
    let ended = shell.status().unwrap();
    assert!(ended.success(), "sh: {ended}");
    left_behind(how, folder);
}

/// Stays, with whatever was open; `stubborn` against SIGTERM, `writing` with files in `folder`.
pub fn left_behind(how: &str, folder: &Path) {
    match how {
        "stubborn" => ignore_term(),
        "writing" => {
            for number in 0u64.. {
                let name = format!("{}.{number}", std::process::id());
                // The guard takes the folder away under it.
                let _ = std::fs::write(folder.join(name), b"still here");
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        _ => {}
    }
    forever()
}

/// A handler instead of an ignored signal: it does the same, and is not inherited.
pub fn ignore_term() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // The handler stays when the runtime is gone.
    let _inside = runtime.enter();
    drop(tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap());
}

/// Sleeps until somebody puts an end to it.
pub fn forever() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(1000));
    }
}
