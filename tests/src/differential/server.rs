//! The server that a scenario is read from: it answers as the scenario says, and writes every request down.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Request, Response};
use base64::Engine as _;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::scenario::{Answer, Reply};

/// Headers that say who asks and how, and not for what.
const NOT_COMPARED: [&str; 8] = [
    "user-agent",
    "accept",
    "accept-encoding",
    "connection",
    "host",
    "content-length",
    "transfer-encoding",
    "cookie",
];

/// A listening server.
pub(super) struct Server {
    /// `http://127.0.0.1:<port>`.
    pub(super) address: String,
    desk: Arc<Desk>,
    task: JoinHandle<()>,
}

/// What the requests share.
struct Desk {
    address: String,
    answers: Vec<Answer>,
    /// How often each answer was given.
    given: Mutex<Vec<usize>>,
    log: Mutex<Vec<Value>>,
    unexpected: Mutex<Vec<String>>,
}

impl Server {
    pub(super) async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let desk = Arc::new(Desk {
            address: address.clone(),
            given: Mutex::new(vec![0; answers.len()]),
            answers,
            log: Mutex::default(),
            unexpected: Mutex::default(),
        });
        let app = Router::new().fallback(answer).with_state(Arc::clone(&desk));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            address,
            desk,
            task,
        }
    }

    /// All requests so far, in their order.
    pub(super) fn requests(&self) -> Vec<Value> {
        self.desk.log.lock().unwrap().clone()
    }

    /// Requests that no answer of the scenario fits.
    pub(super) fn unexpected(&self) -> Vec<String> {
        self.desk.unexpected.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(desk): State<Arc<Desk>>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let is_form =
        header(&parts, "content-type").is_some_and(|kind| kind.contains("x-www-form-urlencoded"));
    desk.log
        .lock()
        .unwrap()
        .push(logged(&parts, &body, is_form));
    let found = desk
        .answers
        .iter()
        .position(|answer| fits(answer, &parts, &body, is_form));
    let Some(found) = found else {
        desk.unexpected
            .lock()
            .unwrap()
            .push(format!("{} {}", parts.method, parts.uri));
        return Response::builder()
            .status(404)
            .body(Body::from(r#"{"message": "no answer fits"}"#))
            .unwrap();
    };
    let number = {
        let mut given = desk.given.lock().unwrap();
        given[found] += 1;
        given[found] - 1
    };
    respond(desk.answers[found].reply.number(number), &desk.address)
}

fn header<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts
        .headers
        .get(name)
        .and_then(|value| value.to_str().ok())
}

/// A request as it is compared: parameters of queries and forms in order, their encoding as it was sent.
fn logged(parts: &Parts, body: &Bytes, is_form: bool) -> Value {
    let headers: BTreeMap<&str, String> = parts
        .headers
        .iter()
        .filter(|(name, _)| !NOT_COMPARED.contains(&name.as_str()))
        .map(|(name, value)| {
            (
                name.as_str(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect();
    let text = String::from_utf8_lossy(body);
    let body = match serde_json::from_slice(body) {
        _ if body.is_empty() => Value::Null,
        _ if is_form => json!(sorted_pairs(&text)),
        Ok(value) => value,
        Err(_) => json!(text),
    };
    json!({
        "request": format!("{} {}", parts.method, parts.uri.path()),
        "query": sorted_pairs(parts.uri.query().unwrap_or_default()),
        "headers": headers,
        "body": body,
    })
}

fn sorted_pairs(text: &str) -> Vec<&str> {
    let mut pairs: Vec<&str> = text.split('&').filter(|pair| !pair.is_empty()).collect();
    pairs.sort_unstable();
    pairs
}

fn fits(answer: &Answer, parts: &Parts, body: &Bytes, is_form: bool) -> bool {
    let (method, path) = answer
        .on
        .split_once(' ')
        .expect("an answer is `on` a method and a path");
    let path_fits = match path.strip_suffix('*') {
        Some(beginning) => parts.uri.path().starts_with(beginning),
        None => parts.uri.path() == path,
    };
    if method != parts.method.as_str() || !path_fits {
        return false;
    }
    let query = pairs(parts.uri.query().unwrap_or_default());
    let query_fits = answer
        .query
        .iter()
        .all(|(name, value)| query.get(name) == value.as_ref());
    let headers_fit = answer
        .headers
        .iter()
        .all(|(name, value)| header(parts, name) == value.as_deref());
    if !query_fits || !headers_fit {
        return false;
    }
    let members: Map<String, Value> = if is_form {
        let form = pairs(&String::from_utf8_lossy(body));
        form.into_iter()
            .map(|(name, value)| (name, json!(value)))
            .collect()
    } else {
        serde_json::from_slice(body).unwrap_or_default()
    };
    answer
        .body
        .iter()
        .all(|(name, value)| members.get(name).unwrap_or(&Value::Null) == value)
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    let address = format!("http://h/?{text}");
    let url = reqwest::Url::parse(&address).unwrap();
    url.query_pairs()
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

fn respond(reply: &Reply, address: &str) -> Response<Body> {
    let mut response = Response::builder().status(reply.status.unwrap_or(200));
    let body = body(reply, address);
    if reply.json.is_some() || reply.numbers.is_some() {
        response = response.header("content-type", "application/json");
    }
    for (name, value) in &reply.headers {
        response = response.header(name, value.replace("$SERVER", address));
    }
    response.body(Body::from(body)).unwrap()
}

fn body(reply: &Reply, address: &str) -> Vec<u8> {
    if let Some(bytes) = &reply.base64 {
        return base64::engine::general_purpose::STANDARD
            .decode(bytes)
            .unwrap();
    }
    let mut json = reply.json.clone();
    if let Some([first, last]) = reply.numbers {
        let whole = json.get_or_insert_with(|| json!([]));
        let list = match whole {
            Value::Object(members) => members.entry("items").or_insert_with(|| json!([])),
            list => list,
        };
        let list = list.as_array_mut().expect("numbers go into a list");
        list.extend((first..=last).map(|number| json!({ "id": number })));
    }
    let text = match (&json, &reply.text) {
        (Some(json), _) => json.to_string(),
        (None, Some(text)) => text.clone(),
        (None, None) => String::new(),
    };
    text.replace("$SERVER", address).into_bytes()
}
