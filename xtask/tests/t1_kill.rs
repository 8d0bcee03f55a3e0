//! T1: the program is killed at any moment, and two of it share a cache.
//!
//! Every stage is real but the kernel, which is small, and QEMU, which is played (see
//! `support/mini.rs`). `ABIMATRIX_KILLS=500` tries more moments than CI's fifty,
//! `ABIMATRIX_SEED=N` the same ones again.

mod support;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness::process::Guard;
use harness::store::Store;
use rustix::process::{Pid, Signal};
use support::mini::{self, World};
use support::{alive, descendants, eventually};

fn main() {
    if mini::played() {
        return;
    }
    support::run_all(&[
        ("two runs on one empty cache build each thing once", two_at_once),
        ("a suspended run goes on where it was", suspended),
        ("ctrl-c on a terminal ends it and leaves the terminal as it was", on_a_terminal),
        ("killed at any moment it leaves nothing, and the next run is right", killed_at_any_moment),
    ]);
}

/// Moments that are tried where nobody says how many.
const KILLS: usize = 50;
/// Worlds that are worked on at the same time: CI's processors.
const WORKERS: usize = 2;
/// How the program is ended, in turn.
const HOW: [&[Signal]; 6] = [
    &[Signal::INT],
    &[Signal::TERM],
    &[Signal::KILL],
    &[Signal::HUP],
    &[Signal::INT, Signal::INT],
    &[Signal::KILL],
];

fn number_from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: a number")))
}

/// Numbers that look random and are the same for the same seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// The stage that the program is in after it has said this line, if the line tells.
fn stage(line: &str) -> Option<&'static str> {
    let word = line.trim_start_matches("$ ").split(' ').next()?;
    match word {
        "/usr/bin/gcc" | "/usr/bin/ld" => Some("host"),
        "unpack" | "tar" => Some("unpack"),
        "git" if line.contains("--git-dir") => Some("unpack"),
        "patch" if line.ends_with('\u{2026}') => Some("patch"),
        // What comes after a patch is the choice of the tree's files.
        "patch" | "cp" => Some("tree"),
        "strip" => Some("publish"),
        "configure" | "compile" | "selftests" if line.contains(": done in") => Some("publish"),
        "configure" => Some("configure"),
        "compile" => Some("compile"),
        "selftests" => Some("selftests"),
        "boot" => Some("boot"),
        "pass" => Some("report"),
        _ if word.ends_with("/bin/qemu-system-x86_64") => Some("run"),
        _ => None,
    }
}

/// The lines of an undisturbed run, by the stage that the program is in after each.
fn lines_by_stage(stderr: &str) -> BTreeMap<&'static str, Vec<usize>> {
    let mut stages: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut now = "host";
    for (index, line) in stderr.lines().enumerate() {
        now = stage(line).unwrap_or(now);
        stages.entry(now).or_default().push(index + 1);
    }
    stages
}

/// When and how one run is ended.
#[derive(Debug, Clone, Copy)]
struct Moment {
    number: usize,
    /// After so many lines on its standard error …
    line: usize,
    /// … and this time more.
    pause: Duration,
    how: &'static [Signal],
    /// With an empty cache; otherwise what hangs on the series alone has to be made.
    cold: bool,
}

fn killed_at_any_moment() {
    let seed = number_from_env("ABIMATRIX_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let kills = number_from_env("ABIMATRIX_KILLS").map_or(KILLS, |n| n as usize);
    println!("{kills} moments, ABIMATRIX_SEED={seed}");
    let next = AtomicUsize::new(0);
    let seen: Mutex<BTreeMap<(&str, &str), usize>> = Mutex::default();
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (next, seen) = (&next, &seen);
            scope.spawn(move || {
                let world = World::new();
                // The others have an archive.
                if worker == 0 {
                    world.use_git();
                }
                let cold = world.run(&world.args("cold"));
                world.assert_passed(&cold);
                let warm = world.run(&world.variant("warm", "warm"));
                world.assert_passed(&warm);
                let (cold, warm) = (lines_by_stage(&cold.stderr), lines_by_stage(&warm.stderr));
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= kills {
                        break;
                    }
                    let mut dice = Dice(seed.wrapping_mul(0x1_0000).wrapping_add(number as u64));
                    let is_cold = dice.below(4) == 0;
                    let stages = if is_cold { &cold } else { &warm };
                    let lines = stages.values().nth(dice.below(stages.len() as u64) as usize).unwrap();
                    let line = lines[dice.below(lines.len() as u64) as usize];
                    // Short ones hit what is quick, long ones the middle of what takes its time.
                    let longest = [1_000, 5_000, 20_000, 60_000][dice.below(4) as usize];
                    let pause = Duration::from_micros(dice.below(longest));
                    let how = HOW[number % HOW.len()];
                    let moment = Moment { number, line, pause, how, cold: is_cold };
                    let (stage, ended) = kill_at(&world, moment, &mut dice);
                    *seen.lock().unwrap().entry((stage, ended)).or_default() += 1;
                }
            });
        }
    });
    for ((stage, ended), count) in seen.into_inner().unwrap() {
        println!("  {stage:10} {ended:12} {count}");
    }
}

/// Ends a run at a moment, looks at what it left, and runs again. Says in which stage it was.
fn kill_at(world: &World, moment: Moment, dice: &mut Dice) -> (&'static str, &'static str) {
    if moment.cold {
        std::fs::remove_dir_all(&world.cache).unwrap();
    }
    let name = format!("k{}", moment.number);
    let mut started = world.start(&world.variant(&name, &name));
    let pid = Pid::from_raw(started.pid()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut now = "host";
    for _ in 0..moment.line {
        let Some(line) = started.line(deadline) else { break };
        now = stage(&line).unwrap_or(now);
    }
    std::thread::sleep(moment.pause);
    let children = descendants(started.pid());
    for (index, signal) in moment.how.iter().enumerate() {
        if index > 0 {
            std::thread::sleep(Duration::from_millis(dice.below(40)));
        }
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, *signal);
    }
    let run = started.finish();
    let text = format!("{moment:?} in {now}: {children:?}\n{run}");
    let killed = moment.how == [Signal::KILL];
    let ended = match run.code {
        Some(0) => "done",
        Some(130) if moment.how[0] == Signal::INT => "interrupted",
        Some(143) if moment.how[0] == Signal::TERM => "terminated",
        Some(129) if moment.how[0] == Signal::HUP => "hung up",
        None if killed => "killed",
        _ => panic!("{text}"),
    };
    eventually(&format!("nobody is left: {:?}\n{text}", world.processes()), || {
        world.processes().is_empty() && !children.iter().any(|(pid, _)| alive(*pid))
    });
    let scratch = world.cache.join("scratch");
    // A killed run's guard, which has no mark, may still be at it.
    let clean = || World::names(&scratch).is_empty() && World::names(&world.tmp()).is_empty();
    if !killed {
        assert!(clean(), "{:?} {:?}\n{text}", World::names(&scratch), World::names(&world.tmp()));
    }
    eventually(
        &format!("no scratch is left: {:?} {:?}\n{text}", World::names(&scratch), World::names(&world.tmp())),
        clean,
    );
    assert_record(world, &name, ended, &text);
    assert_cache(world, &text);
    let again = world.run(&world.variant(&name, &format!("{name}.again")));
    world.assert_passed(&again);
    assert!(clean(), "{:?} {:?}\n{again}\n{text}", World::names(&scratch), World::names(&world.tmp()));
    assert_cache(world, &format!("{again}\n{text}"));
    for out in [name.clone(), format!("{name}.again")] {
        let _ = std::fs::remove_dir_all(world.out(&out));
    }
    (now, ended)
}

/// What the run wrote down is whole, and says nothing that it had not seen.
fn assert_record(world: &World, name: &str, ended: &str, text: &str) {
    let Ok(record) = std::fs::read(world.out(name).join("run.json")) else { return };
    let record: serde_json::Value =
        serde_json::from_slice(&record).unwrap_or_else(|error| panic!("run.json: {error}\n{text}"));
    let cells = record["cells"].as_array().unwrap();
    let names = World::names(&world.out(name));
    let left: Vec<_> = names.iter().filter(|name| name.starts_with('.')).collect();
    assert!(left.is_empty() || ended == "killed", "{left:?}\n{text}");
    for cell in cells {
        match cell["verdict"].as_str().unwrap() {
            "pass" => {}
            // A cell that was on its way, and one that never came to run.
            "error" => assert_eq!(cell["cause"]["kind"], "interrupted", "{cell:#}\n{text}"),
            "miss" => assert_eq!(cell["cause"]["kind"], "not-run", "{cell:#}\n{text}"),
            _ => panic!("{cell:#}\n{text}"),
        }
    }
    match ended {
        "killed" => {}
        "done" => assert_eq!(record["state"], "complete", "{text}"),
        _ => {
            assert_eq!(record["state"], "interrupted", "{text}");
            assert_eq!(cells.len(), mini::CELLS, "{text}");
        }
    }
}

/// Every entry is what was published, and none had to be set aside.
fn assert_cache(world: &World, text: &str) {
    if !world.cache.exists() {
        return;
    }
    let store = Store::open(&world.cache, &Guard::none()).unwrap();
    assert_eq!(store.damaged().unwrap(), [], "{text}");
    assert_eq!(World::names(&world.cache.join("bad")), [""; 0], "{text}");
    assert_eq!(world.temporary_files(), [""; 0].map(std::path::PathBuf::from), "{text}");
}

/// The lines that tell that a stage did its work.
fn worked(stderr: &str) -> Vec<String> {
    let of_stage = |line: &&str| {
        let stages = ["unpack", "configure", "compile", "selftests"];
        line.contains(": done in") && stages.iter().any(|stage| line.starts_with(stage))
    };
    let what = |line: &str| line.split(": done in").next().unwrap().to_owned();
    stderr.lines().filter(of_stage).map(what).collect()
}

fn two_at_once() {
    let world = World::new();
    // The first to come to these programs waits in them until the other run waits for it.
    for program in ["tar", "strip"] {
        let go = world.bin().join(format!("{program}.go"));
        let text = format!(
            "#!/bin/sh\nwhile [ ! -e {} ]; do sleep 0.02; done\nexec /usr/bin/{program} \"$@\"\n",
            go.display()
        );
        world.program(program, &text);
    }
    let mut runs = ["a", "b"].map(|name| world.start(&world.args(name)));
    let pids = [runs[0].pid(), runs[1].pid()];
    for (place, program) in [("source-", "tar"), ("tree-", "strip")] {
        let deadline = Instant::now() + Duration::from_secs(60);
        let waits = format!("note: waiting for {place}");
        let (index, line) = 'found: loop {
            for (index, run) in runs.iter_mut().enumerate() {
                let line = run.line(Instant::now() + Duration::from_millis(10));
                if let Some(line) = line.filter(|line| line.starts_with(&waits)) {
                    break 'found (index, line);
                }
            }
            assert!(Instant::now() < deadline, "nobody waits for {place}");
        };
        let holder = format!("held by process {}", pids[1 - index]);
        assert!(line.ends_with(&holder), "{line}: {holder}");
        std::fs::write(world.bin().join(format!("{program}.go")), "").unwrap();
    }
    let runs = runs.map(support::Started::finish);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for run in &runs {
        world.assert_passed(run);
        worked(&run.stderr).into_iter().for_each(|what| *counts.entry(what).or_default() += 1);
        for line in run.stderr.lines().filter(|line| line.contains("/guest/include")) {
            let (abi, source) = (line.split(' ').nth(2).unwrap(), line.rsplit('/').next().unwrap());
            *counts.entry(format!("{source} {abi}")).or_default() += 1;
        }
    }
    // One source; two legs configured and compiled; agent and probes; a selftest for each ABI.
    assert_eq!(counts.len(), 1 + 2 + 2 + 4 + 3, "{counts:#?}");
    assert!(counts.values().all(|count| *count == 1), "{counts:#?}");
    let place = world.cache.join("tree");
    let tree = World::names(&place).pop().unwrap();
    let links = std::fs::read_to_string(place.join(tree).join("obj/links.log")).unwrap();
    assert_eq!(links.lines().count(), 2, "both legs, once");
    assert_cache(&world, "");
}

/// The state of a process in a letter; `T` when it is stopped.
fn state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

fn suspended() {
    let world = World::new();
    world.assert_passed(&world.run(&world.args("warm")));
    world.program("strip", "#!/bin/sh\nsleep 0.5\nexec /usr/bin/strip \"$@\"\n");
    world.life_with("run-all", "sleep 700");
    let before = world.played("monitor").len();
    let mut started = world.start(&world.variant("suspended", "suspended"));
    let pid = started.pid();
    let signal = |signal| rustix::process::kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    // ABIMATRIX_SUSPEND=70 is longer than any deadline of a guest.
    let pause = Duration::from_secs(number_from_env("ABIMATRIX_SUSPEND").unwrap_or(3));
    let suspend = |compiling: bool| {
        signal(Signal::TSTP);
        eventually("the program has stopped", || state(pid) == Some('T'));
        if compiling {
            let others = || world.processes().into_iter().filter(|(other, _)| *other != pid);
            assert!(others().count() > 0);
            eventually("what it started has stopped", || others().all(|(pid, _)| state(pid) == Some('T')));
        }
        std::thread::sleep(pause);
        signal(Signal::CONT);
    };
    started.wait_for("$ strip");
    suspend(true);
    started.wait_for("boot ");
    eventually("a guest runs", || world.played("monitor").len() > before);
    suspend(false);
    let deadline = Instant::now() + Duration::from_secs(120);
    while started.line(deadline).is_some() {}
    let run = started.finish();
    world.assert_passed(&run);
    let told = world.played("monitor").into_iter().filter(|monitor| {
        let mut after = monitor.lines().skip_while(|line| !line.contains("\"stop\""));
        after.any(|line| line.contains("\"cont\""))
    });
    assert!(told.count() > 0, "no guest was stopped and continued: {run}");
}

/// The program in a terminal's foreground, under a shell, with keys to press.
fn on_a_terminal() {
    let world = World::new();
    world.assert_passed(&world.run(&world.args("warm")));
    world.life_with("run-all", "forever");
    let before = world.played("monitor").len();
    let root = world.root();
    let quoted = |name: &str| harness::process::quote(root.join(name).to_str().unwrap());
    let command = world.command(&world.args("terminal"));
    // The shell hears the key as well, and goes on.
    let text = format!(
        "trap : INT\nstty -g > {}\n{}\necho $? > {}\nstty -g > {}\n",
        quoted("before"),
        support::mini::shell_words(&command),
        quoted("code"),
        quoted("after"),
    );
    std::fs::write(root.join("shell"), text).unwrap();
    let mut script = std::process::Command::new("script");
    script.args(["--quiet", "--command"]).arg(format!("sh {}", quoted("shell"))).arg(root.join("screen"));
    script.env_clear().envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    script.env("TERM", "xterm").env("SHELL", "/bin/sh");
    script.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
    let mut script = script.spawn().expect("this test needs script (Debian: bsdutils)");
    let mut keys = script.stdin.take().unwrap();
    eventually("a guest runs", || world.played("monitor").len() > before);
    std::io::Write::write_all(&mut keys, b"\x03").unwrap();
    eventually("the shell has seen its end", || root.join("after").exists());
    drop(keys);
    script.wait().unwrap();
    let read = |name: &str| String::from_utf8_lossy(&std::fs::read(root.join(name)).unwrap()).into_owned();
    let screen = read("screen");
    assert_eq!(read("code"), "130\n", "{screen}");
    assert_eq!(read("before"), read("after"), "{screen}");
    assert!(!read("before").is_empty());
    assert!(screen.contains("\x1b["), "no bar on a terminal: {screen}");
    assert_record(&world, "terminal", "interrupted", &screen);
    eventually("nobody is left", || world.processes().is_empty());
    assert_eq!(World::names(&world.cache.join("scratch")), [""; 0]);
    for fds in world.played("fds") {
        assert!(!fds.contains("/dev/pts") && !fds.contains("/dev/tty"), "QEMU has the terminal: {fds}");
    }
}
