//! `bench`
use crate::cli::{Bench, Exit};
use anyhow::Result;
pub fn run(_args: &Bench) -> Result<Exit> {
    Ok(Exit::Passed)
}
