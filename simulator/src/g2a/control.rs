//! What tests and people may see and change of the simulated G2A while it runs.

use std::convert::Infallible;
use std::sync::{Arc, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use futures::stream;
use serde_json::{Value, json};

use super::G2a;
use super::accounts::{G2aAccount, Limits};
use super::catalogue::{Catalogue, Change, MOST_PRODUCTS};
use super::query::Filter;
use crate::control::input::{Fields, InputError, parse_body};
use crate::control::{Endpoint, query_as_json};
use crate::faults::FaultSettings;
use crate::limits::CallLimit;

/// Rows of the truth that are rendered at a time.
const TRUTH_CHUNK: usize = 200;

/// The endpoints below, as the list of all shows them.
pub(crate) const ENDPOINTS: [Endpoint; 12] = [
    Endpoint::new(
        "GET",
        "/_control/g2a/truth",
        "every product in stock, in id order, a JSON line each; ?out_of_stock=true adds the others",
    ),
    Endpoint::new(
        "POST",
        "/_control/g2a/changes",
        "{update, insert, remove, seed}: answers the ids touched",
    ),
    Endpoint::new(
        "GET",
        "/_control/g2a/faults",
        "the switches and how often they struck",
    ),
    Endpoint::new(
        "PUT",
        "/_control/g2a/faults",
        "replaces all switches; a fault takes rate, every, pages, next",
    ),
    Endpoint::new("DELETE", "/_control/g2a/faults", "switches everything off"),
    Endpoint::new("GET", "/_control/g2a/limit", "the call limits in force"),
    Endpoint::new(
        "PUT",
        "/_control/g2a/limit",
        "{calls, window_ms, retry_after_s?, client_id?}",
    ),
    Endpoint::new(
        "DELETE",
        "/_control/g2a/limit",
        "lifts the platform's limit; {client_id} that of an account",
    ),
    Endpoint::new(
        "GET",
        "/_control/g2a/accounts",
        "the client ids that may call",
    ),
    Endpoint::new(
        "PUT",
        "/_control/g2a/accounts",
        "{client_id, email, client_secret}",
    ),
    Endpoint::new(
        "DELETE",
        "/_control/g2a/accounts/{client_id}",
        "takes an account's access away",
    ),
    Endpoint::new("GET", "/g2a/v1/products", "the vendor's product list"),
];

/// Routes under `/_control/g2a`.
pub(crate) fn control_routes(g2a: Arc<G2a>) -> Router {
    Router::new()
        .route("/_control/g2a/truth", get(show_truth))
        .route("/_control/g2a/changes", post(change_source))
        .route(
            "/_control/g2a/faults",
            get(show_faults).put(replace_faults).delete(clear_faults),
        )
        .route(
            "/_control/g2a/limit",
            get(show_limits).put(set_limit).delete(lift_limit),
        )
        .route(
            "/_control/g2a/accounts",
            get(list_accounts).put(put_account),
        )
        .route("/_control/g2a/accounts/{client_id}", delete(remove_account))
        .with_state(g2a)
}

async fn show_truth(
    State(g2a): State<Arc<G2a>>,
    RawQuery(query): RawQuery,
) -> Result<Response, InputError> {
    let asked = query_as_json(&query.unwrap_or_default());
    let mut fields = Fields::of(&asked, "")?;
    let hidden_too = match fields.text("out_of_stock")?.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            return Err(InputError::not_allowed(
                "out_of_stock",
                json!(other),
                "true or false",
            ));
        }
    };
    fields.finish()?;
    let filter = Filter {
        include_out_of_stock: hidden_too,
        ..Filter::default()
    };
    let start = (g2a.catalogue(), filter, 0);
    let lines = stream::unfold(start, |(catalogue, filter, position)| async move {
        let lines = truth_lines(&catalogue, &filter, position);
        if lines.is_empty() {
            return None;
        }
        Some((
            Ok::<_, Infallible>(lines),
            (catalogue, filter, position + TRUTH_CHUNK),
        ))
    });
    let head = [(CONTENT_TYPE, "application/x-ndjson")];
    Ok((head, Body::from_stream(lines)).into_response())
}

fn truth_lines(catalogue: &Catalogue, filter: &Filter, position: usize) -> Bytes {
    let mut lines = Vec::new();
    for product in catalogue.select(filter, position, TRUTH_CHUNK).rows {
        if let Err(error) = product.render(catalogue.seed, &mut lines) {
            tracing::error!(%error, "product {} cannot be rendered: {error}", product.id);
        }
        lines.push(b'\n');
    }
    lines.into()
}

async fn change_source(
    State(g2a): State<Arc<G2a>>,
    body: Bytes,
) -> Result<Json<Value>, InputError> {
    let json = parse_body(&body)?;
    let mut fields = Fields::of(&json, "")?;
    let most = 0..=MOST_PRODUCTS as u64;
    let size = |count: Option<u64>| usize::try_from(count.unwrap_or(0)).unwrap_or(usize::MAX);
    let change = Change {
        update: size(fields.number("update", most.clone())?),
        insert: size(fields.number("insert", most.clone())?),
        remove: size(fields.number("remove", most)?),
        seed: fields.number("seed", 0..=u64::MAX)?.unwrap_or(0),
        at: g2a.clock.now().wall.timestamp(),
    };
    fields.finish()?;
    // Held over the whole change, so that two changes at once do not lose one of them.
    let mut current = g2a
        .catalogue
        .write()
        .unwrap_or_else(PoisonError::into_inner);
    let visible = current.visible_count();
    let struck = change.update + change.remove;
    if struck > visible {
        let allowed = format!("together at most the {visible} products in stock");
        return Err(InputError::not_allowed(
            "update + remove",
            json!(struck),
            allowed,
        ));
    }
    let room = MOST_PRODUCTS.saturating_sub(current.count() - change.remove);
    if change.insert > room {
        let allowed = format!("at most {room}, then the catalogue is full");
        return Err(InputError::not_allowed(
            "insert",
            json!(change.insert),
            allowed,
        ));
    }
    let (next, changed) = current.changed(&change);
    let total = next.visible_count();
    *current = Arc::new(next);
    drop(current);
    let as_texts = |ids: &[u64]| ids.iter().map(u64::to_string).collect::<Vec<_>>();
    Ok(Json(json!({
        "inserted": as_texts(&changed.inserted),
        "updated": as_texts(&changed.updated),
        "removed": as_texts(&changed.removed),
        "total": total,
    })))
}

async fn show_faults(State(g2a): State<Arc<G2a>>) -> Json<Value> {
    Json(g2a.faults.show())
}

async fn replace_faults(
    State(g2a): State<Arc<G2a>>,
    body: Bytes,
) -> Result<Json<Value>, InputError> {
    g2a.faults
        .replace(FaultSettings::read(&parse_body(&body)?)?);
    Ok(Json(g2a.faults.show()))
}

async fn clear_faults(State(g2a): State<Arc<G2a>>) -> Json<Value> {
    g2a.faults.replace(FaultSettings::default());
    Json(g2a.faults.show())
}

async fn show_limits(State(g2a): State<Arc<G2a>>) -> Json<Limits> {
    Json(g2a.accounts.limits())
}

async fn set_limit(State(g2a): State<Arc<G2a>>, body: Bytes) -> Result<Json<Limits>, InputError> {
    let json = parse_body(&body)?;
    let mut fields = Fields::of(&json, "")?;
    let to_u32 = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let limit = CallLimit {
        calls: to_u32(fields.required_number("calls", 1..=1_000_000)?),
        window_ms: fields.required_number("window_ms", 1..=86_400_000)?,
        retry_after_s: fields.number("retry_after_s", 0..=86_400)?.map(to_u32),
    };
    let client_id = fields.word("client_id")?;
    fields.finish()?;
    apply_limit(&g2a, client_id, Some(limit))
}

async fn lift_limit(State(g2a): State<Arc<G2a>>, body: Bytes) -> Result<Json<Limits>, InputError> {
    let json = parse_body(&body)?;
    let mut fields = Fields::of(&json, "")?;
    let client_id = fields.word("client_id")?;
    fields.finish()?;
    apply_limit(&g2a, client_id, None)
}

fn apply_limit(
    g2a: &G2a,
    client_id: Option<String>,
    limit: Option<CallLimit>,
) -> Result<Json<Limits>, InputError> {
    if g2a.accounts.limit(client_id.as_deref(), limit) {
        return Ok(Json(g2a.accounts.limits()));
    }
    Err(unknown_account(g2a, client_id.unwrap_or_default()))
}

async fn list_accounts(State(g2a): State<Arc<G2a>>) -> Json<Value> {
    Json(json!({ "client_ids": g2a.accounts.client_ids() }))
}

async fn put_account(State(g2a): State<Arc<G2a>>, body: Bytes) -> Result<Json<Value>, InputError> {
    let json = parse_body(&body)?;
    let mut fields = Fields::of(&json, "")?;
    let account = G2aAccount {
        client_id: fields.required_word("client_id")?,
        email: fields.required_word("email")?,
        client_secret: fields.required_secret("client_secret")?,
    };
    fields.finish()?;
    if g2a.accounts.put(&account) {
        return Ok(Json(json!({ "client_ids": g2a.accounts.client_ids() })));
    }
    let allowed = "a registered client id: no further account fits";
    Err(InputError::not_allowed(
        "client_id",
        json!(account.client_id),
        allowed,
    ))
}

async fn remove_account(
    State(g2a): State<Arc<G2a>>,
    Path(client_id): Path<String>,
) -> Result<Json<Value>, InputError> {
    if g2a.accounts.remove(&client_id) {
        return Ok(Json(json!({ "client_ids": g2a.accounts.client_ids() })));
    }
    Err(unknown_account(&g2a, client_id))
}

fn unknown_account(g2a: &G2a, client_id: String) -> InputError {
    // A long register would drown the message.
    let some: Vec<String> = g2a.accounts.client_ids().into_iter().take(20).collect();
    let allowed = format!("a registered client id, such as {}", some.join(", "));
    InputError::not_allowed("client_id", Value::from(client_id), allowed)
}
