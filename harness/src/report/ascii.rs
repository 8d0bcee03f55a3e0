//! Text for mail and for readers that know no other encoding.

/// A line in printable ASCII, whatever it was: what people use for looks becomes its like, and
/// everything else is spelled out. What escaped what a terminal obeys has run before.
pub(super) fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' '..='~' => out.push(c),
            '\t' | '\u{a0}' => out.push(' '),
            '\u{d7}' => out.push('x'),
            '\u{2026}' => out.push_str("..."),
            '\u{2010}'..='\u{2015}' => out.push('-'),
            '\u{2018}' | '\u{2019}' => out.push('\''),
            '\u{201c}' | '\u{201d}' => out.push('"'),
            c => out.extend(c.escape_default()),
        }
    }
    out
}
