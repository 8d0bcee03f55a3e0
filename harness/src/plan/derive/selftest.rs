//! Which folder of tools/testing/selftests has the tests of a syscall.

use std::collections::BTreeMap;

use super::{Candidate, Selftest, TreeFiles, Why};
use crate::model::SyscallName;

/// Where the kernel's selftests lie.
pub const SELFTESTS: &str = "tools/testing/selftests";
/// How deep sources lie below it: Linux has five.
const DEPTH_MAX: usize = 7;

/// What the sources of one folder say.
#[derive(Debug, Default)]
struct Evidence {
    mentions: usize,
    /// Calls of a function of that name, which the C library may have.
    calls: usize,
    program: Option<String>,
    first: Option<String>,
}

/// Looks for the folder.
pub(super) fn find(syscall: &SyscallName, tree: &dyn TreeFiles) -> Selftest {
    let name = syscall.as_str();
    let mut folders: BTreeMap<String, Evidence> = BTreeMap::new();
    let mut makefiles: BTreeMap<String, String> = BTreeMap::new();
    let files = tree.files(SELFTESTS, DEPTH_MAX);
    let below = |path: &str| path.strip_prefix(SELFTESTS).map(|path| path.trim_start_matches('/').to_owned());
    for path in files.iter().filter(|path| path.ends_with("/Makefile")) {
        let folder = below(path).and_then(|path| Some(path.rsplit_once('/')?.0.to_owned()));
        if let Some((folder, text)) = folder.zip(tree.read(path)) {
            let foreign = folder.split('/').next().is_some_and(|top| is_other_arch(tree, top));
            if !foreign {
                makefiles.insert(folder, text);
            }
        }
    }
    for path in &files {
        let source = [".c", ".h", ".S", ".cpp", ".cc"].iter().any(|ending| path.ends_with(ending));
        let Some(file) = below(path).filter(|_| source) else { continue };
        // The tests of a folder without a Makefile are built by the one above it.
        let mut folder = file.as_str();
        let home = loop {
            let Some((above, _)) = folder.rsplit_once('/') else { break None };
            folder = above;
            if let Some((folder, makefile)) = makefiles.get_key_value(folder) {
                break Some((folder, makefile));
            }
        };
        let Some((home, makefile)) = home else { continue };
        let Some(text) = tree.read(path).filter(|text| text.contains(name)) else { continue };
        let (mentions, calls) = (mentions(&text, name), calls(&text, name));
        let inner = &file[home.len() + 1..];
        let evidence = folders.entry(home.clone()).or_default();
        evidence.mentions += usize::from(mentions);
        evidence.calls += usize::from(calls);
        if mentions && evidence.first.is_none() {
            evidence.first = Some(inner.to_owned());
        }
        let stem =
            inner.strip_suffix(".c").or_else(|| inner.strip_suffix(".cpp")).filter(|_| mentions || calls);
        // A program of that name that the Makefile never names is not built.
        if let Some(stem) = stem.filter(|stem| is_named_after(stem, name) && names(makefile, stem)) {
            evidence.program.get_or_insert_with(|| format!("{stem}{}", &inner[stem.len()..]));
        }
    }
    for folder in makefiles.keys().filter(|folder| last(folder) == name) {
        folders.entry(folder.clone()).or_default();
    }
    let mentioned = folders.values().any(|evidence| evidence.mentions > 0 || evidence.program.is_some());
    let candidate = |(folder, evidence): (String, Evidence)| {
        let counts = evidence.mentions > 0 || evidence.calls > 0;
        let why = if last(&folder) == name {
            Why::Named
        } else if evidence.program.is_some() {
            Why::Program
        } else if counts && is_family(last(&folder), name) {
            Why::Family
        } else if evidence.mentions > 0 {
            Why::Mentions
        } else if evidence.calls > 0 && !mentioned {
            Why::Calls
        } else {
            return None;
        };
        let mentions = evidence.mentions.max(if why == Why::Calls { evidence.calls } else { 0 });
        let folder = folder.parse().ok()?;
        Some(Candidate { folder, why, file: evidence.program.or(evidence.first), mentions })
    };
    let mut candidates: Vec<Candidate> = folders.into_iter().filter_map(candidate).collect();
    let depth = |candidate: &Candidate| candidate.folder.as_str().matches('/').count();
    candidates.sort_by_key(|c| {
        (
            c.why,
            if c.why == Why::Named { depth(c) } else { 0 },
            std::cmp::Reverse(c.mentions),
            c.folder.clone(),
        )
    });
    let alone = match candidates.as_slice() {
        [] => false,
        [_] => true,
        // Two folders of that name: the one at the top is the call's own.
        [first, second, ..] if first.why == Why::Named => {
            second.why != Why::Named || depth(first) < depth(second)
        }
        [first, second, ..] => first.why < second.why,
    };
    let chosen = candidates.first().filter(|_| alone).map(|first| first.folder.clone());
    Selftest { candidates, chosen }
}

/// arm64, powerpc, riscv …: the folder of an architecture that is not ours.
fn is_other_arch(tree: &dyn TreeFiles, folder: &str) -> bool {
    folder != "x86" && !tree.files(&format!("arch/{folder}"), 0).is_empty()
}

fn last(folder: &str) -> &str {
    folder.rsplit('/').next().unwrap_or(folder)
}

/// `landlock` for `landlock_create_ruleset`, `timers` for `timer_create`.
fn is_family(folder: &str, name: &str) -> bool {
    let begins = |stem: &str| name.strip_prefix(stem).is_some_and(|rest| rest.starts_with('_'));
    begins(folder) || folder.strip_suffix('s').is_some_and(begins)
}

/// `close_range_test` for `close_range`.
fn is_named_after(stem: &str, name: &str) -> bool {
    let stem = last(stem).replace('-', "_");
    let stem = stem.strip_prefix("test_").unwrap_or(&stem);
    let rest = stem.strip_prefix(name);
    rest.is_some_and(|rest| matches!(rest, "" | "_test" | "_tests" | "_selftest" | "_selftests"))
}

/// Whether a Makefile names a program, or takes all that it finds.
fn names(makefile: &str, stem: &str) -> bool {
    let mut words = makefile.split(|c: char| c.is_whitespace() || "=()/".contains(c));
    let stem = last(stem);
    makefile.contains("$(wildcard *.c)") || words.any(|word| word.strip_suffix(".c").unwrap_or(word) == stem)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Whether a source has `__NR_name` or `SYS_name`.
fn mentions(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        let number = before.ends_with("__NR_")
            || before.strip_suffix("SYS_").is_some_and(|before| !before.ends_with(is_word));
        number && !after.starts_with(is_word)
    })
}

/// Whether a source calls or defines a function of that name.
fn calls(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        !before.ends_with(is_word)
            && !before.ends_with(['.', '>'])
            && after.trim_start_matches(' ').starts_with('(')
    })
}
