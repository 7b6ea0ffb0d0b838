//! `syncline connector` as a person uses it: the real program, a server with canned answers, no database.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};
use syncline_tests::cluster::bare_command;
use syncline_tests::{Canned, program};
use tempfile::TempDir;

const TOKEN: &str = "very-secret-token-4711";

/// A folder with a manifest and a config for a server.
struct Desk {
    folder: TempDir,
    manifest: PathBuf,
}

impl Desk {
    fn new(server: &Canned) -> Desk {
        let folder = tempfile::tempdir().unwrap();
        let config = json!({"base_url": server.url(), "token": TOKEN});
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        Desk {
            folder,
            manifest: program::checkout().join("tests/connectors/tickets.yaml"),
        }
    }

    fn write(&self, name: &str, value: &Value) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, value.to_string()).unwrap();
        path.to_string_lossy().into_owned()
    }

    fn catalog(&self, streams: &[(&str, &str)]) -> String {
        let streams: Vec<Value> = streams
            .iter()
            .map(|(name, mode)| {
                json!({
                    "stream": {"name": name, "json_schema": {}, "supported_sync_modes": ["full_refresh"]},
                    "sync_mode": mode,
                    "destination_sync_mode": "append",
                })
            })
            .collect();
        self.write("catalog.json", &json!({"streams": streams}))
    }

    /// Runs a command on the manifest and the config.
    fn run(&self, verb: &str, more: &[&str]) -> Told {
        let mut command = bare_command();
        command
            .args(["connector", verb, "--now", "2024-01-25T12:00:00Z"])
            .arg("--manifest-path")
            .arg(&self.manifest)
            .arg("--config")
            .arg(self.folder.path().join("config.json"))
            .args(more)
            .env("SYNCLINE_ALLOW_HOSTS", "127.0.0.1");
        Told::by(&command.output().unwrap())
    }
}

/// What a command said.
#[derive(Debug)]
struct Told {
    code: Option<i32>,
    out: String,
    errors: String,
}

impl Told {
    /// Whatever a command says, it never says the token.
    fn by(output: &Output) -> Told {
        let told = Told {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        for text in [&told.out, &told.errors] {
            assert!(!text.contains(TOKEN), "the token is shown: {text}");
        }
        told
    }

    fn lines(&self) -> Vec<Value> {
        let lines = self.out.lines();
        lines
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
            })
            .collect()
    }

    /// The lines of one type, their content only.
    fn of(&self, kind: &str, member: &str) -> Vec<Value> {
        let lines = self.lines().into_iter();
        lines
            .filter(|line| line["type"] == kind)
            .map(|line| line[member].clone())
            .collect()
    }

    fn statuses(&self) -> Vec<(String, String)> {
        self.of("TRACE", "trace")
            .iter()
            .filter(|trace| trace["type"] == "STREAM_STATUS")
            .map(|trace| {
                let status = &trace["stream_status"];
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                (
                    text(&status["stream_descriptor"]["name"]),
                    text(&status["status"]),
                )
            })
            .collect()
    }

    fn faults(&self) -> Vec<Value> {
        self.of("TRACE", "trace")
            .into_iter()
            .filter(|trace| trace["type"] == "ERROR")
            .map(|trace| trace["error"].clone())
            .collect()
    }

    /// The last state of each stream, as a list of messages.
    fn last_states(&self) -> Value {
        let mut last = serde_json::Map::new();
        for state in self.of("STATE", "state") {
            let name = state["stream"]["stream_descriptor"]["name"].clone();
            last.insert(name.as_str().unwrap().to_owned(), state);
        }
        Value::Array(last.into_iter().map(|(_, state)| state).collect())
    }
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, status)| ((*name).to_owned(), (*status).to_owned()))
        .collect()
}

/// Tickets by day, people on two pages.
fn good() -> Canned {
    Canned::start(|target, _| {
        let body = match target.split_once('?') {
            Some(("/tickets", query)) => {
                let since = query
                    .split('&')
                    .find_map(|pair| pair.strip_prefix("since="));
                let since = since.unwrap();
                format!(
                    r#"{{"data": [{{"id": "t-{since}", "updated_at": "{since}", "price": 1.10}}]}}"#
                )
            }
            Some(("/people", "page=1")) => r#"{"data": [{"id": "a"}, {"id": "b"}]}"#.to_owned(),
            Some(("/people", "page=2")) => r#"{"data": [{"id": "c"}, 7]}"#.to_owned(),
            Some(("/people", _)) => r#"{"data": []}"#.to_owned(),
            _ => return (404, "", "{}".to_owned()),
        };
        (200, "", body)
    })
}

#[test]
fn read_prints_the_lines_of_the_protocol() {
    let server = good();
    let desk = Desk::new(&server);
    let catalog = desk.catalog(&[
        ("tickets", "incremental"),
        ("nobody", "full_refresh"),
        ("people", "full_refresh"),
    ]);
    let told = desk.run("read", &["--catalog", &catalog, "--json"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let lines: Vec<&str> = told.out.lines().collect();
    assert_eq!(
        lines[..5],
        [
            r#"{"type":"TRACE","trace":{"type":"STREAM_STATUS","emitted_at":1706184000000,"stream_status":{"stream_descriptor":{"name":"tickets"},"status":"STARTED"}}}"#,
            r#"{"type":"TRACE","trace":{"type":"STREAM_STATUS","emitted_at":1706184000000,"stream_status":{"stream_descriptor":{"name":"tickets"},"status":"RUNNING"}}}"#,
            r#"{"type":"RECORD","record":{"stream":"tickets","data":{"id":"t-2024-01-01","updated_at":"2024-01-01","price":1.10},"emitted_at":1706184000000}}"#,
            r#"{"type":"STATE","state":{"type":"STREAM","stream":{"stream_descriptor":{"name":"tickets"},"stream_state":{"updated_at":"2024-01-01"}},"sourceStats":{"recordCount":1.0}}}"#,
            r#"{"type":"RECORD","record":{"stream":"tickets","data":{"id":"t-2024-01-11","updated_at":"2024-01-11","price":1.10},"emitted_at":1706184000000}}"#,
        ]
    );
    assert_eq!(
        told.statuses(),
        owned(&[
            ("tickets", "STARTED"),
            ("tickets", "RUNNING"),
            ("tickets", "COMPLETE"),
            ("nobody", "INCOMPLETE"),
            ("people", "STARTED"),
            ("people", "RUNNING"),
            ("people", "COMPLETE"),
        ])
    );
    let states = told.last_states();
    assert_eq!(
        states[1],
        json!({
            "type": "STREAM",
            "stream": {
                "stream_descriptor": {"name": "people"},
                "stream_state": {"__ab_no_cursor_state_message": true}
            },
            "sourceStats": {"recordCount": 3.0}
        })
    );
    // What is no record is told of.
    assert!(
        told.of("LOG", "log")[1]["message"]
            .as_str()
            .unwrap()
            .contains("a number"),
        "{told:?}"
    );
}

#[test]
fn read_goes_on_from_the_state_that_an_earlier_one_printed() {
    let server = good();
    let desk = Desk::new(&server);
    let catalog = desk.catalog(&[("tickets", "incremental")]);
    let first = desk.run("read", &["--catalog", &catalog, "--json"]);
    let states = desk.write("state.json", &first.last_states());
    let whole = desk.folder.path().join("whole.jsonl");
    fs::write(&whole, &first.out).unwrap();
    let before = server.targets().len();
    for state in [states.as_str(), whole.to_str().unwrap()] {
        let told = desk.run("read", &["--catalog", &catalog, "--state", state, "--json"]);
        assert_eq!(told.code, Some(0), "{told:?}");
    }
    let wanted = "/tickets?since=2024-01-21&until=2024-01-25";
    assert_eq!(server.targets()[before..], [wanted, wanted]);

    let full = desk.catalog(&[("tickets", "full_refresh")]);
    desk.run("read", &["--catalog", &full, "--state", &states, "--json"]);
    assert_eq!(
        server.targets().len(),
        before + 5,
        "all three slices are read again"
    );
}

#[test]
fn what_one_stream_fails_at_does_not_keep_the_others_from_being_read() {
    let server = Canned::start(|target, _| match target {
        _ if target.starts_with("/tickets") => {
            let body = json!({"message": format!("no rights for {TOKEN}"), "token": TOKEN});
            (403, "", body.to_string())
        }
        _ => (200, "", r#"{"data": [{"id": "a"}]}"#.to_owned()),
    });
    let desk = Desk::new(&server);
    let told = desk.run("read", &["--json"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert_eq!(
        told.statuses(),
        owned(&[
            ("tickets", "STARTED"),
            ("tickets", "INCOMPLETE"),
            ("people", "STARTED"),
            ("people", "RUNNING"),
            ("people", "COMPLETE"),
        ])
    );
    let faults = told.faults();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert_eq!(faults[0]["failure_type"], "config_error");
    assert_eq!(faults[0]["stream_descriptor"], json!({"name": "tickets"}));
    assert!(
        faults[0]["message"]
            .as_str()
            .unwrap()
            .contains("no rights for ***"),
        "{faults:?}"
    );
    assert!(
        faults[1]["message"]
            .as_str()
            .unwrap()
            .contains("1 of 2 streams"),
        "{faults:?}"
    );

    assert_eq!(
        told.last_states()[0]["stream"]["stream_state"],
        json!({"updated_at": "2024-01-01"})
    );

    let told = desk.run("read", &[]);
    assert_eq!(told.code, Some(1));
    assert_eq!(told.out, "people: {\"id\":\"a\"}\n");
    assert!(
        told.errors.contains("people: 1 record on 1 page"),
        "{told:?}"
    );
    assert!(told.errors.contains("no rights for ***"), "{told:?}");
}

#[test]
fn a_limit_of_the_platform_is_waited_for() {
    let server = Canned::start(|_, before| match before {
        0 => (429, "retry-after: 0\r\n", "{}".to_owned()),
        _ => (200, "", r#"{"data": [{"id": "a"}]}"#.to_owned()),
    });
    let desk = Desk::new(&server);
    let catalog = desk.catalog(&[("people", "full_refresh")]);
    let told = desk.run("read", &["--catalog", &catalog, "--json"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(server.targets(), ["/people?page=1", "/people?page=1"]);
    assert_eq!(told.of("RECORD", "record").len(), 1);
    let limited = r#""status":"RUNNING","reasons":[{"type":"RATE_LIMITED"}]"#;
    assert!(told.out.contains(limited), "{told:?}");
}

#[test]
fn a_wait_that_is_too_long_ends_the_read() {
    let server = Canned::start(|_, _| (429, "retry-after: 3600\r\n", "{}".to_owned()));
    let desk = Desk::new(&server);
    let catalog = desk.catalog(&[("people", "full_refresh")]);
    let told = desk.run(
        "read",
        &["--catalog", &catalog, "--json", "--max-wait", "5"],
    );
    assert_eq!(told.code, Some(1), "{told:?}");
    assert_eq!(told.faults()[0]["failure_type"], "transient_error");
    assert_eq!(server.targets().len(), 1);
}

#[test]
fn a_platform_without_an_end_is_left_at_the_limits() {
    let endless = || {
        Canned::start(|_, _| {
            (
                200,
                "",
                r#"{"data": [{"id": "a"}, {"id": "b"}]}"#.to_owned(),
            )
        })
    };
    for (limits, name, records) in [
        (
            ["--max-pages", "3"],
            "3 pages, which is the limit of one read (--max-pages)",
            6,
        ),
        (["--max-records", "5"], "--max-records", 5),
        (["--max-page-bytes", "10"], "10 bytes", 0),
    ] {
        let server = endless();
        let desk = Desk::new(&server);
        let catalog = desk.catalog(&[("people", "full_refresh")]);
        let told = desk.run(
            "read",
            &[&["--catalog", &catalog, "--json"][..], &limits[..]].concat(),
        );
        assert_eq!(told.code, Some(1), "{told:?}");
        let message = told.faults()[0]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(name), "{message}");
        assert_eq!(told.of("RECORD", "record").len(), records, "{name}");
    }
    let server = Canned::start(|_, _| (429, "retry-after: 600\r\n", "{}".to_owned()));
    let desk = Desk::new(&server);
    let catalog = desk.catalog(&[("people", "full_refresh")]);
    let told = desk.run(
        "read",
        &["--catalog", &catalog, "--json", "--max-seconds", "1"],
    );
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(
        told.faults()[0]["message"]
            .as_str()
            .unwrap()
            .contains("--max-seconds"),
        "{told:?}"
    );
}

#[test]
fn check_says_whether_the_platform_answers() {
    let server = good();
    let told = Desk::new(&server).run("check", &["--json"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(
        told.lines(),
        [json!({"type": "CONNECTION_STATUS", "connectionStatus": {"status": "SUCCEEDED"}})]
    );
    assert_eq!(server.targets(), ["/people?page=1"], "one page is enough");

    let server = Canned::start(|_, _| (401, "", json!({"error": TOKEN}).to_string()));
    let desk = Desk::new(&server);
    let told = desk.run("check", &["--json"]);
    assert_eq!(told.code, Some(0), "a failed check is an answer: {told:?}");
    let status = &told.of("CONNECTION_STATUS", "connectionStatus")[0];
    assert_eq!(status["status"], "FAILED");
    assert!(
        status["message"].as_str().unwrap().contains("people"),
        "{status}"
    );
    let told = desk.run("check", &[]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.errors.contains("the check failed"), "{told:?}");
}

#[test]
fn a_config_that_does_not_fit_is_told_before_anything_is_sent() {
    let server = good();
    let desk = Desk::new(&server);
    desk.write("config.json", &json!({"token": [TOKEN]}));
    for verb in ["read", "discover"] {
        let told = desk.run(verb, &["--json"]);
        assert_eq!(told.code, Some(1), "{verb}: {told:?}");
        let fault = &told.faults()[0];
        assert_eq!(fault["failure_type"], "config_error");
        let message = fault["message"].as_str().unwrap();
        assert!(
            message.contains("/base_url") && message.contains("/token"),
            "{message}"
        );
    }
    let told = desk.run("check", &["--json"]);
    assert_eq!(
        told.of("CONNECTION_STATUS", "connectionStatus")[0]["status"],
        "FAILED"
    );
    assert!(server.targets().is_empty());
}

#[test]
fn private_addresses_are_refused_unless_they_are_allowed() {
    let server = good();
    let desk = Desk::new(&server);
    let told = desk.run("check", &["--allow-hosts", ""]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.errors.contains("SYNCLINE_ALLOW_HOSTS"), "{told:?}");
    assert!(server.targets().is_empty());
}

#[test]
fn discover_and_spec_say_what_a_manifest_offers_and_wants() {
    let server = good();
    let desk = Desk::new(&server);
    let told = desk.run("discover", &["--json"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let schema = json!({"type": "object", "properties": {"id": {"type": "string"}}});
    assert_eq!(
        told.lines()[0],
        json!({"type": "CATALOG", "catalog": {"streams": [
            {
                "name": "tickets",
                "json_schema": schema,
                "supported_sync_modes": ["full_refresh", "incremental"],
                "source_defined_cursor": true,
                "default_cursor_field": ["updated_at"],
                "source_defined_primary_key": [["id"]],
                "is_resumable": true,
                "is_file_based": false,
            },
            {
                "name": "people",
                "json_schema": schema,
                "supported_sync_modes": ["full_refresh"],
                "source_defined_primary_key": [["id"]],
                "is_resumable": false,
                "is_file_based": false,
            },
        ]}})
    );
    let told = desk.run("discover", &[]);
    assert!(
        told.out
            .contains("tickets: key id; incremental by updated_at"),
        "{told:?}"
    );

    let spec = |more: &[&str]| {
        let mut command = bare_command();
        command
            .args(["connector", "spec", "--manifest-path"])
            .arg(&desk.manifest)
            .args(more);
        Told::by(&command.output().unwrap())
    };
    let line = &spec(&["--json"]).lines()[0];
    assert_eq!(line["type"], "SPEC");
    assert_eq!(
        line["spec"]["documentationUrl"],
        "https://example.com/tickets"
    );
    assert_eq!(
        line["spec"]["connectionSpecification"]["required"],
        json!(["base_url", "token"])
    );
    assert!(spec(&[]).out.contains("token (required, secret): Token"));
}

#[test]
fn lint_names_problems_and_traps() {
    let folder = tempfile::tempdir().unwrap();
    let good = program::checkout().join("tests/connectors/tickets.yaml");
    let text = fs::read_to_string(&good).unwrap();
    let trapped = folder.path().join("trapped.yaml");
    fs::write(
        &trapped,
        text.replace("path: /people", "path: //people//all"),
    )
    .unwrap();
    let broken = folder.path().join("broken.yaml");
    let nonsense = text
        .replace("path: /people", "path: \"{{ nothing }}\"")
        .replace("BearerAuthenticator", "CustomAuthenticator");
    fs::write(&broken, nonsense).unwrap();
    let lint = |more: &[&str]| {
        let mut command = bare_command();
        command.args(["connector", "lint"]).args(more);
        Told::by(&command.output().unwrap())
    };
    let good = good.to_str().unwrap();
    let trapped = trapped.to_str().unwrap();
    let broken = broken.to_str().unwrap();

    let told = lint(&["--deny-warnings", good]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let told = lint(&[good, trapped]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(
        told.out.contains("double-slash") && told.out.contains("2 manifests: 0 errors, 1 warning"),
        "{told:?}"
    );
    assert_eq!(lint(&["--deny-warnings", trapped]).code, Some(1));
    let told = lint(&["--json", broken]);
    assert_eq!(told.code, Some(1), "{told:?}");
    let paths: Vec<Value> = told
        .lines()
        .iter()
        .map(|line| line["paths"][0].clone())
        .collect();
    assert!(
        paths.contains(&json!("/streams/1/retriever/requester/path")),
        "{paths:?}"
    );
    assert!(
        paths.contains(&json!("/streams/0/retriever/requester/authenticator")),
        "{paths:?}"
    );
    assert_eq!(lint(&["no-such-file.yaml"]).code, Some(1));
}

#[test]
fn shipped_manifests_have_no_traps() {
    let mut command = bare_command();
    command.args(["connector", "lint", "--deny-warnings"]);
    for file in fs::read_dir(program::connectors()).unwrap() {
        command.arg(file.unwrap().path());
    }
    let told = Told::by(&command.output().unwrap());
    assert_eq!(told.code, Some(0), "{told:?}");
}
