//! The job of the slice that is being read, and those of the slices that follow: how far they are, and what a position holds of
//! them.

use std::collections::VecDeque;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value};

/// A job that the platform has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Created {
    /// What the platform answered when it was created.
    pub(crate) response: Value,
    /// When that was.
    pub(crate) at: DateTime<Utc>,
}

/// How far the job of the open slice is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum JobState {
    /// It is to be created, not before this moment.
    Wanted(Option<DateTime<Utc>>),
    /// The platform is at work, as far as is known.
    Created(Created),
    /// It is done, and is being downloaded.
    Done {
        created: Created,
        /// The answer that said so.
        polling: Value,
        /// What there is to be downloaded.
        targets: Vec<Value>,
    },
}

/// The jobs of a stream, or of a partition, during a read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JobRead {
    pub(crate) state: JobState,
    /// Jobs that were created for the open slice.
    pub(crate) count: u32,
    /// Which target is being downloaded.
    pub(crate) target: usize,
    /// The jobs of the slices that follow, in their order.
    pub(crate) ahead: VecDeque<Created>,
}

impl JobRead {
    /// Nothing is created yet.
    pub(crate) fn new() -> JobRead {
        JobRead {
            state: JobState::Wanted(None),
            count: 0,
            target: 0,
            ahead: VecDeque::new(),
        }
    }

    /// From what a position holds.
    pub(crate) fn of_position(position: &Value) -> JobRead {
        let mut jobs = JobRead::new();
        let ahead = position.get("ahead").and_then(Value::as_array);
        jobs.ahead
            .extend(ahead.into_iter().flatten().filter_map(Created::read));
        let Some(stored) = position.get("job") else {
            return jobs;
        };
        let number = |name: &str| stored.get(name).and_then(Value::as_u64);
        jobs.count = number("count")
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(0);
        jobs.target = number("target")
            .and_then(|target| usize::try_from(target).ok())
            .unwrap_or(0);
        jobs.state = match Created::read(stored) {
            Some(created) => JobState::Created(created),
            None => JobState::Wanted(moment(stored, "not_before")),
        };
        jobs
    }

    /// What a position has to hold.
    pub(crate) fn position(&self) -> Map<String, Value> {
        let mut job = Map::new();
        match &self.state {
            JobState::Wanted(None) => {}
            JobState::Wanted(Some(not_before)) => {
                job.insert("not_before".to_owned(), written(*not_before));
            }
            JobState::Created(created) | JobState::Done { created, .. } => created.write(&mut job),
        }
        if self.count > 0 {
            job.insert("count".to_owned(), Value::from(self.count));
        }
        if self.target > 0 {
            job.insert("target".to_owned(), Value::from(self.target));
        }
        let mut position = Map::new();
        if !job.is_empty() {
            position.insert("job".to_owned(), Value::Object(job));
        }
        if !self.ahead.is_empty() {
            let ahead = self.ahead.iter().map(|created| {
                let mut members = Map::new();
                created.write(&mut members);
                Value::Object(members)
            });
            position.insert("ahead".to_owned(), ahead.collect());
        }
        position
    }

    /// The answer to the job's creation.
    pub(crate) fn creation(&self) -> Option<&Value> {
        match &self.state {
            JobState::Wanted(_) => None,
            JobState::Created(created) | JobState::Done { created, .. } => Some(&created.response),
        }
    }

    /// The answer that said that the job is done.
    pub(crate) fn polling(&self) -> Option<&Value> {
        match &self.state {
            JobState::Done { polling, .. } => Some(polling),
            _ => None,
        }
    }

    /// What is being downloaded.
    pub(crate) fn download_target(&self) -> Option<&Value> {
        match &self.state {
            JobState::Done { targets, .. } => targets.get(self.target),
            _ => None,
        }
    }

    /// Goes to the next target; false if there is none.
    pub(crate) fn advance_target(&mut self) -> bool {
        let JobState::Done { targets, .. } = &self.state else {
            return false;
        };
        if self.target + 1 >= targets.len() {
            return false;
        }
        self.target += 1;
        true
    }

    /// The jobs after the open slice is closed.
    pub(crate) fn of_next_slice(mut self) -> JobRead {
        let next = self.ahead.pop_front();
        JobRead {
            count: u32::from(next.is_some()),
            state: next.map_or(JobState::Wanted(None), JobState::Created),
            target: 0,
            ahead: self.ahead,
        }
    }
}

impl Created {
    fn read(stored: &Value) -> Option<Created> {
        Some(Created {
            response: stored.get("response")?.clone(),
            at: moment(stored, "at")?,
        })
    }

    fn write(&self, members: &mut Map<String, Value>) {
        members.insert("response".to_owned(), self.response.clone());
        members.insert("at".to_owned(), written(self.at));
    }
}

fn moment(stored: &Value, name: &str) -> Option<DateTime<Utc>> {
    let text = stored.get(name)?.as_str()?;
    Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
}

fn written(moment: DateTime<Utc>) -> Value {
    Value::String(moment.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn jobs_read_back_as_they_were_stored() {
        assert_eq!(JobRead::new().position(), Map::new());
        let created = |id: u32| Created {
            response: json!({ "id": id }),
            at: DateTime::UNIX_EPOCH,
        };
        let mut jobs = JobRead {
            state: JobState::Created(created(1)),
            count: 2,
            target: 3,
            ahead: VecDeque::from([created(7), created(8)]),
        };
        let position = Value::Object(jobs.position());
        assert_eq!(JobRead::of_position(&position), jobs);
        jobs.state = JobState::Done {
            created: created(1),
            polling: json!({"secret": "url"}),
            targets: vec![json!("u")],
        };
        assert_eq!(Value::Object(jobs.position()), position);
        let next = jobs.of_next_slice();
        assert_eq!(next.state, JobState::Created(created(7)));
        assert_eq!((next.count, next.target, next.ahead.len()), (1, 0, 1));
        let wanted = JobRead {
            state: JobState::Wanted(Some(DateTime::UNIX_EPOCH)),
            count: 1,
            ..JobRead::new()
        };
        let position = Value::Object(wanted.position());
        assert_eq!(JobRead::of_position(&position), wanted);
    }
}
