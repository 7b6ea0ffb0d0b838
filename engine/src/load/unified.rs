//! `x_model`: which unified model a stream fills, and from which fields.

use serde_json::Value;

use super::component::{Component, Problems};
use crate::connector::UnifiedModel;

/// The unified models.
const MODELS: &[&str] = &[
    "campaigns",
    "campaign_performance",
    "posts",
    "post_metrics",
    "products",
    "events",
];

pub(super) fn load(stream: &Component<'_>, problems: &mut Problems) -> Option<UnifiedModel> {
    let value = stream.get("x_model")?;
    let place = stream.path_of("x_model");
    let part = stream.part(value, place, "x_model", &["name", "columns"], problems)?;
    let name = part.text("name", problems).unwrap_or_default();
    if !MODELS.contains(&name) {
        let message = format!(
            "\"{name}\" is no unified model; there are: {}",
            MODELS.join(", ")
        );
        problems.add(part.path_of("name"), message);
    }
    let place = part.path_of("columns");
    let Some(Value::Object(members)) = part.get("columns") else {
        problems.add(
            place,
            "a mapping of columns to fields of the records is needed here",
        );
        return None;
    };
    let known = stream.fields.get("schema_loader").and_then(|loader| {
        let properties = loader.get("schema")?.get("properties")?.as_object()?;
        (!properties.is_empty()).then_some(properties)
    });
    let mut columns = Vec::with_capacity(members.len());
    for (column, field) in members {
        let place = format!("{place}/{column}");
        let steps: Option<Vec<String>> = match field {
            Value::String(name) => Some(vec![name.clone()]),
            Value::Array(steps) if !steps.is_empty() => steps
                .iter()
                .map(|step| step.as_str().map(str::to_owned))
                .collect(),
            _ => None,
        };
        let Some(steps) = steps else {
            problems.add(
                place,
                "the name of a field, or a path of names, is needed here",
            );
            continue;
        };
        let first = steps.first().map(String::as_str).unwrap_or_default();
        if known.is_some_and(|known| !known.contains_key(first)) {
            let message = format!("the stream's schema has no field \"{first}\"");
            problems.add(place, message);
        }
        columns.push((column.clone(), steps));
    }
    Some(UnifiedModel {
        name: name.to_owned(),
        columns,
    })
}
