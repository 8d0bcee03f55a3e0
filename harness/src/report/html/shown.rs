//! The only kind of text that a template of the page is given: spelled out, bounded, and escaped by
//! the template when it is written.

use std::fmt;

use crate::judge::console::sanitize;

/// Text as the page may show it. No control character, escape sequence or invisible character is
/// left in it but line ends between lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown(String);

impl Shown {
    /// One line.
    pub(super) fn line(text: impl AsRef<[u8]>) -> Shown {
        Shown(sanitize(text))
    }

    /// Several lines, at most so many; how many are left out is said.
    pub(super) fn lines(text: &str, most: usize) -> Shown {
        let total = text.lines().count();
        let mut out: Vec<String> = text.lines().take(most).map(sanitize).collect();
        if total > most {
            out.push(format!("… and {} lines more", total - most));
        }
        Shown(out.join("\n"))
    }

    /// A command line, an option on each line, as a shell takes it.
    pub(super) fn command(line: &str) -> Shown {
        let mut parts = vec![String::new()];
        let mut quoted = false;
        let mut last = ' ';
        for word in line.trim_end().split_inclusive(' ') {
            if !quoted && last == ' ' && word.starts_with('-') && parts.len() < OPTIONS_MAX {
                parts.push(String::new());
            }
            quoted ^= word.matches('\'').count() % 2 == 1;
            last = word.chars().last().unwrap_or(' ');
            parts.last_mut().expect("one is there from the start").push_str(word);
        }
        let parts: Vec<String> = parts.iter().map(|part| sanitize(part.trim_end())).collect();
        Shown(parts.join(" \\\n  "))
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Options of a command line that get a line of their own; QEMU's has some twenty.
const OPTIONS_MAX: usize = 100;

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
