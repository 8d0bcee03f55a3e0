//! What a patch touches, read before it is applied. Pure.
//!
//! `git apply` is careful itself; this is the second pair of eyes, and it knows the hunks by
//! number, which git's messages do not.

use crate::broken::broken;
use crate::model::RelPath;

/// Why a patch is refused unapplied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields mean")]
pub enum Refused {
    #[error("line {line}: the path {path:?} does not stay inside the tree")]
    Path { line: usize, path: String },
    #[error(
        "line {line}: {path:?} begins with neither a/ nor b/: was it made with diff.noprefix or \
         diff.mnemonicPrefix? `git format-patch --src-prefix=a/ --dst-prefix=b/` has them"
    )]
    Prefix { line: usize, path: String },
    #[error("line {line}: {path} would become a {what}: a series has plain files only")]
    Mode { line: usize, path: String, what: &'static str },
    #[error("line {line}: {path} is a binary patch")]
    Binary { line: usize, path: String },
    #[error("it changes no file")]
    Empty,
    #[error("line {line}: hunk header {header:?} is not one")]
    Hunk { line: usize, header: String },
    #[error("it ends in the middle of a hunk of {path}")]
    Truncated { path: String },
}

/// One hunk, as a message names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HunkName {
    /// Counted from 1 within its file.
    pub number: usize,
    /// How many its file has.
    pub of: usize,
    /// The `@@` line.
    pub header: String,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct File {
    paths: Vec<String>,
    /// First old line and header of each hunk.
    hunks: Vec<(u64, String)>,
}

/// What a patch touches.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Inspected {
    files: Vec<File>,
}

impl Inspected {
    /// Every path that is read, written, created, removed or renamed.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.iter().flat_map(|file| file.paths.iter().map(String::as_str))
    }

    /// The hunk of `path` that begins at old line `at`.
    pub fn hunk_at(&self, path: &str, at: u64) -> Option<HunkName> {
        let file = self.files.iter().find(|file| file.paths.iter().any(|p| p == path))?;
        let number = file.hunks.iter().position(|(line, _)| *line == at)?;
        let header = file.hunks[number].1.clone();
        Some(HunkName { number: number + 1, of: file.hunks.len(), header })
    }
}

/// Reads a patch in git's format; mail headers and trailing text are passed over.
pub fn inspect(text: &str) -> Result<Inspected, Refused> {
    let mut found = Inspected::default();
    // Lines of the current hunk still to come: old side, new side.
    let mut left = (0u64, 0u64);
    // Between `diff --git` and the first line that is none of its header's, as git sees it.
    let mut in_header = false;
    // What the header has said so far: git takes /dev/null for a name like any other unless so.
    let (mut is_new, mut is_deleted) = (false, false);
    let lines: Vec<&str> = text.lines().collect();
    for (index, &line) in lines.iter().enumerate() {
        let number = index + 1;
        if left != (0, 0) {
            match line.as_bytes().first() {
                Some(b'-') => left.0 = left.0.saturating_sub(1),
                Some(b'+') => left.1 = left.1.saturating_sub(1),
                Some(b'\\') => {}
                // An empty line is an empty context line whose blank a mailer cut off.
                _ => left = (left.0.saturating_sub(1), left.1.saturating_sub(1)),
            }
            continue;
        }
        if let Some(names) = line.strip_prefix("diff --git ") {
            // An empty file or a change of mode has no other line that names it.
            let mut file = File::default();
            for name in names.split(' ') {
                let path = inside(name.strip_prefix("a/").or_else(|| name.strip_prefix("b/")).unwrap_or(""));
                // A name with a blank in it has its prefix before that.
                let first = if names.starts_with("a/") { names } else { name };
                let path = path.ok_or_else(|| refuse(number, first, names))?;
                if !file.paths.contains(&path) {
                    file.paths.push(path);
                }
            }
            found.files.push(file);
            in_header = true;
            (is_new, is_deleted) = (false, false);
            continue;
        }
        is_new |= line.starts_with("new file mode ");
        is_deleted |= line.starts_with("deleted file mode ");
        in_header &= HEADER.iter().any(|start| line.starts_with(start));
        let follows =
            |ahead: usize, start: &str| lines.get(index + ahead).is_some_and(|l| l.starts_with(start));
        // As git tells a header from prose: `---`, `+++` and `@@` on three lines in a row, or any
        // of them after `diff --git`.
        let named = match line.get(..4) {
            Some("--- ") if in_header && !is_new => path_of(line).map(no_null),
            Some("+++ ") if in_header && !is_deleted => path_of(line).map(no_null),
            _ if in_header => path_of(line),
            Some("--- ") if !(follows(1, "+++ ") && follows(2, "@@ -")) => None,
            Some("--- ") => {
                if found.files.last().is_none_or(|file| !file.hunks.is_empty()) {
                    found.files.push(File::default());
                }
                path_of(line)
            }
            Some("+++ ") if !follows(1, "@@ -") => None,
            _ => path_of(line),
        };
        let Some(file) = found.files.last_mut() else { continue };
        if let Some(path) = named {
            let path = path.map_err(|path| refuse(number, &path, &path))?;
            if let Some(path) = path.filter(|path| !file.paths.contains(path)) {
                file.paths.push(path);
            }
        } else if let Some(mode) = line
            .strip_prefix("new file mode ")
            .or_else(|| line.strip_prefix("new mode "))
            .or_else(|| line.strip_prefix("old mode "))
            .or_else(|| line.strip_prefix("deleted file mode "))
        {
            let what = match mode.get(..3) {
                Some("100") => continue,
                _ if broken("patch-modes") => continue,
                Some("120") => "symbolic link",
                Some("160") => "submodule",
                _ => "file of an unknown kind",
            };
            let path = file.paths.first().cloned().unwrap_or_else(|| "a file".to_owned());
            return Err(Refused::Mode { line: number, path, what });
        } else if line.starts_with("GIT binary patch") || line.starts_with("Binary files ") {
            let path = file.paths.first().cloned().unwrap_or_else(|| "a file".to_owned());
            return Err(Refused::Binary { line: number, path });
        } else if line.starts_with("@@ ") {
            let bad = || Refused::Hunk { line: number, header: line.chars().take(80).collect() };
            let (at, old, new) = hunk_header(line).ok_or_else(bad)?;
            left = (old, new);
            file.hunks.push((at, line.to_owned()));
        }
    }
    if left != (0, 0) {
        let path = found.files.last().and_then(|file| file.paths.first().cloned());
        return Err(Refused::Truncated { path: path.unwrap_or_default() });
    }
    found.files.retain(|file| !file.paths.is_empty());
    if found.files.is_empty() { Err(Refused::Empty) } else { Ok(found) }
}

/// How the lines of a header start that `diff --git` opens.
const HEADER: [&str; 15] = [
    "--- ",
    "+++ ",
    "old mode ",
    "new mode ",
    "deleted file mode ",
    "new file mode ",
    "copy from ",
    "copy to ",
    "rename old ",
    "rename new ",
    "rename from ",
    "rename to ",
    "index ",
    "similarity index ",
    "dissimilarity index ",
];

/// The path that a header line names: `Some(Ok(None))` for /dev/null.
fn path_of(line: &str) -> Option<Result<Option<String>, String>> {
    if let Some(name) = ["--- ", "+++ "].iter().find_map(|start| line.strip_prefix(start)) {
        // A date may follow.
        let name = name.split('\t').next().unwrap_or(name);
        if name == "/dev/null" {
            return Some(Ok(None));
        }
        let path = name.strip_prefix("a/").or_else(|| name.strip_prefix("b/")).unwrap_or("");
        return Some(inside(path).map(Some).ok_or_else(|| shorten(name)));
    }
    let moves = ["rename from ", "rename to ", "rename old ", "rename new ", "copy from ", "copy to "];
    let path = moves.iter().find_map(|start| line.strip_prefix(start))?;
    Some(inside(path).map(Some).ok_or_else(|| shorten(path)))
}

/// The path of a header line that must have one.
fn no_null(path: Result<Option<String>, String>) -> Result<Option<String>, String> {
    path.and_then(|path| path.ok_or_else(|| "/dev/null".to_owned()).map(Some))
}

/// A path that stays in the tree. A quoted name holds what no kernel path does; `.git` is nobody's
/// to write.
fn inside(path: &str) -> Option<String> {
    let good =
        path.parse::<RelPath>().is_ok() && path.split('/').all(|part| !part.eq_ignore_ascii_case(".git"));
    (good || broken("patch-paths")).then(|| path.to_owned())
}

/// Why a name of a header is refused: a path of the tree that lacks its prefix is no mischief.
fn refuse(line: usize, name: &str, shown: &str) -> Refused {
    let path = shorten(shown);
    let has_prefix = name.starts_with("a/") || name.starts_with("b/");
    match !has_prefix && !name.starts_with('"') && inside(name).is_some() {
        true => Refused::Prefix { line, path },
        false => Refused::Path { line, path },
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(120).collect()
}

/// First old line, old length and new length of `@@ -1,2 +3,4 @@`.
fn hunk_header(line: &str) -> Option<(u64, u64, u64)> {
    let mut words = line.strip_prefix("@@ ")?.split(' ');
    let range = |word: &str, sign: char| -> Option<(u64, u64)> {
        let word = word.strip_prefix(sign)?;
        let (at, length) = word.split_once(',').unwrap_or((word, "1"));
        Some((at.parse().ok()?, length.parse().ok()?))
    };
    let (at, old) = range(words.next()?, '-')?;
    let (_, new) = range(words.next()?, '+')?;
    (words.next()? == "@@").then_some((at, old, new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "From 1 Mon\nSubject: x\n\n--- \n a | 1 +\n\ndiff --git a/kernel/a.c b/kernel/a.c\nindex 1..2 100644\n--- a/kernel/a.c\n+++ b/kernel/a.c\n@@ -1,3 +1,3 @@ top\n a\n-b\n+--- a/../evil\n c\n@@ -20 +20,2 @@\n x\n+y\ndiff --git a/new b/new\nnew file mode 100644\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+hello\n-- \n2.47\n";

    #[test]
    fn paths_and_hunks_are_read_and_content_is_not_taken_for_headers() {
        let found = inspect(GOOD).unwrap();
        assert_eq!(found.paths().collect::<Vec<_>>(), ["kernel/a.c", "new"]);
        let empty = inspect("diff --git a/e b/e\nnew file mode 100644\nindex 000..e69\n").unwrap();
        assert_eq!(empty.paths().collect::<Vec<_>>(), ["e"]);
        let hunk = found.hunk_at("kernel/a.c", 20).unwrap();
        assert_eq!((hunk.number, hunk.of), (2, 2));
    }

    #[test]
    fn what_leaves_the_tree_or_is_no_plain_file_is_refused() {
        let file = |header: &str| format!("diff --git a/x b/x\n{header}\n@@ -0,0 +1 @@\n+x\n");
        for path in ["/etc/passwd", "b/../../etc/passwd", "b/.git/config", "b/a/.GIT/x", "\"b/a\\n\"", "b/"] {
            let text = file(&format!("new file mode 100644\n--- /dev/null\n+++ {path}"));
            assert!(matches!(inspect(&text), Err(Refused::Path { line: 4, .. })), "{path}");
        }
        for (mode, word) in [("120000", "link"), ("160000", "submodule"), ("4", "unknown")] {
            let error = inspect(&file(&format!("new file mode {mode}\n+++ b/x"))).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
        for kind in ["rename from", "rename to", "rename old", "rename new", "copy from", "copy to"] {
            for path in ["../x", "/x", "x\ty", "y/.git/z"] {
                assert!(inspect(&format!("diff --git a/x b/x\n{kind} {path}\n")).is_err(), "{kind} {path}");
            }
        }
        assert!(matches!(inspect(&file("--- a/x\nGIT binary patch")), Err(Refused::Binary { .. })));
        assert_eq!(inspect("hello\n"), Err(Refused::Empty));
        assert_eq!(inspect(""), Err(Refused::Empty));
        assert!(matches!(inspect("diff --git a/x b/../y\n"), Err(Refused::Path { line: 1, .. })));
        let cut = &GOOD[..GOOD.find(" c\n").unwrap()];
        assert!(matches!(inspect(cut), Err(Refused::Truncated { .. })));
        assert!(inspect("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -x +1 @@\n").is_err());
    }

    #[test]
    fn a_patch_without_prefixes_is_told_from_one_that_leaves_the_tree() {
        let git = |prefix: &str| {
            format!(
                "diff --git {prefix}kernel/a.c {prefix}kernel/a.c\n--- {prefix}kernel/a.c\n+++ {prefix}kernel/a.c\n@@ -1 +1 @@\n-a\n+b\n"
            )
        };
        for prefix in ["", "i/"] {
            let error = inspect(&git(prefix)).unwrap_err();
            assert!(matches!(error, Refused::Prefix { line: 1, .. }), "{error}");
            assert!(error.to_string().contains("diff.noprefix"), "{error}");
            let plain = git(prefix).split_once('\n').unwrap().1.to_owned();
            assert!(matches!(inspect(&plain), Err(Refused::Prefix { line: 1, .. })));
        }
        let blank = "diff --git a/my file b/my file\nnew file mode 100644\n";
        assert!(matches!(inspect(blank), Err(Refused::Path { line: 1, .. })));
        for prefix in ["../", "/", "\""] {
            assert!(matches!(inspect(&git(prefix)), Err(Refused::Path { .. })), "{prefix}");
        }
    }

    /// git believes the names of a header that `diff --git` opens, hunk or no hunk.
    #[test]
    fn a_header_without_a_hunk_names_files_too() {
        let found = inspect("diff --git a/x b/x\nnew file mode 100644\n--- /dev/null\n+++ b/y\n").unwrap();
        assert_eq!(found.paths().collect::<Vec<_>>(), ["x", "y"]);
        assert!(inspect("diff --git a/x b/x\n--- a/x\n+++ b/../y\n").is_err());
        for null in ["--- /dev/null\n+++ b/x", "--- a/x\n+++ /dev/null"] {
            assert!(inspect(&format!("diff --git a/x b/x\n{null}\n@@ -1 +1 @@\n-a\n+b\n")).is_err());
        }
        // Prose is still prose.
        assert!(inspect("diff --git a/x b/x\nnew file mode 100644\n-- \n--- \n+++ that was it\n").is_ok());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_let_a_path_out(text in "([-+@ \\\\]|diff --git |--- a/|\\+\\+\\+ b/|\\.\\./|/|[a-z0-9 ,]|\n|@@ -1,1 \\+1,1 @@){0,60}") {
            if let Ok(found) = inspect(&text) {
                for path in found.paths() {
                    prop_assert!(!path.starts_with('/') && path.split('/').all(|part| part != ".."));
                }
            }
        }
    }
}
