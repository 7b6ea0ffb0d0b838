//! Partitions that are read at the same time give what partitions that are read one after the other give.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

#[path = "support/pages.rs"]
mod pages;
#[path = "support/shuffled.rs"]
mod server;
#[expect(dead_code, reason = "its server answers one request after the other")]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pages::all;
use serde_json::{Value, json};
use server::{Shuffled, all_in_the_end, number, shuffled};
use support::settings;
use syncline_engine::{Connector, Page, Position, ReadError, ReadSettings};

const POSTS: u64 = 8;
/// Its second time begins where the first has come to.
const COMES_TWICE: u64 = 4;

const CURSOR: &str = "incremental_sync: {type: DatetimeBasedCursor, cursor_field: at, datetime_format: '%Y-%m-%d', start_datetime: \
     '2024-01-01', end_datetime: '2024-01-06', step: P3D, cursor_granularity: P1D, start_time_option: {inject_into: \
     request_parameter, field_name: since}}";
/// Posts, three on a page, which are read from their own state. The fourth and the fifth are the same.
const PARENT: &str = "{type: SubstreamPartitionRouter, parent_stream_configs: [{parent_key: id, partition_field: post, \
     incremental_dependency: true, stream: {type: DeclarativeStream, name: posts, schema_loader: {type: InlineSchemaLoader, schema: \
     {type: object}}, incremental_sync: {type: DatetimeBasedCursor, cursor_field: day, datetime_format: '%Y-%m-%d', start_datetime: \
     '2024-01-01', end_datetime: '2024-01-20', step: P2D, cursor_granularity: P1D, start_time_option: {inject_into: \
     request_parameter, field_name: from}}, retriever: {type: SimpleRetriever, requester: {type: HttpRequester, url_base: \
     'https://h', path: posts, error_handler: {type: DefaultErrorHandler, max_retries: 0}}, record_selector: {extractor: \
     {field_path: []}}}}}]}";
const LIST: &str =
    "{type: ListPartitionRouter, cursor_field: post, values: ['1', '2', '3', '4', '5', '6', '7']}";
const PRODUCT: &str = "[{type: ListPartitionRouter, cursor_field: kind, values: ['8', '9']}, {type: ListPartitionRouter, \
     cursor_field: post, values: ['1', '2', '3']}]";

fn connector(router: &str, more: &str, top: &str) -> Connector {
    let yaml = format!(
        "type: DeclarativeSource\nversion: 6.0.0\ncheck: {{type: CheckStream, stream_names: [a]}}\n{top}\nstreams:\n  - type: \
         DeclarativeStream\n    name: a\n    schema_loader: {{type: InlineSchemaLoader, schema: {{type: object}}}}\n    {more}\n    \
         retriever: {{type: SimpleRetriever, partition_router: {router}, requester: {{type: HttpRequester, url_base: 'https://h', \
         path: \"of\", request_parameters: {{post: \"{{{{ stream_partition.post }}}}\", kind: \"{{{{ stream_partition.get('kind') \
         }}}}\"}}, error_handler: {{type: DefaultErrorHandler, max_retries: 0}}}}, record_selector: {{extractor: {{field_path: \
         []}}}}, paginator: {{type: DefaultPaginator, page_token_option: {{type: RequestOption, inject_into: request_parameter, \
         field_name: page}}, pagination_strategy: {{type: PageIncrement, page_size: 2}}}}}}\n"
    );
    Connector::load("demo", &yaml).unwrap()
}

/// The days from one on that a slice of three days has, and the comments of a post on them: two a page, one to five in all.
fn comments(post: u64, kind: u64, since: u64, page: u64) -> Value {
    let count = (post * 3 + kind + since) % 5 + 1;
    let of_page = (page * 2)..count.min(page * 2 + 2);
    let record = |index: u64| {
        let day = if since == 0 { 0 } else { since + index % 3 };
        json!({ "id": format!("{kind}-{post}-{day}-{index}"), "post": post, "at": format!("2024-01-{day:02}") })
    };
    of_page.map(record).collect()
}

fn posts(from: u64) -> Value {
    let on = |post: u64| post * 2;
    let of_days = (1..=POSTS).filter(|post| (from..from + 2).contains(&on(*post)));
    let record = |post: u64| {
        let id = if post == COMES_TWICE + 1 {
            COMES_TWICE
        } else {
            post
        };
        json!({ "id": id, "day": format!("2024-01-{:02}", on(post)) })
    };
    of_days.map(record).collect()
}

async fn serve(shuffle: u64, failing: Option<&'static str>) -> Shuffled {
    let failed = AtomicUsize::new(0);
    let delay = move |target: &str| {
        let sum = ["post=", "page=", "since=", "from="]
            .iter()
            .zip([7, 5, 3, 2])
            .map(|(name, weight)| number(target, name) * weight);
        (sum.sum::<u64>() + shuffle) * (shuffle + 3) % 5
    };
    let answer = move |target: &str| {
        let fails = failing.is_some_and(|failing| target.contains(failing))
            && failed.fetch_add(1, Ordering::SeqCst) == 0;
        if fails {
            return (503, "{}".to_owned());
        }
        if target.starts_with("/posts") {
            return (200, posts(number(target, "from=")).to_string());
        }
        let of = |name: &str| number(target, name);
        let found = comments(of("post="), of("kind="), of("since="), of("page="));
        (200, found.to_string())
    };
    shuffled(delay, answer).await
}

fn read(server: &Shuffled, lanes: usize) -> ReadSettings {
    let mut settings = settings(json!({}), &server.address, Arc::default());
    settings.limits.max_lanes = lanes;
    settings
}

/// What matters of a page. How long a read took is part of the state, and differs.
fn told(page: &Page) -> Value {
    let mut state = page.state.clone();
    if let Some(Value::Object(members)) = &mut state {
        members.remove("lookback_window");
    }
    json!({
        "index": page.index,
        "records": page.records,
        "next": page.next,
        "slice": page.slice.map(|slice| slice.since.to_rfc3339()),
        "closes": page.closes_slice,
        "state": state,
        "requests": page.requests,
    })
}

async fn all_told(connector: &Connector, settings: ReadSettings) -> Vec<Value> {
    all(connector, settings).await.iter().map(told).collect()
}

#[tokio::test]
async fn pages_positions_and_states_are_those_of_a_read_without_lanes() {
    for (router, more) in [
        (LIST, ""),
        (LIST, CURSOR),
        (PRODUCT, ""),
        (PRODUCT, CURSOR),
        (PARENT, ""),
        (PARENT, CURSOR),
    ] {
        let connector = connector(router, more, "");
        let server = serve(0, None).await;
        let expected = all_told(&connector, read(&server, 1)).await;
        assert_eq!(server.most.load(Ordering::SeqCst), 1);
        assert!(expected.len() > 6);
        for shuffle in 0..4 {
            for lanes in [2, 3, 9] {
                let server = serve(shuffle, None).await;
                let found = all_told(&connector, read(&server, lanes)).await;
                assert_eq!(found, expected, "{router} {lanes} lanes, order {shuffle}");
                let most = server.most.load(Ordering::SeqCst);
                // One more walks ahead if there are parents to be asked, and a lane that was dropped is still answered.
                assert!((2..=lanes + 2).contains(&most), "{most} at once");
            }
        }
    }
}

/// Whatever order answers come in, and wherever a read is broken off: another one goes on from the last page that was handed out. No
/// record is lost or comes twice, and neither the partitions' states nor the parent's are ahead of the records before them.
#[tokio::test]
async fn a_read_that_is_broken_off_anywhere_goes_on_without_losing_or_doubling() {
    let connector = connector(PARENT, CURSOR, "");
    let ids = |pages: &[Page]| -> Vec<String> {
        let records = pages.iter().flat_map(|page| &page.records);
        records
            .map(|record| record["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let whole = all(&connector, read(&serve(0, None).await, 1)).await;
    let mut expected = ids(&whole);
    expected.sort();
    let of_post: BTreeMap<u64, BTreeSet<&String>> = expected.iter().fold(
        BTreeMap::new(),
        |mut found: BTreeMap<u64, BTreeSet<&String>>, id| {
            let post = id.split('-').nth(1).unwrap().parse().unwrap();
            found.entry(post).or_default().insert(id);
            found
        },
    );
    for (shuffle, lanes) in [(1, 2), (4, 4)] {
        let server = serve(shuffle, None).await;
        for broken in 0..whole.len() {
            let mut written: Vec<String> = Vec::new();
            let mut state = None;
            let mut from: Option<Position> = None;
            // The second read is broken off as well, after as many pages.
            for pages in [broken, broken, usize::MAX] {
                let settings = ReadSettings {
                    from: from.clone(),
                    state: state.clone(),
                    ..read(&server, lanes)
                };
                let mut reader = connector.reader("a", settings).unwrap();
                let mut given = 0;
                let mut done = false;
                while given < pages {
                    let Some(page) = reader.next_page().await.unwrap() else {
                        done = true;
                        break;
                    };
                    given += 1;
                    written.extend(ids(std::slice::from_ref(&page)));
                    if let Some(told) = &page.state {
                        assert_covered(told, &of_post, &written);
                        state = Some(told.clone());
                    }
                    done = page.next.is_none();
                    if done {
                        break;
                    }
                    from = page.next;
                }
                if done {
                    break;
                }
            }
            written.sort();
            assert_eq!(
                written, expected,
                "{lanes} lanes, broken off after {broken}"
            );
        }
    }
}

/// Everything that a state says to be read was handed out.
fn assert_covered(state: &Value, of_post: &BTreeMap<u64, BTreeSet<&String>>, written: &[String]) {
    for entry in state["states"].as_array().unwrap() {
        let post = entry["partition"]["post"].as_u64().unwrap();
        if post == COMES_TWICE {
            continue;
        }
        for id in &of_post[&post] {
            assert!(written.contains(id), "{entry} is ahead of {id}");
        }
    }
    let Some(parent) = state["parent_state"]["posts"]["day"].as_str() else {
        return;
    };
    let day: u64 = parent[8..].parse().unwrap();
    for (post, ids) in of_post {
        for id in ids.iter().filter(|_| *post != COMES_TWICE) {
            assert!(
                post * 2 > day || written.contains(id),
                "the parent is ahead of {id}"
            );
        }
    }
}

#[tokio::test]
async fn failures_of_partitions_and_parents_are_told_in_their_turn_or_healed_before() {
    let connector = connector(PARENT, CURSOR, "");
    let expected = all_told(&connector, read(&serve(0, None).await, 1)).await;
    for failing in [
        "post=3&",
        "from=2024-01-09",
        "from=2024-01-19",
        "post=4&since=2024-01-04",
    ] {
        let server = serve(0, Some(failing)).await;
        let mut reader = connector.reader("a", read(&server, 4)).unwrap();
        let (pages, failures) = all_in_the_end(&mut reader).await;
        let mut found: Vec<Value> = pages.iter().map(told).collect();
        // The repeated request may be counted; all else is the same.
        for (found, expected) in found.iter_mut().zip(&expected) {
            found["requests"] = expected["requests"].clone();
        }
        assert_eq!(found, expected, "{failing}");
        assert!(failures <= 1, "{failing}");
    }
}

#[tokio::test]
async fn a_failure_that_nothing_heals_comes_after_what_was_read_before_it() {
    let answer = |target: &str| match number(target, "post=") {
        3 => (404, "{}".to_owned()),
        post => (200, json!([{ "id": post }]).to_string()),
    };
    let server = shuffled(|_| 0, answer).await;
    let connector = connector(LIST, "", "");
    let mut reader = connector.reader("a", read(&server, 3)).unwrap();
    for post in 1..3 {
        let page = reader.next_page().await.unwrap().unwrap();
        assert_eq!(page.records[0]["id"], json!(post));
    }
    let error = reader.next_page().await.unwrap_err();
    assert!(matches!(error, ReadError::Permanent { .. }), "{error}");
}

#[tokio::test]
async fn a_manifest_may_ask_for_less_at_once() {
    let level = |level: &str| format!("concurrency_level: {{type: ConcurrencyLevel, {level}}}");
    for (stated, most) in [
        ("default_concurrency: 1", 1),
        ("default_concurrency: 2", 2),
        ("default_concurrency: 12", 3),
        (
            "default_concurrency: \"{{ config.get('workers', 2) }}\", max_concurrency: 20",
            2,
        ),
        (
            "default_concurrency: \"{{ config.get('workers', 9) }}\", max_concurrency: 1",
            1,
        ),
        ("default_concurrency: 0", 1),
    ] {
        let server = shuffled(|_| 3, |_| (200, "[]".to_owned())).await;
        let connector = connector(LIST, "", &level(stated));
        all(&connector, read(&server, 3)).await;
        assert_eq!(server.most.load(Ordering::SeqCst), most, "{stated}");
        assert_eq!(server.targets.lock().unwrap().len(), 7);
    }
}
