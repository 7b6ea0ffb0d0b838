//! `/connections`: the accounts that are synced, how they did last, and how old their data is.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use syncline_shared::db;
use syncline_shared::db::connection::{self, Connection};
use syncline_shared::ids::ConnectionId;
use syncline_shared::run::RunStatus;

use super::badge::{Badge, DISABLED, NEEDS_YOU, NEW, SYNCING, UP_TO_DATE};
use super::format::list as list_words;
use super::moment::Moment;
use super::visitor::{Frame, Visitor};
use crate::error::ApiResult;
use crate::extract::Params;
use crate::page::PageRequest;
use crate::state::AppState;
use syncline_shared::db::overview::{self, ConnectionState};

#[derive(Debug, Template)]
#[template(path = "connections.html")]
struct ConnectionsPage {
    frame: Frame,
    /// Only this one is shown.
    only: Option<String>,
    connections: Vec<ConnectionLine>,
    /// The address of the next page.
    more: Option<String>,
    /// True if this is not the first page.
    is_later_page: bool,
}

#[derive(Debug)]
struct ConnectionLine {
    key: String,
    name: String,
    platform: String,
    business: String,
    streams: String,
    badge: Badge,
    /// Its latest error.
    problem: Option<String>,
    /// The run that is under way or queued.
    present: Option<RunLink>,
    /// The run that ended last.
    last: Option<RunLink>,
    fresh: Option<Moment>,
    enabled: bool,
}

#[derive(Debug)]
struct RunLink {
    id: String,
    badge: Badge,
    at: Option<Moment>,
}

/// A page of connections in the order of their keys, or one of them.
pub(super) async fn list(
    visitor: Visitor,
    State(state): State<AppState>,
    mut params: Params,
) -> ApiResult<Response> {
    let only = params.text("key");
    let page = PageRequest::read(&mut params);
    params.finish()?;
    let mut db = state.database.session().await?;
    let now = db::now(&mut db).await?;
    let found = match &only {
        Some(key) => Vec::from_iter(connection::find(&mut db, key).await?),
        None => connection::list(&mut db, None, None, page.after.as_deref(), page.fetch()).await?,
    };
    let shown = page.page(
        found,
        |connection| connection.key.clone(),
        |connection| connection,
    );
    let ids: Vec<ConnectionId> = shown.data.iter().map(|connection| connection.id).collect();
    let states = overview::list_connection_states(&mut db, &ids).await?;
    let line = |connection: Connection| {
        let found = states
            .iter()
            .find(|found| found.connection_id == connection.id);
        line(&state, connection, found, now)
    };
    let page = ConnectionsPage {
        frame: visitor.frame("Connections", "connections", now),
        only,
        connections: shown.data.into_iter().map(line).collect(),
        more: shown
            .next_cursor
            .map(|cursor| format!("/connections?cursor={cursor}")),
        is_later_page: page.after.is_some(),
    };
    super::html(&page)
}

fn line(
    state: &AppState,
    connection: Connection,
    found: Option<&ConnectionState>,
    now: DateTime<Utc>,
) -> ConnectionLine {
    let ended_badly =
        found.filter(|found| matches!(found.last, Some(RunStatus::Failed | RunStatus::Partial)));
    ConnectionLine {
        badge: badge(connection.enabled, found),
        problem: ended_badly.and_then(|found| found.last_error.clone()),
        present: found.and_then(|found| {
            let (id, status) = found.present_id.zip(found.present)?;
            Some(RunLink {
                id: id.to_string(),
                badge: status.into(),
                at: None,
            })
        }),
        last: found.and_then(|found| {
            let (id, status) = found.last_id.zip(found.last)?;
            Some(RunLink {
                id: id.to_string(),
                badge: status.into(),
                at: found.last_at.map(|at| Moment::new(at, now)),
            })
        }),
        fresh: found
            .and_then(|found| found.fresh_at)
            .map(|at| Moment::new(at, now)),
        streams: streams(state, &connection),
        enabled: connection.enabled,
        key: connection.key,
        name: connection.name,
        platform: connection.platform,
        business: connection.business_key,
    }
}

/// What can be done about it comes first, then what is under way, then how it did last.
fn badge(enabled: bool, found: Option<&ConnectionState>) -> Badge {
    if !enabled {
        return DISABLED;
    }
    let Some(found) = found else {
        return NEW;
    };
    match (found.present, found.last) {
        _ if found.needs_person() => NEEDS_YOU,
        (Some(RunStatus::Running), _) => SYNCING,
        (Some(RunStatus::Retrying), _) => RunStatus::Retrying.into(),
        (_, Some(status @ (RunStatus::Failed | RunStatus::Partial))) => status.into(),
        (_, Some(_)) if found.fresh_at.is_some() => UP_TO_DATE,
        (Some(status), _) => status.into(),
        _ => NEW,
    }
}

fn streams(state: &AppState, connection: &Connection) -> String {
    if let Some(chosen) = &connection.streams {
        return list_words(chosen);
    }
    let connector = state.catalog.find(&connection.platform);
    let names = connector.map(|connector| {
        let streams = connector.streams().iter();
        streams
            .map(|stream| stream.name.clone())
            .collect::<Vec<_>>()
    });
    match names {
        Some(names) if names.len() <= 3 => list_words(&names),
        Some(names) => format!("all {}", names.len()),
        None => "all; its connector is missing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn state(present: Option<RunStatus>, last: Option<RunStatus>) -> ConnectionState {
        ConnectionState {
            connection_id: ConnectionId(Uuid::nil()),
            present_id: None,
            present,
            last_id: None,
            last,
            last_at: None,
            last_kind: None,
            last_error: None,
            fresh_at: last.map(|_| "2026-01-01T12:00:00Z".parse().unwrap()),
        }
    }

    #[test]
    fn what_a_person_must_do_comes_first() {
        let mut found = state(Some(RunStatus::Running), Some(RunStatus::Failed));
        assert_eq!(badge(true, Some(&found)), SYNCING);
        found.last_kind = Some("needs_person".to_owned());
        assert_eq!(badge(true, Some(&found)), NEEDS_YOU);
        assert_eq!(badge(false, Some(&found)), DISABLED);
    }

    #[test]
    fn a_connection_that_waits_its_turn_is_still_up_to_date() {
        let found = state(Some(RunStatus::Queued), Some(RunStatus::Succeeded));
        assert_eq!(badge(true, Some(&found)), UP_TO_DATE);
        let first = state(Some(RunStatus::Queued), None);
        assert_eq!(badge(true, Some(&first)), RunStatus::Queued.into());
        assert_eq!(badge(true, None), NEW);
    }
}
