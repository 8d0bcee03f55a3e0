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
    support::run_all(&[(
        "killed at any moment it leaves nothing, and the next run is right",
        killed_at_any_moment,
    )]);
}

/// Moments that are tried where nobody says how many.
const KILLS: usize = 50;
/// Worlds that are worked on at the same time: CI's processors.
const WORKERS: usize = 2;
/// How the program is ended, in turn.
const HOW: [&[Signal]; 4] = [&[Signal::INT], &[Signal::TERM], &[Signal::KILL], &[Signal::INT, Signal::INT]];

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
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let world = World::new();
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
}
