//! `JsonlDecoder` and `IterableDecoder`: an answer line by line.

use std::io::BufRead;

use serde_json::{Map, Value};

use super::{Sink, Undecoded, unreadable};

/// Each line holds a JSON value. Empty lines are passed over; any other line that is no JSON is a failure.
pub(super) fn json(mut bytes: impl BufRead, sink: &mut Sink<'_>) -> Result<(), Undecoded> {
    let mut line = Vec::new();
    let mut number = 0u64;
    loop {
        line.clear();
        if bytes.read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
            return Ok(());
        }
        number += 1;
        let text = match number {
            1 => line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line),
            _ => &line,
        };
        if text.trim_ascii().is_empty() {
            continue;
        }
        let value = serde_json::from_slice(text).map_err(|error| {
            Undecoded::Broken(format!(
                "line {number} of the answer is no readable JSON: {error}"
            ))
        })?;
        sink(value)?;
    }
}

/// Each line becomes `{"record": <the line>}`, empty ones as well. A line ends with `\n`, `\r`, or both.
pub(super) fn text(mut bytes: impl BufRead, sink: &mut Sink<'_>) -> Result<(), Undecoded> {
    let mut line = Vec::new();
    let mut number = 0u64;
    loop {
        line.clear();
        if bytes.read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
            return Ok(());
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        for part in line.split(|byte| *byte == b'\r') {
            number += 1;
            let Ok(part) = std::str::from_utf8(part) else {
                let message = format!("line {number} of the answer is no UTF-8");
                return Err(Undecoded::Broken(message));
            };
            let mut row = Map::new();
            row.insert("record".to_owned(), Value::String(part.to_owned()));
            sink(Value::Object(row))?;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Decoder, Undecoded};

    #[test]
    fn each_line_is_a_value() {
        let decoded = Decoder::JsonLines.decode(b"{\"a\": 1.10}\n\n [1, 2]\r\n\"x\"", 100);
        let expected: serde_json::Value =
            serde_json::from_str(r#"[{"a": 1.10}, [1, 2], "x"]"#).unwrap();
        assert_eq!(decoded.unwrap(), expected);
        let ended = Decoder::JsonLines.decode(b"{}\n{\"a\": ", 100);
        assert!(
            matches!(&ended, Err(Undecoded::Broken(message)) if message.starts_with("line 2 ")),
            "{ended:?}"
        );
    }

    #[test]
    fn each_line_is_a_text() {
        let decoded = Decoder::TextLines.decode("a\n\nb,c\r\nd\re".as_bytes(), 100);
        let texts = ["a", "", "b,c", "d", "e"].map(|text| json!({"record": text}));
        assert_eq!(decoded.unwrap(), json!(texts));
        assert_eq!(Decoder::TextLines.decode(b"", 100).unwrap(), json!([]));
    }
}
