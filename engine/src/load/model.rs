//! A manifest after loading: everything compiled, nothing left to be looked up by name.

use jsonschema::Validator;
use serde_json::Value;

use crate::budget::{BudgetPolicy, CompiledPolicy};
use crate::connector::StreamInfo;
use crate::expr::Template;
use crate::incremental::DatetimeCursor;
use crate::paginate::Paginator;
use crate::record::{Extractor, Transformation};
use crate::request::Requester;

/// `DeclarativeSource`.
pub(crate) struct Source {
    pub(crate) platform: String,
    pub(crate) infos: Vec<StreamInfo>,
    /// In the order of `infos`.
    pub(crate) streams: Vec<Stream>,
    pub(crate) check_streams: Vec<String>,
    pub(crate) config_schema: Value,
    pub(crate) config_validator: Validator,
    pub(crate) budgets: Vec<BudgetPolicy>,
    /// In the order of `budgets`.
    pub(crate) policies: Vec<CompiledPolicy>,
    /// In the order of `budgets`.
    pub(crate) budget_scopes: Vec<Option<Template>>,
}

/// `DeclarativeStream` with its `SimpleRetriever`.
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) requester: Requester,
    pub(crate) paginator: Paginator,
    pub(crate) extractor: Extractor,
    pub(crate) transformations: Vec<Transformation>,
    pub(crate) cursor: Option<DatetimeCursor>,
    /// `ignore_stream_slicer_parameters_on_paginated_requests`.
    pub(crate) slice_on_first_page_only: bool,
}
