//! What a request came to: a usable answer.

use serde_json::{Map, Value};

use super::stream::Streamed;
use crate::error::{Failure, ReadError};

/// A usable answer.
pub(crate) struct Received {
    pub(crate) body: Value,
    pub(crate) headers: Value,
    pub(crate) bytes: u64,
    pub(crate) requests: u32,
    /// The manifest says to go on without this answer's content.
    pub(crate) ignored: bool,
    /// The body is still to come.
    pub(crate) streamed: Option<Streamed>,
    /// The manifest says to begin the pages of the slice anew, for this reason.
    pub(crate) reset: Option<Box<Failure>>,
}

impl Received {
    /// What is known without a request.
    pub(crate) fn known(body: Value) -> Received {
        Received {
            body,
            headers: Value::Object(Map::new()),
            bytes: 0,
            requests: 0,
            ignored: false,
            streamed: None,
            reset: None,
        }
    }

    /// The answer to a request that is none for a page: there are no pages to be begun anew.
    pub(crate) fn of_no_page(self) -> Result<Received, ReadError> {
        match self.reset {
            Some(failure) => Err(ReadError::Permanent { failure }),
            None => Ok(self),
        }
    }
}
