//! Where a kernel function that the tables name is defined, and what that needs.

use std::collections::{BTreeMap, BTreeSet};

use super::expr::{Blocks, Expr};
use super::{How, Place, TreeFiles};

/// Where both of Debian's kernels have every `SYSCALL_DEFINE` of x86: folder and how far below it.
/// The rest of the tree is only looked at for what is not found here.
const NEAR: [(&str, usize); 18] = [
    ("kernel", 1),
    ("fs", 0),
    ("fs/notify", 1),
    ("fs/quota", 0),
    ("mm", 0),
    ("ipc", 0),
    ("net", 0),
    ("io_uring", 0),
    ("block", 0),
    ("security", 1),
    ("init", 0),
    ("arch/x86/kernel", 0),
    ("arch/x86/entry", 0),
    ("arch/x86/ia32", 0),
    ("arch/x86/mm", 0),
    ("drivers/pci", 0),
    ("drivers/char", 0),
    ("lib", 0),
];

/// The rest, drivers left out: 450 MB of C in which a syscall would be news.
const FAR: [&str; 10] =
    ["kernel", "fs", "mm", "net", "security", "io_uring", "block", "arch/x86", "virt", "crypto"];

/// How deep folders lie in a kernel tree, with room.
const DEPTH_MAX: usize = 8;
/// How long a syscall's body may be, in lines, in which `IS_ENABLED` is looked for.
const BODY_LINES_MAX: usize = 200;

/// A function as the tables name it: `sys_x` or `compat_sys_x`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Function {
    pub name: String,
    pub compat: bool,
}

impl Function {
    pub fn of(function: &str) -> Option<Function> {
        let compat = function.strip_prefix("compat_sys_");
        let name = compat.or_else(|| function.strip_prefix("sys_"))?;
        Some(Function { name: name.to_owned(), compat: compat.is_some() })
    }

    /// Whether a macro defines such a function in a 64-bit kernel.
    fn is_by(&self, macro_name: &str) -> bool {
        let stem = macro_name.trim_end_matches(|c: char| c.is_ascii_digit());
        match stem {
            "SYSCALL_DEFINE" => !self.compat,
            // The signal code of x86 calls SYSCALL32_DEFINE what is compat on 64 bit.
            "COMPAT_SYSCALL_DEFINE" | "SYSCALL32_DEFINE" => self.compat,
            _ => false,
        }
    }
}

/// One definition, with what it needs.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub macro_name: String,
    pub place: Place,
    /// What the file around it and its body ask for.
    pub guard: Expr,
}

/// What the sources say of the functions that were asked for.
#[derive(Debug, Default)]
pub(super) struct Sites {
    pub defined: BTreeMap<Function, Vec<Site>>,
    /// `COND_SYSCALL`, `SYS_NI` and their compat siblings.
    pub conditional: BTreeMap<Function, Place>,
}

/// Looks for the definitions of `functions`.
pub(super) fn find(tree: &dyn TreeFiles, functions: &BTreeSet<Function>) -> Sites {
    let mut sites = Sites::default();
    let mut seen = BTreeSet::new();
    let mut look = |sites: &mut Sites, folder: &str, depth: usize| {
        for path in tree.files(folder, depth) {
            if !path.ends_with(".c") || path.starts_with("arch/x86/um/") || !seen.insert(path.clone()) {
                continue;
            }
            if let Some(text) = tree.read(&path).filter(|text| text.contains("SYS")) {
                scan(&path, &text, functions, sites);
            }
        }
    };
    for (folder, depth) in NEAR {
        look(&mut sites, folder, depth);
    }
    if functions.iter().any(|function| !sites.defined.contains_key(function)) {
        for folder in FAR {
            look(&mut sites, folder, DEPTH_MAX);
        }
    }
    sites
}

fn scan(path: &str, text: &str, functions: &BTreeSet<Function>, sites: &mut Sites) {
    if !functions.iter().any(|function| text.contains(&function.name)) {
        return;
    }
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let Some((macro_name, arguments)) = line.split_once('(') else { continue };
        let macro_name = macro_name.trim();
        let is_define = macro_name.contains("SYSCALL") && macro_name.contains("_DEFINE");
        let is_conditional = macro_name.starts_with("COND_SYSCALL") || macro_name.ends_with("SYS_NI");
        if !(is_define || is_conditional)
            || !macro_name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        {
            continue;
        }
        // The name may stand on the next line.
        let arguments =
            if arguments.trim().is_empty() { lines.get(index + 1).unwrap_or(&"") } else { arguments };
        let name = arguments.split([',', ')']).next().unwrap_or_default().trim();
        let place = Place { file: path.to_owned(), line: u32::try_from(index + 1).unwrap_or(u32::MAX) };
        for function in functions.iter().filter(|function| function.name == name) {
            if is_conditional {
                if function.compat == (macro_name.contains("COMPAT")) {
                    sites.conditional.entry(function.clone()).or_insert_with(|| place.clone());
                }
            } else if function.is_by(macro_name) {
                let guard = guard_at(path, &lines, index, How::Guard).and(body(path, &lines, index));
                let site = Site { macro_name: macro_name.to_owned(), place: place.clone(), guard };
                sites.defined.entry(function.clone()).or_default().push(site);
            }
        }
    }
}

/// What the conditionals around the first line that is `wanted` need; none without such a line.
pub(super) fn guard_of(path: &str, text: &str, how: How, wanted: impl Fn(&str) -> bool) -> Option<Expr> {
    let lines: Vec<&str> = text.lines().collect();
    let index = lines.iter().position(|line| wanted(line))?;
    Some(guard_at(path, &lines, index, how))
}

/// What the conditionals of the preprocessor around a line need.
fn guard_at(path: &str, lines: &[&str], end: usize, how: How) -> Expr {
    let mut blocks = Blocks::default();
    for (index, line) in lines[..end].iter().enumerate() {
        let Some(directive) = line.trim_start().strip_prefix('#') else { continue };
        let directive = directive.trim_start();
        let (word, rest) =
            directive.split_once(|c: char| c.is_whitespace() || c == '(').unwrap_or((directive, ""));
        // The bracket that ended the word belongs to the condition.
        let rest = if directive[word.len()..].starts_with('(') { &directive[word.len()..] } else { rest };
        let mut whole = rest.to_owned();
        for more in &lines[index + 1..end] {
            let Some(cut) = whole.strip_suffix('\\') else { break };
            whole = format!("{cut} {more}");
        }
        let place = Place { file: path.to_owned(), line: u32::try_from(index + 1).unwrap_or(u32::MAX) };
        let option = || Expr::option(rest.split_whitespace().next().unwrap_or_default(), how, &place);
        match word {
            "ifdef" => blocks.open(option()),
            "ifndef" => blocks.open(option().not()),
            "if" => blocks.open(Expr::preprocessor(&whole, how, &place)),
            "elif" => blocks.otherwise(Expr::preprocessor(&whole, how, &place)),
            "else" => blocks.otherwise(Expr::True),
            "endif" => blocks.close(),
            _ => {}
        }
    }
    blocks.here()
}

/// `if (!IS_ENABLED(CONFIG_X)) return -ENOSYS;` in the body.
fn body(path: &str, lines: &[&str], start: usize) -> Expr {
    let end = lines[start..].iter().take(BODY_LINES_MAX).position(|line| line.starts_with('}'));
    let body = &lines[start..start + end.unwrap_or(0)];
    for (index, line) in body.iter().enumerate() {
        let refuses = body[index..].iter().take(2).any(|line| line.contains("-ENOSYS"));
        if let Some((_, rest)) = line.split_once("!IS_ENABLED(").filter(|_| refuses) {
            let line = u32::try_from(start + index + 1).unwrap_or(u32::MAX);
            let place = Place { file: path.to_owned(), line };
            return Expr::option(rest.split(')').next().unwrap_or_default().trim(), How::Body, &place);
        }
    }
    Expr::True
}
