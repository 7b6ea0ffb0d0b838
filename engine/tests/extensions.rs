//! What Syncline adds to the language: streamed answers, teardown requests, null words, records of scalars, unified models.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use std::sync::Arc;

use serde_json::{Value, json};
use support::{Notebook, Seen, Server, answer, serve, serve_bytes, settings};
use syncline_engine::{Connector, Outcome, Page, ReadError, ReadSettings};

fn manifest(stream: &str, requester: &str, extractor: &str, retriever: &str) -> String {
    format!(
        "type: DeclarativeSource\nversion: 6.0.0\ncheck: {{type: CheckStream, stream_names: [a]}}\n\
         streams:\n  - type: DeclarativeStream\n    name: a\n    schema_loader: {{type: InlineSchemaLoader, schema: {{type: object, \
         properties: {{id: {{type: integer}}, name: {{type: string}}}}}}}}\n    {stream}\n    retriever:\n      type: \
         SimpleRetriever\n      requester: {{type: HttpRequester, url_base: 'https://h', path: items{requester}}}\n      \
         record_selector: {{extractor: {{{extractor}}}}}\n      {retriever}\n"
    )
}

fn connector(extractor: &str, retriever: &str) -> Connector {
    Connector::load("demo", &manifest("", "", extractor, retriever)).unwrap()
}

fn problems(yaml: &str) -> String {
    let loaded = Connector::load("demo", yaml);
    loaded.map_or_else(|errors| errors.to_string(), |_| String::new())
}

fn read(server: &Server) -> ReadSettings {
    settings(json!({}), &server.address, Arc::default())
}

async fn pages(connector: &Connector, settings: &ReadSettings) -> (Vec<Page>, Option<ReadError>) {
    let mut reader = connector.reader("a", settings.clone()).unwrap();
    let mut pages = Vec::new();
    loop {
        match reader.next_page().await {
            Ok(Some(page)) => pages.push(page),
            Ok(None) => return (pages, None),
            Err(error) => return (pages, Some(error)),
        }
    }
}

fn records(pages: &[Page]) -> Vec<Value> {
    let records = pages.iter().flat_map(|page| &page.records);
    records.cloned().map(Value::Object).collect()
}

/// Methods, targets and bodies of all requests.
fn calls(server: &Server) -> Vec<String> {
    let seen = server.seen.lock().unwrap();
    let call = |seen: &Seen| {
        let method = seen.head.split(' ').next().unwrap_or_default();
        let body = seen
            .head
            .split_once("\r\n\r\n")
            .map_or("", |(_, body)| body);
        format!("{method} {} {body}", seen.target).trim().to_owned()
    };
    seen.iter().map(call).collect()
}

#[tokio::test]
async fn a_streamed_list_comes_in_several_pages_that_all_begin_at_the_request() {
    let batches: Vec<Value> = (0..2_500)
        .map(|id| json!({"results": [{"id": id}, {"id": -id}]}))
        .collect();
    let body = Value::Array(batches).to_string();
    let server = serve(move |_, _| answer(200, "", &body)).await;
    let connector = connector("field_path: [results]", "x_streamed: true");
    let host: Arc<Notebook> = Arc::default();
    let base = settings(json!({}), &server.address, host.clone());
    let (found, error) = pages(&connector, &base).await;
    assert_eq!(error, None);
    let counts: Vec<usize> = found.iter().map(|page| page.records.len()).collect();
    assert_eq!(counts, [2_000, 2_000, 1_000, 0]);
    let positions: Vec<Value> = found.iter().map(|page| json!(page.next)).collect();
    assert_eq!(
        positions,
        [
            json!({"part": 1}),
            json!({"part": 2}),
            json!({"part": 3}),
            Value::Null
        ]
    );
    let closing: Vec<bool> = found.iter().map(|page| page.closes_slice).collect();
    assert_eq!(closing, [false, false, false, true]);
    {
        let signals = host.signals.lock().unwrap();
        assert_eq!((signals.len(), signals[0].outcome), (1, Outcome::Ok));
        assert!(signals[0].bytes > 50_000);
    }
    let resumed = ReadSettings {
        from: found[1].next.clone(),
        ..base
    };
    let (again, _) = pages(&connector, &resumed).await;
    assert_eq!(records(&again), records(&found));
    assert_eq!(server.targets().len(), 2);
}

#[tokio::test]
async fn a_streamed_answer_that_breaks_off_keeps_what_came_and_is_asked_for_again() {
    let rows: String = (0..1_500).map(|id| format!("{{\"id\": {id}}}\n")).collect();
    let server = serve(move |index, _| {
        let whole = answer(200, "", &rows);
        if index == 0 {
            whole[..whole.len() - 5_000].to_owned()
        } else {
            whole
        }
    })
    .await;
    let connector = connector(
        "field_path: []",
        "decoder: {type: JsonlDecoder}\n      x_streamed: true",
    );
    let host: Arc<Notebook> = Arc::default();
    let mut reader = connector
        .reader("a", settings(json!({}), &server.address, host.clone()))
        .unwrap();
    let mut counts = Vec::new();
    let error = loop {
        match reader.next_page().await {
            Ok(page) => counts.push(page.unwrap().records.len()),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ReadError::Transient { .. }), "{error}");
    assert_eq!(counts.first(), Some(&1_000));
    let mut again = 0;
    while let Some(page) = reader.next_page().await.unwrap() {
        again += page.records.len();
    }
    assert_eq!(again, 1_500);
    let outcomes: Vec<Outcome> = host
        .signals
        .lock()
        .unwrap()
        .iter()
        .map(|signals| signals.outcome)
        .collect();
    assert_eq!(outcomes, [Outcome::Transport, Outcome::Ok]);
}

#[tokio::test]
async fn a_failure_among_streamed_elements_is_the_manifests_to_judge() {
    let server = serve(|index, _| match index {
        0 => answer(
            200,
            "",
            r#"[{"results": [{"id": 1}]}, {"error": {"code": 4, "message": "slow down"}}]"#,
        ),
        _ => answer(400, "", r#"{"error": {"code": 4, "message": "slow down"}}"#),
    })
    .await;
    let handler = ", error_handler: {response_filters: [{predicate: \"{{ response.get('error', {}).get('code') == 4 }}\", action: \
                   RATE_LIMITED}]}";
    let yaml = manifest("", handler, "field_path: [results]", "x_streamed: true");
    let connector = Connector::load("demo", &yaml).unwrap();
    for _ in 0..2 {
        let (found, error) = pages(&connector, &read(&server)).await;
        assert_eq!(found.len(), 0);
        let error = error.unwrap();
        assert!(matches!(error, ReadError::RateLimited { .. }), "{error}");
        assert!(error.to_string().contains("slow down"), "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_unfolds_too_far_is_refused_by_the_name_of_its_limit() {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..20_000 {
        encoder.write_all(b"{\"id\": 1}\n").unwrap();
    }
    let packed = encoder.finish().unwrap();
    let server = serve_bytes(move |_, _| {
        let head = format!(
            "HTTP/1.1 200 X\r\ncontent-type: application/gzip\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            packed.len()
        );
        [head.as_bytes(), &packed].concat()
    })
    .await;
    for more in ["", "\n      x_streamed: true"] {
        let retriever =
            format!("decoder: {{type: GzipDecoder, decoder: {{type: JsonlDecoder}}}}{more}");
        let connector = connector("field_path: []", &retriever);
        let base = read(&server);
        let (found, error) = pages(&connector, &base).await;
        assert_eq!((records(&found).len(), error), (20_000, None), "{more}");
        let mut tight = base;
        tight.limits.max_unpacked_bytes = 150_000;
        tight.limits.max_streamed_bytes = 150_000;
        let (_, error) = pages(&connector, &tight).await;
        let error = error.unwrap();
        assert!(matches!(error, ReadError::Permanent { .. }), "{error}");
        assert!(
            error
                .to_string()
                .contains("more than 150000 bytes, which is the limit"),
            "{error}"
        );
    }
}

const TEARDOWN: &str = "paginator: {type: DefaultPaginator, page_token_option: {type: RequestOption, inject_into: body_json, field_name: \
     after}, pagination_strategy: {type: CursorPagination, cursor_value: \"{{ {'pit': response['pit'], 'n': response['next']} }}\", \
     stop_condition: \"{{ not response['next'] }}\"}}\n      \
     x_teardown: {url_base: 'https://h', path: _pit, http_method: DELETE, request_body_json: {id: \"{{ \
     next_page_token['next_page_token']['pit'] if next_page_token else 'first' }}\"}, error_handler: {response_filters: [{http_codes: \
     [404], action: IGNORE}]}}";

#[tokio::test]
async fn a_teardown_request_follows_the_last_page_and_a_failure() {
    let server = serve(|index, target| match (index, target) {
        (0, "/items") => answer(200, "", r#"{"data": [{"id": 1}], "next": 2, "pit": "p2"}"#),
        (1 | 3, "/items") => answer(200, "", r#"{"data": [{"id": 2}], "next": null}"#),
        (4, "/_pit") => answer(500, "", "{}"),
        (_, "/_pit") => answer(200, "", "{}"),
        _ => answer(400, "", "{}"),
    })
    .await;
    let connector = connector("field_path: [data]", TEARDOWN);
    let (found, error) = pages(&connector, &read(&server)).await;
    assert_eq!(error, None);
    let items = |token: &str| format!("GET /items {token}").trim().to_owned();
    assert_eq!(calls(&server)[0], items(""));
    assert_eq!(calls(&server)[1], items(r#"{"after":{"pit":"p2","n":2}}"#));
    assert_eq!(calls(&server)[2], r#"DELETE /_pit {"id":"p2"}"#);
    let closing: Vec<bool> = found.iter().map(|page| page.closes_slice).collect();
    assert_eq!(closing, [false, false, true]);
    let last = found[1].next.clone().unwrap();
    assert_eq!(last.0["closing"], json!(true));

    // The only page is the last one; its teardown fails, which the records do not suffer from.
    let (found, error) = pages(&connector, &read(&server)).await;
    assert_eq!((records(&found).len(), error), (1, None));
    assert_eq!(calls(&server)[4], r#"DELETE /_pit {"id":"first"}"#);

    // A read that ends for good sends it, too, once; one that goes on from behind the last page sends nothing else.
    let (_, error) = pages(&connector, &read(&server)).await;
    assert!(matches!(error, Some(ReadError::Permanent { .. })));
    let resumed = ReadSettings {
        from: Some(last),
        ..read(&server)
    };
    let (found, error) = pages(&connector, &resumed).await;
    assert_eq!((found.len(), error), (1, None));
    let made = calls(&server);
    assert_eq!(
        made[5..],
        [
            items(""),
            r#"DELETE /_pit {"id":"first"}"#.to_owned(),
            r#"DELETE /_pit {"id":"p2"}"#.to_owned()
        ]
    );
}

#[tokio::test]
async fn a_partitions_teardown_waits_for_its_last_slice() {
    let server = serve(|_, target| match target {
        "/open" => answer(200, "", r#"{"id": "p1"}"#),
        _ => answer(200, "", "[]"),
    })
    .await;
    let stream = "incremental_sync: {type: DatetimeBasedCursor, cursor_field: at, datetime_format: '%Y-%m-%d', start_datetime: \
                  '2024-01-01', end_datetime: '2024-01-04', step: P2D, cursor_granularity: P1D}";
    let retriever = "x_teardown: {url_base: 'https://h', path: \"close/{{ stream_partition.pit }}\", http_method: DELETE}\n      \
         partition_router: {type: SubstreamPartitionRouter, parent_stream_configs: [{parent_key: id, partition_field: pit, stream: \
         {type: DeclarativeStream, name: p, schema_loader: {type: InlineSchemaLoader, schema: {type: object}}, retriever: {type: \
         SimpleRetriever, requester: {type: HttpRequester, url_base: 'https://h', path: open}, record_selector: {extractor: \
         {field_path: []}}}}}]}";
    let connector =
        Connector::load("demo", &manifest(stream, "", "field_path: []", retriever)).unwrap();
    let (_, error) = pages(&connector, &read(&server)).await;
    assert_eq!(error, None);
    assert_eq!(
        calls(&server),
        ["GET /open", "GET /items", "GET /items", "DELETE /close/p1"]
    );
}

#[tokio::test]
async fn null_words_and_scalars_become_what_the_manifest_says() {
    let server = serve(|_, _| {
        answer(
            200,
            "",
            r#"{"names": ["customers/1", "-", 7, null, ["x"], {"name": "-"}]}"#,
        )
    })
    .await;
    let retriever = "record_selector: {x_null_words: ['-'], extractor: {field_path: [names], x_scalar_field: name}}";
    let yaml = manifest("", "", "field_path: []", "")
        .replace("record_selector: {extractor: {field_path: []}}", retriever);
    let connector = Connector::load("demo", &yaml).unwrap();
    let (found, _) = pages(&connector, &read(&server)).await;
    let expected = [
        json!({"name": "customers/1"}),
        json!({"name": null}),
        json!({"name": 7}),
        json!({"name": null}),
    ];
    assert_eq!(records(&found), expected);
    assert_eq!(found[0].rejected.len(), 2);
}

#[tokio::test]
async fn strict_types_keep_added_texts_as_they_are() {
    let server = serve(|_, _| {
        let body = r#"[{"id": 1, "a": "12"}, {"id": 2, "a": "1,2"}, {"id": 3, "a": 5}, {"id": 4, "a": [1]}, {"id": 5}]"#;
        answer(200, "", body)
    })
    .await;
    let added = |types: &str| {
        manifest(
            &format!(
                "{types}transformations: [{{type: AddFields, fields: [\
                 {{path: [b], value: \"{{{{ record['a'] }}}}\"}}, {{path: [c], value: '1.10'}}, \
                 {{path: [d], value: \"{{{{ record['id'] }}}}{{{{ record['id'] }}}}\"}}, \
                 {{path: [e], value: \"{{{{ record['id'] ~ '' }}}}\", value_type: integer}}]}}]"
            ),
            "",
            "field_path: []",
            "",
        )
    };
    let of = async |types: &str| -> Vec<Value> {
        let connector = Connector::load("demo", &added(types)).unwrap();
        let (found, error) = pages(&connector, &read(&server)).await;
        assert!(error.is_none(), "{error:?}");
        let found = records(&found).into_iter();
        found
            .map(|record| json!([record["b"], record["c"], record["d"], record["e"]]))
            .collect()
    };
    assert_eq!(
        of("x_types: strict\n    ").await,
        [
            json!(["12", "1.10", "11", 1]),
            json!(["1,2", "1.10", "22", 2]),
            json!([5, "1.10", "33", 3]),
            json!([[1], "1.10", "44", 4]),
            json!(["", "1.10", "55", 5]),
        ]
    );
    let loose = of("").await;
    assert_eq!(loose[0], json!([12, 1.1, 11, 1]));
    assert_eq!(loose[1], json!([[1, 2], 1.1, 22, 2]));
    let told = problems(&added("x_types: loose\n    "));
    assert!(
        told.contains("/streams/0/x_types") && told.contains("allowed: strict"),
        "{told}"
    );
}

#[tokio::test]
async fn a_silence_longer_than_the_manifest_allows_is_no_answer() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let yaml = manifest("", ", read_timeout_in_seconds: 0.05", "field_path: []", "");
    let connector = Connector::load("demo", &yaml).unwrap();
    let (_, error) = pages(&connector, &settings(json!({}), &address, Arc::default())).await;
    let error = error.unwrap();
    assert!(matches!(error, ReadError::Transient { .. }), "{error}");
    assert!(
        error.to_string().contains("read_timeout_in_seconds"),
        "{error}"
    );
    drop(listener);
}

#[test]
fn a_stream_says_which_unified_model_it_fills() {
    let model = "x_model: {name: campaigns, columns: {campaign_id: id, title: [name, text]}}";
    let connector = Connector::load("demo", &manifest(model, "", "field_path: []", "")).unwrap();
    let unified = connector.stream("a").unwrap().unified.clone().unwrap();
    assert_eq!(unified.name, "campaigns");
    let expected = [
        ("campaign_id".to_owned(), vec!["id".to_owned()]),
        (
            "title".to_owned(),
            vec!["name".to_owned(), "text".to_owned()],
        ),
    ];
    assert_eq!(unified.columns, expected);
}

#[test]
fn extensions_that_do_not_fit_are_refused_when_the_manifest_is_loaded() {
    let at = "/streams/0";
    let paged = "paginator: {type: DefaultPaginator, pagination_strategy: {type: PageIncrement, page_size: 2}}\n      x_streamed: true";
    let cases = [
        (
            manifest("", "", "field_path: []", paged),
            format!("{at}/retriever/x_streamed: a streamed answer"),
        ),
        (
            manifest(
                "",
                "",
                "field_path: []",
                "decoder: {type: XmlDecoder}\n      x_streamed: true",
            ),
            format!("{at}/retriever/x_streamed: XmlDecoder and ZipfileDecoder"),
        ),
        (
            manifest("", "", "field_path: []", "x_teardown: {path: x}"),
            format!("{at}/retriever/x_teardown/url_base: "),
        ),
        (
            manifest(
                "x_model: {name: ads, columns: {}}",
                "",
                "field_path: []",
                "",
            ),
            format!("{at}/x_model/name: \"ads\" is no unified model; there are: campaigns"),
        ),
        (
            manifest(
                "x_model: {name: posts, columns: {post_id: key}}",
                "",
                "field_path: []",
                "",
            ),
            format!("{at}/x_model/columns/post_id: the stream's schema has no field \"key\""),
        ),
        (
            manifest("", ", read_timeout_in_seconds: 0", "field_path: []", ""),
            format!("{at}/retriever/requester/read_timeout_in_seconds: "),
        ),
        (
            manifest("", "", "field_path: []", "x_teer: 1"),
            "known here: x_teardown, x_streamed".to_owned(),
        ),
    ];
    for (yaml, expected) in cases {
        let found = problems(&yaml);
        assert!(found.contains(&expected), "{expected}\n{found}");
    }
}
