//! Break switches: in a test build, each handling of a fault can be switched off, so that the test
//! of that fault can be seen to fail.
//!
//! `docs/faults.md` names the switch of every fault, and `cargo xtask test --break` goes through
//! them. Without the feature `break`, which only this project's tests turn on, all of this is a
//! constant `false`. With it, the switch is the variable `ABIMATRIX_BREAK`: the one thing that the library
//! reads from the environment.

/// Whether the handling called `switch` is switched off.
pub fn broken(switch: &str) -> bool {
    chosen() == Some(switch)
}

/// The same for one member of a group: `cause` and `panic` make the switch `cause:panic`.
pub fn broken_one(group: &str, member: &str) -> bool {
    let one = chosen().and_then(|chosen| chosen.strip_prefix(group)?.strip_prefix(':'));
    one == Some(member)
}

#[cfg(feature = "break")]
fn chosen() -> Option<&'static str> {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("ABIMATRIX_BREAK").ok()).as_deref()
}

#[cfg(not(feature = "break"))]
const fn chosen() -> Option<&'static str> {
    None
}
