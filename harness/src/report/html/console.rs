//! A cell's console as the page shows it: its reports marked, the rest of it as far as there is room.

use std::ops::RangeInclusive;

use super::shown::Shown;
use crate::judge::console::extents;
use crate::report::record::FindingRecord;

/// Lines before a report that are shown with it: what led to it.
const BEFORE: u64 = 4;
/// Lines of one report that are shown. The longest stacks have a hundred.
const REPORT_LINES: u64 = 160;
/// Reports that are marked; a console with more repeats the first ones.
const REPORTS: usize = 12;

/// The console of one cell.
#[derive(Debug)]
pub(super) struct Console {
    /// Its lines in all.
    pub(super) total: u64,
    /// Those that are here.
    pub(super) kept: u64,
    /// The lines, gaps and reports in order.
    pub(super) blocks: Vec<Block>,
}

/// Lines that belong together.
#[derive(Debug)]
pub(super) struct Block {
    /// The number of the report, from 1, and its title, if it is one.
    pub(super) splat: Option<(usize, Shown)>,
    /// Lines left out before it.
    pub(super) gap: u64,
    /// Its lines.
    pub(super) lines: Vec<Line>,
}

/// One line.
#[derive(Debug)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: u64,
    /// What it says.
    pub(super) text: Shown,
}

impl Console {
    /// What of a console is shown within about `most` lines: its reports, then its end, then its
    /// beginning.
    pub(super) fn of(console: &[u8], findings: &[FindingRecord], most: u64) -> Console {
        let lines: Vec<&[u8]> = console.split_inclusive(|byte| *byte == b'\n').collect();
        let total = lines.len() as u64;
        let reports = if findings.is_empty() { Vec::new() } else { reports(console, findings, total) };
        let mut wanted: Vec<RangeInclusive<u64>> = Vec::new();
        if total <= most {
            wanted.push(1..=total);
        } else {
            wanted.extend(reports.iter().map(|(lines, _)| {
                let (first, last) = (*lines.start(), *lines.end());
                first.saturating_sub(BEFORE).max(1)..=last
            }));
            let room = most.saturating_sub(wanted.iter().map(|lines| lines.end() - lines.start() + 1).sum());
            wanted.push(1..=room / 4);
            wanted.push(total - (room - room / 4) + 1..=total);
        }
        let mut blocks: Vec<Block> = Vec::new();
        let (mut next, mut kept) = (1, 0);
        let mut block_of = None;
        wanted.sort_by_key(|lines| *lines.start());
        for number in wanted.into_iter().flatten() {
            if number < next {
                continue;
            }
            let of = reports.iter().position(|(lines, _)| lines.contains(&number));
            if blocks.is_empty() || number > next || of != block_of {
                let splat = of.map(|at| (at + 1, Shown::line(reports[at].1)));
                blocks.push(Block { splat, gap: number - next, lines: Vec::new() });
                block_of = of;
            }
            let text = Shown::line(trimmed(lines[number as usize - 1]));
            blocks.last_mut().expect("pushed above").lines.push(Line { number, text });
            (next, kept) = (number + 1, kept + 1);
        }
        Console { total, kept, blocks }
    }

    /// How many lines after the last one that is here are not.
    pub(super) fn gap_at_end(&self) -> u64 {
        let last = self.blocks.last().and_then(|block| block.lines.last());
        self.total - last.map_or(0, |line| line.number)
    }

    /// The reports that are marked: number, title, first line.
    pub(super) fn splats(&self) -> impl Iterator<Item = (usize, &Shown, u64)> {
        self.blocks.iter().filter_map(|block| {
            let (number, title) = block.splat.as_ref()?;
            Some((*number, title, block.lines.first()?.number))
        })
    }

    /// How many bytes of text it has.
    pub(super) fn bytes(&self) -> usize {
        self.blocks.iter().flat_map(|block| &block.lines).map(|line| line.text.len()).sum()
    }
}

/// The lines of the reports that the cell was judged by, with their titles. No two overlap.
fn reports<'a>(
    console: &[u8],
    findings: &'a [FindingRecord],
    total: u64,
) -> Vec<(RangeInclusive<u64>, &'a str)> {
    let extents = extents(console);
    let mut reports: Vec<(RangeInclusive<u64>, &str)> = Vec::new();
    for finding in findings.iter().filter(|finding| (1..=total).contains(&finding.line)).take(REPORTS) {
        let known = extents.iter().find(|lines| *lines.start() == finding.line);
        let last = known.map_or(finding.line, |lines| *lines.end());
        let last = last.min(finding.line + REPORT_LINES - 1);
        if let Some((before, _)) = reports.last_mut() {
            if finding.line <= *before.start() {
                continue;
            }
            *before = *before.start()..=(*before.end()).min(finding.line - 1);
        }
        reports.push((finding.line..=last, &finding.title));
    }
    reports
}

fn trimmed(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |at| at + 1);
    &line[..end]
}
