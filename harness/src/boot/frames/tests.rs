//! The codec against the shared vectors, and against every kind of damage.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::model::{DoorEntries, Hello, Trace};

const VECTORS: &str = include_str!("../../../../guest/vectors/frames.txt");

/// One example of `guest/PROTOCOL.md`.
#[derive(Default)]
struct Vector {
    name: String,
    from_guest: bool,
    /// The stream, and where each of its `bytes` lines ends.
    stream: Vec<u8>,
    ends: Vec<usize>,
    /// The problem and its offset; nothing if all is well.
    expected: Option<(String, u64)>,
}

fn hex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn vectors() -> Vec<Vector> {
    let mut vectors: Vec<Vector> = Vec::new();
    for line in VECTORS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (key, value) = line.split_once(' ').unwrap();
        if key == "vector" {
            vectors.push(Vector { name: value.to_owned(), ..Vector::default() });
            continue;
        }
        let (vector, earlier) = vectors.split_last_mut().unwrap();
        match key {
            "from" => vector.from_guest = value == "guest",
            "nonce" => assert_eq!(value, nonce().to_string()),
            "after" => {
                let (name, frames) = value.split_once(' ').unwrap();
                let first = earlier.iter().find(|earlier| earlier.name == name).unwrap();
                vector.ends = first.ends[..frames.parse().unwrap()].to_vec();
                vector.stream = first.stream[..*vector.ends.last().unwrap()].to_vec();
            }
            "frame" => {} // for codecs that encode frame by frame; here messages are encoded
            "bytes" => {
                vector.stream.extend(hex(value));
                vector.ends.push(vector.stream.len());
            }
            "expect" if value == "ok" => {}
            "expect" => {
                let (problem, offset) = value.split_once(' ').unwrap();
                vector.expected = Some((problem.to_owned(), offset.parse().unwrap()));
            }
            _ => panic!("unknown line: {line}"),
        }
    }
    vectors
}

fn vector(name: &str) -> Vector {
    vectors().into_iter().find(|vector| vector.name == name).unwrap()
}

fn nonce() -> Nonce {
    Nonce::new(std::array::from_fn(|index| 0x10 + index as u8)).unwrap()
}

const DOOR_64: Door = Door { arch: 0xc000_003e, nr: 548 };
const DOOR_32: Door = Door { arch: 0x4000_0003, nr: 548 };

fn plain(args: &[&str]) -> PlannedRun {
    PlannedRun {
        mode: Mode::Plain,
        deadline: Duration::from_secs(30),
        dir: None,
        args: args.iter().map(ToString::to_string).collect(),
        env: Vec::new(),
        doors: Vec::new(),
    }
}

fn traced(args: &[&str], doors: &[Door]) -> PlannedRun {
    PlannedRun { mode: Mode::Traced, deadline: Duration::from_secs(60), doors: doors.to_vec(), ..plain(args) }
}

fn standard_plan() -> Plan {
    let mut first = plain(&["/bin/test_64", "--all"]);
    first.env = vec![("MODE".to_owned(), "x y=z".to_owned())];
    Plan { runs: vec![first, traced(&["/bin/test_64"], &[DOOR_64, DOOR_32])] }
}

/// Everything a stream gives, cut into pieces of `size`.
fn decode(plan: &Plan, stream: &[u8], size: usize) -> Vec<Result<GuestMessage, FrameProblem>> {
    let mut decoder = Decoder::new(nonce(), plan);
    let mut results = Vec::new();
    for piece in stream.chunks(size) {
        results.extend(decoder.push(piece));
        assert!(decoder.frame.len() <= HEADER_BYTES + PAYLOAD_MAX);
    }
    results.extend(decoder.finish().map(Err));
    results
}

fn is_result(results: &[Result<GuestMessage, FrameProblem>]) -> bool {
    matches!(results.last(), Some(Ok(GuestMessage::Bye { .. })))
}

#[test]
fn vectors_of_the_guest_are_decoded_as_told() {
    let mut seen = 0;
    for vector in vectors().iter().filter(|vector| vector.from_guest) {
        let results = decode(&standard_plan(), &vector.stream, usize::MAX);
        let problem = match results.last() {
            Some(Err(problem)) => Some((problem.kind.name().to_owned(), problem.offset)),
            _ => None,
        };
        assert_eq!(problem, vector.expected, "{}: {results:?}", vector.name);
        for size in [1, 7, HEADER_BYTES, 1000] {
            assert_eq!(decode(&standard_plan(), &vector.stream, size), results, "{}", vector.name);
        }
        if vector.expected.is_none() {
            let mut encoder = GuestEncoder::new(nonce());
            let again: Vec<u8> =
                results.iter().flatten().flat_map(|message| encoder.frame(message)).collect();
            assert_eq!(again, vector.stream, "{}", vector.name);
        }
        seen += 1;
    }
    assert!(seen > 50, "{seen} vectors");
}

#[test]
fn the_standard_vector_says_what_it_says() {
    let end = |run, outcome, trace: Option<Trace>| RunEnd {
        run,
        outcome,
        tainted_before: 0,
        tainted_after: 0,
        wall_us: 882,
        user_us: 11,
        sys_us: 611,
        maxrss_kb: 1356,
        stdout_bytes: if trace.is_none() { 6 } else { 0 },
        stderr_bytes: if trace.is_none() { 1 } else { 0 },
        leaked: 0,
        trace,
    };
    let entries = |door, count| DoorEntries { door, count };
    let trace = Trace { syscalls: 22, entries: vec![entries(DOOR_64, 3), entries(DOOR_32, 0)] };
    let results = decode(&standard_plan(), &vector("standard").stream, usize::MAX);
    let messages: Vec<GuestMessage> = results.into_iter().map(Result::unwrap).collect();
    let (bye, said) = messages.split_last().unwrap();
    assert!(matches!(bye, GuestMessage::Bye { runs: 2, frames: 8, .. }));
    assert_eq!(
        said,
        [
            GuestMessage::Hello(hello()),
            GuestMessage::Start { run: 0, mode: Mode::Plain, pid: 28, tainted: 0 },
            GuestMessage::Output { run: 0, stream: Stream::Stdout, bytes: b"ok 1\0\xff".to_vec() },
            GuestMessage::Beat { run: 0, uptime_ms: 2010, tainted: 0 },
            GuestMessage::Output { run: 0, stream: Stream::Stderr, bytes: b"!".to_vec() },
            GuestMessage::End(end(0, Outcome::Exit { code: 0 }, None)),
            GuestMessage::Start { run: 1, mode: Mode::Traced, pid: 29, tainted: 0 },
            GuestMessage::End(end(1, Outcome::Signal { signal: 11 }, Some(trace))),
        ]
    );
}

fn hello() -> Hello {
    Hello {
        machine: "x86_64".to_owned(),
        release: "6.12.9".to_owned(),
        version: "#1 SMP".to_owned(),
        boot_id: "8da320d8-2aa4-447d-a977-0ee4e2fdd32a".to_owned(),
        tainted: 0,
        cpus: 1,
        smap: true,
        smep: false,
        mem_kb: 248_076,
    }
}

#[test]
fn plans_are_encoded_to_the_vectors() {
    let standard = vector("plan-standard");
    assert_eq!(encode_plan(nonce(), &standard_plan()).unwrap(), standard.stream);

    let mut run = plain(&["/init", ""]);
    run.deadline = Duration::from_millis(1);
    let mut stream = encode_plan(nonce(), &Plan { runs: vec![run] }).unwrap();
    stream.extend(encode_close(nonce()));
    assert_eq!(stream, vector("plan-and-close").stream);

    let mut first = plain(&["/"]);
    first.deadline = Duration::from_secs(1);
    first.args[0].push_str(&"a".repeat(LONGEST_ARG - 1));
    first.args.extend(vec![String::new(); 31]);
    first.env = (0..32).map(|number| (format!("A{number}"), String::new())).collect();
    let doors: Vec<Door> = (0..16).map(|number| Door { arch: u32::MAX, nr: u32::MAX - number }).collect();
    let mut second = traced(&["/t"], &doors);
    second.deadline = Duration::from_secs(24 * 3600);
    let mut rest = plain(&["/t"]);
    rest.deadline = Duration::from_secs(1);
    let mut runs = vec![first, second];
    runs.extend(vec![rest; 62]);
    let stream = encode_plan(nonce(), &Plan { runs }).unwrap();
    assert_eq!(stream, vector("plan-at-the-bounds").stream);
}

/// A line of 4096 bytes, less `arg=`.
const LONGEST_ARG: usize = 4092;

/// A plan of one run that `change` spoils.
fn refused(change: impl FnOnce(&mut PlannedRun)) -> EncodeError {
    let mut run = plain(&["/t"]);
    change(&mut run);
    encode_plan(nonce(), &Plan { runs: vec![run] }).unwrap_err()
}

#[test]
fn what_a_plan_cannot_say_is_refused() {
    let doors = |count: u32| (0..count).map(|nr| Door { arch: 1, nr }).collect::<Vec<_>>();
    let variable = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];

    for text in ["a\nrun=plain", "a\0", "\r", "é", "\x7f"] {
        let byte = refused(|run| run.args.push(text.to_owned()));
        assert!(matches!(byte, EncodeError::Byte { .. }), "{text:?}");
        let byte = refused(|run| run.env = variable("A", text));
        assert!(matches!(byte, EncodeError::Byte { .. }), "{text:?}");
        refused(|run| run.env = variable(text, ""));
    }
    for deadline in [Duration::ZERO, Duration::from_micros(999), Duration::from_secs(86401)] {
        let problem = refused(|run| run.deadline = deadline);
        assert_eq!(problem, EncodeError::Deadline { run: 0, deadline });
    }
    let problem = refused(|run| run.args.clear());
    assert_eq!(problem, EncodeError::Args { run: 0, count: 0 });
    let problem = refused(|run| run.args.extend(vec![String::new(); 32]));
    assert_eq!(problem, EncodeError::Args { run: 0, count: 33 });
    let problem = refused(|run| run.args[0] = "bin/t".to_owned());
    assert!(matches!(problem, EncodeError::Program { .. }));
    let problem = refused(|run| run.args.push("a".repeat(LONGEST_ARG + 1)));
    assert_eq!(problem, EncodeError::LongLine { run: 0, bytes: 4097 });
    for name in ["", "A=B"] {
        let problem = refused(|run| run.env = variable(name, ""));
        assert!(matches!(problem, EncodeError::EnvName { .. }));
    }
    let problem = refused(|run| run.env = [variable("A", "1"), variable("A", "2")].concat());
    assert!(matches!(problem, EncodeError::EnvName { .. }));
    let problem = refused(|run| run.env = vec![(String::new(), String::new()); 33]);
    assert_eq!(problem, EncodeError::Envs { run: 0, count: 33 });
    let problem = refused(|run| run.doors = doors(1));
    assert_eq!(problem, EncodeError::Doors { run: 0, mode: Mode::Plain, count: 1 });
    for count in [0, 17] {
        let problem = refused(|run| *run = traced(&["/t"], &doors(count)));
        let count = count as usize;
        assert_eq!(problem, EncodeError::Doors { run: 0, mode: Mode::Traced, count });
    }
    let problem = refused(|run| *run = traced(&["/t"], &[DOOR_64, DOOR_64]));
    assert!(matches!(problem, EncodeError::DoorTwice { .. }));

    let runs = |count| encode_plan(nonce(), &Plan { runs: vec![plain(&["/t"]); count] });
    assert_eq!(runs(0), Err(EncodeError::Runs { count: 0 }));
    assert_eq!(runs(65), Err(EncodeError::Runs { count: 65 }));
    let long = plain(&["/t", &"a".repeat(4000)]);
    let problem = encode_plan(nonce(), &Plan { runs: vec![long; 17] });
    assert!(matches!(problem, Err(EncodeError::TooLong { .. })));
}

#[test]
fn nonces_are_written_and_read_one_way() {
    let text = nonce().to_string();
    assert_eq!(text, "101112131415161718191a1b1c1d1e1f");
    assert_eq!(text.parse(), Ok(nonce()));
    assert_eq!(Nonce::new([0; 16]), None);
    for wrong in ["", "10", &"0".repeat(32), &text.to_uppercase(), &format!("+{}", &text[1..])] {
        assert_eq!(wrong.parse::<Nonce>(), Err(NonceError), "{wrong}");
    }
}

#[test]
fn the_checksum_is_the_usual_one() {
    assert_eq!(crc32(0, b"123456789"), 0xcbf4_3926);
    assert_eq!(crc32(crc32(0, b"1234"), b"56789"), 0xcbf4_3926);
    assert_eq!(crc32(0, b""), 0);
}

#[test]
fn nothing_after_a_problem_counts() {
    let stream = vector("standard").stream;
    let mut decoder = Decoder::new(nonce(), &standard_plan());
    assert_eq!(decoder.push(b"boo").len(), 0);
    let results = decoder.push(&stream);
    assert_eq!(results.len(), 1);
    assert!(results[0].is_err());
    assert_eq!(decoder.push(&stream), []);
    assert_eq!(decoder.finish(), None);
}

#[test]
fn every_prefix_of_a_result_is_none() {
    let stream = vector("standard").stream;
    for length in 0..stream.len() {
        let results = decode(&standard_plan(), &stream[..length], usize::MAX);
        assert!(!is_result(&results), "the first {length} bytes");
    }
    assert!(is_result(&decode(&standard_plan(), &stream, usize::MAX)));
}

#[test]
fn every_flipped_bit_is_noticed() {
    let stream = vector("standard").stream;
    for bit in 0..stream.len() * 8 {
        let mut damaged = stream.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let results = decode(&standard_plan(), &damaged, usize::MAX);
        assert!(matches!(results.last(), Some(Err(_))), "bit {bit}: {results:?}");
    }
}

/// A run as an agent might report it, with what it was asked.
fn arb_run() -> impl Strategy<Value = (PlannedRun, Vec<(Stream, Vec<u8>)>, u64)> {
    let output = proptest::collection::vec(any::<u8>(), 1..300);
    let stream = prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)];
    let outputs = proptest::collection::vec((stream, output), 0..4);
    let planned = prop_oneof![Just(plain(&["/t"])), Just(traced(&["/t"], &[DOOR_64, DOOR_32]))];
    (planned, outputs, any::<u64>())
}

/// A sound stream, frame by frame, and the plan it answers.
fn arb_stream(nonce: Nonce) -> impl Strategy<Value = (Plan, Vec<Vec<u8>>)> {
    proptest::collection::vec(arb_run(), 1..4).prop_map(move |runs| {
        let mut encoder = GuestEncoder::new(nonce);
        let mut frames = vec![encoder.frame(&GuestMessage::Hello(hello()))];
        let mut plan = Plan { runs: Vec::new() };
        for (run, (planned, outputs, number)) in (0..).zip(runs) {
            let start = GuestMessage::Start { run, mode: planned.mode, pid: 2, tainted: number };
            frames.push(encoder.frame(&start));
            let sum = |wanted| {
                let lengths = outputs.iter().filter(|(stream, _)| *stream == wanted);
                lengths.map(|(_, bytes)| bytes.len() as u64).sum()
            };
            let end = RunEnd {
                run,
                outcome: Outcome::Exit { code: number as u8 },
                tainted_before: number,
                tainted_after: number,
                wall_us: number,
                user_us: 0,
                sys_us: 1,
                maxrss_kb: u64::MAX,
                stdout_bytes: sum(Stream::Stdout),
                stderr_bytes: sum(Stream::Stderr),
                leaked: 0,
                trace: (planned.mode == Mode::Traced).then(|| Trace {
                    syscalls: number,
                    entries: [DOOR_64, DOOR_32].map(|door| DoorEntries { door, count: number }).to_vec(),
                }),
            };
            for (stream, bytes) in outputs {
                frames.push(encoder.frame(&GuestMessage::Output { run, stream, bytes }));
                let beat = GuestMessage::Beat { run, uptime_ms: number, tainted: 0 };
                frames.push(encoder.frame(&beat));
            }
            frames.push(encoder.frame(&GuestMessage::End(end)));
            plan.runs.push(planned);
        }
        let runs = plan.runs.len() as u32;
        frames.push(encoder.bye(runs));
        (plan, frames)
    })
}

fn other_nonce() -> Nonce {
    Nonce::new([0x77; 16]).unwrap()
}

proptest! {
    #[test]
    fn sound_streams_are_results_however_cut(
        (plan, frames) in arb_stream(nonce()),
        size in 1..400_usize,
    ) {
        let stream = frames.concat();
        let whole = decode(&plan, &stream, usize::MAX);
        prop_assert!(is_result(&whole), "{whole:?}");
        prop_assert_eq!(whole.len(), frames.len());
        prop_assert_eq!(decode(&plan, &stream, size), whole);
    }

    #[test]
    fn damaged_streams_are_none(
        (plan, frames) in arb_stream(nonce()),
        (_, others) in arb_stream(other_nonce()),
        at in any::<Index>(),
        to in any::<Index>(),
        kind in 0..7,
    ) {
        let mut damaged = frames.clone();
        let (from, to) = (at.index(frames.len()), to.index(frames.len()));
        match kind {
            0 => { damaged.remove(from); }
            1 => damaged.insert(to, frames[from].clone()),
            2 => damaged.swap(from, to),
            3 => damaged[from] = others[from % others.len()].clone(),
            4 => damaged.insert(to, others[from % others.len()].clone()),
            5 => damaged.insert(to, b"x".to_vec()),
            _ => damaged.push(frames[from].clone()),
        }
        prop_assume!(damaged != frames);
        // A hello has no nonce, so one of another machine with the same content is the same.
        let results = decode(&plan, &damaged.concat(), usize::MAX);
        prop_assert!(!is_result(&results), "{results:?}");
    }

    #[test]
    fn cut_or_flipped_streams_are_none(
        (plan, frames) in arb_stream(nonce()),
        at in any::<Index>(),
        mask in 1..=255_u8,
    ) {
        let stream = frames.concat();
        let at = at.index(stream.len());
        prop_assert!(!is_result(&decode(&plan, &stream[..at], usize::MAX)));
        let mut damaged = stream;
        damaged[at] ^= mask;
        let results = decode(&plan, &damaged, usize::MAX);
        prop_assert!(matches!(results.last(), Some(Err(_))), "{results:?}");
    }

    #[test]
    fn any_bytes_are_survived(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        payload in proptest::collection::vec(any::<u8>(), 0..100),
        kind in 0..10_u8,
        size in 1..50_usize,
    ) {
        let mut stream = vector("standard").stream[..vector("standard").ends[2]].to_vec();
        stream.extend(put_frame(kind, 0, 3, nonce().0, &payload));
        stream.extend(&bytes);
        let whole = decode(&standard_plan(), &stream, usize::MAX);
        prop_assert_eq!(decode(&standard_plan(), &stream, size), whole);
        decode(&standard_plan(), &bytes, size);
    }

    #[test]
    fn plans_survive_any_text(arg in any::<String>(), name in any::<String>(), value in any::<String>()) {
        let mut run = plain(&["/t", &arg]);
        run.env = vec![(name, value)];
        if let Ok(frame) = encode_plan(nonce(), &Plan { runs: vec![run] }) {
            let lines = frame[HEADER_BYTES..].iter().filter(|byte| **byte == b'\n').count();
            prop_assert_eq!(lines, 6);
        }
    }
}
