//! A QEMU that is played: started by the real code with the real arguments, it does what a script
//! says. The script is the file that `-initrd` names, one command per line; `#` starts a comment.
//!
//! | command | |
//! | --- | --- |
//! | `console TEXT`, `stderr TEXT` | writes a line; `\n`, `\xHH` and `\\` are understood |
//! | `hello`, `plan`, `close` | the agent's hello; reads the host's PLAN or CLOSE |
//! | `start RUN`, `out TEXT`, `end CODE`, `beat` | a run's frames |
//! | `run-all`, `bye`, `refuse REASON` | all runs of the plan with good reports; the last frames |
//! | `damage crc`, `damage magic`, `cut BYTES` | what becomes of the next frame |
//! | `nonce other` | goes on as another machine |
//! | `hold`, `release` | what lies between is written to the result port in one piece |
//! | `results TEXT` | bytes that are no frame |
//! | `monitor stubborn`, `monitor mute` | quit is not obeyed; the monitor does not even speak |
//! | `shutdown guest-reset` | QMP's event |
//! | `qmp TEXT`, `qmp-line BYTES`, `qmp-greetings COUNT` | more than a monitor should say |
//! | `flood console BYTES`, `flood results BYTES`, `flood stderr BYTES` | |
//! | `shut console`, `shut results`, `shut monitor` | closes a channel |
//! | `ignore-term` | SIGTERM means nothing from here on |
//! | `leave-behind`, `leave-behind stubborn` | a process that keeps everything open |
//! | `sleep MS`, `forever`, `exit CODE`, `segv` | |
//!
//! Beside the script a `.console` and a `.results` file get every byte that was written, and a
//! `.monitor` file every command that was heard. The program has other lives, by its first argument: see `main`.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use harness::boot::frames::{GuestEncoder, Nonce};
use harness::model::{Door, DoorEntries, GuestMessage, Hello, Mode, Outcome, RunEnd, Stream, Trace};
use harness::process::guard::{self, GUARD_ARG};
use rustix::process::Signal;

mod parent;

/// By its arguments: QEMU, or one of the other lives.
pub fn main() {
    let args: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
    match words.as_slice() {
        [GUARD_ARG] => guard::main(std::io::stdin()),
        ["parent", rest @ ..] => parent::main(rest),
        ["tree", marker, how, folder] => parent::tree(marker, how, Path::new(folder)),
        ["left-behind", _marker, how, folder] => parent::left_behind(how, Path::new(folder)),
        words => play(words),
    }
}

/// The value of the option `name` that begins with `prefix`, without it.
fn option<'a>(words: &[&'a str], name: &str, prefix: &str) -> &'a str {
    let pairs = words.windows(2).filter(|pair| pair[0] == name);
    let mut values = pairs.filter_map(|pair| pair[1].strip_prefix(prefix));
    values.next().unwrap_or_else(|| panic!("no {name} {prefix}… in {words:?}"))
}

fn channel(words: &[&str], id: &str) -> UnixStream {
    let fd = option(words, "-chardev", &format!("socket,id={id},fd=")).parse().unwrap();
    // SAFETY: the parent lets this process inherit the descriptor under this number, and nothing
    // else in this process knows of it.
    unsafe { OwnedFd::from_raw_fd(fd) }.into()
}

fn play(words: &[&str]) {
    let path = PathBuf::from(option(words, "-initrd", ""));
    let script = std::fs::read_to_string(&path).unwrap();
    let sent = |name: &str| File::create(path.with_extension(name)).unwrap();
    let mut player = Player {
        name: option(words, "-name", "").to_owned(),
        console: Some(channel(words, "console")),
        console_sent: sent("console"),
        results: Some(channel(words, "results")),
        results_sent: sent("results"),
        monitor: Some(channel(words, "qmp")),
        stubborn: Arc::new(AtomicBool::new(false)),
        encoder: encoder(0xaa),
        plan: Vec::new(),
        open: None,
        runs: 0,
        damage: None,
        held: None,
    };
    let mute = script.lines().any(|line| line.trim() == "monitor mute");
    if !mute {
        player.serve_monitor(sent("monitor"));
    }
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        player.act(command, rest);
    }
}

fn encoder(nonce: u8) -> GuestEncoder {
    GuestEncoder::new(Nonce::new([nonce; 16]).unwrap())
}

fn hello() -> GuestMessage {
    GuestMessage::Hello(Hello {
        machine: "x86_64".to_owned(),
        release: "6.12.0-fake".to_owned(),
        version: "#1 SMP".to_owned(),
        boot_id: "6e8d2a3c-5f90-4f0b-8b3a-0a1b2c3d4e5f".to_owned(),
        tainted: 0,
        cpus: 1,
        smap: true,
        smep: true,
        mem_kb: 240_000,
    })
}

/// A run of the plan.
struct Planned {
    mode: Mode,
    args: Vec<String>,
    doors: Vec<Door>,
}

impl Planned {
    /// What the program of this run says when all is well.
    fn report(&self) -> String {
        let number = self.args.iter().find_map(|arg| arg.strip_prefix("nr="));
        let cases = match number {
            // On a control leg the probe fills the arguments in three ways.
            Some(number) if self.args.iter().any(|arg| arg == "expect=enosys") => {
                (1..=3).map(|way| format!("number {number} gives -ENOSYS, way {way}")).collect()
            }
            Some(number) => vec![format!("number {number} is wired")],
            None => vec!["works".to_owned()],
        };
        let lines: String = (1..).zip(&cases).map(|(index, case)| format!("ok {index} {case}\n")).collect();
        format!("KTAP version 1\n1..{}\n{lines}", cases.len())
    }
}

/// The run between START and END.
struct Open {
    run: u16,
    trace: Option<Trace>,
    stdout_bytes: u64,
}

enum Damage {
    Crc,
    Magic,
    Cut(usize),
}

struct Player {
    name: String,
    console: Option<UnixStream>,
    console_sent: File,
    results: Option<UnixStream>,
    results_sent: File,
    monitor: Option<UnixStream>,
    stubborn: Arc<AtomicBool>,
    encoder: GuestEncoder,
    plan: Vec<Planned>,
    open: Option<Open>,
    runs: u32,
    damage: Option<Damage>,
    held: Option<Vec<u8>>,
}

impl Player {
    fn act(&mut self, command: &str, rest: &str) {
        let number = || rest.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
        match command {
            "console" => self.say(&[&unescape(rest)[..], b"\n"].concat()),
            "stderr" => std::io::stderr().write_all(&[&unescape(rest)[..], b"\n"].concat()).unwrap(),
            "hello" => self.message(&hello()),
            "plan" => self.read_plan(),
            "close" => drop(self.read_frame()),
            "start" => self.start(number() as u16),
            "out" => self.out(&unescape(rest)),
            "end" => self.end(number() as u8),
            "beat" => {
                let run = self.open.as_ref().unwrap().run;
                self.message(&GuestMessage::Beat { run, uptime_ms: 1, tainted: 0 });
            }
            "run-all" => self.run_all(),
            "bye" => {
                let bye = self.encoder.bye(self.runs);
                self.frame(bye);
            }
            "refuse" => self.message(&GuestMessage::Refuse { reason: rest.to_owned(), line: 1 }),
            "damage" => self.damage = Some(if rest == "crc" { Damage::Crc } else { Damage::Magic }),
            "cut" => self.damage = Some(Damage::Cut(number() as usize)),
            "nonce" => self.become_machine(encoder(0xbb)),
            "hold" => self.held = Some(Vec::new()),
            "release" => {
                let held = self.held.take().unwrap();
                self.write_results(&held);
            }
            "results" => self.write_results(&unescape(rest)),
            "monitor" if rest == "mute" => {}
            "monitor" => self.stubborn.store(true, Ordering::Relaxed),
            "shutdown" => self.monitor_says(&shutdown(true, rest)),
            "qmp" => self.monitor_says(&[&unescape(rest)[..], b"\r\n"].concat()),
            "qmp-line" => self.monitor_says(&vec![b'x'; number() as usize]),
            "qmp-greetings" => self.monitor_says(&b"{\"QMP\":{}}\n".repeat(number() as usize)),
            "flood" => self.flood(rest.split(' ').next().unwrap(), number()),
            "shut" => match rest {
                "console" => self.console = None,
                "results" => self.results = None,
                _ => {
                    // The thread that serves it has a copy.
                    let monitor = self.monitor.take().unwrap();
                    monitor.shutdown(std::net::Shutdown::Both).unwrap();
                }
            },
            "ignore-term" => parent::ignore_term(),
            "leave-behind" => {
                let how = if rest.is_empty() { "plain" } else { rest };
                let own = std::env::current_exe().unwrap();
                drop(Command::new(own).args(["left-behind", &self.name, how, "/"]).spawn().unwrap());
            }
            "sleep" => std::thread::sleep(Duration::from_millis(number())),
            "forever" => parent::forever(),
            "exit" => std::process::exit(number() as i32),
            "segv" => loop {
                // The first one only removes the handler of Rust's runtime.
                rustix::process::kill_process(rustix::process::getpid(), Signal::SEGV).unwrap();
            },
            other => panic!("unknown command {other:?}"),
        }
    }

    fn say(&mut self, bytes: &[u8]) {
        // The copy first: what is sent may be the end of this process.
        self.console_sent.write_all(bytes).unwrap();
        self.console.as_mut().unwrap().write_all(bytes).unwrap();
    }

    fn write_results(&mut self, bytes: &[u8]) {
        match &mut self.held {
            Some(held) => held.extend(bytes),
            None => {
                self.results_sent.write_all(bytes).unwrap();
                self.results.as_mut().unwrap().write_all(bytes).unwrap();
            }
        }
    }

    fn message(&mut self, message: &GuestMessage) {
        let frame = self.encoder.frame(message);
        self.frame(frame);
    }

    fn frame(&mut self, mut bytes: Vec<u8>) {
        match self.damage.take() {
            Some(Damage::Crc) => *bytes.last_mut().unwrap() ^= 1,
            Some(Damage::Magic) => bytes[0] = b'Z',
            Some(Damage::Cut(at)) => bytes.truncate(at),
            None => {}
        }
        self.write_results(&bytes);
    }

    /// Takes another nonce: HELLO, which has none, was the stream's first frame.
    fn become_machine(&mut self, encoder: GuestEncoder) {
        self.encoder = encoder;
        self.encoder.frame(&hello());
    }

    fn read_frame(&mut self) -> (Vec<u8>, Vec<u8>) {
        let results = self.results.as_mut().unwrap();
        let mut header = vec![0; 36];
        results.read_exact(&mut header).unwrap();
        let length = u32::from_le_bytes(header[12..16].try_into().unwrap());
        let mut payload = vec![0; length as usize];
        results.read_exact(&mut payload).unwrap();
        (header, payload)
    }

    fn read_plan(&mut self) {
        let (header, payload) = self.read_frame();
        for line in String::from_utf8(payload).unwrap().lines() {
            match line.split_once('=') {
                Some(("run", mode)) => {
                    let mode = if mode == "plain" { Mode::Plain } else { Mode::Traced };
                    self.plan.push(Planned { mode, args: Vec::new(), doors: Vec::new() });
                }
                Some(("arg", arg)) => self.plan.last_mut().unwrap().args.push(arg.to_owned()),
                Some(("door", door)) => {
                    let (arch, nr) = door.split_once(':').unwrap();
                    let arch = u32::from_str_radix(arch, 16).unwrap();
                    let door = Door { arch, nr: nr.parse().unwrap() };
                    self.plan.last_mut().unwrap().doors.push(door);
                }
                _ => {}
            }
        }
        let nonce = Nonce::new(header[16..32].try_into().unwrap()).unwrap();
        self.become_machine(GuestEncoder::new(nonce));
    }

    fn start(&mut self, run: u16) {
        let planned = &self.plan[usize::from(run)];
        let mode = planned.mode;
        let entries = planned.doors.iter().map(|&door| DoorEntries { door, count: 1 }).collect();
        let trace = (mode == Mode::Traced).then_some(Trace { syscalls: 10, entries });
        self.open = Some(Open { run, trace, stdout_bytes: 0 });
        self.message(&GuestMessage::Start { run, mode, pid: 2, tainted: 0 });
    }

    fn out(&mut self, bytes: &[u8]) {
        let open = self.open.as_mut().unwrap();
        open.stdout_bytes += bytes.len() as u64;
        let run = open.run;
        self.message(&GuestMessage::Output { run, stream: Stream::Stdout, bytes: bytes.to_vec() });
    }

    fn end(&mut self, code: u8) {
        let Open { run, trace, stdout_bytes } = self.open.take().unwrap();
        self.runs += 1;
        self.message(&GuestMessage::End(RunEnd {
            run,
            outcome: Outcome::Exit { code },
            tainted_before: 0,
            tainted_after: 0,
            wall_us: 1000,
            user_us: 1,
            sys_us: 1,
            maxrss_kb: 100,
            stdout_bytes,
            stderr_bytes: 0,
            leaked: 0,
            trace,
        }));
    }

    fn run_all(&mut self) {
        for run in 0..self.plan.len() {
            self.start(run as u16);
            let report = self.plan[run].report();
            self.out(report.as_bytes());
            self.end(0);
        }
    }

    fn flood(&mut self, what: &str, bytes: u64) {
        let piece = b"all work and no play makes a dull guest\n".repeat(1600);
        let mut rest = bytes as usize;
        while rest > 0 {
            let now = &piece[..piece.len().min(rest)];
            match what {
                "console" => self.say(now),
                "results" => self.out(now),
                _ => std::io::stderr().write_all(now).unwrap(),
            }
            rest -= now.len();
        }
    }

    fn monitor_says(&mut self, bytes: &[u8]) {
        self.monitor.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Greets, and answers as QEMU does.
    fn serve_monitor(&mut self, mut commands: File) {
        self.monitor_says(b"{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r\n");
        let mut monitor = self.monitor.as_ref().unwrap().try_clone().unwrap();
        let stubborn = self.stubborn.clone();
        std::thread::spawn(move || {
            let mut heard = Vec::new();
            let mut byte = [0];
            while monitor.read(&mut byte).is_ok_and(|n| n == 1) {
                heard.push(byte[0]);
                if byte[0] != b'\n' {
                    continue;
                }
                commands.write_all(&heard).unwrap();
                let line = String::from_utf8_lossy(&std::mem::take(&mut heard)).into_owned();
                if line.contains("info registers") {
                    let registers = b"{\"return\": \"CPU#0\\r\\nRIP=ffffffff81234567 RFL=00000046\", \"id\": \"registers\"}\r\n";
                    monitor.write_all(registers).unwrap();
                } else if !line.contains("\"quit\"") {
                    monitor.write_all(b"{\"return\": {}}\r\n").unwrap();
                } else if !stubborn.load(Ordering::Relaxed) {
                    monitor.write_all(b"{\"return\": {}}\r\n").unwrap();
                    monitor.write_all(&shutdown(false, "host-qmp-quit")).unwrap();
                    std::process::exit(0);
                }
            }
        });
    }
}

fn shutdown(by_guest: bool, reason: &str) -> Vec<u8> {
    let data = format!("{{\"guest\": {by_guest}, \"reason\": \"{reason}\"}}");
    format!("{{\"event\": \"SHUTDOWN\", \"data\": {data}}}\r\n").into_bytes()
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'\\', [b'n', after @ ..]) => {
                bytes.push(b'\n');
                rest = after;
            }
            (b'\\', [b'\\', after @ ..]) => {
                bytes.push(b'\\');
                rest = after;
            }
            (b'\\', [b'x', high, low, after @ ..]) => {
                let hex = [*high, *low];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
                rest = after;
            }
            _ => bytes.push(byte),
        }
    }
    bytes
}
