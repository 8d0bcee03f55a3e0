//! QEMU's command line. The only file that knows its option syntax. Pure.

use std::fmt;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::link::SshAccess;
use crate::broken::{broken, broken_one};
use crate::limits;

/// How a guest's instructions are run. QEMU is given exactly one: a second would be fallen back
/// to in silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// In hardware, through /dev/kvm.
    Kvm,
    /// By translation.
    Tcg,
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Accel::Kvm => "kvm",
            Accel::Tcg => "tcg",
        })
    }
}

/// The board that is emulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Machine {
    /// The smallest: no PCI, virtio over MMIO. Boots in two thirds of q35's time.
    Microvm,
    /// A PC with PCI Express.
    Q35,
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Machine::Microvm => "microvm",
            Machine::Q35 => "q35",
        })
    }
}

/// The file descriptors that QEMU inherits, one end each of a socket pair.
#[derive(Debug, Clone, Copy)]
pub struct Channels {
    /// The kernel's console (the first serial port).
    pub console: RawFd,
    /// The agent's result port; a guest that is reached over ssh has none.
    pub results: Option<RawFd>,
    /// QEMU's monitor.
    pub qmp: RawFd,
    /// A listening socket at which a debugger finds QEMU's stub. The machine is the debugger's to start.
    pub gdb: Option<RawFd>,
}

/// Where a guest that nobody listens to has its channels: see [`Guest::args_for_files`].
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    /// The kernel's console.
    pub console: &'a str,
    /// What the agent has to say for people.
    pub words: &'a str,
}

enum Ends<'a> {
    Inherited(Channels),
    Files(Files<'a>),
}

/// A guest to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    /// The program.
    pub qemu: PathBuf,
    /// What process lists show.
    pub name: String,
    /// The accelerator.
    pub accel: Accel,
    /// The board.
    pub machine: Machine,
    /// An uncompressed kernel with a PVH note.
    pub kernel: PathBuf,
    /// The image.
    pub initramfs: PathBuf,
    /// Words for the kernel beyond those that every guest gets.
    pub command_line: Vec<String>,
    /// The host's time-stamp counter in kHz: microvm has nothing to calibrate against under TCG.
    pub tsc_khz: Option<u64>,
    /// How large it is.
    #[serde(default)]
    pub size: Size,
    /// The agent is reached over ssh, by this; otherwise by its result port.
    #[serde(default)]
    pub ssh: Option<SshAccess>,
}

/// What a guest has of processors and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Processors.
    pub cpus: u32,
    /// Memory, in MiB.
    pub memory_mib: u64,
}

impl Default for Size {
    fn default() -> Size {
        Size { cpus: 1, memory_mib: limits::GUEST_MEMORY_MIB }
    }
}

/// The name of the result port inside the guest.
pub const RESULT_PORT: &str = "abimatrix.results";
/// The name of the port for words.
const WORDS_PORT: &str = "abimatrix.words";

impl Guest {
    /// The words on the kernel's command line.
    pub fn kernel_command_line(&self) -> String {
        let mut words = vec![
            "console=ttyS0".to_owned(),
            // Reset at once after a panic; QEMU then ends, for it is told not to reboot.
            "panic=-1".to_owned(),
            format!("watchdog_thresh={}", limits::WATCHDOG_THRESH_S),
            // A task that does not leave the kernel is named before its test's deadline has passed.
            format!("sysctl.kernel.hung_task_timeout_secs={}", limits::HUNG_TASK_S),
            // Whatever the agent or a test writes to /dev/kmsg is not rate-limited away.
            "printk.devkmsg=on".to_owned(),
            // Each line says who wrote it: what a program puts into the log is not taken for the kernel.
            "console_msg_format=syslog".to_owned(),
        ];
        if let Some(khz) = self.tsc_khz.filter(|_| self.accel == Accel::Tcg) {
            words.push(format!("tsc_early_khz={khz}"));
            // On a busy host the counter runs while the guest does not: the kernel's watchdog
            // would take it for broken and leave the guest with no clock but jiffies.
            words.push("tsc=reliable".to_owned());
        }
        if self.ssh.is_some() {
            // Where the agent has to listen. With a dot it is no word that init would get as well.
            words.push("abimatrix.transport=ssh".to_owned());
        }
        words.extend(self.command_line.iter().cloned());
        words.join(" ")
    }

    /// The arguments.
    pub fn args(&self, channels: Channels) -> Vec<String> {
        self.args_with(&Ends::Inherited(channels))
    }

    /// The arguments of a guest that runs without this tool: no monitor, the result port on standard
    /// input and output, a port for words beside it.
    pub fn args_for_files(&self, files: Files<'_>) -> Vec<String> {
        self.args_with(&Ends::Files(files))
    }

    fn args_with(&self, ends: &Ends<'_>) -> Vec<String> {
        let mut args = Vec::new();
        let mut option = |name: &str, value: String| args.extend([format!("-{name}"), value]);
        option("name", escape(&self.name));
        option("machine", self.machine.to_string());
        option("accel", self.accel.to_string());
        // TCG's default model has neither SMAP nor SMEP and would hide real bugs.
        option("cpu", "max".to_owned());
        option("smp", self.size.cpus.to_string());
        option("m", self.size.memory_mib.to_string());
        option("display", "none".to_owned());
        option("kernel", plain(&self.kernel));
        option("initrd", plain(&self.initramfs));
        option("append", self.kernel_command_line());
        match ends {
            Ends::Inherited(channels) => {
                option("chardev", format!("socket,id=console,fd={}", channels.console));
                option("serial", "chardev:console".to_owned());
                option("chardev", format!("socket,id=qmp,fd={}", channels.qmp));
                option("mon", "chardev=qmp,mode=control".to_owned());
            }
            Ends::Files(files) => {
                option("chardev", format!("file,id=console,path={}", escape(files.console)));
                option("serial", "chardev:console".to_owned());
            }
        }
        let bus = match self.machine {
            Machine::Microvm => "device",
            Machine::Q35 => "pci",
        };
        let port =
            |chardev: &str, name: &str| format!("virtserialport,chardev={chardev},name={}", escape(name));
        match ends {
            Ends::Inherited(Channels { results: Some(results), .. }) => {
                option("chardev", format!("socket,id=results,fd={results}"));
                option("device", format!("virtio-serial-{bus}"));
                option("device", port("results", RESULT_PORT));
            }
            Ends::Inherited(Channels { results: None, .. }) => {}
            Ends::Files(files) => {
                option("chardev", format!("file,id=words,path={}", escape(files.words)));
                option("chardev", "stdio,id=results".to_owned());
                option("device", format!("virtio-serial-{bus}"));
                // The agent looks for words when it has found the other: see guest/PROTOCOL.md.
                option("device", port("words", WORDS_PORT));
                option("device", port("results", RESULT_PORT));
            }
        }
        if self.ssh.is_some() {
            // To the guest's port 22, from a loopback port that QEMU picks, and nowhere else: `restrict` lets
            // nothing out of the guest but answers.
            let forward = "hostfwd=tcp:127.0.0.1:0-:22";
            option("netdev", format!("user,id=net,restrict=on,ipv6=off,{forward}"));
            option("device", format!("virtio-net-{bus},netdev=net"));
        }
        if let Ends::Inherited(Channels { gdb: Some(gdb), .. }) = ends {
            option("chardev", format!("socket,id=gdb,fd={gdb},server=on,wait=off"));
            option("gdb", "chardev:gdb".to_owned());
        }
        // A guest that broke out of its machine would still not get far: no new privileges, no
        // new programs. And no disk is there to begin with, and no network but the one above.
        option(
            "sandbox",
            "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny".to_owned(),
        );
        // Stopped until the monitor's dialogue has begun: see qmp::Command::OPENING.
        let plain = ["-nodefaults", "-no-user-config", "-no-reboot", "-S"].into_iter();
        let plain = plain.filter(|word| *word != "-S" || matches!(ends, Ends::Inherited(_)));
        args.extend(plain.filter(|word| !broken_one("qemu", word)).map(str::to_owned));
        args
    }
}

/// A comma separates options; a doubled one is a comma.
fn escape(value: &str) -> String {
    if broken("option-escape") {
        return value.to_owned();
    }
    value.replace(',', ",,")
}

/// `-kernel` and `-initrd` take a plain file name, commas and all.
fn plain(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn guest() -> Guest {
        Guest {
            qemu: "/usr/bin/qemu-system-x86_64".into(),
            name: "linux-6.12.patched.m64".into(),
            accel: Accel::Tcg,
            machine: Machine::Microvm,
            kernel: "/c/vmlinux".into(),
            initramfs: "/c/initramfs".into(),
            command_line: vec!["syscall.x32=y".into()],
            tsc_khz: Some(2_100_000),
            size: Size::default(),
            ssh: None,
        }
    }

    const CHANNELS: Channels = Channels { console: 3, results: Some(4), qmp: 5, gdb: None };

    #[test]
    fn the_command_line_of_a_cell() {
        let expected = "-name linux-6.12.patched.m64 -machine microvm -accel tcg -cpu max -smp 1 -m 512 -display none \
            -kernel /c/vmlinux -initrd /c/initramfs \
            -append console=ttyS0 panic=-1 watchdog_thresh=5 sysctl.kernel.hung_task_timeout_secs=20 printk.devkmsg=on console_msg_format=syslog tsc_early_khz=2100000 tsc=reliable syscall.x32=y \
            -chardev socket,id=console,fd=3 -serial chardev:console -chardev socket,id=qmp,fd=5 -mon chardev=qmp,mode=control \
            -chardev socket,id=results,fd=4 -device virtio-serial-device \
            -device virtserialport,chardev=results,name=abimatrix.results \
            -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny \
            -nodefaults -no-user-config -no-reboot -S";
        assert_eq!(guest().args(CHANNELS).join(" "), expected);
    }

    #[test]
    fn each_board_and_accelerator_has_its_own_words() {
        let q35 = Guest { machine: Machine::Q35, accel: Accel::Kvm, ..guest() };
        let line = q35.args(CHANNELS).join(" ");
        assert!(line.contains("virtio-serial-pci") && line.contains("-accel kvm"), "{line}");
        assert!(!line.contains("tsc_early_khz"), "KVM's guest has a clock of its own");
        assert_eq!(line.matches("-accel").count(), 1);
    }

    #[test]
    fn over_ssh_there_is_a_card_and_no_port() {
        let ssh = SshAccess {
            user: "abimatrix".to_owned(),
            client_key: "/r/ssh/client_key".into(),
            host_key: "ssh-ed25519 AAAA".into(),
        };
        for (machine, bus) in [(Machine::Microvm, "device"), (Machine::Q35, "pci")] {
            let guest = Guest { machine, ssh: Some(ssh.clone()), ..guest() };
            let line = guest.args(Channels { results: None, ..CHANNELS }).join(" ");
            let net = "-netdev user,id=net,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:0-:22";
            assert!(line.contains(&format!("{net} -device virtio-net-{bus},netdev=net")), "{line}");
            assert!(line.contains(" abimatrix.transport=ssh syscall.x32=y "), "{line}");
            assert!(!line.contains("virtio-serial") && !line.contains("results"), "{line}");
            // Keys are the harness's; QEMU is told nothing of them.
            assert!(!line.contains("client_key") && !line.contains("AAAA"), "{line}");
            // By every other word it is the machine that there is over serial.
            let serial = Guest { ssh: None, ..guest }.args(CHANNELS).join(" ");
            let rest = |line: &str, from: &str| line[line.find(from).unwrap()..].to_owned();
            assert_eq!(rest(&line, "-sandbox"), rest(&serial, "-sandbox"));
            assert_eq!(line.split(" -append").next(), serial.split(" -append").next());
        }
    }

    #[test]
    fn a_debugger_adds_its_socket_and_nothing_else() {
        let usual = guest().args(CHANNELS);
        let mut with = guest().args(Channels { gdb: Some(6), ..CHANNELS });
        let at = with.iter().position(|word| word.contains("id=gdb")).unwrap();
        let added: Vec<String> = with.drain(at - 1..at + 3).collect();
        assert_eq!(added, ["-chardev", "socket,id=gdb,fd=6,server=on,wait=off", "-gdb", "chardev:gdb"]);
        assert_eq!(with, usual);
    }

    /// A list of options as QEMU reads it: a comma ends a value unless it is doubled.
    fn read_list(text: &str) -> Vec<String> {
        let mut values = vec![String::new()];
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                ',' if chars.next_if_eq(&',').is_none() => values.push(String::new()),
                c => values.last_mut().unwrap().push(c),
            }
        }
        values
    }

    /// Names and paths of all sorts; NUL, which no argument can hold, is refused by the spawning.
    fn any_text() -> impl Strategy<Value = String> {
        prop_oneof![".{0,40}", "[,=a-z/. -]{0,20}", Just(",,,readonly=on".to_owned()), Just("-x".to_owned())]
    }

    proptest! {
        /// Read back as QEMU reads options: whatever a guest is called, wherever its files are, no
        /// option is added, and each value is what was put in.
        #[test]
        fn no_value_becomes_an_option(
            name in any_text(),
            kernel in any_text(),
            initramfs in any_text(),
            words in proptest::collection::vec("[!-~&&[^\",]]{1,20}", 0..4),
        ) {
            let plain = guest();
            let odd = Guest {
                name: name.clone(),
                kernel: kernel.clone().into(),
                initramfs: initramfs.clone().into(),
                command_line: words.clone(),
                ..guest()
            };
            let (expected, args) = (plain.args(CHANNELS), odd.args(CHANNELS));
            prop_assert_eq!(args.len(), expected.len());
            let mut option = String::new();
            for (arg, usual) in args.iter().zip(&expected) {
                if arg == usual {
                    option = arg.trim_start_matches('-').to_owned();
                    continue;
                }
                // The values that differ are those that were given, and each is one value.
                match option.as_str() {
                    "name" => prop_assert_eq!(read_list(arg), vec![name.clone()]),
                    "kernel" => prop_assert_eq!(arg, &kernel),
                    "initrd" => prop_assert_eq!(arg, &initramfs),
                    "append" => {
                        let ours = plain.kernel_command_line().split(' ').count() - 1;
                        let read: Vec<&str> = arg.split(' ').skip(ours).collect();
                        prop_assert_eq!(read, words.iter().map(String::as_str).collect::<Vec<_>>());
                    }
                    other => prop_assert!(false, "-{} changed", other),
                }
            }
        }
    }
}
