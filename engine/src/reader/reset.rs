//! The pages of a slice are begun anew: as the platform asks for it, or after so many records.

use super::page::Place;
use super::{StreamReader, failure_of};
use crate::error::{Failure, ReadError};
use crate::load::model::Stream;

impl StreamReader {
    /// Begins the open slice anew after an answer that says so.
    pub(super) fn reset_after(
        &mut self,
        stream: &Stream,
        failure: Box<Failure>,
    ) -> Result<(), ReadError> {
        let mut place = Place {
            token: None,
            cursor: self.cursor.clone(),
            jobs: self.jobs.clone(),
            closing: false,
            resets: self.resets,
        };
        begin_anew(stream, &mut place, Some(failure))?;
        self.token = place.token;
        self.cursor = place.cursor;
        self.resets = place.resets;
        // Its first request is one of this read.
        self.resumed = false;
        Ok(())
    }
}

/// Goes back to the first page, of what is left of the slice if it is split.
pub(super) fn begin_anew(
    stream: &Stream,
    place: &mut Place,
    failure: Option<Box<Failure>>,
) -> Result<(), ReadError> {
    let splits = stream.reset.as_ref().is_some_and(|plan| plan.splits);
    let resets = match place.cursor.as_mut().filter(|_| splits) {
        Some(cursor) => cursor.shorten().then(|| place.resets.after_split()),
        None => place.resets.again(),
    };
    let Some(resets) = resets else {
        let mut failure = failure.unwrap_or_else(|| failure_of(String::new()));
        let why = if splits {
            "no record of it was newer than its beginning"
        } else {
            "it was begun anew before"
        };
        let stop = format!("the pages of this slice cannot be begun anew: {why}");
        failure.message = match failure.message.as_str() {
            "" => stop,
            message => format!("{message}; {stop}"),
        };
        return Err(ReadError::Permanent { failure });
    };
    place.resets = resets;
    place.token = Some(stream.paginator.first());
    Ok(())
}
