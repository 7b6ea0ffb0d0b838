//! Records as rows in COPY's text format.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use syncline_engine::Record;

use super::column::storable;
use super::table::Table;

/// Bytes of the fingerprint: 128 bits, so that chance equality need not be thought of.
const HASH_BYTES: usize = 16;
/// Characters of a refused record that are kept.
const SAMPLE_CHARS: usize = 500;

/// Records, ready to be copied.
#[derive(Debug, Default)]
pub(crate) struct Encoded {
    /// Lines of COPY's text format.
    pub(super) lines: Vec<u8>,
    /// How many lines there are.
    pub(super) rows: u64,
    /// Records that cannot be written: why, and the beginning of each.
    pub(crate) refused: Vec<(String, String)>,
    /// Values that went to `_extra`, because they do not fit their column.
    pub(crate) misfits: u64,
}

impl Table {
    /// Encodes records, in their order.
    pub(crate) fn encode<'a>(&self, records: impl IntoIterator<Item = &'a Record>) -> Encoded {
        let mut encoded = Encoded::default();
        for record in records {
            self.encode_record(record, &mut encoded);
        }
        encoded
    }

    fn encode_record(&self, record: &Record, encoded: &mut Encoded) {
        let mut fields = Vec::with_capacity(self.columns.len());
        let mut extra = Map::new();
        let mut misfits = 0;
        for column in &self.columns {
            let value = record.get(&column.property).unwrap_or(&Value::Null);
            let field = column.kind.render(value).unwrap_or_else(|_| {
                misfits += 1;
                extra.insert(column.property.clone(), storable(value));
                None
            });
            if column.is_key && field.is_none() {
                let sample = Value::Object(record.clone()).to_string();
                let sample = sample.chars().take(SAMPLE_CHARS).collect();
                let reason = format!("it has no {:?}, which is part of the key", column.property);
                encoded.refused.push((reason, sample));
                return;
            }
            fields.push(field);
        }
        for (property, value) in record {
            if !self
                .columns
                .iter()
                .any(|column| column.property == *property)
            {
                extra.insert(property.clone(), storable(value));
            }
        }
        let extra = (!extra.is_empty()).then(|| Value::Object(extra).to_string());
        encoded.misfits += misfits;
        encoded.rows += 1;

        let lines = &mut encoded.lines;
        lines.extend_from_slice(encoded.rows.to_string().as_bytes());
        let hash = self.fingerprint(&fields, extra.as_deref());
        lines.extend_from_slice(b"\t\\\\x");
        for byte in hash {
            lines.extend_from_slice(format!("{byte:02x}").as_bytes());
        }
        for field in fields.iter().chain([&extra]) {
            lines.push(b'\t');
            match field {
                Some(text) => escape(text, lines),
                None => lines.extend_from_slice(b"\\N"),
            }
        }
        lines.push(b'\n');
    }

    /// Fingerprint of what a row would hold, names included: a new column gives a new fingerprint only to rows that fill it.
    fn fingerprint(&self, fields: &[Option<String>], extra: Option<&str>) -> [u8; HASH_BYTES] {
        let mut digest = Sha256::new();
        let mut part = |text: &str| {
            digest.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
            digest.update(text.as_bytes());
        };
        for (column, field) in self.columns.iter().zip(fields) {
            if let Some(text) = field {
                part(&column.name);
                part(text);
            }
        }
        part(extra.unwrap_or_default());
        let mut hash = [0; HASH_BYTES];
        for (to, from) in hash.iter_mut().zip(digest.finalize()) {
            *to = from;
        }
        hash
    }
}

/// Postgres' documentation of COPY, "Text Format": backslash, newline, return and tab are written with a backslash.
fn escape(text: &str, lines: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'\\' => lines.extend_from_slice(b"\\\\"),
            b'\n' => lines.extend_from_slice(b"\\n"),
            b'\r' => lines.extend_from_slice(b"\\r"),
            b'\t' => lines.extend_from_slice(b"\\t"),
            other => lines.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use syncline_engine::StreamInfo;

    fn table() -> Table {
        let stream = StreamInfo {
            name: "products".to_owned(),
            primary_key: vec![vec!["id".to_owned()]],
            schema: json!({"properties": {"id": {"type": "string"}, "qty": {"type": "integer"}}}),
            supports_page: true,
            full_read: true,
            cursor: None,
            unified: None,
        };
        Table::plan("g2a", &stream).expect("a table")
    }

    fn encode(record: Value) -> Encoded {
        let Value::Object(record) = record else {
            panic!("an object")
        };
        table().encode([&record])
    }

    #[test]
    fn what_has_no_column_or_does_not_fit_goes_to_extra() {
        let encoded = encode(json!({"id": "a\tb", "qty": "many", "new": 1}));
        let line = String::from_utf8(encoded.lines).expect("UTF-8");
        assert!(
            line.ends_with("\ta\\tb\t\\N\t{\"qty\":\"many\",\"new\":1}\n"),
            "{line}"
        );
        assert_eq!((encoded.rows, encoded.misfits), (1, 1));
    }

    #[test]
    fn a_record_without_its_key_is_refused_with_a_sample() {
        let encoded = encode(json!({"qty": 1}));
        assert_eq!(encoded.rows, 0);
        assert_eq!(encoded.refused.len(), 1);
        assert_eq!(encoded.refused[0].1, "{\"qty\":1}");
    }

    #[test]
    fn equal_records_have_equal_fingerprints_and_others_have_not() {
        let line = |record| String::from_utf8(encode(record).lines).expect("UTF-8");
        assert_eq!(
            line(json!({"id": "a", "qty": 1})),
            line(json!({"qty": 1, "id": "a"}))
        );
        assert_ne!(
            line(json!({"id": "a", "qty": 1})),
            line(json!({"id": "a", "qty": 2}))
        );
    }
}
