//! The manifests that are measured: one with everything, and one for each part.

use clap::ValueEnum;
use serde_json::{Value, json};

use super::server::{DAYS, DELETED_EVERY, PAGE_SIZE};

const STREAM: &str = "records";

/// What the manifest does besides paging through plain records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Scenario {
    Plain,
    /// A cursor with ten slices.
    Cursor,
    /// A filter with one condition, which drops a tenth.
    Filter,
    /// Two fields are added, one is removed.
    Transformations,
    /// Values are brought to the types of the schema.
    Normalisation,
    All,
}

impl Scenario {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        Self::value_variants().iter().copied()
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Cursor => "cursor",
            Self::Filter => "filter",
            Self::Transformations => "transformations",
            Self::Normalisation => "normalisation",
            Self::All => "all",
        }
    }

    fn has(self, part: Self) -> bool {
        self == part || self == Self::All
    }

    /// Records that are printed of so many.
    pub(super) fn expected(self, records: u64) -> u64 {
        if self.has(Self::Filter) {
            records - records.div_ceil(DELETED_EVERY)
        } else {
            records
        }
    }

    pub(super) fn catalog(self) -> Value {
        let mode = if self.has(Self::Cursor) {
            "incremental"
        } else {
            "full_refresh"
        };
        json!({ "streams": [{
            "stream": {
                "name": STREAM,
                "json_schema": {},
                "supported_sync_modes": ["full_refresh", "incremental"],
            },
            "sync_mode": mode,
            "destination_sync_mode": "append",
        }] })
    }

    pub(super) fn manifest(self) -> Value {
        let mut selector = json!({
            "type": "RecordSelector",
            "extractor": { "type": "DpathExtractor", "field_path": ["data"] },
        });
        if self.has(Self::Filter) {
            selector["record_filter"] = json!({
                "type": "RecordFilter",
                "condition": "{{ record['status'] != 'deleted' }}",
            });
        }
        if self.has(Self::Normalisation) {
            selector["schema_normalization"] = json!("Default");
        }
        let mut stream = json!({
            "type": "DeclarativeStream",
            "name": STREAM,
            "primary_key": ["id"],
            "schema_loader": { "type": "InlineSchemaLoader", "schema": schema() },
            "retriever": {
                "type": "SimpleRetriever",
                "requester": {
                    "type": "HttpRequester",
                    "url_base": "{{ config['base_url'] }}",
                    "path": "/records",
                    "request_parameters": { "records": "{{ config['records'] }}" },
                },
                "paginator": {
                    "type": "DefaultPaginator",
                    "page_token_option": {
                        "type": "RequestOption",
                        "inject_into": "request_parameter",
                        "field_name": "page",
                    },
                    "pagination_strategy": { "type": "PageIncrement", "page_size": PAGE_SIZE },
                },
                "record_selector": selector,
            },
        });
        if self.has(Self::Cursor) {
            stream["incremental_sync"] = cursor();
        }
        if self.has(Self::Transformations) {
            stream["transformations"] = transformations();
        }
        json!({
            "type": "DeclarativeSource",
            "version": "6.0.0",
            "check": { "type": "CheckStream", "stream_names": [STREAM] },
            "streams": [stream],
            "spec": {
                "type": "Spec",
                "connection_specification": { "type": "object", "properties": {} },
            },
        })
    }
}

fn cursor() -> Value {
    let option = |name: &str| json!({ "type": "RequestOption", "inject_into": "request_parameter", "field_name": name });
    json!({
        "type": "DatetimeBasedCursor",
        "cursor_field": "updated_at",
        "datetime_format": "%Y-%m-%dT%H:%M:%SZ",
        "start_datetime": "2026-01-01T00:00:00Z",
        "end_datetime": format!("2026-01-{DAYS}T23:59:59Z"),
        "step": "P1D",
        "cursor_granularity": "PT1S",
        "start_time_option": option("since"),
        "end_time_option": option("until"),
    })
}

fn transformations() -> Value {
    let field = |name: &str, value: &str| json!({ "type": "AddedFieldDefinition", "path": [name], "value": value });
    json!([
        {
            "type": "AddFields",
            "fields": [
                field("label", "{{ record['name'] }} ({{ record['status'] }})"),
                field("total", "{{ record['amount'] * 2 }}"),
            ],
        },
        { "type": "RemoveFields", "field_pointers": [["tags"]] },
    ])
}

/// Three values come in another type than the schema says.
fn schema() -> Value {
    let of = |kind: &str| json!({ "type": ["null", kind] });
    json!({
        "type": "object",
        "properties": {
            "id": of("integer"),
            "uuid": of("string"),
            "name": of("string"),
            "status": of("string"),
            "amount": of("string"),
            "price": of("number"),
            "quantity": of("integer"),
            "is_paused": of("boolean"),
            "owner": { "type": ["null", "object"], "properties": { "id": of("string"), "email": of("string") } },
            "tags": { "type": ["null", "array"], "items": of("string") },
            "label": of("string"),
            "total": of("number"),
            "created_at": of("string"),
            "updated_at": of("string"),
        },
    })
}
