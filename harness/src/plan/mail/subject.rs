//! The subject of a mail: `[PATCH RFC net-next v3 2/5] xyzzy: add it`.

use crate::plan::yaml::escape;

/// What a subject says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    /// It begins with `Re:` or a sibling of it.
    pub is_reply: bool,
    /// It has a tag with PATCH or RFC, or one with a number.
    pub is_patch: bool,
    pub version: u32,
    /// None where the tag has no `n/m`: a single patch.
    pub number: Option<u32>,
    pub of: u32,
    /// It says that it was sent before.
    pub is_again: bool,
    /// Without the tags.
    pub title: String,
}

impl Subject {
    pub fn parse(text: &str) -> Subject {
        let mut subject = Subject {
            is_reply: false,
            is_patch: false,
            version: 1,
            number: None,
            of: 1,
            is_again: false,
            title: String::new(),
        };
        let mut rest = text.trim();
        // Lists put their own tag before or after the `Re:`.
        loop {
            if let Some((tag, more)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                subject.tag(tag);
                rest = more.trim_start();
            } else if let Some(more) = reply(rest) {
                subject.is_reply = true;
                rest = more.trim_start();
            } else {
                break;
            }
        }
        // A header that was folded, or that means harm, is one line of text here.
        subject.title = escape(&rest.split_whitespace().collect::<Vec<_>>().join(" "));
        subject
    }

    fn tag(&mut self, tag: &str) {
        for word in tag.split(|c: char| c.is_whitespace() || c == ',') {
            let upper = word.to_ascii_uppercase();
            let version = upper.strip_prefix("PATCH").unwrap_or(&upper).strip_prefix('V');
            if let Some(version) = version.and_then(|digits| digits.parse().ok()) {
                self.version = version;
            }
            self.is_again |= upper == "RESEND" || upper == "REPOST";
            self.is_patch |= upper.starts_with("PATCH") || upper == "RFC";
            if let Some((number, of)) = word.split_once('/')
                && let (Ok(number), Ok(of)) = (number.parse::<u32>(), of.parse::<u32>())
                && number <= of
                && of > 0
            {
                self.is_patch = true;
                (self.number, self.of) = (Some(number), of);
            }
        }
    }
}

/// What follows `Re:`; German, Scandinavian and forwarding programs have their own words for it.
fn reply(text: &str) -> Option<&str> {
    let (word, rest) = text.split_once(':')?;
    let word = word.trim();
    ["re", "aw", "antw", "sv", "vs", "fwd", "fw"]
        .iter()
        .any(|known| word.eq_ignore_ascii_case(known))
        .then_some(rest)
}
