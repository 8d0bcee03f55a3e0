//! An ssh connection to a guest, by libssh2: its host key pinned, no agent, no known_hosts, and of the
//! user's files none.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ssh2::{Channel, ErrorCode, Session};

use super::link::SshAccess;
use crate::broken::broken;
use crate::judge::watch::LinkFailure;
use crate::limits;

/// The command that is asked for; the guest runs its one command, whatever it is.
const COMMAND: &str = "relay";

/// Carries bytes between a session with the guest and `socket` until either ends. Returns why it
/// ended, if that was not the harness's doing.
pub(super) fn carry(
    port: u16,
    access: &SshAccess,
    socket: &UnixStream,
    log: &mut impl Write,
) -> Option<LinkFailure> {
    // The log helps people; that it cannot be written is no reason to lose a guest.
    let started = Instant::now();
    let mut note = |text: &str| drop(writeln!(log, "{:6} ms: {text}", started.elapsed().as_millis()));
    let mut wait = limits::SSH_ANSWER_FIRST;
    let mut open = loop {
        if ready([(socket, PollFlags::empty())], Duration::ZERO)[0] {
            return None;
        }
        match Open::connect(port, access, wait) {
            Ok(open) => break open,
            Err(Refusal::Again(why)) => note(&why),
            Err(Refusal::ForGood(failure)) => {
                note(&failure.to_string());
                return Some(failure);
            }
        }
        std::thread::sleep(wait / 5);
        wait = (wait * 2).min(limits::SSH_ANSWER_MAX);
    };
    note("the session is up");
    let ended = open.pump(socket);
    // Nothing is said goodbye to: the machine goes off.
    open.session.set_blocking(false);
    match ended {
        Ok(()) => None,
        Err(detail) => {
            note(&format!("the session ended: {detail}"));
            Some(LinkFailure::Cut { detail })
        }
    }
}

/// Why there is no session.
#[derive(Debug)]
enum Refusal {
    /// The guest may not be that far yet.
    Again(String),
    /// Another try would not help.
    ForGood(LinkFailure),
}

impl From<ssh2::Error> for Refusal {
    fn from(error: ssh2::Error) -> Refusal {
        Refusal::Again(error.to_string())
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Refusal {
        Refusal::Again(error.to_string())
    }
}

/// A session whose command runs.
struct Open {
    tcp: TcpStream,
    session: Session,
    channel: Channel,
}

impl Open {
    /// One try. QEMU takes the connection before there is anybody in the guest: only the server's
    /// first byte, awaited for `wait`, says that there is.
    fn connect(port: u16, access: &SshAccess, wait: Duration) -> Result<Open, Refusal> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let tcp = TcpStream::connect_timeout(&address, limits::SSH_STEP)?;
        tcp.set_read_timeout(Some(wait))?;
        match tcp.peek(&mut [0]) {
            Ok(0) => return Err(Refusal::Again("the connection was closed at once".to_owned())),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(Refusal::Again(format!("nothing heard within {} ms", wait.as_millis())));
            }
            Err(error) => return Err(error.into()),
        }
        tcp.set_read_timeout(None)?;
        tcp.set_nodelay(true)?;
        let mut session = Session::new()?;
        session.set_timeout(limits::SSH_STEP.as_millis() as u32);
        session.set_tcp_stream(tcp.try_clone()?);
        session.handshake()?;
        pin(&session, access).map_err(Refusal::ForGood)?;
        if let Err(error) = session.userauth_pubkey_file(&access.user, None, &access.client_key, None) {
            return Err(not_let_in(error, access));
        }
        let mut channel = session.channel_session()?;
        channel.exec(COMMAND)?;
        Ok(Open { tcp, session, channel })
    }

    /// Copies both ways. `Ok` when the harness has closed its end, otherwise what became of the guest's.
    fn pump(&mut self, mut socket: &UnixStream) -> Result<(), String> {
        let mut bytes = vec![0u8; 1 << 16];
        loop {
            // libssh2 may hold what the socket no longer shows: everything is taken before waiting.
            self.session.set_blocking(false);
            loop {
                match self.channel.read(&mut bytes) {
                    Ok(0) if self.channel.eof() => return Err("the guest closed the session".to_owned()),
                    Ok(0) => break,
                    Ok(n) if socket.write_all(&bytes[..n]).is_err() => return Ok(()),
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.to_string()),
                }
            }
            let waiting: [(&dyn AsFd, PollFlags); 2] = [(&self.tcp, PollFlags::IN), (socket, PollFlags::IN)];
            let [_, ours] = ready(waiting, limits::SSH_STEP);
            if ours {
                match socket.read(&mut bytes) {
                    Ok(0) | Err(_) => return Ok(()),
                    Ok(n) => {
                        // Plan and close are short, and a guest that does not take them is cut off.
                        self.session.set_blocking(true);
                        self.channel.write_all(&bytes[..n]).map_err(|error| error.to_string())?;
                    }
                }
            }
        }
    }
}

/// The key that the guest has shown must be the one that was made for it.
fn pin(session: &Session, access: &SshAccess) -> Result<(), LinkFailure> {
    let found = session.host_key().map(|(key, _)| base64(key)).unwrap_or_default();
    let expected = access.host_key.split(' ').nth(1).unwrap_or_default();
    if (found == expected && !found.is_empty()) || broken("host-key") {
        return Ok(());
    }
    Err(LinkFailure::HostKey { expected: expected.to_owned(), found })
}

/// Whose fault it is that there is no session: the server has said no, or our own file is no good; other
/// errors are about the connection.
fn not_let_in(error: ssh2::Error, access: &SshAccess) -> Refusal {
    match error.code() {
        // LIBSSH2_ERROR_AUTHENTICATION_FAILED, PUBLICKEY_UNVERIFIED.
        ErrorCode::Session(-18 | -19) => Refusal::ForGood(LinkFailure::Refused { detail: error.to_string() }),
        // LIBSSH2_ERROR_FILE.
        ErrorCode::Session(-16) => {
            let detail = format!("{}: {error}", access.client_key.display());
            Refusal::ForGood(LinkFailure::Key { detail })
        }
        _ => error.into(),
    }
}

/// Which of these have something to read, or have ended, within `limit`.
fn ready<const N: usize>(of: [(&dyn AsFd, PollFlags); N], limit: Duration) -> [bool; N] {
    let mut fds = of.map(|(fd, flags)| PollFd::from_borrowed_fd(fd.as_fd(), flags));
    let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
    // Interrupted is as good as nothing to read.
    let _ = poll(&mut fds, Some(&limit));
    fds.map(|fd| !fd.revents().is_empty())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|at| u32::from(chunk.get(at).copied().unwrap_or(0)));
        let bits = a << 16 | b << 8 | c;
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::path::Path;
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

    use super::*;

    /// Makes a key, as a run does; its public half.
    fn key(folder: &Path, name: &str) -> String {
        let run = |program: &str, args: &[&str]| {
            let made = Command::new(program).args(args).current_dir(folder).output();
            let made = made.unwrap_or_else(|_| panic!("this test needs {program} (Debian: dropbear-bin)"));
            assert!(made.status.success(), "{made:?}");
            String::from_utf8(made.stdout).unwrap()
        };
        let words = run("dropbearkey", &["-t", "ed25519", "-f", name]);
        run("dropbearconvert", &["dropbear", "openssh", name, &format!("{name}.openssh")]);
        let line = words.lines().find(|line| line.starts_with("ssh-ed25519 ")).unwrap();
        line.rsplit_once(' ').unwrap().0.to_owned()
    }

    /// A real dropbear that is handed `connections` connections, as in the guest, and lets nobody in;
    /// before it, `silent` connections meet nobody.
    fn serve(folder: &Path, silent: usize, connections: usize) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let key = folder.join("host");
        std::thread::spawn(move || {
            (0..silent).for_each(|_| drop(listener.accept().unwrap()));
            for _ in 0..connections {
                let connection: std::os::fd::OwnedFd = listener.accept().unwrap().0.into();
                // -w: root is not let in, and nobody's authorized_keys is looked at.
                let mut dropbear = Command::new("/usr/sbin/dropbear");
                dropbear.args(["-i", "-s", "-g", "-w", "-r"]).arg(&key).stderr(Stdio::null());
                dropbear.stdin(connection.try_clone().unwrap()).stdout(connection).env_clear();
                let mut child = dropbear.spawn().expect("this test needs dropbear (Debian: dropbear-bin)");
                drop(dropbear);
                child.wait().unwrap();
            }
        });
        port
    }

    fn access(client_key: PathBuf, host_key: String) -> SshAccess {
        SshAccess { user: "root".to_owned(), client_key, host_key }
    }

    fn carried(port: u16, access: &SshAccess) -> (Option<LinkFailure>, String) {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut log = Vec::new();
        (carry(port, access, &ours, &mut log), String::from_utf8(log).unwrap())
    }

    #[test]
    fn another_host_key_is_refused_before_anything_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let (host, other) = (key(folder.path(), "host"), key(folder.path(), "other"));
        let port = serve(folder.path(), 0, 1);
        let client_key = folder.path().join("other.openssh");
        let (failure, log) = carried(port, &access(client_key, other.clone()));
        let base64 = |key: &str| key.split(' ').nth(1).unwrap().to_owned();
        let failure = failure.unwrap();
        assert_eq!(failure, LinkFailure::HostKey { expected: base64(&other), found: base64(&host) });
        assert!(log.contains("the host key is not the guest's"), "{log}");
    }

    #[test]
    fn a_key_that_is_refused_is_told_and_not_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let host_key = key(folder.path(), "host");
        key(folder.path(), "client");
        // The first connections come to nothing, as in a guest that is not that far.
        let port = serve(folder.path(), 2, 1);
        let client_key = folder.path().join("client.openssh");
        let (failure, log) = carried(port, &access(client_key, host_key));
        assert!(matches!(failure, Some(LinkFailure::Refused { .. })), "{failure:?}: {log}");
        assert_eq!(log.lines().count(), 3, "{log}");
    }

    #[test]
    fn a_key_that_is_not_there_is_no_fault_of_the_guest() {
        let folder = tempfile::tempdir().unwrap();
        let host_key = key(folder.path(), "host");
        let garbage = folder.path().join("garbage");
        std::fs::write(&garbage, "no key\n").unwrap();
        for client_key in [folder.path().join("gone"), garbage] {
            let port = serve(folder.path(), 0, 1);
            let access = access(client_key.clone(), host_key.clone());
            let (failure, log) = carried(port, &access);
            let Some(LinkFailure::Key { detail }) = failure else { panic!("{failure:?}: {log}") };
            assert!(detail.starts_with(client_key.to_str().unwrap()), "{detail}");
        }
    }

    #[test]
    fn a_server_that_says_nothing_is_tried_until_the_harness_has_gone() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let access = access("/none".into(), "ssh-ed25519 AAAA".to_owned());
        let (ours, theirs) = UnixStream::pair().unwrap();
        let started = Instant::now();
        let bridge = std::thread::spawn(move || carry(port, &access, &ours, &mut Vec::new()));
        std::thread::sleep(Duration::from_millis(100));
        drop(theirs);
        assert_eq!(bridge.join().unwrap(), None);
        assert!(started.elapsed() < limits::SSH_ANSWER_FIRST * 3, "{:?}", started.elapsed());
    }

    /// The tests above once more, by a user whose files are pipes that nobody writes to: whoever opens one
    /// waits for ever.
    #[test]
    fn nothing_of_the_users_is_asked() {
        let home = tempfile::tempdir().unwrap();
        let dot_ssh = home.path().join(".ssh");
        std::fs::create_dir(&dot_ssh).unwrap();
        for name in ["id_rsa", "id_ed25519", "id_ed25519.pub", "known_hosts", "config", "authorized_keys"] {
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, dot_ssh.join(name), rustix::fs::FileType::Fifo, mode, 0)
                .unwrap();
        }
        let before = std::fs::metadata(&dot_ssh).unwrap().modified().unwrap();
        let agent = std::os::unix::net::UnixListener::bind(home.path().join("agent")).unwrap();
        agent.set_nonblocking(true).unwrap();
        let mut tests = Command::new(std::env::current_exe().unwrap());
        for test in ["another_host_key_is_refused_before_anything_is_said", "a_key_that_is_refused_is_told"] {
            tests.arg(format!("boot::ssh::tests::{test}"));
        }
        tests.env("HOME", home.path()).env("SSH_AUTH_SOCK", home.path().join("agent"));
        let mut child = tests.stdout(Stdio::piped()).spawn().unwrap();
        let started = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if started.elapsed() > limits::SSH_STEP * 6 {
                child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let said = child.wait_with_output().unwrap().stdout;
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("test result: ok. 2 passed"), "{said}");
        assert_eq!(agent.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "the agent was asked");
        assert_eq!(std::fs::metadata(&dot_ssh).unwrap().modified().unwrap(), before);
    }

    #[test]
    fn base64_is_that_of_the_key_files() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfb]), "//77");
    }
}
