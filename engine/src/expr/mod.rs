//! Expressions: `{{ }}` in the manifest's texts, with the rules of Jinja and Python that manifests
//! rely on.
//!
//! minijinja parses; the tree is translated once, at load, into one of our own, in which every name is
//! known to exist; that tree is evaluated over JSON values without copying them.

mod casts;
mod checks;
mod dates;
mod eval;
mod filters;
mod fuel;
mod functions;
mod groups;
mod json_text;
mod kept;
mod literal;
mod methods;
pub(crate) mod number;
mod pattern;
mod printf;
mod scope;
mod sequences;
mod template;
mod texts;
mod tree;
mod value;

pub(crate) use eval::EvalError;
pub(crate) use filters::Filter;
pub(crate) use methods::Method;
pub(crate) use number::{float_text, is_integer};
pub(crate) use pattern::compile_regex;
pub(crate) use scope::{Place, Scope, SliceParts, Var};
pub(crate) use template::Template;
pub(crate) use texts::hex;
pub(crate) use tree::{Comparison, Node};
pub(crate) use value::{Val, json_is_true};

#[cfg(test)]
pub(crate) use value::json_equals;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod hostile;
