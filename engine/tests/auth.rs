//! Authenticators that fetch tokens, or are chosen by the config; error handlers of several parts.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use support::{Notebook, answer, serve, settings};
use syncline_engine::{Connector, ReadError};

fn connector(requester: &str, more: &str) -> Connector {
    let yaml = format!(
        "type: DeclarativeSource\nversion: 6.0.0\ncheck: {{type: CheckStream, stream_names: [a]}}\n\
         streams:\n  - type: DeclarativeStream\n    name: a\n    schema_loader: {{type: \
         InlineSchemaLoader, schema: {{type: object}}}}\n    retriever: {{type: SimpleRetriever, requester: {{type: HttpRequester, \
         url_base: 'https://h', path: list, {requester}}}, record_selector: {{extractor: {{field_path: []}}}}{more}}}\n\
         spec: {{type: Spec, connection_specification: {{type: object, properties: {{secret: {{type: \
         string, airbyte_secret: true}}}}}}}}\n"
    );
    Connector::load("demo", &yaml).unwrap()
}

const OAUTH: &str = "authenticator: {type: OAuthAuthenticator, token_refresh_endpoint: 'https://auth.h/oauth/token', client_id: me, \
     client_secret: \"{{ config['secret'] }}\", refresh_token: 'refresh-me', scopes: [read], refresh_request_body: {audience: x, grant_type: no}}";
const PAGES: &str = ", paginator: {type: DefaultPaginator, page_token_option: {type: RequestOption, inject_into: request_parameter, \
     field_name: page}, pagination_strategy: {type: PageIncrement, page_size: 1}}";

#[tokio::test]
async fn an_oauth_token_is_fetched_once_and_anew_when_it_is_refused() {
    let server = serve(|index, target| match (index, target) {
        (0, _) => answer(
            200,
            "",
            r#"{"access_token": "token-number-one", "expires_in": 3600}"#,
        ),
        (1, _) => answer(200, "", r#"[{"id": 1}]"#),
        // The token has died before its time.
        (2, _) => answer(401, "", r#"{"error": "expired"}"#),
        (3, _) => answer(
            200,
            "",
            r#"{"data": {"access_token": "token-number-two", "expires_in": "60"}}"#,
        ),
        _ => answer(200, "", "[]"),
    })
    .await;
    let connector = connector(OAUTH, PAGES);
    let host = Arc::new(Notebook::default());
    let base = settings(
        json!({"secret": "s3cr3t-of-mine"}),
        &server.address,
        Arc::clone(&host),
    );
    let mut reader = connector.reader("a", base).unwrap();
    while reader.next_page().await.unwrap().is_some() {}
    assert_eq!(
        server.targets(),
        [
            "/oauth/token",
            "/list",
            "/list?page=1",
            "/oauth/token",
            "/list?page=1"
        ]
    );
    let seen = server.seen.lock().unwrap();
    let token_request = &seen[0].head;
    assert!(
        token_request.starts_with("POST /oauth/token "),
        "{token_request}"
    );
    assert!(
        token_request.ends_with(
            "grant_type=refresh_token&client_id=me&client_secret=s3cr3t-of-mine&refresh_token=refresh-me&scopes=read&audience=x"
        ),
        "{token_request}"
    );
    assert!(
        seen[1]
            .head
            .contains("authorization: Bearer token-number-one"),
        "{}",
        seen[1].head
    );
    assert!(
        seen[4]
            .head
            .contains("authorization: Bearer token-number-two")
    );
    // Each of them had its permit.
    assert_eq!(host.requests.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn refused_credentials_need_a_person_and_appear_nowhere() {
    let body = r#"{"error": "invalid_grant", "sent": "s3cr3t-of-mine refresh-me"}"#;
    let server = serve(move |_, _| answer(400, "", body)).await;
    let connector = connector(OAUTH, "");
    let base = settings(
        json!({"secret": "s3cr3t-of-mine"}),
        &server.address,
        Arc::default(),
    );
    let error = connector
        .reader("a", base)
        .unwrap()
        .next_page()
        .await
        .unwrap_err();
    assert!(matches!(error, ReadError::NeedsPerson { .. }), "{error:?}");
    let text = format!("{error} {error:?}");
    assert!(
        !text.contains("s3cr3t") && !text.contains("refresh-me"),
        "{text}"
    );
}

#[tokio::test]
async fn a_session_token_goes_where_the_manifest_says() {
    let server = serve(|_, target| match target {
        "/login" => answer(200, "", r#"{"session": {"id": "session-abc"}}"#),
        _ => answer(200, "", "[]"),
    })
    .await;
    let connector = connector(
        "authenticator: {type: SessionTokenAuthenticator, login_requester: {type: HttpRequester, url_base: 'https://h', path: login, \
         http_method: POST, request_body_json: {user: me, password: \"{{ config['secret'] }}\"}}, session_token_path: [session, id], \
         expiration_duration: PT1H, request_authentication: {type: ApiKey, api_token: 'Token {{ session_token }}', inject_into: \
         {type: RequestOption, inject_into: header, field_name: X-Session}}}",
        "",
    );
    let base = settings(json!({"secret": "pass"}), &server.address, Arc::default());
    connector
        .reader("a", base)
        .unwrap()
        .next_page()
        .await
        .unwrap();
    assert_eq!(server.targets(), ["/login", "/list"]);
    let seen = server.seen.lock().unwrap();
    assert!(
        seen[0].head.ends_with(r#"{"user":"me","password":"pass"}"#),
        "{}",
        seen[0].head
    );
    assert!(
        seen[1].head.contains("x-session: Token session-abc"),
        "{}",
        seen[1].head
    );
}

#[tokio::test]
async fn the_config_chooses_among_authenticators() {
    let server = serve(|_, _| answer(200, "", "[]")).await;
    let connector = connector(
        "authenticator: {type: SelectiveAuthenticator, authenticator_selection_path: [auth, kind], authenticators: {key: {type: \
         ApiKeyAuthenticator, api_token: k, header: X-Key}, bearer: {type: BearerAuthenticator, api_token: b}}}",
        "",
    );
    let read = async |config: Value| {
        let base = settings(config, &server.address, Arc::default());
        connector.reader("a", base).unwrap().next_page().await
    };
    read(json!({"auth": {"kind": "bearer"}})).await.unwrap();
    read(json!({"auth": {"kind": "key"}})).await.unwrap();
    let error = read(json!({"auth": {"kind": "none"}}))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("\"none\", which is no authenticator; there are: key, bearer"),
        "{error}"
    );
    let seen = server.seen.lock().unwrap();
    assert!(seen[0].head.contains("authorization: Bearer b") && seen[1].head.contains("x-key: k"));
}

#[tokio::test]
async fn of_several_error_handlers_the_first_that_goes_on_counts_else_the_last() {
    let handlers = "error_handler: {type: CompositeErrorHandler, error_handlers: [{type: DefaultErrorHandler, response_filters: \
         [{type: HttpResponseFilter, http_codes: [400], action: RATE_LIMITED}]}, {response_filters: [{type: HttpResponseFilter, \
         http_codes: [404], action: IGNORE}, {type: HttpResponseFilter, http_codes: [403], action: FAIL, failure_type: \
         transient_error}]}]}";
    for (status, expected) in [
        (404, None),
        (400, Some("permanent")),
        (403, Some("transient")),
        (429, Some("rate_limited")),
    ] {
        let server = serve(move |_, _| answer(status, "", r#"{"message": "no"}"#)).await;
        let base = settings(json!({}), &server.address, Arc::default());
        let found = connector(handlers, "")
            .reader("a", base)
            .unwrap()
            .next_page()
            .await;
        assert_eq!(
            found.as_ref().err().map(ReadError::kind),
            expected,
            "{status}: {found:?}"
        );
    }
}

#[tokio::test]
async fn a_header_says_until_when_to_wait_by_the_platforms_own_clock() {
    let handler = "error_handler: {type: DefaultErrorHandler, response_filters: [{type: HttpResponseFilter, http_codes: [429], action: \
         RATE_LIMITED}], backoff_strategies: [{type: WaitUntilTimeFromHeader, header: X-Reset, min_wait: 5}]}";
    for (reset, expected) in [("1700000090", 90), ("1700000001", 5), ("nonsense", 5)] {
        let server = serve(move |_, _| {
            let headers = format!("date: Tue, 14 Nov 2023 22:13:20 GMT\r\nx-reset: {reset}\r\n");
            answer(429, &headers, "{}")
        })
        .await;
        let base = settings(json!({}), &server.address, Arc::default());
        let error = connector(handler, "")
            .reader("a", base)
            .unwrap()
            .next_page()
            .await
            .unwrap_err();
        assert_eq!(
            error.retry_after(),
            Some(Duration::from_secs(expected)),
            "{reset}: {error}"
        );
    }
}
