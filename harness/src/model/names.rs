//! Names that a person typed or a file brought, checked once so that none can become syntax.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Abi, Leg};
use crate::broken::broken;

/// Why a name was refused; the text names the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not {what}: {rule}", given.escape_debug())]
pub struct NameError {
    given: String,
    what: &'static str,
    rule: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(given: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> bool = $check;
                if check(given) || broken("names") {
                    return Ok($name(given.to_owned()));
                }
                // What is echoed back is bounded: a name may be a whole file given by mistake.
                let given = given.chars().take(80).collect();
                Err(NameError { given, what: $what, rule: $rule })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name! {
    /// A system call by its name in the tables (`xyzzy`).
    SyscallName, "the name of a syscall", "it is [a-z_][a-z0-9_]*, at most 32 long",
    |s| s.len() <= 32 && s.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

name! {
    /// A kernel by the name of its folder under `kernels/` (`linux-6.12`).
    KernelName, "the name of a kernel", "it is [a-z][a-z0-9._-]*, at most 48 long, without `..`",
    |s| s.len() <= 48 && s.starts_with(|c: char| c.is_ascii_lowercase()) && !s.contains("..")
        && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
}

name! {
    /// A kernel option with its prefix (`CONFIG_XYZZY_SYSCALL`).
    OptionName, "a kernel option", "it is CONFIG_ and then [A-Z0-9_]+, at most 80 long",
    |s| s.len() <= 80 && s.strip_prefix("CONFIG_").is_some_and(|rest| !rest.is_empty()
        && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
}

name! {
    /// A relative path that stays where it starts: plain components only, no white space.
    RelPath, "a path inside its folder", "it is relative, without `..`, `.`, blanks or control characters",
    |s| !s.is_empty() && s.len() <= 256 && !s.starts_with('/') && !s.ends_with('/')
        && s.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.starts_with('-'))
        && s.bytes().all(|b| b.is_ascii_graphic() && !b"\\\"'`$;&|<>*?".contains(&b))
}

impl OptionName {
    /// The symbol as Kconfig files spell it, without `CONFIG_`.
    pub fn symbol(&self) -> &str {
        &self.0["CONFIG_".len()..]
    }
}

impl AsRef<Path> for RelPath {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

/// Tests of a kernel tree: a directory below `tools/testing/selftests`, or one program of it, which need not
/// be one of the tests that it lists. In words as the kselftest runner's `--test` has it: `mm:mseal_test`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tests {
    /// The directory.
    pub dir: RelPath,
    /// The one program; nothing for all that the directory lists.
    pub only: Option<RelPath>,
}

impl FromStr for Tests {
    type Err = NameError;

    fn from_str(given: &str) -> Result<Self, NameError> {
        let (dir, only) = match given.split_once(':') {
            Some((dir, only)) => (dir, Some(only)),
            None => (given, None),
        };
        let only: Option<RelPath> = only.map(str::parse).transpose()?;
        match only {
            Some(only) if only.0.contains('/') => Err(NameError {
                given: only.0,
                what: "a program of a directory of selftests",
                rule: "it lies in the directory itself: DIR:PROGRAM",
            }),
            only => Ok(Tests { dir: dir.parse()?, only }),
        }
    }
}

impl fmt::Display for Tests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.only {
            Some(only) => write!(f, "{}:{only}", self.dir),
            None => f.write_str(self.dir.as_str()),
        }
    }
}

impl<'de> Deserialize<'de> for Tests {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// One cell of the matrix: one fresh guest, one verdict.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CellId {
    /// The source tree.
    pub kernel: KernelName,
    /// What was built of it.
    pub leg: Leg,
    /// What ran on it.
    pub abi: Abi,
}

impl CellId {
    /// The name of the cell's folder and of its QEMU.
    pub fn slug(&self) -> String {
        format!("{}.{}.{}", self.kernel, self.leg, self.abi)
    }
}

/// A cell of a kselftest run: one program of one directory, by one ABI on one kernel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProgramId {
    /// The source tree.
    pub kernel: KernelName,
    /// The directory below `tools/testing/selftests`.
    pub dir: RelPath,
    /// The program's file name in it.
    pub program: RelPath,
    /// How it was compiled; for a script, how the programs beside it were.
    pub abi: Abi,
}

impl ProgramId {
    /// The name of the cell's folder and of its QEMU.
    pub fn slug(&self) -> String {
        let inside = format!("{}/{}", self.dir, self.program).replace('/', "+");
        format!("{}.{inside}.{}", self.kernel, self.abi)
    }
}

impl fmt::Display for ProgramId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{} {}", self.kernel, self.dir, self.program, self.abi)
    }
}

impl fmt::Display for CellId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.kernel, self.leg, self.abi)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_what_the_field_uses_and_nothing_that_is_syntax() {
        for good in ["xyzzy", "epoll_pwait2", "_llseek", "a"] {
            assert!(good.parse::<SyscallName>().is_ok(), "{good}");
        }
        for bad in ["", "Xyzzy", "-x", "a,file=/etc/x", "$(id)", "a b", "a\n", "2x", "a/b", "é"] {
            assert!(bad.parse::<SyscallName>().is_err(), "{bad}");
        }
        for good in ["linux-6.12", "net-next", "v6.1_rt"] {
            assert!(good.parse::<KernelName>().is_ok(), "{good}");
        }
        for bad in ["..", "a..b", "6.12", "a/b", "a,b", "", "a b"] {
            assert!(bad.parse::<KernelName>().is_err(), "{bad}");
        }
        for good in ["a", "a/b.c", "net/forwarding"] {
            assert!(good.parse::<RelPath>().is_ok(), "{good}");
        }
        for bad in ["", "/a", "a/../b", "./a", "a/", "-a", "a/-b", "a b", "a\0", "a\\b", "a;b"] {
            assert!(bad.parse::<RelPath>().is_err(), "{bad}");
        }
        assert_eq!("CONFIG_A".parse::<OptionName>().unwrap().symbol(), "A");
        assert!("CONFIG_".parse::<OptionName>().is_err());
        assert!("FOO".parse::<OptionName>().is_err());
    }

    #[test]
    fn tests_are_a_directory_or_one_program_of_it() {
        for (given, dir, only) in [
            ("core", "core", None),
            ("filesystems/statmount", "filesystems/statmount", None),
            ("mm:mseal_test", "mm", Some("mseal_test")),
            ("net/mptcp:mptcp_connect.sh", "net/mptcp", Some("mptcp_connect.sh")),
        ] {
            let tests: Tests = given.parse().unwrap();
            assert_eq!((tests.dir.as_str(), tests.only.as_ref().map(RelPath::as_str)), (dir, only));
            assert_eq!(tests.to_string(), given);
        }
        for bad in ["", ":", "mm:", ":a", "mm:sub/a", "mm:../a", "../mm:a", "mm:-a", "mm:a b"] {
            assert!(bad.parse::<Tests>().is_err(), "{bad}");
        }
        let text = "mm:sub/a".parse::<Tests>().unwrap_err().to_string();
        assert!(text.contains("DIR:PROGRAM"), "{text}");
    }

    /// What somebody could mean to become an option, a path, a line or a command.
    #[test]
    fn no_type_of_name_takes_what_is_syntax_somewhere() {
        let long = "a".repeat(1000);
        for bad in [
            "a,file=/etc/x",
            "a,,b",
            "-x",
            "--",
            "$(id)",
            "`id`",
            "a b",
            "a\tb",
            "a\nb",
            "a\r",
            "a\0b",
            "",
            " ",
            "..",
            ".",
            "a/../b",
            "/etc/x",
            "a;b",
            "a|b",
            "a&b",
            "a>b",
            "a<b",
            "a*",
            "a?",
            "'a'",
            "\"a\"",
            "a\\b",
            "é",
            "а",
            "\u{202e}a",
            "a\u{200b}",
            "\u{1b}[31m",
            "\u{7f}",
            &long,
        ] {
            assert!(bad.parse::<SyscallName>().is_err(), "{bad:?}");
            assert!(bad.parse::<KernelName>().is_err(), "{bad:?}");
            assert!(format!("CONFIG_{bad}").parse::<OptionName>().is_err(), "{bad:?}");
            // A comma means nothing in a path.
            assert!(bad.parse::<RelPath>().is_err() || bad.contains(','), "{bad:?}");
        }
    }

    #[test]
    fn a_refused_name_is_echoed_escaped_and_short() {
        let long = format!("\u{1b}[31m{}", "x".repeat(10_000));
        let text = long.parse::<SyscallName>().unwrap_err().to_string();
        assert!(text.len() < 300 && !text.contains('\u{1b}'), "{text}");
    }
}
