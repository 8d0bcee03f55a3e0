//! The life of one guest as a state machine: events with their times in, actions and evidence out.
//!
//! It decides when to send the plan, when to stop waiting, and what was seen; it does not decide
//! what that means (see [`super::verdict`]). Time is an argument: the time since QEMU was spawned.
//!
//! ```text
//! booting ──hello──► running ──bye──► leaving ──exit──► over
//!    └─ deadline        └─ stall         └─ deadline
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::console::{Finding, Kind, Scanner, sanitize};
use crate::broken::broken_one;
use crate::limits;
use crate::model::{GuestMessage, Hello, RunEnd, Stream};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// Bytes of the kernel's console.
    Console(&'a [u8]),
    /// A frame of the agent's, decoded.
    Message(GuestMessage),
    /// The agent's stream broke the rules; nothing after it counts.
    BadFrame {
        /// The name of the violation (`second-hello`, `crc`, …).
        name: &'static str,
        /// In words, with the offset.
        text: String,
    },
    /// QEMU said why the machine stops.
    Shutdown {
        /// Whether the guest did it itself.
        by_guest: bool,
        /// QEMU's word (`guest-shutdown`, `guest-reset`, `guest-panic`, …).
        reason: String,
    },
    /// A stream grew beyond its limit.
    TooMuch {
        /// Which one.
        stream: &'static str,
        /// The limit.
        limit_bytes: u64,
    },
    /// QEMU has ended and all its streams were read to their ends.
    Exit {
        /// How, in words.
        how: String,
        /// Whether it was status 0.
        success: bool,
        /// The last of what QEMU itself complained of.
        stderr: String,
    },
    /// Where the processor of a guest is that is about to be ended.
    At(u64),
    /// The way to the agent over ssh is no more.
    Link(LinkFailure),
    /// Nothing but time.
    Tick,
    /// The user wants it to end.
    Stop(&'static str),
}

/// Why the way to the agent over ssh is no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkFailure {
    /// Somebody else answered than the guest that was started.
    #[error("the host key is not the guest's: {found} and not {expected}")]
    HostKey {
        /// The key that was made for the guest, in base64.
        expected: String,
        /// The one that was shown.
        found: String,
    },
    /// The key that was made for the guest is not there, or none.
    #[error("the key cannot be used: {detail}")]
    Key {
        /// Its file, and the words of libssh2.
        detail: String,
    },
    /// The guest's sshd did not take the key that was made for it.
    #[error("the key was refused: {detail}")]
    Refused {
        /// In the words of libssh2.
        detail: String,
    },
    /// A session that was up has ended.
    #[error("the connection was cut: {detail}")]
    Cut {
        /// In the words of libssh2.
        detail: String,
    },
}

/// What the machine wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send the plan to the agent.
    SendPlan,
    /// Tell the agent that its bye has arrived.
    SendClose,
    /// End QEMU.
    EndVm,
}

/// Why the harness ended a guest, if it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Abort {
    /// No hello in time.
    Boot {
        /// How long it was waited for.
        waited: Duration,
    },
    /// No frame for too long in the middle of the plan.
    Stall {
        /// Since when nothing was heard.
        silent: Duration,
    },
    /// A program did not end long after any deadline it can have had, while the agent's heart beat.
    Overrun {
        /// Its index in the plan.
        run: u16,
        /// Since its start.
        waited: Duration,
    },
    /// A panicked machine that did not reset.
    Panicked,
    /// The machine did not go off after bye.
    PowerOff {
        /// Since bye.
        waited: Duration,
    },
    /// A stream grew beyond its limit.
    TooMuch {
        /// Which one.
        stream: &'static str,
        /// The limit.
        limit_bytes: u64,
    },
    /// The agent's stream was no good any more.
    BadFrames,
    /// The guest can no longer be reached over ssh, and did not go off by itself either.
    Link,
    /// The user.
    Stop(&'static str),
}

impl Abort {
    fn name(&self) -> &'static str {
        match self {
            Abort::Boot { .. } => "boot",
            Abort::Stall { .. } => "stall",
            Abort::Overrun { .. } => "overrun",
            Abort::Panicked => "panicked",
            Abort::PowerOff { .. } => "power-off",
            Abort::TooMuch { .. } => "too-much",
            Abort::BadFrames => "bad-frames",
            Abort::Link => "link",
            Abort::Stop(_) => "stop",
        }
    }
}

/// What is known of one run of a program.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunEvidence {
    /// The agent said that it began.
    pub started: bool,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
    /// How it ended.
    pub end: Option<RunEnd>,
}

/// Everything that was seen of a guest.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// The agent's first words, and when they came.
    pub hello: Option<(Duration, Hello)>,
    /// The runs of the plan.
    pub runs: Vec<RunEvidence>,
    /// The agent would not do what it was asked.
    pub refused: Option<String>,
    /// When a sound bye came.
    pub bye: Option<Duration>,
    /// The first violation in the agent's stream: its name, and in words.
    pub bad_frame: Option<(&'static str, String)>,
    /// The console has shown the kernel's banner. One that has not may be silent about faults too.
    pub banner: bool,
    /// What the kernel said was wrong.
    pub findings: Vec<Finding>,
    /// How many findings came when that list was full.
    pub findings_left_out: u64,
    /// The last line of the console that is not blank, escaped.
    pub last_line: String,
    /// What the agent said on the console.
    pub agent_words: Option<String>,
    /// The agent has said on the console that it can be reached over ssh.
    pub listens: bool,
    /// Why it cannot be reached any more.
    pub link: Option<LinkFailure>,
    /// Why QEMU said the machine stopped: by the guest, and QEMU's word.
    pub shutdown: Option<(bool, String)>,
    /// How QEMU ended, whether with status 0, and its complaints.
    pub exit: Option<(String, bool, String)>,
    /// Why the harness ended it, if it did.
    pub abort: Option<Abort>,
    /// Where its processor was when it was ended for its silence, if QEMU could say.
    pub instruction: Option<u64>,
    /// The same as the name of a function, once somebody has looked it up.
    pub at: Option<String>,
    /// When QEMU's end was seen.
    pub over_at: Duration,
}

impl Evidence {
    /// The first finding of a kind that is the kernel's fault.
    pub fn kernel_fault(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.is_kernel_fault())
    }

    /// The first finding of this kind.
    pub fn finding(&self, kind: Kind) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.kind == kind)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Booting,
    Running,
    Leaving {
        since: Duration,
    },
    /// The harness has asked for QEMU's end.
    Ending,
    Over,
}

/// How long each phase may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadlines {
    /// From spawn to hello; over ssh also from the agent's word that it listens.
    pub boot: Duration,
    /// Between two frames of a running plan.
    pub stall: Duration,
    /// From bye to QEMU's end.
    pub power_off: Duration,
    /// From a panic, or the end of the connection to the agent, to QEMU's end.
    pub panic_drain: Duration,
    /// From the start of a program to its end, whatever its own deadline was.
    pub overrun: Duration,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines {
            boot: limits::BOOT_DEADLINE,
            stall: limits::STALL,
            power_off: limits::POWER_OFF_DEADLINE,
            panic_drain: limits::PANIC_DRAIN,
            overrun: RUN_MAX,
        }
    }
}

impl Deadlines {
    /// So many times as long: for a guest whose kernel checks itself.
    pub fn times(self, patience: u32) -> Deadlines {
        let Deadlines { boot, stall, power_off, panic_drain, overrun } = self;
        let [boot, stall, power_off, panic_drain] =
            [boot, stall, power_off, panic_drain].map(|deadline| deadline * patience);
        Deadlines { boot, stall, power_off, panic_drain, overrun }
    }

    /// While somebody is at the guest's console, who sees what it does: only once it has panicked, or is
    /// about to go off, there is nothing to stay for.
    pub fn of_a_shell() -> Deadlines {
        let never = Duration::MAX;
        Deadlines { boot: never, stall: never, overrun: never, ..Deadlines::default() }
    }

    /// While a debugger holds the guest: none of its clocks runs, and ours says nothing of it.
    pub fn of_a_debugger() -> Deadlines {
        let never = Duration::MAX;
        Deadlines { boot: never, stall: never, power_off: never, panic_drain: never, overrun: never }
    }
}

/// The machine.
#[derive(Debug)]
pub struct Watch {
    deadlines: Deadlines,
    phase: Phase,
    scanner: Scanner,
    line: Vec<u8>,
    heard: Duration,
    /// The run that is going on, and since when.
    going: Option<(u16, Duration)>,
    panicked: Option<Duration>,
    cut: Option<Duration>,
    tsc_lost: Option<Duration>,
    /// When the agent said that it can be reached over ssh.
    listened: Option<Duration>,
    evidence: Evidence,
}

/// The agent's mark on the console.
const AGENT_MARK: &str = "abimatrix-agent: ";
/// What the agent says when it can be reached over ssh.
const AGENT_LISTENS: &str = "abimatrix-agent note: listens for ssh";
/// What the kernel says first, in a line of its own.
const BANNER: &str = "Linux version ";
/// The agent ends a program at its deadline. That is the agent's word: a run that outlasts the
/// longest deadline there is has an agent, or a clock, that is not to be waited for.
const RUN_MAX: Duration = limits::TEST_DEADLINE_MAX.saturating_add(limits::AGENT_MARGIN);

impl Watch {
    /// A guest that was spawned this instant, with a plan of `runs` runs.
    pub fn new(runs: usize, deadlines: Deadlines) -> Watch {
        Watch {
            deadlines,
            phase: Phase::Booting,
            scanner: Scanner::new(),
            line: Vec::new(),
            heard: Duration::ZERO,
            going: None,
            panicked: None,
            cut: None,
            tsc_lost: None,
            listened: None,
            evidence: Evidence { runs: vec![RunEvidence::default(); runs], ..Evidence::default() },
        }
    }

    /// Whether QEMU has ended and nothing more can come.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Whether the agent has said that it can be reached over ssh.
    pub fn listens(&self) -> bool {
        self.evidence.listens
    }

    /// Whether the guest is ended for its silence, so that it is worth asking where it is.
    pub fn fell_silent(&self) -> bool {
        let silent = |abort: &Abort| match abort {
            Abort::Boot { .. } | Abort::Stall { .. } | Abort::PowerOff { .. } => true,
            Abort::Overrun { .. }
            | Abort::Panicked
            | Abort::TooMuch { .. }
            | Abort::BadFrames
            | Abort::Link
            | Abort::Stop(_) => false,
        };
        self.evidence.abort.as_ref().is_some_and(silent)
    }

    /// Takes one event.
    pub fn step(&mut self, now: Duration, event: Event<'_>) -> Option<Action> {
        if self.phase == Phase::Over {
            return None;
        }
        let action = match event {
            Event::Console(bytes) => {
                self.console(now, bytes);
                None
            }
            // Nothing after a violation counts.
            Event::Message(_) if self.evidence.bad_frame.is_some() => None,
            Event::Message(message) => self.message(now, message),
            Event::BadFrame { name, text } => {
                self.evidence.bad_frame.get_or_insert((name, text));
                // A stream that was cut off ended with its machine, and a dying kernel may take
                // its agent's stream with it: there is more to be heard than the stream can say.
                let dying = name == "truncated" || self.panicked.is_some();
                if dying { None } else { self.abort(Abort::BadFrames) }
            }
            Event::Shutdown { by_guest, reason } => {
                self.evidence.shutdown.get_or_insert((by_guest, reason));
                None
            }
            Event::TooMuch { stream, limit_bytes } => self.abort(Abort::TooMuch { stream, limit_bytes }),
            Event::Exit { how, success, stderr } => {
                self.evidence.exit = Some((how, success, stderr));
                self.evidence.over_at = now;
                self.phase = Phase::Over;
                None
            }
            Event::At(address) => {
                self.evidence.instruction.get_or_insert(address);
                None
            }
            Event::Link(failure) => self.link(now, failure),
            Event::Tick => None,
            Event::Stop(signal) => self.abort(Abort::Stop(signal)),
        };
        action.or_else(|| self.look_at_the_clock(now))
    }

    /// What was seen, once [`Watch::is_over`].
    pub fn into_evidence(mut self) -> Evidence {
        self.end_of_line();
        self.scanner.finish();
        self.evidence.findings = self.scanner.findings().to_vec();
        self.evidence.findings_left_out = self.scanner.left_out();
        self.evidence
    }

    fn console(&mut self, now: Duration, bytes: &[u8]) {
        let before = self.scanner.findings().len();
        self.scanner.push(bytes);
        for finding in &self.scanner.findings()[before..] {
            match finding.kind {
                // A kernel that says that it has no init may yet find one.
                Kind::Panic | Kind::NoInit | Kind::InitDied if finding.fatal => {
                    self.panicked.get_or_insert(now);
                }
                Kind::TscLost => {
                    self.tsc_lost.get_or_insert(now);
                }
                _ => {}
            }
        }
        for &byte in bytes {
            match byte {
                b'\n' => self.end_of_line(),
                b'\r' => {}
                // A line without an end is cut: its beginning is what tells.
                _ if self.line.len() < 1024 => self.line.push(byte),
                _ => {}
            }
        }
        if self.evidence.listens {
            self.listened.get_or_insert(now);
        }
    }

    fn end_of_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let text = sanitize(&line);
        if let Some((_, words)) = text.split_once(AGENT_MARK) {
            self.evidence.agent_words.get_or_insert(words.to_owned());
        }
        self.evidence.banner |= text.contains(BANNER);
        self.evidence.listens |= text.contains(AGENT_LISTENS);
        if !text.trim().is_empty() {
            self.evidence.last_line = text;
        }
    }

    fn message(&mut self, now: Duration, message: GuestMessage) -> Option<Action> {
        self.heard = now;
        match message {
            GuestMessage::Hello(hello) => {
                self.evidence.hello.get_or_insert((now, hello));
                if self.phase == Phase::Booting {
                    self.phase = Phase::Running;
                    return Some(Action::SendPlan);
                }
            }
            GuestMessage::Start { run, .. } => {
                self.going = Some((run, now));
                if let Some(run) = self.run(run) {
                    run.started = true;
                }
            }
            GuestMessage::Output { run, stream, bytes } => {
                if let Some(run) = self.run(run) {
                    match stream {
                        Stream::Stdout => run.stdout.extend_from_slice(&bytes),
                        Stream::Stderr => run.stderr.extend_from_slice(&bytes),
                    }
                }
            }
            GuestMessage::End(end) => {
                self.going = None;
                if let Some(run) = self.run(end.run) {
                    run.end = Some(end);
                }
            }
            GuestMessage::Beat { .. } => {}
            GuestMessage::Bye { .. } => {
                self.evidence.bye = Some(now);
                self.leave(now);
                return Some(Action::SendClose);
            }
            GuestMessage::Refuse { reason, line, .. } => {
                self.evidence.refused = Some(format!("{reason} (line {line} of the plan)"));
                self.leave(now);
                return Some(Action::SendClose);
            }
        }
        None
    }

    /// A connection that ends after bye has done its work. Before it, the console may have more to
    /// say than the connection did: a kernel that dies takes it along.
    fn link(&mut self, now: Duration, failure: LinkFailure) -> Option<Action> {
        if self.evidence.bye.is_some() || self.evidence.refused.is_some() {
            return None;
        }
        let cut = matches!(failure, LinkFailure::Cut { .. });
        self.evidence.link.get_or_insert(failure);
        self.cut.get_or_insert(now);
        if cut { None } else { self.abort(Abort::Link) }
    }

    fn run(&mut self, index: u16) -> Option<&mut RunEvidence> {
        self.evidence.runs.get_mut(usize::from(index))
    }

    fn leave(&mut self, now: Duration) {
        if self.phase != Phase::Ending {
            self.phase = Phase::Leaving { since: now };
        }
    }

    /// The first reason to end a guest is the one that counts.
    fn abort(&mut self, why: Abort) -> Option<Action> {
        if self.phase == Phase::Ending || self.phase == Phase::Over || broken_one("abort", why.name()) {
            return None;
        }
        self.phase = Phase::Ending;
        self.evidence.abort = Some(why);
        Some(Action::EndVm)
    }

    fn look_at_the_clock(&mut self, now: Duration) -> Option<Action> {
        let Deadlines { boot, stall, power_off, panic_drain, overrun } = self.deadlines;
        let since = |at: Duration| now.saturating_sub(at);
        if let Some(at) = self.panicked
            && since(at) >= panic_drain
        {
            return self.abort(Abort::Panicked);
        }
        if let Some(at) = self.cut
            && since(at) >= panic_drain
        {
            return self.abort(Abort::Link);
        }
        match self.phase {
            // An agent that listens for ssh has a time of its own for that, at whose end it would say so
            // if it lived. A boot that lost its clock may stop at any moment, or not: it gets a short wait.
            Phase::Booting
                if since(self.listened.unwrap_or_default()) >= boot
                    || self.tsc_lost.is_some_and(|at| since(at) >= power_off) =>
            {
                self.abort(Abort::Boot { waited: now })
            }
            Phase::Running if since(self.heard) >= stall => {
                self.abort(Abort::Stall { silent: since(self.heard) })
            }
            Phase::Running => match self.going {
                Some((run, at)) if since(at) >= overrun => {
                    self.abort(Abort::Overrun { run, waited: since(at) })
                }
                _ => None,
            },
            Phase::Leaving { since: at } if since(at) >= power_off => {
                self.abort(Abort::PowerOff { waited: since(at) })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
