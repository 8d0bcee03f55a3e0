//! Why a program was not built, from what make and the compiler said.

use std::collections::BTreeMap;
use std::path::Path;

use super::Unbuilt;
use crate::broken::broken;
use crate::model::Abi;
use crate::plan::host::first_error;
use crate::plan::kselftest::{LIBRARIES, Library};

/// What was said before each target that failed, by the target as make names it.
///
/// `make: [../lib.mk:222: /out/prog] Error 1 (ignored)` and `make: *** [...] Error 1` end what a
/// compiler said; without `-j` only warnings of other targets stand before that.
#[derive(Debug, Default)]
pub(super) struct Failures(BTreeMap<String, String>);

/// Targets that are no files.
const PHONY: [&str; 3] = ["install", "all", "run_tests"];

impl Failures {
    pub fn read(said: &str) -> Failures {
        let mut failed = BTreeMap::new();
        let mut chunk = String::new();
        for line in said.lines() {
            let targets = failed_targets(line);
            if targets.is_empty() {
                chunk.push_str(line);
                chunk.push('\n');
                continue;
            }
            let text = if chunk.is_empty() { line.to_owned() } else { std::mem::take(&mut chunk) };
            for target in targets {
                failed.entry(target.to_owned()).or_insert_with(|| text.clone());
            }
        }
        Failures(failed)
    }

    /// What was said of a program that goes to `output`; of what it is made of, if that failed.
    fn of(&self, output: &Path, name: &str) -> Option<&str> {
        let whole = output.join(name).display().to_string();
        let exact = [whole.clone(), name.to_owned(), format!("{whole}.o"), format!("{name}.o")];
        let exact = exact.iter().find_map(|target| self.0.get(target));
        let text = exact.or_else(|| self.only(|target| base(target) == name))?;
        // The linker misses an object: why that is not there was said before.
        let words = text.split([' ', '\n', ':', '\'', '`', '"', ',']).filter(|word| word.ends_with(".o"));
        let mut parts = words.filter_map(|word| self.only(|target| base(target) == base(word)));
        Some(parts.next().unwrap_or(text))
    }

    /// The one whose target is so, if there is one alone.
    fn only(&self, which: impl Fn(&str) -> bool) -> Option<&String> {
        let mut found = self.0.iter().filter(|(target, _)| which(target)).map(|(_, said)| said);
        found.next().filter(|_| found.next().is_none())
    }

    /// What was to be made besides programs, by its file name, with the first error.
    pub fn helpers(&self) -> impl Iterator<Item = (String, String)> {
        let file = |target: &str| !PHONY.contains(&target) && !target.ends_with(".o");
        let files = self.0.iter().filter(move |(target, _)| file(target));
        files.map(|(target, said)| (base(target).to_owned(), first_error(&errors(said))))
    }

    /// Why a program was not built.
    pub fn why(&self, output: &Path, name: &str, abi: Abi) -> Unbuilt {
        match self.of(output, name) {
            Some(said) => reason(said, abi),
            None => {
                let first_error = "make did not make it, and does not say why".to_owned();
                Unbuilt::Compile { first_error }
            }
        }
    }
}

fn base(target: &str) -> &str {
    target.rsplit('/').next().unwrap_or(target)
}

fn failed_targets(line: &str) -> Vec<&str> {
    let quoted = |text: &'static str| Some(line.split_once(text)?.1.split_once('\'')?.0);
    let named = || {
        let rest = line.strip_prefix("make")?;
        let (place, status) = rest.split_once('[')?.1.rsplit_once("] Error ")?;
        status.starts_with(|c: char| c.is_ascii_digit()).then_some(())?;
        Some(place.rsplit_once(": ")?.1)
    };
    match quoted("No rule to make target '").filter(|_| line.starts_with("make")) {
        Some(target) => [target].into_iter().chain(quoted("needed by '")).collect(),
        None => named().into_iter().collect(),
    }
}

/// Without what a compiler says of code that it compiles, and the lines of that code.
fn errors(said: &str) -> String {
    let is_code = |line: &str| {
        let line = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit());
        line.trim_start().starts_with('|')
    };
    let aside = [": warning: ", ": note: ", ": In function ", ": At top level", "In file included from "];
    let weighs = |line: &&str| !is_code(line) && !aside.iter().any(|words| line.contains(words));
    let kept: Vec<&str> = said.lines().filter(|line| broken("first-error") || weighs(line)).collect();
    if kept.is_empty() { said.to_owned() } else { kept.join("\n") }
}

/// What is lacking, or the first error of the code.
pub fn reason(said: &str, abi: Abi) -> Unbuilt {
    let library = |found: &dyn Fn(&str) -> Option<&'static Library>| {
        said.lines().find_map(found).map(|library| Unbuilt::Library {
            library: format!("-l{}", library.link),
            advice: library.advice(abi),
        })
    };
    // The linker's words; a name that begins alike is another library.
    let by_link = |line: &str| {
        let name = line.split_once("cannot find -l")?.1;
        let name = name.split([':', ' ']).next()?;
        LIBRARIES.iter().find(|library| library.link == name)
    };
    let by_header = |line: &str| {
        let line = line.split_once("fatal error: ")?.1;
        let header = line.split_once(": No such file")?.0;
        LIBRARIES.iter().find(|library| library.headers.contains(&header))
    };
    let sanitizer = |line: &&str| {
        line.contains("cannot find")
            && ["asan", "ubsan", "tsan", "lsan"].iter().any(|name| line.contains(name))
    };
    if let Some(unbuilt) = library(&by_header).or_else(|| library(&by_link))
        && !broken("host-library")
    {
        return unbuilt;
    }
    match said.lines().find(sanitizer) {
        Some(line) => Unbuilt::Sanitizer { detail: line.trim().to_owned() },
        None => Unbuilt::Compile { first_error: first_error(&errors(said)) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(said: &str, name: &str) -> String {
        match Failures::read(said).why(Path::new("/out"), name, Abi::M64) {
            Unbuilt::Compile { first_error } => first_error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_said_belongs_to_the_target_that_failed_after_it() {
        let said = "a.c:3:1: error: one\nmake: [../lib.mk:222: /out/a] Error 1 (ignored)\n\
                    w.c: In function 'print_error':\nw.c:9:2: warning: unused [-Wunused]\n   12 |  puts(\"error: no\");\n\
                    b.c: In function 'f':\nb.c:9:2: error: two\nmake: *** [Makefile:7: /out/b] Error 1\n\
                    make[1]: *** No rule to make target 'gone.h', needed by '/out/c'.  Stop.\n";
        assert_eq!(why(said, "a"), "a.c:3:1: error: one");
        assert_eq!(why(said, "b"), "b.c:9:2: error: two");
        assert!(why(said, "c").contains("No rule to make target 'gone.h'"));
        // Nobody spoke of it: the words about others are not about it.
        assert!(why(said, "w").contains("does not say why"));
    }

    #[test]
    fn a_program_is_not_taken_for_another_of_its_name_elsewhere() {
        let said = "x.c:1:1: error: in a folder\nmake[1]: *** [Makefile:2: sub/t] Error 1\n\
                    y.c:1:1: error: of its own\nmake: *** [../lib.mk:2: /out/t] Error 1\n";
        assert_eq!(why(said, "t"), "y.c:1:1: error: of its own");
        let both = "x.c:1:1: error: a\nmake: *** [M:2: a/t] Error 1\nx.c:1:1: error: b\nmake: *** [M:2: b/t] Error 1\n";
        assert!(why(both, "t").contains("does not say why"));
    }

    #[test]
    fn an_object_that_failed_is_why_the_program_did() {
        let said = "p.c:5:1: error: the cause\nmake: [Makefile:3: /out/p.o] Error 1 (ignored)\n\
                    /usr/bin/ld: cannot find /out/p.o: No such file or directory\nmake: [Makefile:9: /out/prog] Error 1 (ignored)\n";
        assert_eq!(why(said, "prog"), "p.c:5:1: error: the cause");
    }

    #[test]
    fn a_library_or_sanitizer_that_is_not_here_is_told_from_an_error_of_the_code() {
        let library = |said: &str, abi| match reason(said, abi) {
            Unbuilt::Library { library, advice } => (library, advice),
            other => panic!("{other:?}"),
        };
        let (name, advice) =
            library("t.c:4:10: fatal error: sys/capability.h: No such file or directory", Abi::M64);
        assert_eq!((name.as_str(), advice.as_str()), ("-lcap", "install libcap-dev"));
        let said = "/usr/bin/ld: skipping incompatible /usr/lib/libcap-ng.so when searching for -lcap-ng\n\
                    /usr/bin/ld: cannot find -lcap-ng: No such file or directory\ncollect2: error: ld returned 1";
        let (name, advice) = library(said, Abi::M32);
        assert_eq!(name, "-lcap-ng");
        assert!(advice.contains("libcap-ng-dev:i386"), "{advice}");
        assert!(library("ld: cannot find -lpopt", Abi::Mx32).1.contains("no libpopt-dev for x32"));
        let said = "/usr/bin/ld: cannot find libasan_preinit.o: No such file or directory";
        assert!(matches!(reason(said, Abi::Mx32), Unbuilt::Sanitizer { .. }));
        let said = "t.c:1: error: 'x' undeclared";
        assert_eq!(reason(said, Abi::M64), Unbuilt::Compile { first_error: said.to_owned() });
        // A header of the tree itself is no library of the host's.
        assert!(matches!(
            reason("t.c:2:10: fatal error: linux/xyz.h: No such file or directory", Abi::M64),
            Unbuilt::Compile { .. }
        ));
    }
}
