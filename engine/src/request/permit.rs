//! The budget's side of a request: leave to send it, and what its answer tells.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::judge::Trial;
use super::send::Sender;
use super::{Built, url};
use crate::budget::{Concern, MatchedRequest, concerning};
use crate::error::ReadError;
use crate::expr::Scope;
use crate::host::{BudgetKey, BudgetTold, Permit, PermitRequest, Refused, ResponseSignals};
use crate::reader::ReadSettings;
use crate::signals::{Heard, answered_at};

/// Leave to send, and the budgets that it was drawn from.
pub(super) struct Draw<'p> {
    pub(super) permit: Permit,
    pub(super) concerns: Vec<Concern<'p>>,
}

impl Sender {
    pub(super) async fn permit(
        &self,
        request: &Built,
        settings: &ReadSettings,
    ) -> Result<Draw<'_>, ReadError> {
        let concerns = self.concerns(request);
        let budgets = concerns.iter().map(|concern| BudgetKey {
            policy: concern.policy.name.clone(),
            scope: self.scopes.get(concern.index).cloned().unwrap_or_default(),
            weight: concern.weight,
        });
        let mut question = PermitRequest {
            stream: self.stream.clone(),
            method: request.method.as_str().to_owned(),
            url: self.redactor.url(&request.url),
            authority: self.redactor.text(&url::authority(&request.url)),
            budgets: budgets.collect(),
            ahead: false,
        };
        let asking = async {
            if let Some(turn) = &self.turn {
                question.ahead = !turn.is_cancelled();
                match settings.host.permit(&question).await {
                    Err(Refused::NotAhead) => turn.cancelled().await,
                    answer => return answer,
                }
                question.ahead = false;
            }
            settings.host.permit(&question).await
        };
        let answer = tokio::select! {
            biased;
            () = settings.cancel.cancelled() => return Err(ReadError::Cancelled),
            answer = asking => answer,
        };
        let permit = answer.map_err(refusal)?;
        Ok(Draw { permit, concerns })
    }

    fn concerns(&self, request: &Built) -> Vec<Concern<'_>> {
        if self.source.policies.is_empty() {
            return Vec::new();
        }
        let query = url::query_pairs(&request.url);
        let headers: Vec<(String, String)> = request
            .headers
            .iter()
            .map(|(name, value)| {
                (
                    name.as_str().to_owned(),
                    value.to_str().unwrap_or_default().to_owned(),
                )
            })
            .collect();
        let matched = MatchedRequest {
            method: request.method.as_str(),
            origin: &request.origin,
            path: request.url.path(),
            query: &query,
            headers: &headers,
        };
        concerning(&self.source.policies, &matched)
    }

    /// Takes down what the head and the body of an answer say of the request's budgets.
    pub(super) fn hear(
        &self,
        trial: &Trial<'_>,
        status: StatusCode,
        headers: &HeaderMap,
        body: Option<&Value>,
        signals: &mut ResponseSignals,
    ) {
        signals.status = Some(status.as_u16());
        signals.headers = self.headers_of_interest(headers);
        signals.told = self.told(trial, headers, body);
    }

    fn told(
        &self,
        trial: &Trial<'_>,
        headers: &HeaderMap,
        body: Option<&Value>,
    ) -> Vec<BudgetTold> {
        if trial.concerns.is_empty() {
            return Vec::new();
        }
        let heard = Heard {
            headers,
            body,
            at: answered_at(headers, self.now(trial.settings)),
            scope: &Scope::of_config(&trial.settings.config),
        };
        let mut told = Vec::new();
        for concern in trial.concerns {
            for mut one in concern.policy.signals.read(concern.policy, &heard) {
                one.source = self.redactor.text(&one.source);
                told.push(one);
            }
        }
        told
    }

    /// About now, for answers that do not say when they were sent.
    pub(crate) fn now(&self, settings: &ReadSettings) -> DateTime<Utc> {
        let elapsed = TimeDelta::from_std(self.begun.elapsed()).unwrap_or_default();
        settings
            .now
            .checked_add_signed(elapsed)
            .unwrap_or(settings.now)
    }

    /// Headers about limits, for the host.
    fn headers_of_interest(&self, headers: &HeaderMap) -> Vec<(String, String)> {
        const PARTS: &[&str] = &["ratelimit", "rate-limit", "usage", "quota"];
        let mut found = Vec::new();
        for (name, value) in headers {
            let named = self.source.budget_headers.contains(name);
            let name = name.as_str();
            let known = name == "retry-after" || name == "date";
            if (named || known || PARTS.iter().any(|part| name.contains(part)))
                && let Ok(value) = value.to_str()
            {
                found.push((name.to_owned(), self.redactor.text(value)));
            }
        }
        found
    }
}

pub(crate) fn refusal(refused: Refused) -> ReadError {
    match refused {
        Refused::Wait { until_hint, reason } => ReadError::Parked { until_hint, reason },
        Refused::Stop { reason } => ReadError::Stopped { reason },
        // Said of a request that is waited for: there will be another time.
        Refused::NotAhead => ReadError::Stopped {
            reason: "the host lets nothing be read ahead".to_owned(),
        },
    }
}
