//! Streams whose parents' records a platform prepares as jobs, or which hold the first page of their children.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

#[expect(dead_code, reason = "heads of requests are for others")]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, TimeDelta};
use serde_json::{Value, json};
use support::{Server, answer, serve, settings};
use syncline_engine::{Connector, Page, Position, ReadError, ReadSettings};

const JOBS: &str = "{type: AsyncRetriever, record_selector: {extractor: {field_path: []}}, status_extractor: {type: DpathExtractor, field_path: [status]}, \
     status_mapping: {running: [RUNNING], completed: [DONE], failed: [FAILED], timeout: [EXPIRED]}, creation_requester: {type: \
     HttpRequester, url_base: 'https://h', path: jobs, http_method: POST}, polling_requester: {type: HttpRequester, url_base: \
     'https://h', path: \"jobs/{{ creation_response['id'] }}\"}, download_requester: {type: HttpRequester, url_base: 'https://h', \
     path: \"data/{{ creation_response['id'] }}\"}}";
const PLAIN: &str = "{type: SimpleRetriever, requester: {type: HttpRequester, url_base: 'https://h', path: parents}, record_selector: \
     {extractor: {field_path: []}}}";

/// A stream `a` whose partitions are the records of a parent; `wrap` makes its routers of one.
fn connector(
    parent: &str,
    config: &str,
    more: &str,
    wrap: impl Fn(String) -> String,
) -> Result<Connector, String> {
    let router = wrap(format!(
        "{{type: SubstreamPartitionRouter, parent_stream_configs: [{{parent_key: id, partition_field: parent, {config}stream: {{type: \
         DeclarativeStream, name: parents, retriever: {parent}}}}}]}}"
    ));
    let yaml = format!(
        "type: DeclarativeSource\nversion: 6.0.0\ncheck: {{type: CheckStream, stream_names: [a]}}\nstreams:\n  - type: \
         DeclarativeStream\n    name: a\n    {more}\n    retriever: {{type: SimpleRetriever, requester: {{type: HttpRequester, \
         url_base: 'https://h', path: \"of/{{{{ stream_slice.parent }}}}\"}}, record_selector: {{extractor: {{field_path: []}}}}, \
         partition_router: {router}, paginator: {{type: DefaultPaginator, page_token_option: {{type: RequestOption, inject_into: \
         request_parameter, field_name: page}}, pagination_strategy: {{type: PageIncrement, page_size: 2}}}}}}\n"
    );
    Connector::load("demo", &yaml).map_err(|errors| errors.to_string())
}

fn read(server: &Server) -> ReadSettings {
    settings(json!({}), &server.address, Arc::default())
}

/// Jobs that are done when they are asked for the second time. One that was not created here is not known.
async fn platform() -> Server {
    let (jobs, polls) = (AtomicUsize::new(0), AtomicUsize::new(0));
    serve(move |_, target| {
        if target == "/jobs" {
            let id = jobs.fetch_add(1, Ordering::SeqCst) + 1;
            return answer(200, "", &format!(r#"{{"id": "j{id}"}}"#));
        }
        if let Some(job) = target.strip_prefix("/jobs/j") {
            if job.parse::<usize>().unwrap() > jobs.load(Ordering::SeqCst) {
                return answer(404, "", "{}");
            }
            let is_first = polls.fetch_add(1, Ordering::SeqCst) == 0;
            let status = if is_first { "RUNNING" } else { "DONE" };
            return answer(200, "", &format!(r#"{{"status": "{status}"}}"#));
        }
        if target.starts_with("/data/") {
            return answer(200, "", r#"[{"id": 1}, {"id": 2}]"#);
        }
        answer(200, "", r#"[{"id": 1}]"#)
    })
    .await
}

/// Reads until the end, however often it has to wait; each time another worker goes on from what was stored.
async fn in_turns(
    connector: &Connector,
    base: &ReadSettings,
    mut from: Option<Position>,
) -> (Vec<Page>, usize) {
    let mut pages = Vec::new();
    let mut waits = 0;
    loop {
        let settings = ReadSettings {
            from: from.clone(),
            now: base.now + TimeDelta::minutes(i64::try_from(waits).unwrap()),
            ..base.clone()
        };
        let mut reader = connector.reader("a", settings).unwrap();
        loop {
            match reader.next_page().await {
                Ok(Some(page)) => {
                    from.clone_from(&page.next);
                    pages.push(page);
                }
                Ok(None) => return (pages, waits),
                Err(ReadError::Parked { .. }) => break,
                Err(other) => panic!("{other}"),
            }
        }
        waits += 1;
    }
}

#[tokio::test]
async fn a_parents_job_is_kept_while_it_is_waited_for_and_while_its_children_are_read() {
    let connector = connector(JOBS, "", "", |router| router).unwrap();
    let server = platform().await;
    let base = ReadSettings {
        now: DateTime::UNIX_EPOCH,
        ..read(&server)
    };
    let (pages, waits) = in_turns(&connector, &base, None).await;
    let expected = [
        "/jobs", "/jobs/j1", "/jobs/j1", "/data/j1", "/of/1", "/of/2",
    ];
    assert_eq!(
        (server.targets(), waits),
        (expected.map(str::to_owned).to_vec(), 1)
    );
    let standing = pages[0].next.clone().unwrap();
    assert_eq!(
        standing.0["parent"]["from"]["job"]["response"],
        json!({"id": "j1"})
    );
    assert_eq!(standing.0.get("partition"), None);
    let records: usize = pages.iter().map(|page| page.records.len()).sum();
    let requests: u32 = pages.iter().map(|page| page.requests).sum();
    assert_eq!((records, requests), (2, 5));

    // From between the children: the job is asked for once more, and its records are downloaded anew.
    let between = pages.iter().find(|page| !page.records.is_empty()).unwrap();
    server.seen.lock().unwrap().clear();
    in_turns(&connector, &base, between.next.clone()).await;
    assert_eq!(server.targets(), ["/jobs/j1", "/data/j1", "/of/2"]);

    // A job that is gone: whoever goes on from the slice's start creates another one.
    let gone = platform().await;
    let base = ReadSettings {
        now: DateTime::UNIX_EPOCH,
        ..read(&gone)
    };
    let old = [standing, between.next.clone().unwrap()];
    for position in &old {
        let settings = ReadSettings {
            from: Some(position.clone()),
            ..base.clone()
        };
        let refused = connector.reader("a", settings).unwrap().next_page().await;
        assert!(matches!(refused, Err(ReadError::PositionRefused { .. })));
    }
    for position in &old {
        gone.seen.lock().unwrap().clear();
        in_turns(&connector, &base, position.slice_start()).await;
        assert_eq!(gone.targets()[0], "/jobs");
        assert!(gone.targets().contains(&"/of/2".to_owned()));
    }
}

#[test]
fn parents_with_jobs_stand_alone() {
    type Wrap<'a> = &'a dyn Fn(String) -> String;
    let list = "{type: ListPartitionRouter, cursor_field: kind, values: [x]}";
    let product: Wrap<'_> = &|router| format!("[{list}, {router}]");
    let group: Wrap<'_> = &|router| {
        format!(
            "{{type: GroupingPartitionRouter, group_size: 2, underlying_partition_router: {router}}}"
        )
    };
    for wrap in [product, group] {
        let problem = connector(JOBS, "", "", wrap).unwrap_err();
        assert!(problem.contains("only router"), "{problem}");
        connector(PLAIN, "", "", wrap).unwrap();
    }
}

#[tokio::test]
async fn the_first_page_in_a_parents_record_is_not_asked_for() {
    let server = serve(|_, target| match target {
        "/parents" => answer(
            200,
            "",
            r#"[{"id": 1, "of": {"list": [{"n": 1}, {"n": 2}]}}, {"id": 2, "of": {"list": [{"n": 4}]}}, {"id": 3}]"#,
        ),
        _ => answer(200, "", r#"[{"n": 3}]"#),
    })
    .await;
    let pointer = "lazy_read_pointer: [of, list], ";
    let connector = connector(PLAIN, pointer, "", |router| router).unwrap();
    let values = |pages: &[Page]| -> Vec<Value> {
        let records = pages.iter().flat_map(|page| &page.records);
        records.map(|record| record["n"].clone()).collect()
    };
    for lanes in [1, 3] {
        server.seen.lock().unwrap().clear();
        let mut base = read(&server);
        base.limits.max_lanes = lanes;
        let (pages, _) = in_turns(&connector, &base, None).await;
        assert_eq!(server.targets(), ["/parents", "/of/1?page=1"]);
        assert_eq!(values(&pages), [1, 2, 3, 4]);
        for (index, page) in pages.iter().enumerate().take(pages.len() - 1) {
            let (rest, _) = in_turns(&connector, &base, page.next.clone()).await;
            assert_eq!(
                values(&rest),
                values(&pages[index + 1..]),
                "after page {index}"
            );
        }
    }
}

#[test]
fn first_pages_need_one_slice_and_json() {
    let pointer = "lazy_read_pointer: [list], ";
    let cursor = "incremental_sync: {type: DatetimeBasedCursor, cursor_field: at, datetime_format: '%Y', start_datetime: '2024', step: \
         P1Y, cursor_granularity: P1Y}";
    for (config, more, problem) in [
        (pointer, cursor, "one slice"),
        ("lazy_read_pointer: ['*'], ", "", "no \"*\""),
        ("lazy_read_pointer: list, ", "", "a list of names"),
    ] {
        let found = connector(PLAIN, config, more, |router| router).unwrap_err();
        assert!(found.contains(problem), "{found}");
    }
}
