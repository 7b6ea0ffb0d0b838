//! `GroupingPartitionRouter`: several partitions are read by one request.

use serde_json::{Map, Value};

use super::Partition;
use super::router::Router;
use crate::load::component::{Component, Problems};

/// `GroupingPartitionRouter`.
#[derive(Debug, Clone)]
pub(crate) struct Grouping {
    pub(super) underlying: Router,
    size: usize,
    /// A value that came before is left out.
    deduplicates: bool,
}

impl Grouping {
    pub(super) fn load(component: &Component<'_>, problems: &mut Problems) -> Option<Grouping> {
        let size = component
            .get("group_size")
            .and_then(Value::as_u64)
            .and_then(|size| usize::try_from(size).ok())
            .filter(|size| *size > 0);
        if size.is_none() {
            let path = component.path_of("group_size");
            problems.add(path, "a whole number of at least 1 is needed here");
        }
        let deduplicates =
            component.get("deduplicate").is_none() || component.boolean("deduplicate", problems);
        Some(Grouping {
            underlying: Router::load_underlying(component, problems)?,
            size: size?,
            deduplicates,
        })
    }

    /// The groups; `Err` says which partition cannot be in one.
    pub(super) fn groups(&self, partitions: Vec<Partition>) -> Result<Vec<Partition>, String> {
        let mut seen = std::collections::HashSet::new();
        let mut kept = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let own = |name: &&String| *name != "parent_slice";
            let mut names = partition.fields.keys().filter(own);
            let (Some(name), None) = (names.next(), names.next()) else {
                return Err("partitions of several fields cannot be grouped".to_owned());
            };
            let value = partition.fields.get(name).map(Value::to_string);
            if !self.deduplicates || seen.insert(value) {
                kept.push(partition);
            }
        }
        Ok(kept.chunks(self.size).map(group).collect())
    }
}

/// One partition of several: each field holds the list of theirs.
fn group(partitions: &[Partition]) -> Partition {
    let lists = |of: &dyn Fn(&Partition) -> Map<String, Value>| {
        let mut lists: Map<String, Value> = Map::new();
        for name in partitions
            .iter()
            .flat_map(|partition| of(partition).into_iter().map(|(name, _)| name))
        {
            if !lists.contains_key(&name) {
                let values = partitions
                    .iter()
                    .map(|partition| of(partition).get(&name).cloned().unwrap_or(Value::Null));
                let values: Value = values.collect();
                lists.insert(name, values);
            }
        }
        lists
    };
    Partition {
        fields: lists(&|partition| partition.fields.clone()),
        extra: lists(&|partition| partition.extra.clone()),
        first_page: None,
    }
}
