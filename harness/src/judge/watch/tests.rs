//! Lives of a guest: what happens when, what is done about it, and what is known in the end.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::model::{Mode, Outcome};

const BANNER_LINE: &str = "<5>[    0.000000] Linux version 6.12.1 (a@b) #1 SMP\n";
const PANIC: &str = "<0>[    1.000000] Kernel panic - not syncing: xyzzy\n";
const INIT_DIED: &str =
    "<0>[    1.000000] Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b\n";
const NO_INIT: &str =
    "<0>[    1.000000] Kernel panic - not syncing: No working init found.  Try passing init= option\n";
const OOPS: &str = "<1>[    1.000000] BUG: kernel NULL pointer dereference, address: 0000000000000000\n";
const END_OF_OOPS: &str = "<4>[    1.000001] ---[ end trace 0000000000000000 ]---\n";
const WARNING: &str = "<4>[    1.000000] WARNING: CPU: 0 PID: 30 at kernel/xyzzy.c:9 do_xyzzy+0x1/0x2\n";
const NO_CLOCK: &str = "<4>[    0.000001] tsc: Marking TSC unstable due to could not calculate TSC khz\n";
const GAVE_UP: &str = "<10>[    1.000000] abimatrix-agent: no virtio port named x\n";

fn console(text: &'static str) -> Event<'static> {
    Event::Console(text.as_bytes())
}

fn hello() -> Event<'static> {
    Event::Message(GuestMessage::Hello(Hello {
        machine: "x86_64".to_owned(),
        release: "6.12.1".to_owned(),
        version: "#1".to_owned(),
        boot_id: "36516247-8c20-4349-8d36-51e5cd2f31dd".to_owned(),
        tainted: 0,
        cpus: 1,
        smap: true,
        smep: true,
        mem_kb: 1,
    }))
}

fn start(run: u16) -> Event<'static> {
    Event::Message(GuestMessage::Start { run, mode: Mode::Plain, pid: 30, tainted: 0 })
}

fn out(run: u16, text: &str) -> Event<'static> {
    Event::Message(GuestMessage::Output { run, stream: Stream::Stdout, bytes: text.into() })
}

fn err(run: u16, text: &str) -> Event<'static> {
    Event::Message(GuestMessage::Output { run, stream: Stream::Stderr, bytes: text.into() })
}

fn end(run: u16) -> Event<'static> {
    Event::Message(GuestMessage::End(RunEnd {
        run,
        outcome: Outcome::Exit { code: 0 },
        tainted_before: 0,
        tainted_after: 0,
        wall_us: 1,
        user_us: 1,
        sys_us: 1,
        maxrss_kb: 1,
        stdout_bytes: 0,
        stderr_bytes: 0,
        leaked: 0,
        trace: None,
    }))
}

fn beat(run: u16) -> Event<'static> {
    Event::Message(GuestMessage::Beat { run, uptime_ms: 1, tainted: 0 })
}

fn bye() -> Event<'static> {
    Event::Message(GuestMessage::Bye { runs: 2, frames: 8, digest: 0 })
}

fn refuse() -> Event<'static> {
    Event::Message(GuestMessage::Refuse { reason: "plan-key".to_owned(), line: 3 })
}

fn bad(name: &'static str) -> Event<'static> {
    Event::BadFrame { name, text: format!("result stream, byte 9: {name}") }
}

fn shutdown(reason: &str) -> Event<'static> {
    Event::Shutdown { by_guest: reason.starts_with("guest"), reason: reason.to_owned() }
}

fn exit() -> Event<'static> {
    Event::Exit { how: "exited with status 0".to_owned(), success: true, stderr: String::new() }
}

fn crash() -> Event<'static> {
    let how = "was killed by signal 6".to_owned();
    Event::Exit { how, success: false, stderr: "qemu: assertion failed\n".to_owned() }
}

const LISTENS: &str = "<14>[    0.6] abimatrix-agent note: listens for ssh\n";

const NO_SESSION: &str = "<10>[   70.0] abimatrix-agent: sshd: no session within 30000 ms: x\n";

fn cut() -> Event<'static> {
    Event::Link(LinkFailure::Cut { detail: "x".to_owned() })
}

fn other_key() -> Event<'static> {
    Event::Link(LinkFailure::HostKey { expected: "AAAA".to_owned(), found: "BBBB".to_owned() })
}

const TOO_MUCH: Event<'static> = Event::TooMuch { stream: "console", limit_bytes: 64 };

type Steps = Vec<(u64, Event<'static>)>;

/// Up to the hello, at half a second.
fn up() -> Steps {
    vec![(100, console(BANNER_LINE)), (500, hello())]
}

/// Up to the middle of the first of two runs.
fn running() -> Steps {
    [up(), vec![(600, start(0)), (650, out(0, "TAP"))]].concat()
}

/// Up to the bye, at one second.
fn done() -> Steps {
    let rest = [(700, end(0)), (710, start(1)), (800, end(1)), (1000, bye())];
    [running(), rest.to_vec()].concat()
}

fn and(mut steps: Steps, more: &[(u64, Event<'static>)]) -> Steps {
    steps.extend_from_slice(more);
    steps
}

fn play<'a>(steps: impl IntoIterator<Item = (u64, Event<'a>)>) -> (Vec<(u64, Action)>, Evidence) {
    let mut watch = Watch::new(2, Deadlines::default());
    let mut actions = Vec::new();
    for (ms, event) in steps {
        let was_over = watch.is_over();
        let action = watch.step(Duration::from_millis(ms), event);
        assert!(!was_over || (watch.is_over() && action.is_none()), "the end is the end");
        actions.extend(action.map(|action| (ms, action)));
    }
    let evidence = watch.into_evidence();
    let count = |wanted| actions.iter().filter(|(_, action)| *action == wanted).count();
    assert!(count(Action::SendPlan) <= 1 && count(Action::EndVm) <= 1, "{actions:?}");
    assert_eq!(count(Action::EndVm) == 1, evidence.abort.is_some(), "who ends a guest says why");
    (actions, evidence)
}

/// `500 plan, 1000 close`
fn done_about(actions: &[(u64, Action)]) -> String {
    let word = |action: &Action| match action {
        Action::SendPlan => "plan",
        Action::SendClose => "close",
        Action::EndVm => "end",
    };
    let words: Vec<_> = actions.iter().map(|(ms, action)| format!("{ms} {}", word(action))).collect();
    words.join(", ")
}

/// Everything in the evidence that is not as in a guest that nothing happened to.
fn facts(seen: &Evidence) -> String {
    let mut text = String::new();
    let mut fact =
        |fact: String| text.push_str(&format!("{}{fact}", if text.is_empty() { "" } else { "; " }));
    if let Some((at, _)) = &seen.hello {
        fact(format!("hello {}", at.as_millis()));
    }
    for (index, run) in seen.runs.iter().enumerate() {
        let mut said = String::new();
        let _ = write!(said, "{}", if run.started { " started" } else { "" });
        for bytes in [&run.stdout, &run.stderr].into_iter().filter(|bytes| !bytes.is_empty()) {
            let _ = write!(said, " {}", sanitize(bytes));
        }
        let _ = write!(said, "{}", if run.end.is_some() { " ended" } else { "" });
        if !said.is_empty() {
            fact(format!("run {index}{said}"));
        }
    }
    fact(seen.refused.as_ref().map_or(String::new(), |why| format!("refused {why}")));
    fact(seen.bye.map_or(String::new(), |at| format!("bye {}", at.as_millis())));
    fact(seen.bad_frame.as_ref().map_or(String::new(), |(name, _)| format!("bad {name}")));
    for finding in &seen.findings {
        fact(format!("{} in line {}", finding.kind, finding.line));
    }
    fact(if seen.banner { String::new() } else { "silent".to_owned() });
    fact(seen.agent_words.as_ref().map_or(String::new(), |words| format!("agent: {words}")));
    fact(if seen.listens { "listens".to_owned() } else { String::new() });
    fact(seen.link.as_ref().map_or(String::new(), |failure| failure.to_string()));
    fact(seen.shutdown.as_ref().map_or(String::new(), |(_, reason)| reason.clone()));
    fact(seen.exit.as_ref().map_or(String::new(), |(_, success, _)| match success {
        true => format!("exit {}", seen.over_at.as_millis()),
        false => format!("crash {}", seen.over_at.as_millis()),
    }));
    fact(seen.abort.as_ref().map_or(String::new(), |abort| format!("{abort:?}")));
    let facts: Vec<_> = text.split("; ").filter(|fact| !fact.is_empty()).collect();
    facts.join("; ")
}

/// What was known at the points where most of the scenarios part.
const UP: &str = "hello 500";
const MIDDLE: &str = "hello 500; run 0 started TAP";
const ALL: &str = "hello 500; run 0 started TAP ended; run 1 started ended; bye 1000";

/// A name, what happens, what is done about it, and what is known in the end; `{MIDDLE}` and the
/// like stand for the constants above.
#[rustfmt::skip]
fn scenarios() -> Vec<(&'static str, Steps, &'static str, &'static str)> {
    use Event::{Stop, Tick};
    let power_down = [(1100, shutdown("guest-shutdown")), (1150, exit())];
    vec![
        // A good life.
        ("all is well", and(done(), &power_down), "500 plan, 1000 close", "{ALL}; guest-shutdown; exit 1150"),
        ("output of both kinds is kept in order", and(up(), &[(600, start(0)), (610, out(0, "a")), (620, err(0, "x")), (630, out(0, "b")), (640, exit())]), "500 plan", "{UP}; run 0 started ab x; exit 640"),
        ("beats keep a slow program alive", and(running(), &[(19_000, beat(0)), (38_000, beat(0)), (57_000, beat(0)), (76_000, Tick), (77_000, end(0))]), "500 plan", "{MIDDLE} ended"),
        ("so does output", and(running(), &[(20_000, out(0, "1")), (40_000, out(0, "2")), (59_900, Tick)]), "500 plan", "{MIDDLE}12"),
        ("the console does not", and(running(), &[(19_000, console(BANNER_LINE)), (20_650, Tick)]), "500 plan, 20650 end", "{MIDDLE}; unexpected-reboot in line 2; Stall { silent: 20s }"),
        ("a hello in the very last moment counts", vec![(100, console(BANNER_LINE)), (60_000, hello()), (79_999, Tick)], "60000 plan", "hello 60000"),

        // Boots that come to nothing.
        ("no hello", vec![(100, console(BANNER_LINE)), (59_999, Tick), (60_000, Tick)], "60000 end", "Boot { waited: 60s }"),
        ("not a single byte", vec![(60_000, Tick), (60_100, crash())], "60000 end", "silent; crash 60100; Boot { waited: 60s }"),
        ("QEMU does not even start", vec![(5, crash())], "", "silent; crash 5"),
        ("a boot without a clock is not waited for long", vec![(100, console(BANNER_LINE)), (200, console(NO_CLOCK)), (10_199, Tick), (10_200, Tick)], "10200 end", "tsc-lost in line 2; Boot { waited: 10.2s }"),
        ("but some do come up", vec![(200, console(NO_CLOCK)), (9_000, hello()), (10_300, Tick)], "9000 plan", "hello 9000; tsc-lost in line 1; silent"),
        ("no init in the image", vec![(100, console(BANNER_LINE)), (900, console(NO_INIT)), (950, shutdown("guest-reset")), (960, exit())], "", "no-init in line 2; guest-reset; exit 960"),
        ("an image that does not unpack is no panic", vec![(100, console(BANNER_LINE)), (200, console("Initramfs unpacking failed: junk\n")), (5_300, Tick), (5_400, hello())], "5400 plan", "hello 5400; no-init in line 2"),
        ("the agent gives up", vec![(100, console(BANNER_LINE)), (900, console(GAVE_UP)), (950, shutdown("guest-shutdown")), (960, exit())], "", "agent: no virtio port named x; guest-shutdown; exit 960"),
        ("the agent's first words are kept, its notes are none", and(up(), &[(600, console("<14>[    1.0] abimatrix-agent note: no real-time priority\n")), (700, console(GAVE_UP)), (710, console("abimatrix-agent: second\n"))]), "500 plan", "{UP}; agent: no virtio port named x"),
        ("what a program says of the agent in a result is not the agent's", and(up(), &[(600, start(0)), (700, out(0, "abimatrix-agent: x"))]), "500 plan", "{UP}; run 0 started abimatrix-agent: x"),

        // The way over ssh.
        ("the agent listens and says nothing more", vec![(100, console(BANNER_LINE)), (600, console(LISTENS)), (60_599, Tick), (60_600, Tick)], "60600 end", "listens; Boot { waited: 60.6s }"),
        ("it has its time even after a slow boot", vec![(100, console(BANNER_LINE)), (40_000, console(LISTENS)), (70_100, console(NO_SESSION)), (70_200, shutdown("guest-shutdown")), (70_300, exit())], "", "agent: sshd: no session within 30000 ms: x; listens; guest-shutdown; exit 70300"),
        ("another host key ends it at once", vec![(100, console(BANNER_LINE)), (600, console(LISTENS)), (700, other_key())], "700 end", "listens; the host key is not the guest's: BBBB and not AAAA; Link"),
        ("so does a key that is refused", vec![(100, console(BANNER_LINE)), (700, Event::Link(LinkFailure::Refused { detail: "no".to_owned() }))], "700 end", "the key was refused: no; Link"),
        ("a connection that is cut leaves the console its time", and(running(), &[(700, bad("truncated")), (701, cut()), (5_700, Tick), (5_701, Tick), (5_800, crash())]), "500 plan, 5701 end", "{MIDDLE}; bad truncated; the connection was cut: x; crash 5800; Link"),
        ("in which a kernel says why", and(running(), &[(701, cut()), (900, console(OOPS)), (910, console(END_OF_OOPS)), (5_701, Tick)]), "500 plan, 5701 end", "{MIDDLE}; oops in line 2; the connection was cut: x; Link"),
        ("or goes off, and the connection had its reason", and(running(), &[(701, cut()), (900, shutdown("guest-shutdown")), (960, exit()), (6_000, Tick)]), "500 plan", "{MIDDLE}; the connection was cut: x; guest-shutdown; exit 960"),
        ("after bye it may go", [done(), vec![(1_050, cut())], power_down.to_vec()].concat(), "500 plan, 1000 close", "{ALL}; guest-shutdown; exit 1150"),
        ("the first failure is the one", and(running(), &[(701, cut()), (710, other_key())]), "500 plan, 710 end", "{MIDDLE}; the connection was cut: x; Link"),

        // Hangs.
        ("hello and then nothing", and(up(), &[(20_499, Tick), (20_500, Tick)]), "500 plan, 20500 end", "{UP}; Stall { silent: 20s }"),
        ("nothing in the middle of a run", and(running(), &[(20_650, Tick), (20_700, bad("truncated")), (20_800, crash())]), "500 plan, 20650 end", "{MIDDLE}; bad truncated; crash 20800; Stall { silent: 20s }"),
        ("nothing between two runs", and(running(), &[(700, end(0)), (20_700, Tick)]), "500 plan, 20700 end", "{MIDDLE} ended; Stall { silent: 20s }"),
        ("a lockup is reported and the guest still hangs", and(running(), &[(11_000, console("watchdog: BUG: soft lockup - CPU#0 stuck for 11s! [x:30]\n")), (20_650, Tick)]), "500 plan, 20650 end", "{MIDDLE}; soft-lockup in line 2; Stall { silent: 20s }"),
        ("a heart that beats for ever over one run", [running(), (1..=202).map(|n| (n * 18_000, beat(0))).collect()].concat(), "500 plan, 3618000 end", "{MIDDLE}; Overrun { run: 0, waited: 3617.4s }"),
        ("a run that has ended does not go on", [running(), vec![(700, end(0))], (1..=202).map(|n| (n * 18_000, beat(0))).collect()].concat(), "500 plan", "{MIDDLE} ended"),
        ("bye and no power-off", and(done(), &[(10_999, Tick), (11_000, Tick), (11_500, exit())]), "500 plan, 1000 close, 11000 end", "{ALL}; exit 11500; PowerOff { waited: 10s }"),

        // The kernel dies.
        ("panic and exit", and(running(), &[(900, console(PANIC)), (950, shutdown("guest-reset")), (960, exit())]), "500 plan", "{MIDDLE}; panic in line 2; guest-reset; exit 960"),
        ("panic and no exit is drained", and(running(), &[(900, console(PANIC)), (5_899, Tick), (5_900, Tick), (6_000, crash())]), "500 plan, 5900 end", "{MIDDLE}; panic in line 2; crash 6000; Panicked"),
        ("a second panic does not make the first one younger", and(running(), &[(900, console(PANIC)), (5_000, console(PANIC)), (5_900, Tick)]), "500 plan, 5900 end", "{MIDDLE}; panic in line 2; panic in line 3; Panicked"),
        ("a panic takes the stream with it", and(running(), &[(900, console(PANIC)), (910, bad("crc")), (950, shutdown("guest-reset")), (960, exit())]), "500 plan", "{MIDDLE}; bad crc; panic in line 2; guest-reset; exit 960"),
        ("a panic before the hello", vec![(900, console(PANIC)), (5_900, Tick)], "5900 end", "panic in line 1; silent; Panicked"),
        ("init died", and(running(), &[(900, console(INIT_DIED)), (5_900, Tick)]), "500 plan, 5900 end", "{MIDDLE}; init-died in line 2; Panicked"),
        ("a panic that was found over two chunks", and(running(), &[(900, console("<0>[    1.000000] Kernel pan")), (901, console("ic - not sync")), (5_000, console("ing: xyzzy\n")), (9_999, Tick), (10_000, Tick)]), "500 plan, 10000 end", "{MIDDLE}; panic in line 2; Panicked"),
        ("a last line without a newline is looked at", and(running(), &[(900, console(PANIC.trim_ascii_end())), (960, exit())]), "500 plan", "{MIDDLE}; panic in line 2; exit 960"),
        ("an oops, and life goes on", and(running(), &[(660, console(OOPS)), (661, console(END_OF_OOPS)), (700, end(0)), (710, start(1)), (800, end(1)), (1000, bye()), (10_900, Tick)]), "500 plan, 1000 close", "{ALL}; oops in line 2"),
        ("an oops between bye and exit", [done(), vec![(1050, console(OOPS))], power_down.to_vec()].concat(), "500 plan, 1000 close", "{ALL}; oops in line 2; guest-shutdown; exit 1150"),
        ("a panic between bye and exit", and(done(), &[(1050, console(PANIC)), (6_050, Tick), (6_100, exit())]), "500 plan, 1000 close, 6050 end", "{ALL}; panic in line 2; exit 6100; Panicked"),
        ("two reports are two findings", and(running(), &[(660, console(WARNING)), (661, console(END_OF_OOPS)), (662, console(OOPS)), (670, exit())]), "500 plan", "{MIDDLE}; warning in line 2; oops in line 4; exit 670"),

        // The machine goes without a word.
        ("reset without bye", and(running(), &[(900, shutdown("guest-reset")), (960, exit())]), "500 plan", "{MIDDLE}; guest-reset; exit 960"),
        ("reset in the middle of a frame", and(running(), &[(890, bad("truncated")), (900, shutdown("guest-reset")), (960, exit())]), "500 plan", "{MIDDLE}; bad truncated; guest-reset; exit 960"),
        ("power-off without bye", and(running(), &[(900, shutdown("guest-shutdown")), (960, exit())]), "500 plan", "{MIDDLE}; guest-shutdown; exit 960"),
        ("somebody ends QEMU", and(running(), &[(900, shutdown("host-signal")), (960, exit())]), "500 plan", "{MIDDLE}; host-signal; exit 960"),
        ("QEMU crashes", and(running(), &[(960, crash())]), "500 plan", "{MIDDLE}; crash 960"),
        ("the first word about the shutdown is kept", and(running(), &[(900, shutdown("guest-reset")), (901, shutdown("host-qmp-quit")), (960, exit())]), "500 plan", "{MIDDLE}; guest-reset; exit 960"),

        // The stream breaks its rules.
        ("a second hello", and(running(), &[(900, bad("second-hello")), (950, exit())]), "500 plan, 900 end", "{MIDDLE}; bad second-hello; exit 950; BadFrames"),
        ("a bad frame for a hello", vec![(100, console(BANNER_LINE)), (500, bad("magic")), (560, exit())], "500 end", "bad magic; exit 560; BadFrames"),
        ("nothing after a bad frame counts", and(running(), &[(900, bad("crc")), (910, end(0)), (920, bye()), (930, bad("magic")), (960, exit())]), "500 plan, 900 end", "{MIDDLE}; bad crc; exit 960; BadFrames"),
        ("something after the bye", and(done(), &[(1010, bad("after-end")), (1100, exit())]), "500 plan, 1000 close, 1010 end", "{ALL}; bad after-end; exit 1100; BadFrames"),
        ("a cut stream and a machine that stays", and(running(), &[(700, bad("truncated")), (20_650, Tick)]), "500 plan, 20650 end", "{MIDDLE}; bad truncated; Stall { silent: 20s }"),
        ("a run that was not planned is nobody's", and(up(), &[(600, start(7)), (610, out(7, "x")), (620, end(7)), (630, exit())]), "500 plan", "{UP}; exit 630"),
        ("a hello as a message twice is one hello", and(up(), &[(600, hello()), (700, Tick)]), "500 plan", "{UP}"),
        ("the plan is refused", and(up(), &[(600, refuse()), (700, console(GAVE_UP)), (710, shutdown("guest-shutdown")), (720, exit())]), "500 plan, 600 close", "{UP}; refused plan-key (line 3 of the plan); agent: no virtio port named x; guest-shutdown; exit 720"),
        ("refused and no power-off", and(up(), &[(600, refuse()), (10_600, Tick)]), "500 plan, 600 close, 10600 end", "{UP}; refused plan-key (line 3 of the plan); PowerOff { waited: 10s }"),

        // Floods and people.
        ("a flood", and(running(), &[(900, TOO_MUCH), (950, bad("truncated")), (990, crash())]), "500 plan, 900 end", "{MIDDLE}; bad truncated; crash 990; TooMuch { stream: \"console\", limit_bytes: 64 }"),
        ("stopped in the boot", vec![(100, console(BANNER_LINE)), (200, Stop("SIGINT")), (300, exit())], "200 end", "exit 300; Stop(\"SIGINT\")"),
        ("stopped in a run", and(running(), &[(900, Stop("SIGTERM")), (950, exit())]), "500 plan, 900 end", "{MIDDLE}; exit 950; Stop(\"SIGTERM\")"),
        ("stopped between bye and exit", and(done(), &[(1010, Stop("SIGINT")), (1050, exit())]), "500 plan, 1000 close, 1010 end", "{ALL}; exit 1050; Stop(\"SIGINT\")"),
        ("stopped when all is over is no stop", [done(), power_down.to_vec(), vec![(1200, Stop("SIGINT"))]].concat(), "500 plan, 1000 close", "{ALL}; guest-shutdown; exit 1150"),
        ("the first reason to end a guest is the one", and(up(), &[(20_500, Tick), (20_600, Stop("SIGINT")), (20_700, TOO_MUCH), (90_000, Tick), (90_100, exit())]), "500 plan, 20500 end", "{UP}; exit 90100; Stall { silent: 20s }"),
        ("a guest that is being ended gets no plan", vec![(60_000, Tick), (60_010, hello()), (60_100, exit())], "60000 end", "hello 60010; silent; exit 60100; Boot { waited: 60s }"),
        ("a bye that comes too late is on record, and so is the reason", and(running(), &[(20_650, Tick), (20_700, end(0)), (20_710, bye()), (20_800, exit())]), "500 plan, 20650 end, 20710 close", "{MIDDLE} ended; bye 20710; exit 20800; Stall { silent: 20s }"),
        ("nothing after the end counts", and(running(), &[(960, exit()), (970, console(PANIC)), (980, bye()), (990, shutdown("guest-reset")), (1000, bad("crc")), (99_000, Tick), (99_001, crash())]), "500 plan", "{MIDDLE}; exit 960"),
    ]
}

#[test]
fn lives() {
    for (name, steps, actions, expected) in scenarios() {
        let (did, seen) = play(steps.clone());
        let expected = expected.replace("{UP}", UP).replace("{MIDDLE}", MIDDLE).replace("{ALL}", ALL);
        assert_eq!(facts(&seen), expected, "{name}");
        assert_eq!(done_about(&did), actions, "{name}");
        // The same with the console byte by byte.
        let bytewise = steps.iter().flat_map(|(ms, event)| match event {
            Event::Console(bytes) => bytes.chunks(1).map(|byte| (*ms, Event::Console(byte))).collect(),
            other => vec![(*ms, other.clone())],
        });
        assert_eq!(play(bytewise), (did, seen), "{name}, byte by byte");
    }
}

/// An agent that lives says that nobody came, or no plan, before its guest is taken for one that hangs.
#[test]
fn an_agent_gives_up_before_it_is_given_up() {
    let agent = include_str!("../../../../guest/agent/agent.h");
    let waits = ["SSH_WAIT_MS", "PLAN_WAIT_MS"].map(|name| {
        let line = agent.lines().find(|line| line.starts_with(&format!("#define {name}"))).unwrap();
        Duration::from_millis(line.split_whitespace().nth(2).unwrap().parse().unwrap())
    });
    let margin = Duration::from_secs(5);
    assert!(waits[0] + waits[1] + margin <= limits::BOOT_DEADLINE, "{waits:?}");
    // The host may have its hello, and be the one who waits.
    assert!(waits[1] + margin <= limits::STALL, "{waits:?}");
}

/// A clock that is only looked at rarely finds what one that is looked at often would have found.
#[test]
fn deadlines_hold_at_any_rate_of_ticks() {
    for (name, steps, actions, _) in scenarios() {
        let mut ticking: Steps = Vec::new();
        for (ms, event) in steps {
            let from = ticking.last().map_or(0, |(ms, _)| *ms);
            ticking.extend((from..ms).step_by(100).skip(1).map(|ms| (ms, Event::Tick)));
            ticking.push((ms, event));
        }
        let (did, _) = play(ticking);
        let words = done_about(&did);
        let ends = |actions: &str| actions.contains("end");
        assert_eq!(ends(&words), ends(actions), "{name}: {words}");
    }
}

#[test]
fn the_last_line_is_the_last_that_says_something() {
    let last = |text: &str| play([(1, Event::Console(text.as_bytes()))]).1.last_line;
    assert_eq!(last("one\r\ntwo\r\n\r\n   \n"), "two");
    assert_eq!(last("one\ntw"), "tw");
    assert_eq!(last("\u{1b}[31mred\n"), sanitize(b"\x1b[31mred"));
    assert_eq!(last(&"x".repeat(9000)).len(), 1024);
    assert_eq!(last(""), "");
}

#[test]
fn a_flood_of_findings_leaves_a_trace() {
    let line = "<6>[    1.000000] x[30]: segfault at 0 ip 1 sp 2 error 4 in x[1+2]\n";
    let flood = line.repeat(300) + WARNING;
    let (_, seen) = play([(1, Event::Console(flood.as_bytes())), (2, exit())]);
    assert!(seen.kernel_fault().is_none(), "the warning found no room");
    assert_eq!(seen.findings.len() as u64 + seen.findings_left_out, 301);
}

/// Pieces of a console: whole lines, halves of them, and dirt.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    const LINES: &[&str] = &[
        BANNER_LINE,
        PANIC,
        INIT_DIED,
        NO_INIT,
        OOPS,
        END_OF_OOPS,
        WARNING,
        NO_CLOCK,
        GAVE_UP,
        "\r\n",
        "\n",
    ];
    prop_oneof![
        4 => proptest::sample::select(LINES).prop_map(|line| line.as_bytes().to_vec()),
        1 => proptest::sample::select(LINES).prop_map(|line| line.as_bytes()[..line.len() / 2].to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
    ]
}

/// Anything that can happen but a bye.
fn anything() -> impl Strategy<Value = Event<'static>> {
    let lines = proptest::sample::select(&[BANNER_LINE, PANIC, OOPS, NO_CLOCK, GAVE_UP][..]);
    prop_oneof![
        Just(hello()),
        (0..3u16).prop_map(start),
        (0..3u16).prop_map(|run| out(run, "bye")),
        (0..3u16).prop_map(end),
        (0..3u16).prop_map(beat),
        Just(refuse()),
        proptest::sample::select(&["crc", "truncated", "second-hello"][..]).prop_map(bad),
        proptest::sample::select(&["guest-shutdown", "guest-reset", "host-signal"][..]).prop_map(shutdown),
        lines.prop_map(console),
        Just(exit()),
        Just(crash()),
        Just(TOO_MUCH),
        Just(Event::Stop("SIGINT")),
        Just(Event::Tick),
    ]
}

proptest! {
    #[test]
    fn chunks_make_no_difference(
        pieces in proptest::collection::vec(piece(), 0..12),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
    ) {
        let text = pieces.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|two| (900, Event::Console(&text[two[0]..two[1]])));
        let rest = [(5_950, Event::Tick), (6_000, exit())];
        let whole = play(up().into_iter().chain([(900, Event::Console(&text))]).chain(rest.clone()));
        let cut = play(up().into_iter().chain(chunks).chain(rest));
        prop_assert_eq!(whole, cut);
    }

    /// `play` checks the other rules: one plan, one end, an end with its reason, nothing after it.
    #[test]
    fn only_a_bye_is_a_bye(
        events in proptest::collection::vec((0..30_000u64, anything()), 0..40),
    ) {
        let mut now = 0;
        let steps = events.into_iter().map(|(later, event)| {
            now += later;
            (now, event)
        });
        let (actions, seen) = play(steps);
        prop_assert_eq!(seen.bye, None);
        let closed = actions.iter().any(|(_, action)| *action == Action::SendClose);
        prop_assert_eq!(closed, seen.refused.is_some());
    }
}

#[test]
fn a_guest_with_somebody_in_it_is_waited_for_until_that_person_leaves() {
    let day = Duration::from_secs(86_400);
    for deadlines in [Deadlines::of_a_debugger(), Deadlines::of_a_shell()] {
        let mut watch = Watch::new(1, deadlines);
        // It does not come up, says nothing, and its program does not end.
        assert_eq!(watch.step(day, Event::Tick), None);
        assert_eq!(watch.step(day, hello()), Some(Action::SendPlan));
        assert_eq!(watch.step(day * 2, Event::Tick), None);
        let start = GuestMessage::Start { run: 0, mode: Mode::Plain, pid: 2, tainted: 0 };
        assert_eq!(watch.step(day * 2, Event::Message(start)), None);
        assert_eq!(watch.step(day * 4, Event::Tick), None);
        assert_eq!(watch.step(day * 4, Event::Stop("SIGINT")), Some(Action::EndVm));
    }
}
