//! Streams with a cursor: slices, states, positions, data ranges, feeds.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use support::{Server, answer, serve, settings};
use syncline_engine::{Connector, DataRange, Page, Position, ReadError, ReadSettings};

fn moment(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

fn connector(cursor: &str) -> Connector {
    let yaml = format!(
        "type: DeclarativeSource\nversion: 6.0.0\ncheck: {{type: CheckStream, stream_names: [a]}}\n\
         streams:\n  - type: DeclarativeStream\n    name: a\n    schema_loader: {{type: \
         InlineSchemaLoader, schema: {{type: object}}}}\n    incremental_sync: {{type: DatetimeBasedCursor, \
         cursor_field: at, datetime_format: '%Y-%m-%d', start_datetime: \"{{{{ config['start'] }}}}\", {cursor}}}\n    \
         retriever: {{type: SimpleRetriever, requester: {{type: HttpRequester, url_base: 'https://h', path: list, \
         request_parameters: {{window: \"{{{{ stream_interval.start_time }}}}/{{{{ stream_slice['end_time'] }}}}\"}}}}, \
         paginator: {{type: DefaultPaginator, page_token_option: {{type: RequestOption, inject_into: request_parameter, \
         field_name: page}}, pagination_strategy: {{type: PageIncrement, start_from_page: 1, page_size: 2}}}}, \
         record_selector: {{extractor: {{field_path: []}}}}}}\n"
    );
    Connector::load("demo", &yaml).unwrap()
}

const STEPS: &str = "step: P2D, cursor_granularity: P1D, start_time_option: {inject_into: request_parameter, field_name: \
     since}, end_time_option: {inject_into: request_parameter, field_name: until}";

fn read(server: &Server, now: &str) -> ReadSettings {
    ReadSettings {
        now: moment(now),
        ..settings(
            json!({"start": "2024-01-01"}),
            &server.address,
            Arc::default(),
        )
    }
}

async fn pages(connector: &Connector, settings: &ReadSettings) -> Vec<Page> {
    let mut reader = connector.reader("a", settings.clone()).unwrap();
    let mut pages = Vec::new();
    while let Some(page) = reader.next_page().await.unwrap() {
        pages.push(page);
    }
    pages
}

fn states(pages: &[Page]) -> Vec<Value> {
    pages.iter().filter_map(|page| page.state.clone()).collect()
}

/// Two records in the slice that begins on the first page, one on the second.
fn two_pages(_: usize, target: &str) -> String {
    if target.contains("page=2") {
        return answer(200, "", r#"[{"id": 3, "at": "2024-01-02"}]"#);
    }
    if target.contains("since=2024-01-01") {
        let body = r#"[{"id": 1, "at": "2024-01-01"}, {"id": 2, "at": "2024-01-01"}]"#;
        return answer(200, "", body);
    }
    answer(200, "", "[]")
}

#[tokio::test]
async fn slices_are_read_one_after_the_other_and_close_with_a_state() {
    let server = serve(two_pages).await;
    let connector = connector(STEPS);
    let info = connector.stream("a").unwrap();
    let cursor = info.cursor.clone().unwrap();
    assert_eq!(cursor.field, "at");
    assert_eq!(
        cursor.granularity,
        Some(std::time::Duration::from_hours(24))
    );
    assert!(!info.full_read);

    let found = pages(&connector, &read(&server, "2024-01-06T12:00:00Z")).await;
    let targets = [
        "/list?window=2024-01-01%2F2024-01-02&since=2024-01-01&until=2024-01-02",
        "/list?window=2024-01-01%2F2024-01-02&page=2&since=2024-01-01&until=2024-01-02",
        "/list?window=2024-01-03%2F2024-01-04&since=2024-01-03&until=2024-01-04",
        "/list?window=2024-01-05%2F2024-01-06&since=2024-01-05&until=2024-01-06",
    ];
    assert_eq!(server.targets(), targets);
    let closing: Vec<bool> = found.iter().map(|page| page.closes_slice).collect();
    assert_eq!(closing, [false, true, true, true]);
    assert_eq!(states(&found), vec![json!({"at": "2024-01-02"}); 3]);
    let slice = found[1].slice.unwrap();
    assert_eq!(slice.since, moment("2024-01-01T00:00:00Z"));
    assert_eq!(slice.until, moment("2024-01-02T00:00:00Z"));
    assert_eq!(found[3].next, None);
}

#[tokio::test]
async fn a_read_goes_on_from_any_page_and_ends_with_the_same_state() {
    let server = serve(two_pages).await;
    let connector = connector(STEPS);
    let base = read(&server, "2024-01-06T12:00:00Z");
    let whole = pages(&connector, &base).await;
    let seen = server.targets();
    for (done, page) in whole.iter().enumerate() {
        let Some(from) = page.next.clone() else { break };
        server.seen.lock().unwrap().clear();
        // Later, on another day, and after the state has moved: the position knows what was begun.
        let resumed = ReadSettings {
            from: Some(from),
            now: moment("2024-02-01T00:00:00Z"),
            state: Some(json!({"at": "2024-01-30"})),
            ..base.clone()
        };
        let rest = pages(&connector, &resumed).await;
        assert_eq!(server.targets(), seen[done + 1..], "after page {done}");
        assert_eq!(
            states(&rest).last(),
            Some(&json!({"at": "2024-01-02"})),
            "after page {done}"
        );
    }
    let middle = whole[0].next.clone().unwrap();
    assert_eq!(middle.0["page"], json!(2));
    let start = middle.slice_start().unwrap();
    assert_eq!(start.0.get("page"), None);
    server.seen.lock().unwrap().clear();
    pages(
        &connector,
        &ReadSettings {
            from: Some(start),
            ..base
        },
    )
    .await;
    assert_eq!(server.targets(), seen, "the slice begins anew");
    assert_eq!(Position(json!({"page": 7})).slice_start(), None);
}

#[tokio::test]
async fn a_state_is_gone_on_from_with_its_look_back_and_keeps_other_members() {
    let server = serve(|_, _| answer(200, "", "[]")).await;
    let connector = connector(&format!("{STEPS}, lookback_window: P1D"));
    let from_state = ReadSettings {
        state: Some(json!({"at": "2024-01-05", "other": 1})),
        ..read(&server, "2024-01-06T00:00:00Z")
    };
    let found = pages(&connector, &from_state).await;
    assert_eq!(
        server.targets(),
        ["/list?window=2024-01-04%2F2024-01-06&since=2024-01-04&until=2024-01-06"]
    );
    // Nothing newer was seen, so the state stays where it was.
    assert_eq!(states(&found), [json!({"at": "2024-01-05", "other": 1})]);
    let unreadable = ReadSettings {
        state: Some(json!({"at": "yesterday"})),
        ..from_state
    };
    let error = connector.reader("a", unreadable).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the stored state \"yesterday\" is no datetime"),
        "{error}"
    );
}

#[tokio::test]
async fn a_stream_with_nothing_to_read_gives_its_state_without_a_request() {
    let server = serve(|_, _| answer(500, "", "")).await;
    let connector = connector(STEPS);
    let found = pages(&connector, &read(&server, "2023-12-01T00:00:00Z")).await;
    assert_eq!(server.targets().len(), 0);
    assert_eq!(states(&found), [json!({"at": "2024-01-01"})]);
    assert_eq!(
        (found.len(), found[0].requests, found[0].next.clone()),
        (1, 0, None)
    );
}

#[tokio::test]
async fn a_data_range_neither_reads_nor_moves_the_state() {
    let server = serve(|_, _| answer(200, "", r#"[{"id": 1, "at": "2023-05-02"}]"#)).await;
    let connector = connector(STEPS);
    let range = DataRange {
        from: moment("2023-05-01T00:00:00Z"),
        to: moment("2023-05-05T00:00:00Z"),
    };
    let backfill = ReadSettings {
        range: Some(range),
        state: Some(json!({"at": "2024-01-05"})),
        ..read(&server, "2024-01-06T00:00:00Z")
    };
    let found = pages(&connector, &backfill).await;
    assert_eq!(
        server.targets(),
        [
            "/list?window=2023-05-01%2F2023-05-02&since=2023-05-01&until=2023-05-02",
            "/list?window=2023-05-03%2F2023-05-04&since=2023-05-03&until=2023-05-04",
        ]
    );
    assert_eq!(states(&found), Vec::<Value>::new());
    let resumed = ReadSettings {
        from: found[0].next.clone(),
        range: None,
        ..backfill.clone()
    };
    let rest = pages(&connector, &resumed).await;
    assert_eq!(
        (rest.len(), states(&rest)),
        (1, Vec::new()),
        "also when it goes on"
    );

    let upside_down = ReadSettings {
        range: Some(DataRange {
            from: range.to,
            to: range.from,
        }),
        ..backfill.clone()
    };
    let error = connector.reader("a", upside_down).unwrap_err();
    assert!(
        error.to_string().contains("must end after it begins"),
        "{error}"
    );
    let plain = "type: DeclarativeSource\nversion: 6.0.0\ncheck: {type: CheckStream, stream_names: [a]}\nstreams:\n  - name: a\n    \
         schema_loader: {type: InlineSchemaLoader, schema: {type: object}}\n    retriever: {requester: {type: HttpRequester, \
         url_base: 'https://h'}, record_selector: {extractor: {field_path: []}}}\n";
    let plain = Connector::load("demo", plain).unwrap();
    let error = plain.reader("a", backfill).unwrap_err();
    assert!(matches!(error, ReadError::Permanent { .. }));
    let text = error.to_string();
    assert!(
        text.contains("the stream \"a\" cannot be read by a data range: it has no cursor"),
        "{text}"
    );
}

#[tokio::test]
async fn a_page_of_a_stream_with_a_cursor_moves_no_state() {
    let server = serve(two_pages).await;
    let connector = connector(STEPS);
    let page = ReadSettings {
        page: Some(2),
        state: Some(json!({"at": "2024-01-05"})),
        ..read(&server, "2024-01-06T00:00:00Z")
    };
    let found = pages(&connector, &page).await;
    assert_eq!(
        server.targets(),
        ["/list?window=2024-01-01%2F2024-01-06&page=2&since=2024-01-01&until=2024-01-06"]
    );
    assert_eq!(
        (found.len(), states(&found), found[0].next.clone()),
        (1, Vec::new(), None)
    );
}

#[tokio::test]
async fn a_data_feed_ends_at_the_first_known_record() {
    let server = serve(|_, target| {
        let body = match target.rsplit_once("page=").map(|(_, page)| page) {
            None => r#"[{"id": 9, "at": "2024-01-09"}, {"id": 6, "at": "2024-01-06"}]"#,
            Some("2") => r#"[{"id": 5, "at": "2024-01-05"}, {"id": 3, "at": "2024-01-03"}]"#,
            _ => r#"[{"id": 2, "at": "2024-01-02"}, {"id": 1, "at": "2024-01-01"}]"#,
        };
        answer(200, "", body)
    })
    .await;
    let connector = connector("is_data_feed: true");
    let feed = ReadSettings {
        state: Some(json!({"at": "2024-01-05"})),
        ..read(&server, "2024-01-06T00:00:00Z")
    };
    let found = pages(&connector, &feed).await;
    let ids: Vec<Value> = found
        .iter()
        .flat_map(|page| &page.records)
        .map(|record| record["id"].clone())
        .collect();
    // What is newer than the read's end is left to the next one.
    assert_eq!(ids, [json!(6), json!(5)]);
    assert_eq!(server.targets().len(), 2);
    assert!(
        server.seen.lock().unwrap()[1]
            .head
            .starts_with("GET /list?")
    );
    assert_eq!(states(&found), [json!({"at": "2024-01-06"})]);
}

#[tokio::test]
async fn a_platform_without_a_filter_is_filtered_here() {
    let server = serve(|_, target| {
        if target.contains("page=2") {
            return answer(200, "", r#"[{"id": 3, "at": "2024-01-06"}]"#);
        }
        answer(200, "", r#"[{"id": 1, "at": "2024-01-01"}, {"id": 2}]"#)
    })
    .await;
    let connector = connector("is_client_side_incremental: true");
    let filtered = ReadSettings {
        state: Some(json!({"at": "2024-01-05"})),
        ..read(&server, "2024-01-06T00:00:00Z")
    };
    let found = pages(&connector, &filtered).await;
    let ids: Vec<Value> = found
        .iter()
        .flat_map(|page| &page.records)
        .map(|record| record["id"].clone())
        .collect();
    // A record without the cursor's field is kept; the page counts as full whatever was dropped.
    assert_eq!(ids, [json!(2), json!(3)]);
    assert_eq!(states(&found), [json!({"at": "2024-01-06"})]);
}
