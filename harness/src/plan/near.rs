//! "Did you mean …": names that are close to a word somebody typed.

/// How many suggestions a reader can use.
const SUGGESTIONS_MAX: usize = 3;
/// Longer words get no suggestion: the comparison is quadratic, and no name is that long.
const WORD_CHARS_MAX: usize = 128;
/// A part of a name shorter than this matches by accident.
const PART_CHARS_MIN: usize = 4;

/// The candidates nearest to `word`, best first, three at most. Near is one edit in three
/// characters, three edits at most, upper and lower case being the same; after those come names
/// that continue the word at an underscore, or the other way round (`X86_X32`, `X86_X32_ABI`).
pub fn near<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let target = letters(word);
    if target.is_empty() || target.len() > WORD_CHARS_MAX {
        return Vec::new();
    }
    let edits_max = (target.len() / 3).clamp(1, 3);
    let mut found: Vec<(usize, &str)> = Vec::new();
    for name in candidates {
        let letters = letters(name);
        let rank = match edits(&target, &letters, edits_max) {
            Some(edits) => edits,
            None if continues(&target, &letters) || continues(&letters, &target) => edits_max + 1,
            None => continue,
        };
        let candidate = (rank, name);
        if name != word && !found.contains(&candidate) {
            found.push(candidate);
            found.sort_unstable();
            found.truncate(SUGGESTIONS_MAX);
        }
    }
    found.into_iter().map(|(_, name)| name).collect()
}

fn letters(word: &str) -> Vec<char> {
    word.chars().map(|c| c.to_ascii_lowercase()).collect()
}

/// Whether `long` is `short` with more words before or after it.
fn continues(short: &[char], long: &[char]) -> bool {
    let Some(more) = long.len().checked_sub(short.len() + 1) else { return false };
    short.len() >= PART_CHARS_MIN
        && ((long.starts_with(short) && long[short.len()] == '_')
            || (long.ends_with(short) && long[more] == '_'))
}

/// The number of inserted, deleted, replaced or swapped neighbouring characters, up to `max`.
fn edits(left: &[char], right: &[char], max: usize) -> Option<usize> {
    if left.len().abs_diff(right.len()) > max {
        return None;
    }
    // Three rows of the distance table: swaps look two rows back.
    let mut before: Vec<usize> = vec![usize::MAX; right.len() + 1];
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let mut cost = (above[j] + usize::from(a != b)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                cost = cost.min(before[j - 1] + 1);
            }
            row.push(cost);
        }
        if row.iter().all(|cost| *cost > max) && above.iter().all(|cost| *cost > max) {
            return None;
        }
        before = above;
        above = row;
    }
    above.last().copied().filter(|cost| *cost <= max)
}
