//! Diagnostics on their way to a case: a bounded head and tail of what was said.

use std::collections::VecDeque;

use super::line::clip;

/// Lines that wait for the case they belong to.
pub(super) struct Notes {
    half: usize,
    head: String,
    tail: VecDeque<String>,
    tail_bytes: usize,
    left_out: u64,
}

impl Notes {
    /// Keeps about `max` bytes: half from the beginning, half from the end.
    pub(super) fn new(max: usize) -> Notes {
        Notes { half: max / 2, head: String::new(), tail: VecDeque::new(), tail_bytes: 0, left_out: 0 }
    }

    /// Adds a line. Empty ones say nothing and are dropped.
    pub(super) fn push(&mut self, line: &str) {
        let line = clip(line, self.half.saturating_sub(1));
        if line.is_empty() {
            return;
        }
        let bytes = line.len() + 1;
        if self.tail.is_empty() && self.head.len() + bytes <= self.half {
            self.head.push_str(line);
            self.head.push('\n');
            return;
        }
        self.tail.push_back(line.to_owned());
        self.tail_bytes += bytes;
        while self.tail_bytes > self.half {
            let Some(dropped) = self.tail.pop_front() else { break };
            self.tail_bytes -= dropped.len() + 1;
            self.left_out += 1;
        }
    }

    /// What was kept, if anything, without a last newline.
    pub(super) fn take(&mut self) -> Option<String> {
        let mut text = std::mem::take(&mut self.head);
        if self.left_out > 0 {
            text.push_str(&format!("[{} lines left out]\n", self.left_out));
        }
        for line in self.tail.drain(..) {
            text.push_str(&line);
            text.push('\n');
        }
        (self.tail_bytes, self.left_out) = (0, 0);
        text.truncate(text.trim_end().len());
        (!text.is_empty()).then_some(text)
    }
}

/// Adds late notes to a message, unless it is full.
pub(super) fn append(message: &mut Option<String>, notes: &str, max: usize) {
    match message {
        None => *message = Some(notes.to_owned()),
        Some(message) if message.len() + notes.len() < max => {
            message.push('\n');
            message.push_str(notes);
        }
        Some(_) => {}
    }
}
