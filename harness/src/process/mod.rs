//! Spawning, process groups, reaping: nothing that is started here outlives the run.
//!
//! Every child gets a process group of its own, an environment that is listed and not inherited,
//! `/dev/null` as its standard input, and SIGKILL when this process dies. What a direct child
//! leaves behind (make's makes) is the [`guard`]'s. Knows nothing of kernels or QEMU.
//!
//! All children are spawned from the thread that lives as long as the run (a current-thread
//! runtime on the main thread): the kernel sends `PR_SET_PDEATHSIG` when the *thread* ends.

mod clock;
pub mod guard;
mod stop;
pub mod terminal;

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

pub use clock::Clock;
pub use guard::Guard;
pub use stop::{Pauses, Stop, StopLevel, StopSwitch};

use crate::broken::broken;
use crate::limits;
use crate::model::{Events, RunEvent};

/// What every stage needs to start something: whom to tell, when to stop, who cleans up.
#[derive(Debug, Clone)]
pub struct Ctx {
    /// Whom to tell.
    pub events: Events,
    /// Whether the user wants it all to end.
    pub stop: Stop,
    /// Who ends the children if this process cannot.
    pub guard: Guard,
    /// The environment that children get: chosen by `xtask`, never the caller's own.
    pub env: Vec<(OsString, OsString)>,
}

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields mean")]
pub enum ProcessError {
    #[error("cannot start `{program}`: {source}")]
    Spawn { program: String, source: std::io::Error },
    #[error("`{argv}` {status}{}", tail_of(stderr))]
    Failed { argv: String, status: String, stderr: String },
    #[error("`{argv}` did not end within {} s", deadline.as_secs())]
    Deadline { argv: String, deadline: Duration },
    #[error("interrupted by {signal}")]
    Interrupted { signal: &'static str },
    #[error("cannot read what `{argv}` says: {source}")]
    Io { argv: String, source: std::io::Error },
}

fn tail_of(stderr: &str) -> String {
    let text = stderr.trim_end();
    if text.is_empty() { String::new() } else { format!(":\n{text}") }
}

/// A command to run: an argument vector, never a line for a shell.
#[derive(Debug)]
pub struct Cmd {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    dir: Option<PathBuf>,
    fds: Vec<OwnedFd>,
    deadline: Duration,
}

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output, the first [`limits::COMMAND_OUTPUT_BYTES`] of it.
    pub stdout: Vec<u8>,
    /// The last lines of its standard error.
    pub stderr: String,
}

impl Output {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// From which stream a line of output came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Cmd {
    /// A command that may take as long as a quick question does.
    pub fn new(program: impl AsRef<OsStr>) -> Cmd {
        Cmd {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            dir: None,
            fds: Vec::new(),
            deadline: limits::QUERY_DEADLINE,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Cmd {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Cmd {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Adds a variable to the listed environment.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Cmd {
        self.env.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Runs it in `dir`.
    #[must_use]
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Cmd {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }

    /// Lets the child inherit `fd` under its present number, which the arguments may name.
    #[must_use]
    pub fn inherit(mut self, fd: OwnedFd) -> Cmd {
        self.fds.push(fd);
        self
    }

    /// Ends it after `deadline`.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Cmd {
        self.deadline = deadline;
        self
    }

    /// The argument vector as a person could paste it.
    pub fn display(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.args);
        words.map(|word| quote(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
    }

    /// Starts it with both output streams piped. The caller has to end it.
    pub fn spawn(self, ctx: &Ctx) -> Result<Running, ProcessError> {
        let argv = self.display();
        let mut command = self.command(ctx);
        command.stdin(if broken("own-input") { Stdio::inherit() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        die_with_parent(&mut command, Signal::KILL, self.fds.iter().map(AsRawFd::as_raw_fd).collect());
        let child = command.spawn().map_err(|source| self.cannot_start(source))?;
        let group = child.id().and_then(|id| Pid::from_raw(id as i32));
        let entry = group.map(|group| ctx.guard.group(group));
        Ok(Running { child, group, argv, _guarded: entry })
    }

    /// What is common to all ways to start it.
    fn command(&self, ctx: &Ctx) -> Command {
        ctx.events.send(RunEvent::Command(self.display()));
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        if !broken("clean-environment") {
            command.env_clear();
        }
        command.envs(ctx.env.iter().map(|(k, v)| (k, v)));
        command.envs(self.env.iter().map(|(k, v)| (k, v)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
    }

    fn cannot_start(&self, source: std::io::Error) -> ProcessError {
        ProcessError::Spawn { program: self.program.to_string_lossy().into_owned(), source }
    }

    /// Runs it on this process's terminal, with its three streams and in its group, for as long as it
    /// likes. What is typed there is its own: the caller does not take Ctrl-C for a wish that all ends.
    /// If this process is to end, or does, it gets SIGTERM, so that it can leave the terminal as it was.
    pub async fn on_terminal(self, ctx: &Ctx) -> Result<ExitStatus, ProcessError> {
        let argv = self.display();
        let mut command = self.command(ctx);
        command.kill_on_drop(true);
        die_with_parent(&mut command, Signal::TERM, Vec::new());
        let mut child = command.spawn().map_err(|source| self.cannot_start(source))?;
        let io = |source| ProcessError::Io { argv, source };
        let mut stop = ctx.stop.clone();
        tokio::select! {
            ended = child.wait() => return ended.map_err(io),
            _ = stop.wanted() => {}
        }
        if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id as i32)) {
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(limits::TERM_GRACE, child.wait()).await.is_err() {
            child.kill().await.map_err(io)?;
        }
        Err(ProcessError::Interrupted { signal: stop.level().signal() })
    }

    /// Runs it to its end; a status other than 0 is an error with its last words.
    pub async fn output(self, ctx: &Ctx) -> Result<Output, ProcessError> {
        let argv = self.display();
        let output = self.status(ctx).await?;
        if output.status.success() {
            return Ok(output);
        }
        let status = describe(output.status);
        Err(ProcessError::Failed { argv, status, stderr: output.stderr })
    }

    /// Runs it to its end, whatever the status.
    pub async fn status(self, ctx: &Ctx) -> Result<Output, ProcessError> {
        let mut stdout = Vec::new();
        let mut stderr = Tail::new(limits::QEMU_STDERR_BYTES);
        let status = self
            .stream(ctx, |stream, bytes| match stream {
                Stream::Out => {
                    let room = limits::COMMAND_OUTPUT_BYTES.saturating_sub(stdout.len());
                    stdout.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
                Stream::Err => stderr.push(bytes),
            })
            .await?;
        Ok(Output { status, stdout, stderr: stderr.text() })
    }

    /// Runs it to its end and hands over what it says as it comes.
    pub async fn stream(
        self,
        ctx: &Ctx,
        mut sink: impl FnMut(Stream, &[u8]),
    ) -> Result<ExitStatus, ProcessError> {
        let deadline = self.deadline;
        let mut running = self.spawn(ctx)?;
        let argv = running.argv.clone();
        let group = running.group;
        let ended = {
            let pump = running.pump(&mut sink);
            tokio::pin!(pump);
            let (mut stop, mut pauses) = (ctx.stop.clone(), ctx.stop.pauses());
            let (mut clock, mut tick) = (Clock::start(), tokio::time::interval(limits::TICK));
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    pumped = &mut pump => break pumped.map_err(|source| ProcessError::Io { argv, source }),
                    _ = tick.tick() => if clock.passed() >= deadline {
                        break Err(ProcessError::Deadline { argv, deadline });
                    },
                    paused = pauses.next() => {
                        signal_group(group, if paused { Signal::STOP } else { Signal::CONT });
                    }
                    level = stop.wanted() => break Err(ProcessError::Interrupted { signal: level.signal() }),
                }
            }
        };
        // Also after a normal end: a grandchild may hold the group open.
        running.end(&ctx.stop).await;
        ended
    }
}

/// A child that is running.
#[derive(Debug)]
pub struct Running {
    child: Child,
    group: Option<Pid>,
    argv: String,
    _guarded: Option<guard::Guarded>,
}

impl Running {
    /// The process id, which is also its group's.
    pub fn pid(&self) -> Option<i32> {
        self.group.map(|pid| pid.as_raw_nonzero().get())
    }

    /// The argument vector as a person could paste it.
    pub fn argv(&self) -> &str {
        &self.argv
    }

    /// Its standard output, once.
    pub fn take_stdout(&mut self) -> Option<tokio::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Its standard error, once.
    pub fn take_stderr(&mut self) -> Option<tokio::process::ChildStderr> {
        self.child.stderr.take()
    }

    /// Waits for the end of the child itself. Safe to be cancelled and called again.
    pub async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    async fn pump(&mut self, sink: &mut impl FnMut(Stream, &[u8])) -> std::io::Result<ExitStatus> {
        let (mut out, mut err) = (self.child.stdout.take(), self.child.stderr.take());
        let (mut out_buf, mut err_buf) = (vec![0; 1 << 16], vec![0; 1 << 14]);
        let mut status = None;
        loop {
            tokio::select! {
                n = read(&mut out, &mut out_buf), if out.is_some() => match n? {
                    0 => out = None,
                    n => sink(Stream::Out, &out_buf[..n]),
                },
                n = read(&mut err, &mut err_buf), if err.is_some() => match n? {
                    0 => err = None,
                    n => sink(Stream::Err, &err_buf[..n]),
                },
                ended = self.child.wait(), if status.is_none() => status = Some(ended?),
                // A grandchild may hold the pipes after the child has ended.
                () = tokio::time::sleep(limits::TERM_GRACE), if status.is_some() => break,
                else => break,
            }
            if let (Some(status), None, None) = (status, &out, &err) {
                return Ok(status);
            }
        }
        match status {
            Some(status) => Ok(status),
            None => self.child.wait().await,
        }
    }

    /// Sends `signal` to the whole group.
    pub fn signal(&self, signal: Signal) {
        signal_group(self.group, signal);
    }

    /// Ends the group: SIGTERM, a grace, SIGKILL, and reaps the child. A second signal of the
    /// user's cuts the grace short.
    pub async fn end(&mut self, stop: &Stop) {
        self.signal(Signal::TERM);
        // What is suspended would hear it only later.
        self.signal(Signal::CONT);
        let grace = tokio::time::Instant::now() + limits::TERM_GRACE;
        let mut stop = stop.clone();
        tokio::select! {
            _ = self.child.wait() => {}
            () = tokio::time::sleep_until(grace) => {}
            () = stop.at_once() => {}
        }
        // Those of the group that outlived the child have the rest of the same grace.
        let at_once = |stop: &Stop| matches!(stop.level(), StopLevel::AtOnce(_));
        while !at_once(&stop) && self.group_alive() && tokio::time::Instant::now() < grace {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.signal(Signal::KILL);
        let _ = tokio::time::timeout(limits::KILL_GRACE, self.child.wait()).await;
    }

    fn group_alive(&self) -> bool {
        self.group.is_some_and(|group| rustix::process::test_kill_process_group(group).is_ok())
    }
}

impl Drop for Running {
    /// A future that is dropped in mid-wait must not leave a group behind.
    fn drop(&mut self) {
        if self.group_alive() {
            self.signal(Signal::KILL);
        }
    }
}

fn signal_group(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group.filter(|_| signal != Signal::KILL || !broken("kill")) {
        // Gone already is as good as ended.
        let _ = rustix::process::kill_process_group(group, signal);
    }
}

async fn read(from: &mut Option<impl AsyncRead + Unpin>, buf: &mut [u8]) -> std::io::Result<usize> {
    match from {
        Some(from) => from.read(buf).await,
        None => std::future::pending().await,
    }
}

/// Sends the child `death` when the thread that spawns it dies, and lets it keep `fds`.
fn die_with_parent(command: &mut Command, death: Signal, fds: Vec<RawFd>) {
    let parent = rustix::process::getpid();
    let death = (!broken("death-signal")).then_some(death);
    let prepare = move || {
        rustix::process::set_parent_process_death_signal(death)?;
        // The parent may have died before the line above took effect.
        if rustix::process::getppid() != Some(parent) {
            return Err(std::io::Error::from(rustix::io::Errno::CHILD));
        }
        for &fd in &fds {
            // SAFETY: the parent's `Cmd` owns the descriptor until `spawn` has returned, so that
            // the number is open in this forked child.
            let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
            rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes four kinds of bare system calls, all
    // async-signal-safe, and allocates nothing.
    unsafe { command.pre_exec(prepare) };
}

/// Makes the child the leader of a session, and with it of a group, of its own.
fn own_session(command: &mut std::process::Command) {
    let leave = || Ok(rustix::process::setsid().map(drop)?);
    // SAFETY: between fork and exec the closure makes one bare system call, which is
    // async-signal-safe, and allocates nothing.
    unsafe { std::os::unix::process::CommandExt::pre_exec(command, leave) };
}

/// A status in words: `exited with status 2`, `was killed by signal 9`.
pub fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    }
}

/// A word as a POSIX shell would read it back. For people to paste: the tool has no shell.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The words of a line that [`quote`] has made each of, as they were.
pub fn unquote(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut inside, mut between, mut chars) = (false, true, line.chars());
    while let Some(c) = chars.next() {
        if c == ' ' && !inside {
            between = true;
            continue;
        }
        if std::mem::take(&mut between) {
            words.push(String::new());
        }
        let word = words.last_mut().expect("a word has begun");
        match c {
            '\'' => inside = !inside,
            '\\' if !inside => word.extend(chars.next()),
            c => word.push(c),
        }
    }
    words
}

/// The last bytes of a stream.
#[derive(Debug)]
pub struct Tail {
    bytes: VecDeque<u8>,
    limit: usize,
}

impl Tail {
    /// Keeps `limit` bytes.
    pub fn new(limit: usize) -> Tail {
        Tail { bytes: VecDeque::new(), limit }
    }

    /// Takes more of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(self.limit)..];
        let excess = (self.bytes.len() + bytes.len()).saturating_sub(self.limit);
        self.bytes.drain(..excess);
        self.bytes.extend(bytes);
    }

    /// What was kept, as text.
    pub fn text(&self) -> String {
        let (a, b) = self.bytes.as_slices();
        String::from_utf8_lossy(&[a, b].concat()).into_owned()
    }
}

impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

#[cfg(test)]
mod tests;
