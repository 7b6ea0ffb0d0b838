//! What the platform itself says about a failure.

use serde_json::Value;

/// Members that hold messages, as the language searches them.
const MESSAGE_KEYS: &[&str] = &[
    "message",
    "messages",
    "error",
    "errors",
    "failures",
    "failure",
    "detail",
    "err",
    "error_message",
    "msg",
    "reason",
    "status_message",
];

/// Members that hold a code of the platform's own.
const CODE_KEYS: &[&str] = &[
    "code",
    "error_code",
    "errorCode",
    "serviceErrorCode",
    "status_code",
    "title",
    "type",
];

/// The message text: from the known members, else the body itself.
pub(crate) fn error_message(response: &Value, body: &[u8]) -> String {
    message_of(response, 0).unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}

fn message_of(value: &Value, depth: usize) -> Option<String> {
    if depth > 8 {
        return None;
    }
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => {
            let parts: Vec<String> = items
                .iter()
                .filter_map(|item| message_of(item, depth + 1))
                .collect();
            if parts.is_empty() {
                None
            } else {
                Some(parts.join(", "))
            }
        }
        Value::Object(members) => MESSAGE_KEYS
            .iter()
            .filter_map(|key| members.get(*key))
            .find_map(|member| message_of(member, depth + 1)),
        _ => None,
    }
}

/// The platform's own code, such as `BR03` or `190`.
pub(crate) fn platform_code(response: &Value) -> Option<String> {
    code_of(response, 0)
}

fn code_of(value: &Value, depth: usize) -> Option<String> {
    if depth > 3 {
        return None;
    }
    match value {
        Value::Object(members) => {
            for key in CODE_KEYS {
                match members.get(*key) {
                    Some(Value::String(text)) if !text.is_empty() && text.len() <= 100 => {
                        return Some(text.clone());
                    }
                    Some(Value::Number(number)) => return Some(number.to_string()),
                    _ => {}
                }
            }
            let inner = ["error", "errors", "fault"]
                .iter()
                .filter_map(|key| members.get(*key));
            inner
                .into_iter()
                .find_map(|member| code_of(member, depth + 1))
        }
        Value::Array(items) => items.first().and_then(|item| code_of(item, depth + 1)),
        _ => None,
    }
}
