//! How a kernel is configured and compiled beyond what its own file says: the words of the command
//! line that change it. Pure; who asks the compiler for its version is [`super::host`].

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::process::quote;

/// What a configuration starts from, before fragments are merged onto it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum BaseConfig {
    /// Everything off that no fragment asks for.
    #[default]
    AllNo,
    /// The architecture's default.
    Defconfig,
    /// That and the tree's own `kvm_guest.config`.
    KvmGuest,
    /// A whole `.config`.
    File {
        /// Where it was read from.
        path: PathBuf,
        /// What it said.
        text: String,
    },
}

impl fmt::Display for BaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BaseConfig::AllNo => f.write_str("allnoconfig"),
            BaseConfig::Defconfig => f.write_str("defconfig"),
            BaseConfig::KvmGuest => f.write_str("kvm_guest"),
            BaseConfig::File { path, .. } => path.display().fmt(f),
        }
    }
}

/// Requests of the user's, which our own give way to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// `--config`: a fragment.
    File {
        /// Where it was read from.
        path: PathBuf,
        /// What it said.
        text: String,
    },
    /// `--config-item`: one line of one.
    Item(String),
}

impl Asked {
    /// What messages call it.
    pub fn name(&self) -> String {
        match self {
            Asked::File { path, .. } => path.display().to_string(),
            Asked::Item(_) => "--config-item".to_owned(),
        }
    }

    /// What records call it: the file, or the line itself.
    pub fn recorded(&self) -> String {
        match self {
            Asked::File { path, .. } => path.display().to_string(),
            Asked::Item(line) => line.clone(),
        }
    }

    /// Its lines.
    pub fn text(&self) -> &str {
        match self {
            Asked::File { text, .. } | Asked::Item(text) => text,
        }
    }
}

/// A variable for make, checked once: none that the tool decides itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MakeVar(String);

impl MakeVar {
    /// As make is told it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn value_of(&self, name: &str) -> Option<&str> {
        self.0.strip_prefix(name)?.strip_prefix('=')
    }
}

/// Why the tool does not let a variable be set; a name that ends in `*` stands for all that begin so.
const OWNED: [(&str, &str); 20] = [
    ("ARCH", OF_ABIS),
    ("SUBARCH", OF_ABIS),
    ("O", "-O DIR names the build folder"),
    ("KBUILD_OUTPUT", "-O DIR names the build folder"),
    ("M", "a module is not a kernel"),
    ("KBUILD_EXTMOD", "a module is not a kernel"),
    ("KCONFIG_*", "--config, --config-item and --base-config make the configuration"),
    ("KBUILD_BUILD_*", OF_EQUALS),
    ("LOCALVERSION", OF_EQUALS),
    ("RUSTC", OF_EQUALS),
    ("BINDGEN", OF_EQUALS),
    ("PAHOLE", OF_EQUALS),
    ("INSTALL_*", "nothing is installed"),
    ("CONFIG_*", "--config-item CONFIG_X=y sets an option: make's word would override it unseen"),
    ("objtree", "-O DIR names the build folder"),
    ("MAKEFILES", OF_MAKE),
    ("srctree", "the source is a copy that the tool makes"),
    ("VPATH", "the source is a copy that the tool makes"),
    ("MAKEFLAGS", OF_MAKE),
    ("SHELL", OF_MAKE),
];
const OF_ABIS: &str = "the three ABIs are those of ARCH=x86";
const OF_EQUALS: &str = "it is fixed, so that equal sources make equal kernels";
const OF_MAKE: &str = "it would change make itself";

impl FromStr for MakeVar {
    type Err = String;

    fn from_str(word: &str) -> Result<MakeVar, String> {
        let plain = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        let shown: String = word.chars().take(80).flat_map(char::escape_debug).collect();
        let Some((name, value)) = word.split_once('=').filter(|(name, _)| plain(name)) else {
            return Err(format!("`{shown}` is not NAME=VALUE: targets and options of make are the tool's"));
        };
        let is = |owned: &str| match owned.strip_suffix('*') {
            Some(begin) => name.starts_with(begin),
            None => name == owned,
        };
        if let Some((_, why)) = OWNED.iter().find(|(owned, _)| is(owned)) {
            return Err(format!("{name} is not to be set: {why}"));
        }
        if value.len() > 1000 || value.contains('$') || value.chars().any(char::is_control) {
            return Err(format!("`{shown}`: a value is one short line without `$`"));
        }
        Ok(MakeVar(word.to_owned()))
    }
}

impl fmt::Display for MakeVar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a kernel is configured and compiled beyond what its own file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recipe {
    /// `--base-config`.
    pub base: BaseConfig,
    /// `--config` and `--config-item`, in this order.
    pub asked: Vec<Asked>,
    /// What a profile has for make.
    pub of_profile: Vec<MakeVar>,
    /// `--make`, in order.
    pub make: Vec<MakeVar>,
    /// `-O`: where objects go, if not into the cache.
    pub build_folder: Option<PathBuf>,
    /// What compiler, linker and the like say of themselves where [`Recipe::make_vars`] choose others.
    pub toolchain: Option<String>,
}

/// The variables of make that name a program.
const PROGRAMS: [&str; 9] = ["CC", "LD", "AR", "NM", "STRIP", "OBJCOPY", "OBJDUMP", "READELF", "HOSTCC"];

impl Recipe {
    /// The variables for make, a profile's first: of two values for one variable make takes the last.
    pub fn make_vars(&self) -> impl DoubleEndedIterator<Item = &MakeVar> {
        self.of_profile.iter().chain(&self.make)
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.make_vars().rev().find_map(|var| var.value_of(name))
    }

    /// The name that `LLVM=` gives one of LLVM's programs: `1`, `-14` or `/folder/`, as the
    /// kernel's Makefile reads it.
    fn llvm(&self, program: &str) -> Option<String> {
        let llvm = self.variable("LLVM").filter(|value| !value.is_empty())?;
        Some(match llvm {
            folder if folder.ends_with('/') => format!("{folder}{program}"),
            suffix if suffix.starts_with('-') => format!("{program}{suffix}"),
            _ => program.to_owned(),
        })
    }

    /// The compiler that the kernel is built with.
    pub fn cc(&self) -> String {
        let cross = || self.variable("CROSS_COMPILE").map(|prefix| format!("{prefix}gcc"));
        let named = self.variable("CC").map(str::to_owned);
        named.or_else(|| self.llvm("clang")).or_else(cross).unwrap_or_else(|| "gcc".to_owned())
    }

    /// The programs other than the default ones that the kernel is built with, as words.
    pub fn programs(&self) -> Vec<Vec<String>> {
        let llvm = [("CC", "clang"), ("LD", "ld.lld"), ("OBJCOPY", "llvm-objcopy"), ("HOSTCC", "clang")];
        let cross = [("CC", "gcc"), ("LD", "ld"), ("OBJCOPY", "objcopy")];
        let mut programs = Vec::new();
        for variable in PROGRAMS {
            let of = |list: &[(&str, &'static str)]| {
                list.iter().find(|(name, _)| *name == variable).map(|(_, program)| *program)
            };
            let prefixed = || Some(format!("{}{}", self.variable("CROSS_COMPILE")?, of(&cross)?));
            let named = self.variable(variable).map(str::to_owned);
            if let Some(words) = named.or_else(|| self.llvm(of(&llvm)?)).or_else(prefixed) {
                let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
                if !words.is_empty() && !programs.contains(&words) {
                    programs.push(words);
                }
            }
        }
        programs
    }

    /// Why `mx32` may be lost by this choice of programs, and what keeps it.
    pub fn x32_hint(&self) -> Option<&'static str> {
        let objcopy = self.variable("OBJCOPY").map(str::to_owned).or_else(|| self.llvm("llvm-objcopy"))?;
        let hint = "it is llvm-objcopy that cannot make an x32 vDSO: \
                    `--make CC=clang --make OBJCOPY=objcopy` in place of LLVM=1 keeps x32";
        objcopy.contains("llvm-objcopy").then_some(hint)
    }

    /// The words of the command line that made it, quoted for a shell. What a profile has comes with the
    /// profile's name, which is not of these.
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        if self.base != BaseConfig::AllNo {
            words.extend(["--base-config".to_owned(), quote(&self.base.to_string())]);
        }
        for asked in &self.asked {
            words.extend(match asked {
                Asked::File { path, .. } => ["--config".to_owned(), quote(&path.display().to_string())],
                Asked::Item(line) => ["--config-item".to_owned(), quote(line)],
            });
        }
        for var in &self.make {
            words.extend(["--make".to_owned(), quote(var.as_str())]);
        }
        if let Some(folder) = &self.build_folder {
            words.extend(["-O".to_owned(), quote(&folder.display().to_string())]);
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(make: &[&str]) -> Recipe {
        Recipe { make: make.iter().map(|word| word.parse().unwrap()).collect(), ..Recipe::default() }
    }

    #[test]
    fn what_the_tool_decides_is_refused_with_the_reason() {
        for good in ["LLVM=1", "CC=clang-14", "KCFLAGS=-O1 -g", "W=1", "OBJCOPY=", "CROSS_COMPILE=x-"] {
            assert_eq!(good.parse::<MakeVar>().map(|var| var.to_string()), Ok(good.to_owned()));
        }
        for (bad, why) in [
            ("ARCH=i386", "three ABIs"),
            ("O=/tmp", "-O DIR"),
            ("KBUILD_OUTPUT=x", "-O DIR"),
            ("KCONFIG_ALLCONFIG=x", "--config"),
            ("CONFIG_UBSAN_BOUNDS=", "--config-item"),
            ("objtree=/x", "-O DIR"),
            ("KBUILD_BUILD_USER=x", "equal sources"),
            ("LOCALVERSION=-x", "equal sources"),
            ("M=drivers", "module"),
            ("MAKEFLAGS=k", "make itself"),
            ("clean", "NAME=VALUE"),
            ("-k", "NAME=VALUE"),
            ("--eval=x", "NAME=VALUE"),
            ("KCFLAGS=$(shell id)", "without `$`"),
            ("CC=a\nb", "one short line"),
        ] {
            let error = bad.parse::<MakeVar>().unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn the_compiler_is_the_one_that_make_would_take() {
        for (make, cc, programs) in [
            (&[][..], "gcc", &[][..]),
            (&["LLVM=1"], "clang", &["clang", "ld.lld", "llvm-objcopy"]),
            (&["LLVM=-14"], "clang-14", &["clang-14", "ld.lld-14", "llvm-objcopy-14"]),
            (&["LLVM=/opt/"], "/opt/clang", &["/opt/clang", "/opt/ld.lld", "/opt/llvm-objcopy"]),
            (&["LLVM=1", "CC=clang-15"], "clang-15", &["clang-15", "ld.lld", "llvm-objcopy", "clang"]),
            (&["CC=clang", "OBJCOPY=objcopy"], "clang", &["clang", "objcopy"]),
            (&["CC=gcc-11", "CC=ccache gcc-12"], "ccache gcc-12", &["ccache gcc-12"]),
            (&["CROSS_COMPILE=x-"], "x-gcc", &["x-gcc", "x-ld", "x-objcopy"]),
        ] {
            let recipe = recipe(make);
            assert_eq!(recipe.cc(), cc, "{make:?}");
            let found: Vec<String> = recipe.programs().iter().map(|words| words.join(" ")).collect();
            assert_eq!(found, programs, "{make:?}");
        }
    }

    #[test]
    fn the_way_to_x32_is_named_where_llvms_objcopy_bars_it() {
        assert!(recipe(&["LLVM=1"]).x32_hint().unwrap().contains("OBJCOPY=objcopy"));
        assert!(recipe(&["OBJCOPY=llvm-objcopy-14"]).x32_hint().is_some());
        assert_eq!(recipe(&["LLVM=1", "OBJCOPY=objcopy"]).x32_hint(), None);
        assert_eq!(recipe(&["CC=clang"]).x32_hint(), None);
    }

    #[test]
    fn the_words_make_the_same_recipe_again() {
        let mut recipe = recipe(&["KCFLAGS=-O1 -g"]);
        recipe.base = BaseConfig::Defconfig;
        recipe.asked = vec![
            Asked::File { path: "/a b".into(), text: String::new() },
            Asked::Item("CONFIG_A=y".to_owned()),
        ];
        recipe.build_folder = Some("/o".into());
        recipe.of_profile = vec!["CC=clang".parse().unwrap(), "KCFLAGS=-O2".parse().unwrap()];
        assert_eq!(recipe.cc(), "clang");
        assert_eq!(recipe.make_vars().count(), 3);
        assert_eq!(recipe.variable("KCFLAGS"), Some("-O1 -g"));
        assert_eq!(
            recipe.words().join(" "),
            "--base-config defconfig --config '/a b' --config-item CONFIG_A=y --make 'KCFLAGS=-O1 -g' -O /o"
        );
    }
}
