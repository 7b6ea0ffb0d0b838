//! What can be switched on, as data: read from control JSON with every problem named, and shown in the same words.

use serde::Serialize;
use serde_json::Value;

use super::FAULTS;
use crate::control::input::{Fields, InputError};

const MOST_PAGES: usize = 10_000;
const LONGEST_PAUSE_MS: u64 = 600_000;
const MOST_BYTES: u64 = 1_000_000_000;

/// All switches of a platform; the default does nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultSettings {
    /// Decides every chance below.
    pub seed: u64,
    /// Milliseconds that each answer waits.
    pub latency_ms: u64,
    /// At most so many milliseconds more, drawn for each call.
    pub jitter_ms: u64,
    /// At most one switch for each fault.
    pub switches: Vec<Switch>,
}

/// A fault and when it strikes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Switch {
    /// Which calls are struck.
    #[serde(flatten)]
    pub trigger: Trigger,
    /// What happens to them.
    #[serde(flatten)]
    pub fault: Fault,
}

/// Which calls a fault strikes: its parts narrow each other, and no part means every call.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Trigger {
    /// Probability, 0 to 1, drawn from the seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Every so-many-th call; at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<u64>,
    /// Calls for these pages only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pages: Option<Vec<u64>>,
    /// So many calls, then no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// A way to misbehave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Fault {
    /// TCP reset: before any byte of an answer, or after so many bytes of the body.
    ConnectionReset {
        /// Bytes of the body that still arrive; `None` resets instead of answering.
        #[serde(skip_serializing_if = "Option::is_none")]
        after_bytes: Option<usize>,
    },
    /// 502 with an empty body.
    BadGateway {},
    /// 500 with the platform's error JSON.
    ServerError {},
    /// 503 with the HTML page of a proxy.
    Unavailable {
        /// Seconds in the Retry-After header; `None` leaves it out.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_s: Option<u32>,
    },
    /// The platform's "too many calls" answer, without its limit being reached.
    RateLimited {
        /// Seconds in the Retry-After header; `None` leaves it out.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_s: Option<u32>,
    },
    /// The total that an answer names is off by 1 to `by`, either way.
    TotalChanging {
        /// Largest deviation; at least 1.
        by: u32,
    },
    /// The last rows of the page before stand at the head of this one too, which grows by them: no row is lost.
    DuplicatedRows {
        /// Rows repeated; at least 1.
        rows: usize,
    },
    /// An intact body under another Content-Type.
    WrongContentType {
        /// The header's value.
        content_type: String,
    },
    /// Status 200 and a well-formed HTTP message whose JSON is cut off or mixed with other text.
    BrokenJson {},
    /// The body drips.
    SlowBody {
        /// Bytes a piece; at least 1.
        chunk_bytes: usize,
        /// Milliseconds between two pieces.
        pause_ms: u64,
    },
    /// The connection closes before the announced Content-Length is reached.
    TruncatedBody {},
}

impl Fault {
    /// The fault's name in the control language.
    pub fn name(&self) -> &'static str {
        FAULTS[self.order()]
    }

    /// Its place in [`FAULTS`].
    pub(super) fn order(&self) -> usize {
        match self {
            Self::ConnectionReset { .. } => 0,
            Self::BadGateway {} => 1,
            Self::ServerError {} => 2,
            Self::Unavailable { .. } => 3,
            Self::RateLimited { .. } => 4,
            Self::TotalChanging { .. } => 5,
            Self::DuplicatedRows { .. } => 6,
            Self::WrongContentType { .. } => 7,
            Self::BrokenJson {} => 8,
            Self::SlowBody { .. } => 9,
            Self::TruncatedBody {} => 10,
        }
    }

    /// Reads the options of the fault of this name; the caller has checked the name.
    fn read(name: &str, fields: &mut Fields<'_>) -> Result<Self, InputError> {
        let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        Ok(match name {
            "connection_reset" => Self::ConnectionReset {
                after_bytes: fields.number("after_bytes", 0..=MOST_BYTES)?.map(size),
            },
            "bad_gateway" => Self::BadGateway {},
            "server_error" => Self::ServerError {},
            "unavailable" => Self::Unavailable {
                retry_after_s: read_retry_after(fields)?,
            },
            "rate_limited" => Self::RateLimited {
                retry_after_s: read_retry_after(fields)?,
            },
            "total_changing" => {
                let by = fields.number("by", 1..=1_000_000)?.unwrap_or(20);
                Self::TotalChanging {
                    by: u32::try_from(by).unwrap_or(u32::MAX),
                }
            }
            "duplicated_rows" => Self::DuplicatedRows {
                rows: size(fields.number("rows", 1..=1_000)?.unwrap_or(1)),
            },
            "wrong_content_type" => {
                let content_type = fields.header_value("content_type")?;
                let html = || "text/html; charset=utf-8".to_owned();
                Self::WrongContentType {
                    content_type: content_type.unwrap_or_else(html),
                }
            }
            "broken_json" => Self::BrokenJson {},
            "slow_body" => Self::SlowBody {
                chunk_bytes: size(
                    fields
                        .number("chunk_bytes", 1..=MOST_BYTES)?
                        .unwrap_or(1_024),
                ),
                pause_ms: fields
                    .number("pause_ms", 0..=LONGEST_PAUSE_MS)?
                    .unwrap_or(50),
            },
            _ => Self::TruncatedBody {},
        })
    }
}

impl FaultSettings {
    /// Reads settings from control JSON; everything is optional, unknown names are refused.
    pub(crate) fn read(json: &Value) -> Result<Self, InputError> {
        let mut fields = Fields::of(json, "")?;
        let mut settings = Self {
            seed: fields.number("seed", 0..=u64::MAX)?.unwrap_or(0),
            latency_ms: fields
                .number("latency_ms", 0..=LONGEST_PAUSE_MS)?
                .unwrap_or(0),
            jitter_ms: fields
                .number("jitter_ms", 0..=LONGEST_PAUSE_MS)?
                .unwrap_or(0),
            switches: Vec::new(),
        };
        for name in FAULTS {
            let Some(mut switch) = fields.object(name)? else {
                continue;
            };
            let trigger = Trigger {
                rate: switch.fraction("rate")?,
                every: switch.number("every", 1..=u64::MAX)?,
                pages: switch.numbers("pages", 1..=u64::MAX, MOST_PAGES)?,
                next: switch.number("next", 0..=u64::MAX)?,
            };
            let fault = Fault::read(name, &mut switch)?;
            switch.finish()?;
            settings.switches.push(Switch { trigger, fault });
        }
        fields.finish()?;
        Ok(settings)
    }
}

fn read_retry_after(fields: &mut Fields<'_>) -> Result<Option<u32>, InputError> {
    let seconds = fields.number("retry_after_s", 0..=86_400)?;
    Ok(seconds.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_fault_can_be_set_by_its_name_and_is_shown_as_it_was_set() {
        for (order, name) in FAULTS.iter().enumerate() {
            let settings =
                FaultSettings::read(&json!({ *name: {"every": 2, "pages": [3]} })).unwrap();
            assert_eq!(settings.switches[0].fault.name(), *name);
            assert_eq!(settings.switches[0].fault.order(), order);
            let shown = serde_json::to_value(&settings.switches[0]).unwrap();
            assert_eq!((&shown["every"], &shown["pages"]), (&json!(2), &json!([3])));
            let read_again = FaultSettings::read(&json!({ *name: shown })).unwrap();
            assert_eq!(read_again, settings);
        }
    }

    #[test]
    fn bad_settings_are_refused_by_field_value_and_what_is_allowed() {
        let refused = |json: Value| {
            let error = FaultSettings::read(&json).unwrap_err();
            (error.field, error.value.map(|value| *value), error.allowed)
        };
        let (field, value, allowed) = refused(json!({"rate_limited": {"rate": 1.5}}));
        assert_eq!(
            (field.as_str(), value),
            ("rate_limited.rate", Some(json!(1.5)))
        );
        assert!(allowed.contains("0 to 1"), "{allowed}");
        let (field, _, allowed) = refused(json!({"latency": 20}));
        assert_eq!(field, "latency");
        assert!(
            allowed.contains("latency_ms") && allowed.contains("truncated_body"),
            "{allowed}"
        );
        assert_eq!(
            refused(json!({"slow_body": {"pause_ms": -1}})).0,
            "slow_body.pause_ms"
        );
        assert_eq!(
            refused(json!({"bad_gateway": {"pages": [1, 0]}})).0,
            "bad_gateway.pages[1]"
        );
        assert_eq!(refused(json!({"bad_gateway": true})).0, "bad_gateway");
        let (field, _, allowed) = refused(json!({"broken_json": {"retry_after_s": 1}}));
        assert_eq!(field, "broken_json.retry_after_s");
        assert!(!allowed.contains("retry_after_s"), "{allowed}");
        assert_eq!(refused(json!([1])).0, "(body)");
        let newline = refused(json!({"wrong_content_type": {"content_type": "a\nb"}}));
        assert_eq!(newline.0, "wrong_content_type.content_type");
    }
}
