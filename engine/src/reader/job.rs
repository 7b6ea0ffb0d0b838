//! The way of a slice's job: created, asked for, given up or downloaded.
//!
//! Whatever must survive this reader (that a job was created, that one was given up) is handed out as a page without records,
//! whose position says so, before anything else is asked.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::exchange::Question;
use super::page::{Contents, tears_down};
use super::{StreamReader, failure_of};
use crate::decode::Decoder;
use crate::error::ReadError;
use crate::expr::Scope;
use crate::incremental::CursorRead;
use crate::job::{Created, JobPlan, JobState, MOST_JOBS, Status, with_headers};
use crate::load::model::Stream;
use crate::page::{Page, PageSlice};
use crate::request::BuildError;
use crate::request::received::Received;
use crate::request::value::FieldError;

/// The shortest and the longest wait between two questions for a job's status. In between it grows with the job's age.
const SHORTEST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_mins(1);

impl StreamReader {
    /// Does what is to be done before the open slice can be downloaded. A page is to be handed out first; `None`: the download may
    /// begin, or go on.
    pub(super) async fn work_on_job(
        &mut self,
        stream: &Stream,
        plan: &JobPlan,
    ) -> Result<Option<Page>, ReadError> {
        loop {
            let Some(jobs) = &self.jobs else {
                return Ok(None);
            };
            match jobs.state.clone() {
                JobState::Done { .. } => return Ok(None),
                JobState::Wanted(not_before) => {
                    // The next refusal is one of a new job, not of what an earlier read left.
                    self.resumed = false;
                    if let Some(moment) = not_before {
                        let wait = (moment - self.now()).to_std().unwrap_or_default();
                        let reason =
                            "the platform failed at a job, which is created again after a while";
                        self.rest(wait, reason).await?;
                    }
                    let slice = self.slice();
                    let created = self.create_job(plan, slice.as_ref()).await?;
                    if let Some(jobs) = &mut self.jobs {
                        jobs.state = JobState::Created(created);
                        jobs.count = jobs.count.saturating_add(1);
                        jobs.target = 0;
                    }
                    return self.standing_page().map(Some);
                }
                JobState::Created(created) => {
                    if let Some(slice) = self.slice_to_begin(plan)? {
                        let ahead = self.create_job(plan, Some(&slice)).await?;
                        if let Some(jobs) = &mut self.jobs {
                            jobs.ahead.push_back(ahead);
                        }
                        return self.standing_page().map(Some);
                    }
                    if let Some(page) = self.ask_for_job(stream, plan, created).await? {
                        return Ok(Some(page));
                    }
                }
            }
        }
    }

    async fn create_job(
        &mut self,
        plan: &JobPlan,
        slice: Option<&Value>,
    ) -> Result<Created, ReadError> {
        let question = Question::beside(&plan.creation, &plan.decoder, slice);
        let received = self.exchange(&question).await?;
        self.extra_requests = self.extra_requests.saturating_add(received.requests);
        if received.ignored {
            let message =
                "the platform created no job, and the manifest ignores the answer that said so";
            return Err(self.permanent(message));
        }
        let stored = plan.stored(received.body, &received.headers);
        Ok(Created {
            response: stored.map_err(|message| self.permanent(&message))?,
            at: self.now(),
        })
    }

    /// The next slice of the partition whose job may be created already.
    fn slice_to_begin(&self, plan: &JobPlan) -> Result<Option<Value>, ReadError> {
        let scope = Scope::of_read(&self.settings.config, self.settings.now);
        let most = plan.at_a_time(&scope).map_err(|error| self.field(error))?;
        let (Some(jobs), Some(mut cursor)) = (&self.jobs, self.cursor.clone()) else {
            return Ok(None);
        };
        let begun = jobs.ahead.len() + 1;
        if begun >= most {
            return Ok(None);
        }
        for _ in 0..begun {
            cursor.close();
        }
        let is_there = cursor.is_open();
        Ok(is_there.then(|| self.slice_of(Some(&cursor))).flatten())
    }

    /// Asks how far the job is.
    async fn ask_for_job(
        &mut self,
        stream: &Stream,
        plan: &JobPlan,
        created: Created,
    ) -> Result<Option<Page>, ReadError> {
        let slice = self.slice();
        let question = Question::beside(&plan.polling, &plan.decoder, slice.as_ref());
        let received = self
            .exchange(&question)
            .await
            .map_err(|error| self.position_refused(error, false))?;
        self.extra_requests = self.extra_requests.saturating_add(received.requests);
        let scope = Scope::of_read(&self.settings.config, self.settings.now);
        let path = plan
            .status
            .path(&scope)
            .map_err(|error| self.field(error))?;
        let found = path
            .take(received.body.clone())
            .map_err(|message| self.permanent(&message))?;
        let status = plan
            .status_of(found.first())
            .map_err(|message| self.permanent(&message))?;
        let timeout = plan.timeout(&scope).map_err(|error| self.field(error))?;
        let age = (self.now() - created.at).to_std().unwrap_or_default();
        match status {
            Status::Completed => {
                let polling = with_headers(received.body, &received.headers);
                self.begin_download(stream, plan, created, polling).await
            }
            Status::Skipped => self.end_slice(stream).map(Some),
            Status::Running if age <= timeout => {
                let wait = Duration::from_secs(age.as_secs() / 4);
                let wait = wait.clamp(SHORTEST_WAIT, LONGEST_WAIT);
                let reason = format!("the platform works at a job since {} s", age.as_secs());
                self.rest(wait, &reason).await?;
                Ok(None)
            }
            Status::Running | Status::TimedOut => {
                if let Some(abort) = &plan.abort {
                    let question = Question::beside(abort, &plan.decoder, slice.as_ref());
                    let aborted = self.exchange(&question).await;
                    self.forgive(aborted)?;
                }
                let how = format!(
                    "took longer than {} s",
                    timeout.as_secs().min(age.as_secs())
                );
                self.give_up_job(&how, None)
            }
            Status::Failed => {
                let wait = plan.retry_wait(&scope).map_err(|error| self.field(error))?;
                let until = wait.and_then(|wait| TimeDelta::from_std(wait).ok());
                let not_before = until.and_then(|wait| self.now().checked_add_signed(wait));
                self.give_up_job("failed", not_before)
            }
        }
    }

    /// Has the job created again, unless that was done often enough.
    fn give_up_job(
        &mut self,
        how: &str,
        not_before: Option<DateTime<Utc>>,
    ) -> Result<Option<Page>, ReadError> {
        let Some(jobs) = &mut self.jobs else {
            return Ok(None);
        };
        if jobs.count >= MOST_JOBS {
            let message = format!(
                "the platform's job for this slice was created {MOST_JOBS} times, and none came to its end; the last one {how}"
            );
            return Err(self.permanent(&message));
        }
        jobs.state = JobState::Wanted(not_before);
        jobs.target = 0;
        match not_before {
            Some(_) => self.standing_page().map(Some),
            None => Ok(None),
        }
    }

    async fn begin_download(
        &mut self,
        stream: &Stream,
        plan: &JobPlan,
        created: Created,
        polling: Value,
    ) -> Result<Option<Page>, ReadError> {
        let state = |targets| JobState::Done {
            created: created.clone(),
            polling: polling.clone(),
            targets,
        };
        let Some(extractor) = &plan.target else {
            // One download, whose requester needs no target.
            self.set_job_state(state(vec![Value::String(String::new())]));
            return Ok(None);
        };
        let before = self.jobs.clone();
        self.set_job_state(state(Vec::new()));
        let answer = match &plan.targets {
            None => Ok(polling.clone()),
            Some(requester) => {
                let slice = self.slice();
                let question = Question::beside(requester, &plan.decoder, slice.as_ref());
                self.exchange(&question).await.map(|received| {
                    self.extra_requests = self.extra_requests.saturating_add(received.requests);
                    received.body
                })
            }
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.jobs = before;
                return Err(self.position_refused(error, false));
            }
        };
        let scope = Scope::of_read(&self.settings.config, self.settings.now);
        let path = extractor.path(&scope).map_err(|error| self.field(error))?;
        let targets = path
            .take(answer)
            .map_err(|message| self.permanent(&message))?;
        let first = self.jobs.as_ref().map_or(0, |jobs| jobs.target);
        if targets.is_empty() && first == 0 {
            return self.end_slice(stream).map(Some);
        }
        if first >= targets.len() {
            self.jobs = before;
            return Err(ReadError::PositionRefused {
                failure: failure_of("the platform's job has fewer parts than before".to_owned()),
            });
        }
        self.set_job_state(state(targets));
        Ok(None)
    }

    fn set_job_state(&mut self, state: JobState) {
        if let Some(jobs) = &mut self.jobs {
            jobs.state = state;
        }
    }

    /// The page that ends a slice without records.
    fn end_slice(&mut self, stream: &Stream) -> Result<Page, ReadError> {
        let token = stream.paginator.first();
        self.hand_out(stream, &token, Contents::default(), 0)
    }

    /// A page without records: the read stands here.
    fn standing_page(&mut self) -> Result<Page, ReadError> {
        let position = self.position();
        if let Some(position) = &position {
            self.check_storable(position)?;
        }
        let ends = self.cursor.as_ref().and_then(CursorRead::ends);
        let slice = ends.map(|(since, until)| PageSlice { since, until });
        Ok(self.empty_page(position, slice))
    }

    /// The requests that come after the last page of a slice, and the page that closes it.
    pub(super) async fn close_with_requests(&mut self, stream: &Stream) -> Result<Page, ReadError> {
        let slice = self.slice();
        if let Some(plan) = &stream.job
            && let Some(delete) = &plan.delete
            && self
                .jobs
                .as_ref()
                .is_some_and(|jobs| jobs.creation().is_some())
        {
            let question = Question::beside(delete, &plan.decoder, slice.as_ref());
            let deleted = self.exchange(&question).await;
            self.forgive(deleted)?;
        }
        if tears_down(stream, self.cursor.as_ref()) {
            let torn_down = self.tear_down(stream).await;
            self.forgive(torn_down)?;
        }
        let token = self
            .token
            .clone()
            .unwrap_or_else(|| stream.paginator.first());
        self.hand_out(stream, &token, Contents::default(), 0)
    }

    /// Sends the teardown request of the stream.
    pub(super) async fn tear_down(&mut self, stream: &Stream) -> Result<Received, ReadError> {
        let slice = self.slice();
        let token = self
            .token
            .as_ref()
            .and_then(|token| stream.paginator.request_token(token));
        let Some(requester) = &stream.teardown else {
            return Err(ReadError::Cancelled);
        };
        let question = Question {
            token: token.as_ref(),
            ..Question::beside(requester, &Decoder::Json, slice.as_ref())
        };
        self.exchange(&question).await
    }

    /// A request that only cleans up may fail, but not be left out for the sake of a limit or of the host.
    fn forgive(&mut self, result: Result<Received, ReadError>) -> Result<(), ReadError> {
        match result {
            Ok(received) => {
                self.extra_requests = self.extra_requests.saturating_add(received.requests);
                Ok(())
            }
            Err(
                error @ (ReadError::Parked { .. }
                | ReadError::Stopped { .. }
                | ReadError::Cancelled
                | ReadError::RateLimited { .. }),
            ) => Err(error),
            Err(_) => {
                self.extra_requests = self.extra_requests.saturating_add(1);
                Ok(())
            }
        }
    }

    /// Waits in the slot, or ends the read so that the run gives its slot back.
    async fn rest(&self, wait: Duration, reason: &str) -> Result<(), ReadError> {
        if wait.is_zero() {
            return Ok(());
        }
        if wait > self.settings.limits.max_wait_in_slot {
            return Err(ReadError::Parked {
                until_hint: wait,
                reason: reason.to_owned(),
            });
        }
        tokio::select! {
            () = self.settings.cancel.cancelled() => Err(ReadError::Cancelled),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }

    fn now(&self) -> DateTime<Utc> {
        self.sender.now(&self.settings)
    }

    pub(super) fn permanent(&self, message: &str) -> ReadError {
        ReadError::Permanent {
            failure: failure_of(self.sender.redactor.text(message)),
        }
    }

    fn field(&self, error: FieldError) -> ReadError {
        BuildError::Field(error).into_read_error(&self.sender.redactor)
    }
}
