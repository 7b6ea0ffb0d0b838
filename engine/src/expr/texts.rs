//! Filters that make a text of a text: cut, indented, escaped, or its digest.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use sha2::Digest as _;

use super::eval::EvalError;
use super::filters::{Call, wrong};
use super::fuel::limited;
use super::methods;
use super::value::Val;

/// Digests of the `hash` filter.
pub(super) const DIGESTS: &[&str] = &["md5", "sha1", "sha224", "sha256", "sha384", "sha512"];

/// Python's `quote` leaves these alone, and `/` too for a text.
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'_')
    .remove(b'.')
    .remove(b'-')
    .remove(b'~');
const QUOTED_PATH: &AsciiSet = &QUOTED.remove(b'/');

/// A whole number that is given, or the usual one.
fn count(value: Option<&Val<'_>>, usual: usize) -> Result<usize, EvalError> {
    let Some(value) = value else {
        return Ok(usual);
    };
    let number = value.as_json().and_then(Value::as_u64);
    let number = number.and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| wrong(value, "is no whole number of 0 and more"))
}

/// `truncate(length, killwords, end, leeway)`.
pub(super) fn truncate_text(value: &Val<'_>, call: &Call<'_, '_>) -> Result<String, EvalError> {
    let text = value
        .as_str()
        .ok_or_else(|| wrong(value, "is no text to cut"))?;
    let most = count(call.argument(0), 255)?;
    let cuts_words = call.argument(1).is_some_and(Val::is_true);
    let end = call.argument(2).map_or("...".into(), Val::to_text);
    let leeway = call.argument(3);
    let leeway = count(
        leeway.filter(|leeway| leeway.as_json() != Some(&Value::Null)),
        5,
    )?;
    let Some(kept) = most.checked_sub(end.chars().count()) else {
        return Err(EvalError::Value(
            "truncate() needs room for its end".to_owned(),
        ));
    };
    if text.chars().count() <= most.saturating_add(leeway) {
        return Ok(text.to_owned());
    }
    let head: String = text.chars().take(kept).collect();
    let head = match head.rsplit_once(' ') {
        Some((whole_words, _)) if !cuts_words => whole_words,
        _ => &head,
    };
    Ok(format!("{head}{end}"))
}

/// `indent(width, first, blank)`.
pub(super) fn indent(value: &Val<'_>, call: &Call<'_, '_>) -> Result<String, EvalError> {
    let text = value
        .as_str()
        .ok_or_else(|| wrong(value, "is no text to indent"))?;
    let space = match call.argument(0) {
        Some(text) if text.as_str().is_some() => text.to_text(),
        width => {
            let width = count(width, 4)?;
            limited(width)?;
            " ".repeat(width).into()
        }
    };
    let first = call.argument(1).is_some_and(Val::is_true);
    let blank = call.argument(2).is_some_and(Val::is_true);
    let text = format!("{text}\n");
    let mut out = String::new();
    for (place, line) in methods::lines(&text).into_iter().enumerate() {
        let is_first = place == 0;
        if !is_first {
            out.push('\n');
        }
        if (is_first && first) || (!is_first && (blank || !line.is_empty())) {
            out.push_str(&space);
        }
        out.push_str(line);
        limited(out.len())?;
    }
    Ok(out)
}

pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

pub(super) fn url_encode(value: &Val<'_>) -> String {
    let quote_member = |value: &Value| {
        let text = Val::json(value.clone()).to_text().into_owned();
        utf8_percent_encode(&text, QUOTED)
            .to_string()
            .replace("%20", "+")
    };
    match value.as_json() {
        Some(Value::Object(members)) => {
            let mut parts = Vec::with_capacity(members.len());
            for (key, member) in members {
                let key = quote_member(&Value::String(key.clone()));
                parts.push(format!("{key}={}", quote_member(member)));
            }
            parts.join("&")
        }
        _ => utf8_percent_encode(&value.to_text(), QUOTED_PATH).to_string(),
    }
}

pub(super) fn hash(kind: &str, input: &[u8]) -> Result<String, EvalError> {
    let digest: Vec<u8> = match kind {
        "md5" => md5::Md5::digest(input).to_vec(),
        "sha1" => sha1::Sha1::digest(input).to_vec(),
        "sha224" => sha2::Sha224::digest(input).to_vec(),
        "sha256" => sha2::Sha256::digest(input).to_vec(),
        "sha384" => sha2::Sha384::digest(input).to_vec(),
        "sha512" => sha2::Sha512::digest(input).to_vec(),
        _ => {
            let message = format!(
                "the digest \"{kind}\" is not supported; supported: {}",
                DIGESTS.join(", ")
            );
            return Err(EvalError::Value(message));
        }
    };
    Ok(hex(&digest))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
