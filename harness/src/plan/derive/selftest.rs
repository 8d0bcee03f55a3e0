//! Which folder of tools/testing/selftests has the tests of a syscall.

use std::collections::{BTreeMap, BTreeSet};

use super::{Candidate, Selftest, TreeFiles, Why};
use crate::broken::broken;
use crate::model::{SyscallName, Tests};

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
    program: Option<Program>,
    first: Option<String>,
}

/// A program with the call's name.
#[derive(Debug)]
struct Program {
    file: String,
    /// It mentions the call's number itself, or is named as a test of it.
    sure: bool,
    /// The last components of the files that it includes.
    includes: Vec<String>,
}

/// Looks for the folder.
pub(super) fn find(syscall: &SyscallName, tree: &dyn TreeFiles) -> Selftest {
    let name = syscall.as_str();
    let mut folders: BTreeMap<String, Evidence> = BTreeMap::new();
    // The top folder and the last component of each file that mentions the call.
    let mut mentioning: BTreeSet<(String, String)> = BTreeSet::new();
    let files = tree.files(SELFTESTS, DEPTH_MAX);
    let makefiles = makefiles(tree, &files);
    for folder in makefiles.keys().filter(|folder| last(folder) == name) {
        folders.entry(folder.clone()).or_default();
    }
    for path in &files {
        let source = [".c", ".h", ".S", ".cpp", ".cc"].iter().any(|ending| path.ends_with(ending));
        let Some(file) = below(path).filter(|_| source) else { continue };
        let Some((home, makefile)) = home(file, &makefiles) else { continue };
        let Some(text) = tree.read(path).filter(|text| text.contains(name)) else { continue };
        let (mentions, calls) = (mentions(&text, name), calls(&text, name));
        let inner = &file[home.len() + 1..];
        let evidence = folders.entry(home.to_owned()).or_default();
        evidence.mentions += usize::from(mentions);
        evidence.calls += usize::from(calls);
        if mentions {
            evidence.first.get_or_insert_with(|| inner.to_owned());
            mentioning.insert((top(file).to_owned(), last(file).to_owned()));
        }
        let stem = inner.strip_suffix(".c").or_else(|| inner.strip_suffix(".cpp"));
        let Some(stem) = stem.filter(|stem| (mentions || calls) && is_named_after(stem, name)) else {
            continue;
        };
        // What the Makefile never names is not built.
        if names(makefile, stem) {
            let sure = mentions || last(stem) != name;
            let included = text.lines().filter_map(|line| line.trim_start().strip_prefix("#include \""));
            let includes =
                included.map(|rest| last(rest.split('"').next().unwrap_or(rest)).to_owned()).collect();
            evidence.program.get_or_insert(Program { file: inner.to_owned(), sure, includes });
        }
    }
    rank(name, folders, &makefiles, &mentioning)
}

fn rank(
    name: &str,
    folders: BTreeMap<String, Evidence>,
    makefiles: &BTreeMap<String, String>,
    mentioning: &BTreeSet<(String, String)>,
) -> Selftest {
    // A program of that name is the call's only where something near it knows the call's number:
    // perf_events/mmap.c does not, and proc/read.c reads.
    let is_its = |folder: &str, program: &Program| {
        let near = |file: Option<&String>| {
            let same_top = |(top_of, known): &(String, String)| {
                top_of == top(folder) && file.is_none_or(|file| file == known)
            };
            mentioning.iter().any(same_top)
        };
        near(None) && (program.sure || program.includes.iter().any(|file| near(Some(file))))
    };
    let candidate = |(folder, evidence): (String, Evidence)| {
        let uses = evidence.mentions > 0 || evidence.calls > 0;
        let why = if last(&folder) == name && uses {
            Why::Named
        } else if evidence.program.as_ref().is_some_and(|program| is_its(&folder, program)) {
            Why::Program
        } else if uses && is_family(last(&folder), name) {
            Why::Family
        } else if evidence.mentions > 0 {
            Why::Mentions
        } else if last(&folder) == name || evidence.calls > 0 && mentioning.is_empty() {
            Why::Calls
        } else {
            return None;
        };
        let mentions = if why == Why::Calls { evidence.calls } else { evidence.mentions };
        let program = evidence.program.map(|program| program.file);
        Some(Candidate { folder: folder.parse().ok()?, why, file: program.or(evidence.first), mentions })
    };
    let mut candidates: Vec<Candidate> = folders.into_iter().filter_map(candidate).collect();
    // Of two folders of that name the one nearer to the top is the call's own.
    let depth = |candidate: &Candidate| match candidate.why {
        Why::Named => candidate.folder.as_str().matches('/').count(),
        Why::Program | Why::Family | Why::Mentions | Why::Calls => 0,
    };
    candidates.sort_by_key(|c| (c.why, depth(c), std::cmp::Reverse(c.mentions), c.folder.clone()));
    // That sources mention a call says that they use it, not that they test it.
    let strong = |first: &&Candidate| {
        let rival =
            candidates.get(1).is_some_and(|second| (second.why, depth(second)) == (first.why, depth(first)));
        (first.why < Why::Mentions || broken("selftest-named")) && !rival
    };
    let chosen = candidates.first().filter(strong).map(|first| Tests {
        dir: first.folder.clone(),
        only: unlisted(first, makefiles).and_then(|program| program.parse().ok()),
    });
    Selftest { candidates, chosen }
}

fn below(path: &str) -> Option<&str> {
    path.strip_prefix(SELFTESTS)?.strip_prefix('/')
}

/// The folders that build something, with their Makefiles.
fn makefiles(tree: &dyn TreeFiles, files: &[String]) -> BTreeMap<String, String> {
    let folders = files.iter().filter_map(|path| Some((path, below(path)?.strip_suffix("/Makefile")?)));
    let ours = folders.filter(|(_, folder)| !is_other_arch(tree, top(folder)));
    ours.filter_map(|(path, folder)| Some((folder.to_owned(), tree.read(path)?))).collect()
}

/// The folder that builds a file: the nearest one above it with a Makefile.
fn home<'a>(file: &str, makefiles: &'a BTreeMap<String, String>) -> Option<(&'a str, &'a str)> {
    let mut folder = file;
    loop {
        folder = folder.rsplit_once('/')?.0;
        if let Some((folder, makefile)) = makefiles.get_key_value(folder) {
            return Some((folder, makefile));
        }
    }
}

fn top(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
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

/// The program that makes a folder a candidate, if its Makefile builds it as a file that some test needs,
/// and lists it nowhere as a test.
fn unlisted<'a>(candidate: &'a Candidate, makefiles: &BTreeMap<String, String>) -> Option<&'a str> {
    let file = candidate.file.as_deref().filter(|_| candidate.why == Why::Program)?;
    let stem = file.strip_suffix(".c")?;
    let makefile = makefiles.get(candidate.folder.as_str())?;
    let is_in = |variables: &[&str]| values(makefile, variables).any(|word| word == stem);
    let built = is_in(&["TEST_GEN_FILES", "TEST_GEN_PROGS_EXTENDED"]);
    (built && !is_in(&["TEST_GEN_PROGS", "TEST_CUSTOM_PROGS"])).then_some(stem)
}

/// The words that a Makefile gives these variables, whatever the condition.
fn values<'a>(makefile: &'a str, variables: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let mut goes_on = false;
    makefile.lines().flat_map(move |line| {
        let assigned =
            line.split_once('=').map(|(left, right)| (left.trim_end_matches([':', '+', '?']), right));
        let words = match assigned.filter(|(left, _)| variables.contains(&left.trim())) {
            Some((_, right)) => Some(right),
            None => Some(line).filter(|_| goes_on),
        };
        goes_on = words.is_some() && line.ends_with('\\');
        words.unwrap_or_default().trim_end_matches('\\').split_whitespace()
    })
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
