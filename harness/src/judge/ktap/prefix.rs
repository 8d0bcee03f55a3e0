//! What consoles, loggers and CI systems put before a line.
//!
//! A prefix says who wrote the line. That matters more than its removal: on one console, the
//! kernel's lines fall between the lines of a program, and are not the program's.

/// Who wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    /// The line has printk's time, its level, or a logger's `kernel:`.
    Kernel,
    /// Anybody: also a kernel without `printk.time`.
    Unknown,
}

/// Who wrote the line, and the length of what stands before it.
pub(super) fn strip(raw: &[u8]) -> (Writer, usize) {
    let mut at = raw.iter().take_while(|byte| **byte == b'\r').count();
    at += ansi(&raw[at..]);
    let mut writer = Writer::Unknown;
    let time = logger_time(&raw[at..]);
    at += time;
    if time > 0 {
        let (tagged, length) = logger_tag(&raw[at..]);
        (writer, at) = (tagged, at + length);
    }
    loop {
        let more = printk(&raw[at..]);
        if more == 0 {
            return (writer, at);
        }
        writer = Writer::Kernel;
        at += more;
    }
}

/// One of the prefixes that printk, dmesg and `/dev/kmsg` know.
fn printk(raw: &[u8]) -> usize {
    [stamp(raw), level(raw), wall_time(raw), decoded(raw), record(raw)].into_iter().max().unwrap_or(0)
}

/// Where printk's time stands in the middle of a line: the kernel spoke before a program had
/// ended its line. Only the six digits of the kernel itself are looked for.
pub(super) fn find_stamp(raw: &[u8]) -> Option<usize> {
    let mut from = 1;
    while let Some(found) = raw.get(from..)?.iter().position(|byte| *byte == b'[') {
        let at = from + found;
        if time(&raw[at..]).is_some_and(|(digits, _)| digits == 6) && stamp(&raw[at..]) > 0 {
            let level = raw[..at].iter().rposition(|byte| *byte == b'<');
            return Some(level.filter(|from| from + level_len(&raw[*from..]) == at).unwrap_or(at));
        }
        from = at + 1;
    }
    None
}

fn count(bytes: &[u8], of: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| of(**byte)).count()
}

/// Colours that a terminal program left switched on.
fn ansi(raw: &[u8]) -> usize {
    let mut at = 0;
    while let Some(rest) = raw[at..].strip_prefix(b"\x1b[") {
        let inner = count(rest, |byte| byte.is_ascii_digit() || byte == b';');
        match rest.get(inner) {
            Some(b'm') => at += 2 + inner + 1,
            _ => break,
        }
    }
    at
}

/// `[   12.345678] `, a caller as in `[   12.345678][   T42] ` included.
fn stamp(raw: &[u8]) -> usize {
    let Some((_, end)) = time(raw) else { return 0 };
    let blank = usize::from(raw.get(end) == Some(&b' '));
    let after = end + caller(&raw[end + blank..]).map_or(0, |caller| blank + caller);
    after_space(raw, after)
}

/// `[   12.345678]`: how many digits follow the point, and where it ends.
fn time(raw: &[u8]) -> Option<(usize, usize)> {
    let inner = raw.strip_prefix(b"[")?;
    let blanks = count(inner, |byte| byte == b' ');
    let seconds = count(&inner[blanks..], |byte| byte.is_ascii_digit());
    let fraction = inner[blanks + seconds..].strip_prefix(b".")?;
    let digits = count(fraction, |byte| byte.is_ascii_digit());
    let whole = seconds > 0 && digits > 0 && fraction.get(digits) == Some(&b']');
    whole.then_some((digits, 1 + blanks + seconds + 1 + digits + 1))
}

/// The length of `[   T42]` or `[   C0]` of CONFIG_PRINTK_CALLER.
fn caller(raw: &[u8]) -> Option<usize> {
    let inner = raw.strip_prefix(b"[")?;
    let blanks = count(inner, |byte| byte == b' ');
    let word = &inner[blanks..];
    let digits = count(word.get(1..)?, |byte| byte.is_ascii_digit());
    let whole = matches!(word[0], b'C' | b'T') && digits > 0 && word.get(1 + digits) == Some(&b']');
    whole.then_some(1 + blanks + 1 + digits + 1)
}

/// `<6>` of `console_msg_format=syslog`, also `<c>` of old kernels; 0 if there is none.
fn level_len(raw: &[u8]) -> usize {
    let Some(inner) = raw.strip_prefix(b"<") else { return 0 };
    let digits = count(inner, |byte| byte.is_ascii_digit());
    if (1..=3).contains(&digits) && inner.get(digits) == Some(&b'>') { digits + 2 } else { 0 }
}

fn level(raw: &[u8]) -> usize {
    level_len(raw)
}

/// `[Mon Nov 24 10:00:00 2025] ` of `dmesg -T`; `[Nov24 10:00] ` and `[  +0.000010] ` of
/// `dmesg -e`; `[    1.234567 <    0.000010>] ` of `dmesg -d`.
fn wall_time(raw: &[u8]) -> usize {
    let Some(inner) = raw.strip_prefix(b"[") else { return 0 };
    let Some(close) = inner.iter().take(40).position(|byte| *byte == b']') else { return 0 };
    let Ok(text) = std::str::from_utf8(&inner[..close]) else { return 0 };
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let number = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let fits = match words.as_slice() {
        [day, month, date, time, year] => {
            is_name(day) && is_month(month) && number(date) && is_time(time) && number(year)
        }
        [time, delta] if delta.starts_with('<') => number(time) && number(delta.trim_matches(['<', '>'])),
        [date, time] => date.get(..3).is_some_and(is_month) && number(&date[3..]) && is_clock(time),
        [delta] => delta.strip_prefix('+').is_some_and(number),
        [time, "<", delta] => number(time) && delta.strip_suffix('>').is_some_and(number),
        _ => false,
    };
    if fits { after_space(raw, close + 2) } else { 0 }
}

/// `kern  :info  : ` of `dmesg -x`.
fn decoded(raw: &[u8]) -> usize {
    let word = |from: usize| {
        let letters = count(&raw[from..], |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let blanks = count(&raw[from + letters..], |byte| byte == b' ');
        let colon = raw.get(from + letters + blanks) == Some(&b':');
        (colon && letters > 0 && letters + blanks == 6).then_some(from + 7)
    };
    let Some(end) = word(0).filter(|_| raw.starts_with(b"kern  :")).and_then(word) else { return 0 };
    after_space(raw, end)
}

/// `6,1234,5678901,-;` of `/dev/kmsg`, `caller=T1` included.
fn record(raw: &[u8]) -> usize {
    let Some(end) = raw.iter().take(80).position(|byte| *byte == b';') else { return 0 };
    let mut fields = raw[..end].split(|byte| *byte == b',');
    let numbers = fields.by_ref().take(3).filter(|f| !f.is_empty() && f.iter().all(u8::is_ascii_digit));
    let flags = numbers.count() == 3 && fields.next().is_some_and(|flag| matches!(flag, b"-" | b"c" | b"+"));
    if flags { end + 1 } else { 0 }
}

/// A logger's time: `Nov 24 10:00:00 `, `[10:00:00] `, `[2025-11-24 10:00:00] `, or an ISO time as
/// `2025-11-24T10:00:00.123456+00:00 `.
fn logger_time(raw: &[u8]) -> usize {
    let word = |from: usize| {
        let blanks = count(&raw[from..], |byte| byte == b' ');
        let length = count(&raw[from + blanks..], |byte| byte != b' ');
        let end = from + blanks + length;
        (std::str::from_utf8(&raw[from + blanks..end]).unwrap_or_default(), end)
    };
    let (first, end) = word(0);
    if let Some(inner) = raw.strip_prefix(b"[") {
        let close = inner.iter().take(32).position(|byte| *byte == b']').unwrap_or(0);
        let inner = std::str::from_utf8(&inner[..close]).unwrap_or_default();
        let time = inner.split_once(' ').filter(|(date, _)| shaped(date, "0000-00-00"));
        let fits = is_time(time.map_or(inner, |(_, time)| time));
        return if fits { after_space(raw, close + 2) } else { 0 };
    }
    if is_iso(first) && !raw.starts_with(b" ") {
        return after_space(raw, end);
    }
    if !is_month(first) {
        return 0;
    }
    let (day, end) = word(end);
    let (time, end) = word(end);
    let is_day = (1..=2).contains(&day.len()) && day.bytes().all(|byte| byte.is_ascii_digit());
    if is_day && is_time(time) { after_space(raw, end) } else { 0 }
}

/// A logger's `host tag: ` or `host tag[pid]: `, which stands only after a time.
fn logger_tag(raw: &[u8]) -> (Writer, usize) {
    let none = (Writer::Unknown, 0);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./()".contains(&byte);
    let host = count(raw, is_name);
    let result = [&b"ok"[..], b"not"].contains(&&raw[..host]);
    if host == 0 || result || raw.get(host) != Some(&b' ') {
        return none;
    }
    let tag = &raw[host + 1..];
    let name = count(tag, is_name);
    let pid = match tag[name..].strip_prefix(b"[") {
        Some(inner) => {
            let digits = count(inner, |byte| byte.is_ascii_digit());
            if inner.get(digits) == Some(&b']') { digits + 2 } else { 0 }
        }
        None => 0,
    };
    let end = host + 1 + name + pid;
    if name == 0 || !raw[end..].starts_with(b": ") {
        return none;
    }
    let writer = if &tag[..name] == b"kernel" { Writer::Kernel } else { Writer::Unknown };
    (writer, end + 2)
}

/// One blank belongs to the prefix; more are the line's own indentation.
fn after_space(raw: &[u8], end: usize) -> usize {
    match raw.get(end) {
        Some(b' ') => end + 1,
        None | Some(b'\r') => end,
        Some(_) => 0,
    }
}

fn is_name(word: &str) -> bool {
    word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_alphabetic())
}

fn is_month(word: &str) -> bool {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    MONTHS.contains(&word)
}

/// `10:00`
fn is_clock(word: &str) -> bool {
    word.len() == 5 && shaped(word, "00:00")
}

/// `10:00:00`, a fraction allowed.
fn is_time(word: &str) -> bool {
    let (time, fraction) = word.split_at_checked(8).unwrap_or((word, ""));
    shaped(time, "00:00:00") && fraction.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// An ISO 8601 time with its date, whatever fraction and zone.
fn is_iso(word: &str) -> bool {
    let Some((date, zone)) = word.split_at_checked(19) else { return false };
    (shaped(date, "0000-00-00T00:00:00"))
        && zone.bytes().all(|byte| byte.is_ascii_digit() || b".,+-:Z".contains(&byte))
}

/// The same as the pattern, whose zeros stand for digits.
fn shaped(word: &str, pattern: &str) -> bool {
    word.len() == pattern.len()
        && word.bytes().zip(pattern.bytes()).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            shape => byte == shape,
        })
}

#[cfg(test)]
mod tests {
    use super::Writer::{Kernel, Unknown};
    use super::{find_stamp, strip};

    #[test]
    fn prefixes() {
        let table = [
            ("", Unknown),
            ("\r", Unknown),
            ("\u{1b}[0m", Unknown),
            ("[    0.050000] ", Kernel),
            ("[    0.05] ", Kernel),
            ("[    0.05][    T1] ", Kernel),
            ("[   12.345678][   C0] ", Kernel),
            ("[   12.345678] [   T42] ", Kernel),
            ("<6>[    1.200000] ", Kernel),
            ("<6>", Kernel),
            ("<14>", Kernel),
            ("[Mon Nov 24 10:00:00 2025] ", Kernel),
            ("[Nov24 10:00] ", Kernel),
            ("[  +0.000010] ", Kernel),
            ("[    1.234567 <    0.000010>] ", Kernel),
            ("kern  :info  : [    1.234567] ", Kernel),
            ("6,1234,5678901,-;", Kernel),
            ("6,1234,5678901,-,caller=T1;", Kernel),
            ("Nov 24 10:00:00 host kernel: ", Kernel),
            ("Nov  4 10:00:00 host kernel: [    1.234567] ", Kernel),
            ("2025-11-24T10:00:00.123456+00:00 host kernel: [    1.234567] ", Kernel),
            ("2025-11-24T10:00:00.1234567Z [    1.234567] ", Kernel),
            ("2025-11-24T10:00:00.1234567Z ", Unknown),
            ("2025-11-24T10:00:00,123456+0100 ", Unknown),
            ("Nov 24 10:00:00 host runner[123]: ", Unknown),
            ("Nov 24 10:00:00.123456 host kernel: ", Kernel),
            ("[10:00:00] ", Unknown),
            ("[2025-11-24 10:00:00] [    1.234567] ", Kernel),
        ];
        for (prefix, writer) in table {
            for line in ["ok 1 a", "    ok 1 - a # SKIP", "KTAP version 1", "# Subtest: x", "1..3"] {
                let whole = format!("{prefix}{line}");
                assert_eq!(strip(whole.as_bytes()), (writer, prefix.len()), "{whole:?}");
            }
        }
    }

    #[test]
    fn a_result_is_no_tag() {
        for line in ["ok 1: a", "not ok: a", "not ok 1: a"] {
            let whole = format!("2025-11-24T10:00:00Z {line}");
            assert_eq!(strip(whole.as_bytes()), (Unknown, 21), "{line}");
        }
    }

    #[test]
    fn no_prefixes() {
        for line in [
            "ok 1 a",
            "[ OK ] a",
            "[1] ok 1",
            "[Mon] ok 1",
            "[1.2.x] a",
            "May 1 is a day",
            "kern : ok 1",
            "<p> ok",
            "2025-11-24 ok 1",
            "6,7;ok 1",
            "[    0.050000]ok",
            "host kernel: ok 1",
        ] {
            assert_eq!(strip(line.as_bytes()), (Unknown, 0), "{line:?}");
        }
    }

    #[test]
    fn stamps_in_the_middle() {
        assert_eq!(find_stamp(b"not [   12.345678] usb"), Some(4));
        assert_eq!(find_stamp(b"not <6>[   12.345678] usb"), Some(4));
        assert_eq!(find_stamp(b"a [x] [   12.345678][    T1] usb"), Some(6));
        for line in ["[   12.345678] usb", "ok 1 [ 12.3] x", "ok 1 a[12]", "ok 1 [", "ok [   12.345678"] {
            assert_eq!(find_stamp(line.as_bytes()), None, "{line}");
        }
    }
}
