//! `AsyncRetriever`: records that a platform prepares as a job, which is created, asked for until it is done, and downloaded.
//!
//! A slice of such a stream has one job. What the platform answered to its creation is part of every position until the slice is
//! closed, so that whoever goes on asks for the same job instead of creating another one. Waiting is no part of the reader: a
//! wait that is longer than the slot allows ends the read, and the job is asked for again when the run comes back. While a slice's
//! job runs, those of the following slices may be created already, as many as the manifest allows at a time.

mod open;

use std::time::Duration;

use serde_json::{Map, Value};

pub(crate) use open::{Created, JobRead, JobState};

use crate::decode::Decoder;
use crate::expr::{EvalError, Place, Scope, Template, Val};
use crate::load::component::{Component, Problems};
use crate::record::Extractor;
use crate::request::value::{FieldError, at};
use crate::request::{Methods, Requester, url};

/// Jobs that a slice gets before it is given up; the language's number.
pub(crate) const MOST_JOBS: u32 = 3;
/// How long a job may take if the manifest does not say; the language's number.
const LANGUAGE_TIMEOUT: Duration = Duration::from_hours(1);
/// Bytes of an answer to a job's creation that a position may hold.
pub(crate) const MOST_STORED: usize = 64 * 1024;
/// The most jobs at a time that a manifest may ask for.
pub(crate) const MOST_AT_A_TIME: u64 = 100;

/// The requests around a job.
#[derive(Debug, Clone)]
pub(crate) struct JobPlan {
    pub(crate) creation: Requester,
    pub(crate) polling: Requester,
    pub(crate) targets: Option<Requester>,
    pub(crate) abort: Option<Requester>,
    pub(crate) delete: Option<Requester>,
    /// Of the answers of all of them.
    pub(crate) decoder: Decoder,
    pub(crate) status: Extractor,
    pub(crate) target: Option<Extractor>,
    statuses: Vec<(String, Status)>,
    timeout: Option<Template>,
    retry_wait: Option<Template>,
    /// `max_concurrent_async_job_count` of the manifest.
    at_a_time: Option<Template>,
    /// An expression reads headers of the answer to the creation, so that they are stored with it.
    keeps_headers: bool,
}

/// What a platform says of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Running,
    Completed,
    Failed,
    TimedOut,
    /// There is nothing to be read.
    Skipped,
}

impl JobPlan {
    /// The fields of an `AsyncRetriever` besides those that its download shares with other retrievers.
    pub(crate) fn load(retriever: &Component<'_>, problems: &mut Problems) -> Option<JobPlan> {
        let mut optional = |name: &str, place: Place| match retriever.get(name) {
            None => Some(None),
            Some(_) => {
                Requester::load_field(retriever, name, place, Methods::Any, problems).map(Some)
            }
        };
        let targets = optional("download_target_requester", Place::JOB_DONE);
        let abort = optional("abort_requester", Place::JOB);
        let delete = optional("delete_requester", Place::JOB);
        let (usual, place) = (Methods::Usual, Place::JOB);
        let creation = Requester::load_field(
            retriever,
            "creation_requester",
            Place::REQUEST,
            usual,
            problems,
        );
        let polling = Requester::load_field(retriever, "polling_requester", place, usual, problems);
        let decoder = Decoder::load(retriever, "decoder", problems);
        let target = match retriever.get("download_target_extractor") {
            None => Some(None),
            Some(_) => load_extractor(retriever, "download_target_extractor", problems).map(Some),
        };
        if retriever.get("download_target_requester").is_some()
            && retriever.get("download_target_extractor").is_none()
        {
            retriever.missing("download_target_extractor", problems);
        }
        if retriever.get("status_extractor").is_none() {
            retriever.missing("status_extractor", problems);
        }
        let status = load_extractor(retriever, "status_extractor", problems);
        let statuses = load_statuses(retriever, problems);
        let number = |name: &str, problems: &mut Problems| {
            let template = retriever.template(name, Place::CONFIG, problems);
            let constant = template.as_ref().and_then(Template::constant);
            if constant.is_some_and(|text| text.trim().parse::<u64>().is_err()) {
                problems.add(retriever.path_of(name), "a whole number is needed here");
            }
            template
        };
        let timeout = number("polling_job_timeout", problems);
        let retry_wait = number("failed_retry_wait_time_in_seconds", problems);
        Some(JobPlan {
            creation: creation?,
            polling: polling?,
            targets: targets?,
            abort: abort?,
            delete: delete?,
            decoder: decoder?,
            status: status?,
            target: target?,
            statuses: statuses?,
            timeout,
            retry_wait,
            at_a_time: None,
            keeps_headers: reads_creation_headers(retriever),
        })
    }

    /// Sets how many jobs of the stream may run at a time.
    pub(crate) fn limit(&mut self, at_a_time: Option<Template>) {
        self.at_a_time = at_a_time;
    }

    /// What a status of the platform means.
    pub(crate) fn status_of(&self, status: Option<&Value>) -> Result<Status, String> {
        let text = status.map_or_else(|| "None".to_owned(), url::text_of);
        let known = self.statuses.iter().find(|(known, _)| *known == text);
        known.map(|(_, status)| *status).ok_or_else(|| {
            let known: Vec<&str> = self.statuses.iter().map(|(name, _)| name.as_str()).collect();
            format!(
                "the platform gives its job the status \"{text}\", which the status_mapping does not have; it has: {}",
                known.join(", ")
            )
        })
    }

    /// How long a job may take.
    pub(crate) fn timeout(&self, scope: &Scope<'_>) -> Result<Duration, FieldError> {
        let minutes = number_of(self.timeout.as_ref(), scope)?;
        let stated = minutes.map(|minutes| Duration::from_secs(minutes.saturating_mul(60)));
        Ok(stated.unwrap_or(LANGUAGE_TIMEOUT))
    }

    /// How long to wait before a job that the platform gave up is created again.
    pub(crate) fn retry_wait(&self, scope: &Scope<'_>) -> Result<Option<Duration>, FieldError> {
        Ok(number_of(self.retry_wait.as_ref(), scope)?.map(Duration::from_secs))
    }

    /// How many jobs of the stream may run at a time.
    pub(crate) fn at_a_time(&self, scope: &Scope<'_>) -> Result<usize, FieldError> {
        let stated = number_of(self.at_a_time.as_ref(), scope)?.unwrap_or(1);
        Ok(usize::try_from(stated.min(MOST_AT_A_TIME)).unwrap_or(1))
    }

    /// What is kept of the answer to a creation; `Err` says why it cannot be kept.
    pub(crate) fn stored(&self, body: Value, headers: &Value) -> Result<Value, String> {
        let stored = if self.keeps_headers {
            with_headers(body, headers)
        } else {
            body
        };
        let size = stored.to_string().len();
        if size > MOST_STORED {
            return Err(format!(
                "the answer to the job's creation has {size} bytes; at most {MOST_STORED} can be stored with the read's position"
            ));
        }
        Ok(stored)
    }
}

/// An answer with its headers, as expressions see both.
pub(crate) fn with_headers(body: Value, headers: &Value) -> Value {
    let (Value::Object(mut members), Value::Object(headers)) = (body.clone(), headers) else {
        return body;
    };
    let is_plain = |name: &str| !["set-cookie", "authorization"].contains(&name);
    let kept: Map<String, Value> = headers
        .iter()
        .filter(|(name, _)| is_plain(&name.to_ascii_lowercase()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    members
        .entry("headers")
        .or_insert_with(|| Value::Object(kept));
    Value::Object(members)
}

fn number_of(template: Option<&Template>, scope: &Scope<'_>) -> Result<Option<u64>, FieldError> {
    let Some(template) = template else {
        return Ok(None);
    };
    let value = template
        .evaluate(scope)
        .map_err(|error| at(template, error))?;
    let Some(number) = value
        .as_ref()
        .and_then(Val::as_json)
        .filter(|value| !value.is_null())
    else {
        return Ok(None);
    };
    let Some(whole) = number.as_u64() else {
        let message = format!("a whole number is needed, this is {number}");
        return Err(at(template, EvalError::Value(message)));
    };
    // The language takes 0 for a number that is not there.
    Ok((whole > 0).then_some(whole))
}

pub(crate) fn load_extractor(
    component: &Component<'_>,
    name: &str,
    problems: &mut Problems,
) -> Option<Extractor> {
    let extractor = component.child(name, &["DpathExtractor"], problems)?;
    Extractor::load(&extractor, problems)
}

fn load_statuses(
    retriever: &Component<'_>,
    problems: &mut Problems,
) -> Option<Vec<(String, Status)>> {
    if retriever.get("status_mapping").is_none() {
        retriever.missing("status_mapping", problems);
    }
    let mapping = retriever.child("status_mapping", &["AsyncJobStatusMap"], problems)?;
    mapping.refuse(&[], &[], problems);
    let kinds = [
        ("running", Status::Running),
        ("completed", Status::Completed),
        ("failed", Status::Failed),
        ("timeout", Status::TimedOut),
        ("skipped", Status::Skipped),
    ];
    let mut statuses: Vec<(String, Status)> = Vec::new();
    for (kind, status) in kinds {
        if mapping.get(kind).is_none() {
            if status != Status::Skipped {
                mapping.missing(kind, problems);
            }
            continue;
        }
        for name in mapping.texts(kind, problems) {
            if statuses.iter().any(|(known, _)| *known == name) {
                let message = format!("the status \"{name}\" stands in the mapping twice");
                problems.add(mapping.path_of(kind), message);
            }
            statuses.push((name, status));
        }
    }
    Some(statuses)
}

/// Whether an expression of the retriever reads `creation_response` and, right behind it, its headers.
fn reads_creation_headers(retriever: &Component<'_>) -> bool {
    let text = Value::Object(retriever.fields.clone()).to_string();
    text.split("creation_response").skip(1).any(|behind| {
        let near: String = behind.chars().take(16).collect();
        near.contains("headers")
    })
}
