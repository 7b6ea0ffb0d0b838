//! Which names an expression can see, and what they hold while it is evaluated.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::value::{NULL, Val};
use crate::host::Host;
use crate::partition::Partition;

/// A variable of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Var {
    Config,
    Parameters,
    NextPageToken,
    StreamSlice,
    Response,
    Headers,
    LastRecord,
    LastPageSize,
    PageSize,
    Record,
    RequestUrl,
    Property,
    FieldValue,
    FieldPath,
    SessionToken,
    CreationResponse,
    PollingResponse,
    DownloadTarget,
    /// `.extra_fields`, `.partition`, `.cursor_slice` of the slice.
    SliceExtra,
    SlicePartition,
    SliceCursor,
    /// No variable: the function `json_loads` exists here.
    JsonLoads,
}

/// The names; the slice has three of them.
const NAMES: &[(&str, Var)] = &[
    ("config", Var::Config),
    ("parameters", Var::Parameters),
    ("next_page_token", Var::NextPageToken),
    ("stream_slice", Var::StreamSlice),
    ("stream_partition", Var::StreamSlice),
    ("stream_interval", Var::StreamSlice),
    ("response", Var::Response),
    ("headers", Var::Headers),
    ("last_record", Var::LastRecord),
    ("last_page_size", Var::LastPageSize),
    ("page_size", Var::PageSize),
    ("record", Var::Record),
    ("request_url", Var::RequestUrl),
    ("property", Var::Property),
    ("value", Var::FieldValue),
    ("path", Var::FieldPath),
    ("session_token", Var::SessionToken),
    ("creation_response", Var::CreationResponse),
    ("polling_response", Var::PollingResponse),
    ("download_target", Var::DownloadTarget),
];

impl Var {
    /// What an attribute of this name gives on the slice, if it is not one of its members.
    pub(crate) fn of_slice(attribute: &str) -> Option<Var> {
        Some(match attribute {
            "extra_fields" => Var::SliceExtra,
            "partition" => Var::SlicePartition,
            "cursor_slice" => Var::SliceCursor,
            _ => return None,
        })
    }

    pub(crate) fn by_name(name: &str) -> Option<Var> {
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, var)| *var)
    }
}

/// A place of the manifest where expressions stand, with the variables they see there besides
/// `parameters`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place(pub(crate) &'static [Var]);

impl Place {
    /// Settings that are fixed for a read.
    pub(crate) const CONFIG: Place = Place(&[Var::Config]);
    /// What a session's token becomes part of.
    pub(crate) const SESSION: Place = Place(&[Var::Config, Var::SessionToken]);
    /// Parts of a signed token.
    pub(crate) const SIGNED: Place = Place(&[Var::Config, Var::JsonLoads]);
    /// Parts of a request.
    pub(crate) const REQUEST: Place = Place(&[Var::Config, Var::NextPageToken, Var::StreamSlice]);
    /// Parts of a request for a job that was created.
    pub(crate) const JOB: Place = Place(&[
        Var::Config,
        Var::NextPageToken,
        Var::StreamSlice,
        Var::CreationResponse,
    ]);
    /// Parts of a request for what there is to be downloaded of a job.
    pub(crate) const JOB_DONE: Place = Place(&[
        Var::Config,
        Var::NextPageToken,
        Var::StreamSlice,
        Var::CreationResponse,
        Var::PollingResponse,
    ]);
    /// Parts of a download.
    pub(crate) const DOWNLOAD: Place = Place(&[
        Var::Config,
        Var::NextPageToken,
        Var::StreamSlice,
        Var::CreationResponse,
        Var::PollingResponse,
        Var::DownloadTarget,
    ]);
    /// `cursor_value` and `stop_condition`.
    pub(crate) const PAGINATOR: Place = Place(&[
        Var::Config,
        Var::Response,
        Var::Headers,
        Var::LastRecord,
        Var::LastPageSize,
        Var::PageSize,
        Var::StreamSlice,
    ]);
    /// Filters of an error handler.
    pub(crate) const ERROR_FILTER: Place =
        Place(&[Var::Config, Var::Response, Var::Headers, Var::RequestUrl]);
    /// The value of an added field.
    pub(crate) const ADDED_FIELD: Place = Place(&[Var::Config, Var::Record, Var::StreamSlice]);
    /// The condition of an added field.
    pub(crate) const ADDED_FIELD_CONDITION: Place = Place(&[
        Var::Config,
        Var::Record,
        Var::StreamSlice,
        Var::FieldValue,
        Var::FieldPath,
    ]);
    /// The condition of a field that is added to the config.
    pub(crate) const CONFIG_FIELD_CONDITION: Place =
        Place(&[Var::Config, Var::FieldValue, Var::FieldPath]);
    /// The condition of a record filter.
    pub(crate) const RECORD_FILTER: Place = Place(&[
        Var::Config,
        Var::Record,
        Var::StreamSlice,
        Var::NextPageToken,
    ]);
    /// The condition of a removed field.
    pub(crate) const REMOVED_FIELD: Place = Place(&[Var::Config, Var::Property]);

    pub(crate) fn has(self, var: Var) -> bool {
        var == Var::Parameters || self.0.contains(&var)
    }

    /// The names for an error message.
    pub(crate) fn names(self) -> String {
        let names: Vec<&str> = NAMES
            .iter()
            .filter(|(_, var)| self.has(*var))
            .map(|(name, _)| *name)
            .collect();
        names.join(", ")
    }
}

/// What the variables hold. A variable that is not set is None (Python's), except the slice, which
/// is an empty dict.
#[derive(Clone, Copy, Default)]
pub(crate) struct Scope<'a> {
    pub(crate) config: Option<&'a Value>,
    /// The present moment, for date functions.
    pub(crate) now: Option<DateTime<Utc>>,
    /// The moment at which the request is made, for signatures.
    pub(crate) asked_at: Option<DateTime<Utc>>,
    /// Where randomness comes from.
    pub(crate) host: Option<&'a dyn Host>,
    pub(crate) next_page_token: Option<&'a Value>,
    pub(crate) stream_slice: Option<&'a Value>,
    /// What the slice is made of, if its stream is partitioned.
    pub(crate) slice_parts: Option<&'a SliceParts>,
    pub(crate) response: Option<&'a Value>,
    pub(crate) headers: Option<&'a Value>,
    pub(crate) last_record: Option<&'a Value>,
    pub(crate) last_page_size: Option<u64>,
    pub(crate) page_size: Option<u64>,
    pub(crate) record: Option<&'a Value>,
    pub(crate) request_url: Option<&'a str>,
    pub(crate) creation_response: Option<&'a Value>,
    pub(crate) polling_response: Option<&'a Value>,
    pub(crate) download_target: Option<&'a Value>,
    /// The token that was fetched for the request.
    pub(crate) session_token: Option<&'a str>,
    pub(crate) property: Option<&'a Value>,
    pub(crate) field_value: Option<&'a Value>,
    pub(crate) field_path: Option<&'a Value>,
}

impl<'a> Scope<'a> {
    pub(crate) fn of_config(config: &'a Value) -> Scope<'a> {
        Scope {
            config: Some(config),
            ..Scope::default()
        }
    }

    /// What is fixed for a read: the config and the present moment.
    pub(crate) fn of_read(config: &'a Value, now: DateTime<Utc>) -> Scope<'a> {
        Scope {
            now: Some(now),
            ..Scope::of_config(config)
        }
    }

    pub(crate) fn get(&self, var: Var, parameters: &'a Value) -> Val<'a> {
        let json = match var {
            Var::Config => self.config,
            Var::Parameters => Some(parameters),
            Var::NextPageToken => self.next_page_token,
            Var::StreamSlice => match self.stream_slice {
                Some(slice) => Some(slice),
                None => return Val::json(Value::Object(serde_json::Map::new())),
            },
            Var::SliceExtra | Var::SlicePartition | Var::SliceCursor => match self.slice_parts {
                Some(parts) if var == Var::SliceExtra => Some(&parts.extra),
                Some(parts) if var == Var::SlicePartition => Some(&parts.partition),
                _ if var == Var::SliceCursor => return self.slice_of_cursor(),
                _ => return Val::json(Value::Object(serde_json::Map::new())),
            },
            Var::Response => self.response,
            Var::Headers => self.headers,
            Var::LastRecord => self.last_record,
            Var::Record => self.record,
            Var::Property => self.property,
            Var::FieldValue => self.field_value,
            Var::FieldPath => self.field_path,
            Var::CreationResponse => self.creation_response,
            Var::PollingResponse => self.polling_response,
            Var::DownloadTarget => self.download_target,
            Var::LastPageSize => return number(self.last_page_size),
            Var::PageSize => return number(self.page_size),
            Var::SessionToken => return self.session_token.map_or(NULL, Val::text),
            Var::JsonLoads => None,
            Var::RequestUrl => return self.request_url.map_or(NULL, Val::text),
        };
        json.map_or(NULL, |value| Val::Json(Cow::Borrowed(value)))
    }
}

impl<'a> Scope<'a> {
    /// The slice without the partition.
    fn slice_of_cursor(&self) -> Val<'a> {
        let mut members = self
            .stream_slice
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        if let Some(partition) = self
            .slice_parts
            .and_then(|parts| parts.partition.as_object())
        {
            members.retain(|name, _| !partition.contains_key(name));
        }
        Val::json(Value::Object(members))
    }
}

/// The parts of a slice that expressions can ask for by name.
#[derive(Debug, Clone)]
pub(crate) struct SliceParts {
    extra: Value,
    partition: Value,
}

impl SliceParts {
    pub(crate) fn of(partition: &Partition) -> SliceParts {
        SliceParts {
            extra: Value::Object(partition.extra.clone()),
            partition: Value::Object(partition.fields.clone()),
        }
    }
}

fn number<'a>(value: Option<u64>) -> Val<'a> {
    value.map_or(NULL, |number| Val::json(Value::from(number)))
}
