//! What each fuzz target does with its input. Public interfaces of the harness only.
//!
//! `cargo fuzz` and the plain test `tests/t0_fuzz_corpus.rs` call the same functions: each takes any
//! bytes and panics if what holds for all inputs does not hold for this one. Where a property needs
//! more choices (where to cut, where to insert), they are taken from the input's length.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::boot::frames::{Decoder, GuestEncoder, Nonce, encode_plan};
use harness::build::kconfig::{FinalConfig, Fragment, Tree, check, merge};
use harness::build::series::inspect::inspect;
use harness::judge::console::{Finding, Scanner, sanitize, tail};
use harness::judge::ktap::{self, Limits, Report};
use harness::judge::verdict::{Expectation, ExpectedRun, Role, Rules, judge};
use harness::judge::watch::{Deadlines, Event, Watch};
use harness::model::{Abi, Door, GuestMessage, Leg, Mode, Plan, PlannedRun, Verdict};
use harness::plan::files::{Patch, Project};
use harness::plan::mail::{is_man_page, order_folder, read_file, read_mbox};
use harness::plan::tables::{Generic, Tables};

/// A target's name, which is its folder's below `corpus/`, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 10] = [
    ("ktap", ktap),
    ("console", console),
    ("frames", frames),
    ("patch", patch),
    ("yaml", yaml),
    ("kconfig", kconfig),
    ("tables", tables),
    ("plan", plan),
    ("mbox", mbox),
    ("patch-git", patch_git),
];

/// Nothing that moves a cursor, hides or reorders text; what a report or a message may hold.
#[track_caller]
fn assert_shows(text: &str, of: &str) {
    let unseen = |c: &char| !matches!(c, ' '..='~' | '\t') && sanitize(c.to_string()) != c.to_string();
    assert_eq!(text.chars().find(unseen), None, "{of}: {text:?}");
}

/// Cuts `bytes` into chunks of at most `size` bytes.
fn chunks(bytes: &[u8], size: usize) -> impl Iterator<Item = &[u8]> {
    bytes.chunks(size.max(1))
}

/// The beginnings of all lines.
fn line_starts(bytes: &[u8]) -> Vec<usize> {
    let after = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(after).collect()
}

// ---- KTAP

fn passes(report: &Report) -> bool {
    let counts = report.counts();
    report.is_complete() && counts.ok > 0 && counts.ok == counts.total()
}

/// A program's standard output.
pub fn ktap(bytes: &[u8]) {
    let limits = Limits { cases: 200, ..Limits::default() };
    let report = ktap::parse(bytes, limits);
    let counts = report.counts();
    let leaves: Vec<_> = report.leaves().collect();
    assert_eq!(leaves.len(), counts.total());
    let names: BTreeSet<&str> = leaves.iter().map(|leaf| leaf.name.as_str()).collect();
    assert_eq!(names.len(), leaves.len(), "names are unique");
    for leaf in &leaves {
        assert!(!leaf.name.chars().any(char::is_control), "{:?}", leaf.name);
        assert!(leaf.name.len() <= 8 * 1100, "{} bytes of a name", leaf.name.len());
        let message = leaf.case.message.as_deref().unwrap_or_default();
        assert!(message.len() <= 3 * limits.message_bytes, "{} bytes of a message", message.len());
    }
    assert!(leaves.len() <= limits.cases && report.problems.len() <= 101);
    if report.is_complete() {
        assert_eq!(report.plan, Some(report.cases.len() as u64));
        assert!(report.bail.is_none() && report.problems.iter().all(|problem| !problem.is_fatal()));
    }
    serde_json::to_string(&report).expect("it is JSON");

    // What is complete is not so without its end.
    let cut = bytes.len() / 2;
    let part = ktap::parse(&bytes[..cut], limits);
    if report.is_complete() && part.is_complete() {
        assert_eq!(part.cases.len(), report.cases.len(), "the first {cut} bytes");
    }
    // A line that came between makes nothing better.
    let starts = line_starts(bytes);
    let at = starts[bytes.len() % starts.len()];
    for line in ["[   12.345678] usb 1-1: new device\n", "<6>[   12.345678][    T1] ok\n", "\0\x1b[2J\n"] {
        let text = [&bytes[..at], line.as_bytes(), &bytes[at..]].concat();
        let more = ktap::parse(&text, limits);
        assert!(passes(&report) || !passes(&more), "{line:?} at {at} makes it pass");
        assert!(more.counts().bad() <= counts.bad() || !passes(&report), "it is noticed");
    }
    // A failure at the end is never lost.
    let ended = bytes.is_empty() || bytes.ends_with(b"\n");
    if ended {
        let failed = ktap::parse(&[bytes, b"not ok 1 it\n"].concat(), limits);
        assert!(!passes(&failed), "a failure at the end is lost");
    }
}

// ---- the console

fn scan<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Finding>, u64) {
    let mut scanner = Scanner::new();
    chunks.into_iter().for_each(|chunk| scanner.push(chunk));
    scanner.finish();
    (scanner.findings().to_vec(), scanner.left_out())
}

/// A kernel's console.
pub fn console(bytes: &[u8]) {
    let whole = scan([bytes]);
    assert_eq!(whole, scan(chunks(bytes, 1 + bytes.len() % 7)), "chunks make a difference");
    let (findings, left_out) = whole;
    assert!(findings.len() <= 288);
    assert!(left_out == 0 || findings.len() >= 256);
    let lines = line_starts(bytes).len() as u64;
    for finding in &findings {
        assert!((1..=lines).contains(&finding.line));
        assert!(!finding.title.is_empty() && finding.title.chars().count() <= 400, "{}", finding.title);
        assert_shows(&finding.title, "a title");
        assert_shows(finding.frame.as_deref().unwrap_or_default(), "a frame");
        assert_shows(finding.task.as_deref().unwrap_or_default(), "a task");
        assert!(finding.text.chars().count() <= 1024 * 10 + 1);
    }
    assert!(findings.is_sorted_by_key(|finding| finding.line));
    serde_json::to_string(&findings).expect("it is JSON");
    for line in tail(bytes, 12) {
        assert_shows(&line, "a line of the tail");
    }

    // What was found in the first lines stays found.
    let starts = line_starts(bytes);
    let at = starts[bytes.len() % starts.len()];
    let (before, _) = scan([&bytes[..at]]);
    assert!(before.len() <= findings.len());
    for (early, late) in before.iter().zip(&findings) {
        assert_eq!((early.line, &early.text), (late.line, &late.text));
        assert!(early.fatal <= late.fatal && early.is_kernel_fault() <= late.is_kernel_fault());
    }
    // A program that writes to the log hides nothing.
    let text = [&bytes[..at], b"<14>[    1.000000] Kernel panic - not syncing: no\n", &bytes[at..]].concat();
    let (with, _) = scan([text.as_slice()]);
    let kinds = |findings: &[Finding]| findings.iter().map(|finding| finding.kind).collect::<Vec<_>>();
    assert_eq!(kinds(&with), kinds(&findings));
}

// ---- the result port, and the verdict over it

const DOOR: Door = Door { arch: 0xc000_003e, nr: 463 };

fn nonce() -> Nonce {
    Nonce::new([7; 16]).expect("not zero")
}

fn planned(mode: Mode) -> PlannedRun {
    PlannedRun {
        mode,
        deadline: Duration::from_secs(1),
        dir: None,
        args: vec!["/t".to_owned()],
        env: Vec::new(),
        doors: if mode == Mode::Traced { vec![DOOR] } else { Vec::new() },
    }
}

fn crc32(start: u32, bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!start, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

/// Frames as a hostile agent could make them: the input has, per frame, its type, its run, what is
/// to be wrong with it, two bytes of length and the payload. `DIGEST` in a payload becomes what a
/// BYE has to say, so that a sound stream can be found.
fn hostile_stream(mut input: &[u8]) -> Vec<u8> {
    let mut stream: Vec<u8> = Vec::new();
    let mut sequence = 0u32;
    while let [kind, run, wrong, low, high, rest @ ..] = input {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (payload, after) = rest.split_at(length);
        input = after;
        let mut payload = payload.to_vec();
        if let Some(at) = payload.windows(6).position(|six| six == b"DIGEST") {
            let digest = format!("{:08x}", crc32(0, &stream));
            payload.splice(at..at + 6, digest.bytes());
        }
        let none = *run == 255;
        let mut frame = b"ABX1".to_vec();
        frame.extend([*kind, u8::from(wrong & 1 != 0)]);
        frame.extend(if none { [255; 2] } else { [*run, 0] });
        frame.extend((sequence + u32::from(wrong & 2 != 0)).to_le_bytes());
        frame.extend((payload.len() as u32).to_le_bytes());
        frame.extend([if *kind == 1 { 0 } else { 7 } ^ (wrong & 4); 16]);
        let sum = crc32(crc32(0, &frame), &payload) ^ u32::from(wrong & 8);
        frame.extend(sum.to_le_bytes());
        frame.extend(payload);
        stream.extend(frame);
        sequence += 1;
    }
    stream.extend(input);
    stream
}

/// An agent's stream, from the first byte to the verdict.
pub fn frames(bytes: &[u8]) {
    let plan = Plan { runs: vec![planned(Mode::Plain), planned(Mode::Traced)] };
    let stream = hostile_stream(bytes);
    let decode = |size: usize| {
        let mut decoder = Decoder::new(nonce(), &plan);
        let mut results: Vec<_> = chunks(&stream, size).flat_map(|chunk| decoder.push(chunk)).collect();
        results.extend(decoder.finish().map(Err));
        results
    };
    let results = decode(stream.len());
    assert_eq!(results, decode(1 + bytes.len() % 7), "chunks make a difference");

    // One problem at most, and the last; each message has one way to be written.
    let mut encoder = GuestEncoder::new(nonce());
    let mut again = Vec::new();
    let (mut started, mut ended) = (0, 0);
    let mut said = None;
    for (at, result) in results.iter().enumerate() {
        match result {
            Err(problem) => {
                assert_eq!(at + 1, results.len(), "something after a problem");
                assert!(problem.offset <= stream.len() as u64);
                assert_shows(&problem.to_string(), "a problem");
            }
            Ok(message) => {
                assert_eq!(matches!(message, GuestMessage::Hello(_)), at == 0);
                started += usize::from(matches!(message, GuestMessage::Start { .. }));
                ended += usize::from(matches!(message, GuestMessage::End(_)));
                again.extend(encoder.frame(message));
                said = Some(message);
            }
        }
    }
    assert_eq!(again, stream[..again.len()], "a message that is written otherwise");
    let bye = matches!(said, Some(GuestMessage::Bye { .. })) && results.iter().all(Result::is_ok);
    if bye {
        assert_eq!(started, ended);
        assert_eq!(again.len(), stream.len());
    }

    // The watch and the judge over it: a pass takes the bye.
    let mut watch = Watch::new(plan.runs.len(), Deadlines::default());
    let mut now = Duration::ZERO;
    let mut step = |event| {
        now += Duration::from_millis(1);
        watch.step(now, event);
    };
    step(Event::Console(b"<5>[    0.000000] Linux version 6.12\n"));
    for result in &results {
        step(match result {
            Ok(message) => Event::Message(message.clone()),
            Err(problem) => Event::BadFrame { name: problem.kind.name(), text: problem.to_string() },
        });
    }
    step(Event::Shutdown { by_guest: true, reason: "guest-shutdown".to_owned() });
    step(Event::Exit { how: "exited with status 0".to_owned(), success: true, stderr: String::new() });
    let evidence = watch.into_evidence();
    let run = |role| {
        let (program, cases) = ("t".to_owned(), Vec::new());
        ExpectedRun { role, program, deadline_ms: 1000, rules: Rules::Cell, cases }
    };
    let expected = Expectation {
        leg: Leg::Patched,
        abi: Abi::M64,
        number: 463,
        table: "t.tbl".to_owned(),
        runs: vec![run(Role::Judged), run(Role::Traced)],
        known: Vec::new(),
        many: false,
        absent: Vec::new(),
        helpers: Vec::new(),
        not_applicable: Vec::new(),
    };
    let judged = judge(&expected, &evidence);
    assert_eq!(judged.verdict == Verdict::Pass, judged.cause.is_none());
    if judged.verdict == Verdict::Pass {
        assert!(bye && started == 2, "a pass without a sound bye");
        let Some(run) = evidence.runs.first() else { panic!("a pass without a run") };
        assert!(passes(&ktap::parse(&run.stdout, Limits::default())));
    }
}

// ---- a patch

/// A patch: whatever it says, nothing outside of the tree is named.
pub fn patch(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match inspect(&text) {
        Ok(found) => {
            assert!(found.paths().count() > 0);
            for path in found.paths() {
                assert!(!path.starts_with('/') && path.len() <= 256, "{path}");
                assert!(path.split('/').all(|part| !matches!(part, "" | "." | "..")), "{path}");
                assert!(!path.to_ascii_lowercase().split('/').any(|part| part == ".git"), "{path}");
                assert!(path.bytes().all(|byte| byte.is_ascii_graphic()), "{path:?}");
                let _ = found.hunk_at(path, 1);
            }
        }
        Err(refused) => {
            let message = refused.to_string();
            assert!(message.len() < 2000, "{} bytes of a message", message.len());
            assert_shows(&message, "a refusal");
        }
    }
}

/// A patch as git reads it: what git would touch is what the inspection has named. (`--numstat`
/// turns off the applying.)
pub fn patch_git(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(found) = inspect(&text) else { return };
    let mut git = Command::new("git")
        .args(["-c", "core.hooksPath=/dev/null", "apply", "--numstat", "-z", "-"])
        .current_dir("/")
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_DIR", "/dev/null")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("git is there");
    let mut stdin = git.stdin.take().expect("it is piped");
    // A git that refuses early reads no further.
    let _ = stdin.write_all(text.as_bytes());
    drop(stdin);
    let output = git.wait_with_output().expect("git ends");
    if !output.status.success() {
        return;
    }
    let ours: BTreeSet<&str> = found.paths().collect();
    // `ADDED TAB REMOVED TAB PATH NUL`, or for a rename an empty path, then NUL OLD NUL NEW NUL.
    for field in String::from_utf8_lossy(&output.stdout).split('\0') {
        let path = field.rsplit('\t').next().unwrap_or(field);
        assert!(path.is_empty() || ours.contains(path), "git would touch {path:?}, we saw {ours:?}");
    }
}

// ---- the files of a project

thread_local! {
    static PROJECT: RefCell<Option<tempfile::TempDir>> = const { RefCell::new(None) };
}

/// `kernel.yaml`, or `spec.yaml` if the first byte is `s`.
pub fn yaml(bytes: &[u8]) {
    let (is_spec, text) = match bytes {
        [b's', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    PROJECT.with_borrow_mut(|project| {
        let root = project.get_or_insert_with(|| new_project().expect("a folder for files")).path();
        let name =
            if is_spec { "kernels/linux-6.12/xyzzy/spec.yaml" } else { "kernels/linux-6.12/kernel.yaml" };
        std::fs::write(root.join(name), text).expect("the file is written");
        let project = Project::new(root.to_owned());
        let kernel = "linux-6.12".parse().expect("a name");
        let refused = if is_spec {
            project.spec(&kernel, &"xyzzy".parse().expect("a name")).map(|spec| spec_holds(root, &spec)).err()
        } else {
            project.kernel(&kernel).map(|kernel| kernel_holds(root, &kernel)).err()
        };
        if let Some(error) = refused {
            let message = error.to_string();
            assert!(message.len() < 4000, "{} bytes of a message", message.len());
            assert_eq!(message.lines().count(), 1, "{message}");
            assert_shows(&message, "an error");
        }
    });
}

fn new_project() -> std::io::Result<tempfile::TempDir> {
    let root = tempfile::tempdir()?;
    let folder = root.path().join("kernels/linux-6.12/xyzzy");
    std::fs::create_dir_all(&folder)?;
    std::fs::create_dir_all(root.path().join("configs"))?;
    for config in ["base.config", "qemu.config", "abi.config"] {
        std::fs::write(root.path().join("configs").join(config), "")?;
    }
    for patch in ["0001-a.patch", "0002-b.patch"] {
        std::fs::write(folder.join(patch), "")?;
    }
    Ok(root)
}

fn kernel_holds(root: &Path, kernel: &harness::plan::files::Kernel) {
    assert!(!kernel.fragments.is_empty());
    for fragment in &kernel.fragments {
        assert_eq!(fragment.parent(), Some(root.join("configs").as_path()));
    }
    for word in &kernel.command_line {
        assert!(word.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"',".contains(&byte)), "{word}");
    }
}

fn spec_holds(root: &Path, spec: &harness::plan::files::Spec) {
    assert!(!spec.patches.is_empty());
    let files = spec.patches.iter().filter_map(|patch| match patch {
        Patch::File(path) => Some(path),
        Patch::Text { .. } => None,
    });
    for patch in files.chain(&spec.man_page) {
        assert_eq!(patch.parent(), Some(root.join("kernels/linux-6.12/xyzzy").as_path()));
    }
    assert!(Abi::ALL.iter().all(|abi| spec.number(*abi).is_some_and(|n| (1..=0xffff).contains(&n))));
    assert!(spec.selftest.as_ref().is_some_and(|tests| !Path::new(tests.dir.as_str()).is_absolute()));
}

// ---- Kconfig

/// The text between NULs.
fn texts<const N: usize>(bytes: &[u8]) -> [String; N] {
    let mut parts = bytes.split(|byte| *byte == 0);
    std::array::from_fn(|_| String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned())
}

/// A Kconfig file, a fragment and a `.config`, with NULs between them.
pub fn kconfig(bytes: &[u8]) {
    let [kconfig, fragment, config] = texts::<3>(bytes);
    let tree = Tree::read(&Tree::X86, |path| match path {
        "Kconfig" => Some(kconfig.clone()),
        "arch/x86/Kconfig" => Some("config X86\n\tdef_bool y\n".to_owned()),
        _ => None,
    });
    assert!(tree.problems().len() <= 100);
    for problem in tree.problems() {
        assert!(problem.to_string().len() < 2000);
    }
    let (fragment, config) = match (Fragment::parse("f", &fragment), FinalConfig::parse(&config)) {
        (Ok(fragment), Ok(config)) => (fragment, config),
        (fragment, config) => {
            let errors = [fragment.err(), config.err()];
            for error in errors.iter().flatten() {
                assert!(error.to_string().len() < 2000);
            }
            return;
        }
    };
    let requested = merge(&[fragment]).expect("a fragment does not contradict itself");
    let rendered = requested.render();
    let again = Fragment::parse("f", &rendered).expect("what is written can be read");
    assert_eq!(merge(&[again]).expect("nor does what is written").render(), rendered);
    let kept = FinalConfig::parse(&rendered).expect("it is a .config");
    assert_eq!(check(&requested, &kept), []);

    let mut dropped = check(&requested, &config);
    let requests = requested.iter().filter(|(symbol, wanted)| {
        let got = config.get(symbol.as_str());
        wanted.value != *got
    });
    assert!(dropped.len() <= requests.count());
    tree.explain_all(&mut dropped, &config);
    for dropped in &dropped {
        assert!(dropped.reason.is_some());
        assert!(dropped.to_string().len() < 1 << 16);
    }
}

// ---- syscall tables

/// The 64-bit table, the 32-bit one and the generic one (or its header), with NULs between them.
pub fn tables(bytes: &[u8]) {
    let [t64, t32, table, header] = texts::<4>(bytes);
    let generic = if header.is_empty() { Generic::Table(&table) } else { Generic::Header(&header) };
    match Tables::parse(&t64, &t32, Some(generic)) {
        Ok(tables) => {
            let next = tables.next_free();
            for abi in Abi::ALL {
                assert!(tables.holder(next, abi).is_none(), "{next} is taken");
                for entry in tables.entries(abi) {
                    assert!(entry.number < 1 << 30);
                    let named = tables.lookup(&entry.name, abi).expect("what is listed is found");
                    assert_eq!(named.name, entry.name);
                    assert!(tables.holder(entry.number, abi).is_some());
                    assert!(tables.names().contains(entry.name.as_str()));
                }
            }
            for entry in tables.generic_entries() {
                assert!(tables.generic(&entry.name).is_some());
            }
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.len() < 2000, "{} bytes of a message", message.len());
        }
    }
}

// ---- mail

/// An mbox; its lines are the names of a folder, too.
pub fn mbox(bytes: &[u8]) {
    let said = match read_mbox(bytes) {
        Ok(series) => {
            assert!(!series.patches.is_empty());
            for (patch, number) in series.patches.iter().zip(1u32..) {
                assert_eq!(patch.number, number, "a gap");
                assert_eq!(patch.of as usize, series.patches.len());
                assert_shows(&patch.subject, "a subject");
                assert!(!patch.text.contains("\r\n"));
                let is_diff = |line: &str| line.starts_with("diff --git ") || line.starts_with("+++ ");
                assert!(patch.text.lines().any(is_diff), "no diff in {:?}", patch.text);
                is_man_page(&patch.text);
            }
            series.notes
        }
        Err(error) => vec![error.to_string()],
    };
    for line in said {
        assert!(line.len() < 8000, "{} bytes of a message", line.len());
        assert_shows(&line, "a message");
        assert_eq!(line.lines().count(), 1, "{line}");
    }
    if let Ok(file) = read_file("x", bytes) {
        assert!(file.place.is_none_or(|(number, of)| number <= of));
    }
    let names: Vec<String> = String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect();
    if let Ok((order, _)) = order_folder(&names) {
        assert!(!order.is_empty() && order.iter().all(|name| names.contains(name)));
        let mut once = order.clone();
        once.dedup();
        assert_eq!(once, order);
    }
}

// ---- the plan

/// A plan: each NUL-ended word is an argument, a variable if it has a `=` after the first word, the
/// working directory if it is `dir=…` before that, or the next run if it is empty.
pub fn plan(bytes: &[u8]) {
    let mut plan = Plan { runs: Vec::new() };
    for run in bytes.split(|byte| *byte == 1) {
        let mut planned = planned(if run.len() % 2 == 0 { Mode::Plain } else { Mode::Traced });
        planned.deadline = Duration::from_millis(1 + run.len() as u64);
        planned.args.clear();
        for word in run.split(|byte| *byte == 0) {
            let word = String::from_utf8_lossy(word).into_owned();
            match word.split_once('=') {
                Some((name, value)) if !planned.args.is_empty() => {
                    planned.env.push((name.to_owned(), value.to_owned()));
                }
                Some(("dir", value)) => planned.dir = Some(value.to_owned()),
                _ => planned.args.push(word),
            }
        }
        plan.runs.push(planned);
    }
    let Ok(frame) = encode_plan(nonce(), &plan) else { return };
    // A reader that knows nothing but lines gets back what was put in.
    let mut text = String::new();
    for run in &plan.runs {
        let mode = if run.mode == Mode::Plain { "plain" } else { "traced" };
        let _ = write!(text, "run={mode}\ndeadline_ms={}\n", run.deadline.as_millis());
        run.dir.iter().for_each(|dir| text += &format!("dir={dir}\n"));
        run.args.iter().for_each(|arg| text += &format!("arg={arg}\n"));
        run.env.iter().for_each(|(name, value)| text += &format!("env={name}={value}\n"));
        run.doors.iter().for_each(|door| text += &format!("door={:08x}:{}\n", door.arch, door.nr));
        text += "end\n";
    }
    assert_eq!(&frame[36..], text.as_bytes());
    let words: usize = plan
        .runs
        .iter()
        .map(|run| 3 + usize::from(run.dir.is_some()) + run.args.len() + run.env.len() + run.doors.len())
        .sum();
    assert_eq!(text.lines().count(), words, "a word became a line of its own");
    assert!(text.len() <= 65536 && text.bytes().all(|byte| matches!(byte, b'\n' | 0x20..=0x7e)));
}
