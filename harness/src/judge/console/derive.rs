//! What a report's lines tell: whose row it is, its title, its task, the function at fault.

use super::table::{Anchor, Row, Title};
use super::text::{as_title, function, normalise};
use super::{Kind, sanitize};

/// Bytes that a task's name may have: 16 in the kernel, and workqueue workers print longer ones.
const COMM_BYTES: usize = 64;

/// Whether a message is the row's.
pub(super) fn matches(row: &Row, text: &str) -> bool {
    let after = match row.anchor {
        Anchor::Start => text.strip_prefix(row.text),
        Anchor::Task => text.find(row.text).and_then(|at| {
            let named = at > 0 && at <= COMM_BYTES && !text.starts_with(' ');
            let by_pid = text[..at].ends_with(']') || row.kind != Some(Kind::Segfault);
            (named && by_pid).then(|| &text[at + row.text.len()..])
        }),
        Anchor::Die => die(text).map(|_| ""),
    };
    after.is_some_and(|after| row.and.is_empty() || after.contains(row.and))
}

/// `what` of a die header `what: 0000 [#1] SMP`.
fn die(text: &str) -> Option<&str> {
    let at = text.find(" [#")?;
    let number = text[at + 3..].split(']').next()?;
    let (what, code) = text[..at].rsplit_once(": ")?;
    let is_code = (4..=16).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_hexdigit());
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    (is_code && is_number && !what.is_empty()).then_some(what)
}

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
            let what = what.strip_prefix("Internal error: ").unwrap_or(what);
            let what = what.strip_prefix("Oops: ").unwrap_or(what);
            normalise(what.split(", ").next().unwrap_or(what))
        }
        Title::Slab => {
            let cache = text.split(" (").next().unwrap_or(text);
            let what = text.split_once("): ").map_or("", |(_, what)| what);
            normalise(&format!("{cache}: {what}"))
        }
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
            let task = text.strip_prefix("INFO: task ")?.split(" blocked ").next()?;
            task.rsplit_once(':')?
        }
        Kind::ScheduleWhileAtomic => {
            // `BUG: scheduling while atomic: comm/pid/0x00000002`
            let task = text.splitn(3, ": ").nth(2)?;
            task.rsplit_once('/')?.0.rsplit_once('/')?
        }
        Kind::OutOfMemory => {
            let task = text.split_once("Killed process ")?.1;
            let (pid, task) = task.split_once(" (")?;
            (task.split_once(')')?.0, pid)
        }
        Kind::Warning => text.split_once(", CPU#")?.1.split_once(": ")?.1.rsplit_once('/')?,
        _ => return None,
    };
    task(comm, pid)
}

/// `CPU: 0 UID: 0 PID: 42 Comm: name Not tainted 6.12.0`; UID since 6.12.
pub(super) fn cpu_line_task(text: &str) -> Option<String> {
    let (head, tail) = text.split_once(" Comm: ")?;
    let pid = head.split_once(" PID: ")?.1;
    let ends = [" Not tainted", " Tainted: ", " Kdump: "];
    let end = ends.iter().filter_map(|end| tail.find(end)).min()?;
    task(&tail[..end], pid)
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

/// The function that a line of the report names: where the instruction pointer was in the
/// kernel, or for lockdep, where the lock is taken.
pub(super) fn body_frame(kind: Kind, text: &str) -> Option<String> {
    if kind == Kind::Lockdep {
        return function(text.split_once(", at: ")?.1);
    }
    let ip = text.strip_prefix("RIP: ").or_else(|| text.strip_prefix("EIP: "))?;
    function(ip.strip_prefix("0010:").unwrap_or(ip))
}

/// Whether the faulting address in the header is one that a program can have. NULL and its page
/// are not: they have a message of their own.
pub(super) fn is_user_address(text: &str) -> bool {
    let Some((_, address)) = text.split_once("address: ") else { return false };
    let kernel = if address.len() > 8 { 0x8000_0000_0000 } else { 0xc000_0000 };
    u64::from_str_radix(address, 16).is_ok_and(|address| (0x1000..kernel).contains(&address))
}
