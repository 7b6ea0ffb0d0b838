//! Messages of the Airbyte protocol, as airbyte-cdk prints them: one JSON object a line, members in the same order, what is
//! not known left out.

use serde::Serialize;
use serde_json::{Map, Value};
use syncline_engine::{ReadError, Record};

/// The state of a stream that has no cursor, once it was read.
pub(super) const NO_CURSOR_STATE: &str = "__ab_no_cursor_state_message";

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Message<'a> {
    Record {
        record: RecordMessage<'a>,
    },
    State {
        state: StateMessage<'a>,
    },
    Log {
        log: LogMessage<'a>,
    },
    Trace {
        trace: Trace<'a>,
    },
    ConnectionStatus {
        #[serde(rename = "connectionStatus")]
        status: Verdict<'a>,
    },
    Catalog {
        catalog: Value,
    },
    Spec {
        spec: Value,
    },
    Control {
        control: Control<'a>,
    },
}

/// What whoever keeps the config must store.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Control<'a> {
    ConnectorConfig {
        emitted_at: i64,
        #[serde(rename = "connectorConfig")]
        connector_config: ConnectorConfig<'a>,
    },
}

#[derive(Debug, Serialize)]
pub(super) struct ConnectorConfig<'a> {
    pub(super) config: &'a Value,
}

/// What a check came to.
#[derive(Debug, Serialize)]
#[serde(tag = "status", rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Verdict<'a> {
    Succeeded,
    Failed { message: &'a str },
}

#[derive(Debug, Serialize)]
pub(super) struct RecordMessage<'a> {
    pub(super) stream: &'a str,
    pub(super) data: &'a Record,
    /// Milliseconds since 1970.
    pub(super) emitted_at: i64,
}

#[derive(Debug, Serialize)]
pub(super) struct StateMessage<'a> {
    r#type: &'static str,
    stream: StreamState<'a>,
    #[serde(rename = "sourceStats")]
    source_stats: SourceStats,
}

#[derive(Debug, Serialize)]
struct StreamState<'a> {
    stream_descriptor: Descriptor<'a>,
    stream_state: &'a Value,
}

#[derive(Debug, Serialize)]
struct SourceStats {
    /// A float, as the protocol wants counts.
    #[serde(rename = "recordCount")]
    record_count: f64,
}

impl<'a> StateMessage<'a> {
    /// The state of a stream, after so many records since its last one.
    pub(super) fn new(stream: &'a str, state: &'a Value, records: u64) -> StateMessage<'a> {
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
        let record_count = records as f64;
        StateMessage {
            r#type: "STREAM",
            stream: StreamState {
                stream_descriptor: Descriptor { name: stream },
                stream_state: state,
            },
            source_stats: SourceStats { record_count },
        }
    }
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Descriptor<'a> {
    pub(super) name: &'a str,
}

#[derive(Debug, Serialize)]
pub(super) struct LogMessage<'a> {
    pub(super) level: Level,
    pub(super) message: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Level {
    Info,
    Warn,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Trace<'a> {
    StreamStatus {
        emitted_at: i64,
        stream_status: StreamStatus<'a>,
    },
    Error {
        emitted_at: i64,
        error: &'a Fault<'a>,
    },
}

#[derive(Debug, Serialize)]
pub(super) struct StreamStatus<'a> {
    pub(super) stream_descriptor: Descriptor<'a>,
    pub(super) status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasons: Option<[Reason; 1]>,
}

/// Why a stream does not get on.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Reason {
    RateLimited,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Status {
    Started,
    Running,
    Complete,
    Incomplete,
}

/// What went wrong, secrets removed.
#[derive(Debug, Serialize)]
pub(super) struct Fault<'a> {
    pub(super) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) internal_message: Option<String>,
    pub(super) failure_type: FailureType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream_descriptor: Option<Descriptor<'a>>,
}

/// Who can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::enum_variant_names,
    reason = "the protocol's words: config_error, system_error, transient_error"
)]
pub(super) enum FailureType {
    ConfigError,
    SystemError,
    TransientError,
}

impl<'a> Fault<'a> {
    /// A fault of a stream's read.
    pub(super) fn of_read(stream: &'a str, error: &ReadError) -> Fault<'a> {
        Fault {
            message: error.to_string(),
            internal_message: error
                .failure()
                .and_then(|failure| failure.body_excerpt.clone()),
            failure_type: FailureType::of(error),
            stream_descriptor: Some(Descriptor { name: stream }),
        }
    }

    /// A fault of what was handed in.
    pub(super) fn of_input(message: String) -> Fault<'static> {
        Fault {
            message,
            internal_message: None,
            failure_type: FailureType::ConfigError,
            stream_descriptor: None,
        }
    }
}

impl FailureType {
    pub(super) fn of(error: &ReadError) -> FailureType {
        match error {
            ReadError::NeedsPerson { .. } | ReadError::NeedsToken { .. } => {
                FailureType::ConfigError
            }
            ReadError::RateLimited { .. }
            | ReadError::Transient { .. }
            | ReadError::Parked { .. } => FailureType::TransientError,
            ReadError::Permanent { .. }
            | ReadError::PositionRefused { .. }
            | ReadError::Stopped { .. }
            | ReadError::Cancelled => FailureType::SystemError,
        }
    }
}

/// The state of a stream without a cursor.
pub(super) fn no_cursor_state() -> Value {
    let mut state = Map::new();
    state.insert(NO_CURSOR_STATE.to_owned(), Value::Bool(true));
    Value::Object(state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(message: &Message<'_>) -> String {
        serde_json::to_string(message).unwrap()
    }

    #[test]
    fn lines_have_the_members_and_the_order_of_the_reference() {
        let data = json!({"id": 1}).as_object().cloned().unwrap();
        let record = RecordMessage {
            stream: "items",
            data: &data,
            emitted_at: 5,
        };
        assert_eq!(
            line(&Message::Record { record }),
            r#"{"type":"RECORD","record":{"stream":"items","data":{"id":1},"emitted_at":5}}"#
        );
        let at = json!({"at": "x"});
        let state = StateMessage::new("items", &at, 2);
        assert_eq!(
            serde_json::to_string(&state).unwrap(),
            r#"{"type":"STREAM","stream":{"stream_descriptor":{"name":"items"},"stream_state":{"at":"x"}},"sourceStats":{"recordCount":2.0}}"#
        );
        let trace = Trace::StreamStatus {
            emitted_at: 5,
            stream_status: StreamStatus {
                stream_descriptor: Descriptor { name: "items" },
                status: Status::Incomplete,
                reasons: None,
            },
        };
        assert_eq!(
            line(&Message::Trace { trace }),
            r#"{"type":"TRACE","trace":{"type":"STREAM_STATUS","emitted_at":5,"stream_status":{"stream_descriptor":{"name":"items"},"status":"INCOMPLETE"}}}"#
        );
        let limited = StreamStatus {
            stream_descriptor: Descriptor { name: "items" },
            status: Status::Running,
            reasons: Some([Reason::RateLimited]),
        };
        assert_eq!(
            serde_json::to_string(&limited).unwrap(),
            r#"{"stream_descriptor":{"name":"items"},"status":"RUNNING","reasons":[{"type":"RATE_LIMITED"}]}"#
        );
    }
}
