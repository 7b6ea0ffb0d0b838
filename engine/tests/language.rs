//! Streams of other shapes than G2A's: cursors, bodies, authenticators, transformations.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use std::sync::Arc;

use serde_json::{Value, json};
use support::{Notebook, answer, serve, settings};
use syncline_engine::{Connector, Position, ReadSettings};

fn connector(retriever: &str, more: &str) -> Connector {
    let yaml = format!(
        "type: DeclarativeSource\nversion: 6.0.0\ncheck: {{type: CheckStream, stream_names: [a]}}\n\
         streams:\n  - type: DeclarativeStream\n    name: a\n    schema_loader: {{type: \
         InlineSchemaLoader, schema: {{type: object}}}}\n    {more}\n    retriever: {retriever}\n\
         spec: {{type: Spec, connection_specification: {{type: object, properties: {{token: {{type: \
         string, airbyte_secret: true}}}}}}}}\n"
    );
    Connector::load("demo", &yaml).unwrap()
}

#[tokio::test]
async fn a_cursor_in_a_json_body_is_followed_and_resumed() {
    let server = serve(|_, _| answer(200, "", r#"{"rows":[{"id":1}],"next":"tok"}"#)).await;
    let connector = connector(
        "{type: SimpleRetriever, requester: {type: HttpRequester, url_base: 'https://h', path: search, \
         http_method: POST, request_body_json: {q: \"{{ config['q'] }}\", nothing: \"{{ config['none'] }}\", \
         deep: {fixed: 1}}, authenticator: {type: BasicHttpAuthenticator, username: '1e5', password: \"{{ config['token'] }}\"}}, \
         paginator: {type: DefaultPaginator, page_token_option: {type: RequestOption, inject_into: body_json, \
         field_path: [deep, after]}, pagination_strategy: {type: CursorPagination, cursor_value: \
         \"{{ response['next'] ~ '-' ~ last_record['id'] ~ last_page_size }}\"}}, \
         record_selector: {extractor: {field_path: [rows]}}}",
        "transformations: [{type: AddFields, fields: [{path: [twice, v], value: \"{{ record['id'] * 2 }}\"}]}, \
         {type: RemoveFields, field_pointers: [[gone]]}]",
    );
    let config = json!({"q": "shoes", "token": "t0p-secret"});
    let base = settings(config, &server.address, Arc::default());
    let mut reader = connector.reader("a", base.clone()).unwrap();
    let page = reader.next_page().await.unwrap().unwrap();
    assert_eq!(
        Value::Object(page.records[0].clone()),
        json!({"id": 1, "twice": {"v": 2}})
    );
    assert_eq!(page.next, Some(Position(json!({"cursor": "tok-11"}))));

    let resumed = ReadSettings {
        from: page.next,
        ..base
    };
    connector
        .reader("a", resumed)
        .unwrap()
        .next_page()
        .await
        .unwrap();
    let seen = server.seen.lock().unwrap();
    let head = seen[0].head.to_ascii_lowercase();
    assert!(head.starts_with("post /search ") && head.contains("content-type: application/json"));
    // base64("1e5:t0p-secret"), in lower case: the name is not read as a number.
    assert!(
        head.contains("authorization: basic mwu1onqwcc1zzwnyzxq="),
        "{head}"
    );
    assert!(
        seen[0]
            .head
            .ends_with(r#"{"q":"shoes","deep":{"fixed":1}}"#),
        "{}",
        seen[0].head
    );
    assert!(
        seen[1]
            .head
            .ends_with(r#"{"q":"shoes","deep":{"fixed":1,"after":"tok-11"}}"#)
    );
}

#[tokio::test]
async fn a_next_address_is_followed_on_the_same_host_only() {
    let yaml = "{type: SimpleRetriever, requester: {type: HttpRequester, url_base: 'https://h', path: list, \
         request_parameters: {limit: 2}}, paginator: {type: DefaultPaginator, page_token_option: {type: RequestPath}, \
         pagination_strategy: {type: CursorPagination, cursor_value: \"{{ headers['link']['next']['url'] }}\"}}, \
         record_selector: {extractor: {field_path: []}}}";
    let links = |index: usize| match index {
        0 => "link: </list?limit=2&after=x>; rel=\"next\"\r\n",
        1 => "link: <https://evil.example/steal>; rel=\"next\"\r\n",
        _ => "",
    };
    let server = serve(move |index, _| answer(200, links(index), "[{\"id\":1}]")).await;
    let host = Arc::new(Notebook::default());
    let mut reader = connector(yaml, "")
        .reader("a", settings(json!({}), &server.address, host))
        .unwrap();
    reader.next_page().await.unwrap().unwrap();
    reader.next_page().await.unwrap().unwrap();
    let error = reader.next_page().await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("another host (https://evil.example)"),
        "{error}"
    );
    assert_eq!(server.targets(), ["/list?limit=2", "/list?limit=2&after=x"]);
}

#[tokio::test]
async fn a_type_error_in_an_expression_is_loud_and_names_its_place() {
    let server = serve(|_, _| answer(200, "", "[]")).await;
    let retriever = "{type: SimpleRetriever, requester: {type: HttpRequester, url_base: 'https://h', \
         request_parameters: {x: \"{{ config['n'] < 3 }}\"}}, record_selector: {extractor: {field_path: []}}}";
    let settings = settings(json!({"n": null}), &server.address, Arc::default());
    let error = connector(retriever, "")
        .reader("a", settings)
        .unwrap()
        .next_page()
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("/streams/0/retriever/requester/request_parameters/x"),
        "{text}"
    );
    assert!(error.kind() == "permanent" && server.targets().is_empty());
}

#[tokio::test]
async fn a_cursor_that_holds_a_secret_is_not_handed_out() {
    let body = r#"{"rows":[{"id":1}],"next":"https://h/x?access_token=t0p-secret"}"#;
    let server = serve(move |_, _| answer(200, "", body)).await;
    let retriever = "{type: SimpleRetriever, requester: {type: HttpRequester, url_base: 'https://h'}, paginator: \
         {type: DefaultPaginator, page_token_option: {type: RequestPath}, pagination_strategy: {type: \
         CursorPagination, cursor_value: \"{{ response['next'] }}\"}}, record_selector: {extractor: {field_path: [rows]}}}";
    let settings = settings(
        json!({"token": "t0p-secret"}),
        &server.address,
        Arc::default(),
    );
    let error = connector(retriever, "")
        .reader("a", settings)
        .unwrap()
        .next_page()
        .await
        .unwrap_err();
    let text = format!("{error:?}");
    assert!(
        error.kind() == "permanent" && !text.contains("t0p-secret"),
        "{text}"
    );
}
