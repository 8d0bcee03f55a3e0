//! Tier 0: decoder, watch and judge together, over the life of a guest that does everything right,
//! and what becomes of it when something is damaged, missing, or said in between.

use std::time::Duration;

use harness::boot::frames::{Decoder, GuestEncoder, Nonce};
use harness::judge::console::Scanner;
use harness::judge::verdict::{Expectation, ExpectedRun, Role, Rules, judge};
use harness::judge::watch::{Deadlines, Event, Evidence, Watch};
use harness::model::{
    Abi, DoorEntries, GuestMessage, Hello, Judged, Leg, Mode, Outcome, Plan, PlannedRun, RunEnd, Stream,
    Trace, Verdict,
};
use proptest::prelude::*;
use proptest::sample::{Index, select};

const REPORT: &str = "TAP version 13\n1..2\nok 1 copies\nok 2 flags\n";
const WIRED: &str = "KTAP version 1\n1..1\n# returned -22 (Invalid argument)\nok 1 number 463 is wired\n";

/// The console of a clean life, line by line; the agent's words among them.
const CONSOLE: [&str; 4] = [
    "<5>[    0.000000] Linux version 6.12.1 (a@b) #1 SMP\n",
    "<6>[    0.400000] Run /init as init process\n",
    "<14>[    0.500000] abimatrix-agent note: no real-time priority\n",
    "<0>[    0.900000] reboot: Power down\n",
];

/// What may stand between those lines and means nothing.
const HARMLESS: [&str; 7] = [
    "<6>[    0.600000] clocksource: Switched to clocksource tsc\n",
    "<14>[    0.600000] Kernel panic - not syncing: says a program\n",
    "<13>[    0.600000] BUG: unable to handle page fault, it says\n",
    "\r\n",
    "\u{1b}[2J\n",
    "ok 1 copies\n",
    "<4>[    0.600000] ABX1 1..2 not ok 1 copies\n",
];

/// What may not. Each is a finding by itself.
const FAULTS: [&str; 7] = [
    "<0>[    0.600000] Kernel panic - not syncing: xyzzy\n",
    "<1>[    0.600000] BUG: kernel NULL pointer dereference, address: 0000000000000000\n",
    "<4>[    0.600000] WARNING: CPU: 0 PID: 30 at kernel/xyzzy.c:9 do_xyzzy+0x1/0x2\n",
    "<4>[    0.600000] WARNING: possible circular locking dependency detected\n",
    "<3>[    0.600000] watchdog: BUG: soft lockup - CPU#0 stuck for 11s! [x:30]\n",
    "<3>[    0.600000] UBSAN: array-index-out-of-bounds in kernel/xyzzy.c:9:1\n",
    "<3>[    0.600000] BUG: KASAN: slab-out-of-bounds in do_xyzzy+0x1/0x2\n",
];

fn expected() -> Expectation {
    let run = |role, program: &str| {
        let (program, cases) = (program.to_owned(), Vec::new());
        ExpectedRun { role, program, deadline_ms: 45_000, rules: Rules::Cell, cases }
    };
    Expectation {
        leg: Leg::Patched,
        abi: Abi::M64,
        number: 463,
        table: "arch/x86/entry/syscalls/syscall_64.tbl".to_owned(),
        runs: vec![run(Role::Judged, "t"), run(Role::Traced, "t"), run(Role::Wired, "probe")],
        known: Vec::new(),
        many: false,
        absent: Vec::new(),
        helpers: Vec::new(),
        not_applicable: Vec::new(),
    }
}

fn plan() -> Plan {
    let run = |mode| PlannedRun {
        mode,
        deadline: Duration::from_secs(45),
        dir: None,
        args: vec!["/t".to_owned()],
        env: Vec::new(),
        doors: if mode == Mode::Traced { Abi::ALL.map(|abi| abi.door(463)).to_vec() } else { Vec::new() },
    };
    Plan { runs: [Mode::Plain, Mode::Traced, Mode::Plain].map(run).to_vec() }
}

fn nonce() -> Nonce {
    Nonce::new([9; 16]).unwrap()
}

/// All frames of that life.
fn frames() -> Vec<Vec<u8>> {
    let mut encoder = GuestEncoder::new(nonce());
    let hello = Hello {
        machine: "x86_64".to_owned(),
        release: "6.12.1".to_owned(),
        version: "#1".to_owned(),
        boot_id: "36516247-8c20-4349-8d36-51e5cd2f31dd".to_owned(),
        tainted: 0,
        cpus: 1,
        smap: true,
        smep: true,
        mem_kb: 248_076,
    };
    let mut frames = vec![encoder.frame(&GuestMessage::Hello(hello))];
    for (run, (planned, stdout)) in (0..).zip(plan().runs.iter().zip([REPORT, REPORT, WIRED])) {
        let mode = planned.mode;
        frames.push(encoder.frame(&GuestMessage::Start { run, mode, pid: 30, tainted: 0 }));
        // Output in two pieces, so that one of them can be lost.
        let (first, second) = stdout.as_bytes().split_at(stdout.find("ok").unwrap());
        for bytes in [first, second] {
            let (stream, bytes) = (Stream::Stdout, bytes.to_vec());
            frames.push(encoder.frame(&GuestMessage::Output { run, stream, bytes }));
        }
        frames.push(encoder.frame(&GuestMessage::Beat { run, uptime_ms: 700, tainted: 0 }));
        let entry = |abi: Abi| DoorEntries { door: abi.door(463), count: u64::from(abi == Abi::M64) };
        let entries = Abi::ALL.into_iter().map(entry).collect();
        frames.push(encoder.frame(&GuestMessage::End(RunEnd {
            run,
            outcome: Outcome::Exit { code: 0 },
            tainted_before: 0,
            tainted_after: 0,
            wall_us: 1,
            user_us: 1,
            sys_us: 1,
            maxrss_kb: 1,
            stdout_bytes: stdout.len() as u64,
            stderr_bytes: 0,
            leaked: 0,
            trace: (mode == Mode::Traced).then_some(Trace { syscalls: 30, entries }),
        })));
    }
    frames.push(encoder.bye(3));
    frames
}

/// What a guest's channels carry, in the order in which it arrives.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Console(Vec<u8>),
    Port(Vec<u8>),
    Tick,
    Shutdown,
    Exit { success: bool },
}

fn lines(of: &[&str]) -> Vec<Piece> {
    of.iter().map(|line| Piece::Console(line.as_bytes().to_vec())).collect()
}

/// The two channels, merged as the choices say; then the end.
fn merged(console: Vec<Piece>, port: Vec<Piece>, choices: &[bool]) -> Vec<Piece> {
    let (mut console, mut port) = (console.into_iter(), port.into_iter());
    let mut all = Vec::new();
    for choice in choices {
        all.extend(if *choice { console.next() } else { port.next() });
    }
    all.extend(port);
    all.extend(console);
    all.extend([Piece::Shutdown, Piece::Exit { success: true }]);
    all
}

fn good_life(choices: &[bool]) -> Vec<Piece> {
    merged(lines(&CONSOLE), frames().into_iter().map(Piece::Port).collect(), choices)
}

/// Cuts what the channels carry into chunks of `size` bytes; ticks stand in between.
fn cut(life: &[Piece], size: usize) -> Vec<Piece> {
    let chunks = |bytes: &Vec<u8>, of: fn(Vec<u8>) -> Piece| -> Vec<Piece> {
        bytes.chunks(size).flat_map(|chunk| [of(chunk.to_vec()), Piece::Tick]).collect()
    };
    let pieces = life.iter().map(|piece| match piece {
        Piece::Console(bytes) => chunks(bytes, Piece::Console),
        Piece::Port(bytes) => chunks(bytes, Piece::Port),
        other => vec![other.clone()],
    });
    pieces.collect::<Vec<_>>().concat()
}

fn lived(life: &[Piece]) -> (Judged, Evidence) {
    let mut watch = Watch::new(plan().runs.len(), Deadlines::default());
    let mut decoder = Decoder::new(nonce(), &plan());
    for (ms, piece) in life.iter().enumerate() {
        let now = Duration::from_millis(ms as u64);
        let frame = |watch: &mut Watch, result| match result {
            Ok(message) => drop(watch.step(now, Event::Message(message))),
            Err(harness::boot::frames::FrameProblem { ref kind, .. }) => {
                let (name, text) = (kind.name(), kind.to_string());
                watch.step(now, Event::BadFrame { name, text });
            }
        };
        match piece {
            Piece::Console(bytes) => drop(watch.step(now, Event::Console(bytes))),
            Piece::Port(bytes) => {
                decoder.push(bytes).into_iter().for_each(|result| frame(&mut watch, result))
            }
            Piece::Tick => drop(watch.step(now, Event::Tick)),
            Piece::Shutdown => {
                let reason = "guest-shutdown".to_owned();
                watch.step(now, Event::Shutdown { by_guest: true, reason });
            }
            Piece::Exit { success } => {
                // As the machine's process does it: the port is read to its end first.
                decoder.finish().into_iter().for_each(|problem| frame(&mut watch, Err(problem)));
                let how = "exited".to_owned();
                watch.step(now, Event::Exit { how, success: *success, stderr: String::new() });
            }
        }
    }
    let evidence = watch.into_evidence();
    (judge(&expected(), &evidence), evidence)
}

fn verdict(life: &[Piece]) -> Verdict {
    lived(life).0.verdict
}

#[test]
fn each_fault_is_one_and_what_is_harmless_is_none() {
    let found = |line: &str| {
        let mut scanner = Scanner::new();
        scanner.push(line.as_bytes());
        scanner.finish();
        scanner.findings().iter().any(|finding| finding.is_kernel_fault())
    };
    assert!(FAULTS.iter().all(|line| found(line)));
    assert!(!HARMLESS.iter().chain(&CONSOLE).any(|line| found(line)));
    let (judged, _) = lived(&good_life(&[]));
    assert_eq!(judged.cause, None);
}

/// Every life that ends early, at each of its bytes.
#[test]
fn no_prefix_of_a_port_is_a_pass() {
    let stream = frames().concat();
    for length in 0..stream.len() {
        for success in [true, false] {
            let mut life = lines(&CONSOLE);
            life.push(Piece::Port(stream[..length].to_vec()));
            life.extend([Piece::Shutdown, Piece::Exit { success }]);
            assert_ne!(verdict(&life), Verdict::Pass, "the first {length} bytes");
        }
    }
}

fn choices() -> impl Strategy<Value = Vec<bool>> {
    proptest::collection::vec(any::<bool>(), 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// A good life is a pass in whatever order and chunks it arrives, and whatever is said between.
    #[test]
    fn order_and_chunks_and_chatter_make_no_difference(
        choices in choices(),
        size in 1..200usize,
        chatter in proptest::collection::vec((any::<Index>(), select(&HARMLESS[..])), 0..6),
    ) {
        let mut life = good_life(&choices);
        for (at, line) in chatter {
            // After the banner and before the end.
            let last = life.len() - 2;
            life.insert(at.index(last) + 1, Piece::Console(line.as_bytes().to_vec()));
        }
        prop_assert_eq!(lived(&life).0.cause, None);
        prop_assert_eq!(lived(&cut(&life, size)).0.cause, None);
    }

    /// A life that is cut anywhere is none, unless all that matters had arrived.
    #[test]
    fn no_prefix_of_a_life_is_a_pass(choices in choices(), at in any::<Index>(), success in any::<bool>()) {
        let life = good_life(&choices);
        let mut short = life[..at.index(life.len())].to_vec();
        let all = |short: &[Piece]| {
            let port = short.iter().filter(|piece| matches!(piece, Piece::Port(_))).count();
            port == frames().len() && short.contains(&Piece::Console(CONSOLE[0].as_bytes().to_vec()))
        };
        let whole = all(&short) && success;
        short.push(Piece::Exit { success });
        prop_assert_eq!(verdict(&short) == Verdict::Pass, whole);
    }

    /// Frames lost, doubled, swapped, foreign, cut or flipped: never a pass.
    #[test]
    fn no_damage_to_the_port_is_a_pass(
        choices in choices(),
        kinds in proptest::collection::vec((0..7, any::<Index>(), any::<Index>(), 1..=255u8), 1..4),
        size in 1..200usize,
    ) {
        let mut port = frames();
        for (kind, at, to, mask) in kinds {
            let (from, to) = (at.index(port.len().max(1)), to.index(port.len().max(1)));
            if from >= port.len() || port[from].is_empty() {
                continue;
            }
            let byte = at.index(port[from].len());
            match kind {
                0 => drop(port.remove(from)),
                1 => { let again = port[from].clone(); port.insert(to, again); }
                2 => port.swap(from, to),
                3 => port[from][byte] ^= mask,
                4 => drop(port[from].remove(byte)),
                5 => port[from].insert(byte, mask),
                _ => port.truncate(from),
            }
        }
        prop_assume!(port != frames());
        let life = merged(lines(&CONSOLE), port.into_iter().map(Piece::Port).collect(), &choices);
        prop_assert_ne!(verdict(&life), Verdict::Pass);
        prop_assert_ne!(verdict(&cut(&life, size)), Verdict::Pass);
    }

    /// One line of the kernel's is enough, wherever it stands, and nothing said beside it helps.
    #[test]
    fn no_fault_is_a_pass_whatever_else_is_said(
        choices in choices(),
        fault in select(&FAULTS[..]),
        at in any::<Index>(),
        chatter in proptest::collection::vec((any::<Index>(), select(&HARMLESS[..])), 0..4),
        garbage in proptest::collection::vec(any::<u8>(), 0..60),
        size in 1..200usize,
    ) {
        let mut life = good_life(&choices);
        let place = |life: &[Piece], at: Index| at.index(life.len() - 1);
        life.insert(place(&life, at), Piece::Console(fault.as_bytes().to_vec()));
        let alone = verdict(&life);
        prop_assert_eq!(alone, Verdict::Fail);
        for (at, line) in chatter {
            life.insert(place(&life, at), Piece::Console(line.as_bytes().to_vec()));
        }
        // Garbage on lines of its own: a second banner or a fault in it would only be worse.
        let line = [&garbage, b"\n".as_slice()].concat();
        life.insert(place(&life, at), Piece::Console(line));
        prop_assert_eq!(verdict(&life), alone);
        prop_assert_eq!(verdict(&cut(&life, size)), alone);
    }

    /// What comes after QEMU's end changes nothing any more.
    #[test]
    fn a_final_verdict_is_final(
        choices in choices(),
        late in proptest::collection::vec(select(&FAULTS[..]), 1..4),
        success in any::<bool>(),
        frames in any::<bool>(),
    ) {
        let mut life = good_life(&choices);
        if !frames {
            life.retain(|piece| !matches!(piece, Piece::Port(_)));
        }
        let before = lived(&life);
        life.extend(lines(&late));
        life.extend(self::frames().into_iter().map(Piece::Port));
        life.extend([Piece::Shutdown, Piece::Exit { success }]);
        prop_assert_eq!(lived(&life), before);
    }
}
