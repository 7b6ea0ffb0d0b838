//! Tokens that each refresh replaces, tokens that are signed, and sessions of the older kind.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Value, json};
use support::{Notebook, Server, answer, serve, settings};
use syncline_engine::{
    Connector, Host, Permit, PermitRequest, ReadError, ReadSettings, Refreshed, Refused, Reported,
    ResponseSignals, StreamReader,
};

const ROTATING: &str = "{type: OAuthAuthenticator, token_refresh_endpoint: 'https://auth.h/token', client_id: \"{{ config['id'] }}\", \
     client_secret: \"{{ config['secret'] }}\", refresh_token_updater: {refresh_token_name: next_one}}";

fn connector(authenticator: &str, requester: &str) -> Connector {
    let yaml = format!(
        "type: DeclarativeSource\nversion: 6.0.0\ncheck: {{type: CheckStream, stream_names: [a]}}\n\
         streams:\n  - type: DeclarativeStream\n    name: a\n    schema_loader: {{type: \
         InlineSchemaLoader, schema: {{type: object}}}}\n    retriever: {{type: SimpleRetriever, paginator: {{type: DefaultPaginator, \
         page_token_option: {{type: RequestOption, inject_into: request_parameter, field_name: page}}, pagination_strategy: {{type: \
         PageIncrement, page_size: 1}}}}, requester: {{type: HttpRequester, url_base: 'https://h', path: list, authenticator: \
         {authenticator}{requester}}}, record_selector: {{extractor: {{field_path: []}}}}}}\n\
         spec: {{type: Spec, connection_specification: {{type: object, properties: {{secret: {{type: \
         string, airbyte_secret: true}}}}}}}}\n"
    );
    Connector::load("demo", &yaml).unwrap()
}

/// Keeps tokens, and the order of what happened.
#[derive(Default)]
struct Keeper {
    events: Mutex<Vec<String>>,
    stored: Mutex<Option<Value>>,
    kept: Mutex<Vec<Refreshed>>,
    is_broken: bool,
}

#[async_trait]
impl Host for Keeper {
    async fn permit(&self, request: &PermitRequest) -> Result<Permit, Refused> {
        let path = request.url.rsplit('/').next().unwrap_or_default();
        self.events.lock().unwrap().push(path.to_owned());
        Ok(Permit::empty())
    }

    async fn report(&self, _permit: Permit, _signals: &ResponseSignals) -> Reported {
        Reported::Noted
    }

    async fn begin_refresh(&self) -> Result<Option<Value>, Refused> {
        self.events.lock().unwrap().push("begins".to_owned());
        Ok(self.stored.lock().unwrap().clone())
    }

    async fn end_refresh(&self, refreshed: Option<&Refreshed>) -> Result<(), String> {
        let event = match refreshed {
            None => "ends",
            Some(_) if self.is_broken => "is lost",
            Some(_) => "is stored",
        };
        self.events.lock().unwrap().push(event.to_owned());
        if self.is_broken {
            return Err("the database is away".to_owned());
        }
        self.kept.lock().unwrap().extend(refreshed.cloned());
        Ok(())
    }
}

fn reader(
    connector: &Connector,
    server: &Server,
    host: Arc<dyn Host>,
    config: Value,
) -> StreamReader {
    let base = settings(config, &server.address, Arc::default());
    let settings = ReadSettings { host, ..base };
    connector.reader("a", settings).unwrap()
}

fn config(access_token: &str, expiry: &str) -> Value {
    json!({"id": "me", "secret": "s3cr3t-of-mine", "credentials": {
        "access_token": access_token, "refresh_token": "refresh-one", "token_expiry_date": expiry}})
}

async fn platform() -> Server {
    serve(|index, target| match target {
        "/token" => answer(
            200,
            "",
            &format!(r#"{{"access_token": "access-{index}", "next_one": "refresh-{index}", "expires_in": 60}}"#),
        ),
        // It refuses the token that the first page was read with.
        "/list?page=1" if index == 2 => answer(401, "", "{}"),
        "/list" => answer(200, "", r#"[{"id": 1}]"#),
        _ => answer(200, "", "[]"),
    })
    .await
}

#[tokio::test]
async fn a_new_refresh_token_is_stored_before_its_access_token_is_used() {
    let server = platform().await;
    let host = Arc::new(Keeper::default());
    let connector = connector(ROTATING, "");
    let mut reader = reader(&connector, &server, host.clone(), config("old", ""));
    while reader.next_page().await.unwrap().is_some() {}
    assert_eq!(
        *host.events.lock().unwrap(),
        [
            "begins",
            "token",
            "is stored",
            "list",
            "list",
            "begins",
            "token",
            "is stored",
            "list"
        ]
    );
    let seen = server.seen.lock().unwrap();
    let body = |index: usize| {
        seen[index]
            .head
            .rsplit("\r\n\r\n")
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        body(0),
        "grant_type=refresh_token&client_id=me&client_secret=s3cr3t-of-mine&next_one=refresh-one"
    );
    assert!(seen[1].head.contains("authorization: Bearer access-0"));
    // The second refresh uses what the first one gave.
    assert!(body(3).ends_with("&next_one=refresh-0"), "{}", body(3));
    assert!(seen[4].head.contains("authorization: Bearer access-3"));
    let kept = host.kept.lock().unwrap();
    assert_eq!(kept[1].used, "refresh-0");
    let mut config = config("old", "");
    kept[0].apply(&mut config).unwrap();
    assert_eq!(
        config["credentials"],
        json!({"access_token": "access-0", "refresh_token": "refresh-0", "token_expiry_date": config["credentials"]["token_expiry_date"]})
    );
    let expiry = config["credentials"]["token_expiry_date"].as_str().unwrap();
    // The read's clock starts in 1970.
    assert!(expiry.starts_with("1970-01-01T00:01:00"), "{expiry}");
    assert!(!format!("{kept:?}").contains("refresh-"));
}

#[tokio::test]
async fn tokens_that_could_not_be_stored_are_not_used() {
    let server = platform().await;
    let host = Arc::new(Keeper {
        is_broken: true,
        ..Keeper::default()
    });
    let connector = connector(ROTATING, "");
    let mut reader = reader(&connector, &server, host.clone(), config("old", ""));
    let error = reader.next_page().await.unwrap_err();
    assert!(matches!(error, ReadError::Transient { .. }), "{error:?}");
    assert_eq!(*host.events.lock().unwrap(), ["begins", "token", "is lost"]);
    assert_eq!(server.targets(), ["/token"]);
}

#[tokio::test]
async fn a_token_that_another_has_refreshed_is_taken_over() {
    let server = platform().await;
    let host = Arc::new(Keeper {
        stored: Mutex::new(Some(config("theirs", "1970-01-01T01:00:00Z"))),
        ..Keeper::default()
    });
    let connector = connector(
        ROTATING,
        ", request_headers: {X-Seen: \"{{ config['credentials']['access_token'] }}\"}",
    );
    let mut reader = reader(
        &connector,
        &server,
        host.clone(),
        config("old", "1969-12-31T23:00:00Z"),
    );
    reader.next_page().await.unwrap();
    assert_eq!(*host.events.lock().unwrap(), ["begins", "ends", "list"]);
    let seen = server.seen.lock().unwrap();
    assert!(seen[0].head.contains("authorization: Bearer theirs"));
    assert!(seen[0].head.contains("x-seen: theirs"));
}

#[tokio::test]
async fn a_token_that_is_good_is_used_as_it_is() {
    let server = platform().await;
    let host = Arc::new(Keeper::default());
    let connector = connector(ROTATING, "");
    let mut reader = reader(&connector, &server, host.clone(), config("good", "3600"));
    reader.next_page().await.unwrap();
    assert_eq!(*host.events.lock().unwrap(), ["list"]);
    assert!(
        server.seen.lock().unwrap()[0]
            .head
            .contains("authorization: Bearer good")
    );
}

#[tokio::test]
async fn a_host_that_keeps_no_tokens_refreshes_none() {
    let server = platform().await;
    let host = Arc::new(Notebook::default());
    let connector = connector(ROTATING, "");
    let mut reader = reader(&connector, &server, host, config("old", ""));
    let error = reader.next_page().await.unwrap_err();
    assert!(matches!(error, ReadError::Stopped { .. }), "{error:?}");
    assert_eq!(server.targets(), [""; 0]);
}

#[tokio::test]
async fn a_signed_token_takes_the_place_of_id_and_secret() {
    let server = platform().await;
    let connector = connector(
        "{type: OAuthAuthenticator, token_refresh_endpoint: 'https://auth.h/token', use_profile_assertion: true, profile_assertion: \
         {type: JwtAuthenticator, algorithm: HS256, secret_key: \"{{ json_loads(config['key'])['k'] }}\", jwt_payload: {iss: me, aud: \
         'https://auth.h'}, token_duration: 60}}",
        "",
    );
    let host = Arc::new(Notebook::default());
    let mut reader = reader(
        &connector,
        &server,
        host,
        json!({"key": "{\"k\": \"a-key\"}"}),
    );
    reader.next_page().await.unwrap();
    let seen = server.seen.lock().unwrap();
    let body = seen[0].head.rsplit("\r\n\r\n").next().unwrap();
    let (grant, assertion) = body.split_once("&assertion=").unwrap();
    assert_eq!(
        grant,
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"
    );
    assert_eq!(assertion.split('.').count(), 3);
    assert!(seen[1].head.contains("authorization: Bearer access-0"));
}

#[tokio::test]
async fn a_token_is_signed_for_each_request() {
    let server = platform().await;
    let connector = connector(
        "{type: JwtAuthenticator, algorithm: HS512, secret_key: \"{{ config['secret'] }}\", header_prefix: Bearer}",
        "",
    );
    let config = json!({"secret": "s3cr3t-of-mine"});
    let mut reader = reader(&connector, &server, Arc::new(Notebook::default()), config);
    reader.next_page().await.unwrap();
    let seen = server.seen.lock().unwrap();
    // {"typ":"JWT","alg":"HS512"} in whichever order.
    assert!(
        seen[0].head.contains("authorization: Bearer eyJ"),
        "{}",
        seen[0].head
    );
}

#[tokio::test]
async fn an_old_session_token_is_used_until_it_is_refused() {
    let server = serve(|index, target| match (index, target) {
        (0, _) => answer(401, "", "{}"),
        (_, "/login") => answer(200, "", r#"{"id": "new-session"}"#),
        _ => answer(200, "", "[]"),
    })
    .await;
    let connector = connector(
        "{type: LegacySessionTokenAuthenticator, header: X-Session, login_url: /login, validate_session_url: /me, \
         session_token_response_key: id, username: me, password: \"{{ config['secret'] }}\", session_token: \"{{ config['token'] }}\"}",
        "",
    );
    let config = json!({"secret": "s3cr3t-of-mine", "token": "old-session"});
    let mut reader = reader(&connector, &server, Arc::new(Notebook::default()), config);
    reader.next_page().await.unwrap();
    assert_eq!(server.targets(), ["/list", "/login", "/list"]);
    let seen = server.seen.lock().unwrap();
    assert!(seen[0].head.contains("x-session: old-session"));
    assert!(
        seen[1]
            .head
            .ends_with(r#"{"username":"me","password":"s3cr3t-of-mine"}"#)
    );
    assert!(seen[2].head.contains("x-session: new-session"));
}

#[tokio::test]
async fn without_an_old_session_token_there_is_a_login_at_once() {
    let server = serve(|_, target| match target {
        "/login" => answer(200, "", r#"{"id": "new-session"}"#),
        _ => answer(200, "", "[]"),
    })
    .await;
    let connector = connector(
        "{type: LegacySessionTokenAuthenticator, header: X-Session, login_url: /login, validate_session_url: /me, \
         session_token_response_key: id, username: me, password: \"{{ config['secret'] }}\", session_token: \"{{ config.get('token') }}\"}",
        "",
    );
    let config = json!({"secret": "s3cr3t-of-mine"});
    let mut reader = reader(&connector, &server, Arc::new(Notebook::default()), config);
    reader.next_page().await.unwrap();
    assert_eq!(server.targets(), ["/login", "/list"]);
    let seen = server.seen.lock().unwrap();
    assert!(seen[1].head.contains("x-session: new-session"));
}

#[tokio::test]
async fn an_error_filter_asks_for_a_new_token() {
    let server = serve(|index, target| match (index, target) {
        (1, _) => answer(400, "", r#"{"error": "token expired"}"#),
        (_, "/token") => answer(200, "", &format!(r#"{{"access_token": "access-{index}"}}"#)),
        _ => answer(200, "", "[]"),
    })
    .await;
    let connector = connector(
        "{type: OAuthAuthenticator, token_refresh_endpoint: 'https://auth.h/token', client_id: me, client_secret: x, refresh_token: y}",
        ", error_handler: {type: DefaultErrorHandler, response_filters: [{type: HttpResponseFilter, error_message_contains: 'token \
         expired', action: REFRESH_TOKEN_THEN_RETRY}]}",
    );
    let host = Arc::new(Notebook::default());
    let mut reader = reader(&connector, &server, host, json!({}));
    reader.next_page().await.unwrap();
    assert_eq!(server.targets(), ["/token", "/list", "/token", "/list"]);
    assert!(
        server.seen.lock().unwrap()[3]
            .head
            .contains("authorization: Bearer access-2")
    );
}

#[tokio::test]
async fn nothing_of_the_answer_to_a_token_request_is_shown() {
    let plain = "{type: OAuthAuthenticator, token_refresh_endpoint: 'https://auth.h/token', client_id: me, client_secret: \
                 \"{{ config['secret'] }}\", refresh_token: refresh-two}";
    let session = "{type: SessionTokenAuthenticator, session_token_path: [token], request_authentication: {type: Bearer}, \
                   login_requester: {type: HttpRequester, url_base: 'https://h', path: token}}";
    for authenticator in [plain, ROTATING, session] {
        for (status, body, shown) in [
            (
                200,
                "access_token=brand-new-token&token_type=bearer",
                "no readable JSON",
            ),
            (400, "access_token=brand-new-token", "400"),
            (
                400,
                r#"{"error": "invalid_grant", "message": "it is over", "token": "brand-new-token"}"#,
                "it is over",
            ),
        ] {
            let server = serve(move |_, _| answer(status, "", body)).await;
            let connector = connector(authenticator, "");
            let host = Arc::new(Keeper::default());
            let mut reader = reader(
                &connector,
                &server,
                host,
                config("old", "1960-01-01T00:00:00Z"),
            );
            let error = reader.next_page().await.unwrap_err();
            let all = format!("{error:?}");
            assert!(!all.contains("brand-new"), "{authenticator}: {all}");
            assert!(
                error.to_string().contains(shown),
                "{authenticator}: {error}"
            );
        }
    }
}
