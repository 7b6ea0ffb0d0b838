//! `syncline connector discover` and `spec`: what a manifest offers, and what it wants to know. Nothing is sent.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value, json};
use syncline_engine::{Connector, StreamInfo};
use syncline_shared::clock::SystemClock;

use super::given::Given;
use super::message::{Fault, Message};
use super::output::{Form, Output};

#[derive(Debug, Args)]
pub(super) struct DiscoverCommand {
    #[command(flatten)]
    given: Given,
}

#[derive(Debug, Args)]
pub(super) struct SpecCommand {
    /// The manifest, YAML.
    #[arg(long)]
    manifest_path: PathBuf,
    /// Print lines of the Airbyte protocol.
    #[arg(long)]
    json: bool,
}

pub(super) fn discover(command: &DiscoverCommand) -> ExitCode {
    let output = command.given.output();
    let read = || -> anyhow::Result<Connector> {
        let inputs = command.given.read()?;
        inputs.check_config()?;
        Ok(inputs.connector)
    };
    let connector = match read() {
        Ok(connector) => connector,
        Err(error) => {
            output.fault(&Fault::of_input(format!("{error:#}")));
            return output.exit(false);
        }
    };
    match output.form() {
        Form::Protocol => {
            let streams = connector.streams().iter().map(in_catalog).collect();
            output.message(&Message::Catalog {
                catalog: json!({ "streams": Value::Array(streams) }),
            });
        }
        Form::People => {
            for stream in connector.streams() {
                output.answer(&described(stream));
            }
        }
    }
    output.exit(true)
}

/// A stream in the protocol's words, with the members and the order of the reference.
fn in_catalog(stream: &StreamInfo) -> Value {
    let mut members = Map::new();
    let mut modes = vec![json!("full_refresh")];
    if stream.cursor.is_some() {
        modes.push(json!("incremental"));
    }
    members.insert("name".to_owned(), json!(stream.name));
    members.insert("json_schema".to_owned(), stream.schema.clone());
    members.insert("supported_sync_modes".to_owned(), Value::Array(modes));
    if let Some(cursor) = &stream.cursor {
        members.insert("source_defined_cursor".to_owned(), Value::Bool(true));
        members.insert("default_cursor_field".to_owned(), json!([cursor.field]));
    }
    if !stream.primary_key.is_empty() {
        let key = json!(stream.primary_key);
        members.insert("source_defined_primary_key".to_owned(), key);
    }
    let resumable = Value::Bool(stream.cursor.is_some());
    members.insert("is_resumable".to_owned(), resumable);
    members.insert("is_file_based".to_owned(), Value::Bool(false));
    Value::Object(members)
}

/// A stream for people.
fn described(stream: &StreamInfo) -> String {
    let key: Vec<String> = stream
        .primary_key
        .iter()
        .map(|path| path.join("."))
        .collect();
    let key = if key.is_empty() {
        "no key".to_owned()
    } else {
        format!("key {}", key.join(", "))
    };
    let cursor = match &stream.cursor {
        Some(cursor) => format!("incremental by {}", cursor.field),
        None => "read whole".to_owned(),
    };
    let fields = stream.schema.get("properties").and_then(Value::as_object);
    let fields = fields.map_or(0, Map::len);
    format!(
        "{}: {key}; {cursor}; {fields} fields in the schema",
        stream.name
    )
}

pub(super) fn spec(command: &SpecCommand) -> ExitCode {
    let output = Output::new(Form::of(command.json), std::sync::Arc::new(SystemClock));
    let connector = match Connector::load_file(&command.manifest_path) {
        Ok(connector) => connector,
        Err(errors) => {
            output.fault(&Fault::of_input(errors.to_string()));
            return output.exit(false);
        }
    };
    match output.form() {
        Form::Protocol => {
            let mut members = Map::new();
            let schema = connector.config_schema().clone();
            members.insert("connectionSpecification".to_owned(), schema);
            if let Some(url) = connector.documentation_url() {
                members.insert("documentationUrl".to_owned(), json!(url));
            }
            members.insert("supportsNormalization".to_owned(), Value::Bool(false));
            members.insert("supportsDBT".to_owned(), Value::Bool(false));
            let spec = Value::Object(members);
            output.message(&Message::Spec { spec });
        }
        Form::People => {
            for line in fields(&connector) {
                output.answer(&line);
            }
        }
    }
    output.exit(true)
}

/// The config's fields for people, one a line.
fn fields(connector: &Connector) -> Vec<String> {
    let schema = connector.config_schema();
    let secrets = connector.secret_fields();
    let required = schema.get("required").and_then(Value::as_array);
    let properties = schema.get("properties").and_then(Value::as_object);
    let mut lines = Vec::new();
    for (name, property) in properties.into_iter().flatten() {
        let is_required = required.is_some_and(|names| names.iter().any(|known| known == name));
        let mut notes = vec![if is_required { "required" } else { "optional" }];
        if secrets.contains(&format!("/{name}")) {
            notes.push("secret");
        }
        let text = |key: &str| property.get(key).and_then(Value::as_str);
        let title = text("description").or(text("title"));
        let title = title.map(|title| format!(": {title}")).unwrap_or_default();
        lines.push(format!("{name} ({}){title}", notes.join(", ")));
    }
    lines
}
