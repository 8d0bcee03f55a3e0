//! What others than the kernel put before its messages: dmesg and the system's log.

use super::message::{Dress, time};

/// A line without that.
pub(super) struct Stripped<'a> {
    pub(super) dress: Dress,
    /// The line is a program's.
    pub(super) from_user: bool,
    /// What follows; it may begin with what printk puts there.
    pub(super) rest: &'a [u8],
}

/// Columns between a date and the name of the program: host, facility, year.
const COLUMNS: usize = 3;
/// Bytes of a host's or a program's name.
const NAME_BYTES: usize = 256;
const FACILITIES: [&[u8]; 12] = [
    b"kern",
    b"user",
    b"mail",
    b"daemon",
    b"auth",
    b"syslog",
    b"lpr",
    b"news",
    b"uucp",
    b"cron",
    b"authpriv",
    b"ftp",
];
const LEVELS: [&[u8]; 8] = [b"emerg", b"alert", b"crit", b"err", b"warn", b"notice", b"info", b"debug"];
const DAYS: [&[u8]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
const MONTHS: [&[u8]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// Strips the prefix of a line, if it has one of these.
pub(super) fn strip(line: &[u8]) -> Option<Stripped<'_>> {
    match line.first()? {
        b'[' => bracket(line).or_else(|| monotonic(line)),
        b'0'..=b'9' => record(line).or_else(|| dated(line)),
        b'A'..=b'Z' => dated(line),
        b'a'..=b'z' => tagged(line).or_else(|| decoded(line)),
        _ => None,
    }
}

fn dmesg(rest: &[u8]) -> Stripped<'_> {
    Stripped { dress: Dress::Dmesg, from_user: false, rest: rest.strip_prefix(b" ").unwrap_or(rest) }
}

/// dmesg's own times: `[Tue Nov 24 10:00:00 2026]` (`-T`), `[Nov24 10:00]` and `[  +0.000012]`
/// (`-e`, `-H`), `[    1.234567 <    0.000012>]` (`-d`), `[<    0.000012>]`.
fn bracket(line: &[u8]) -> Option<Stripped<'_>> {
    let inner = line.strip_prefix(b"[")?;
    let end = inner.iter().take(40).position(|byte| *byte == b']')?;
    let (stamp, rest) = (inner[..end].trim_ascii_start(), &inner[end + 1..]);
    let digits = |byte: &u8| byte.is_ascii_digit();
    let known = match stamp {
        [b'+', digit, ..] => digits(digit),
        [b'<', .., b'>'] => true,
        [first, .., b'>'] => digits(first) && stamp.contains(&b'<'),
        [a, b, c, b' ', ..] => DAYS.contains(&&[*a, *b, *c][..]) && stamp.contains(&b':'),
        [a, b, c, digit, ..] => {
            MONTHS.contains(&&[*a, *b, *c][..]) && (digits(digit) || *digit == b' ') && stamp.contains(&b':')
        }
        _ => false,
    };
    known.then(|| dmesg(rest))
}

/// `[    1.234567] host kernel: …` (`journalctl -o short-monotonic`)
fn monotonic(line: &[u8]) -> Option<Stripped<'_>> {
    let stamp = time(line)?;
    let (host, rest) = word(stamp.after.strip_prefix(b" ")?)?;
    let rest = rest.strip_prefix(b"kernel: ")?;
    (!host.contains(&b':')).then_some(Stripped { dress: Dress::Syslog, from_user: false, rest })
}

/// `4,1234,5678901,-;…`: a record of `/dev/kmsg` or netconsole, with level, number and microseconds.
fn record(line: &[u8]) -> Option<Stripped<'_>> {
    let (head, rest) = cut(line, b';', 80)?;
    let mut fields = head.split(|byte| *byte == b',');
    let mut number = || {
        let text = std::str::from_utf8(fields.next()?).ok()?;
        text.parse::<u64>().ok()
    };
    let (level, _, _) = (number()?, number()?, number()?);
    // The facility is the level's upper bits; the kernel's own is 0.
    Some(Stripped { dress: Dress::Dmesg, from_user: level >= 8, rest })
}

/// `kernel: …`: a system's log without its dates.
fn tagged(line: &[u8]) -> Option<Stripped<'_>> {
    let rest = line.strip_prefix(b"kernel: ")?;
    Some(Stripped { dress: Dress::Syslog, from_user: false, rest })
}

/// `kern  :warn  : [    1.234567] …` (`dmesg -x`)
fn decoded(line: &[u8]) -> Option<Stripped<'_>> {
    let (facility, rest) = cut(line, b':', 12)?;
    let (level, rest) = cut(rest, b':', 12)?;
    let (facility, level) = (facility.trim_ascii_end(), level.trim_ascii_end());
    let known = (FACILITIES.contains(&facility) || facility.starts_with(b"local")) && LEVELS.contains(&level);
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let inner = bracket(rest).map_or(rest, |inner| inner.rest);
    known.then_some(Stripped { dress: Dress::Dmesg, from_user: facility != b"kern", rest: inner })
}

/// A date, then for a system log host and program, where the kernel is called `kernel:`.
fn dated(line: &[u8]) -> Option<Stripped<'_>> {
    let (comma, rest) = date(line)?;
    // `dmesg --time-format iso` is known by its comma.
    if comma {
        return Some(dmesg(rest));
    }
    let mut after = rest;
    for _ in 0..=COLUMNS {
        let (name, rest) = word(after)?;
        if name == b"kernel:" {
            return Some(Stripped { dress: Dress::Syslog, from_user: false, rest });
        }
        if name.ends_with(b":") {
            return Some(Stripped { dress: Dress::Syslog, from_user: true, rest });
        }
        after = rest;
    }
    None
}

/// A date and the blank after it; whether its seconds have a comma.
fn date(line: &[u8]) -> Option<(bool, &[u8])> {
    let (first, rest) = word(line)?;
    if first[0].is_ascii_digit() {
        // `2026-11-24T10:00:00.123456+01:00`, or seconds since 1970.
        let iso = first.len() >= 19 && first[4] == b'-' && first[10] == b'T' && is_clock(&first[11..19]);
        let unix = first.len() >= 12 && first.iter().all(|b| b.is_ascii_digit() || *b == b'.');
        return (iso || unix).then(|| (first.contains(&b','), rest));
    }
    // `Nov 24 10:00:00.123456`, or `Tue Nov 24 10:00:00 2026`
    let (month, rest) = if DAYS.contains(&first) { word(rest)? } else { (first, rest) };
    let (day, rest) = word(rest.trim_ascii_start())?;
    let (clock, rest) = word(rest)?;
    let is_day = day.len() <= 2 && day.iter().all(u8::is_ascii_digit);
    (MONTHS.contains(&month) && is_day && clock.len() >= 8 && is_clock(&clock[..8])).then_some((false, rest))
}

/// `10:00:00`
fn is_clock(text: &[u8]) -> bool {
    text.iter().enumerate().all(|(at, byte)| if at % 3 == 2 { *byte == b':' } else { byte.is_ascii_digit() })
}

/// The first word, and what follows the blank behind it.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    cut(text, b' ', NAME_BYTES).filter(|(word, _)| !word.is_empty())
}

fn cut(text: &[u8], at: u8, most: usize) -> Option<(&[u8], &[u8])> {
    let end = text.iter().take(most).position(|byte| *byte == at)?;
    Some((&text[..end], &text[end + 1..]))
}
