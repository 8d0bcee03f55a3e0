//! Running one guest: QEMU's arguments, the accelerator, the process, and the wire to the agent.
//!
//! What the guest does is handed to [`crate::judge::watch`] as events; nothing in here decides
//! what it means.

pub mod accel;
pub mod frames;
pub mod gdb;
pub mod journal;
pub mod link;
pub mod qemu;
pub mod qmp;
#[cfg(feature = "ssh")]
mod ssh;
pub mod vm;
