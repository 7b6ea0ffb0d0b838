//! The life of one attempt: prepare, sync each stream, decide how it ends.

mod checkpoint;
mod end;
mod executor;
mod host;
mod log;
mod meter;
mod prepare;
mod restart;
mod stream_sync;
mod tokens;
mod writer;

pub(crate) use end::{Lease, Standing, abnormal_end, handed_back, stalled};
pub(crate) use executor::Executor;
pub(crate) use meter::Meter;
