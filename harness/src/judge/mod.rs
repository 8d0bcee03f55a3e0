//! From what was seen to a verdict. Pure: knows no process and no clock.
//!
//! [`watch`] is the state machine over everything that can happen to a guest; it ends with
//! [`watch::Evidence`]. [`verdict`] weighs that. [`ktap`] and [`console`] read the two kinds of
//! text, [`kselftest`] weighs programs that are not about one call; [`divergence`] says where the ABIs disagree, [`known`] what is known to be wrong,
//! [`symbols`] where in the kernel a guest hung, [`decode`] which lines of the source a splat is about.

pub mod console;
pub mod contract;
pub mod decode;
pub mod divergence;
pub mod known;
pub mod kselftest;
pub mod ktap;
pub mod symbols;
pub mod verdict;
pub mod watch;
