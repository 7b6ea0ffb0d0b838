//! Streams whose records a platform prepares as jobs: created, asked for, downloaded, and gone on with elsewhere.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use serde_json::{Value, json};
use support::{Notebook, Seen, Server, answer, serve, settings};
use syncline_engine::{Connector, Page, Position, ReadError, ReadSettings, StreamReader};

const CURSOR: &str = "incremental_sync: {type: DatetimeBasedCursor, cursor_field: at, datetime_format: '%Y-%m-%d', \
     start_datetime: '2024-01-01', end_datetime: '2024-01-06', step: P2D, cursor_granularity: P1D}";

fn manifest(top: &str, stream: &str, retriever: &str) -> String {
    format!(
        "type: DeclarativeSource\nversion: 6.0.0\ncheck: {{type: CheckStream, stream_names: [a]}}\n{top}\n\
         definitions:\n  reply: {{type: DpathExtractor, field_path: [status]}}\n\
         streams:\n  - type: DeclarativeStream\n    name: a\n    schema_loader: {{type: InlineSchemaLoader, schema: {{type: object}}}}\n    \
         {stream}\n    retriever:\n      type: AsyncRetriever\n      \
         record_selector: {{extractor: {{field_path: []}}, record_filter: {{condition: \"{{{{ record['id'] != 9 }}}}\"}}}}\n      \
         status_extractor: '#/definitions/reply'\n      \
         status_mapping: {{running: [RUNNING, QUEUED], completed: [DONE], failed: [FAILED], timeout: [EXPIRED], skipped: [EMPTY]}}\n      \
         creation_requester: {{type: HttpRequester, url_base: 'https://h', path: jobs, http_method: POST, request_body_json: \
         {{from: \"{{{{ stream_interval['start_time'] }}}}\"}}}}\n      \
         polling_requester: {{type: HttpRequester, url_base: 'https://h', path: \"jobs/{{{{ creation_response['id'] }}}}\"}}\n      \
         {retriever}\n"
    )
}

const DOWNLOAD: &str = "download_requester: {type: HttpRequester, url_base: 'https://h', path: \"data/{{ creation_response['id'] }}\"}";

fn connector(top: &str, stream: &str, retriever: &str) -> Connector {
    Connector::load("demo", &manifest(top, stream, retriever)).unwrap()
}

fn read(server: &Server) -> ReadSettings {
    settings(json!({}), &server.address, Arc::default())
}

fn at(server: &Server, position: &Position) -> ReadSettings {
    ReadSettings {
        from: Some(position.clone()),
        ..read(server)
    }
}

/// Methods and targets of all requests.
fn calls(server: &Server) -> Vec<String> {
    let seen = server.seen.lock().unwrap();
    let call = |seen: &Seen| {
        let method = seen.head.split(' ').next().unwrap_or_default();
        format!("{method} {}", seen.target)
    };
    seen.iter().map(call).collect()
}

fn reader(connector: &Connector, settings: ReadSettings) -> StreamReader {
    connector.reader("a", settings).unwrap()
}

async fn next(reader: &mut StreamReader) -> Page {
    reader.next_page().await.unwrap().unwrap()
}

fn ids(page: &Page) -> Vec<&Value> {
    page.records.iter().map(|record| &record["id"]).collect()
}

/// A platform on which each job is answered by these statuses, one after the other, whichever job is asked for.
async fn platform(statuses: &'static [&'static str]) -> Server {
    let (jobs, polls) = (AtomicUsize::new(0), AtomicUsize::new(0));
    serve(move |_, target| {
        if target == "/jobs" {
            let id = jobs.fetch_add(1, Ordering::SeqCst) + 1;
            return answer(
                200,
                "location: /elsewhere\r\nset-cookie: s=1\r\n",
                &format!(r#"{{"id": "j{id}"}}"#),
            );
        }
        if target.starts_with("/jobs/") {
            let poll = polls.fetch_add(1, Ordering::SeqCst);
            let status = statuses.get(poll).or(statuses.last()).unwrap();
            return answer(
                200,
                "",
                &format!(r#"{{"status": "{status}", "files": ["f1", "f2"]}}"#),
            );
        }
        answer(
            200,
            "",
            r#"[{"id": 1, "at": "2024-01-02"}, {"id": 9}, {"id": 2}]"#,
        )
    })
    .await
}

#[tokio::test]
async fn a_job_is_created_once_though_the_run_is_handed_back_twice() {
    let server = platform(&["QUEUED", "RUNNING", "DONE"]).await;
    let connector = connector("", "", DOWNLOAD);
    let host: Arc<Notebook> = Arc::default();
    let base = settings(json!({}), &server.address, host.clone());
    let mut first = reader(&connector, base.clone());
    let standing = next(&mut first).await;
    assert_eq!(
        (
            standing.records.len(),
            standing.closes_slice,
            standing.requests
        ),
        (0, false, 1)
    );
    let position = standing.next.unwrap();
    assert_eq!(position.0["job"]["response"], json!({"id": "j1"}));
    let waiting = first.next_page().await.unwrap_err();
    let ReadError::Parked { until_hint, reason } = &waiting else {
        panic!("{waiting}");
    };
    assert_eq!(*until_hint, Duration::from_secs(5));
    assert!(reason.contains("job"), "{reason}");

    // Another worker, from what was stored; and again, a while later.
    let resumed = |now: i64| ReadSettings {
        from: Some(position.clone()),
        now: DateTime::UNIX_EPOCH + TimeDelta::seconds(now),
        ..base.clone()
    };
    let waiting = reader(&connector, resumed(82))
        .next_page()
        .await
        .unwrap_err();
    assert_eq!(waiting.retry_after(), Some(Duration::from_secs(20)));
    let mut last = reader(&connector, resumed(100));
    let page = next(&mut last).await;
    assert_eq!(ids(&page), [&json!(1), &json!(2)]);
    assert_eq!(
        (page.closes_slice, page.next.clone(), page.requests),
        (true, None, 2)
    );
    assert!(last.next_page().await.unwrap().is_none());
    let expected = [
        "POST /jobs",
        "GET /jobs/j1",
        "GET /jobs/j1",
        "GET /jobs/j1",
        "GET /data/j1",
    ];
    assert_eq!(calls(&server), expected);
    assert_eq!(host.requests.lock().unwrap().len(), expected.len());
    assert!(!connector.stream("a").unwrap().supports_page);
}

#[tokio::test]
async fn a_wait_that_fits_into_the_slot_is_waited_out() {
    let server = platform(&["FAILED", "DONE"]).await;
    let more = format!("failed_retry_wait_time_in_seconds: 1\n      {DOWNLOAD}");
    let connector = connector("", "", &more);
    let mut settings = read(&server);
    settings.limits.max_wait_in_slot = Duration::from_mins(1);
    let mut reader = reader(&connector, settings);
    let mut counts = Vec::new();
    while let Some(page) = reader.next_page().await.unwrap() {
        counts.push(page.records.len());
    }
    assert_eq!(counts, [0, 0, 0, 2]);
}

#[tokio::test]
async fn a_job_that_fails_is_created_again_and_given_up_after_three() {
    let server = platform(&["FAILED", "FAILED", "RUNNING", "FAILED"]).await;
    let connector = connector("", "", DOWNLOAD);
    let mut reader = reader(&connector, read(&server));
    let mut last = next(&mut reader).await.next.unwrap();
    for count in 2..=3 {
        last = next(&mut reader).await.next.unwrap();
        assert_eq!(last.0["job"]["count"], json!(count));
    }
    assert!(matches!(
        reader.next_page().await.unwrap_err(),
        ReadError::Parked { .. }
    ));
    // The count goes along with the position.
    let mut elsewhere = connector.reader("a", at(&server, &last)).unwrap();
    let error = elsewhere.next_page().await.unwrap_err();
    assert!(matches!(error, ReadError::Permanent { .. }), "{error}");
    assert!(error.to_string().contains("3 times"), "{error}");
    let created = calls(&server)
        .iter()
        .filter(|call| *call == "POST /jobs")
        .count();
    assert_eq!(created, 3);
}

#[tokio::test]
async fn a_wait_before_a_job_is_created_again_is_part_of_the_position() {
    let server = platform(&["FAILED", "DONE"]).await;
    let more = format!("failed_retry_wait_time_in_seconds: 90\n      {DOWNLOAD}");
    let connector = connector("", "", &more);
    let mut first = reader(&connector, read(&server));
    next(&mut first).await;
    let failed = next(&mut first).await.next.unwrap();
    assert_eq!(failed.0["job"].get("response"), None);
    let error = first.next_page().await.unwrap_err();
    let wait = error.retry_after().unwrap();
    assert!(
        wait > Duration::from_mins(1) && wait <= Duration::from_secs(90),
        "{wait:?}"
    );
    let later = ReadSettings {
        now: DateTime::UNIX_EPOCH + TimeDelta::seconds(100),
        ..at(&server, &failed)
    };
    let mut second = reader(&connector, later);
    assert_eq!(
        next(&mut second).await.next.unwrap().0["job"]["count"],
        json!(2)
    );
    assert_eq!(next(&mut second).await.records.len(), 2);
    let expected = [
        "POST /jobs",
        "GET /jobs/j1",
        "POST /jobs",
        "GET /jobs/j2",
        "GET /data/j2",
    ];
    assert_eq!(calls(&server), expected);
}

#[tokio::test]
async fn a_job_that_takes_too_long_is_aborted_and_created_again() {
    let server = platform(&["RUNNING", "RUNNING", "EXPIRED", "DONE"]).await;
    let more = format!(
        "polling_job_timeout: \"{{{{ 10 }}}}\"\n      abort_requester: {{type: HttpRequester, url_base: 'https://h', path: \
         \"abort/{{{{ creation_response.id }}}}\", http_method: DELETE}}\n      {DOWNLOAD}"
    );
    let connector = connector("", "", &more);
    let mut first = reader(&connector, read(&server));
    let position = next(&mut first).await.next.unwrap();
    assert!(first.next_page().await.is_err());
    let late = ReadSettings {
        now: DateTime::UNIX_EPOCH + TimeDelta::seconds(601),
        ..at(&server, &position)
    };
    let mut second = reader(&connector, late);
    assert_eq!(
        next(&mut second).await.next.unwrap().0["job"]["count"],
        json!(2)
    );
    assert_eq!(
        next(&mut second).await.next.unwrap().0["job"]["count"],
        json!(3)
    );
    assert_eq!(next(&mut second).await.records.len(), 2);
    let expected = [
        "POST /jobs",
        "GET /jobs/j1",
        "GET /jobs/j1",
        "DELETE /abort/j1",
        "POST /jobs",
        "GET /jobs/j2",
        "DELETE /abort/j2",
        "POST /jobs",
        "GET /jobs/j3",
        "GET /data/j3",
    ];
    assert_eq!(calls(&server), expected);
}

#[tokio::test]
async fn a_skipped_job_closes_its_slice_without_records() {
    let server = platform(&["EMPTY", "DONE", "EMPTY"]).await;
    let connector = connector("", CURSOR, DOWNLOAD);
    let mut reader = reader(&connector, read(&server));
    let mut states = Vec::new();
    while let Some(page) = reader.next_page().await.unwrap() {
        states.extend(
            page.state
                .filter(|_| page.closes_slice)
                .map(|state| (page.records.len(), state)),
        );
    }
    let expected = [
        (0, json!({"at": "2024-01-01"})),
        (2, json!({"at": "2024-01-02"})),
        (0, json!({"at": "2024-01-02"})),
    ];
    assert_eq!(states, expected);
    let bodies: Vec<String> = server
        .seen
        .lock()
        .unwrap()
        .iter()
        .filter_map(|seen| seen.head.split_once("\r\n\r\n"))
        .map(|(_, body)| body.to_owned())
        .filter(|body| !body.is_empty())
        .collect();
    let from = |day: &str| format!(r#"{{"from":"{day}"}}"#);
    assert_eq!(
        bodies,
        [from("2024-01-01"), from("2024-01-03"), from("2024-01-05")]
    );
}

const TARGETS: &str = "download_target_extractor: {type: DpathExtractor, field_path: [files]}\n      \
     download_requester: {type: HttpRequester, url_base: 'https://h', path: \"{{ download_target }}\"}\n      \
     download_decoder: {type: JsonlDecoder}\n      \
     download_extractor: {type: DpathExtractor, field_path: [row]}\n      \
     download_paginator: {type: DefaultPaginator, page_token_option: {type: RequestOption, inject_into: request_parameter, \
     field_name: page}, pagination_strategy: {type: PageIncrement, page_size: 2}}\n      \
     delete_requester: {type: HttpRequester, url_base: 'https://h', path: \"jobs/{{ creation_response.id }}/end\", \
     http_method: DELETE}";

#[tokio::test]
async fn each_part_of_a_job_is_paged_through_and_gone_on_with_from_anywhere() {
    let server = serve(|_, target| match target {
        "/jobs" => answer(200, "", r#"{"id": 7}"#),
        "/jobs/7" => answer(200, "", r#"{"status": "DONE", "files": ["f1", "f2"]}"#),
        "/jobs/7/end" => answer(500, "", "{}"),
        "/f1" => answer(200, "", "{\"row\": {\"id\": 1}}\n{\"row\": {\"id\": 9}}\n"),
        "/f1?page=1" => answer(200, "", "{\"row\": {\"id\": 2}}"),
        "/f2" => answer(200, "", "{\"row\": {\"id\": 3}}\n"),
        other => panic!("{other}"),
    })
    .await;
    let connector = connector("", "", TARGETS);
    let mut whole = reader(&connector, read(&server));
    let mut pages = Vec::new();
    while let Some(page) = whole.next_page().await.unwrap() {
        pages.push(page);
    }
    let all = [
        "POST /jobs",
        "GET /jobs/7",
        "GET /f1",
        "GET /f1?page=1",
        "GET /f2",
        "DELETE /jobs/7/end",
    ];
    assert_eq!(calls(&server), all);
    let found: Vec<usize> = pages.iter().map(|page| page.records.len()).collect();
    assert_eq!(found, [0, 1, 1, 1, 0]);
    let closing: Vec<bool> = pages.iter().map(|page| page.closes_slice).collect();
    assert_eq!(closing, [false, false, false, false, true]);
    let text = format!(
        "{:?}",
        pages.iter().map(|page| &page.next).collect::<Vec<_>>()
    );
    assert!(!text.contains("f1"), "targets are found anew: {text}");

    // What is downloaded again after each position: the job is asked for once, and the page after it.
    for (done, rest) in [
        (0, &all[1..]),
        (1, &all[3..]),
        (2, &all[4..]),
        (3, &all[5..]),
    ] {
        server.seen.lock().unwrap().clear();
        let position = pages[done].next.clone().unwrap();
        let mut resumed = reader(&connector, at(&server, &position));
        while resumed.next_page().await.unwrap().is_some() {}
        let mut made = calls(&server);
        // Whoever has all of it needs no status.
        if done > 0 && done < 3 {
            assert_eq!(made.remove(0), "GET /jobs/7", "after page {done}");
        }
        assert_eq!(made, rest, "after page {done}");
    }
}

#[tokio::test]
async fn a_job_that_is_gone_when_a_run_comes_back_begins_its_slice_anew() {
    let server = serve(|_, target| match target {
        "/jobs/gone" => answer(404, "", "{}"),
        other => panic!("{other}"),
    })
    .await;
    let connector = connector("", CURSOR, DOWNLOAD);
    let position = Position(json!({
        "slice": {"since": "2024-01-03T00:00:00Z", "from": "2024-01-01T00:00:00Z", "until": "2024-01-06T00:00:00Z",
            "latest": "2024-01-02T00:00:00Z"},
        "job": {"response": {"id": "gone"}, "at": "1970-01-01T00:00:00Z", "count": 1},
        "ahead": [{"response": {"id": "next"}, "at": "1970-01-01T00:00:00Z"}],
    }));
    let error = reader(&connector, at(&server, &position))
        .next_page()
        .await
        .unwrap_err();
    assert!(
        matches!(error, ReadError::PositionRefused { .. }),
        "{error}"
    );
    let start = position.slice_start().unwrap().0;
    assert_eq!(
        start.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["slice"]
    );
}

#[tokio::test]
async fn jobs_of_coming_slices_are_created_ahead_as_far_as_the_manifest_allows() {
    let server = platform(&["RUNNING", "DONE"]).await;
    let connector = connector(
        "max_concurrent_async_job_count: \"{{ config['jobs'] }}\"",
        CURSOR,
        DOWNLOAD,
    );
    let base = settings(json!({"jobs": 2}), &server.address, Arc::default());
    let mut first = reader(&connector, base.clone());
    next(&mut first).await;
    let position = next(&mut first).await.next.unwrap();
    assert_eq!(position.0["job"]["response"]["id"], json!("j1"));
    assert_eq!(position.0["ahead"][0]["response"]["id"], json!("j2"));
    assert!(matches!(
        first.next_page().await.unwrap_err(),
        ReadError::Parked { .. }
    ));
    let resumed = ReadSettings {
        from: Some(position),
        ..base
    };
    let mut second = reader(&connector, resumed);
    while second.next_page().await.unwrap().is_some() {}
    let expected = [
        "POST /jobs",
        "POST /jobs",
        "GET /jobs/j1",
        "GET /jobs/j1",
        "GET /data/j1",
        "POST /jobs",
        "GET /jobs/j2",
        "GET /data/j2",
        "GET /jobs/j3",
        "GET /data/j3",
    ];
    assert_eq!(calls(&server), expected);
}

#[tokio::test]
async fn headers_of_the_creation_are_kept_when_an_expression_reads_them() {
    let server = serve(|_, target| match target {
        "/jobs" => answer(
            202,
            "location: /made/5\r\nset-cookie: secret=1\r\n",
            r#"{"id": 5}"#,
        ),
        "/jobs/5" => answer(200, "x-file: f5\r\n", r#"{"status": "DONE"}"#),
        "/made/5/f5" => answer(200, "", "[]"),
        other => panic!("{other}"),
    })
    .await;
    let retriever = "download_requester: {type: HttpRequester, url_base: 'https://h', path: \"{{ \
         creation_response['headers']['Location'] }}/{{ polling_response['headers']['x-file'] }}\"}";
    let connector = connector("", "", retriever);
    let mut reader = reader(&connector, read(&server));
    let standing = next(&mut reader).await;
    let position = standing.next.unwrap().0.to_string();
    assert!(
        position.contains("/made/5") && !position.contains("secret"),
        "{position}"
    );
    while reader.next_page().await.unwrap().is_some() {}
    assert_eq!(server.targets(), ["/jobs", "/jobs/5", "/made/5/f5"]);
}

#[tokio::test]
async fn an_unknown_status_and_an_answer_that_cannot_be_stored_end_the_read() {
    let server = platform(&["WEIRD"]).await;
    let plain = connector("", "", DOWNLOAD);
    let mut first = reader(&plain, read(&server));
    next(&mut first).await;
    let error = first.next_page().await.unwrap_err().to_string();
    assert!(
        error.contains("WEIRD") && error.contains("QUEUED"),
        "{error}"
    );

    let large =
        serve(|_, _| answer(200, "", &format!(r#"{{"id": "{}"}}"#, "x".repeat(70_000)))).await;
    let error = reader(&plain, read(&large)).next_page().await.unwrap_err();
    assert!(error.to_string().contains("65536"), "{error}");

    let secret = serve(|_, _| answer(200, "", r#"{"id": "hidden-token"}"#)).await;
    let spec = "spec: {type: Spec, connection_specification: {type: object, properties: {token: {type: string, \
                airbyte_secret: true}}}}";
    let guarded = connector(spec, "", DOWNLOAD);
    let config = json!({"token": "hidden-token"});
    let base = settings(config, &secret.address, Arc::default());
    let error = reader(&guarded, base)
        .next_page()
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("secret of the config") && !error.contains("hidden-token"),
        "{error}"
    );
}

#[test]
fn what_does_not_fit_is_refused_when_the_manifest_is_loaded() {
    let problems = |top: &str, retriever: &str| {
        let loaded = Connector::load("demo", &manifest(top, "", retriever));
        loaded.map_or_else(|errors| errors.to_string(), |_| String::new())
    };
    let at = "/streams/0/retriever";
    let cases = [
        ("", String::new(), format!("{at}/download_requester: ")),
        (
            "",
            DOWNLOAD.replace("creation_response['id']", "last_record"),
            format!("{at}/download_requester/path: "),
        ),
        (
            "",
            format!(
                "{DOWNLOAD}\n      download_target_requester: {{type: HttpRequester, url_base: 'https://h'}}"
            ),
            format!("{at}/download_target_extractor: "),
        ),
        (
            "",
            format!("{DOWNLOAD}\n      polling_job_timeout: soon"),
            format!("{at}/polling_job_timeout: a whole number"),
        ),
        (
            "",
            DOWNLOAD.replace("path:", "http_method: DELETE, path:"),
            format!(
                "{at}/download_requester/http_method: \"DELETE\" is not allowed; allowed: GET, POST"
            ),
        ),
        (
            "max_concurrent_async_job_count: 0",
            DOWNLOAD.to_owned(),
            "/max_concurrent_async_job_count: a whole number from 1 to 100".to_owned(),
        ),
        (
            "",
            TARGETS.replace(
                "{type: PageIncrement, page_size: 2}",
                "{type: CursorPagination, cursor_value: \"{{ response.next }}\"}",
            ),
            format!("{at}/download_paginator: the paginator reads \"response\""),
        ),
    ];
    for (top, retriever, expected) in cases {
        let found = problems(top, &retriever);
        assert!(found.contains(&expected), "{expected}\n{found}");
    }
    let twice = manifest("", "", DOWNLOAD).replace("failed: [FAILED]", "failed: [DONE]");
    let found = Connector::load("demo", &twice).unwrap_err().to_string();
    assert!(
        found.contains("status_mapping/failed: the status \"DONE\""),
        "{found}"
    );
    let early =
        manifest("", "", DOWNLOAD).replace("path: jobs,", "path: \"{{ creation_response.id }}\",");
    let found = Connector::load("demo", &early).unwrap_err().to_string();
    assert!(found.contains("creation_requester/path: "), "{found}");
}
