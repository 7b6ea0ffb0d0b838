//! A manifest after loading: everything compiled, nothing left to be looked up by name.

use std::sync::Arc;

use jsonschema::Validator;
use reqwest::header::HeaderName;
use serde_json::Value;

use crate::budget::{BudgetPolicy, CompiledPolicy};
use crate::config_rules::ConfigRules;
use crate::connector::StreamInfo;
use crate::decode::Decoder;
use crate::expr::{Scope, Template};
use crate::incremental::DatetimeCursor;
use crate::job::JobPlan;
use crate::load::concurrency::Concurrency;
use crate::page::Record;
use crate::paginate::{Paginator, ResetPlan};
use crate::partition::{LegacyState, Routers};
use crate::record::{Extractor, Normalizer, Transformation, clear_null_words};
use crate::request::Requester;
use crate::request::value::{FieldError, at};

/// `DeclarativeSource`.
pub(crate) struct Source {
    pub(crate) platform: String,
    pub(crate) infos: Vec<StreamInfo>,
    /// In the order of `infos`.
    pub(crate) streams: Vec<Arc<Stream>>,
    pub(crate) check_streams: Vec<String>,
    pub(crate) config_schema: Value,
    pub(crate) documentation_url: Option<String>,
    pub(crate) config_validator: Validator,
    pub(crate) config_rules: ConfigRules,
    pub(crate) concurrency: Option<Concurrency>,
    pub(crate) budgets: Vec<BudgetPolicy>,
    /// In the order of `budgets`.
    pub(crate) policies: Vec<CompiledPolicy>,
    /// In the order of `budgets`.
    pub(crate) budget_scopes: Vec<Option<Template>>,
    /// Headers that the budgets name.
    pub(crate) budget_headers: Vec<HeaderName>,
}

/// `DeclarativeStream` with its retriever.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) requester: Requester,
    /// Of the answers that hold the records.
    pub(crate) decoder: Decoder,
    pub(crate) paginator: Paginator,
    pub(crate) extractor: Extractor,
    pub(crate) transformations: Vec<Transformation>,
    pub(crate) cursor: Option<DatetimeCursor>,
    pub(crate) routers: Option<Routers>,
    /// The jobs that prepare the records, if it is an `AsyncRetriever`: requester, decoder, paginator and extractor are then those
    /// of the download.
    pub(crate) job: Option<Box<JobPlan>>,
    /// `x_teardown`: what is sent after the last page.
    pub(crate) teardown: Option<Requester>,
    /// `pagination_reset`; also where only a filter of the error handler says so.
    pub(crate) reset: Option<ResetPlan>,
    /// `x_null_words`: texts that mean null.
    pub(crate) null_words: Vec<String>,
    pub(crate) legacy_state: Option<LegacyState>,
    pub(crate) filter: Option<Template>,
    /// Transformations come before the filter.
    pub(crate) transforms_first: bool,
    /// `schema_normalization: Default`.
    pub(crate) normalizer: Option<Normalizer>,
    /// `ignore_stream_slicer_parameters_on_paginated_requests`.
    pub(crate) slice_on_first_page_only: bool,
}

impl Stream {
    /// Whether a single page can be asked for.
    pub(crate) fn supports_page(&self) -> bool {
        self.paginator.supports_page() && self.routers.is_none() && self.job.is_none()
    }

    /// Whether it, or a parent of it, has jobs that are waited for.
    pub(crate) fn waits_for_jobs(&self) -> bool {
        self.job.is_some() || self.routers.as_ref().is_some_and(Routers::wait_for_jobs)
    }

    /// Filters and transforms the records of a page.
    pub(crate) fn refine(
        &self,
        records: &mut Vec<Record>,
        scope: &Scope<'_>,
    ) -> Result<(), FieldError> {
        if !self.null_words.is_empty() {
            for record in &mut *records {
                clear_null_words(record, &self.null_words);
            }
        }
        if self.transforms_first {
            self.transform(records, scope)?;
            self.filter(records, scope)
        } else {
            self.filter(records, scope)?;
            self.transform(records, scope)
        }
    }

    fn transform(&self, records: &mut [Record], scope: &Scope<'_>) -> Result<(), FieldError> {
        for transformation in &self.transformations {
            for record in &mut *records {
                transformation.apply(record, scope)?;
            }
        }
        Ok(())
    }

    fn filter(&self, records: &mut Vec<Record>, scope: &Scope<'_>) -> Result<(), FieldError> {
        let Some(condition) = &self.filter else {
            return Ok(());
        };
        for record in std::mem::take(records) {
            let whole = Value::Object(record);
            let scope = Scope {
                record: Some(&whole),
                ..*scope
            };
            let keep = condition
                .condition(&scope)
                .map_err(|error| at(condition, error))?;
            if let Value::Object(record) = whole
                && keep
            {
                records.push(record);
            }
        }
        Ok(())
    }
}
