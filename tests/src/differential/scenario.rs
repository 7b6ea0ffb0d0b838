//! What a scenario's file says.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::program;

/// The moment at which scenarios are read that name none.
const NOW: &str = "2024-06-01T00:00:00Z";

/// A manifest with everything that is needed to read it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The file's stem.
    #[serde(skip)]
    pub name: String,
    /// What it is there for, in a sentence.
    pub about: String,
    /// Why our engine does something else than the reference. What it does then is a golden of its own.
    pub differs: Option<String>,
    /// Whether requests are compared with how often each was sent, not only as a set.
    #[serde(default)]
    counted: bool,
    /// The wall clock of all steps.
    now: Option<String>,
    /// `$SERVER` is the server's address, here, in the manifest, in states and in answers.
    #[serde(default)]
    config: Map<String, Value>,
    /// The manifest. Version, check, spec and the schemas of streams are filled in where they are left out.
    manifest: Value,
    /// The streams to read; otherwise all.
    #[serde(default)]
    pub catalog: Vec<Chosen>,
    /// States by stream that the first step begins with.
    #[serde(default)]
    state: BTreeMap<String, Value>,
    /// The first that fits a request answers it.
    answers: Vec<Answer>,
    /// One read each, from the states that the one before has left; one if there is none.
    #[serde(default)]
    steps: Vec<Step>,
}

/// A read that differs from the scenario's first one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    now: Option<String>,
    /// Members that replace the config's.
    #[serde(default)]
    config: Map<String, Value>,
    /// States instead of those that the step before has left.
    state: Option<BTreeMap<String, Value>>,
    /// Asked before the scenario's.
    #[serde(default)]
    answers: Vec<Answer>,
}

/// A stream that is to be read.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chosen {
    name: String,
    #[serde(default = "incremental")]
    sync_mode: String,
}

fn incremental() -> String {
    "incremental".to_owned()
}

/// Requests, and how they are answered.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Method and path: `GET /items`. A path that ends with `*` stands for all that begin so.
    pub on: String,
    /// Parameters that the query must have; null for one that it must not.
    #[serde(default)]
    pub query: BTreeMap<String, Option<String>>,
    /// Headers likewise, names in lower case.
    #[serde(default)]
    pub headers: BTreeMap<String, Option<String>>,
    /// Members that the body must have, JSON or a form.
    #[serde(default)]
    pub body: Map<String, Value>,
    /// The reply; of a list each one in its turn, the last one for ever.
    pub reply: Replies,
}

/// One reply, or a list of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Value")]
pub struct Replies(Vec<Reply>);

impl TryFrom<Value> for Replies {
    type Error = serde_json::Error;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        let replies = match value {
            Value::Array(_) => serde_json::from_value(value)?,
            one => vec![serde_json::from_value(one)?],
        };
        Ok(Self(replies))
    }
}

impl Replies {
    /// The reply to the request of this number, from 0.
    pub fn number(&self, number: usize) -> &Reply {
        self.0
            .get(number)
            .or(self.0.last())
            .expect("an answer without a reply")
    }
}

/// What the server sends.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// 200 if there is none.
    pub status: Option<u16>,
    /// More headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// A JSON body.
    pub json: Option<Value>,
    /// A body as it stands.
    pub text: Option<String>,
    /// A body of bytes, in Base64.
    pub base64: Option<String>,
    /// Adds records `{"id": N}` from the first to the last number, at the end of the list that `json` is or has as `items`.
    pub numbers: Option<[u64; 2]>,
}

/// A step with everything that it needs, for a server at some address.
#[derive(Debug)]
pub struct Prepared {
    /// The wall clock, RFC 3339.
    pub now: String,
    /// The connection's config.
    pub config: Value,
    /// The manifest.
    pub manifest: Value,
    /// The chosen streams, in the protocol's form.
    pub catalog: Value,
    /// States by stream, if it has any.
    pub state: Option<BTreeMap<String, Value>>,
    /// What the server answers.
    pub answers: Vec<Answer>,
    /// See [`Scenario`].
    pub counted: bool,
}

impl Scenario {
    /// How many reads it takes.
    pub fn steps(&self) -> usize {
        self.steps.len().max(1)
    }

    /// A step; `before` holds the states that the step before has left.
    pub fn prepare(&self, number: usize, before: Option<&BTreeMap<String, Value>>) -> Prepared {
        let step = self.steps.get(number).cloned().unwrap_or_default();
        let mut config = self.config.clone();
        config.insert("server".to_owned(), json!("$SERVER"));
        config.extend(step.config);
        let own = step
            .state
            .or_else(|| (number == 0 && !self.state.is_empty()).then(|| self.state.clone()));
        let manifest = self.manifest();
        let now = step
            .now
            .or_else(|| self.now.clone())
            .unwrap_or_else(|| NOW.to_owned());
        Prepared {
            now,
            config: Value::Object(config),
            catalog: self.catalog(&manifest),
            manifest,
            state: own.or_else(|| before.cloned()),
            answers: step.answers.iter().chain(&self.answers).cloned().collect(),
            counted: self.counted,
        }
    }

    fn manifest(&self) -> Value {
        let mut manifest = self.manifest.clone();
        let whole = manifest.as_object_mut().expect("a manifest is a mapping");
        let names = names(whole);
        let mut fill = |key: &str, value: Value| {
            whole.entry(key).or_insert(value);
        };
        fill("type", json!("DeclarativeSource"));
        fill("version", json!("7.0.0"));
        fill(
            "check",
            json!({"type": "CheckStream", "stream_names": names}),
        );
        fill(
            "concurrency_level",
            json!({"type": "ConcurrencyLevel", "default_concurrency": 1}),
        );
        let specification =
            json!({"type": "object", "additionalProperties": true, "properties": {}});
        fill(
            "spec",
            json!({"type": "Spec", "connection_specification": specification}),
        );
        let targets = whole.clone();
        for stream in whole["streams"].as_array_mut().expect("streams are a list") {
            let has_schema =
                target(&targets, stream).is_some_and(|target| target.contains_key("schema_loader"));
            if let Some(stream) = stream.as_object_mut().filter(|_| !has_schema) {
                stream.entry("type").or_insert(json!("DeclarativeStream"));
                let schema = json!({"type": "InlineSchemaLoader", "schema": {"type": "object", "properties": {}}});
                stream.entry("schema_loader").or_insert(schema);
            }
        }
        manifest
    }

    fn catalog(&self, manifest: &Value) -> Value {
        let all = names(manifest.as_object().expect("a manifest is a mapping"));
        let chosen = if self.catalog.is_empty() {
            all.into_iter()
                .map(|name| Chosen {
                    name,
                    sync_mode: incremental(),
                })
                .collect()
        } else {
            self.catalog.clone()
        };
        let streams: Vec<Value> = chosen
            .into_iter()
            .map(|stream| {
                json!({
                    "stream": {"name": stream.name, "json_schema": {}, "supported_sync_modes": ["full_refresh", "incremental"]},
                    "sync_mode": stream.sync_mode,
                    "destination_sync_mode": "append",
                })
            })
            .collect();
        json!({ "streams": streams })
    }
}

/// The names of a manifest's streams.
fn names(manifest: &Map<String, Value>) -> Vec<String> {
    let streams = manifest
        .get("streams")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    streams
        .filter_map(|stream| {
            let own = stream
                .get("name")
                .or_else(|| stream.get("$parameters")?.get("name"));
            let name = own.or_else(|| {
                let target = target(manifest, stream)?;
                target
                    .get("name")
                    .or_else(|| target.get("$parameters")?.get("name"))
            });
            name.and_then(Value::as_str).map(str::to_owned)
        })
        .collect()
}

/// What a stream's `$ref` points to.
fn target<'a>(manifest: &'a Map<String, Value>, stream: &Value) -> Option<&'a Map<String, Value>> {
    let reference = stream.as_str().or_else(|| stream.get("$ref")?.as_str())?;
    let mut steps = reference.trim_start_matches("#/").split('/');
    steps.try_fold(manifest, |at, step| at.get(step)?.as_object())
}

/// The folder of scenarios and goldens.
pub fn folder() -> PathBuf {
    program::checkout().join("tests/differential")
}

/// The file that holds what the reference did, or what ours does instead.
pub fn golden(name: &str, is_ours: bool) -> PathBuf {
    let ending = if is_ours { "ours.json" } else { "json" };
    folder().join("goldens").join(format!("{name}.{ending}"))
}

/// All scenarios, by name.
pub fn all() -> Vec<Scenario> {
    let mut scenarios: Vec<Scenario> = fs::read_dir(folder().join("scenarios"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let mut scenario: Scenario = serde_saphyr::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            scenario.name = path.file_stem().unwrap().to_string_lossy().into_owned();
            scenario
        })
        .collect();
    scenarios.sort_by(|one, other| one.name.cmp(&other.name));
    scenarios
}
