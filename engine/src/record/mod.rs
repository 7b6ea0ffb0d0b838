//! From an answer to records: extraction, transformations, normalisation.

mod extractor;
mod flatten;
mod glob;
mod keys;
mod normalize;
pub(crate) mod place;
mod transform;

pub(crate) use extractor::{Extractor, take_records};
pub(crate) use normalize::Normalizer;
pub(crate) use transform::{KINDS, Transformation};

#[cfg(test)]
mod golden;
