//! A manifest after loading: everything compiled, nothing left to be looked up by name.

use std::sync::Arc;

use jsonschema::Validator;
use reqwest::header::HeaderName;
use serde_json::Value;

use crate::budget::{BudgetPolicy, CompiledPolicy};
use crate::connector::StreamInfo;
use crate::expr::{Scope, Template};
use crate::incremental::DatetimeCursor;
use crate::page::Record;
use crate::paginate::Paginator;
use crate::partition::Routers;
use crate::record::{Extractor, Normalizer, Transformation};
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
    pub(crate) config_validator: Validator,
    pub(crate) budgets: Vec<BudgetPolicy>,
    /// In the order of `budgets`.
    pub(crate) policies: Vec<CompiledPolicy>,
    /// In the order of `budgets`.
    pub(crate) budget_scopes: Vec<Option<Template>>,
    /// Headers that the budgets name.
    pub(crate) budget_headers: Vec<HeaderName>,
}

/// `DeclarativeStream` with its `SimpleRetriever`.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) requester: Requester,
    pub(crate) paginator: Paginator,
    pub(crate) extractor: Extractor,
    pub(crate) transformations: Vec<Transformation>,
    pub(crate) cursor: Option<DatetimeCursor>,
    pub(crate) routers: Option<Routers>,
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
        self.paginator.supports_page() && self.routers.is_none()
    }

    /// Filters and transforms the records of a page.
    pub(crate) fn refine(
        &self,
        records: &mut Vec<Record>,
        scope: &Scope<'_>,
    ) -> Result<(), FieldError> {
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
