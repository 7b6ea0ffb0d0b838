//! Real input that none of us wrote: a server and a data set of other people, from the npm registry.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use reqwest::Method;
use serde_json::{Map, Value, json};
use syncline_tests::database::{OWN_COLUMNS, Row, rows};
use syncline_tests::http::client;
use syncline_tests::wait::{Look, until};
use syncline_tests::{Answer, Cluster, Process, npm, program};

const SERVER: &str = "json-server@0.17.4";
const DATA: &str = "world-countries@5.1.0";
const PER_PAGE: usize = 40;

/// Properties and their columns, written down by hand. Three properties have none and belong in `_extra`.
const COLUMNS: [(&str, &str); 21] = [
    ("cca3", "cca3"),
    ("cca2", "cca2"),
    ("ccn3", "ccn3"),
    ("cioc", "cioc"),
    ("name", "name"),
    ("independent", "independent"),
    ("status", "status"),
    ("unMember", "un_member"),
    ("currencies", "currencies"),
    ("idd", "idd"),
    ("capital", "capital"),
    ("region", "region"),
    ("subregion", "subregion"),
    ("languages", "languages"),
    ("translations", "translations"),
    ("latlng", "latlng"),
    ("landlocked", "landlocked"),
    ("borders", "borders"),
    ("area", "area"),
    ("flag", "flag"),
    ("demonyms", "demonyms"),
];
const WITHOUT_COLUMN: [&str; 3] = ["altSpellings", "tld", "unRegionalGroup"];

/// json-server on a copy of the package's file.
async fn serve(packages: &Path, folder: &Path, data: &str) -> (Process, String) {
    // The file goes in as it is, as the one list of the server's database.
    fs::write(folder.join("db.json"), format!("{{\"countries\": {data}}}")).unwrap();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut command = Command::new("node");
    command.arg(packages.join("node_modules/json-server/lib/cli/bin.js"));
    command.args([
        "--host",
        "127.0.0.1",
        "--id",
        "cca3",
        "--port",
        &port.to_string(),
        "db.json",
    ]);
    let server = Process::start(
        "json-server",
        {
            command.current_dir(folder);
            command
        },
        folder,
    );
    let url = format!("http://127.0.0.1:{port}");
    let ready = format!("{url}/countries?_limit=1");
    until("json-server", async || {
        match Answer::try_to(&client(), Method::GET, &ready, None, None).await {
            Ok(answer) => Look::is(answer.status == 200, answer.status),
            Err(error) => Look::not_yet(format!("{error}; {}", server.log())),
        }
    })
    .await;
    (server, url)
}

fn expected_row(record: &Map<String, Value>) -> Row {
    let mut row = Row::new();
    for (property, column) in COLUMNS {
        row.insert(
            column.to_owned(),
            record.get(property).cloned().unwrap_or(Value::Null),
        );
    }
    let mut extra = Map::new();
    for property in WITHOUT_COLUMN {
        if let Some(value) = record.get(property) {
            extra.insert(property.to_owned(), value.clone());
        }
    }
    assert_eq!(
        COLUMNS.len() + extra.len(),
        record.len(),
        "the data has other properties: {record:?}"
    );
    row.insert("_extra".to_owned(), Value::Object(extra));
    row
}

fn assert_equal(found: &BTreeMap<String, Row>, records: &[Map<String, Value>]) {
    for record in records {
        let key = record["cca3"].as_str().unwrap();
        let mut row = found[key].clone();
        row.retain(|column, _| column == "_extra" || !OWN_COLUMNS.contains(&column.as_str()));
        assert_eq!(row, expected_row(record), "{key}");
    }
    assert_eq!(found.len(), records.len());
}

#[tokio::test]
#[ignore = "proof: installs a server and a data set from the npm registry"]
async fn proof_a_third_party_server_and_data_set_are_synced_row_by_row() {
    let packages = npm::install("third-party", &[SERVER, DATA]);
    let data =
        fs::read_to_string(packages.join("node_modules/world-countries/countries.json")).unwrap();
    let records: Vec<Map<String, Value>> = serde_json::from_str(&data).unwrap();
    assert!(records.len() >= 250, "{} records", records.len());
    let manifests = program::checkout().join("tests/connectors");
    let cluster = Cluster::builder().connectors(manifests).start().await;
    let (server, url) = serve(&packages, cluster.folder(), &data).await;

    cluster
        .api
        .post("/businesses", json!({"key": "atlas"}))
        .await
        .expect(201);
    let connection = json!({
        "key": "world",
        "business": "atlas",
        "platform": "countries",
        "config": {"per_page": PER_PAGE},
        "base_url": url,
    });
    let connection = cluster
        .api
        .post("/connections", connection)
        .await
        .expect(201);
    let connection = connection["id"].as_str().unwrap();
    let sync = async || {
        let started = json!({"connection": "world", "wait": 60});
        let run = cluster.api.post("/runs", started).await.expect(200);
        assert_eq!(run["status"], "succeeded", "{run:#}\n{}", server.log());
        run["progress"].clone()
    };
    let progress = sync().await;
    assert_eq!(progress["inserted"], json!(records.len()), "{progress}");
    assert_eq!(
        progress["pages"],
        json!(records.len().div_ceil(PER_PAGE)),
        "{progress}"
    );
    assert_eq!(progress["failed"], json!(0), "{progress}");
    let found = rows(&cluster.pool, "countries_countries", "cca3", connection).await;
    assert_equal(&found, &records);

    // Changed through the server's own API.
    let change = async |method: Method, key: &str, body: Option<&Value>| {
        let url = format!("{url}/countries/{key}");
        Answer::to(&client(), method, &url, None, body)
            .await
            .expect(200);
    };
    change(Method::PATCH, "DEU", Some(&json!({"area": 357_114.25}))).await;
    change(Method::DELETE, "ABW", None).await;
    let progress = sync().await;
    let counts =
        ["inserted", "updated", "unchanged", "deleted"].map(|name| progress[name].as_u64());
    let total = records.len() as u64;
    assert_eq!(
        counts,
        [Some(0), Some(1), Some(total - 2), Some(1)],
        "{progress}"
    );
    let found = rows(&cluster.pool, "countries_countries", "cca3", connection).await;
    assert_eq!(found["DEU"]["area"].to_string(), "357114.25");
    assert!(!found["ABW"]["_deleted_at"].is_null());
}
