//! Writing down what was judged: the record (`run.json`), and one file per format made from it.
//!
//! Sees only types of [`crate::judge`] and [`crate::model`]; knows no QEMU and no build.

mod ascii;
pub mod attempts;
pub mod compare;
pub mod cover_letter;
pub mod format;
pub mod html;
pub mod junit;
pub mod kselftest;
pub mod ktap;
pub mod markdown;
pub mod mutants;
pub mod night;
pub mod outcome;
pub mod record;
#[cfg(test)]
mod schema_tests;
pub mod sealed;
pub mod text;
pub mod view;
