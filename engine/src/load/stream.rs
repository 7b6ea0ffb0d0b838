//! `DeclarativeStream`, `SimpleRetriever`, `RecordSelector`, `InlineSchemaLoader`.

use serde_json::{Value, json};

use super::component::{Component, Problems};
use super::model::Stream;
use super::{retriever, unified};
use crate::connector::StreamInfo;
use crate::decode::Decoder;
use crate::expr::{Place, Template};
use crate::incremental::DatetimeCursor;
use crate::partition::{LegacyState, Routers};
use crate::record::{Extractor, KINDS, Normalizer, Transformation};

pub(crate) fn load(
    component: &Component<'_>,
    problems: &mut Problems,
) -> Option<(StreamInfo, Stream)> {
    component.refuse(
        &["file_uploader"],
        &["x_page_parameter", "x_model", "x_types"],
        problems,
    );
    let name = component
        .text("name", problems)
        .filter(|name| !name.is_empty());
    if name.is_none() {
        component.missing("name", problems);
    }
    let cursor = DatetimeCursor::load(component, problems);
    let primary_key = load_primary_key(component, problems);
    let schema = load_schema(component, problems);
    let mut transformations = Vec::new();
    for transformation in component.children("transformations", KINDS, problems) {
        transformations.extend(Transformation::load(&transformation, problems));
    }
    match component.text("x_types", problems) {
        None => {}
        Some("strict") => transformations
            .iter_mut()
            .for_each(Transformation::keep_types),
        Some(other) => problems.add(
            component.path_of("x_types"),
            format!("\"{other}\" is not allowed; allowed: strict"),
        ),
    }
    if component.get("retriever").is_none() {
        component.missing("retriever", problems);
    }
    let kinds = &["SimpleRetriever", "AsyncRetriever"];
    let retriever = component.child("retriever", kinds, problems)?;
    let parts = retriever::load(&retriever, problems);
    let routers = Routers::load(&retriever, problems);
    let mut cursor = cursor;
    if let Some(cursor) = &mut cursor {
        cursor.uses_global_state |= routers.as_ref().is_some_and(Routers::makes_groups);
    }
    if routers.as_ref().is_some_and(Routers::have_first_pages) {
        check_first_pages(component, cursor.as_ref(), parts.as_ref(), problems);
    }
    if routers.is_some() && cursor.as_ref().is_some_and(|cursor| cursor.counts) {
        let message = "an IncrementingCountCursor and partitions do not go together: states of partitions are by time";
        problems.add(component.path_of("incremental_sync"), message);
    }
    let legacy_state = LegacyState::load(component, routers.as_ref(), problems);
    let selector = load_selector(&retriever, cursor.as_ref(), problems);
    let (name, parts) = (name?, parts?);
    let supports_page = parts.paginator.supports_page() && routers.is_none() && parts.job.is_none();
    if component.get("x_page_parameter").is_some() && !supports_page {
        let message = "x_page_parameter needs a DefaultPaginator with PageIncrement";
        problems.add(component.path_of("x_page_parameter"), message);
    }
    let info = StreamInfo {
        name: name.to_owned(),
        primary_key: primary_key?,
        schema: schema?,
        supports_page,
        // A record that changes while its stream is read moves from a slice to come into none at all.
        full_read: cursor.is_none(),
        cursor: cursor.as_ref().map(DatetimeCursor::info),
        unified: unified::load(component, problems),
    };
    let selector = selector?;
    let normalizer = selector.normalizes.then(|| Normalizer::of(&info.schema));
    let stream = Stream {
        name: name.to_owned(),
        requester: parts.requester,
        decoder: parts.decoder,
        paginator: parts.paginator,
        extractor: parts.extractor.unwrap_or(selector.extractor),
        transformations,
        cursor,
        routers,
        job: parts.job,
        teardown: parts.teardown,
        reset: parts.reset,
        null_words: selector.null_words,
        legacy_state,
        filter: selector.filter,
        transforms_first: selector.transforms_first,
        normalizer,
        slice_on_first_page_only: retriever.boolean(
            "ignore_stream_slicer_parameters_on_paginated_requests",
            problems,
        ),
    };
    Some((info, stream))
}

/// What a stream must be like whose first pages are in its parents' records.
fn check_first_pages(
    stream: &Component<'_>,
    cursor: Option<&DatetimeCursor>,
    parts: Option<&retriever::Parts>,
    problems: &mut Problems,
) {
    if cursor.is_some_and(DatetimeCursor::makes_slices) {
        let message = "with a lazy_read_pointer there is one slice for each partition: leave step and cursor_granularity out";
        problems.add(stream.path_of("incremental_sync"), message);
    }
    let fits = |parts: &retriever::Parts| {
        parts.job.is_none() && parts.reset.is_none() && matches!(parts.decoder, Decoder::Json)
    };
    if parts.is_some_and(|parts| !fits(parts)) {
        let message = "with a lazy_read_pointer a SimpleRetriever with a JsonDecoder, and without pagination_reset or \
                       RESET_PAGINATION, is needed here";
        problems.add(stream.path_of("retriever"), message);
    }
}

/// The language takes a decoder in some places where only that of the retriever counts.
pub(crate) fn check_decoder(component: &Component<'_>, problems: &mut Problems) {
    if let Some(decoder) = component.child("decoder", &["JsonDecoder"], problems) {
        decoder.refuse(&[], &[], problems);
    }
}

/// `RecordSelector`.
struct Selector {
    extractor: Extractor,
    filter: Option<Template>,
    /// Transformations come before the filter.
    transforms_first: bool,
    null_words: Vec<String>,
    normalizes: bool,
}

fn load_selector(
    retriever: &Component<'_>,
    cursor: Option<&DatetimeCursor>,
    problems: &mut Problems,
) -> Option<Selector> {
    if retriever.get("record_selector").is_none() {
        retriever.missing("record_selector", problems);
    }
    let selector = retriever.child("record_selector", &["RecordSelector"], problems)?;
    selector.refuse(&[], &["x_null_words"], problems);
    let null_words = selector.texts("x_null_words", problems);
    let filter = selector
        .child("record_filter", &["RecordFilter"], problems)
        .and_then(|filter| {
            filter.refuse(&[], &[], problems);
            filter.template("condition", Place::RECORD_FILTER, problems)
        })
        // The reference drops every record then, which nobody means.
        .filter(|condition| condition.constant() != Some(""));
    let transforms_first = match selector.get("transform_before_filtering") {
        None => cursor.is_some_and(|cursor| cursor.is_client_side),
        Some(_) => selector.boolean("transform_before_filtering", problems),
    };
    let normalizes = match selector.get("schema_normalization").map(Value::as_str) {
        None | Some(Some("None")) => false,
        Some(Some("Default")) => true,
        Some(_) => {
            let path = selector.path_of("schema_normalization");
            problems.add(path, "this is not supported; supported: None, Default");
            false
        }
    };
    if selector.get("extractor").is_none() {
        selector.missing("extractor", problems);
    }
    let extractor = selector.child("extractor", &["DpathExtractor"], problems)?;
    let extractor = Extractor::load(&extractor, problems)?;
    Some(Selector {
        extractor,
        filter,
        transforms_first,
        null_words,
        normalizes,
    })
}

/// A name, a list of names, or a list of paths.
fn load_primary_key(
    component: &Component<'_>,
    problems: &mut Problems,
) -> Option<Vec<Vec<String>>> {
    let wrong = "a name, a list of names, or a list of paths is needed here";
    let path_of = |value: &Value| -> Option<Vec<String>> {
        match value {
            Value::String(name) => Some(vec![name.clone()]),
            Value::Array(steps) if !steps.is_empty() => steps
                .iter()
                .map(|step| step.as_str().map(str::to_owned))
                .collect(),
            _ => None,
        }
    };
    let key = match component.get("primary_key") {
        None => Some(Vec::new()),
        Some(Value::String(name)) if name.is_empty() => Some(Vec::new()),
        Some(Value::String(name)) => Some(vec![vec![name.clone()]]),
        Some(Value::Array(fields)) => fields.iter().map(path_of).collect(),
        Some(_) => None,
    };
    if key.is_none() {
        problems.add(component.path_of("primary_key"), wrong);
    }
    key
}

/// As in the reference, whose default are files beside the manifest, a stream without a schema has an open one.
fn load_schema(component: &Component<'_>, problems: &mut Problems) -> Option<Value> {
    let open = json!({ "type": "object", "properties": {} });
    if component.get("schema_loader").is_none() {
        return Some(open);
    }
    let loader = component.child("schema_loader", &["InlineSchemaLoader"], problems)?;
    loader.refuse(&[], &[], problems);
    match loader.get("schema") {
        None => Some(open),
        Some(schema @ Value::Object(_)) => Some(schema.clone()),
        Some(_) => {
            problems.add(loader.path_of("schema"), "a JSON schema is needed here");
            None
        }
    }
}
