//! Slices that are read at the same time give what slices that are read one after the other give.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

#[path = "support/pages.rs"]
mod pages;
#[expect(dead_code, reason = "its log of requests is for others")]
#[path = "support/shuffled.rs"]
mod server;
#[expect(dead_code, reason = "its server answers one request after the other")]
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use server::{Shuffled, all_in_the_end, number, shuffled};
use support::{Notebook, settings};
use syncline_engine::{Connector, Page, Position, ReadSettings};

const DAYS: u64 = 12;

/// A stream with a slice a day, of one to four pages with two records each, and one for each day's own time.
fn connector() -> Connector {
    Connector::load("demo", MANIFEST).unwrap()
}

const MANIFEST: &str = "type: DeclarativeSource\nversion: 6.0.0\ncheck: {type: CheckStream, stream_names: [a]}\nstreams:\n  - type: \
         DeclarativeStream\n    name: a\n    schema_loader: {type: InlineSchemaLoader, schema: {type: object}}\n    \
         incremental_sync: {type: DatetimeBasedCursor, cursor_field: at, datetime_format: '%Y-%m-%d', start_datetime: '2024-01-01', \
         end_datetime: '2024-01-12', step: P1D, cursor_granularity: P1D, start_time_option: {inject_into: request_parameter, \
         field_name: since}}\n    retriever: {type: SimpleRetriever, requester: {type: HttpRequester, url_base: 'https://h', \
         path: a, error_handler: {type: DefaultErrorHandler, max_retries: 0}}, record_selector: {extractor: {field_path: []}}, \
         paginator: {type: DefaultPaginator, page_token_option: {type: RequestOption, inject_into: request_parameter, field_name: \
         page}, pagination_strategy: {type: PageIncrement, page_size: 2}}}\n";

/// The same with a budget, of which nobody here knows how much there is.
fn with_budget() -> Connector {
    let budget = "api_budget: {type: HTTPAPIBudget, policies: [{type: MovingWindowCallRatePolicy, rates: [{limit: 9, interval: PT1S}], \
         matchers: []}]}\n";
    Connector::load("demo", &format!("{MANIFEST}{budget}")).unwrap()
}

/// The records of a page: full ones, then a short one, as many as the day has.
fn records(day: u64, page: u64) -> Value {
    let pages = day % 4 + 1;
    let count = if page + 1 < pages { 2 } else { day % 2 };
    // The newest value of a day is somewhere within it.
    let record = |index: u64| json!({ "id": format!("{day}-{page}-{index}"), "at": format!("2024-01-{day:02}") });
    (0..count).map(record).collect()
}

async fn serve(shuffle: u64, failing: Option<&'static str>) -> Shuffled {
    let failed = AtomicUsize::new(0);
    let place = |target: &str| (number(target, "since="), number(target, "page="));
    let delay = move |target: &str| {
        let (day, page) = place(target);
        (day * 7 + page * 5 + shuffle) * (shuffle + 3) % 11
    };
    let answer = move |target: &str| {
        let fails = failing.is_some_and(|failing| target.contains(failing))
            && failed.fetch_add(1, Ordering::SeqCst) == 0;
        if fails {
            return (503, "{}".to_owned());
        }
        let (day, page) = place(target);
        (200, records(day, page).to_string())
    };
    shuffled(delay, answer).await
}

fn read(server: &Shuffled, lanes: usize, from: Option<Position>) -> ReadSettings {
    let mut settings = settings(json!({}), &server.address, Arc::default());
    settings.limits.max_lanes = lanes;
    settings.from = from;
    settings
}

/// What matters of a page.
fn told(page: &Page) -> Value {
    json!({
        "index": page.index,
        "records": page.records,
        "next": page.next,
        "slice": page.slice.map(|slice| slice.since.to_rfc3339()),
        "closes": page.closes_slice,
        "state": page.state,
        "requests": page.requests,
    })
}

async fn all(settings: ReadSettings) -> Vec<Page> {
    pages::all(&connector(), settings).await
}

#[tokio::test]
async fn pages_positions_and_states_are_those_of_a_read_without_lanes() {
    let server = serve(0, None).await;
    let expected: Vec<Value> = all(read(&server, 1, None)).await.iter().map(told).collect();
    assert_eq!(server.most.load(Ordering::SeqCst), 1);
    for shuffle in 0..6 {
        let server = serve(shuffle, None).await;
        for lanes in [2, 3, 5, 20] {
            let found: Vec<Value> = all(read(&server, lanes, None))
                .await
                .iter()
                .map(told)
                .collect();
            assert_eq!(found, expected, "{lanes} lanes, order {shuffle}");
        }
        assert!(server.most.load(Ordering::SeqCst) > 1);
    }
    let server = serve(3, None).await;
    all(read(&server, 3, None)).await;
    assert!(server.most.load(Ordering::SeqCst) <= 3);
}

/// Whatever order answers come in, and wherever a read is broken off: another one goes on from the last page that was handed out, no
/// record is lost or comes twice, and no state is ahead of the records before it.
#[tokio::test]
async fn a_read_that_is_broken_off_anywhere_goes_on_without_losing_or_doubling() {
    let mut expected = BTreeSet::new();
    for day in 1..=DAYS {
        for page in 0..4 {
            for record in records(day, page).as_array().unwrap() {
                expected.insert(record["id"].as_str().unwrap().to_owned());
            }
            if records(day, page).as_array().unwrap().len() < 2 {
                break;
            }
        }
    }
    for (shuffle, lanes) in [(1, 2), (4, 3), (7, 4)] {
        let server = serve(shuffle, None).await;
        let total = all(read(&server, lanes, None)).await.len();
        for broken in 0..total {
            let mut written: Vec<String> = Vec::new();
            let mut from = None;
            // The second read is broken off as well, after as many pages.
            for pages in [broken, broken, usize::MAX] {
                let mut reader = connector()
                    .reader("a", read(&server, lanes, from.clone()))
                    .unwrap();
                let mut given = 0;
                let mut done = false;
                while given < pages {
                    let Some(page) = reader.next_page().await.unwrap() else {
                        done = true;
                        break;
                    };
                    given += 1;
                    let ids = page
                        .records
                        .iter()
                        .map(|record| record["id"].as_str().unwrap().to_owned());
                    written.extend(ids);
                    if let Some(state) = &page.state {
                        let day: u64 = state["at"].as_str().unwrap()[8..].parse().unwrap();
                        let covered = expected.iter().filter(|id| {
                            id.split('-').next().unwrap().parse::<u64>().unwrap() <= day
                        });
                        for id in covered {
                            assert!(written.contains(id), "the state {state} is ahead of {id}");
                        }
                    }
                    if page.next.is_none() {
                        done = true;
                        break;
                    }
                    from = page.next;
                }
                if done {
                    break;
                }
            }
            let once: BTreeSet<String> = written.iter().cloned().collect();
            assert_eq!(once.len(), written.len(), "a record came twice");
            assert_eq!(once, expected, "{lanes} lanes, broken off after {broken}");
        }
    }
}

#[tokio::test]
async fn a_failure_is_told_when_its_turn_has_come_and_what_time_has_healed_is_not() {
    let server = serve(0, None).await;
    let expected: Vec<Value> = all(read(&server, 1, None)).await.iter().map(told).collect();
    // The third slice fails once. It is read ahead, so by the time of its turn that is over.
    let server = serve(0, Some("since=2024-01-03")).await;
    let mut reader = connector().reader("a", read(&server, 4, None)).unwrap();
    let (pages, failures) = all_in_the_end(&mut reader).await;
    let found: Vec<Value> = pages.iter().map(told).collect();
    assert_eq!(found, expected);
    // It may be told if its turn came while it was under way; then asking again goes on.
    assert!(failures <= 1);
}

#[tokio::test]
async fn what_may_not_be_read_ahead_is_read_when_its_turn_has_come() {
    let server = serve(0, None).await;
    let expected: Vec<Value> = all(read(&server, 1, None)).await.iter().map(told).collect();
    for nothing_ahead in [true, false] {
        let server = serve(5, None).await;
        let host = Arc::new(Notebook {
            nothing_ahead,
            ..Notebook::default()
        });
        let mut settings = settings(json!({}), &server.address, Arc::clone(&host));
        settings.limits.max_lanes = 3;
        let found = pages::all(&with_budget(), settings).await;
        let found: Vec<Value> = found.iter().map(told).collect();
        assert_eq!(found, expected);
        assert_eq!(server.most.load(Ordering::SeqCst) == 1, nothing_ahead);
        let asked = host.requests.lock().unwrap();
        assert!(asked.iter().all(|request| request.budgets.len() == 1));
        assert_eq!(asked.iter().any(|request| request.ahead), !nothing_ahead);
    }
}

#[tokio::test]
async fn from_a_budget_no_more_than_a_few_pages_are_read_ahead() {
    let server = serve(0, None).await;
    let host: Arc<Notebook> = Arc::default();
    let mut settings = settings(json!({}), &server.address, Arc::clone(&host));
    settings.limits.max_lanes = 3;
    let mut reader = with_budget().reader("a", settings).unwrap();
    // The first day has two pages, the second one has three, the third one four.
    reader.next_page().await.unwrap().unwrap();
    let ahead = || {
        let asked = host.requests.lock().unwrap();
        asked.iter().filter(|request| request.ahead).count()
    };
    while ahead() < 4 {
        tokio::task::yield_now().await;
    }
    let answered = || host.signals.lock().unwrap().len();
    while answered() < 5 {
        tokio::task::yield_now().await;
    }
    // What is there waits for its turn before anything more is asked for.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(ahead(), 4);
}
