//! Text encodings by the names that manifests use.

use std::io::{self, BufRead, BufReader, Read};

use encoding_rs::{CoderResult, Decoder as Coder, Encoding as Known};

use crate::load::component::{Component, Problems};

/// The encoding of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Also for ASCII, which is a part of it.
    Utf8,
    /// UTF-8, whose byte order mark is dropped.
    Utf8Marked,
    /// Each byte is the character of its number.
    Latin1,
    /// One that needs a table.
    Other(&'static Known),
}

impl Encoding {
    /// The field `encoding`.
    pub(super) fn load(component: &Component<'_>, problems: &mut Problems) -> Option<Encoding> {
        let name = component.text("encoding", problems).unwrap_or_default();
        let plain = name.to_ascii_lowercase().replace('_', "-");
        let found = match plain.as_str() {
            "" | "utf-8" | "utf8" | "ascii" | "us-ascii" => Some(Encoding::Utf8),
            "utf-8-sig" => Some(Encoding::Utf8Marked),
            "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" => Some(Encoding::Latin1),
            "utf-16" | "utf16" | "utf-16-le" | "utf-16le" => {
                Some(Encoding::Other(encoding_rs::UTF_16LE))
            }
            "utf-16-be" | "utf-16be" => Some(Encoding::Other(encoding_rs::UTF_16BE)),
            "cp1252" | "windows-1252" => Some(Encoding::Other(encoding_rs::WINDOWS_1252)),
            other => Known::for_label(other.as_bytes()).map(Encoding::Other),
        };
        if found.is_none() {
            problems.add(
                component.path_of("encoding"),
                format!(
                    "the encoding \"{name}\" is not known; allowed: utf-8, utf-8-sig, utf-16, iso-8859-1, \
                     windows-1252, and the other encodings of the web"
                ),
            );
        }
        found
    }

    /// The bytes as UTF-8. What is no text in this encoding is an error of the stream, but for UTF-8 itself, which whoever reads
    /// the text checks.
    pub(super) fn reader<'r>(self, bytes: impl BufRead + 'r) -> Box<dyn BufRead + 'r> {
        let coder = match self {
            Encoding::Utf8 => return Box::new(bytes),
            Encoding::Utf8Marked => Step::Table(encoding_rs::UTF_8.new_decoder()),
            Encoding::Latin1 => Step::Latin1,
            Encoding::Other(known) => Step::Table(known.new_decoder()),
        };
        Box::new(BufReader::new(Recoded {
            bytes,
            step: coder,
            ready: Vec::new(),
            given: 0,
            ended: false,
        }))
    }
}

enum Step {
    Latin1,
    Table(Coder),
}

struct Recoded<R> {
    bytes: R,
    step: Step,
    /// UTF-8 that is still to be given.
    ready: Vec<u8>,
    given: usize,
    ended: bool,
}

impl<R: BufRead> Recoded<R> {
    /// Recodes what the stream below has at hand.
    fn refill(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.given = 0;
        let input = self.bytes.fill_buf()?;
        let (taken, last) = (input.len(), input.is_empty());
        match &mut self.step {
            Step::Latin1 => {
                let text: String = input.iter().copied().map(char::from).collect();
                self.ready.extend_from_slice(text.as_bytes());
            }
            Step::Table(coder) => {
                let most = coder
                    .max_utf8_buffer_length(taken)
                    .unwrap_or(taken * 3 + 16);
                self.ready.resize(most, 0);
                let (result, _, written, wrong) =
                    coder.decode_to_utf8(input, &mut self.ready, last);
                self.ready.truncate(written);
                if wrong || result == CoderResult::OutputFull {
                    return Err(io::Error::other("it is no text in the stated encoding"));
                }
            }
        }
        self.bytes.consume(taken);
        self.ended = last;
        Ok(())
    }
}

impl<R: BufRead> Read for Recoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.ready.len() && !self.ended {
            self.refill()?;
        }
        let rest = self.ready.get(self.given..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        self.given += count;
        Ok(count)
    }
}
