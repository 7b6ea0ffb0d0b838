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

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::*;

    const CONFIG: &str = r#"{"token": "t", "n": 3, "list": [1, "2", null], "start": "2024-01-01T00:00:00Z", "host": "h.example"}"#;
    const ANSWER: &str = r#"{"data": [{"list": [{"id": 1, "n": 5, "name": "a-b", "tags": ["y"], "updated_at": "2023-05-01T00:00:00Z"}, 3]}],
        "next": "/items?p=2", "docs": [{"id": "1", "updated_at": "1700000000"}]}"#;
    /// Texts that mean something to one of the parsers.
    const WORDS: &[&str] = &[
        "{{ ",
        " }}",
        "{% ",
        "{# ",
        "$ref: '#/definitions",
        "#/",
        "$parameters",
        "*a ",
        "&a ",
        "<<: ",
        "!!",
        "- ",
        ": ",
        "\n  ",
        " * 999999999",
        " ~ ",
        " | ",
        " // 0",
        "[::-1]",
        "'''",
        "\"\"\"",
        "\\N",
        "\\x",
        "\\U0010ffff",
        "1e999",
        "-0",
        "0x",
        "1_0",
        "9223372036854775808",
        "-170141183460469231731687303715884105728",
        "config",
        "record",
        "response",
        "stream_slice",
        "now_utc()",
        "duration('P9999999Y')",
        "day_delta(1e9)",
        "format_datetime(",
        "| hash('md5')",
        "| join('')",
        "| replace('', 'aa')",
        "| regex_search('((a{9}){9}){9}')",
        ".split('')",
        ".strftime('%",
        "%Y",
        "%s",
        "%ms",
        "%_ms",
        "%j",
        "%U",
        "%%",
        "P1Y",
        "P-1M",
        "PT0.000001S",
        "9999-12-31T23:59:59",
        "0001-01-01",
        "+24:00",
        "\0",
        "\u{1F600}",
        "é",
        "type: ",
        "DatetimeBasedCursor",
        "ListPartitionRouter",
        "SubstreamPartitionRouter",
        "parent_stream_configs",
        "CompositeErrorHandler",
        "step: PT0.000001S",
    ];

    fn files(folder: &str) -> Vec<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(folder);
        let Ok(entries) = std::fs::read_dir(folder) else {
            return Vec::new();
        };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
            .into_iter()
            .filter_map(|path| std::fs::read_to_string(path).ok())
            .collect()
    }

    fn manifests() -> Vec<String> {
        let mut seeds = [files("connectors"), files("fuzz/seeds/manifest")].concat();
        for seed in &mut seeds {
            *seed = format!("{seed}\0{CONFIG}\0{ANSWER}");
        }
        seeds.extend(files("fuzz/regressions/manifest"));
        seeds
    }

    fn expressions() -> Vec<String> {
        let table: Value =
            serde_json::from_str(include_str!("../tests/golden/expressions.json")).unwrap();
        let config = table["config"].to_string();
        let seed =
            |case: &Value| format!("{}\0{config}\0{ANSWER}", case["template"].as_str().unwrap());
        let mut seeds: Vec<String> = table["cases"]
            .as_array()
            .unwrap()
            .iter()
            .map(seed)
            .collect();
        seeds.extend(files("fuzz/regressions/expression"));
        seeds
    }

    fn datetimes() -> Vec<String> {
        let table: Value =
            serde_json::from_str(include_str!("../tests/golden/datetimes.json")).unwrap();
        let seed = |case: &Value| {
            let value = case["value"]
                .as_str()
                .map_or_else(|| case["value"].to_string(), str::to_owned);
            format!("{}\0{value}", case["format"].as_str().unwrap())
        };
        let mut seeds: Vec<String> = table["reads"]
            .as_array()
            .unwrap()
            .iter()
            .map(seed)
            .collect();
        seeds.extend(files("fuzz/regressions/datetime"));
        seeds
    }

    type Target = fn(&[u8]);

    /// Xorshift: the same numbers each time.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % u64::try_from(bound.max(1)).unwrap()).unwrap()
        }
    }

    /// A seed with some changes.
    fn changed(seeds: &[String], numbers: &mut Numbers) -> Vec<u8> {
        let mut bytes = seeds[numbers.below(seeds.len())].clone().into_bytes();
        for _ in 0..=numbers.below(6) {
            let from = numbers.below(bytes.len() + 1);
            let to = (from + numbers.below(40)).min(bytes.len());
            match numbers.below(6) {
                0 => drop(bytes.drain(from..to)),
                1 => {
                    let again = bytes[from..to].to_vec();
                    bytes.splice(to..to, again.repeat(1 + numbers.below(4)));
                }
                2 if from < bytes.len() => bytes[from] = u8::try_from(numbers.below(128)).unwrap(),
                3 => {
                    let other = seeds[numbers.below(seeds.len())].as_bytes();
                    let start = numbers.below(other.len());
                    let end = (start + numbers.below(200)).min(other.len());
                    bytes.splice(from..from, other[start..end].iter().copied());
                }
                _ => {
                    let word = WORDS[numbers.below(WORDS.len())];
                    bytes.splice(from..to.min(from + numbers.below(8)), word.bytes());
                }
            }
        }
        bytes
    }

    /// Does it, and shows the input that breaks it.
    fn survives(target: Target, input: &[u8]) {
        let began = Instant::now();
        let done = catch_unwind(AssertUnwindSafe(|| target(input)));
        let shown = || String::from_utf8_lossy(input).escape_debug().to_string();
        if let Err(panic) = done {
            println!("breaks on: {}", shown());
            resume_unwind(panic);
        }
        // A bound that only something without an end exceeds.
        assert!(
            began.elapsed() < Duration::from_mins(1),
            "runs on: {}",
            shown()
        );
    }

    fn replay(target: Target, seeds: &[String], changes: usize) {
        assert!(!seeds.is_empty());
        for seed in seeds {
            survives(target, seed.as_bytes());
        }
        let mut numbers = Numbers(0x5eed_5eed_5eed_5eed);
        for _ in 0..changes {
            survives(target, &changed(seeds, &mut numbers));
        }
    }

    #[test]
    fn seeds_are_good_manifests() {
        let seeds = [files("connectors"), files("fuzz/seeds/manifest")].concat();
        assert!(seeds.len() >= 2);
        for seed in seeds {
            Connector::load("seed", &seed).unwrap();
        }
    }

    #[test]
    fn no_manifest_breaks_the_engine() {
        replay(manifest, &manifests(), 2_000);
    }

    #[test]
    fn no_expression_breaks_the_engine() {
        replay(expression, &expressions(), 40_000);
    }

    #[test]
    fn no_datetime_breaks_the_engine() {
        replay(datetime, &datetimes(), 40_000);
    }

    /// Ten minutes of changes that no other run has seen, and a bound for the memory that they take.
    #[test]
    #[ignore = "takes ten minutes"]
    fn proof_no_bytes_break_the_engine() {
        let targets: [(Target, Vec<String>); 3] = [
            (manifest, manifests()),
            (expression, expressions()),
            (datetime, datetimes()),
        ];
        let seed = std::process::id().into();
        println!("begins with {seed}");
        let mut numbers = Numbers(seed);
        let began = Instant::now();
        let mut inputs = 0;
        while began.elapsed() < Duration::from_mins(10) {
            for (target, seeds) in &targets {
                for _ in 0..100 {
                    survives(*target, &changed(seeds, &mut numbers));
                    inputs += 1;
                }
            }
        }
        println!("{inputs} inputs");
        if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
            let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = peak.and_then(|peak| peak.split_whitespace().next()?.parse::<u64>().ok());
            assert!(
                kib.is_some_and(|kib| kib < 1024 * 1024),
                "peak memory: {peak:?}"
            );
        }
    }
}
