//! How much memory an answer would take once it is decoded.
//!
//! A value takes far more memory than its text: `{"a":1},` has eight bytes, and becomes half a kilobyte. Values are not counted
//! while they are made, which would slow every answer down; the characters of the text are weighed that begin one. A text so short
//! that it cannot reach the limit, whatever it holds, is not even looked at.

use std::cell::Cell;
use std::io::{self, Read};

use super::Undecoded;

/// About how many bytes a list or an object takes with its first few places, besides what is in them.
const NODE: u64 = 350;
/// One place more in a list, with what a number has on the heap.
const PLACE: u64 = 150;
/// A place in an object, with its name.
const MEMBER: u64 = 200;

/// Adds up what one answer takes, or what of it is held at a time.
#[derive(Debug)]
pub(crate) struct Meter {
    limit: u64,
    taken: Cell<u64>,
}

/// What [`Metered`] fails with, within an error of the standard library.
#[derive(Debug, thiserror::Error)]
#[error("decoded, the answer takes more than {0} bytes of memory, which is the limit")]
pub(super) struct Overfull(pub(super) u64);

/// How a text begins its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    Json,
    JsonLines,
    TextLines,
    Csv { delimiter: u8 },
    Xml,
}

impl Meter {
    pub(crate) fn new(limit: usize) -> Meter {
        Meter {
            limit: limit as u64,
            taken: Cell::new(0),
        }
    }

    /// For a text that cannot reach any limit.
    pub(super) fn unlimited() -> Meter {
        Meter {
            limit: u64::MAX,
            taken: Cell::new(0),
        }
    }

    /// What was taken so far has been handed on.
    pub(super) fn hand_on(&self) {
        self.taken.set(0);
    }

    /// Whether a text of this length fits, whatever it holds.
    pub(super) fn fits(&self, bytes: usize) -> bool {
        (bytes as u64).saturating_mul(NODE + PLACE) <= self.limit
    }

    /// Takes a whole text.
    pub(super) fn take(&self, syntax: Syntax, text: &[u8]) -> Result<(), Undecoded> {
        if self.fits(text.len()) || (syntax == Syntax::Json && most_of_json(text) <= self.limit) {
            return Ok(());
        }
        let taken = Scale::new(syntax).weigh(text);
        self.add(taken)
            .map_err(|Overfull(limit)| Undecoded::Overfull(limit))
    }

    fn add(&self, bytes: u64) -> Result<(), Overfull> {
        let taken = self.taken.get().saturating_add(bytes);
        self.taken.set(taken);
        if taken > self.limit {
            return Err(Overfull(self.limit));
        }
        Ok(())
    }
}

/// Weighs what is read through it.
pub(super) struct Metered<'m, R> {
    inner: R,
    scale: Scale,
    meter: &'m Meter,
}

impl<'m, R: Read> Metered<'m, R> {
    pub(super) fn new(inner: R, syntax: Syntax, meter: &'m Meter) -> Metered<'m, R> {
        Metered {
            inner,
            scale: Scale::new(syntax),
            meter,
        }
    }
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if self.meter.limit != u64::MAX {
            let taken = self.scale.weigh(buffer.get(..read).unwrap_or_default());
            self.meter.add(taken).map_err(io::Error::other)?;
        }
        Ok(read)
    }
}

/// Weighs a text piece by piece.
struct Scale {
    syntax: Syntax,
    /// Within a text of JSON, where nothing begins.
    in_text: bool,
    /// After a backslash there.
    is_escaped: bool,
}

impl Scale {
    fn new(syntax: Syntax) -> Scale {
        Scale {
            syntax,
            in_text: false,
            is_escaped: false,
        }
    }

    fn weigh(&mut self, piece: &[u8]) -> u64 {
        let begun: u64 = match self.syntax {
            Syntax::Json | Syntax::JsonLines => self.weigh_json(piece),
            Syntax::TextLines => sum(piece, |byte| match byte {
                b'\n' | b'\r' => NODE + MEMBER,
                _ => 0,
            }),
            Syntax::Csv { delimiter } => sum(piece, |byte| match byte {
                b'\n' | b'\r' => NODE + MEMBER,
                byte if byte == delimiter => MEMBER,
                _ => 0,
            }),
            // An element has two, an attribute has one equals sign.
            Syntax::Xml => sum(piece, |byte| match byte {
                b'<' => NODE,
                b'=' => MEMBER,
                _ => 0,
            }),
        };
        begun + piece.len() as u64
    }

    fn weigh_json(&mut self, piece: &[u8]) -> u64 {
        let lines = self.syntax == Syntax::JsonLines;
        let mut begun = 0;
        for &byte in piece {
            if self.in_text {
                if self.is_escaped {
                    self.is_escaped = false;
                } else if byte == b'\\' {
                    self.is_escaped = true;
                } else if byte == b'"' {
                    self.in_text = false;
                }
                continue;
            }
            begun += match byte {
                b'"' => {
                    self.in_text = true;
                    0
                }
                b'{' | b'[' => NODE,
                b',' => PLACE,
                b':' => MEMBER - PLACE,
                b'\n' if lines => PLACE,
                _ => 0,
            };
        }
        begun
    }
}

/// What a JSON text takes at most: as it would if none of its characters were within texts. Counting them takes a small part of the
/// time that weighing takes.
fn most_of_json(text: &[u8]) -> u64 {
    let mut most = text.len() as u64;
    // Each chunk is counted through several times while it is at hand.
    for chunk in text.chunks(4096) {
        let count = |wanted: u8| chunk.iter().filter(|byte| **byte == wanted).count() as u64;
        most += (count(b'{') + count(b'[')) * NODE;
        most += count(b',') * PLACE + count(b':') * (MEMBER - PLACE);
    }
    most
}

fn sum(piece: &[u8], weight: impl Fn(u8) -> u64) -> u64 {
    piece.iter().map(|byte| weight(*byte)).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::tests::decoder;
    use super::*;

    /// Small texts that become much, by the decoder.
    const DENSE: &[(&str, &str, &str)] = &[
        ("JsonDecoder", "[", "0,"),
        ("JsonDecoder", "[", "[0],"),
        ("JsonDecoder", "[", "{\"a\":1},"),
        ("JsonlDecoder", "", "1\n"),
        ("JsonlDecoder", "", "[[0],[0]]\n"),
        ("IterableDecoder", "", "\n"),
        ("CsvDecoder", "a,b,c\n", ",,\n"),
        ("CsvDecoder", "", "a,"),
        ("JsonItemsDecoder, items_path: x", "{\"x\": [", "{\"a\":1},"),
        ("JsonItemsDecoder, items_path: x", "{\"x\": [[", "0,"),
        ("XmlDecoder", "<a>", "<b/>"),
        ("XmlDecoder", "<a>", "<b c=\"\"/>"),
        ("GzipDecoder, decoder: {type: CsvDecoder}", "a,b\n", ",\n"),
    ];

    #[test]
    fn an_answer_that_becomes_too_much_is_refused_by_every_decoder() {
        for (kind, start, part) in DENSE {
            let decoder = decoder(&format!("{{type: {kind}}}"));
            let text = format!("{start}{}", part.repeat(10_000));
            let limit = 1_000_000;
            let ended = decoder.decode_within(text.as_bytes(), text.len(), &Meter::new(limit));
            assert!(
                matches!(ended, Err(Undecoded::Overfull(1_000_000))),
                "{kind} {part:?}: {:?}",
                ended.map(|_| ())
            );
        }
    }

    #[test]
    fn an_answer_of_much_text_and_few_values_fits() {
        // Counted without a look at what is a text, it would not.
        let text = format!("[\"{}\"]", "{[\\\",:".repeat(100_000));
        let decoder = decoder("{type: JsonDecoder}");
        let meter = Meter::new(1_000_000);
        let found = decoder.decode_within(text.as_bytes(), text.len(), &meter);
        assert_eq!(found.unwrap()[0].as_str().unwrap().len(), 500_000);
    }

    #[test]
    fn what_is_handed_on_no_longer_counts() {
        let decoder = decoder("{type: JsonlDecoder}");
        let lines = "{\"a\":1}\n".repeat(100_000);
        let meter = Meter::new(1_000_000);
        let mut rows = 0;
        let mut sink = |_: Value| {
            rows += 1;
            meter.hand_on();
            Ok(())
        };
        decoder
            .rows(lines.as_bytes(), lines.len(), &meter, &mut sink)
            .unwrap();
        assert_eq!(rows, 100_000);
        let long = format!("[{}]", "0,".repeat(100_000));
        let ended = decoder.rows(long.as_bytes(), long.len(), &meter, &mut |_| Ok(()));
        assert!(matches!(ended, Err(Undecoded::Overfull(_))));
    }
}
