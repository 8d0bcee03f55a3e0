//! Deciding what to run: what the files say, what the host has, what the user selected.
//!
//! Pure but for reading files and asking the host; does not know how a thing is built or booted.

pub mod contract;
pub mod derive;
pub mod files;
pub mod host;
pub mod kselftest;
pub mod mail;
pub mod mutants;
pub mod near;
pub mod nightly;
pub mod numbers;
pub mod profile;
pub mod recipe;
pub mod stack;
pub mod tables;
pub mod target;
pub mod tools;
pub mod tree;
mod yaml;

mod matrix;

pub use matrix::{CellPlan, ContractChoice, KernelPlan, Plan, PlanError, Selection, plan};
pub use yaml::InputError;
