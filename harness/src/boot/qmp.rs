//! QEMU's monitor, as much of it as is needed: hello, a few commands, and why the machine stops.
//!
//! Pure: bytes in, words out. But for starting the machine, the monitor is advisory: a cell is
//! judged by frames and console.

use serde_json::Value;

use crate::broken::broken;
use crate::limits;

/// What QEMU said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Its greeting: it takes commands now.
    Greeting,
    /// The machine stops, and why.
    Shutdown {
        /// Whether the guest did it.
        by_guest: bool,
        /// `guest-shutdown`, `guest-reset`, `host-signal`, …
        reason: String,
    },
    /// The guest's kernel reported a panic by a device made for it.
    GuestPanicked,
    /// The registers, in words for people.
    Registers(String),
    /// The state of the user network, in words for people.
    Network(String),
    /// A command was refused.
    Error(String),
}

/// A command for QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Leave the greeting's mode; has to be the first.
    Capabilities,
    /// Let the machine run: it is created stopped.
    Cont,
    /// Tell the registers, in words for people.
    Registers,
    /// Tell the connections of the user network, in words for people: there is no other way to learn
    /// which port QEMU has picked.
    Network,
    /// Stop the machine and its clocks.
    Stop,
    /// End QEMU.
    Quit,
}

impl Command {
    /// What starts a machine. Sent before there is anybody to read it: QEMU tells no event before
    /// the dialogue has begun, and a machine that ran by then could stop without a word.
    pub const OPENING: [Command; 2] = [Command::Capabilities, Command::Cont];

    /// Its line on the wire.
    pub fn line(self) -> &'static [u8] {
        match self {
            Command::Capabilities => b"{\"execute\":\"qmp_capabilities\"}\r\n",
            Command::Cont => b"{\"execute\":\"cont\"}\r\n",
            Command::Registers => {
                b"{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"info registers\"},\"id\":\"registers\"}\r\n"
            }
            Command::Network => {
                b"{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"info usernet\"},\"id\":\"network\"}\r\n"
            }
            Command::Stop => b"{\"execute\":\"stop\"}\r\n",
            Command::Quit => b"{\"execute\":\"quit\"}\r\n",
        }
    }
}

/// Reads the monitor's stream.
#[derive(Debug, Default)]
pub struct Reader {
    line: Vec<u8>,
    /// A peer that sent an endless line is not QEMU; nothing it says is read any more.
    deaf: bool,
}

impl Reader {
    /// Takes more of the stream. What is not understood is passed over: the monitor says much
    /// that is of no interest.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Said> {
        let mut said = Vec::new();
        for &byte in bytes {
            if self.deaf {
                break;
            }
            if byte == b'\n' {
                said.extend(read_line(&self.line));
                self.line.clear();
            } else if self.line.len() < limits::QMP_LINE_BYTES || broken("monitor-line") {
                self.line.push(byte);
            } else {
                self.deaf = true;
            }
        }
        said
    }
}

fn read_line(line: &[u8]) -> Option<Said> {
    let value: Value = serde_json::from_slice(line).ok()?;
    if value.get("QMP").is_some() {
        return Some(Said::Greeting);
    }
    if let Some(error) = value.get("error") {
        let text = error.get("desc").and_then(Value::as_str).unwrap_or("no description");
        return Some(Said::Error(text.to_owned()));
    }
    if let Some(words) = value.get("return").and_then(Value::as_str) {
        return match value.get("id").and_then(Value::as_str) {
            Some("registers") => Some(Said::Registers(words.to_owned())),
            Some("network") => Some(Said::Network(words.to_owned())),
            _ => None,
        };
    }
    match value.get("event")?.as_str()? {
        "SHUTDOWN" => {
            let data = value.get("data");
            let by_guest = data.and_then(|data| data.get("guest")).and_then(Value::as_bool).unwrap_or(false);
            let reason =
                data.and_then(|data| data.get("reason")).and_then(Value::as_str).unwrap_or("unknown");
            Some(Said::Shutdown { by_guest, reason: reason.to_owned() })
        }
        "GUEST_PANICKED" => Some(Said::GuestPanicked),
        _ => None,
    }
}

/// The instruction pointer in the words of [`Command::Registers`].
pub fn instruction(words: &str) -> Option<u64> {
    // EIP in the modes that have only that.
    let rest = ["RIP=", "EIP="].iter().find_map(|name| words.split(name).nth(1))?;
    let digits = rest.split(|c: char| !c.is_ascii_hexdigit()).next()?;
    u64::from_str_radix(digits, 16).ok()
}

/// The loopback port that leads to the guest's port 22, in the words of [`Command::Network`].
pub fn forwarded_port(words: &str) -> Option<u16> {
    // TCP[HOST_FORWARD]  12  127.0.0.1 41523  10.0.2.15  22  0  0
    let forward = words.lines().find(|line| line.trim_start().starts_with("TCP[HOST_FORWARD]"))?;
    let fields: Vec<&str> = forward.split_whitespace().collect();
    match fields[..] {
        [_, _, "127.0.0.1", port, _, "22", ..] => port.parse().ok().filter(|port| *port != 0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DIALOGUE: &str = concat!(
        "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r\n",
        "{\"return\": {}}\r\n",
        "{\"timestamp\": {}, \"event\": \"RESUME\"}\r\n",
        "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\r\n",
        "{\"event\": \"GUEST_PANICKED\", \"data\": {\"action\": \"pause\"}}\r\n",
        "{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"guest-reset\"}}\r\n",
    );

    fn read(chunks: &[&[u8]]) -> Vec<Said> {
        let mut reader = Reader::default();
        chunks.iter().flat_map(|chunk| reader.push(chunk)).collect()
    }

    #[test]
    fn what_matters_is_read_and_the_rest_passed_over() {
        let reason = "guest-reset".to_owned();
        let shutdown = Said::Shutdown { by_guest: true, reason };
        let expected = [Said::Greeting, Said::Error("no".to_owned()), Said::GuestPanicked, shutdown];
        assert_eq!(read(&[DIALOGUE.as_bytes()]), expected);
    }

    #[test]
    fn the_instruction_pointer_is_read_from_the_registers() {
        let line = "{\"return\": \"\\r\\nCPU#0\\r\\nRAX=0000000000000001\\r\\nRIP=ffffffff81234567 RFL=00000046\\r\\n\", \"id\": \"registers\"}\n";
        let [Said::Registers(words)] = &read(&[line.as_bytes()])[..] else { panic!("no words") };
        assert_eq!(instruction(words), Some(0xffff_ffff_8123_4567));
        assert_eq!(instruction("EIP=00100123 EFL=00000046"), Some(0x0010_0123));
        assert_eq!(instruction("R8 =1"), None);
    }

    #[test]
    fn the_port_that_qemu_picked_is_read_from_the_state_of_its_network() {
        let head = "VLAN -1 (net):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n";
        let forward = |line: &str| forwarded_port(&format!("{head}  {line}\r\n"));
        assert_eq!(
            forward("TCP[HOST_FORWARD]  11       127.0.0.1 41523       10.0.2.15    22     0     0"),
            Some(41523)
        );
        for line in [
            "",
            "TCP[ESTABLISHED]   12       127.0.0.1 41523       10.0.2.15    22     0     0",
            "TCP[HOST_FORWARD]  11               * 41523       10.0.2.15    22     0     0",
            "TCP[HOST_FORWARD]  11       127.0.0.1 41523       10.0.2.15    23     0     0",
            "TCP[HOST_FORWARD]  11       127.0.0.1     0       10.0.2.15    22     0     0",
            "UDP[236 sec]       11       127.0.0.1 41523       10.0.2.15    22     0     0",
        ] {
            assert_eq!(forward(line), None, "{line}");
        }
    }

    #[test]
    fn an_endless_line_is_not_kept() {
        let mut reader = Reader::default();
        for _ in 0..100 {
            assert!(reader.push(&[b'x'; 4096]).is_empty());
        }
        assert!(reader.line.len() <= limits::QMP_LINE_BYTES);
        assert!(reader.push(DIALOGUE.as_bytes()).is_empty());
    }

    proptest! {
        #[test]
        fn chunking_changes_nothing(at in 0..DIALOGUE.len()) {
            let (a, b) = DIALOGUE.as_bytes().split_at(at);
            prop_assert_eq!(read(&[a, b]), read(&[DIALOGUE.as_bytes()]));
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            read(&[&bytes]);
        }
    }
}
