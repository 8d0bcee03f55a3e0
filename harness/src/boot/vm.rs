//! One guest's process: spawned, listened to, logged, ended.
//!
//! Every byte from the guest is in a log file before anything looks at it. The three channels are
//! socket pairs whose other ends QEMU inherits: no path, no port, no name to collide on. Over ssh the
//! third one's other end is a thread's, which carries an ssh session (see [`super::link`]).

use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use fs_err as fs;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, socketpair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc::Receiver;
use tokio::time::MissedTickBehavior;

use super::frames::{self, Decoder, Nonce};
use super::journal::Journal;
use super::link::{self, Bridge, SshAccess};
use super::qemu::{Channels, Guest};
use super::qmp::{self, Said};
use crate::broken::broken;
use crate::judge::watch::{Action, Deadlines, Event, Evidence, LinkFailure, Watch};
use crate::limits;
use crate::model::Plan;
use crate::process::{Clock, Cmd, Ctx, ProcessError, Running, StopLevel, Tail, describe};

/// Why a guest could not even be started.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields mean")]
pub enum VmError {
    #[error("cannot prepare the guest: {0}")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("the plan cannot be sent: {0}")]
    Plan(#[from] frames::EncodeError),
    #[error("this program was built without the ssh transport")]
    NoSsh,
}

/// The names of a guest's logs in its folder.
pub mod log {
    /// The kernel's console, raw.
    pub const CONSOLE: &str = "console.log";
    /// The agent's stream, raw.
    pub const RESULTS: &str = "results.bin";
    /// What QEMU itself complained of.
    pub const QEMU: &str = "qemu.log";
    /// The argument vector.
    pub const ARGV: &str = "argv";
    /// What was met on the way to a guest over ssh.
    pub const SSH: &str = "ssh.log";
    /// The registers of a guest that was ended for its silence.
    pub const REGISTERS: &str = "registers.log";
    /// What happened when: see [`crate::boot::journal`].
    pub const JOURNAL: &str = "journal";
}

/// Who is with a guest beside the harness. What it then does is not to be judged.
#[derive(Default)]
pub struct Company<'a> {
    /// Somebody at its console.
    pub seat: Option<Seat<'a>>,
    /// A listening socket for a debugger, which has to start the machine.
    pub gdb: Option<OwnedFd>,
}

/// A place at a guest's console.
pub struct Seat<'a> {
    /// What is typed there.
    pub keys: Receiver<Vec<u8>>,
    /// What is to be seen there.
    pub screen: Box<dyn FnMut(Shown<'_>) + 'a>,
}

/// Something to be seen at a guest's console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown<'a> {
    /// Bytes of it.
    Bytes(&'a [u8]),
    /// This process is about to be suspended, or has come back.
    Paused(bool),
}

/// Boots `guest`, has it run `plan`, and returns what was seen. The logs go to `folder`.
pub async fn run(
    ctx: &Ctx,
    guest: &Guest,
    plan: &Plan,
    deadlines: Deadlines,
    folder: &Path,
) -> Result<Evidence, VmError> {
    run_with(ctx, guest, plan, deadlines, folder, Company::default()).await
}

/// The same with somebody at the guest's console, or a debugger.
pub async fn run_with(
    ctx: &Ctx,
    guest: &Guest,
    plan: &Plan,
    deadlines: Deadlines,
    folder: &Path,
    company: Company<'_>,
) -> Result<Evidence, VmError> {
    if guest.ssh.is_some() && !link::BUILT {
        return Err(VmError::NoSsh);
    }
    let nonce = fresh_nonce()?;
    let request = frames::encode_plan(nonce, plan)?;
    fs::create_dir_all(folder)?;
    let (console, console_peer) = pair()?;
    let (results, results_peer) = pair()?;
    let (mut monitor, monitor_peer) = pair()?;
    let started = qmp::Command::OPENING.len() - usize::from(company.gdb.is_some());
    for command in &qmp::Command::OPENING[..started] {
        monitor.write_all(command.line()).await?;
    }
    // Over ssh it is not QEMU that has the other end, but the thread that carries the session.
    let (port, way) = match &guest.ssh {
        None => (Some(results_peer), None),
        Some(access) => {
            monitor.write_all(qmp::Command::Network.line()).await?;
            let (access, log) = (access.clone(), fs::File::create(folder.join(log::SSH))?);
            (None, Some(Way { access, socket: results_peer.into(), log, port: None }))
        }
    };
    let channels = Channels {
        console: console_peer.as_raw_fd(),
        results: port.as_ref().map(AsRawFd::as_raw_fd),
        qmp: monitor_peer.as_raw_fd(),
        gdb: company.gdb.as_ref().map(AsRawFd::as_raw_fd),
    };
    let mut command = Cmd::new(&guest.qemu).args(guest.args(channels));
    fs::write(folder.join(log::ARGV), format!("{}\n", command.display()))?;
    let logs = Logs::create(folder)?;
    let journal = Journal::begin(fs::File::create(folder.join(log::JOURNAL))?, nonce, deadlines)?;
    let clock = Clock::start();
    for inherited in [Some(console_peer), port, Some(monitor_peer), company.gdb].into_iter().flatten() {
        command = command.inherit(inherited);
    }
    let running = command.spawn(ctx)?;
    let mut session = Session {
        ctx,
        clock,
        running,
        console: Some(console),
        results: Some(results),
        monitor: Some(monitor),
        decoder: Decoder::new(nonce, plan),
        nonce,
        qmp: qmp::Reader::default(),
        watch: Watch::new(plan.runs.len(), deadlines),
        journal,
        logs,
        request,
        stderr: Tail::new(limits::QEMU_STDERR_BYTES),
        registers: None,
        way,
        bridge: None,
        seat: company.seat,
        ending: false,
    };
    session.listen().await?;
    if let Some(registers) = &session.registers {
        // What else was seen is worth more than this file.
        let _ = fs::write(folder.join(log::REGISTERS), registers);
    }
    session.journal.finish()?;
    Ok(session.watch.into_evidence())
}

struct Logs {
    console: fs::File,
    console_bytes: u64,
    results: fs::File,
    results_bytes: u64,
    qemu: fs::File,
}

impl Logs {
    fn create(folder: &Path) -> std::io::Result<Logs> {
        let create = |name: &str| fs::File::create(folder.join(name));
        Ok(Logs {
            console: create(log::CONSOLE)?,
            console_bytes: 0,
            results: create(log::RESULTS)?,
            results_bytes: 0,
            qemu: create(log::QEMU)?,
        })
    }
}

/// What the way to a guest over ssh begins with, until QEMU has told its port and the guest that it
/// listens there.
struct Way {
    port: Option<u16>,
    access: SshAccess,
    socket: std::os::unix::net::UnixStream,
    log: fs::File,
}

struct Session<'a> {
    ctx: &'a Ctx,
    clock: Clock,
    running: Running,
    console: Option<UnixStream>,
    results: Option<UnixStream>,
    monitor: Option<UnixStream>,
    decoder: Decoder,
    nonce: Nonce,
    qmp: qmp::Reader,
    watch: Watch,
    journal: Journal<fs::File>,
    logs: Logs,
    request: Vec<u8>,
    stderr: Tail,
    registers: Option<String>,
    way: Option<Way>,
    bridge: Option<Bridge>,
    seat: Option<Seat<'a>>,
    ending: bool,
}

impl Session<'_> {
    /// Listens until QEMU has ended and every stream was read to its end.
    async fn listen(&mut self) -> Result<(), VmError> {
        let mut err = self.running.take_stderr();
        let mut out = self.running.take_stdout();
        let (mut stop, mut pauses) = (self.ctx.stop.clone(), self.ctx.stop.pauses());
        let mut tick = tokio::time::interval(limits::TICK);
        // After a suspension one look is enough.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let [mut a, mut b, mut c, mut d, mut e] = [(); 5].map(|()| vec![0u8; 1 << 16]);
        let mut status = None;
        let mut drained = Instant::now();
        let mut ended_at: Option<Instant> = None;
        loop {
            let action = tokio::select! {
                n = read(&mut self.console, &mut a) => self.console_bytes(&a[..n])?,
                n = read(&mut self.results, &mut b) => self.result_bytes(&b[..n])?,
                n = read(&mut self.monitor, &mut c) => self.monitor_bytes(&c[..n])?,
                failure = ended(&mut self.bridge) => {
                    self.bridge = None;
                    failure.and_then(|failure| self.step(Event::Link(failure)))
                }
                n = read(&mut err, &mut d) => {
                    self.qemu_words(&d[..n])?;
                    err = err.filter(|_| n > 0);
                    None
                }
                n = read(&mut out, &mut e) => {
                    self.qemu_words(&e[..n])?;
                    out = out.filter(|_| n > 0);
                    None
                }
                ended = self.running.wait(), if status.is_none() => {
                    status = Some(ended?);
                    drained = Instant::now();
                    None
                }
                level = stop.wanted(), if !self.ending => self.step(Event::Stop(level.signal())),
                keys = typed(&mut self.seat) => {
                    self.type_keys(&keys).await;
                    None
                }
                paused = pauses.next() => {
                    self.show(Shown::Paused(paused));
                    // By the monitor: a guest whose process is stopped would find its clocks gone ahead.
                    self.command(if paused { qmp::Command::Stop } else { qmp::Command::Cont }).await;
                    None
                }
                _ = tick.tick() => self.step(Event::Tick),
            };
            match action {
                Some(Action::SendPlan) => {
                    let request = std::mem::take(&mut self.request);
                    self.send(&request).await;
                }
                Some(Action::SendClose) => {
                    let close = frames::encode_close(self.nonce);
                    self.send(&close).await;
                }
                Some(Action::EndVm) => {
                    self.end().await;
                    ended_at = Some(Instant::now());
                }
                None => {}
            }
            self.go_over_ssh()?;
            // The monitor too: why the machine stopped is the last thing that it says.
            let channels = [&self.console, &self.results, &self.monitor];
            let open = channels.iter().any(|channel| channel.is_some()) || err.is_some() || out.is_some();
            // A process that QEMU left behind could hold its streams open for ever.
            let given_up = drained.elapsed() > limits::TERM_GRACE;
            if status.is_none() && ended_at.is_some_and(|at| at.elapsed() > limits::KILL_GRACE) {
                // In uninterruptible sleep: nothing more can be done about it from here.
                let how = "could not be killed".to_owned();
                self.step(Event::Exit { how, success: false, stderr: self.stderr.text() });
                return Ok(());
            }
            if given_up && status.is_some() && self.take_what_is_there()? {
                drained = Instant::now();
                continue;
            }
            if let Some(status) = status
                && (!open || given_up)
            {
                let event = Event::Exit {
                    how: describe(status),
                    success: status.success(),
                    stderr: self.stderr.text(),
                };
                self.step(event);
                self.running.end(&self.ctx.stop).await;
                return Ok(());
            }
        }
    }

    /// Reads what lies in the streams now, past a runtime that may not have looked for a while: a
    /// late oops is not left there unread. Whether there was anything.
    fn take_what_is_there(&mut self) -> Result<bool, VmError> {
        let mut bytes = vec![0u8; 1 << 16];
        let mut look = |stream: &Option<UnixStream>| {
            let stream = stream.as_ref()?;
            let n = rustix::net::recv(stream, &mut bytes[..], RecvFlags::DONTWAIT).ok()?.0;
            (n > 0).then(|| bytes[..n].to_vec())
        };
        let (console, results) = (look(&self.console), look(&self.results));
        let before = self.logs.console_bytes + self.logs.results_bytes;
        if let Some(console) = &console {
            self.console_bytes(console)?;
        }
        if let Some(results) = &results {
            self.result_bytes(results)?;
        }
        // Beyond their limits there is nothing to wait for, whoever goes on writing.
        Ok(self.logs.console_bytes + self.logs.results_bytes > before)
    }

    /// The guest's age in whole milliseconds, as the journal has it.
    fn now(&mut self) -> Duration {
        Duration::from_millis(self.clock.passed().as_millis() as u64)
    }

    fn step(&mut self, event: Event<'_>) -> Option<Action> {
        let now = self.now();
        self.journal.event(now, &event);
        let ticked = event == Event::Tick;
        let action = self.watch.step(now, event);
        if ticked && action.is_some() {
            self.journal.tick(now);
        }
        action
    }

    fn console_bytes(&mut self, bytes: &[u8]) -> Result<Option<Action>, VmError> {
        if bytes.is_empty() {
            self.console = None;
            return Ok(None);
        }
        let room = limits::CONSOLE_BYTES.saturating_sub(self.logs.console_bytes) as usize;
        let kept = &bytes[..bytes.len().min(room)];
        self.logs.console.write_all(kept)?;
        self.logs.console_bytes += kept.len() as u64;
        self.show(Shown::Bytes(bytes));
        if broken("own-port") {
            return self.result_bytes(bytes);
        }
        let action = self.step(Event::Console(kept));
        // Whoever sits at it sees when it is too much.
        if kept.len() < bytes.len() && self.seat.is_none() {
            let over = Event::TooMuch { stream: "console", limit_bytes: limits::CONSOLE_BYTES };
            return Ok(self.step(over).or(action));
        }
        Ok(action)
    }

    fn result_bytes(&mut self, bytes: &[u8]) -> Result<Option<Action>, VmError> {
        let (mut action, now) = (None, self.now());
        if bytes.is_empty() {
            self.results = None;
            self.journal.results(now, bytes);
            if let Some(problem) = self.decoder.finish() {
                action = self.watch.step(now, Event::decoded(Err(problem)));
            }
            return Ok(action);
        }
        let room = limits::RESULT_BYTES.saturating_sub(self.logs.results_bytes) as usize;
        let kept = &bytes[..bytes.len().min(room)];
        self.logs.results.write_all(kept)?;
        self.logs.results_bytes += kept.len() as u64;
        if !kept.is_empty() {
            self.journal.results(now, kept);
        }
        for decoded in self.decoder.push(kept) {
            action = more_urgent(action, self.watch.step(now, Event::decoded(decoded)));
        }
        if kept.len() < bytes.len() {
            let over = Event::TooMuch { stream: "result port", limit_bytes: limits::RESULT_BYTES };
            action = more_urgent(action, self.step(over));
        }
        Ok(action)
    }

    fn monitor_bytes(&mut self, bytes: &[u8]) -> Result<Option<Action>, VmError> {
        if bytes.is_empty() {
            self.monitor = None;
            return Ok(None);
        }
        let mut action = None;
        for said in self.qmp.push(bytes) {
            match said {
                Said::Shutdown { by_guest, reason } => {
                    action = more_urgent(action, self.step(Event::Shutdown { by_guest, reason }));
                }
                Said::Registers(words) => self.registers = Some(words),
                Said::Network(words) => {
                    if let Some(way) = &mut self.way {
                        // Without one the agent will say that nobody came.
                        way.port = qmp::forwarded_port(&words);
                        writeln!(way.log, "QEMU's network:\n{words}")?;
                    }
                }
                Said::Greeting | Said::GuestPanicked | Said::Error(_) => {}
            }
        }
        Ok(action)
    }

    /// Once the port is known and the guest listens: somebody has to knock there.
    fn go_over_ssh(&mut self) -> Result<(), VmError> {
        let due = self.watch.listens() || self.clock.passed() >= limits::SSH_UNASKED;
        if let Some(Way { port: Some(port), access, socket, log }) =
            self.way.take_if(|way| due && way.port.is_some())
        {
            self.bridge = Some(Bridge::start(port, &access, socket, log)?);
        }
        Ok(())
    }

    fn qemu_words(&mut self, bytes: &[u8]) -> Result<(), VmError> {
        self.stderr.push(bytes);
        Ok(self.logs.qemu.write_all(bytes)?)
    }

    async fn command(&mut self, command: qmp::Command) {
        if let Some(monitor) = &mut self.monitor {
            // Bounded: a monitor that does not read must not hold up the guest's end.
            let _ = tokio::time::timeout(limits::TICK, monitor.write_all(command.line())).await;
        }
    }

    fn show(&mut self, what: Shown<'_>) {
        if let Some(seat) = &mut self.seat {
            (seat.screen)(what);
        }
    }

    async fn type_keys(&mut self, keys: &[u8]) {
        if let Some(console) = &mut self.console {
            // A guest that hangs takes no keys; they are lost then, as on any machine.
            let _ = tokio::time::timeout(limits::TICK, console.write_all(keys)).await;
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        if let Some(results) = &mut self.results {
            // A guest that does not read stalls; the state machine's clock sees to that.
            let _ = tokio::time::timeout(limits::TERM_GRACE, results.write_all(bytes)).await;
        }
    }

    /// Asks where the guest's processor is; QEMU answers also for one that spins.
    async fn ask_where(&mut self) {
        self.command(qmp::Command::Registers).await;
        let mut answer = vec![0u8; 1 << 14];
        let until = tokio::time::Instant::now() + limits::MONITOR_ANSWER;
        while self.registers.is_none() && self.monitor.is_some() {
            let read = tokio::time::timeout_at(until, read(&mut self.monitor, &mut answer)).await;
            let Ok(n) = read else { break };
            // What else it says is of no use any more.
            let _ = self.monitor_bytes(&answer[..n]);
        }
        if let Some(address) = self.registers.as_deref().and_then(qmp::instruction) {
            self.step(Event::At(address));
        }
    }

    /// Ends QEMU: by its monitor, which works while the guest spins, and then by signals.
    async fn end(&mut self) {
        self.ending = true;
        if let StopLevel::AtOnce(_) = self.ctx.stop.level() {
            self.running.signal(rustix::process::Signal::KILL);
            return;
        }
        if self.watch.fell_silent() && !broken("where-it-hung") {
            self.ask_where().await;
        }
        self.command(qmp::Command::Quit).await;
        let quit = tokio::time::timeout(Duration::from_millis(500), self.running.wait()).await;
        if quit.is_err() {
            self.running.end(&self.ctx.stop).await;
        }
    }
}

/// Of what one read has given rise to, the first; but the guest's end, which is never asked for
/// twice, before all else.
fn more_urgent(first: Option<Action>, next: Option<Action>) -> Option<Action> {
    if next == Some(Action::EndVm) { next } else { first.or(next) }
}

/// Reads some bytes; 0 at the end or on an error, which both mean that nothing more will come.
async fn read(from: &mut Option<impl tokio::io::AsyncRead + Unpin>, buf: &mut [u8]) -> usize {
    match from {
        Some(from) => from.read(buf).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}

/// Why the bridge has ended; never, if there is none.
async fn ended(bridge: &mut Option<Bridge>) -> Option<LinkFailure> {
    match bridge {
        Some(bridge) => bridge.ended().await,
        None => std::future::pending().await,
    }
}

/// The next keys; never, if nobody is there, or not any more.
async fn typed(seat: &mut Option<Seat<'_>>) -> Vec<u8> {
    let keys = match seat {
        Some(seat) => seat.keys.recv().await,
        None => None,
    };
    match keys {
        Some(keys) => keys,
        None => std::future::pending().await,
    }
}

fn pair() -> std::io::Result<(UnixStream, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let ours = std::os::unix::net::UnixStream::from(ours);
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs))
}

fn fresh_nonce() -> std::io::Result<Nonce> {
    let mut random = fs::File::open("/dev/urandom")?;
    loop {
        let mut bytes = [0u8; 16];
        std::io::Read::read_exact(&mut random, &mut bytes)?;
        if let Some(nonce) = Nonce::new(bytes) {
            return Ok(nonce);
        }
    }
}
