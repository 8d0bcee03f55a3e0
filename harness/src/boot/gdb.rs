//! What gdb is told of a guest, in its own language. Pure.
//!
//! The file names files beside itself alone, but for pristine sources: gdb is started in that folder, where
//! the socket is, too.
//!
//! A cell of test-syscall is about one call: gdb stops at its entry. A kselftest is about no one call, and
//! most are made by libc before its first case: it stops where its program *begins*, at the end of its
//! execve(2), when its memory is there and its first instruction is not run. Only then does the kernel know
//! where the program lies, so that its symbols are loaded; the next stop is its `main`. What a person names
//! beside that (`--break`) is armed there: what boots the guest and what loads the program may enter the same
//! functions thousands of times.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::model::{Abi, SyscallName};

/// The commands, for a person to read and to start gdb with again.
pub const COMMANDS: &str = "gdb.commands";
/// QEMU's stub.
pub const SOCKET: &str = "gdb.sock";
/// The kernel with debug info.
pub const VMLINUX: &str = "vmlinux";

/// The last that execve(2) does of what can fail, for a program of any ABI; its argument knows the path.
const BEGINS: &str = "finalize_exec";

/// What is to be debugged.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// Cell and kernel, for people.
    pub title: &'a str,
    /// The call that it is about; none of a kselftest.
    pub call: Option<Call<'a>>,
    /// The program that is waited for: a kselftest's, or a call's selftest if there are `breaks`.
    pub start: Option<Start<'a>>,
    /// Functions to stop in, from its `main` on; without one, from where it begins.
    pub breaks: &'a [Function],
    /// Programs with the addresses that they run at, below the folder.
    pub programs: &'a [String],
    /// Where sources are instead: files and folders as the debug info names them, and as they are to be
    /// read. The first that fits counts.
    pub sources: &'a [(PathBuf, PathBuf)],
    /// Where the program's own sources are, which it names without a folder.
    pub directories: &'a [PathBuf],
}

/// One call.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// Its name.
    pub syscall: &'a SyscallName,
    /// By which it is made.
    pub abi: Abi,
    /// Its number by that ABI.
    pub number: u32,
    /// The function by which it enters the kernel; none if the kernel has none.
    pub entry: Option<&'a str>,
}

/// A program that begins.
#[derive(Debug, Clone)]
pub struct Start<'a> {
    /// The path by which it is executed.
    pub path: &'a str,
    /// Its file, below the folder, if it has symbols and is not among `programs` yet.
    pub symbols: Option<Symbols<'a>>,
    /// It is stopped in its function `main`, too.
    pub main: bool,
}

/// Where a program's symbols are.
#[derive(Debug, Clone)]
pub struct Symbols<'a> {
    /// The file.
    pub file: &'a str,
    /// The lowest address of code in it: the kernel knows where that one lies.
    pub code: u64,
}

/// A function that a person names to be stopped in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function(String);

impl Function {
    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Function {
    type Err = String;

    /// A name as compilers make them; anything else could be another command.
    fn from_str(text: &str) -> Result<Function, String> {
        let inside = |c: char| c.is_ascii_alphanumeric() || "_.".contains(c);
        let sound =
            text.chars().all(inside) && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        match sound {
            true => Ok(Function(text.to_owned())),
            false => Err("a function's name: letters, digits, _ and dots".to_owned()),
        }
    }
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

/// A text for `echo` and between quotes, in which nothing is syntax.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b" /._-+:".contains(&byte);
    let escaped = |byte| if plain(byte) { (byte as char).to_string() } else { format!("\\{byte:03o}") };
    text.bytes().map(escaped).collect()
}

/// A path as one word.
fn word(path: &Path) -> String {
    let special = |c: char| c.is_whitespace() || "\\\"'".contains(c);
    let escaped = |c: char| if special(c) { format!("\\{c}") } else { c.to_string() };
    path.to_string_lossy().chars().map(escaped).collect()
}

impl Subject<'_> {
    /// The commands with which gdb begins. They do not let the machine run.
    pub fn commands(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "# {}\nset pagination off\nset confirm off", escaped(self.title));
        for (named, read) in self.sources {
            let _ = writeln!(out, "set substitute-path {} {}", word(named), word(read));
        }
        for folder in self.directories.iter().rev() {
            let _ = writeln!(out, "directory {}", word(folder));
        }
        // A function that was inlined everywhere, or is not there, is no reason to stop here.
        let _ = writeln!(out, "set breakpoint pending on\nfile {VMLINUX}");
        for program in self.programs {
            let _ = writeln!(out, "add-symbol-file {program}");
        }
        // QEMU may be slow to come on a busy host.
        let _ = writeln!(out, "set remotetimeout 60\ntarget remote {SOCKET}\n");
        if let Some(call) = &self.call {
            call.commands(&mut out);
        }
        for (n, Function(name)) in (1..).zip(self.breaks) {
            // By hardware, too: of a program's memory most is not there before it is used.
            let _ = writeln!(out, "hbreak {name}\nset $abimatrix_break_{n} = $bpnum\ndisable $bpnum");
        }
        if let Some(start) = &self.start {
            start.commands(self.breaks.len(), &mut out);
        }
        let _ = writeln!(out, "echo \\n{}. The machine has not started: continue\\n", self.about());
        if self.call.is_some() {
            let _ = writeln!(out, "echo abimatrix-args: the arguments of the last stop at its entry\\n");
        }
        out
    }

    fn about(&self) -> String {
        match &self.call {
            Some(Call { syscall, abi, number, .. }) => format!("{syscall} by {abi}, number {number}"),
            None => format!("{}: it stops where the program begins", escaped(self.title)),
        }
    }
}

impl Start<'_> {
    fn commands(&self, breaks: usize, out: &mut String) {
        let Start { path, symbols, main } = self;
        let program = "((struct linux_binprm *) $rdi)";
        let name = path.rsplit('/').next().unwrap_or(path);
        let arm: String = (1..=breaks).map(|n| format!("enable $abimatrix_break_{n}\n")).collect();
        // What loads the program opens and maps files, as it does itself.
        let then = if *main { format!("thbreak *main\ncommands\n{arm}end\n") } else { arm };
        // Nothing lies at an odd address.
        let _ = writeln!(out, "set $abimatrix_loaded = 1");
        let _ = writeln!(out, "hbreak *{BEGINS} if $_streq({program}->filename, \"{}\")", escaped(path));
        let _ = writeln!(out, "commands\nsilent\necho {} begins\\n", escaped(name));
        if let Some(Symbols { file, code }) = symbols {
            // One that executes itself may lie elsewhere then.
            let _ = writeln!(
                out,
                "set $abimatrix_at = {program}->vma->vm_mm->start_code - {code:#x}\n\
                 if $abimatrix_loaded != $abimatrix_at\n\
                 add-symbol-file {file} -o $abimatrix_at\nset $abimatrix_loaded = $abimatrix_at\nend"
            );
        }
        let _ = writeln!(out, "{then}end");
    }
}

impl Call<'_> {
    fn commands(&self, out: &mut String) {
        let Call { syscall, abi, number, entry } = self;
        self.define_args(out);
        let stop = "commands\nsilent\nset $abimatrix_regs = (struct pt_regs *) $rdi\nabimatrix-args\nend\n";
        // By hardware: under KVM one in memory would be lost, since the kernel is not there yet.
        match entry {
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
    }

    fn define_args(&self, out: &mut String) {
        let Call { syscall, abi, .. } = self;
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
        let call = Some(Call { syscall: &syscall, abi, number: 463, entry });
        let title = "linux-6.12 patched";
        Subject { title, call, start: None, breaks: &[], programs: &programs, sources: &[], directories: &[] }
            .commands()
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

    #[test]
    fn a_kselftest_stops_where_its_program_begins_and_what_was_named_is_armed_there() {
        let symbols = Some(Symbols { file: "selftest.t", code: 0x1040 });
        let start = Some(Start { path: "/kselftest/proc/a\"b", symbols, main: true });
        let breaks = ["do_sys_openat2", "main_loop"].map(|name| name.parse().unwrap());
        let sources = [("/c a/src/x.c", "/o/x.c"), ("/c a/src", "/p")].map(|(a, b)| (a.into(), b.into()));
        let title = "k proc/a\"b m32";
        let directories = ["/o/proc", "/p/proc"].map(PathBuf::from);
        let (call, programs, breaks) = (None, &[][..], &breaks);
        let (sources, directories) = (&sources, &directories);
        let subject = Subject { title, call, start, breaks, programs, sources, directories };
        let text = subject.commands();
        let order = [
            "set substitute-path /c\\ a/src/x.c /o/x.c\nset substitute-path /c\\ a/src /p\n",
            // What is named last is looked in first.
            "directory /p/proc\ndirectory /o/proc\n",
            "hbreak do_sys_openat2\nset $abimatrix_break_1 = $bpnum\ndisable $bpnum\n",
            "hbreak main_loop\nset $abimatrix_break_2 = $bpnum\ndisable $bpnum\n",
            "hbreak *finalize_exec if $_streq(((struct linux_binprm *) $rdi)->filename, \
             \"/kselftest/proc/a\\042b\")\ncommands\n",
            "\necho a\\042b begins\\n\n",
            "start_code - 0x1040\n",
            "add-symbol-file selftest.t -o $abimatrix_at\n",
            "thbreak *main\ncommands\nenable $abimatrix_break_1\nenable $abimatrix_break_2\nend\nend\n",
        ];
        let places = order.map(|words| text.find(words).unwrap_or_else(|| panic!("{words}: {text}")));
        assert!(places.is_sorted(), "{text}");
        assert!(!text.contains("abimatrix-args") && !text.contains("\ncontinue"), "{text}");
        // Without symbols, and by a call's cell.
        let start = Some(Start { path: "/t", symbols: None, main: false });
        let bare = Subject { start, ..subject }.commands();
        assert!(!bare.contains("add-symbol-file") && !bare.contains("*main"), "{bare}");
        assert!(bare.contains("begins\\n\nenable $abimatrix_break_1\n"), "{bare}");
    }

    #[test]
    fn a_function_is_a_name_and_no_other_command() {
        for name in ["vfs_read", "_x", "foo.isra.0", "__x64_sys_xyzzy"] {
            assert_eq!(name.parse::<Function>().unwrap().as_str(), name);
        }
        for name in ["", "1", "f if 1", "f\nshell id", "*0x10", "a-b", ".x", "f;g", "é"] {
            assert!(name.parse::<Function>().is_err(), "{name:?}");
        }
    }
}
