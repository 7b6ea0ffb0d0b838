//! Reads the streams of a catalog and prints their records as JSON lines, in the language's own message form.
//!
//! `cargo run --release -p syncline-engine --example read -- --manifest-path m.yaml --config c.json --catalog cat.json`
//!
//! The smallest host there is: it grants every request. `syncline bench engine --reader` takes it for a stand-in of
//! `syncline connector read`, which leaves profiles without the rest of the program.

use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::{Value, json};
use syncline_engine::{
    AddressPolicy, Connector, Host, HttpClient, HttpSettings, Permit, PermitRequest, ReadLimits,
    ReadSettings, Record, Refused, Reported, ResponseSignals,
};
use tokio_util::sync::CancellationToken;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Has no budgets.
struct Willing;

#[async_trait]
impl Host for Willing {
    async fn permit(&self, _request: &PermitRequest) -> Result<Permit, Refused> {
        Ok(Permit::empty())
    }

    async fn report(&self, _permit: Permit, _signals: &ResponseSignals) -> Reported {
        Reported::Noted
    }
}

#[derive(Serialize)]
struct Line<'a> {
    r#type: &'static str,
    record: RecordLine<'a>,
}

#[derive(Serialize)]
struct RecordLine<'a> {
    stream: &'a str,
    data: &'a Record,
    emitted_at: i64,
}

#[expect(
    clippy::disallowed_methods,
    reason = "a program of its own, which has no clock to hand in"
)]
#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let given = |name: &str| -> Outcome<&String> {
        let place = arguments.iter().position(|argument| argument == name);
        let value = place.and_then(|place| arguments.get(place + 1));
        value.ok_or_else(|| format!("{name} is missing").into())
    };
    let json_of = |name: &str| -> Outcome<Value> {
        Ok(serde_json::from_slice(&std::fs::read(given(name)?)?)?)
    };
    let connector = Connector::load_file(Path::new(given("--manifest-path")?))?;
    let config = json_of("--config")?;
    let catalog = json_of("--catalog")?;
    let addresses = AddressPolicy::loopback();
    let http = HttpClient::new(HttpSettings {
        addresses,
        ..HttpSettings::default()
    })?;
    let names = catalog["streams"].as_array().into_iter().flatten();
    let mut out = BufWriter::with_capacity(64 * 1024, std::io::stdout().lock());
    for name in names.filter_map(|stream| stream["stream"]["name"].as_str()) {
        let settings = ReadSettings {
            config: config.clone(),
            base_url: None,
            http: http.clone(),
            host: Arc::new(Willing),
            now: chrono::Utc::now(),
            from: None,
            state: None,
            range: None,
            page: None,
            cancel: CancellationToken::new(),
            limits: ReadLimits::default(),
        };
        let mut reader = connector.reader(name, settings)?;
        while let Some(page) = reader.next_page().await? {
            let emitted_at = chrono::Utc::now().timestamp_millis();
            for data in &page.records {
                let record = RecordLine {
                    stream: name,
                    data,
                    emitted_at,
                };
                let line = Line {
                    r#type: "RECORD",
                    record,
                };
                serde_json::to_writer(&mut out, &line)?;
                out.write_all(b"\n")?;
            }
            if let Some(state) = page.state {
                let stream =
                    json!({ "stream_descriptor": { "name": name }, "stream_state": state });
                let line =
                    json!({ "type": "STATE", "state": { "type": "STREAM", "stream": stream } });
                writeln!(out, "{line}")?;
            }
        }
    }
    out.flush()?;
    Ok(())
}
