//! Pages that are begun anew: after so many records, or as the platform asks for it.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

#[path = "support/pages.rs"]
mod pages;
#[expect(dead_code, reason = "heads of requests are for others")]
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use pages::all;
use serde_json::{Value, json};
use support::{Server, answer, serve, settings};
use syncline_engine::{Connector, Page, ReadError, ReadSettings};

const LIMIT: &str = "pagination_reset: {type: PaginationReset, action: SPLIT_USING_CURSOR, limits: {type: PaginationResetLimits, \
     number_of_records: 3}}";
const ON_410: &str = "error_handler: {type: DefaultErrorHandler, response_filters: [{http_codes: [410], action: RESET_PAGINATION}]}";
const CURSOR: &str = "incremental_sync: {type: DatetimeBasedCursor, cursor_field: at, datetime_format: '%Y-%m-%d', start_datetime: \
     '2024-01-01', end_datetime: '2024-01-20', step: P10D, cursor_granularity: P1D, start_time_option: {inject_into: \
     request_parameter, field_name: since}, end_time_option: {inject_into: request_parameter, field_name: until}}";

fn yaml(requester: &str, retriever: &str, cursor: &str) -> String {
    format!(
        "type: DeclarativeSource\nversion: 6.0.0\ncheck: {{type: CheckStream, stream_names: [a]}}\nstreams:\n  - type: \
         DeclarativeStream\n    name: a\n    {cursor}\n    retriever:\n      type: SimpleRetriever\n      requester: {{type: \
         HttpRequester, url_base: 'https://h', path: a{requester}}}\n      record_selector: {{extractor: {{field_path: []}}}}\n      \
         paginator: {{type: DefaultPaginator, page_token_option: {{type: RequestOption, inject_into: request_parameter, field_name: \
         page}}, pagination_strategy: {{type: PageIncrement, page_size: 2}}}}\n      {retriever}\n"
    )
}

fn connector(requester: &str, retriever: &str, cursor: &str) -> Connector {
    Connector::load("demo", &yaml(requester, retriever, cursor)).unwrap()
}

/// A record a day, in order, of which a question gets the first two pages only.
async fn platform(refuses: bool) -> Server {
    serve(move |_, target| {
        let part = |name: &str| {
            let value = target
                .split(['?', '&'])
                .find_map(|part| part.strip_prefix(name));
            value.and_then(|value| value.rsplit('-').next()?.parse::<u64>().ok())
        };
        let (since, until) = (part("since=").unwrap(), part("until=").unwrap());
        let page = part("page=").unwrap_or(0);
        if page > 1 && refuses {
            return answer(410, "", r#"{"message": "too far"}"#);
        }
        let days = (since..=until).skip(usize::try_from(page * 2).unwrap());
        let record = |day: u64| json!({"id": day, "at": format!("2024-01-{day:02}")});
        let records: Vec<Value> = days.take(2).map(record).collect();
        answer(200, "", &json!(records).to_string())
    })
    .await
}

fn read(server: &Server) -> ReadSettings {
    settings(json!({}), &server.address, Arc::default())
}

/// After a limit and after a refusal; and from wherever such a read was broken off, nothing is missing.
#[tokio::test]
async fn what_is_left_of_a_slice_is_asked_for_anew_wherever_the_read_was_broken_off() {
    for (requester, retriever, refuses) in [
        ("", LIMIT, false),
        (
            &*format!(", {ON_410}"),
            "pagination_reset: {type: PaginationReset, action: SPLIT_USING_CURSOR}",
            true,
        ),
    ] {
        let server = platform(refuses).await;
        let connector = connector(requester, retriever, CURSOR);
        let whole = all(&connector, read(&server)).await;
        let ids = |pages: &[Page]| -> BTreeSet<u64> {
            let records = pages.iter().flat_map(|page| &page.records);
            records
                .map(|record| record["id"].as_u64().unwrap())
                .collect()
        };
        assert_eq!(ids(&whole), (1..=20).collect());
        let asked = server.targets();
        let first_pages: Vec<&String> = asked
            .iter()
            .filter(|target| !target.contains("page="))
            .collect();
        let expected = ["01", "04", "07", "10", "11", "14", "17", "20"];
        let expected = expected.map(|day| {
            let until = if day <= "10" { 10 } else { 20 };
            format!("/a?since=2024-01-{day}&until=2024-01-{until}")
        });
        assert_eq!(first_pages, expected.iter().collect::<Vec<_>>());
        let states: Vec<&Value> = whole
            .iter()
            .filter_map(|page| page.state.as_ref())
            .collect();
        assert_eq!(
            states,
            [&json!({"at": "2024-01-10"}), &json!({"at": "2024-01-20"})]
        );
        let requests: u32 = whole.iter().map(|page| page.requests).sum();
        assert_eq!(requests as usize, asked.len());
        for broken in 1..whole.len() {
            let settings = ReadSettings {
                from: whole[broken - 1].next.clone(),
                ..read(&server)
            };
            let rest = all(&connector, settings).await;
            let both = |page: &Page| (page.records.clone(), page.next.clone(), page.state.clone());
            let found: Vec<_> = rest.iter().map(both).collect();
            let expected: Vec<_> = whole[broken..].iter().map(both).collect();
            assert_eq!(found, expected, "broken off after {broken}");
        }
        // A position whose page is refused goes back to where the rest of the slice begins.
        let start = whole[2].next.clone().unwrap().slice_start().unwrap();
        let settings = ReadSettings {
            from: Some(start),
            ..read(&server)
        };
        server.seen.lock().unwrap().clear();
        all(&connector, settings).await;
        assert_eq!(server.targets()[0], "/a?since=2024-01-04&until=2024-01-10");
    }
}

#[tokio::test]
async fn a_slice_that_cannot_be_left_behind_ends_the_read() {
    let server =
        serve(|_, _| answer(200, "", r#"[{"at": "2024-01-01"}, {"at": "2024-01-01"}]"#)).await;
    let stuck = LIMIT.replace("number_of_records: 3", "number_of_records: 2");
    let connector = connector("", &stuck, CURSOR);
    let mut reader = connector.reader("a", read(&server)).unwrap();
    let error = reader.next_page().await.unwrap_err();
    assert!(matches!(error, ReadError::Permanent { .. }), "{error}");
    assert!(
        error.to_string().contains("newer than its beginning"),
        "{error}"
    );
}

#[tokio::test]
async fn a_slice_without_a_cursor_is_begun_anew_once_also_after_the_read_was_handed_on() {
    let server = serve(|_, target| {
        if target.contains("page=") {
            return answer(410, "", r#"{"message": "gone"}"#);
        }
        answer(200, "", r#"[{"id": 1}, {"id": 2}]"#)
    })
    .await;
    let connector = connector(&format!(", {ON_410}"), "", "");
    let mut reader = connector.reader("a", read(&server)).unwrap();
    let first = reader.next_page().await.unwrap().unwrap();
    assert_eq!(first.next.unwrap().0, json!({"page": 1}));
    let again = reader.next_page().await.unwrap().unwrap();
    assert_eq!((again.records.len(), again.requests), (2, 2));
    let position = again.next.unwrap();
    assert_eq!(position.0, json!({"page": 1, "resets": 1}));
    let error = reader.next_page().await.unwrap_err();
    assert!(error.to_string().contains("gone"), "{error}");
    let elsewhere = ReadSettings {
        from: Some(position),
        ..read(&server)
    };
    let error = connector
        .reader("a", elsewhere)
        .unwrap()
        .next_page()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("begun anew before"), "{error}");
}

#[test]
fn what_does_not_go_together_is_refused() {
    let refused = |retriever: &str| {
        let errors = Connector::load("demo", &yaml("", retriever, CURSOR)).unwrap_err();
        errors.to_string()
    };
    for (retriever, problem) in [
        (
            "pagination_reset: {type: PaginationReset}",
            "SPLIT_USING_CURSOR and RESET",
        ),
        (
            "pagination_reset: {type: PaginationReset, action: RESET}\n      x_streamed: true",
            "streamed",
        ),
    ] {
        let message = refused(retriever);
        assert!(message.contains(problem), "{message}");
    }
    let filtered = yaml("", LIMIT, CURSOR).replace(
        "record_selector: {",
        "record_selector: {record_filter: {condition: '{{ true }}'}, ",
    );
    let message = Connector::load("demo", &filtered).unwrap_err().to_string();
    assert!(message.contains("record_filter"), "{message}");
}
