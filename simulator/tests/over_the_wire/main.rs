//! The simulator as its clients meet it: over real sockets, one simulator a test.

#![expect(
    clippy::unwrap_used,
    reason = "the support code fails as assertions do"
)]

mod faults;
mod feed;
mod feed_limits;
mod g2a;
mod support;
