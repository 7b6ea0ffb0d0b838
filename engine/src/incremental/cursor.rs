//! `DatetimeBasedCursor` as it stands in a manifest.

use std::sync::Arc;

use serde_json::Value;

use super::bound::{Bound, compile};
use super::clamp::Clamping;
use crate::connector::CursorInfo;
use crate::expr::{Place, Scope, Template};
use crate::load::component::{Component, Problems};
use crate::request::option::{Injected, RequestOption};
use crate::request::value::{FieldError, at};
use crate::time::{Format, Moment, SPAN_NEEDED, Span};

/// `DatetimeBasedCursor`.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are the language's switches"
)]
pub(crate) struct DatetimeCursor {
    pub(super) field: Template,
    pub(super) format: Format,
    /// Formats of the records' values, the first that fits counts. The last one is `format`.
    pub(super) read_formats: Arc<[Format]>,
    pub(super) start: Bound,
    pub(super) end: Option<Bound>,
    pub(super) step: Option<Template>,
    pub(super) granularity: Option<Span>,
    pub(super) lookback: Option<Template>,
    pub(super) clamping: Option<Clamping>,
    pub(super) start_key: Template,
    pub(super) end_key: Template,
    start_option: Option<RequestOption>,
    end_option: Option<RequestOption>,
    /// The newest records come first, so that reading ends at the first one that is known.
    pub(crate) is_data_feed: bool,
    /// The platform has no filter: records out of range are dropped here.
    pub(crate) is_client_side: bool,
    pub(super) compare_strictly: bool,
    /// `global_substream_cursor`: one value for all partitions.
    pub(crate) uses_global_state: bool,
    /// `IncrementingCountCursor`: its values are whole numbers.
    pub(crate) counts: bool,
}

impl DatetimeCursor {
    /// Whether it may cut what is read into several slices.
    pub(crate) fn makes_slices(&self) -> bool {
        self.step.is_some() || self.granularity.is_some()
    }

    /// The field `incremental_sync` of a stream, if there is one.
    pub(crate) fn load(stream: &Component<'_>, problems: &mut Problems) -> Option<DatetimeCursor> {
        let kinds = &["DatetimeBasedCursor", "IncrementingCountCursor"];
        let component = stream.child("incremental_sync", kinds, problems)?;
        if component.kind == "IncrementingCountCursor" {
            return DatetimeCursor::load_count(&component, problems);
        }
        // That a catalog may name another field (allow_catalog_defined_cursor_field) changes nothing: none does here.
        component.refuse(&[], &[], problems);
        for name in ["cursor_field", "datetime_format", "start_datetime"] {
            if component.get(name).is_none() {
                component.missing(name, problems);
            }
        }
        let template =
            |name: &str, problems: &mut Problems| component.template(name, Place::CONFIG, problems);
        let key = |name: &str, default: &str, problems: &mut Problems| {
            let path = component.path_of(name);
            let default = Value::String(default.to_owned());
            let empty = |value: &&Value| value.as_str() != Some("");
            let value = component.get(name).filter(empty).unwrap_or(&default);
            component.template_of(value, &path, Place::CONFIG, problems)
        };
        let option = |name: &str, problems: &mut Problems| {
            component
                .child(name, &["RequestOption"], problems)
                .and_then(|option| RequestOption::load(&option, problems))
        };
        let field = template("cursor_field", problems);
        let start_key = key("partition_field_start", "start_time", problems);
        let end_key = key("partition_field_end", "end_time", problems);
        let step = span_template(&component, "step", problems);
        let lookback = span_template(&component, "lookback_window", problems);
        let granularity = load_granularity(&component, problems);
        if component.get("step").is_some() != component.get("cursor_granularity").is_some() {
            let message = "step and cursor_granularity go together: give both, or none";
            problems.add(&component.path, message);
        }
        let clamping = Clamping::load(&component, problems);
        let start_option = option("start_time_option", problems);
        let end_option = option("end_time_option", problems);
        let format_path = component.path_of("datetime_format");
        let format = component
            .text("datetime_format", problems)
            .and_then(|source| compile(source, &format_path, problems))?;
        let mut read_formats = load_read_formats(&component, problems);
        read_formats.push(format.clone());
        let start = Bound::load(&component, "start_datetime", &format, problems);
        let end = match component.get("end_datetime") {
            None => None,
            Some(Value::String(text)) if text.is_empty() => None,
            Some(_) => Some(Bound::load(&component, "end_datetime", &format, problems)?),
        };
        Some(DatetimeCursor {
            field: field?,
            format,
            read_formats: read_formats.into(),
            start: start?,
            end,
            step,
            granularity,
            lookback,
            clamping,
            start_key: start_key?,
            end_key: end_key?,
            start_option,
            end_option,
            is_data_feed: component.boolean("is_data_feed", problems),
            is_client_side: component.boolean("is_client_side_incremental", problems),
            compare_strictly: component.boolean("is_compare_strictly", problems),
            uses_global_state: component.boolean("global_substream_cursor", problems),
            counts: false,
        })
    }

    /// `IncrementingCountCursor`: one slice, from the state or the start to whatever there is.
    fn load_count(component: &Component<'_>, problems: &mut Problems) -> Option<DatetimeCursor> {
        component.refuse(&[], &[], problems);
        if component.get("cursor_field").is_none() {
            component.missing("cursor_field", problems);
        }
        let field = component.template("cursor_field", Place::CONFIG, problems);
        let start = Bound::count(component, problems);
        let option = component
            .child("start_value_option", &["RequestOption"], problems)
            .and_then(|option| RequestOption::load(&option, problems));
        let mut key = |name: &str| {
            let value = Value::String(name.to_owned());
            component.template_of(&value, &component.path, Place::CONFIG, problems)
        };
        let (start_key, end_key) = (key("start"), key("end"));
        Some(DatetimeCursor {
            field: field?,
            format: Format::count(),
            read_formats: vec![Format::count()].into(),
            start: start?,
            end: None,
            step: None,
            granularity: None,
            lookback: None,
            clamping: None,
            start_key: start_key?,
            end_key: end_key?,
            start_option: option,
            end_option: None,
            is_data_feed: false,
            is_client_side: false,
            compare_strictly: false,
            uses_global_state: false,
            counts: true,
        })
    }

    /// The name of the cursor's field.
    pub(crate) fn field(&self, scope: &Scope<'_>) -> Result<String, FieldError> {
        self.field
            .text(scope)
            .map_err(|error| at(&self.field, error))
    }

    /// Reads a value of the cursor's field.
    pub(crate) fn moment_of(&self, value: &Value) -> Option<Moment> {
        self.read_formats
            .iter()
            .find_map(|format| format.read(value))
    }

    /// A moment as the cursor writes it.
    pub(crate) fn written(&self, moment: Moment) -> Value {
        self.format.written(moment)
    }

    /// What callers may know of it.
    pub(crate) fn info(&self) -> CursorInfo {
        CursorInfo {
            field: self.field.source().to_owned(),
            granularity: self.granularity.and_then(Span::fixed_length),
            is_time: !self.counts,
        }
    }

    /// Puts both ends of a slice into the request.
    pub(crate) fn inject(
        &self,
        slice: &Value,
        scope: &Scope<'_>,
        into: &mut Injected,
    ) -> Result<(), FieldError> {
        let ends = [
            (&self.start_option, &self.start_key),
            (&self.end_option, &self.end_key),
        ];
        for (option, key) in ends {
            let Some(option) = option else { continue };
            let key = key.text(scope).map_err(|error| at(key, error))?;
            if let Some(value) = slice.get(&key) {
                option.inject(value.clone(), scope, into)?;
            }
        }
        Ok(())
    }
}

fn load_read_formats(component: &Component<'_>, problems: &mut Problems) -> Vec<Format> {
    let path = component.path_of("cursor_datetime_formats");
    let mut formats = Vec::new();
    match component.get("cursor_datetime_formats") {
        None => {}
        Some(Value::Array(sources)) => {
            for (index, source) in sources.iter().enumerate() {
                let path = format!("{path}/{index}");
                match source.as_str() {
                    Some(source) => formats.extend(compile(source, &path, problems)),
                    None => problems.add(path, "a datetime format is needed here"),
                }
            }
        }
        Some(_) => problems.add(path, "a list of datetime formats is needed here"),
    }
    formats
}

fn load_granularity(component: &Component<'_>, problems: &mut Problems) -> Option<Span> {
    let text = component.text("cursor_granularity", problems)?;
    let span = Span::parse(text).filter(|span| span.is_positive());
    if span.is_none() {
        problems.add(component.path_of("cursor_granularity"), SPAN_NEEDED);
    }
    span
}

/// A duration, which may hold expressions; one without is checked at once.
fn span_template(
    component: &Component<'_>,
    name: &str,
    problems: &mut Problems,
) -> Option<Template> {
    let template = component.template(name, Place::CONFIG, problems)?;
    if let Some(text) = template.constant()
        && !text.is_empty()
    {
        let fits = |span: &Span| name != "step" || span.is_positive();
        if Span::parse(text).as_ref().is_none_or(|span| !fits(span)) {
            problems.add(component.path_of(name), SPAN_NEEDED);
        }
    }
    Some(template)
}
