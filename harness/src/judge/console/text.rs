//! Text of a console: what a person may see of it, and what of it makes a title.

use crate::broken::broken;

/// Characters of a title or line that are shown; a console line of the kernel is at most 1 KiB.
const SHOWN_CHARS: usize = 1024;
/// Characters of a title: one row of a wide terminal.
const TITLE_CHARS: usize = 160;

/// Bytes as text that does nothing to a terminal: what is not UTF-8, control characters, escape
/// sequences, and the invisible characters that reorder or hide text are spelled out (`\x1b`,
/// `\u{202e}`). A backslash stays one, so this is for reading and cannot be undone. Bounded to
/// 1024 characters of input; `…` marks the rest.
pub fn sanitize(bytes: impl AsRef<[u8]>) -> String {
    if broken("sanitize") {
        return String::from_utf8_lossy(bytes.as_ref()).into_owned();
    }
    let mut out = String::new();
    let mut shown = 0;
    for chunk in bytes.as_ref().utf8_chunks() {
        for c in chunk.valid().chars() {
            if shown == SHOWN_CHARS {
                return out + "…";
            }
            shown += 1;
            match c {
                '\t' => out.push(c),
                '\0'..='\x1f' | '\x7f' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
                c if is_unseen(c) => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            if shown == SHOWN_CHARS {
                return out + "…";
            }
            shown += 1;
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// A text of several lines, each [sanitised](sanitize).
pub fn sanitize_lines(text: &str) -> String {
    text.lines().map(sanitize).collect::<Vec<_>>().join("\n")
}

/// C1 controls, line separators, bidirectional controls, zero-width characters, tags.
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

/// The last `lines` lines, [sanitised](sanitize), without their line ends.
pub fn tail(bytes: &[u8], lines: usize) -> Vec<String> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    let mut last: Vec<String> = bytes
        .rsplit(|byte| *byte == b'\n')
        .take(lines)
        .map(|line| {
            let end = line.iter().rposition(|byte| *byte != b'\r').map_or(0, |at| at + 1);
            sanitize(&line[..end])
        })
        .collect();
    last.reverse();
    last
}

/// A message without what differs between two reports of one bug: addresses, offsets in
/// functions, compiler's suffixes, line numbers, pids, CPU numbers.
pub(super) fn normalise(message: &str) -> String {
    let mut out = String::new();
    let mut rest = message;
    while let Some(first) = rest.chars().next() {
        let len = rest.bytes().take_while(|byte| is_word(*byte)).count();
        if len == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (word, after) = rest.split_at(len);
        rest = after;
        if is_address(word) {
            out.push_str("ADDR");
        } else if !word.bytes().all(|byte| byte.is_ascii_digit()) {
            out.push_str(word);
            rest = skip_suffixes(rest);
        } else if is_source_line(&out) {
            out.pop();
        } else if out.ends_with('/') || (out.ends_with('[') && rest.starts_with(']')) {
            out.push_str("PID");
        } else if out.ends_with("CPU#") || out.ends_with("CPU ") || out.ends_with("cpu ") {
            out.push('N');
        } else {
            out.push_str(word);
        }
    }
    as_title(out.trim())
}

/// A text as a title: [sanitised](sanitize) and short.
pub(super) fn as_title(text: &str) -> String {
    let out = sanitize(text);
    match out.char_indices().nth(TITLE_CHARS) {
        Some((end, _)) => format!("{}…", &out[..end]),
        None => out,
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_address(word: &str) -> bool {
    let (digits, least) = match word.strip_prefix("0x") {
        Some(digits) => (digits, 5),
        None => (word, 8),
    };
    let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex && digits.len() >= least && digits.bytes().any(|byte| byte.is_ascii_digit())
}

/// `out` ends in `file.c:`, or in what is left of `file.c:12:`.
fn is_source_line(out: &str) -> bool {
    let Some(file) = out.strip_suffix(':') else { return false };
    [".c", ".h", ".S", ".rs"].iter().any(|end| file.ends_with(end))
}

/// Skips what the compiler and `%pS` put after a function's name.
fn skip_suffixes(mut rest: &str) -> &str {
    for suffix in [".isra", ".constprop", ".part", ".cold", ".llvm"] {
        if let Some(after) = rest.strip_prefix(suffix) {
            let digits = after.strip_prefix('.').unwrap_or("");
            let len = digits.bytes().take_while(u8::is_ascii_digit).count();
            rest = if len > 0 { &digits[len..] } else { after };
        }
    }
    match rest.strip_prefix("+0x") {
        Some(offset) => offset.trim_start_matches(|c: char| c.is_ascii_hexdigit() || c == '/' || c == 'x'),
        None => rest,
    }
}

/// The first function with an offset (`name+0x1/0x2`) in a text, without the offset.
pub(super) fn function(text: &str) -> Option<String> {
    let at = text.find("+0x")?;
    let of_name = |byte: u8| is_word(byte) || byte == b'.';
    let len = text[..at].bytes().rev().take_while(|byte| of_name(*byte)).count();
    let name = normalise(&text[at - len..at + 3]);
    let name = name.trim_end_matches("+0x");
    (!name.is_empty()).then(|| name.to_owned())
}
