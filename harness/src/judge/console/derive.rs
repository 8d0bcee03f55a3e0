//! What a report's lines tell: whose row it is, its title, its task, the function at fault.

use super::table::{Anchor, Row, Title};
use super::text::{as_title, function, normalise};
use super::{Kind, sanitize};

/// Bytes that a task's name may have: 16 in the kernel, and workqueue workers print longer ones.
pub(super) const COMM_BYTES: usize = 64;

/// Whether a message is the row's.
pub(super) fn matches(row: &Row, text: &str) -> bool {
    let after = match row.anchor {
        Anchor::Start => text.strip_prefix(row.text),
        Anchor::Task => text.find(row.text).and_then(|at| {
            let named = at > 0 && at <= COMM_BYTES && !text.starts_with(' ');
            let by_pid = row.kind != Some(Kind::Segfault) || ends_with_pid(&text[..at]);
            (named && by_pid).then(|| &text[at + row.text.len()..])
        }),
        Anchor::Die => die(text).map(|_| ""),
    };
    after.is_some_and(|after| row.and.is_empty() || after.contains(row.and))
}

/// `name[30]`: the number does not fit into a name that ends like the rest of such a message.
fn ends_with_pid(text: &str) -> bool {
    let pid = text.strip_suffix(']').and_then(|text| text.rsplit_once('['));
    pid.is_some_and(|(_, pid)| !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()))
}

/// `what` of a die header: `what: 0000 [#1] SMP`, `Oops - what [#1]`, `Kernel bug detected[#1]:`.
fn die(text: &str) -> Option<&str> {
    let (before, after) = text.split_once("[#")?;
    let (number, flags) = after.split_once(']')?;
    let is_flag = |word: &str| {
        word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b"_=-:".contains(&b))
    };
    let counted = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    if !counted || !flags.split(' ').take(2).all(is_flag) {
        return None;
    }
    let before = before.trim_end();
    // s390 has the length of the instruction behind the code.
    let before = before.rsplit_once(" ilc:").map_or(before, |(before, _)| before);
    if let Some((what, code)) = before.rsplit_once(": ") {
        let least = if what.starts_with(INTERNAL) { 1 } else { 4 };
        let hex = code.bytes().all(|b| b.is_ascii_hexdigit());
        if hex && (least..=16).contains(&code.len()) && !what.is_empty() {
            return Some(what);
        }
    }
    // sparc has the task before it.
    let what = before.split_once("): ").map_or(before, |(_, what)| what);
    [
        INTERNAL,
        "Oops",
        "Kernel ",
        "Unhandled kernel ",
        "Break instruction in kernel",
        "Unable to handle kernel ",
    ]
    .iter()
    .any(|start| what.starts_with(start))
    .then_some(what)
}

/// What arm puts before every die header.
const INTERNAL: &str = "Internal error: ";

/// The title of a finding, as far as its header tells.
pub(super) fn title(row: &Row, text: &str) -> String {
    match row.title {
        Title::Text(title) => title.to_owned(),
        Title::Line => normalise(text),
        Title::Exact => as_title(text),
        Title::UpTo(end) => normalise(text.split(end).next().unwrap_or(text)),
        Title::Warn => warn_title(text),
        Title::Die => {
            let what = die(text).unwrap_or(text);
            let what = what.strip_prefix(INTERNAL).unwrap_or(what);
            let what = what.strip_prefix("Oops: ").or(what.strip_prefix("Oops - ")).unwrap_or(what);
            normalise(what.split(", ").next().unwrap_or(what))
        }
        Title::Slab => {
            let cache = text.split(" (").next().unwrap_or(text);
            let what = text.split_once("): ").map_or("", |(_, what)| what);
            normalise(&format!("{cache}: {what}"))
        }
        Title::Bracket => normalise(text.trim_matches(['[', ']', ' ']).trim_end_matches(['!', '.'])),
        Title::OfTask(title) => {
            let task = header_task(row, text).unwrap_or_default();
            title.to_owned() + task.rsplit_once('/').map_or("", |(comm, _)| comm)
        }
    }
}

/// `WARNING: CPU: 0 PID: 1 at FILE:LINE FUNCTION+0x1/0x2`; from 6.19 on
/// `WARNING: FILE:LINE at FUNCTION+0x1/0x2, CPU#0: comm/1`.
fn warn_title(text: &str) -> String {
    let file = text.split(' ').find_map(|word| {
        let (file, line) = word.rsplit_once(':')?;
        let number = !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit());
        (number && file.contains('.')).then_some(file)
    });
    let place = file.map_or(String::new(), |file| format!(" at {}", normalise(file)));
    let frame = function(text).map_or(String::new(), |name| format!(" in {name}"));
    format!("WARNING{place}{frame}")
}

/// The task, where the header itself names it.
pub(super) fn header_task(row: &Row, text: &str) -> Option<String> {
    let (comm, pid) = match row.kind? {
        Kind::Segfault => {
            let (task, _) = text.split_once(']')?;
            task.strip_prefix("traps: ").unwrap_or(task).rsplit_once('[')?
        }
        Kind::SoftLockup => text.strip_suffix(']')?.split_once('[')?.1.rsplit_once(':')?,
        Kind::HungTask => {
            let task = text.strip_prefix("INFO: task ")?;
            let task = task.split(" can't die ").next()?.split(" blocked ").next()?;
            task.rsplit_once(':')?
        }
        Kind::ScheduleWhileAtomic => {
            // `BUG: scheduling while atomic: comm/pid/0x00000002`
            let task = text.splitn(3, ": ").nth(2)?;
            task.rsplit_once('/')?.0.rsplit_once('/')?
        }
        Kind::OutOfMemory => match text.split_once("process ") {
            Some((_, task)) => {
                let (pid, task) = task.split_once(" (")?;
                (task.split_once(')')?.0, pid)
            }
            None => return None,
        },
        Kind::Warning => text.split_once(", CPU#")?.1.split_once(": ")?.1.rsplit_once('/')?,
        _ => return None,
    };
    task(comm, pid)
}

/// The task, where a line of the report names it: `CPU: 0 UID: 0 PID: 42 Comm: name Not tainted 6.12.0`
/// (UID since 6.12), `Pid: 42, comm: name Not tainted 3.2.0`, `Process name (pid: 42, …`, or the
/// access that a sanitizer describes.
pub(super) fn body_task(text: &str) -> Option<String> {
    if let Some(rest) = text.strip_prefix("CPU: ") {
        let (head, tail) = rest.split_once(" Comm: ")?;
        return task(before_taint(tail)?, head.split_once("PID: ")?.1);
    }
    if let Some(rest) = text.strip_prefix("Pid: ") {
        let (pid, tail) = rest.split_once(", comm: ")?;
        return task(before_taint(tail)?, pid);
    }
    if let Some(rest) = text.strip_prefix("Process ") {
        let (comm, tail) = rest.split_once(" (pid: ")?;
        return task(comm, tail.split([',', ')']).next()?);
    }
    if text.starts_with("Read of size ") || text.starts_with("Write of size ") {
        let (comm, pid) = text.split_once(" by task ")?.1.rsplit_once('/')?;
        return task(comm, pid);
    }
    None
}

/// A task's name, which what is said of the kernel's taint ends.
fn before_taint(text: &str) -> Option<&str> {
    let ends = [" Not tainted", " Tainted: ", " Kdump: "];
    let end = ends.iter().filter_map(|end| text.find(end)).min()?;
    Some(text[..end].trim_ascii())
}

fn task(comm: &str, pid: &str) -> Option<String> {
    let is_pid = !pid.is_empty() && pid.len() <= 10 && pid.bytes().all(|b| b.is_ascii_digit());
    is_pid.then(|| sanitize(format!("{comm}/{pid}")))
}

/// The function, where the header itself names it.
pub(super) fn header_frame(row: &Row, text: &str) -> Option<String> {
    match row.kind? {
        Kind::Warning | Kind::Kasan | Kind::Kmsan | Kind::Kfence | Kind::Cfi => function(text),
        Kind::Kcsan => {
            let of = text.split_once(" in ")?.1;
            function(of).or_else(|| Some(normalise(of.split(" / ").next()?)))
        }
        _ => None,
    }
}

/// The function that a line of the report names: where the instruction pointer was in the kernel, or for lockdep, where the lock is taken.
pub(super) fn body_frame(kind: Kind, text: &str) -> Option<String> {
    if kind == Kind::Lockdep {
        return function(text.split_once(", at: ")?.1);
    }
    // x86, arm64, riscv, arm, powerpc, s390, mips.
    let ips = ["RIP: ", "EIP: ", "pc : ", "epc : ", "PC is at ", "NIP [", "Krnl PSW : ", "epc   : "];
    let ip = ips.iter().find_map(|ip| text.strip_prefix(ip))?;
    function(ip.strip_prefix("0010:").unwrap_or(ip))
}

/// Whether the faulting address in the header is one that a program can have. NULL and its page
/// are not: they have a message of their own.
pub(super) fn is_user_address(text: &str) -> bool {
    let Some((_, address)) = text.split_once("address: ") else { return false };
    let kernel = if address.len() > 8 { 0x8000_0000_0000 } else { 0xc000_0000 };
    u64::from_str_radix(address, 16).is_ok_and(|address| (0x1000..kernel).contains(&address))
}
