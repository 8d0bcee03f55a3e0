use proptest::prelude::*;

use super::*;
use crate::boot::frames::GuestEncoder;
use crate::model::{GuestMessage, Hello, Mode, PlannedRun, Stream};

const NONCE: [u8; 16] = [0xab; 16];
const LONG: Duration = Duration::from_secs(10);
const DEADLINES: Deadlines =
    Deadlines { boot: LONG, stall: LONG, power_off: LONG, panic_drain: LONG, overrun: LONG };

fn plan() -> Plan {
    let (deadline, args) = (LONG, vec!["/bin/xyzzy".to_owned()]);
    let run = PlannedRun { mode: Mode::Plain, deadline, dir: None, args, env: Vec::new(), doors: Vec::new() };
    Plan { runs: vec![run] }
}

/// What the agent of a guest sends that gets as far as some output.
fn frames() -> Vec<u8> {
    let mut encoder = GuestEncoder::new(Nonce::new(NONCE).unwrap());
    let hello = Hello {
        machine: "x86_64".to_owned(),
        release: "6.12.0".to_owned(),
        version: "#1 SMP".to_owned(),
        boot_id: "6e8d2a3c-5f90-4f0b-8b3a-0a1b2c3d4e5f".to_owned(),
        tainted: 0,
        cpus: 1,
        smap: true,
        smep: true,
        mem_kb: 240_000,
    };
    let (run, stream) = (0, Stream::Stdout);
    [
        encoder.frame(&GuestMessage::Hello(hello)),
        encoder.frame(&GuestMessage::Start { run, mode: Mode::Plain, pid: 2, tainted: 0 }),
        encoder.frame(&GuestMessage::Output { run, stream, bytes: b"ok 1 works\n".to_vec() }),
        encoder.frame(&GuestMessage::Beat { run, uptime_ms: 1, tainted: 0 }),
    ]
    .concat()
}

/// One thing that happens to a guest.
#[derive(Debug, Clone)]
enum Step {
    Console(Vec<u8>),
    Results(usize),
    Wait(u64),
    Other(Event<'static>),
}

/// A life that is lived and written down: what was seen, the journal, the logs.
struct Life {
    seen: Evidence,
    journal: String,
    console: Vec<u8>,
    results: Vec<u8>,
}

fn live(steps: &[Step]) -> Life {
    let (plan, nonce) = (plan(), Nonce::new(NONCE).unwrap());
    let mut text = Vec::new();
    let mut journal = Journal::begin(&mut text, nonce, DEADLINES).unwrap();
    let (mut watch, mut decoder) = (Watch::new(1, DEADLINES), Decoder::new(nonce, &plan));
    let (all, mut console, mut results) = (frames(), Vec::new(), Vec::new());
    let mut now = Duration::ZERO;
    for step in steps {
        match step {
            Step::Wait(ms) => {
                now += Duration::from_millis(*ms);
                if watch.step(now, Event::Tick).is_some() {
                    journal.tick(now);
                }
            }
            Step::Console(bytes) => {
                console.extend_from_slice(bytes);
                journal.event(now, &Event::Console(bytes));
                watch.step(now, Event::Console(bytes));
            }
            Step::Results(bytes) => {
                let rest = &all[results.len()..];
                let new = &rest[..rest.len().min(*bytes)];
                results.extend_from_slice(new);
                journal.results(now, new);
                if new.is_empty() {
                    let cut = decoder.finish();
                    if let Some(cut) = cut {
                        watch.step(now, Event::decoded(Err(cut)));
                    }
                }
                for decoded in decoder.push(new) {
                    watch.step(now, Event::decoded(decoded));
                }
            }
            Step::Other(event) => {
                journal.event(now, event);
                watch.step(now, event.clone());
            }
        }
    }
    journal.finish().unwrap();
    Life { seen: watch.into_evidence(), journal: String::from_utf8(text).unwrap(), console, results }
}

impl Life {
    fn replayed(&self) -> Result<Evidence, JournalError> {
        replay(&self.journal, &plan(), &self.console, &self.results)
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    let other = prop_oneof![
        Just(Event::Shutdown { by_guest: true, reason: "guest-reset".to_owned() }),
        Just(Event::TooMuch { stream: "result port", limit_bytes: 5 }),
        Just(Event::Exit {
            how: "exited with \u{1b} \"7\"".to_owned(),
            success: false,
            stderr: "x\n".to_owned()
        }),
        Just(Event::At(u64::MAX)),
        Just(Event::Link(LinkFailure::HostKey { expected: "A".to_owned(), found: "B".to_owned() })),
        Just(Event::Link(LinkFailure::Cut { detail: "gone".to_owned() })),
        Just(Event::Stop("SIGTERM")),
    ];
    let said = prop_oneof![
        Just(b"Linux version 6.12\n".to_vec()),
        Just(b"<0>[    0.4] Kernel panic - not syncing: sysrq\n".to_vec()),
        Just(b"abimatrix-agent: gone\nab".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    prop_oneof![
        4 => said.prop_map(Step::Console),
        4 => (0usize..90).prop_map(Step::Results),
        4 => prop_oneof![0u64..3, 0u64..9000].prop_map(Step::Wait),
        1 => other.prop_map(Step::Other),
    ]
}

proptest! {
    /// Whatever happens, in whatever pieces: a life that is told again is the same life.
    #[test]
    fn a_life_that_is_told_again_is_the_same(steps in proptest::collection::vec(any_step(), 0..30)) {
        let life = live(&steps);
        prop_assert_eq!(life.replayed().unwrap(), life.seen);
    }
}

fn example() -> Life {
    let ended = Event::Exit { how: "exited with status 0".to_owned(), success: true, stderr: String::new() };
    live(&[
        Step::Wait(400),
        Step::Console(b"Linux version 6.12\n".to_vec()),
        Step::Console(b"and more\n".to_vec()),
        Step::Results(10_000),
        Step::Wait(20_000),
        Step::Other(ended),
    ])
}

#[test]
fn it_is_small_and_has_only_the_ticks_that_mattered() {
    let life = example();
    let lines: Vec<&str> = life.journal.lines().collect();
    assert_eq!(lines.len(), 6, "{}", life.journal);
    assert_eq!(
        lines[1..4],
        [
            r#"[400,{"console":28}]"#,
            &format!(r#"[400,{{"results":{}}}]"#, life.results.len()),
            r#"[20400,"tick"]"#
        ]
    );
    assert!(life.seen.abort.is_some() && life.seen.hello.is_some());
}

#[test]
fn what_was_changed_cut_or_is_not_there_is_told_apart() {
    let life = example();
    let told = |journal: &str, console: &[u8], results: &[u8]| {
        replay(journal, &plan(), console, results).map(drop).unwrap_err().to_string()
    };
    let with = |journal: &str| told(journal, &life.console, &life.results);
    let lines: Vec<&str> = life.journal.lines().collect();
    let edited = "was changed after the run had written it";
    assert!(with(&life.journal.replace("[400,{\"console\":28}]", "[401,{\"console\":28}]")).contains(edited));
    assert!(with(&life.journal.replace("status 0", "status 1")).contains(edited));
    assert!(with(&lines[..5].join("\n")).contains("has no end"));
    assert!(with(&life.journal[..life.journal.len() - 20]).contains("has no end"));
    assert!(with("").contains("line 1 is none of a journal"));
    assert!(with("\u{7f}ELF").contains("line 1 is none of a journal"));
    assert!(with(&life.journal.replace("\"journal\":1", "\"journal\":7")).contains("is of version 7"));
    let (touched, cut) = (life.console.to_ascii_uppercase(), &life.results[..life.results.len() - 1]);
    assert!(told(&life.journal, &touched, &life.results).contains("does not fit the console's log"));
    assert!(told(&life.journal, &life.console, cut).contains("does not fit the result port's log"));
}

#[test]
fn a_full_one_says_so() {
    let bytes = (0..900_000).flat_map(|_| [Step::Console(b"x".to_vec()), Step::Wait(1)]);
    let mut steps: Vec<Step> = bytes.collect();
    steps.push(Step::Other(Event::Stop("SIGINT")));
    let life = live(&steps);
    assert!((life.journal.len() as u64) < limits::JOURNAL_BYTES + 1000);
    assert_eq!(life.replayed(), Err(JournalError::Full));
}
