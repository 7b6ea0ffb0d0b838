//! Decoders: from an answer's bytes to what extractors read.
//!
//! A decoder of rows (lines, CSV, items of a nested list) reads from a stream of bytes and hands each row to a sink, so that the
//! decompressed bytes are never held as a whole. What is decoded is bounded: an answer that unfolds beyond the limit fails, and says
//! so. An answer that cannot be decoded is a failure, where the reference often gives an empty page.

mod csv;
mod items;
mod lines;
mod meter;
mod stream;
mod text;
mod xml;
mod zipped;

use std::io::{self, BufRead, BufReader, Read};

use ::flate2::bufread::MultiGzDecoder;
use serde_json::Value;

pub(crate) use self::csv::Csv;
pub(crate) use self::items::Items;
pub(crate) use self::meter::Meter;
use self::meter::{Metered, Overfull, Syntax};
pub(crate) use self::stream::{Batch, start};
use crate::load::component::{Component, Problems};

/// The decoders of a retriever.
pub(crate) const SUPPORTED: &[&str] = &[
    "JsonDecoder",
    "JsonlDecoder",
    "JsonItemsDecoder",
    "IterableDecoder",
    "CsvDecoder",
    "GzipDecoder",
    "XmlDecoder",
    "ZipfileDecoder",
];
/// What may be within a `GzipDecoder` or a `ZipfileDecoder`.
const WITHIN_ARCHIVES: &[&str] = &[
    "JsonDecoder",
    "JsonlDecoder",
    "JsonItemsDecoder",
    "CsvDecoder",
    "GzipDecoder",
];
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// How an answer is read.
#[derive(Debug, Clone, Default)]
pub(crate) enum Decoder {
    #[default]
    Json,
    /// `JsonlDecoder`: one value a line.
    JsonLines,
    /// `IterableDecoder`: each line as a text.
    TextLines,
    Items(Items),
    Csv(Csv),
    /// Unpacked if it is gzip, taken as it is otherwise.
    Gzip(Box<Decoder>),
    /// `ZipfileDecoder`: the files of an archive, one after the other.
    Zip(Box<Decoder>),
    Xml,
    /// `x_streamed`: rows are handed on while the answer arrives.
    Streamed(Box<Decoder>),
}

/// Why an answer could not be decoded.
#[derive(Debug)]
pub(crate) enum Undecoded {
    /// It is not what the decoder reads; in the decoder's words.
    Broken(String),
    /// Unpacked it is larger than this.
    TooLarge(usize),
    /// Decoded it takes more memory than this.
    Overfull(u64),
    /// The sink wants no more.
    Stopped,
}

/// Takes one row; an error ends decoding.
pub(crate) type Sink<'s> = dyn FnMut(Value) -> Result<(), Undecoded> + 's;

impl Decoder {
    /// The decoder in this field of a component; JSON if there is none.
    pub(crate) fn load(
        component: &Component<'_>,
        field: &str,
        problems: &mut Problems,
    ) -> Option<Decoder> {
        if component.get(field).is_none() {
            return Some(Decoder::Json);
        }
        let decoder = component.child(field, SUPPORTED, problems)?;
        Decoder::load_component(&decoder, problems)
    }

    fn load_component(component: &Component<'_>, problems: &mut Problems) -> Option<Decoder> {
        component.refuse(&[], &[], problems);
        Some(match component.kind {
            "JsonlDecoder" => Decoder::JsonLines,
            "IterableDecoder" => Decoder::TextLines,
            "XmlDecoder" => Decoder::Xml,
            "JsonItemsDecoder" => Decoder::Items(Items::load(component, problems)?),
            "CsvDecoder" => Decoder::Csv(Csv::load(component, problems)?),
            "GzipDecoder" | "ZipfileDecoder" => {
                if component.get("decoder").is_none() {
                    component.missing("decoder", problems);
                }
                let inner = component.child("decoder", WITHIN_ARCHIVES, problems)?;
                let inner = Box::new(Decoder::load_component(&inner, problems)?);
                if component.kind == "GzipDecoder" {
                    Decoder::Gzip(inner)
                } else {
                    Decoder::Zip(inner)
                }
            }
            _ => Decoder::Json,
        })
    }

    /// Whether the answer can be decoded while it arrives.
    pub(crate) fn can_stream(&self) -> bool {
        !matches!(self, Decoder::Xml | Decoder::Zip(_))
    }

    /// Whether expressions can read the answer as a whole, as `response`.
    pub(crate) fn gives_response(&self) -> bool {
        matches!(self, Decoder::Json | Decoder::Xml)
    }

    /// Whether the answer itself is what is decoded, and has its length.
    fn unpacks(&self) -> bool {
        matches!(self, Decoder::Gzip(_) | Decoder::Zip(_))
    }

    /// As [`decode_within`](Self::decode_within), with enough memory.
    #[cfg(test)]
    pub(crate) fn decode(&self, body: &[u8], limit: usize) -> Result<Value, Undecoded> {
        self.decode_within(body, limit, &Meter::unlimited())
    }

    /// Decodes a whole answer: a list of rows, or the only value. `limit` is how many bytes it may have when unpacked.
    pub(crate) fn decode_within(
        &self,
        body: &[u8],
        limit: usize,
        meter: &Meter,
    ) -> Result<Value, Undecoded> {
        match self {
            Decoder::Json => json(body, meter),
            Decoder::Xml => {
                meter.take(Syntax::Xml, body)?;
                xml::decode(body)
            }
            Decoder::Streamed(inner) => inner.decode_within(body, limit, meter),
            _ => {
                let unlimited = Meter::unlimited();
                let meter = if !self.unpacks() && meter.fits(body.len()) {
                    &unlimited
                } else {
                    meter
                };
                let mut rows = Vec::new();
                let mut sink = |row| {
                    rows.push(row);
                    Ok(())
                };
                self.rows(body, limit, meter, &mut sink)?;
                Ok(Value::Array(rows))
            }
        }
    }

    /// Decodes a stream of bytes row by row.
    pub(crate) fn rows<'r>(
        &self,
        bytes: impl BufRead + 'r,
        limit: usize,
        meter: &'r Meter,
        sink: &mut Sink<'_>,
    ) -> Result<(), Undecoded> {
        let mut bytes: Box<dyn BufRead + 'r> = Box::new(bytes);
        let metered = |bytes, syntax| BufReader::new(Metered::new(bytes, syntax, meter));
        match self {
            Decoder::Gzip(inner) => {
                let (is_gzip, whole) = with_start(bytes)?;
                bytes = whole;
                if is_gzip {
                    let unpacked = Limited {
                        inner: MultiGzDecoder::new(bytes),
                        left: limit,
                        limit,
                    };
                    bytes = Box::new(BufReader::with_capacity(64 * 1024, unpacked));
                }
                inner.rows(bytes, limit, meter, sink)
            }
            Decoder::Streamed(inner) => inner.rows(bytes, limit, meter, sink),
            Decoder::Zip(inner) => {
                let mut whole = Vec::new();
                bytes.read_to_end(&mut whole).map_err(unreadable)?;
                zipped::decode(&whole, inner, limit, meter, sink)
            }
            Decoder::JsonLines => lines::json(metered(bytes, Syntax::JsonLines), sink),
            Decoder::TextLines => lines::text(metered(bytes, Syntax::TextLines), sink),
            Decoder::Items(items) => items.decode(bytes, meter, sink),
            Decoder::Csv(csv) => csv.decode(bytes, meter, sink),
            Decoder::Json => items::decode_top_level(metered(bytes, Syntax::Json), sink),
            Decoder::Xml => {
                let mut whole = Vec::new();
                bytes.read_to_end(&mut whole).map_err(unreadable)?;
                meter.take(Syntax::Xml, &whole)?;
                sink(xml::decode(&whole)?)
            }
        }
    }
}

/// A whole answer that is JSON.
pub(crate) fn json(body: &[u8], meter: &Meter) -> Result<Value, Undecoded> {
    meter.take(Syntax::Json, body)?;
    serde_json::from_slice(body).map_err(|error| broken_json(&error))
}

/// Looks at the first two bytes without losing them.
fn with_start<'r>(
    mut bytes: Box<dyn BufRead + 'r>,
) -> Result<(bool, Box<dyn BufRead + 'r>), Undecoded> {
    let mut start = Vec::with_capacity(GZIP_MAGIC.len());
    let most = GZIP_MAGIC.len() as u64;
    (&mut bytes)
        .take(most)
        .read_to_end(&mut start)
        .map_err(unreadable)?;
    let is_gzip = start == GZIP_MAGIC;
    Ok((is_gzip, Box::new(io::Cursor::new(start).chain(bytes))))
}

/// Stops a stream that unfolds too far.
struct Limited<R> {
    inner: R,
    left: usize,
    limit: usize,
}

/// What [`Limited`] fails with, within an error of the standard library.
#[derive(Debug, thiserror::Error)]
#[error("unpacked, the answer has more than {0} bytes, which is the limit")]
struct Beyond(usize);

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // One byte more than is allowed tells an answer of just that size from a larger one.
        let most = buffer.len().min(self.left.saturating_add(1));
        let read = self
            .inner
            .read(buffer.get_mut(..most).unwrap_or_default())?;
        if read > self.left {
            return Err(io::Error::other(Beyond(self.limit)));
        }
        self.left -= read;
        Ok(read)
    }
}

/// An error while bytes were read.
#[expect(
    clippy::needless_pass_by_value,
    reason = "errors are mapped by its name"
)]
fn unreadable(error: io::Error) -> Undecoded {
    let inner = error.get_ref();
    if let Some(Beyond(limit)) = inner.and_then(|inner| inner.downcast_ref()) {
        return Undecoded::TooLarge(*limit);
    }
    if let Some(Overfull(limit)) = inner.and_then(|inner| inner.downcast_ref()) {
        return Undecoded::Overfull(*limit);
    }
    Undecoded::Broken(format!("the answer cannot be unpacked: {error}"))
}

/// What is said of an answer that takes too much memory.
pub(crate) fn overfull(limit: u64) -> String {
    format!(
        "decoded, the answer takes more than {limit} bytes of memory, which is the limit (max_decoded_bytes); have the \
         platform send fewer records at a time, or read the answer while it arrives (x_streamed)"
    )
}

fn broken_json(error: &serde_json::Error) -> Undecoded {
    Undecoded::Broken(format!("the answer is no readable JSON: {error}"))
}

/// An error of the JSON parser, which may be one of the bytes below it.
fn json_error(error: serde_json::Error) -> Undecoded {
    if error.is_io() {
        unreadable(error.into())
    } else {
        broken_json(&error)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use ::flate2::Compression;
    use ::flate2::write::GzEncoder;
    use serde_json::json;

    use super::*;

    pub(super) fn decoder(yaml: &str) -> Decoder {
        let value: Value = serde_saphyr::from_str(yaml).unwrap();
        let mut problems = Problems::default();
        let holder = json!({"type": "SimpleRetriever", "decoder": value});
        let component = Component::read(&holder, "", &["SimpleRetriever"], &mut problems).unwrap();
        let loaded = Decoder::load(&component, "decoder", &mut problems);
        assert_eq!(problems.0, Vec::new());
        loaded.unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_is_unpacked_in_all_its_members_and_what_is_not_gzip_is_taken_as_it_is() {
        let decoder = decoder("{type: GzipDecoder, decoder: {type: CsvDecoder}}");
        let mut packed = gzip(b"id,n\n1,a\n");
        packed.extend(gzip(b"2,b\n"));
        let expected = json!([{"id": "1", "n": "a"}, {"id": "2", "n": "b"}]);
        assert_eq!(decoder.decode(&packed, 1000).unwrap(), expected);
        let plain = decoder.decode(b"id,n\n1,a\n2,b\n", 1000).unwrap();
        assert_eq!(plain, expected);
        let half = &packed[..packed.len() / 3];
        assert!(matches!(
            decoder.decode(half, 1000),
            Err(Undecoded::Broken(_))
        ));
    }

    #[test]
    fn a_bomb_ends_at_the_limit() {
        for kind in [
            "JsonDecoder",
            "JsonlDecoder",
            "CsvDecoder",
            "GzipDecoder, decoder: {type: JsonDecoder}",
        ] {
            let decoder = decoder(&format!("{{type: GzipDecoder, decoder: {{type: {kind}}}}}"));
            let bomb = gzip(&vec![b' '; 100_000]);
            let ended = decoder.decode(&bomb, 5_000);
            assert!(
                matches!(ended, Err(Undecoded::TooLarge(5_000))),
                "{kind}: {ended:?}"
            );
        }
        let decoder = decoder("{type: GzipDecoder, decoder: {type: JsonlDecoder}}");
        assert!(decoder.decode(&gzip(b"[1]\n"), 4).is_ok());
    }

    #[test]
    fn what_no_decoder_knows_is_refused() {
        let load = |value: Value| {
            let holder = json!({"type": "SimpleRetriever", "decoder": value});
            let mut problems = Problems::default();
            let component = Component::read(&holder, "", &["SimpleRetriever"], &mut problems);
            let _ = Decoder::load(&component.unwrap(), "decoder", &mut problems);
            problems
                .0
                .first()
                .map(ToString::to_string)
                .unwrap_or_default()
        };
        let found = load(json!({"type": "CustomDecoder"}));
        assert!(
            found.starts_with("/decoder: component \"CustomDecoder\""),
            "{found}"
        );
        let found = load(json!({"type": "GzipDecoder", "decoder": {"type": "XmlDecoder"}}));
        assert!(found.starts_with("/decoder/decoder: "), "{found}");
        let found = load(json!({"type": "CsvDecoder", "encoding": "klingon"}));
        assert!(
            found.contains("/decoder/encoding") && found.contains("utf-16"),
            "{found}"
        );
        let found = load(json!({"type": "CsvDecoder", "delimiter": "||"}));
        assert!(found.starts_with("/decoder/delimiter: "), "{found}");
    }
}
