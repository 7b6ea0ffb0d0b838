//! `/connections`: the accounts that are synced, how they did last, and how old their data is.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use syncline_shared::db;
use syncline_shared::db::connection::{self, Connection};
use syncline_shared::db::pause::{Pause, PauseScope, list_pauses};
use syncline_shared::ids::ConnectionId;
use syncline_shared::run::RunStatus;

use super::badge::{Badge, DISABLED, NEEDS_YOU, NEW, PAUSED, SYNCING, UP_TO_DATE};
use super::format::list as list_words;
use super::moment::Moment;
use super::pauses::PauseLine;
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
    /// Why it rests.
    pause: Option<PauseLine>,
    /// True if its own pause can be lifted, false if it can be paused.
    is_paused_itself: bool,
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
    let pauses = list_pauses(&mut db).await?;
    let line = |connection: Connection| {
        let found = states
            .iter()
            .find(|found| found.connection_id == connection.id);
        line(&state, connection, found, &pauses, now)
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
    pauses: &[Pause],
    now: DateTime<Utc>,
) -> ConnectionLine {
    let own = pauses
        .iter()
        .find(|pause| pause.scope == PauseScope::Connection && pause.target == connection.key);
    // Its own pause first: it is the one that can be lifted here.
    let pause = own.or_else(|| pauses.iter().find(|pause| covers(pause, &connection)));
    let ended_badly =
        found.filter(|found| matches!(found.last, Some(RunStatus::Failed | RunStatus::Partial)));
    ConnectionLine {
        badge: badge(connection.enabled, pause.is_some(), found),
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
        pause: pause.map(|pause| PauseLine::new(pause, now)),
        is_paused_itself: own.is_some(),
        key: connection.key,
        name: connection.name,
        platform: connection.platform,
        business: connection.business_key,
    }
}

/// True if a pause of something wider holds the connection back.
fn covers(pause: &Pause, connection: &Connection) -> bool {
    match pause.scope {
        PauseScope::Everything => true,
        PauseScope::Platform => pause.target == connection.platform,
        PauseScope::Business => pause.target == connection.business_key,
        PauseScope::Connection => pause.target == connection.key,
    }
}

/// What can be done about it comes first, then what is under way, then how it did last.
fn badge(enabled: bool, paused: bool, found: Option<&ConnectionState>) -> Badge {
    if !enabled {
        return DISABLED;
    }
    let Some(found) = found else {
        return if paused { PAUSED } else { NEW };
    };
    match (found.present, found.last) {
        _ if found.needs_person() => NEEDS_YOU,
        (Some(RunStatus::Running), _) => SYNCING,
        _ if paused => PAUSED,
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
        assert_eq!(badge(true, false, Some(&found)), SYNCING);
        found.last_kind = Some("needs_person".to_owned());
        assert_eq!(badge(true, false, Some(&found)), NEEDS_YOU);
        assert_eq!(badge(false, false, Some(&found)), DISABLED);
    }

    #[test]
    fn a_connection_that_rests_says_so_unless_a_person_must_act() {
        let mut found = state(Some(RunStatus::Waiting), Some(RunStatus::Succeeded));
        assert_eq!(badge(true, true, Some(&found)), PAUSED);
        assert_eq!(badge(true, true, None), PAUSED);
        found.last = Some(RunStatus::Failed);
        found.last_kind = Some("needs_person".to_owned());
        assert_eq!(badge(true, true, Some(&found)), NEEDS_YOU);
    }

    #[test]
    fn a_connection_that_waits_its_turn_is_still_up_to_date() {
        let found = state(Some(RunStatus::Queued), Some(RunStatus::Succeeded));
        assert_eq!(badge(true, false, Some(&found)), UP_TO_DATE);
        let first = state(Some(RunStatus::Queued), None);
        assert_eq!(badge(true, false, Some(&first)), RunStatus::Queued.into());
        assert_eq!(badge(true, false, None), NEW);
    }
}
