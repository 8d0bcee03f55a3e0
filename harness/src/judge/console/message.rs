//! One line of a console: printk's columns, and the kernel's message behind them.

/// A console line, taken apart.
pub(super) struct Message {
    /// printk's time, in seconds.
    pub(super) at: Option<f64>,
    /// A record that a program wrote to /dev/kmsg.
    pub(super) from_user: bool,
    /// What the kernel said, without what printk put before it.
    pub(super) text: String,
}

impl Message {
    pub(super) fn of(raw: &[u8]) -> Message {
        let mut rest = skip_controls(raw);
        let mut from_user = false;
        if let Some((level, after)) = syslog_level(rest) {
            from_user = level >= 8; // the facility, times 8; the kernel's own is 0
            rest = after;
        }
        let stamp = time(rest).or_else(|| {
            let found = (1..rest.len()).filter(|at| rest[*at] == b'[');
            found.map(|at| &rest[at..]).find_map(|tail| time(tail).filter(|time| time.exact))
        });
        let at = stamp.as_ref().map(|stamp| stamp.seconds);
        if let Some(stamp) = stamp {
            rest = stamp.after;
        }
        if let Some(after) = caller(rest) {
            rest = after;
        }
        if rest.len() < raw.len() {
            rest = rest.strip_prefix(b" ").unwrap_or(rest);
        }
        let text = String::from_utf8_lossy(rest).trim_end().to_owned();
        Message { at, from_user, text }
    }
}

/// Skips carriage returns, other controls and the escape sequences that firmware prints before
/// the first line of the kernel.
fn skip_controls(mut rest: &[u8]) -> &[u8] {
    loop {
        rest = match rest {
            [b'\x1b', b'[', after @ ..] => {
                let end = after.iter().position(|byte| (0x40..0x7f).contains(byte));
                end.map_or(&[][..], |end| &after[end + 1..])
            }
            [b'\x1b', _, after @ ..] => after,
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

struct Stamp<'a> {
    seconds: f64,
    /// Six digits of microseconds, and at least five columns before them: printk's own form.
    exact: bool,
    after: &'a [u8],
}

/// `[   12.345678]`
fn time(rest: &[u8]) -> Option<Stamp<'_>> {
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

/// `[   T12]` or `[    C0]`, directly after the time or alone.
fn caller(rest: &[u8]) -> Option<&[u8]> {
    let inner = rest.trim_ascii_start().strip_prefix(b"[")?;
    let end = inner.iter().take(16).position(|byte| *byte == b']')?;
    match inner[..end].trim_ascii_start() {
        [b'T' | b'C', id @ ..] if !id.is_empty() && id.iter().all(u8::is_ascii_digit) => {
            Some(&inner[end + 1..])
        }
        _ => None,
    }
}
