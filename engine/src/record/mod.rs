//! From an answer to records: extraction and transformations.

mod extractor;
mod transform;

pub(crate) use extractor::{Extractor, take_records};
pub(crate) use transform::Transformation;

#[cfg(test)]
mod golden;
