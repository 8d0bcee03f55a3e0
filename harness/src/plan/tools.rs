//! What the job needs on the host, and which Debian package has it.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::model::Abi;

/// How the presence of a tool is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// A program on the search path.
    Program(Cow<'static, str>),
    /// A file at this place.
    File(PathBuf),
    /// The compiler links a program for this ABI.
    Links(Abi),
}

/// One thing that is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// What people call it.
    pub name: String,
    /// What it is needed for.
    pub purpose: &'static str,
    /// How its presence is seen.
    pub check: Check,
    /// The packages that bring it.
    pub packages: Vec<String>,
    /// Without it nothing runs; otherwise a part of the matrix is missed, or it is only slower.
    pub need: Need,
}

/// How much depends on a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing runs without it.
    Required,
    /// Without it `test-selftest` runs nothing; nobody else needs it.
    Selftests,
    /// Without it a column of the matrix is a miss.
    Column(Abi),
    /// Only `--transport ssh` and `both` need it.
    Ssh,
    /// Only this project's own tests need it.
    Tests,
    /// Only `repro --gdb` needs it.
    Debugger,
    /// It only makes things faster.
    Helpful,
}

/// The programs and headers that every run needs, whichever kernel it is about.
pub fn tools() -> Vec<Tool> {
    let program = |name: &'static str, package: &str, purpose| Tool {
        name: name.to_owned(),
        purpose,
        check: Check::Program(name.into()),
        packages: vec![package.to_owned()],
        need: Need::Required,
    };
    let mut tools = vec![
        program("qemu-system-x86_64", "qemu-system-x86", "boots the guests"),
        program("gcc", "gcc", "compiles kernel and selftests"),
        program("ld", "binutils", "links them"),
        program("make", "make", "drives the kernel's build"),
        program("flex", "flex", "Kconfig's scanner"),
        program("bison", "bison", "Kconfig's parser"),
        program("bc", "bc", "the kernel's time constants"),
        program("perl", "perl", "scripts of the kernel's build"),
        program("git", "git", "applies the series"),
        program("tar", "tar", "unpacks the source"),
        program("xz", "xz-utils", "unpacks the source"),
    ];
    tools.push(Tool {
        name: "libelf's header".to_owned(),
        purpose: "objtool, which the kernel's build runs",
        check: Check::File(PathBuf::from("/usr/include/gelf.h")),
        packages: vec!["libelf-dev".to_owned()],
        need: Need::Required,
    });
    for abi in Abi::ALL {
        tools.push(Tool {
            name: format!("gcc {}", abi.flag()),
            purpose: "compiles the selftest for this ABI",
            check: Check::Links(abi),
            packages: abi.packages().iter().map(|&p| p.to_owned()).collect(),
            need: Need::Column(abi),
        });
    }
    let ssh = [
        program("dropbear", "dropbear-bin", "the guests' sshd, for --transport ssh"),
        program("dropbearkey", "dropbear-bin", "makes the keys of a run, for --transport ssh"),
        program("dropbearconvert", "dropbear-bin", "makes the keys of a run, for --transport ssh"),
        program("pkg-config", "pkg-config", "finds OpenSSL when this tool is built with ssh"),
        Tool {
            name: "OpenSSL's headers".to_owned(),
            purpose: "what the ssh2 crate is built with, for --transport ssh",
            check: Check::File(PathBuf::from("/usr/include/openssl/ssl.h")),
            packages: vec!["libssl-dev".to_owned()],
            need: Need::Ssh,
        },
    ];
    tools.extend(ssh.map(|tool| Tool { need: Need::Ssh, ..tool }));
    tools.push(Tool { need: Need::Debugger, ..program("gdb", "gdb", "holds a guest, for repro --gdb") });
    tools.extend(super::kselftest::tools());
    let browser = [
        program("chromium", "chromium", "opens the HTML report in this project's own tests"),
        program("chromedriver", "chromium-driver", "drives it there"),
    ];
    tools.extend(browser.map(|tool| Tool { need: Need::Tests, ..tool }));
    tools.push(Tool {
        need: Need::Helpful,
        ..program("ccache", "ccache", "makes a second build of the same sources cheap")
    });
    tools
}

/// A program that `--make` or a profile chooses, with its package as far as the name tells.
pub fn chosen(program: &str) -> Tool {
    Tool {
        name: program.to_owned(),
        purpose: "--make or the profile chooses it",
        check: Check::Program(program.to_owned().into()),
        packages: package_of(program).into_iter().collect(),
        need: Need::Required,
    }
}

/// Debian's compilers have packages of their names; LLVM's other programs are in two, each of whose
/// versions has a package of its own: `llvm-objcopy-14` is of `llvm-14`.
fn package_of(program: &str) -> Option<String> {
    let (name, version) = match program.rsplit_once('-') {
        Some((name, version)) if version.bytes().all(|b| b.is_ascii_digit()) => (name, format!("-{version}")),
        _ => (program, String::new()),
    };
    let package = match name {
        "gcc" | "clang" | "ccache" | "distcc" => name,
        "ld.lld" => "lld",
        "ld.bfd" | "ld.gold" => "binutils",
        name if name.starts_with("llvm-") => "llvm",
        _ => return None,
    };
    Some(format!("{package}{version}"))
}

/// What a kernel from Debian's package `package` needs.
pub fn debian_source(package: &str) -> Tool {
    Tool {
        name: package.to_owned(),
        purpose: "the kernel's source",
        check: Check::File(debian_tarball(package)),
        packages: vec![package.to_owned()],
        need: Need::Required,
    }
}

/// Where such a package puts its tarball.
pub fn debian_tarball(package: &str) -> PathBuf {
    Path::new("/usr/src").join(format!("{package}.tar.xz"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_of_a_chosen_program_follows_from_its_name() {
        for (program, package) in [
            ("clang", Some("clang")),
            ("clang-14", Some("clang-14")),
            ("ld.lld-14", Some("lld-14")),
            ("llvm-objcopy", Some("llvm")),
            ("llvm-objcopy-14", Some("llvm-14")),
            ("gcc-11", Some("gcc-11")),
            ("ld.bfd", Some("binutils")),
            ("x86_64-linux-gnu-gcc", None),
            ("/opt/llvm/bin/clang", None),
            ("my-cc", None),
        ] {
            assert_eq!(package_of(program).as_deref(), package, "{program}");
        }
    }
}
