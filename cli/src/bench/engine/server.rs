//! The server that both sides read from: pages of records that are made on the spot, the same for everybody.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use axum::extract::Query;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// Records of a page.
pub(super) const PAGE_SIZE: u64 = 1_000;
/// Days over which the records are spread; a slice of the cursor is a day.
pub(super) const DAYS: u64 = 10;
/// One record of so many is marked as deleted, and filtered out where there is a filter.
pub(super) const DELETED_EVERY: u64 = 10;

/// Answers `/records?records=N&page=P`, with `since=<day>` only those of that day. Stops when it is dropped.
pub(super) struct RecordServer {
    url: String,
    _task: AbortOnDropHandle<()>,
}

impl RecordServer {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let routes = axum::Router::new().route("/records", get(page));
        let task = tokio::spawn(async move {
            // It ends with the task.
            axum::serve(listener, routes).await.ok();
        });
        Ok(Self {
            url,
            _task: AbortOnDropHandle::new(task),
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

async fn page(Query(asked): Query<HashMap<String, String>>) -> impl IntoResponse {
    let number = |name: &str| asked.get(name).and_then(|text| text.parse::<u64>().ok());
    let records = number("records").unwrap_or(0);
    // "2026-01-05T00:00:00Z" is the fifth day.
    let day = asked
        .get("since")
        .and_then(|since| since.get(8..10)?.parse::<u64>().ok());
    let (first, end) = match day {
        Some(day) => ((day - 1) * records / DAYS, day * records / DAYS),
        None => (0, records),
    };
    let from = first + number("page").unwrap_or(0) * PAGE_SIZE;
    let until = end.min(from + PAGE_SIZE);
    let mut body = String::with_capacity(400 * 1_000);
    body.push_str("{\"data\":[");
    for id in from..until {
        if id > from {
            body.push(',');
        }
        write_record(&mut body, id, records);
    }
    body.push_str("]}");
    ([(CONTENT_TYPE, "application/json")], body)
}

/// Some 330 bytes, with numbers as texts and texts as numbers, as platforms have them.
fn write_record(body: &mut String, id: u64, records: u64) {
    let day = id * DAYS / records + 1;
    let (hour, minute, second) = (id / 3600 % 24, id / 60 % 60, id % 60);
    let status = if id.is_multiple_of(DELETED_EVERY) {
        "deleted"
    } else {
        "active"
    };
    let written = write!(
        body,
        "{{\"id\":{id},\"uuid\":\"5f0c2d1e-7b1a-4c55-9a53-{id:012x}\",\"name\":\"Campaign number {id} of the spring\",\
         \"status\":\"{status}\",\"amount\":{}.{:02},\"price\":\"{}.50\",\"quantity\":\"{}\",\"is_paused\":{},\
         \"owner\":{{\"id\":{},\"email\":\"person{}@example.com\"}},\"tags\":[\"alpha\",\"beta\",\"gamma\"],\
         \"created_at\":\"2025-11-03T08:15:30Z\",\"updated_at\":\"2026-01-{day:02}T{hour:02}:{minute:02}:{second:02}Z\"}}",
        id % 997,
        id % 100,
        id % 500,
        id % 50,
        id.is_multiple_of(3),
        id % 77,
        id % 77,
    );
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}
