//! `/runs`: all runs, newest first, with filters that stay in the address.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use syncline_shared::db::history::{RunFilter, list_runs};
use syncline_shared::db::{self, DbConnection, business, connection, schedule};
use syncline_shared::ids::RunId;
use syncline_shared::run::RunStatus;
use url::form_urlencoded;

use super::badge::Badge;
use super::run_row::{RunRow, StartedBy};
use super::visitor::{Frame, Visitor};
use crate::error::{ApiError, ApiResult};
use crate::extract::Params;
use crate::state::AppState;
use syncline_shared::db::overview;

/// Runs of a page.
const PAGE: i64 = 50;
/// Names offered in the fields of the filter.
const SUGGESTED: i64 = 200;

#[derive(Debug, Template)]
#[template(path = "runs.html")]
struct RunsPage {
    frame: Frame,
    asked: Asked,
    statuses: Vec<StatusOption>,
    platforms: Vec<String>,
    connections: Vec<String>,
    businesses: Vec<String>,
    /// Names in the filter that name nothing.
    problems: Vec<String>,
    runs: Vec<RunRow>,
    newer: Option<String>,
    older: Option<String>,
}

/// The filter as it was given.
#[derive(Debug, Default)]
struct Asked {
    status: Option<String>,
    platform: Option<String>,
    connection: Option<String>,
    business: Option<String>,
    schedule: Option<String>,
    /// A batch, named by its id; with its schedule, if it is one's.
    batch: Option<String>,
}

#[derive(Debug)]
struct StatusOption {
    value: String,
    word: &'static str,
    chosen: bool,
}

/// A filter that can be taken away.
#[derive(Debug)]
struct Chip {
    name: &'static str,
    value: String,
    without: String,
}

/// Which way from which run.
#[derive(Debug, Clone, Copy)]
enum Turn {
    Newest,
    OlderThan(RunId),
    NewerThan(RunId),
}

/// A page of runs.
pub(super) async fn list(
    visitor: Visitor,
    State(state): State<AppState>,
    mut params: Params,
) -> ApiResult<Response> {
    let statuses = params.words::<RunStatus>("status");
    let asked = Asked {
        status: params.text("status"),
        platform: params.text("platform"),
        connection: params.text("connection"),
        business: params.text("business"),
        schedule: params.text("schedule"),
        batch: params.text("batch"),
    };
    let turn = turn(params.text("newer_than"), params.text("older_than"))?;
    params.finish()?;

    let mut db = state.database.session().await?;
    let now = db::now(&mut db).await?;
    let mut filter = RunFilter {
        statuses,
        platform: asked.platform.clone(),
        ..RunFilter::default()
    };
    let problems = resolve(&mut db, &asked, &mut filter).await?;
    let (mut found, mut has_newer, mut has_older) = (Vec::new(), false, false);
    if problems.is_empty() {
        has_newer = turn_to(&mut db, turn, &mut filter).await?;
        found = list_runs(&mut db, &filter, PAGE + 1).await?;
        let shown = usize::try_from(PAGE).unwrap_or(usize::MAX);
        has_older = found.len() > shown;
        found.truncate(shown);
    }
    let link = |way: &str, id: RunId| asked.address(None, Some((way, &id.to_string())));
    let newer = found
        .first()
        .filter(|_| has_newer)
        .map(|run| link("newer_than", run.id));
    let older = found
        .last()
        .filter(|_| has_older)
        .map(|run| link("older_than", run.id));
    let page = RunsPage {
        frame: visitor.frame("Runs", "runs", now),
        statuses: status_options(asked.status.as_deref()),
        platforms: state
            .catalog
            .all()
            .map(|one| one.platform().to_owned())
            .collect(),
        connections: suggested_connections(&mut db).await?,
        businesses: suggested_businesses(&mut db).await?,
        asked,
        problems,
        runs: found.into_iter().map(|run| RunRow::new(run, now)).collect(),
        newer,
        older,
    };
    super::html(&page)
}

fn turn(newer_than: Option<String>, older_than: Option<String>) -> ApiResult<Turn> {
    let id = |text: &str| {
        text.parse::<RunId>()
            .map_err(|_| ApiError::BadRequest(format!("{text:?} is no run's id")))
    };
    match (newer_than, older_than) {
        (Some(newest), _) => id(&newest).map(Turn::NewerThan),
        (None, Some(oldest)) => id(&oldest).map(Turn::OlderThan),
        (None, None) => Ok(Turn::Newest),
    }
}

/// Sets where the page begins. True if there are newer runs than it shows.
async fn turn_to(db: &mut DbConnection, turn: Turn, filter: &mut RunFilter) -> ApiResult<bool> {
    match turn {
        Turn::Newest => Ok(false),
        Turn::OlderThan(id) => {
            filter.before = Some(id);
            Ok(true)
        }
        Turn::NewerThan(id) => {
            // The run after the page's newest one bounds it; if there is none, the page is the first.
            let newer = overview::list_newer_ids(db, filter, id, PAGE + 1).await?;
            let bound = usize::try_from(PAGE).ok().and_then(|at| newer.get(at));
            filter.before = bound.copied();
            Ok(bound.is_some())
        }
    }
}

async fn resolve(
    db: &mut DbConnection,
    asked: &Asked,
    filter: &mut RunFilter,
) -> ApiResult<Vec<String>> {
    let mut problems = Vec::new();
    if let Some(name) = &asked.business {
        filter.business = business::find(db, name).await?.map(|found| found.id);
        if filter.business.is_none() {
            problems.push(format!("There is no business with the key “{name}”"));
        }
    }
    if let Some(name) = &asked.connection {
        filter.connection = connection::find(db, name).await?.map(|found| found.id);
        if filter.connection.is_none() {
            problems.push(format!("There is no connection with the key “{name}”"));
        }
    }
    if let Some(name) = &asked.schedule {
        filter.schedule = schedule::find(db, name).await?.map(|found| found.id);
        if filter.schedule.is_none() {
            problems.push(format!("There is no schedule with the key “{name}”"));
        }
    }
    if let Some(id) = &asked.batch {
        filter.batch = id.parse().ok();
        if filter.batch.is_none() {
            problems.push(format!("There is no batch with the id “{id}”"));
        }
    }
    Ok(problems)
}

async fn suggested_connections(db: &mut DbConnection) -> ApiResult<Vec<String>> {
    let found = connection::list(db, None, None, None, SUGGESTED).await?;
    Ok(found.into_iter().map(|connection| connection.key).collect())
}

async fn suggested_businesses(db: &mut DbConnection) -> ApiResult<Vec<String>> {
    let found = business::list(db, None, SUGGESTED).await?;
    Ok(found.into_iter().map(|business| business.key).collect())
}

fn status_options(asked: Option<&str>) -> Vec<StatusOption> {
    let groups = [
        ("failed,partial", "Failed or partial"),
        ("queued,running,waiting,retrying", "Not finished"),
    ];
    let groups = groups.map(|(value, word)| (value.to_owned(), word));
    let each = RunStatus::ALL
        .iter()
        .map(|status| (status.to_string(), Badge::from(*status).word));
    let option = |(value, word): (String, &'static str)| StatusOption {
        chosen: asked == Some(value.as_str()),
        value,
        word,
    };
    groups.into_iter().chain(each).map(option).collect()
}

impl Asked {
    fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("status", &self.status),
            ("platform", &self.platform),
            ("connection", &self.connection),
            ("business", &self.business),
            ("schedule", &self.schedule),
            ("batch", &self.batch),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }

    /// The address of this filter, without one part of it or with a turn of the page.
    fn address(&self, without: Option<&str>, turn: Option<(&str, &str)>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.given().filter(|(name, _)| Some(*name) != without));
        query.extend_pairs(turn);
        let query = query.finish();
        if query.is_empty() {
            "/runs".to_owned()
        } else {
            format!("/runs?{query}")
        }
    }

    fn chips(&self) -> Vec<Chip> {
        self.given()
            .map(|(name, value)| Chip {
                name,
                value: value.replace(',', ", "),
                without: self.address(Some(name), None),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_stays_in_the_address() {
        let asked = Asked {
            status: Some("failed,partial".to_owned()),
            connection: Some("a&b".to_owned()),
            ..Asked::default()
        };
        assert_eq!(
            asked.address(None, Some(("older_than", "x"))),
            "/runs?status=failed%2Cpartial&connection=a%26b&older_than=x"
        );
        let chips = asked.chips();
        assert_eq!(chips[0].without, "/runs?connection=a%26b");
        assert_eq!(chips[1].without, "/runs?status=failed%2Cpartial");
        assert_eq!(Asked::default().address(None, None), "/runs");
    }
}
