//! An answer's headers as expressions see them.

use reqwest::header::HeaderMap;
use serde_json::{Map, Value};

/// By the name as sent (HTTP/1.1 servers send any case, reqwest gives lower
/// case) and by the usual capitals; `link` is parsed into its relations.
pub(super) fn headers_value(headers: &HeaderMap) -> Value {
    let mut members = Map::new();
    for (name, value) in headers {
        let Ok(value) = value.to_str() else { continue };
        let name = name.as_str();
        let value = if name == "link" {
            link_relations(value)
        } else {
            Value::String(value.to_owned())
        };
        let mut capital = true;
        let usual: String = name
            .chars()
            .map(|c| {
                let shown = if capital { c.to_ascii_uppercase() } else { c };
                capital = c == '-';
                shown
            })
            .collect();
        members.insert(usual, value.clone());
        members.insert(name.to_owned(), value);
    }
    Value::Object(members)
}

/// `<url>; rel="next", ...` as `{"next": {"url": ..., "rel": "next"}}`.
fn link_relations(header: &str) -> Value {
    let mut relations = Map::new();
    for part in header.split(", <").flat_map(|part| part.split(",<")) {
        let part = part.trim_start_matches('<');
        let (address, attributes) = part.split_once('>').unwrap_or((part, ""));
        let mut link = Map::new();
        link.insert("url".to_owned(), Value::String(address.trim().to_owned()));
        for attribute in attributes.split(';') {
            if let Some((name, value)) = attribute.split_once('=') {
                let clean = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
                link.insert(clean(name), Value::String(clean(value)));
            }
        }
        let relation = link
            .get("rel")
            .and_then(Value::as_str)
            .unwrap_or(address)
            .to_owned();
        relations.insert(relation, Value::Object(link));
    }
    Value::Object(relations)
}
