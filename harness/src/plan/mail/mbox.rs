//! An mbox into its mails, and a mail into its subject and its diffs.

use mail_parser::{ContentType, Encoding, MessageParser, MessagePart, MimeHeaders, PartType};

use super::MailError;

/// One mail as it lies in the file.
pub(super) struct Raw {
    /// From 1.
    pub number: usize,
    /// The line at which it begins, from 1.
    pub line: usize,
    pub bytes: Vec<u8>,
}

/// Cuts an mbox at its `From ` lines; a file without any is one mail.
pub(super) fn split(bytes: &[u8]) -> Result<Vec<Raw>, MailError> {
    let mut mails: Vec<Raw> = Vec::new();
    for (line, number) in bytes.split_inclusive(|byte| *byte == b'\n').zip(1usize..) {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if is_separator(text) {
            mails.push(Raw { number: mails.len() + 1, line: number, bytes: Vec::new() });
            continue;
        }
        match mails.last_mut() {
            Some(mail) => {
                // What the writer of the mbox quoted: `>From ` in a message.
                let quotes = text.iter().take_while(|byte| **byte == b'>').count();
                let text = if quotes > 0 && text[quotes..].starts_with(b"From ") { &text[1..] } else { text };
                mail.bytes.extend_from_slice(text);
                mail.bytes.push(b'\n');
            }
            None if text.is_empty() => {}
            None if is_header(text) => {
                mails.push(Raw { number: 1, line: number, bytes: [text, b"\n"].concat() });
            }
            None => return Err(MailError::NoMail { line: number }),
        }
    }
    Ok(mails)
}

/// `From SENDER Thu Jan  1 00:00:00 1970`: as git tells it from a sentence, by its time and year.
fn is_separator(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"From ").and_then(|rest| std::str::from_utf8(rest).ok()) else {
        return false;
    };
    let words: Vec<&str> = rest.split_whitespace().collect();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let time = words.iter().position(|word| {
        let parts: Vec<&str> = word.split(':').collect();
        (2..=3).contains(&parts.len()) && parts.iter().all(|part| digits(part) && part.len() <= 2)
    });
    // A time zone may stand before or after the year.
    time.is_some_and(|at| words[at + 1..].iter().take(2).any(|word| digits(word) && word.len() == 4))
}

fn is_header(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    line.contains(&b':') && !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
}

/// A part of a mail that has a diff in it.
pub(super) struct Diff {
    /// The subject that an attached patch brings itself.
    pub subject: Option<String>,
    pub text: String,
}

/// What is of interest in a mail.
#[derive(Default)]
pub(super) struct Mail {
    pub subject: String,
    /// The address that it is from, in small letters; empty if it does not say.
    pub sender: String,
    /// Whether it answers another mail.
    pub answers: bool,
    pub diffs: Vec<Diff>,
    /// Its text is not what lies in the file.
    pub is_encoded: bool,
}

impl Mail {
    pub fn read(raw: &Raw) -> Mail {
        let Some(message) = MessageParser::default().parse(&raw.bytes) else {
            return Mail::default();
        };
        let subject = message.subject().unwrap_or_default().trim().to_owned();
        let texts = message.parts.iter().filter_map(text_of);
        let mut diffs: Vec<Diff> = Vec::new();
        // What stands before an attached patch is its message.
        for text in texts.filter(|text| diff_start(text).is_some()) {
            diffs.push(Diff { subject: own_subject(&text), text });
        }
        let is_encoded = message.parts.len() > 1 || message.parts.iter().any(is_encoded);
        let sender = message.from().and_then(|from| from.first()?.address()).unwrap_or_default();
        let answers = message.in_reply_to().as_text().is_some();
        Mail { subject, sender: sender.to_ascii_lowercase(), answers, diffs, is_encoded }
    }
}

fn is_encoded(part: &MessagePart) -> bool {
    let kind = part.content_type();
    let charset = kind.and_then(|kind| kind.attribute("charset"));
    let is_ours = |name: &str| ["utf-8", "utf8", "us-ascii"].iter().any(|our| name.eq_ignore_ascii_case(our));
    part.encoding != Encoding::None || charset.is_some_and(|name| !is_ours(name)) || is_flowed(kind)
}

fn is_flowed(kind: Option<&ContentType>) -> bool {
    let format = kind.and_then(|kind| kind.attribute("format"));
    format.is_some_and(|format| format.eq_ignore_ascii_case("flowed"))
}

/// The text of a part whose lines a mailer may wrap (`format=flowed`, RFC 3676), as `git am` reads it: a
/// line that ends in a space goes on in the next one, and a space at the start of any is the mailer's.
fn unflow(text: &str, keeps_space: bool) -> String {
    let (mut whole, mut begun) = (String::new(), String::new());
    for line in text.split_inclusive('\n') {
        let content = line.strip_suffix('\n').unwrap_or(line);
        // The mark above a signature, as git's own, is no line that goes on.
        if content == "-- " {
            whole.push_str(&begun);
            begun.clear();
            whole.push_str(line);
            continue;
        }
        let content = content.strip_prefix(' ').unwrap_or(content);
        match content.strip_suffix(' ') {
            Some(short) => begun.push_str(if keeps_space { content } else { short }),
            None => {
                whole.push_str(&begun);
                begun.clear();
                whole.push_str(content);
                whole.push_str(&line[line.trim_end_matches('\n').len()..]);
            }
        }
    }
    whole + &begun
}

/// The decoded text of a part, if a patch may be in it.
fn text_of(part: &MessagePart) -> Option<String> {
    let text = match &part.body {
        PartType::Text(text) => text.to_string(),
        // A patch that is attached as a stream of octets, or by its name.
        PartType::Binary(bytes) | PartType::InlineBinary(bytes) => {
            let by_name = part
                .attachment_name()
                .is_some_and(|name| [".patch", ".diff", ".txt"].iter().any(|end| name.ends_with(end)));
            let by_type = part.content_type().is_some_and(|kind| {
                kind.subtype()
                    .is_some_and(|kind| matches!(kind, "octet-stream" | "x-patch" | "x-diff" | "mbox"))
            });
            if !(by_name || by_type) {
                return None;
            }
            String::from_utf8_lossy(bytes).into_owned()
        }
        PartType::Html(_) | PartType::Message(_) | PartType::Multipart(_) => return None,
    };
    // A mailer's line ends, whether the part was encoded or not: the kernel has no other than `\n`.
    let text = text.replace("\r\n", "\n");
    let kind = part.content_type();
    let drops_space = kind.and_then(|kind| kind.attribute("delsp"));
    let drops_space = drops_space.is_some_and(|drops| drops.eq_ignore_ascii_case("yes"));
    Some(if is_flowed(kind) { unflow(&text, !drops_space) } else { text })
}

/// Where the first diff begins: `diff --git`, or `---`, `+++` and `@@` on three lines in a row.
pub(super) fn diff_start(text: &str) -> Option<usize> {
    let mut at = 0;
    let mut before = ["", ""];
    let mut starts = [0, 0];
    for line in text.split_inclusive('\n') {
        if line.starts_with("diff --git ") {
            return Some(at);
        }
        if before[0].starts_with("--- ") && before[1].starts_with("+++ ") && line.starts_with("@@ -") {
            return Some(starts[0]);
        }
        before = [before[1], line];
        starts = [starts[1], at];
        at += line.len();
    }
    None
}

/// The subject in the header of a patch file: what stands before its first empty line.
fn own_subject(text: &str) -> Option<String> {
    let mut lines =
        text.lines().take_while(|line| !line.is_empty()).skip_while(|line| !line.starts_with("Subject: "));
    let mut subject = lines.next()?.strip_prefix("Subject: ")?.to_owned();
    for more in lines.take_while(|line| line.starts_with([' ', '\t'])) {
        subject.push_str(more);
    }
    Some(subject)
}
