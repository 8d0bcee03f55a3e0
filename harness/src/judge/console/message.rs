//! One line of a console: printk's columns, and the kernel's message behind them.

use std::borrow::Cow;

use super::prefix;

/// What stands before the messages of a log, by who put it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dress {
    /// Nothing.
    Bare,
    /// printk's level, time or caller, as a console shows them.
    Printk,
    /// The times and levels that dmesg writes.
    Dmesg,
    /// The date and host of a system log.
    Syslog,
}

/// A console line, taken apart.
pub(super) struct Message<'a> {
    pub(super) dress: Dress,
    /// printk's time, in seconds.
    pub(super) at: Option<f64>,
    /// The time has printk's own form: six digits of microseconds, five columns before them.
    pub(super) exact: bool,
    /// The task or CPU that printed it, with `CONFIG_PRINTK_CALLER`: `T42`, `C0`.
    pub(super) caller: Option<&'a [u8]>,
    /// Text that is not the kernel's stands before printk's time.
    pub(super) behind_text: bool,
    /// A record that a program wrote to /dev/kmsg or to the system's log.
    pub(super) from_user: bool,
    /// What the kernel said, without what was put before it.
    pub(super) text: Cow<'a, str>,
}

impl Message<'_> {
    /// A line of a console.
    pub(super) fn of_console(raw: &[u8]) -> Message<'_> {
        let rest = skip_controls(raw);
        let message = Message::of_printk(raw, rest, Dress::Bare, false);
        // A program that wrote `<12>` without a newline to the console must not hide what the
        // kernel says behind it.
        match later_record(rest).filter(|_| message.from_user) {
            Some(kernels) => {
                let behind_text = true;
                Message { behind_text, ..Message::of_printk(raw, kernels, Dress::Bare, false) }
            }
            None => message,
        }
    }

    /// A line of any log: dmesg's and the system log's columns may stand before printk's.
    pub(super) fn of_any(raw: &[u8]) -> Message<'_> {
        let rest = skip_controls(raw);
        let Some(found) = prefix::strip(rest) else {
            return Message::of_printk(raw, rest, Dress::Bare, false);
        };
        Message::of_printk(raw, found.rest, found.dress, found.from_user)
    }

    /// What printk put before its message; `dress` and `from_user` are what was before that.
    fn of_printk<'a>(raw: &'a [u8], mut rest: &'a [u8], dress: Dress, from_user: bool) -> Message<'a> {
        let whole = rest;
        let mut message = Message {
            dress,
            at: None,
            exact: false,
            caller: None,
            behind_text: false,
            from_user,
            text: Cow::Borrowed(""),
        };
        if let Some((level, after)) = syslog_level(rest) {
            message.from_user |= level >= 8; // the facility, times 8; the kernel's own is 0
            rest = after;
        }
        let stamp = time(rest).or_else(|| {
            let stamp = later_time(rest);
            message.behind_text = stamp.is_some();
            stamp
        });
        if let Some(stamp) = stamp {
            (message.at, message.exact) = (Some(stamp.seconds), stamp.exact);
            rest = stamp.after;
        }
        if let Some((id, after)) = caller(rest) {
            message.caller = Some(id);
            rest = after;
        } else if let Some(after) = phone_caller(rest).filter(|_| message.exact) {
            rest = after;
        }
        if rest.len() < whole.len() && dress == Dress::Bare {
            message.dress = Dress::Printk;
        }
        if rest.len() < raw.len() {
            rest = rest.strip_prefix(b" ").unwrap_or(rest);
        }
        message.text = text(rest);
        message
    }
}

/// Bytes as text without what is white at its end.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    match String::from_utf8_lossy(bytes.trim_ascii_end()) {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_end()),
        Cow::Owned(text) => Cow::Owned(text.trim_end().to_owned()),
    }
}

/// A line without escape sequences: dmesg puts its colours between the words of a message.
pub(super) fn without_escapes(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.contains(&b'\x1b') {
        return Cow::Borrowed(raw);
    }
    let (mut out, mut rest) = (Vec::new(), raw);
    while let Some(at) = rest.iter().position(|byte| *byte == b'\x1b') {
        out.extend_from_slice(&rest[..at]);
        rest = skip_escape(&rest[at + 1..]);
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// What follows an escape sequence; `rest` begins behind its first byte.
fn skip_escape(rest: &[u8]) -> &[u8] {
    match rest {
        [b'[', after @ ..] => {
            let end = after.iter().position(|byte| (0x40..0x7f).contains(byte));
            end.map_or(&[], |end| &after[end + 1..])
        }
        [_, after @ ..] => after,
        [] => rest,
    }
}

/// Skips carriage returns, other controls and the escape sequences that firmware prints before
/// the first line of the kernel.
fn skip_controls(mut rest: &[u8]) -> &[u8] {
    loop {
        rest = match rest {
            [b'\x1b', after @ ..] if !after.is_empty() => skip_escape(after),
            [b'\t', ..] => return rest,
            [0..=0x1f | 0x7f, after @ ..] => after,
            _ => return rest,
        };
    }
}

fn syslog_level(rest: &[u8]) -> Option<(u32, &[u8])> {
    let inner = rest.strip_prefix(b"<")?;
    let end = inner.iter().take(5).position(|byte| *byte == b'>')?;
    let level = std::str::from_utf8(&inner[..end]).ok()?.parse().ok()?;
    Some((level, &inner[end + 1..]))
}

pub(super) struct Stamp<'a> {
    pub(super) seconds: f64,
    exact: bool,
    pub(super) after: &'a [u8],
}

/// `[   12.345678]`
pub(super) fn time(rest: &[u8]) -> Option<Stamp<'_>> {
    let inner = rest.strip_prefix(b"[")?;
    let end = inner.iter().take(24).position(|byte| *byte == b']')?;
    let text = std::str::from_utf8(&inner[..end]).ok()?;
    let (whole, part) = text.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole.trim_start_matches(' ')) || !digits(part) {
        return None;
    }
    Some(Stamp {
        seconds: text.trim_start().parse().ok()?,
        exact: part.len() == 6 && whole.len() >= 5,
        after: &inner[end + 1..],
    })
}

/// The first time of printk's own form behind other text.
fn later_time(line: &[u8]) -> Option<Stamp<'_>> {
    let mut rest = line.get(1..)?;
    while let Some(at) = rest.iter().position(|byte| *byte == b'[') {
        if let Some(stamp) = time(&rest[at..]).filter(|stamp| stamp.exact) {
            return Some(stamp);
        }
        rest = &rest[at + 1..];
    }
    None
}

/// The first record of the kernel's own facility (`<4>[    1.234567] …`) behind other text.
fn later_record(line: &[u8]) -> Option<&[u8]> {
    let mut rest = line.get(1..)?;
    while let Some(at) = rest.iter().position(|byte| *byte == b'<') {
        rest = &rest[at..];
        let kernels =
            |(level, after): &(u32, &[u8])| *level < 8 && time(after).is_some_and(|stamp| stamp.exact);
        if syslog_level(rest).filter(kernels).is_some() {
            return Some(rest);
        }
        rest = &rest[1..];
    }
    None
}

/// `[   T12]` or `[    C0]`, directly after the time or alone.
fn caller(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = rest.trim_ascii_start().strip_prefix(b"[")?;
    let end = inner.iter().take(16).position(|byte| *byte == b']')?;
    match inner[..end].trim_ascii_start() {
        caller @ [b'T' | b'C', id @ ..] if !id.is_empty() && id.iter().all(u8::is_ascii_digit) => {
            Some((caller, &inner[end + 1..]))
        }
        _ => None,
    }
}

/// `  [0:        swapper:    0]`: CPU, name and pid, as the kernels of some phones print them.
fn phone_caller(rest: &[u8]) -> Option<&[u8]> {
    let inner = rest.trim_ascii_start().strip_prefix(b"[")?;
    let end = inner.iter().take(40).position(|byte| *byte == b']')?;
    let mut parts = inner[..end].splitn(2, |byte| *byte == b':');
    let number = |text: &[u8]| {
        let text = text.trim_ascii();
        !text.is_empty() && text.iter().all(u8::is_ascii_digit)
    };
    let (cpu, task) = (parts.next()?, parts.next()?);
    let pid = task.rsplit(|byte| *byte == b':').next().filter(|pid| pid.len() < task.len())?;
    (number(cpu) && number(pid)).then_some(&inner[end + 1..])
}
