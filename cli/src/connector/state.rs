//! The state that is handed in: what an earlier read has printed.
//!
//! The language's own form is a list of STREAM messages. A GLOBAL message without shared state and the LEGACY form are taken
//! as well. airbyte-cdk takes LEGACY, too, but drops what is in it, which means a read from the start that nobody asked for.
//! Lines as they are printed (`{"type": "STATE", ...}`, other lines between them) are taken so that the output of one read can
//! be handed to the next; the last state of a stream counts.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::Value;

/// The states by the names of their streams.
pub(super) fn read(path: &Path) -> anyhow::Result<HashMap<String, Value>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the state {} cannot be read", path.display()))?;
    parse(&text).with_context(|| format!("the state {} cannot be used", path.display()))
}

fn parse(text: &str) -> anyhow::Result<HashMap<String, Value>> {
    let mut states = HashMap::new();
    let documents: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text)
        .into_iter()
        .collect();
    for document in documents.context("it is no JSON")? {
        match document {
            Value::Array(messages) => {
                for message in &messages {
                    take(message, &mut states)?;
                }
            }
            Value::Object(members) if members.is_empty() => {}
            Value::Null => {}
            message => take(&message, &mut states)?,
        }
    }
    Ok(states)
}

fn take(message: &Value, states: &mut HashMap<String, Value>) -> anyhow::Result<()> {
    let kind = message.get("type").and_then(Value::as_str);
    match kind {
        Some("STATE") => match message.get("state") {
            Some(state) => return take(state, states),
            None => bail!("a STATE line has no \"state\""),
        },
        Some("RECORD" | "LOG" | "TRACE" | "CONTROL" | "SPEC" | "CATALOG") => return Ok(()),
        _ => {}
    }
    if let Some(global) = message.get("global").filter(|global| global.is_object()) {
        let shared = global.get("shared_state");
        if shared.is_some_and(|shared| !matches!(shared, Value::Null) && !is_empty(shared)) {
            bail!(
                "it is a GLOBAL state with a shared_state: streams of a connector have states of their own"
            );
        }
        for stream in global
            .get("stream_states")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            take_stream(stream, states)?;
        }
        return Ok(());
    }
    if let Some(stream) = message.get("stream").filter(|stream| stream.is_object()) {
        return take_stream(stream, states);
    }
    if let Some(Value::Object(streams)) = message.get("data") {
        for (name, state) in streams {
            states.insert(name.clone(), state.clone());
        }
        return Ok(());
    }
    bail!(
        "each of its messages needs a \"stream\", a \"global\" or a \"data\": [{{\"type\": \"STREAM\", \"stream\": \
         {{\"stream_descriptor\": {{\"name\": ...}}, \"stream_state\": {{...}}}}}}]"
    )
}

fn take_stream(stream: &Value, states: &mut HashMap<String, Value>) -> anyhow::Result<()> {
    let name = stream
        .pointer("/stream_descriptor/name")
        .and_then(Value::as_str)
        .context("a state names no stream (\"stream_descriptor\": {\"name\": ...})")?;
    match stream.get("stream_state") {
        None | Some(Value::Null) => states.remove(name),
        Some(state) => states.insert(name.to_owned(), state.clone()),
    };
    Ok(())
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn state_of(text: &str) -> Option<Value> {
        parse(text).unwrap().get("items").cloned()
    }

    #[test]
    fn every_form_is_taken() {
        let stream = r#"{"stream_descriptor":{"name":"items"},"stream_state":{"at":"2024"}}"#;
        for text in [
            format!(r#"[{{"type":"STREAM","stream":{stream}}}]"#),
            format!(r#"[{{"stream":{stream}}}]"#),
            format!(r#"[{{"type":"GLOBAL","global":{{"stream_states":[{stream}]}}}}]"#),
            r#"[{"type":"LEGACY","data":{"items":{"at":"2024"}}}]"#.to_owned(),
            format!(
                "{{\"type\":\"RECORD\",\"record\":{{}}}}\n{{\"type\":\"STATE\",\"state\":{{\"type\":\"STREAM\",\"stream\":{stream}}}}}\n"
            ),
        ] {
            assert_eq!(state_of(&text), Some(json!({"at": "2024"})), "{text}");
        }
    }

    #[test]
    fn the_last_state_of_a_stream_counts() {
        let line = |at: &str| {
            format!(
                r#"{{"type":"STATE","state":{{"type":"STREAM","stream":{{"stream_descriptor":{{"name":"items"}},"stream_state":{{"at":"{at}"}}}}}}}}"#
            )
        };
        let text = format!("{}\n{}", line("2024"), line("2025"));
        assert_eq!(state_of(&text), Some(json!({"at": "2025"})));
    }

    #[test]
    fn no_state_is_no_state() {
        for text in ["", "[]", "{}", "null"] {
            assert!(parse(text).unwrap().is_empty(), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_state_is_refused() {
        for text in [
            "[",
            r#"{"items":{"at":"2024"}}"#,
            r#"[{"type":"STREAM"}]"#,
            r#"[{"stream":{"stream_state":{}}}]"#,
            r#"[{"type":"GLOBAL","global":{"shared_state":{"a":1},"stream_states":[]}}]"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
