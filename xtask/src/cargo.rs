//! Cargo, as this program asks for itself in another form: with ssh, or with this project's tests.
//!
//! Each form's programs lie in a folder of their own below `target/`, where none undoes another: what
//! `cargo xtask` runs stays what it was. What was compiled for them lies in `target/` itself, once for all:
//! cargo tells it apart by features and profile. (A cargo from before 1.91 does not know that there can be
//! two folders, and compiles everything once per form.)

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::session;

/// Cargo's name for the folder of what is compiled. Who has set it has a reason.
const COMPILED: &str = "CARGO_BUILD_BUILD_DIR";

/// Cargo, where this program was started.
pub fn here() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Cargo in this checkout.
pub fn in_checkout() -> Command {
    let mut command = here();
    command.current_dir(session::checkout()).stdin(Stdio::null());
    command
}

/// The folder that this very program was built in: `target/`, unless cargo was told another.
pub fn target() -> Result<PathBuf> {
    // target/debug/xtask
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).context("this program does not lie in a target folder")?;
    Ok(target.to_owned())
}

/// Lets a form's programs lie in `folder` below `target`, by arguments to go before any `--`. Returns where
/// that is.
pub fn apart(cargo: &mut Command, target: &Path, folder: &str) -> PathBuf {
    let programs = target.join(folder);
    cargo.arg("--target-dir").arg(&programs);
    if std::env::var_os(COMPILED).is_none() {
        cargo.env(COMPILED, target);
    }
    programs
}

/// `cargo test`, for all of this project's tests: one form, so that they are compiled once. It can switch
/// handlings off (`harness::broken`), which no test asks for but those of `test --break`, and its library
/// speaks ssh.
pub fn test() -> Result<Command> {
    let mut command = in_checkout();
    command.args(["test", "--locked", "--workspace", "--features", "harness/break,harness/ssh"]);
    apart(&mut command, &target()?, "tests");
    // A switch that is left in somebody's environment is for nobody.
    command.env_remove("ABIMATRIX_BREAK").env_remove("ABIMATRIX_TESTED").env_remove("ABIMATRIX_UNTIL");
    Ok(command)
}
