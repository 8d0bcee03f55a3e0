//! The library behind `cargo xtask`: from a patch series to a matrix of cells, one verdict each.
//!
//! The folders are the verbs of the job, in the order in which data flows through them:
//! [`plan`] decides what to run, [`build`] makes kernels, selftests and images, [`boot`] runs a
//! guest, [`judge`] says what it proved, [`report`] writes it down. [`run`] is the conductor and
//! the only module that sees all five. [`model`], [`limits`], [`process`] and [`store`] are the
//! ground they stand on. `ARCHITECTURE.md` has the map and the invariants.
//!
//! Nothing in here prints, reads an environment variable or picks an exit code: that is `xtask`'s.

pub mod broken;
pub mod limits;
pub mod model;
pub mod process;
pub mod store;

pub mod plan;

pub mod build;

pub mod boot;

pub mod judge;

pub mod report;

pub mod run;
