//! Partitioned streams: lists, parents, products; with and without a cursor; filters.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use std::sync::Arc;

use serde_json::{Value, json};
use support::{Server, answer, serve, settings};
use syncline_engine::{Connector, Page, Position, ReadError, ReadSettings, SharedReads};

const CURSOR: &str = "incremental_sync: {type: DatetimeBasedCursor, cursor_field: at, datetime_format: '%Y-%m-%d', \
     start_datetime: '2024-01-01', end_datetime: '2024-01-10', start_time_option: {inject_into: request_parameter, field_name: since}}";

/// A stream `a` with these routers, and `accounts`, the parent that tests refer to.
fn connector(routers: &str, path: &str, more: &str) -> Connector {
    let yaml = format!(
        "type: DeclarativeSource\nversion: 6.0.0\ncheck: {{type: CheckStream, stream_names: [a]}}\n\
         definitions:\n  accounts: {{type: DeclarativeStream, name: accounts, schema_loader: {{type: InlineSchemaLoader, schema: \
         {{type: object}}}}, retriever: {{type: SimpleRetriever, requester: {{type: HttpRequester, url_base: 'https://h', path: \
         accounts}}, record_selector: {{extractor: {{field_path: []}}, record_filter: {{condition: \
         \"{{{{ record['id'] != 9 }}}}\"}}}}, paginator: {{type: DefaultPaginator, page_token_option: {{type: RequestOption, \
         inject_into: request_parameter, field_name: p}}, pagination_strategy: {{type: PageIncrement, page_size: 3}}}}}}}}\n\
         streams:\n  - type: DeclarativeStream\n    name: a\n    schema_loader: {{type: \
         InlineSchemaLoader, schema: {{type: object}}}}\n    {more}\n    retriever: {{type: SimpleRetriever, requester: \
         {{type: HttpRequester, url_base: 'https://h', path: \"{path}\"}}, record_selector: {{extractor: {{field_path: []}}}}, \
         partition_router: {routers}, paginator: {{type: DefaultPaginator, page_token_option: {{type: RequestOption, inject_into: \
         request_parameter, field_name: page}}, pagination_strategy: {{type: PageIncrement, start_from_page: 1, page_size: 2}}}}}}\n"
    );
    Connector::load("demo", &yaml).unwrap()
}

const PARENT: &str = "{type: SubstreamPartitionRouter, parent_stream_configs: [{stream: '#/definitions/accounts', parent_key: id, \
     partition_field: account, extra_fields: [[access, token]]}]}";

/// Three accounts on two pages (one of them filtered away), with a token each.
fn accounts(target: &str) -> Option<String> {
    let account =
        |id: u32| format!(r#"{{"id": {id}, "access": {{"token": "secret-token-{id}"}}}}"#);
    match target {
        "/accounts" => Some(format!("[{}, {}, {}]", account(1), account(9), account(2))),
        "/accounts?p=1" => Some(format!(r#"[{}, {{"id": null}}]"#, account(3))),
        _ => None,
    }
}

fn read(server: &Server) -> ReadSettings {
    settings(
        json!({"regions": ["eu", "us"]}),
        &server.address,
        Arc::default(),
    )
}

async fn pages(connector: &Connector, settings: &ReadSettings) -> Vec<Page> {
    let mut reader = connector.reader("a", settings.clone()).unwrap();
    let mut pages = Vec::new();
    while let Some(page) = reader.next_page().await.unwrap() {
        pages.push(page);
    }
    pages
}

#[tokio::test]
async fn each_value_of_a_list_is_read_by_itself() {
    let server = serve(|_, _| answer(200, "", r#"[{"id": 1}]"#)).await;
    let connector = connector(
        "{type: ListPartitionRouter, cursor_field: region, values: \"{{ config['regions'] }}\", request_option: {inject_into: \
         header, field_name: X-Region}}",
        "r/{{ stream_partition.region }}",
        "transformations: [{type: AddFields, fields: [{path: [region], value: \"{{ stream_slice['region'] }}\"}]}]",
    );
    let found = pages(&connector, &read(&server)).await;
    assert_eq!(server.targets(), ["/r/eu", "/r/us"]);
    let head = server.seen.lock().unwrap()[1].head.to_ascii_lowercase();
    assert!(head.contains("x-region: us"), "{head}");
    let records: Vec<&Value> = found
        .iter()
        .flat_map(|page| &page.records)
        .map(|record| &record["region"])
        .collect();
    assert_eq!(records, ["eu", "us"]);
    // The last page says that the walk is over; it was not asked for.
    assert_eq!(
        (found.len(), found[2].requests, found[2].next.clone()),
        (3, 0, None)
    );
    assert!(connector.stream("a").unwrap().full_read);

    let gone = ReadSettings {
        from: Some(Position(json!({"partition": {"region": "asia"}}))),
        ..read(&server)
    };
    let error = connector
        .reader("a", gone)
        .unwrap()
        .next_page()
        .await
        .unwrap_err();
    assert!(
        matches!(error, ReadError::PositionRefused { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn the_records_of_a_parent_are_walked_and_gone_on_from_anywhere() {
    let server = serve(|_, target| match accounts(target) {
        Some(body) => answer(200, "", &body),
        None if target.contains("page=2") => answer(200, "", r#"[{"id": 3}]"#),
        None if target.contains("/1?") => answer(200, "", r#"[{"id": 1}, {"id": 2}]"#),
        None => answer(200, "", "[]"),
    })
    .await;
    let path = "of/{{ stream_partition['account'] }}?token={{ stream_slice.extra_fields['access.token'] }}";
    let connector = connector(PARENT, path, "");
    let base = read(&server);
    let whole = pages(&connector, &base).await;
    let asked = [
        "/accounts",
        "/of/1?token=secret-token-1",
        "/of/1?token=secret-token-1&page=2",
        "/of/2?token=secret-token-2",
        "/accounts?p=1",
        "/of/3?token=secret-token-3",
    ];
    assert_eq!(server.targets(), asked);
    assert_eq!(whole.len(), 5);
    let last_of_first = whole[1].next.clone().unwrap();
    assert_eq!(
        last_of_first.0["partition"],
        json!({"account": 1, "parent_slice": {}})
    );
    assert_eq!(last_of_first.0["closed"], json!(true));
    assert!(
        !whole
            .iter()
            .any(|page| format!("{:?}", page.next).contains("secret-token"))
    );

    for (done, rest) in [
        (0, &asked[2..]),
        (1, &asked[3..]),
        (2, &asked[4..]),
        (3, &asked[6..]),
    ] {
        server.seen.lock().unwrap().clear();
        let resumed = ReadSettings {
            from: whole[done].next.clone(),
            ..base.clone()
        };
        pages(&connector, &resumed).await;
        let mut targets = server.targets();
        // The parent's page is asked for again, and nothing that was read.
        let parent = if done < 3 {
            "/accounts"
        } else {
            "/accounts?p=1"
        };
        assert_eq!(targets.remove(0), parent, "after page {done}");
        assert_eq!(targets, rest, "after page {done}");
    }
    let refused = whole[0].next.clone().unwrap();
    let start = refused.slice_start().unwrap();
    assert_eq!(
        (start.0.get("page"), &start.0["partition"]),
        (None, &refused.0["partition"])
    );
}

#[tokio::test]
async fn several_routers_make_a_product() {
    let server =
        serve(|_, target| answer(200, "", accounts(target).as_deref().unwrap_or("[]"))).await;
    let routers =
        format!("[{{type: ListPartitionRouter, cursor_field: kind, values: [x, 7]}}, {PARENT}]");
    let connector = connector(
        &routers,
        "{{ stream_slice.kind }}/{{ stream_slice.account }}",
        "",
    );
    let whole = pages(&connector, &read(&server)).await;
    let asked = server.targets();
    let expected = [
        "/accounts",
        "/accounts?p=1",
        "/x/1",
        "/x/2",
        "/x/3",
        "/7/1",
        "/7/2",
        "/7/3",
    ];
    assert_eq!(asked, expected);
    server.seen.lock().unwrap().clear();
    let resumed = ReadSettings {
        from: whole[3].next.clone(),
        ..read(&server)
    };
    pages(&connector, &resumed).await;
    assert_eq!(
        server.targets(),
        ["/accounts", "/accounts?p=1", "/7/2", "/7/3"]
    );
}

#[tokio::test]
async fn each_partition_has_a_state_and_new_ones_start_from_the_common_one() {
    let server = serve(|_, target| {
        let body = if target.starts_with("/eu") {
            r#"[{"at": "2024-01-05"}]"#
        } else {
            "[]"
        };
        answer(200, "", body)
    })
    .await;
    let list =
        "{type: ListPartitionRouter, cursor_field: region, values: \"{{ config['regions'] }}\"}";
    let connector = connector(list, "{{ stream_partition.region }}", CURSOR);
    let found = pages(&connector, &read(&server)).await;
    assert_eq!(
        server.targets(),
        ["/eu?since=2024-01-01", "/us?since=2024-01-01"]
    );
    let state = found.last().unwrap().state.clone().unwrap();
    let expected = json!([
        {"partition": {"region": "eu"}, "cursor": {"at": "2024-01-05"}},
        {"partition": {"region": "us"}, "cursor": {"at": "2024-01-01"}},
    ]);
    assert_eq!(
        (&state["states"], &state["state"]),
        (&expected, &json!({"at": "2024-01-05"}))
    );
    assert_eq!(state["use_global_cursor"], json!(false));
    assert!(state["lookback_window"].as_i64() >= Some(1), "{state}");

    server.seen.lock().unwrap().clear();
    let mut later = state.clone();
    later["lookback_window"] = json!(86_400);
    let more = ReadSettings {
        config: json!({"regions": ["us", "eu", "asia"]}),
        state: Some(later),
        ..read(&server)
    };
    pages(&connector, &more).await;
    let expected = [
        "/us?since=2024-01-01",
        "/eu?since=2024-01-05",
        "/asia?since=2024-01-04",
    ];
    assert_eq!(server.targets(), expected);

    // A plain state, as the stream had before it was partitioned, counts for all.
    server.seen.lock().unwrap().clear();
    let plain = ReadSettings {
        state: Some(json!({"at": "2024-01-03"})),
        ..read(&server)
    };
    pages(&connector, &plain).await;
    assert_eq!(
        server.targets(),
        ["/eu?since=2024-01-03", "/us?since=2024-01-03"]
    );
}

#[tokio::test]
async fn the_common_state_covers_all_attempts_of_a_read() {
    let server = serve(|_, target| {
        let body = if target.starts_with("/eu") {
            r#"[{"at": "2024-01-07"}]"#
        } else {
            "[]"
        };
        answer(200, "", body)
    })
    .await;
    let list = "{type: ListPartitionRouter, cursor_field: region, values: [eu, us]}";
    let connector = connector(list, "{{ stream_partition.region }}", CURSOR);
    let first = connector
        .reader("a", read(&server))
        .unwrap()
        .next_page()
        .await
        .unwrap()
        .unwrap();
    let began = chrono::DateTime::UNIX_EPOCH;
    let resumed = ReadSettings {
        from: first.next,
        state: first.state,
        now: began + chrono::TimeDelta::hours(2),
        ..read(&server)
    };
    let rest = pages(&connector, &resumed).await;
    assert_eq!(
        server.targets(),
        ["/eu?since=2024-01-01", "/us?since=2024-01-01"]
    );
    let state = rest.last().unwrap().state.clone().unwrap();
    assert_eq!(state["state"], json!({"at": "2024-01-07"}));
    assert_eq!(state["states"][0]["cursor"], json!({"at": "2024-01-07"}));
    assert!(state["lookback_window"].as_i64() >= Some(7_200), "{state}");
}

#[tokio::test]
async fn a_global_cursor_has_one_value_for_all_partitions() {
    let server = serve(|_, target| {
        let body = if target.starts_with("/eu") {
            r#"[{"at": "2024-01-07"}]"#
        } else {
            "[]"
        };
        answer(200, "", body)
    })
    .await;
    let list = "{type: ListPartitionRouter, cursor_field: region, values: [eu, us]}";
    let global = CURSOR.replace(
        "start_datetime:",
        "global_substream_cursor: true, start_datetime:",
    );
    let connector = connector(list, "{{ stream_partition.region }}", &global);
    let found = pages(&connector, &read(&server)).await;
    let state = found.last().unwrap().state.clone().unwrap();
    assert_eq!(
        (&state["state"], state.get("states")),
        (&json!({"at": "2024-01-07"}), None)
    );
    assert_eq!(state["use_global_cursor"], json!(true));
    server.seen.lock().unwrap().clear();
    pages(
        &connector,
        &ReadSettings {
            state: Some(json!({"state": {"at": "2024-01-07"}})),
            ..read(&server)
        },
    )
    .await;
    assert_eq!(
        server.targets(),
        ["/eu?since=2024-01-07", "/us?since=2024-01-07"]
    );
}

#[tokio::test]
async fn a_parent_that_is_read_incrementally_moves_with_its_children() {
    let yaml = "type: DeclarativeSource\nversion: 6.0.0\ncheck: {type: CheckStream, stream_names: [a]}\nstreams:\n  - type: DeclarativeStream\n    \
         name: a\n    schema_loader: {type: InlineSchemaLoader, schema: {type: object}}\n    incremental_sync: {type: DatetimeBasedCursor, \
         cursor_field: at, datetime_format: '%Y-%m-%d', start_datetime: '2024-01-01', end_datetime: '2024-01-10'}\n    retriever: \
         {type: SimpleRetriever, requester: {type: HttpRequester, url_base: 'https://h', path: \"of/{{ stream_slice.post }}\"}, \
         record_selector: {extractor: {field_path: []}}, partition_router: {type: SubstreamPartitionRouter, parent_stream_configs: \
         [{parent_key: id, partition_field: post, incremental_dependency: true, stream: {type: DeclarativeStream, name: posts, \
         schema_loader: {type: InlineSchemaLoader, schema: {type: object}}, incremental_sync: {type: DatetimeBasedCursor, cursor_field: \
         day, datetime_format: '%Y-%m-%d', start_datetime: '2024-01-01', end_datetime: '2024-01-10', start_time_option: {inject_into: \
         request_parameter, field_name: since}}, retriever: {type: SimpleRetriever, requester: {type: HttpRequester, url_base: \
         'https://h', path: posts}, record_selector: {extractor: {field_path: []}}}}}]}}\n";
    let connector = Connector::load("demo", yaml).unwrap();
    let server = serve(|_, target| {
        let posts = target.starts_with("/posts");
        answer(
            200,
            "",
            if posts {
                r#"[{"id": "p", "day": "2024-01-06"}]"#
            } else {
                r#"[{"at": "2024-01-08"}]"#
            },
        )
    })
    .await;
    let found = pages(&connector, &read(&server)).await;
    let state = found.last().unwrap().state.clone().unwrap();
    assert_eq!(
        state["parent_state"],
        json!({"posts": {"day": "2024-01-06"}})
    );
    let before = found[0].state.clone();
    assert!(
        before.is_none_or(|state| state.get("parent_state").is_none()),
        "not before its children"
    );
    server.seen.lock().unwrap().clear();
    pages(
        &connector,
        &ReadSettings {
            state: Some(state),
            ..read(&server)
        },
    )
    .await;
    assert_eq!(server.targets()[0], "/posts?since=2024-01-06");
}

#[tokio::test]
async fn children_of_one_sync_read_their_parent_once() {
    let server = serve(|_, target| {
        let body = accounts(target).unwrap_or_else(|| "[]".to_owned());
        answer(200, "", &body)
    })
    .await;
    let connector = connector(PARENT, "c/{{ stream_partition.account }}", "");
    let settings = read(&server);
    let shared = SharedReads::default();
    let drain = async |settings: ReadSettings, shared: &SharedReads| {
        let mut reader = connector.reader_sharing("a", settings, shared).unwrap();
        let mut places = Vec::new();
        let mut requests = 0;
        while let Some(page) = reader.next_page().await.unwrap() {
            requests += page.requests;
            places.extend(page.next);
        }
        (places, requests)
    };
    let (places, requests) = drain(settings.clone(), &shared).await;
    assert_eq!(requests, 5);
    let (again, requests) = drain(settings.clone(), &shared).await;
    assert_eq!(requests, 3);
    // The positions are those of a read of its own, so any other worker can go on from them.
    assert_eq!(again, places);
    let parents = |from: usize| -> Vec<String> {
        let targets = server.targets();
        let of_parents = targets[from..]
            .iter()
            .filter(|target| target.starts_with("/accounts"));
        of_parents.cloned().collect()
    };
    assert_eq!(parents(0), ["/accounts", "/accounts?p=1"]);

    // A read that goes on within the parent finds its page as well.
    let seen = server.targets().len();
    let resumed = ReadSettings {
        from: places.iter().rev().nth(1).cloned(),
        ..settings.clone()
    };
    drain(resumed, &shared).await;
    assert_eq!(parents(seen), Vec::<String>::new());
    // Another sync knows nothing of it.
    drain(settings, &SharedReads::default()).await;
    assert_eq!(parents(seen).len(), 2);
}
