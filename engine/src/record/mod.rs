//! From an answer to records: extraction, transformations, normalisation.

mod extractor;
mod flatten;
mod glob;
mod keys;
mod normalize;
mod null_words;
pub(crate) mod place;
mod record_path;
mod transform;

pub(crate) use extractor::Extractor;
pub(crate) use glob::Glob;
pub(crate) use normalize::Normalizer;
pub(crate) use null_words::clear as clear_null_words;
pub(crate) use record_path::RecordPath;
pub(crate) use transform::{AddedField, KINDS, Transformation, globs};

#[cfg(test)]
mod golden;
#[cfg(test)]
mod reading_golden;
