//! Partitioned streams: one pass of requests for each value of a list, or for each record of a parent stream.

mod grouping;
mod migration;
mod router;
mod states;
mod walk;

use std::sync::Arc;

use serde_json::{Map, Value};

pub(crate) use migration::LegacyState;
pub(crate) use router::Routers;
pub(crate) use states::{PartitionStates, StateInput};
pub(crate) use walk::{Found, Walk};

/// One partition of a stream.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Partition {
    /// What makes it this partition: the values, and the parent's own partition. Stored in positions and states.
    pub(crate) fields: Map<String, Value>,
    /// Further fields of the parent's record, for expressions only: they may hold secrets.
    pub(crate) extra: Map<String, Value>,
    /// What the parent's record holds of the partition's first page (`lazy_read_pointer`), which is not asked for then.
    pub(crate) first_page: Option<Arc<Value>>,
}

impl Partition {
    /// A text that is the same for the same partition, whatever the order of its fields.
    pub(crate) fn key(fields: &Map<String, Value>) -> String {
        sorted(&Value::Object(fields.clone())).to_string()
    }
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort();
            let member = |name: &String| Some((name.clone(), sorted(members.get(name)?)));
            Value::Object(names.into_iter().filter_map(member).collect())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        plain => plain.clone(),
    }
}
