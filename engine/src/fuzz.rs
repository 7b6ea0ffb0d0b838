//! What is done with any bytes at all: a manifest that is loaded and read, expressions, formats of datetimes.
//!
//! Manifests are strangers' input, so none may panic, run on, or fill the memory. These functions are the bodies of the fuzz
//! targets in `fuzz/`; the tests below run them over the seeds and over changed seeds.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use chrono::DateTime;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::expr::{Place, Scope, Template};
use crate::time::{Format, Span};
use crate::{
    AddressPolicy, Connector, Host, HttpClient, HttpSettings, Permit, PermitRequest, ReadLimits,
    ReadSettings, Refused, Reported, ResponseSignals,
};

/// Lets no request out.
struct Closed;

#[async_trait]
impl Host for Closed {
    async fn permit(&self, _request: &PermitRequest) -> Result<Permit, Refused> {
        Err(Refused::Stop {
            reason: "nothing is sent".to_owned(),
        })
    }

    async fn report(&self, _permit: Permit, _signals: &ResponseSignals) -> Reported {
        Reported::Noted
    }
}

/// The parts of an input, which a zero byte separates. What is no JSON is an empty object.
fn parts(data: &[u8]) -> Option<(&str, Value, Value)> {
    let text = std::str::from_utf8(data).ok()?;
    let mut parts = text.split('\0');
    let first = parts.next().unwrap_or_default();
    let mut json = || {
        let parsed = parts
            .next()
            .and_then(|part| serde_json::from_str(part).ok());
        parsed.unwrap_or_else(|| json!({}))
    };
    Some((first, json(), json()))
}

/// Loads a manifest and reads its streams with a config, the second part, from an answer, the third one.
pub fn manifest(data: &[u8]) {
    let Some((yaml, config, answer)) = parts(data) else {
        return;
    };
    let Ok(connector) = Connector::load("fuzz", yaml) else {
        return;
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else {
        return;
    };
    for stream in connector.streams() {
        let Some(settings) = settings(&config) else {
            return;
        };
        let Ok(mut reader) = connector.reader(&stream.name, settings) else {
            continue;
        };
        // Builds the request, which nobody lets out.
        drop(runtime.block_on(reader.next_page()));
        reader.feed(&answer);
    }
}

fn settings(config: &Value) -> Option<ReadSettings> {
    static HTTP: OnceLock<Option<HttpClient>> = OnceLock::new();
    let made = || {
        HttpClient::new(HttpSettings {
            addresses: AddressPolicy::loopback(),
            ..HttpSettings::default()
        })
        .ok()
    };
    Some(ReadSettings {
        config: config.clone(),
        base_url: None,
        http: HTTP.get_or_init(made).clone()?,
        host: Arc::new(Closed),
        now: DateTime::from_timestamp(1_700_000_000, 0)?,
        from: None,
        state: None,
        range: None,
        page: None,
        cancel: CancellationToken::new(),
        limits: ReadLimits::default(),
    })
}

/// Compiles a text and evaluates it over a config and a record, the second and the third part.
pub fn expression(data: &[u8]) {
    let Some((source, config, record)) = parts(data) else {
        return;
    };
    let parameters = Arc::new(json!({ "p": "a parameter" }));
    let path = json!(["a", "b"]);
    for place in [
        Place::PAGINATOR,
        Place::ADDED_FIELD_CONDITION,
        Place::REQUEST,
    ] {
        let Ok(template) = Template::compile(source, "", &parameters, place) else {
            continue;
        };
        let now = DateTime::from_timestamp(1_700_000_000, 123_456_000).unwrap_or_default();
        let scope = Scope {
            record: Some(&record),
            response: Some(&record),
            headers: Some(&config),
            last_record: Some(&record),
            stream_slice: Some(&config),
            next_page_token: Some(&record),
            last_page_size: Some(20),
            field_value: Some(&record),
            field_path: Some(&path),
            ..Scope::of_read(&config, now)
        };
        drop(template.value(&scope));
        drop(template.condition(&scope));
        drop(template.text(&scope));
        drop(template.credential(&scope));
    }
}

/// Compiles a datetime format and a duration, reads a text by it and writes it again.
pub fn datetime(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (format, value) = text.split_once('\0').unwrap_or((text, text));
    let span = Span::parse(value);
    let Ok(format) = Format::compile(format) else {
        return;
    };
    let number = serde_json::from_str(value).unwrap_or(Value::Null);
    for moment in [format.read_text(value), format.read(&number)]
        .into_iter()
        .flatten()
    {
        format.write(moment);
        format.write_local(moment);
        if let Some(span) = span {
            for moved in [span.after(moment), span.before(moment)]
                .into_iter()
                .flatten()
            {
                format.write(moved);
            }
        }
    }
}
