//! What gdb is told of a guest, in its own language. Pure.
//!
//! The file names files beside itself alone: gdb is started in that folder, where the socket is, too.

use std::fmt::Write as _;

use crate::model::{Abi, SyscallName};

/// The commands, for a person to read and to start gdb with again.
pub const COMMANDS: &str = "gdb.commands";
/// QEMU's stub.
pub const SOCKET: &str = "gdb.sock";
/// The kernel with debug info.
pub const VMLINUX: &str = "vmlinux";

/// What is to be debugged.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// Cell and kernel, for people.
    pub title: &'a str,
    /// The call.
    pub syscall: &'a SyscallName,
    /// By which it is made.
    pub abi: Abi,
    /// Its number by that ABI.
    pub number: u32,
    /// The function by which it enters the kernel; none if the kernel has none.
    pub entry: Option<&'a str>,
    /// Programs with the addresses that they run at, below the folder.
    pub programs: &'a [String],
}

/// The registers that arguments are passed in, by their names in `struct pt_regs`.
fn registers(abi: Abi) -> [&'static str; 6] {
    match abi {
        Abi::M64 | Abi::Mx32 => ["di", "si", "dx", "r10", "r8", "r9"],
        Abi::M32 => ["bx", "cx", "dx", "si", "di", "bp"],
    }
}

/// Where a number ends up that has no function.
fn nowhere(abi: Abi) -> &'static str {
    match abi {
        Abi::M64 | Abi::Mx32 => "__x64_sys_ni_syscall",
        Abi::M32 => "__ia32_sys_ni_syscall",
    }
}

/// What the arguments are handed on to, with their names and types: `__do_sys_xyzzy`.
fn inner(entry: &str) -> Option<String> {
    let rest = entry.strip_prefix("__x64_").or_else(|| entry.strip_prefix("__ia32_"))?;
    Some(format!("__do_{rest}"))
}

impl Subject<'_> {
    /// The commands with which gdb begins. They do not let the machine run.
    pub fn commands(&self) -> String {
        let mut out = String::new();
        let Subject { title, syscall, abi, number, .. } = self;
        let _ = writeln!(out, "# {title}\nset pagination off\nset confirm off");
        // A function that was inlined everywhere, or is not there, is no reason to stop here.
        let _ = writeln!(out, "set breakpoint pending on\nfile {VMLINUX}");
        for program in self.programs {
            let _ = writeln!(out, "add-symbol-file {program}");
        }
        // QEMU may be slow to come on a busy host.
        let _ = writeln!(out, "set remotetimeout 60\ntarget remote {SOCKET}\n");
        self.define_args(&mut out);
        let stop = "commands\nsilent\nset $abimatrix_regs = (struct pt_regs *) $rdi\nabimatrix-args\nend\n";
        // By hardware: under KVM one in memory would be lost, since the kernel is not there yet.
        match self.entry {
            Some(entry) => {
                // Before its first instruction: its one argument is where the ABI has it.
                let _ = write!(out, "hbreak *{entry}\n{stop}");
                if let Some(inner) = inner(entry) {
                    let _ = writeln!(out, "hbreak {inner}");
                }
            }
            None => {
                let nr = abi.door(*number).nr;
                let _ = writeln!(out, "echo {syscall} has no entry by {abi}: stops where its number ends\\n");
                let condition = format!("(unsigned int) ((struct pt_regs *) $rdi)->orig_ax == {nr}");
                let _ = write!(out, "hbreak *{} if {condition}\n{stop}", nowhere(*abi));
            }
        }
        let _ = writeln!(
            out,
            "echo \\n{syscall} by {abi}, number {number}. The machine has not started: continue\\n\n\
             echo abimatrix-args: the arguments of the last stop at its entry\\n"
        );
        out
    }

    fn define_args(&self, out: &mut String) {
        let Subject { syscall, abi, .. } = self;
        // Of a register, an i386 program has the lower half.
        let (cast, format) = match abi {
            Abi::M32 => ("(unsigned int) ", "0x%x"),
            Abi::M64 | Abi::Mx32 => ("", "0x%lx"),
        };
        let _ = writeln!(
            out,
            "define abimatrix-args\nif $_isvoid($abimatrix_regs)\n\
             echo it has not stopped there yet\\n\nelse\n\
             printf \"{syscall} by {abi}: orig_ax 0x%x\\n\", (unsigned int) $abimatrix_regs->orig_ax"
        );
        for (index, register) in (1..).zip(registers(*abi)) {
            let _ = writeln!(
                out,
                "printf \"  {index} {register:3} {format}\\n\", {cast}$abimatrix_regs->{register}"
            );
        }
        let _ = writeln!(
            out,
            "end\nend\ndocument abimatrix-args\n\
             The registers that {abi} passes arguments in, as {syscall} was entered last.\n\
             A call has as many arguments as its SYSCALL_DEFINE says; the rest is what was there.\nend\n"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(abi: Abi, entry: Option<&str>) -> String {
        let syscall = "xyzzy".parse().unwrap();
        let programs = ["xyzzy_test".to_owned()];
        let title = "linux-6.12 patched";
        Subject { title, syscall: &syscall, abi, number: 463, entry, programs: &programs }.commands()
    }

    #[test]
    fn each_abi_has_its_own_registers_and_stops_at_the_entry_that_it_is_told() {
        for (abi, entry, first, inner) in [
            (Abi::M64, "__x64_sys_xyzzy", "$abimatrix_regs->di", "__do_sys_xyzzy"),
            (Abi::Mx32, "__x64_sys_xyzzy", "$abimatrix_regs->di", "__do_sys_xyzzy"),
            (
                Abi::M32,
                "__ia32_compat_sys_xyzzy",
                "(unsigned int) $abimatrix_regs->bx",
                "__do_compat_sys_xyzzy",
            ),
        ] {
            let text = commands(abi, Some(entry));
            assert!(text.contains(&format!("\nhbreak *{entry}\ncommands\n")), "{text}");
            assert!(text.contains(&format!("\nhbreak {inner}\n")), "{text}");
            let argument = |line: &&str| line.starts_with("printf \"  1 ");
            let line = text.lines().find(argument).unwrap();
            assert!(line.ends_with(&format!(", {first}")), "{line}");
            // What is where comes before what asks for it.
            let order = ["file vmlinux\n", "add-symbol-file xyzzy_test\n", "target remote", "hbreak"];
            let places = order.map(|word| text.find(word).unwrap());
            assert!(places.is_sorted(), "{text}");
            assert!(!text.contains("\ncontinue"), "{text}");
        }
    }

    #[test]
    fn a_call_without_an_entry_stops_where_its_number_ends() {
        let text = commands(Abi::Mx32, None);
        assert!(text.contains("hbreak *__x64_sys_ni_syscall if"), "{text}");
        assert!(text.contains(&format!("== {}\n", 0x4000_01cf)), "{text}");
        assert!(commands(Abi::M32, None).contains("hbreak *__ia32_sys_ni_syscall if"));
        assert!(!text.contains("__do_"), "{text}");
    }
}
