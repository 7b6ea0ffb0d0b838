//! `CsvDecoder`: rows by the names of the first one, all values texts.
//!
//! A byte order mark is no part of the first name, though the reference takes it for one.
//! A row that is shorter than the header has nulls at its end. The cells of a longer one are a list in the member `null`, as the
//! reference writes it.

use std::io::BufRead;

use serde_json::{Map, Value};

use super::meter::{Meter, Metered, Syntax};
use super::text::Encoding;
use super::{Sink, Undecoded, unreadable};
use crate::load::component::{Component, Problems};

/// Where the cells go that have no name.
const NO_NAME: &str = "null";

/// `CsvDecoder`.
#[derive(Debug, Clone)]
pub(crate) struct Csv {
    encoding: Encoding,
    delimiter: u8,
    /// Texts that mean null.
    null_words: Vec<String>,
}

impl Csv {
    pub(super) fn load(component: &Component<'_>, problems: &mut Problems) -> Option<Csv> {
        let encoding = Encoding::load(component, problems);
        let delimiter = match component.text("delimiter", problems) {
            None | Some("") => Some(b','),
            Some(text) => single(text),
        };
        if delimiter.is_none() {
            let message = "one ASCII character is needed here, or \\t";
            problems.add(component.path_of("delimiter"), message);
        }
        let null_words = component.texts("set_values_to_none", problems);
        Some(Csv {
            encoding: encoding?,
            delimiter: delimiter?,
            null_words,
        })
    }

    pub(super) fn decode(
        &self,
        bytes: impl BufRead,
        meter: &Meter,
        sink: &mut Sink<'_>,
    ) -> Result<(), Undecoded> {
        let syntax = Syntax::Csv {
            delimiter: self.delimiter,
        };
        let mut reader = ::csv::ReaderBuilder::new()
            .delimiter(self.delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(Metered::new(self.encoding.reader(bytes), syntax, meter));
        let mut row = ::csv::StringRecord::new();
        if !read(&mut reader, &mut row)? {
            return Ok(());
        }
        let names: Vec<String> = row.iter().map(plain).collect();
        while read(&mut reader, &mut row)? {
            let mut members = Map::new();
            for (index, name) in names.iter().enumerate() {
                members.insert(name.clone(), self.value(row.get(index)));
            }
            if row.len() > names.len() {
                let rest = row.iter().skip(names.len()).map(plain).map(Value::String);
                members.insert(NO_NAME.to_owned(), rest.collect());
            }
            sink(Value::Object(members))?;
        }
        Ok(())
    }

    fn value(&self, cell: Option<&str>) -> Value {
        match cell.map(plain) {
            Some(text) if !self.null_words.contains(&text) => Value::String(text),
            _ => Value::Null,
        }
    }
}

fn read<R: std::io::Read>(
    reader: &mut ::csv::Reader<R>,
    row: &mut ::csv::StringRecord,
) -> Result<bool, Undecoded> {
    reader.read_record(row).map_err(|error| {
        let message = format!("the answer is no readable CSV: {error}");
        match error.into_kind() {
            ::csv::ErrorKind::Io(error) => unreadable(error),
            _ => Undecoded::Broken(message),
        }
    })
}

/// Line ends within a cell are `\n`, whatever they were.
fn plain(cell: &str) -> String {
    if cell.contains('\r') {
        cell.replace("\r\n", "\n").replace('\r', "\n")
    } else {
        cell.to_owned()
    }
}

/// A character, or an escaped one.
fn single(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | b'"') => Some(*byte),
        [b'\\', b't'] => Some(b'\t'),
        [b'\\', b'x' | b'u', rest @ ..] => {
            let digits = std::str::from_utf8(rest).ok()?;
            let byte = u8::from_str_radix(digits, 16).ok()?;
            byte.is_ascii().then_some(byte)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Undecoded;
    use super::super::tests::decoder;

    #[test]
    fn rows_are_read_as_the_reference_reads_them() {
        let plain = decoder("{type: CsvDecoder}");
        let cases = [
            ("a,b\n1,2\n", json!([{"a": "1", "b": "2"}])),
            (
                "a,b\n5\n\n6,7\n",
                json!([{"a": "5", "b": null}, {"a": "6", "b": "7"}]),
            ),
            (
                "a,b\n\"x \"\"y\"\" \r\n z\",q\"r\"\n\"a\"b,c\n",
                json!([{"a": "x \"y\" \n z", "b": "q\"r\""}, {"a": "ab", "b": "c"}]),
            ),
            ("a,a\n1,2\n", json!([{"a": "2"}])),
            (
                "a,b\n1,2,3,4\n",
                json!([{"a": "1", "b": "2", "null": ["3", "4"]}]),
            ),
            ("\u{feff}a\n1\n", json!([{"a": "1"}])),
            ("", json!([])),
            ("a,b\n", json!([])),
            ("a,b\n\"open,1\n", json!([{"a": "open,1\n", "b": null}])),
            ("a,b\r1,2\r", json!([{"a": "1", "b": "2"}])),
            ("a, b\n 1 ,2\n", json!([{"a": " 1 ", " b": "2"}])),
        ];
        for (text, expected) in cases {
            assert_eq!(
                plain.decode(text.as_bytes(), 1000).unwrap(),
                expected,
                "{text:?}"
            );
        }
        assert!(matches!(
            plain.decode(b"a\n\xe4\n", 1000),
            Err(Undecoded::Broken(_))
        ));
    }

    #[test]
    fn delimiters_null_words_and_encodings_are_the_manifests() {
        let tabs =
            decoder("{type: CsvDecoder, delimiter: \"\\\\t\", set_values_to_none: ['-', '']}");
        assert_eq!(
            tabs.decode(b"a\tb\tc\n1\t-\t\n", 1000).unwrap(),
            json!([{"a": "1", "b": null, "c": null}])
        );
        for (name, bytes) in [
            ("iso-8859-1", b"\xe4\n\xf6\n".as_slice()),
            ("windows-1252", b"\xe4\n\xf6\n"),
            ("utf-8-sig", b"\xef\xbb\xbf\xc3\xa4\n\xc3\xb6\n"),
            ("utf-16", b"\xff\xfe\xe4\x00\n\x00\xf6\x00\n\x00"),
        ] {
            let decoder = decoder(&format!("{{type: CsvDecoder, encoding: {name}}}"));
            let found = decoder.decode(bytes, 1000).unwrap();
            assert_eq!(found, json!([{"ä": "ö"}]), "{name}");
        }
    }
}
