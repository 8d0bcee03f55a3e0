//! What a perfect cell looks like, and what becomes of it when one thing about it is changed.

mod accident;
mod beside;
mod cell;
mod directory;
mod rows;
