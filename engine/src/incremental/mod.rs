//! Incremental reading: `DatetimeBasedCursor`, its slices, and the state that says how far a stream has been read.

mod bound;
mod clamp;
mod cursor;
mod finished;
#[cfg(test)]
mod golden;
mod read;
mod slices;

pub(crate) use cursor::DatetimeCursor;
pub(crate) use read::{CursorRead, Start, Stretch};
