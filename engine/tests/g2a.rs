//! The G2A connector against a local server: whole reads, resuming, and everything that goes wrong.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use std::sync::Arc;

use serde_json::{Value, json};
use support::{Notebook, Server, answer, serve, settings};
use syncline_engine::{AddressPolicy, Connector, HttpClient, HttpSettings};
use syncline_engine::{Outcome, Position, ReadError, ReadSettings};

const CONNECTOR: &str = include_str!("../../connectors/g2a.yaml");
const SECRET: &str = "the-s3cret&value";

fn connector() -> Connector {
    Connector::load("g2a", CONNECTOR).unwrap()
}

fn config() -> Value {
    json!({"client_id": "client-one", "email": "shop@example.com", "client_secret": SECRET})
}

fn products(page: u64, total: u64) -> String {
    let first = (page - 1) * 20 + 1;
    let last = total.min(page * 20);
    let docs: Vec<String> = (first..=last)
        .map(|id| format!("{{\"id\":\"{id}\",\"minPrice\":25.10,\"big\":0.12345678901234567890}}"))
        .collect();
    format!(
        "{{\"total\":{total},\"page\":{page},\"docs\":[{}]}}",
        docs.join(",")
    )
}

fn page_of(target: &str) -> u64 {
    let query = target.split_once("page=").unwrap().1;
    query.split('&').next().unwrap().parse().unwrap()
}

async fn fault(
    status: u16,
    headers: &'static str,
    body: &'static str,
) -> (Server, ReadError, Arc<Notebook>) {
    let server = serve(move |_, _| answer(status, headers, body)).await;
    let host = Arc::new(Notebook::default());
    let settings = settings(config(), &server.address, Arc::clone(&host));
    let error = connector()
        .reader("products", settings)
        .unwrap()
        .next_page()
        .await
        .unwrap_err();
    (server, error, host)
}

#[tokio::test]
async fn a_full_read_yields_every_product_once() {
    let server = serve(|_, target| answer(200, "", &products(page_of(target), 45))).await;
    let host = Arc::new(Notebook::default());
    let settings = settings(config(), &server.address, Arc::clone(&host));
    let mut reader = connector().reader("products", settings).unwrap();
    let mut ids = Vec::new();
    let mut positions = Vec::new();
    while let Some(page) = reader.next_page().await.unwrap() {
        assert!(page.rejected.is_empty());
        assert_eq!(page.number, Some(page.index + 1));
        ids.extend(
            page.records
                .iter()
                .map(|record| record["id"].as_str().unwrap().to_owned()),
        );
        assert_eq!(page.records[0]["minPrice"].to_string(), "25.10");
        assert_eq!(page.records[0]["big"].to_string(), "0.12345678901234567890");
        positions.push(page.next);
    }
    let expected: Vec<String> = (1..=45).map(|id| id.to_string()).collect();
    assert_eq!(ids, expected);
    let position = |page: u64| Some(Position(json!({"page": page})));
    assert_eq!(positions, vec![position(2), position(3), None]);
    assert!(reader.next_page().await.unwrap().is_none());
    let requests = host.requests.lock().unwrap();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[0].url, format!("{}/products", server.address));
    let budget = &requests[0].budgets[0];
    assert_eq!(
        (budget.policy.as_str(), budget.scope.as_str()),
        ("requests", "client-one")
    );
    let signals = host.signals.lock().unwrap();
    assert!(
        signals
            .iter()
            .all(|signal| signal.outcome == Outcome::Ok && signal.bytes > 0)
    );
    assert_eq!(
        server.targets()[0],
        "/products?includeOutOfStock=true&page=1"
    );
}

#[tokio::test]
async fn a_read_goes_on_from_its_position_and_one_page_can_be_asked_for() {
    let server = serve(|_, target| answer(200, "", &products(page_of(target), 60))).await;
    let base = settings(config(), &server.address, Arc::default());
    let resumed = ReadSettings {
        from: Some(Position(json!({"page": 3}))),
        ..base.clone()
    };
    let mut reader = connector().reader("products", resumed).unwrap();
    let page = reader.next_page().await.unwrap().unwrap();
    assert_eq!(page.records[0]["id"], "41");
    // A page that is full by chance is followed by an empty one.
    assert_eq!(reader.next_page().await.unwrap().unwrap().records.len(), 0);
    assert!(reader.next_page().await.unwrap().is_none());

    let single = ReadSettings {
        page: Some(2),
        ..base.clone()
    };
    let mut reader = connector().reader("products", single).unwrap();
    let page = reader.next_page().await.unwrap().unwrap();
    assert_eq!(
        (page.records[0]["id"].as_str(), page.next),
        (Some("21"), None)
    );
    assert!(reader.next_page().await.unwrap().is_none());

    let wrong = ReadSettings {
        from: Some(Position(json!({"cursor": "x"}))),
        ..base
    };
    let error = connector().reader("products", wrong).unwrap_err();
    assert_eq!(error.kind(), "position_refused");
}

#[tokio::test]
async fn the_header_equals_the_vendors_test_vector() {
    let server = serve(|_, _| answer(200, "", "{\"docs\":[]}")).await;
    let secret = "b0d293f6-e1d2-4629-8264-fd63b5af3207".repeat(2);
    let config = json!({
        "client_id": "qdaiciDiyMaTjxMt", "email": "sandboxapitest@g2a.com", "client_secret": secret
    });
    let settings = settings(config, &server.address, Arc::default());
    connector()
        .reader("products", settings)
        .unwrap()
        .next_page()
        .await
        .unwrap();
    let head = server.seen.lock().unwrap()[0].head.clone();
    let expected = "authorization: qdaiciDiyMaTjxMt, \
                    74026b3dc2c6db6a30a73e71cdb138b1e1b5eb7a97ced46689e2d28db1050875\r\n";
    assert!(
        head.to_ascii_lowercase()
            .contains(&expected.to_ascii_lowercase()),
        "{head}"
    );
}

#[tokio::test]
async fn a_limit_ends_the_read_at_once_with_the_hint() {
    let body = r#"{"status":"ERROR","message":"Too many requests","code":"BR03"}"#;
    let (server, error, host) = fault(429, "retry-after: 7\r\n", body).await;
    let ReadError::RateLimited {
        retry_after,
        failure,
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(retry_after, Some(std::time::Duration::from_secs(7)));
    assert_eq!(failure.platform_code.as_deref(), Some("BR03"));
    assert_eq!(server.targets().len(), 1);
    let signals = host.signals.lock().unwrap();
    assert_eq!(
        (signals[0].status, signals[0].outcome),
        (Some(429), Outcome::RateLimited)
    );
    assert!(
        signals[0]
            .headers
            .contains(&("retry-after".to_owned(), "7".to_owned()))
    );
}

#[tokio::test]
async fn failures_say_what_happens_next() {
    for (status, body, kind) in [
        (
            401,
            r#"{"status":"ERROR","code":"AUTH02","message":"bad"}"#,
            "needs_person",
        ),
        (
            403,
            r#"{"status":"ERROR","code":"AUTH01","message":"missing"}"#,
            "needs_person",
        ),
        (
            400,
            r#"{"status":"ERROR","code":"BR04","message":"bad id"}"#,
            "permanent",
        ),
        (502, "", "transient"),
        (500, "<html>oops</html>", "transient"),
        (418, "{}", "transient"),
    ] {
        let (_, error, host) = fault(status, "", body).await;
        assert_eq!(error.kind(), kind, "{status}: {error}");
        assert_eq!(error.failure().unwrap().http_status, Some(status));
        assert_eq!(host.signals.lock().unwrap().len(), 1);
    }
    let (_, error, _) = fault(401, "", r#"{"code":"AUTH02"}"#).await;
    assert!(error.to_string().contains("AUTH02") && error.to_string().contains("client secret"));
}

#[tokio::test]
async fn an_unreadable_answer_is_never_an_empty_page() {
    for body in ["{\"docs\":[{\"id\":\"1\"}", "<html>maintenance</html>", ""] {
        let (_, error, host) = fault(200, "", body).await;
        assert_eq!(error.kind(), "transient", "{body:?}: {error}");
        assert_eq!(host.signals.lock().unwrap()[0].outcome, Outcome::Transient);
    }
    let server = serve(|_, _| {
        "HTTP/1.1 200 OK\r\ncontent-length: 500\r\nconnection: close\r\n\r\n{\"docs\":[]}"
            .to_owned()
    })
    .await;
    let host = Arc::new(Notebook::default());
    let settings = settings(config(), &server.address, Arc::clone(&host));
    let error = connector()
        .reader("products", settings)
        .unwrap()
        .next_page()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), "transient", "{error}");
    let signals = host.signals.lock().unwrap();
    assert_eq!(
        (signals[0].outcome, signals[0].status),
        (Outcome::Transport, Some(200))
    );
}

#[tokio::test]
async fn short_retries_are_spent_in_the_slot_and_each_has_a_permit() {
    let server = serve(|index, target| match index {
        0 => answer(503, "", ""),
        _ => answer(200, "", &products(page_of(target), 1)),
    })
    .await;
    let host = Arc::new(Notebook::default());
    let mut settings = settings(config(), &server.address, Arc::clone(&host));
    settings.limits.max_wait_in_slot = std::time::Duration::from_secs(5);
    let mut reader = connector().reader("products", settings).unwrap();
    let page = reader.next_page().await.unwrap().unwrap();
    assert_eq!((page.records.len(), page.requests), (1, 2));
    assert_eq!(host.requests.lock().unwrap().len(), 2);
    assert_eq!(host.signals.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_refused_permit_parks_the_read_where_it_stands() {
    let server = serve(|_, target| answer(200, "", &products(page_of(target), 60))).await;
    let host = Arc::new(Notebook {
        refuse_after: Some(1),
        ..Notebook::default()
    });
    let settings = settings(config(), &server.address, host);
    let mut reader = connector().reader("products", settings).unwrap();
    reader.next_page().await.unwrap().unwrap();
    let error = reader.next_page().await.unwrap_err();
    assert_eq!((error.kind(), error.failure()), ("parked", None));
    assert_eq!(reader.position(), Some(Position(json!({"page": 2}))));
    assert_eq!(server.targets().len(), 1);
}

#[tokio::test]
async fn cancelling_ends_a_request_that_is_on_its_way() {
    let (reached, arrived) = std::sync::mpsc::channel();
    let server = serve(move |_, _| {
        reached.send(()).unwrap();
        // Less than was announced, and the connection closes: but the read is over by then.
        std::thread::sleep(std::time::Duration::from_millis(300));
        answer(200, "", "{\"docs\":[]}")
    });
    let server = server.await;
    let host = Arc::new(Notebook::default());
    let settings = settings(config(), &server.address, Arc::clone(&host));
    let cancel = settings.cancel.clone();
    let task = tokio::spawn(async move {
        connector()
            .reader("products", settings)
            .unwrap()
            .next_page()
            .await
            .map(|_| ())
    });
    tokio::task::spawn_blocking(move || arrived.recv().unwrap())
        .await
        .unwrap();
    cancel.cancel();
    assert_eq!(task.await.unwrap(), Err(ReadError::Cancelled));
    assert_eq!(host.signals.lock().unwrap()[0].outcome, Outcome::Cancelled);
}

#[tokio::test]
async fn private_targets_are_refused_directly_and_by_redirect() {
    let server = serve(|_, _| answer(200, "", "{\"docs\":[]}")).await;
    let strict = HttpClient::new(HttpSettings::default()).unwrap();
    let port = server.address.rsplit_once(':').unwrap().1;
    for base in [server.address.clone(), format!("http://localhost:{port}")] {
        let host = Arc::default();
        let settings = ReadSettings {
            http: strict.clone(),
            ..settings(config(), &base, Arc::clone(&host))
        };
        let error = connector()
            .reader("products", settings)
            .unwrap()
            .next_page()
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(
            error.kind() == "permanent" && text.contains("SYNCLINE_ALLOW_HOSTS"),
            "{text}"
        );
        assert!(text.contains("127.0.0.1") || text.contains("::1"), "{text}");
        assert_eq!(host.signals.lock().unwrap()[0].outcome, Outcome::Unsent);
    }
    assert!(server.targets().is_empty());

    let redirecting = serve(|_, _| answer(302, "location: http://127.0.0.9:1/x\r\n", "")).await;
    let only_one = AddressPolicy::parse("127.0.0.1").unwrap();
    let http = HttpSettings {
        addresses: only_one,
        ..HttpSettings::default()
    };
    let settings = ReadSettings {
        http: HttpClient::new(http).unwrap(),
        ..settings(config(), &redirecting.address, Arc::default())
    };
    let error = connector()
        .reader("products", settings)
        .unwrap()
        .next_page()
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("127.0.0.9") && text.contains("SYNCLINE_ALLOW_HOSTS"),
        "{text}"
    );
}

#[tokio::test]
async fn credentials_do_not_follow_to_another_host() {
    let target = serve(|_, _| answer(200, "", "{\"docs\":[]}")).await;
    let location: &'static str = format!("location: {}/moved\r\n", target.address).leak();
    let server = serve(move |_, _| answer(307, location, "")).await;
    let host = Arc::new(Notebook::default());
    let settings = settings(config(), &server.address, Arc::clone(&host));
    let mut reader = connector().reader("products", settings).unwrap();
    assert_eq!(reader.next_page().await.unwrap().unwrap().requests, 2);
    let head = target.seen.lock().unwrap()[0].head.to_ascii_lowercase();
    assert!(
        head.starts_with("get /moved") && !head.contains("authorization"),
        "{head}"
    );
    // Each hop is a request, and each request has a permit and a report.
    assert_eq!(host.requests.lock().unwrap().len(), 2);
    assert_eq!(host.signals.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn no_secret_is_in_an_error() {
    // The server says back everything it was told.
    let hash = "1a6c7b8d7bd3b1b0a0d3f2c6a3dbe1ab6d3a7d4bb1f0ed3cbed5b3a3f9e0c111";
    let body = format!("{{\"message\":\"no: {SECRET} {hash}\",\"code\":\"{SECRET}\"}}");
    let body: &'static str = body.leak();
    let (server, error, _) = fault(400, "", body).await;
    let head = server.seen.lock().unwrap()[0].head.clone();
    let sent = head
        .lines()
        .find(|line| line.to_ascii_lowercase().starts_with("authorization"))
        .unwrap();
    let sent_hash = sent.rsplit(' ').next().unwrap().to_owned();
    let text = format!("{error} {error:?}");
    assert!(!text.contains(SECRET) && text.contains("***"), "{text}");

    let echo: &'static str = format!("{{\"message\":\"you sent client-one, {sent_hash}\"}}").leak();
    let (_, error, _) = fault(400, "", echo).await;
    let text = format!("{error} {error:?}");
    assert!(!text.contains(&sent_hash), "{text}");

    let settings = settings(config(), &server.address, Arc::default());
    assert!(!format!("{settings:?}").contains(SECRET));
}

#[tokio::test]
async fn a_refused_position_is_told_apart_from_other_failures() {
    let server = serve(|_, _| answer(400, "", "{\"code\":\"BR01\"}")).await;
    let base = settings(config(), &server.address, Arc::default());
    let resumed = ReadSettings {
        from: Some(Position(json!({"page": 3}))),
        ..base.clone()
    };
    let error = connector()
        .reader("products", resumed)
        .unwrap()
        .next_page()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), "position_refused");
    let error = connector()
        .reader("products", base)
        .unwrap()
        .next_page()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), "permanent");
}

#[tokio::test]
async fn what_is_no_object_is_rejected_and_kept_as_a_sample() {
    let server = serve(|_, _| answer(200, "", r#"{"docs":[{"id":"1"},"text",null]}"#)).await;
    let settings = settings(config(), &server.address, Arc::default());
    let page = connector()
        .reader("products", settings)
        .unwrap()
        .next_page()
        .await
        .unwrap()
        .unwrap();
    assert_eq!((page.records.len(), page.rejected.len()), (1, 2));
    assert_eq!(page.rejected[0].sample, "\"text\"");
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let server = serve(|_, target| answer(200, "", &products(page_of(target), 20))).await;
    let mut settings = settings(config(), &server.address, Arc::default());
    settings.limits.max_page_bytes = 100;
    let error = connector()
        .reader("products", settings)
        .unwrap()
        .next_page()
        .await
        .unwrap_err();
    assert!(
        error.kind() == "permanent" && error.to_string().contains("100 bytes"),
        "{error}"
    );
}

#[tokio::test]
async fn an_answer_that_takes_too_much_memory_is_refused() {
    let server = serve(|_, target| answer(200, "", &products(page_of(target), 20))).await;
    let mut settings = settings(config(), &server.address, Arc::default());
    settings.limits.max_decoded_bytes = 10_000;
    let error = connector()
        .reader("products", settings)
        .unwrap()
        .next_page()
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        error.kind() == "permanent"
            && text.contains("10000 bytes of memory")
            && text.contains("x_streamed"),
        "{text}"
    );
    assert_eq!(error.failure().unwrap().limit, Some("max_decoded_bytes"));
}

#[tokio::test]
async fn of_what_is_no_record_a_hundred_are_kept_and_all_are_counted() {
    let server = serve(|_, _| {
        let body = format!(r#"{{"docs":[{{"id":"1"}}{}]}}"#, ",0".repeat(250));
        answer(200, "", &body)
    })
    .await;
    let settings = settings(config(), &server.address, Arc::default());
    let mut reader = connector().reader("products", settings).unwrap();
    let page = reader.next_page().await.unwrap().unwrap();
    assert_eq!((page.records.len(), page.rejected.len()), (1, 100));
    assert_eq!(page.more_rejected, 150);
}

#[test]
fn the_connector_says_what_it_needs() {
    let connector = connector();
    assert_eq!(connector.secret_fields(), ["/client_secret"]);
    let stream = connector.stream("products").unwrap();
    assert!(stream.supports_page && stream.full_read);
    assert_eq!(stream.primary_key, [["id"]]);
    assert_eq!(connector.budgets()[0].windows[0].limit, 1);
    assert_eq!(connector.budget_scopes(&config()).unwrap(), ["client-one"]);
    assert_eq!(connector.check_config(&config()), Ok(()));
    let problems = connector
        .check_config(&json!({"client_id": "x", "email": 5, "client_secret": ""}))
        .unwrap_err();
    let pointers: Vec<&str> = problems
        .iter()
        .map(|problem| problem.pointer.as_str())
        .collect();
    assert_eq!(pointers, ["/email", "/client_secret"]);
    let problems = connector
        .check_config(&json!({"client_id": "x", "email": "a@b"}))
        .unwrap_err();
    assert_eq!(problems[0].pointer, "/client_secret");
    assert!(
        problems[0].message.contains("required") && problems[0].message.contains("Client secret")
    );
    let secret = json!({"client_id": "x", "email": "a@b", "client_secret": ["hush-hush"]});
    let problems = connector.check_config(&secret).unwrap_err();
    assert!(
        !format!("{problems:?}").contains("hush-hush"),
        "{problems:?}"
    );
}
