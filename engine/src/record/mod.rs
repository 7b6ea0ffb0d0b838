//! From an answer to records: extraction and transformations.

mod extractor;
mod null_words;
mod transform;

pub(crate) use extractor::{Extractor, take_records};
pub(crate) use null_words::clear as clear_null_words;
pub(crate) use transform::Transformation;
