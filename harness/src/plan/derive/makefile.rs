//! Which options a source file needs to be built: `obj-$(CONFIG_X)` lines of its folder's Makefile
//! and of the folders above it.

use super::expr::{Blocks, Expr};
use super::{How, Place, TreeFiles};

/// How deep objects are made of objects: Linux has two levels.
const NESTING_MAX: usize = 6;

/// What a source file needs to be built; an error says where nothing builds it.
pub(super) fn needs(tree: &dyn TreeFiles, source: &str) -> Result<Expr, String> {
    let (folder, file) = source.rsplit_once('/').ok_or_else(|| format!("{source} is in no folder"))?;
    let object = format!("{}.o", file.strip_suffix(".c").unwrap_or(file));
    let makefile = Makefile::of(tree, folder).ok_or_else(|| format!("{folder} has no Makefile"))?;
    let own = match makefile.builds(&object, NESTING_MAX) {
        Some(own) => own,
        None => included(tree, folder, file, &makefile)
            .ok_or_else(|| format!("nothing in {} builds {object}", makefile.path))?,
    };
    Ok(own.and(folders(tree, folder)?))
}

/// A file that is no object may be a part of another: `#include "membarrier.c"`.
fn included(tree: &dyn TreeFiles, folder: &str, file: &str, makefile: &Makefile) -> Option<Expr> {
    let quoted = format!("\"{file}\"");
    for path in tree.files(folder, 0).into_iter().filter(|path| path.ends_with(".c")) {
        let Some(text) = tree.read(&path).filter(|text| text.contains(&quoted)) else { continue };
        let guard = super::define::guard_of(&path, &text, How::Include, |line| {
            line.trim_start_matches(['#', ' ', '\t']).starts_with("include") && line.contains(&quoted)
        });
        let stem = path.rsplit('/').next()?.strip_suffix(".c")?;
        if let Some(guard) = guard {
            return Some(guard.and(makefile.builds(&format!("{stem}.o"), NESTING_MAX)?));
        }
    }
    None
}

/// What a folder needs to be visited, up to the top.
fn folders(tree: &dyn TreeFiles, folder: &str) -> Result<Expr, String> {
    let mut expr = Expr::True;
    let mut folder = folder;
    while !folder.is_empty() {
        let mut above = folder;
        let found = loop {
            above = above.rsplit_once('/').map_or("", |(above, _)| above);
            let word = format!("{}/", folder[above.len()..].trim_start_matches('/'));
            let files = if above.is_empty() { vec!["Kbuild", "Makefile"] } else { vec![""] };
            let found = files.iter().find_map(|file| {
                let makefile = if file.is_empty() {
                    Makefile::of(tree, above)?
                } else {
                    Makefile::parse(file, &tree.read(file)?)
                };
                makefile.builds(&word, NESTING_MAX)
            });
            if found.is_some() || above.is_empty() {
                break found;
            }
        };
        expr = expr.and(found.ok_or_else(|| format!("no Makefile above {folder} descends into it"))?);
        folder = above;
    }
    Ok(expr)
}

/// One assignment.
#[derive(Debug)]
struct Line {
    /// `obj` of `obj-$(CONFIG_X)`, or a variable's whole name.
    base: String,
    /// `CONFIG_X` of the suffix.
    symbol: Option<String>,
    place: Place,
    /// What the blocks around it need.
    block: Expr,
    /// `:=` or `=`, which forget what the variable held.
    replaces: bool,
    words: Vec<String>,
}

impl Line {
    fn needs(&self, how: How) -> Expr {
        let option = self.symbol.as_ref().map(|symbol| Expr::option(symbol, how, &self.place));
        option.unwrap_or(Expr::True).and(self.block.clone())
    }
}

#[derive(Debug)]
struct Makefile {
    path: String,
    lines: Vec<Line>,
}

impl Makefile {
    /// The one that kbuild reads in a folder: Kbuild before Makefile.
    fn of(tree: &dyn TreeFiles, folder: &str) -> Option<Makefile> {
        ["Kbuild", "Makefile"].iter().find_map(|name| {
            let path = format!("{folder}/{name}");
            Some(Makefile::parse(&path, &tree.read(&path)?))
        })
    }

    fn parse(path: &str, text: &str) -> Makefile {
        let mut blocks = Blocks::default();
        let mut lines = Vec::new();
        let mut rest = text.lines().zip(1u32..);
        while let Some((first, number)) = rest.next() {
            let place = Place { file: path.to_owned(), line: number };
            let mut text = first.to_owned();
            while text.ends_with('\\') {
                text.pop();
                text.push(' ');
                match rest.next() {
                    Some((more, _)) => text.push_str(more),
                    None => break,
                }
            }
            let text = text.split('#').next().unwrap_or_default().trim();
            let text = text.replace("$(BITS)", "64").replace("$(SRCARCH)", "x86");
            if block(&mut blocks, &text, &place) {
                continue;
            }
            let Some((name, value)) = text.split_once('=') else { continue };
            let replaces = !name.ends_with(['+', '?']);
            let name = name.trim_end_matches([':', '+', '?', ' ', '\t']).trim();
            let words: Vec<String> = value.split_whitespace().map(str::to_owned).collect();
            // `obj-$(CONFIG_X)`, `obj-$(CONFIG_X:m=y)`; what else has a `$` in its name is not ours.
            let (base, symbol) = match name.split_once("-$(") {
                Some((base, symbol)) => (base, symbol.split([')', ':']).next()),
                None => {
                    let suffix = name.rsplit_once('-').filter(|(_, end)| matches!(*end, "y" | "objs" | "m"));
                    (suffix.map_or(name, |(base, _)| base), None)
                }
            };
            let (base, symbol) = (base.to_owned(), symbol.map(str::to_owned));
            lines.push(Line { base, symbol, place, block: blocks.here(), replaces, words });
        }
        Makefile { path: path.to_owned(), lines }
    }

    /// What this word needs to reach the kernel's objects; none if nothing here builds it.
    fn builds(&self, word: &str, depth: usize) -> Option<Expr> {
        let mut built: Option<Expr> = None;
        for (index, line) in self.lines.iter().enumerate() {
            if depth == 0 || !line.words.iter().any(|known| known == word) {
                continue;
            }
            // `core-y += kernel/` in the Makefile at the top, before 6.1.
            let top =
                matches!(line.base.as_str(), "obj" | "lib" | "core" | "drivers" | "libs" | "net" | "virt");
            let how = if word.ends_with('/') { How::Folder } else { How::Object };
            let mut expr = line.needs(how);
            if !top {
                let object = format!("{}.o", line.base);
                let listed = ["y", "objs"].map(|suffix| format!("$({}-{suffix})", line.base));
                let whole = [object]
                    .iter()
                    .chain(&listed)
                    .filter_map(|word| self.builds(word, depth - 1))
                    .reduce(Expr::or);
                let Some(whole) = whole else { continue };
                expr = expr.and(whole);
                // `mmu-y := nommu.o`, then `mmu-$(CONFIG_MMU) := …`: with the option, the first is gone.
                for later in
                    self.lines[index + 1..].iter().filter(|later| later.replaces && later.base == line.base)
                {
                    expr = expr.and(later.needs(how).not());
                }
            }
            built = Some(built.map_or(expr.clone(), |known| known.or(expr)));
        }
        built
    }
}

/// Follows a conditional of make; whether the line was one.
fn block(blocks: &mut Blocks, text: &str, place: &Place) -> bool {
    let (word, rest) = text.split_once(|c: char| c.is_whitespace() || c == '(').unwrap_or((text, ""));
    let condition = |word: &str, rest: &str| -> Option<Expr> {
        let option = |symbol: &str| Expr::option(symbol, How::Block, place);
        match word {
            "ifdef" => Some(option(rest.trim())),
            "ifndef" => Some(option(rest.trim()).not()),
            "ifeq" | "ifneq" => {
                let sides = rest.trim().trim_start_matches('(').trim_end_matches(')').split_once(',');
                let (left, right) = sides.unwrap_or_default();
                let symbol = left.trim().strip_prefix("$(").and_then(|rest| rest.strip_suffix(')'));
                let is_set = match (symbol, right.trim()) {
                    (Some(symbol), "y") => option(symbol),
                    (Some(symbol), "" | "n") => option(symbol).not(),
                    _ => Expr::Opaque,
                };
                Some(if word == "ifeq" { is_set } else { is_set.not() })
            }
            _ => None,
        }
    };
    match word {
        "else" => {
            let rest = rest.trim();
            let (word, rest) = rest.split_once(|c: char| c.is_whitespace() || c == '(').unwrap_or((rest, ""));
            blocks.otherwise(condition(word, rest).unwrap_or(Expr::True));
        }
        "endif" => blocks.close(),
        _ => match condition(word, rest) {
            Some(condition) => blocks.open(condition),
            None => return false,
        },
    }
    true
}
