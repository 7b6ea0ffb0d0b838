//! Takes secrets out of everything that may be stored or shown.
//!
//! Platforms echo what they were sent, in an encoding of their own or in several, one within the other: percent-encoded in an
//! address, with escapes in JSON, with entities in HTML. Text and secret are therefore both decoded until nothing is left to decode,
//! and compared then; only text that holds the beginning of an escape costs that. Base64 is looked for as such, wherever the secret
//! stands in what was encoded. The values that an authenticator makes of a secret (a hash, a bearer header) are added while reading.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem;
use url::Url;

/// What stands where a secret stood.
const MASK: &str = "***";
/// Longest excerpt of a body or a record.
const EXCERPT_BYTES: usize = 2048;
/// Encodings within one another that are undone.
const MOST_ROUNDS: usize = 4;
/// The longest usual form of a byte, `\u0026`.
const LONGEST_ESCAPE: usize = 6;
/// Shorter words would be found anywhere.
const SHORTEST_HELD: usize = 6;
const SHORTEST_BASE64: usize = 8;

#[derive(Clone, Default)]
pub(crate) struct Redactor {
    words: Vec<Word>,
    /// Bytes of the longest one.
    longest: usize,
}

#[derive(Clone)]
struct Word {
    plain: String,
    /// Decoded as far as it goes, if that changes it.
    decoded: Option<Vec<u8>>,
}

impl Redactor {
    pub(crate) fn new(secrets: &[String]) -> Redactor {
        let mut redactor = Redactor::default();
        for secret in secrets {
            redactor.add(secret);
        }
        redactor
    }

    /// Adds one secret.
    pub(crate) fn add(&mut self, secret: &str) {
        if secret.trim().is_empty() || self.words.iter().any(|word| word.plain == secret) {
            return;
        }
        self.add_word(secret.to_owned());
        for word in base64_forms(secret) {
            if !self.words.iter().any(|known| known.plain == word) {
                self.add_word(word);
            }
        }
    }

    fn add_word(&mut self, plain: String) {
        self.longest = self.longest.max(plain.len());
        let decoded = decode(plain.as_bytes()).map(|decoded| decoded.bytes);
        self.words.push(Word { plain, decoded });
    }

    /// Adds a text that may be a secret, wherever it is in a value.
    pub(crate) fn add_value(&mut self, value: &serde_json::Value) {
        match value {
            serde_json::Value::String(text) if text.len() >= 8 => self.add(text),
            serde_json::Value::Array(items) => items.iter().for_each(|item| self.add_value(item)),
            serde_json::Value::Object(members) => {
                members.values().for_each(|item| self.add_value(item));
            }
            _ => {}
        }
    }

    /// Adds the value of a credential header: the whole and its parts, such as the token after
    /// `Bearer`. Parts that are in `known` (plain values of the config) stay readable.
    pub(crate) fn add_header_value(&mut self, value: &str, known: &[String]) {
        self.add(value);
        for part in value.split([' ', ',', ';', '=']) {
            let long_enough = part.len() >= 8;
            if long_enough && !known.iter().any(|plain| plain == part) {
                self.add(part);
            }
        }
    }

    /// Whether a text holds a secret that is long enough to be none by chance.
    pub(crate) fn holds_secret(&self, text: &str) -> bool {
        let decoded = decode(text.as_bytes());
        let decoded = decoded.as_ref().map_or(text.as_bytes(), |it| &it.bytes);
        self.words.iter().any(|word| {
            let holds = |text: &[u8], word: &[u8]| {
                word.len() >= SHORTEST_HELD && memmem::find(text, word).is_some()
            };
            holds(text.as_bytes(), word.plain.as_bytes()) || holds(decoded, word.decoded())
        })
    }

    pub(crate) fn text(&self, text: &str) -> String {
        self.masked(text, text.len())
    }

    /// The beginning of a text, cleaned before it is cut, so that no half of a secret remains.
    pub(crate) fn excerpt(&self, bytes: &[u8]) -> String {
        // Enough of the text that a secret across the cut is still recognised as a whole.
        let window = EXCERPT_BYTES + LONGEST_ESCAPE * self.longest;
        let window = &bytes[..bytes.len().min(window)];
        let mut clean = self.masked(&String::from_utf8_lossy(window), EXCERPT_BYTES);
        clean.truncate(clean.floor_char_boundary(EXCERPT_BYTES));
        clean
    }

    /// An address without user info, query and fragment.
    pub(crate) fn url(&self, url: &Url) -> String {
        let mut plain = url.clone();
        plain.set_query(None);
        plain.set_fragment(None);
        let _ = plain.set_username("");
        let _ = plain.set_password(None);
        self.text(plain.as_str())
    }

    /// The text up to this byte, without the secrets that begin before it.
    fn masked(&self, text: &str, until: usize) -> String {
        let until = text.floor_char_boundary(until);
        let mut places = self.places(text);
        places.sort_unstable_by_key(|place| place.start);
        let mut clean = String::with_capacity(until);
        let mut at = 0;
        for place in places {
            if place.start >= until {
                break;
            }
            if place.start >= at {
                clean.push_str(&text[at..place.start]);
                clean.push_str(MASK);
            }
            at = at.max(place.end);
        }
        if at < until {
            clean.push_str(&text[at..until]);
        }
        clean
    }

    /// Where secrets are in a text, in no order.
    fn places(&self, text: &str) -> Vec<Range<usize>> {
        let decoded = decode(text.as_bytes());
        let mut places = Vec::new();
        for word in &self.words {
            let plain = memmem::find_iter(text.as_bytes(), &word.plain);
            places.extend(plain.map(|start| start..start + word.plain.len()));
            match (&decoded, &word.decoded) {
                (Some(decoded), _) => {
                    let word = word.decoded();
                    let found = memmem::find_iter(&decoded.bytes, word);
                    places.extend(found.map(|start| decoded.origin(start..start + word.len())));
                }
                (None, Some(word)) => {
                    let found = memmem::find_iter(text.as_bytes(), word);
                    places.extend(found.map(|start| start..start + word.len()));
                }
                (None, None) => {}
            }
        }
        for place in &mut places {
            place.start = text.floor_char_boundary(place.start);
            place.end = text.ceil_char_boundary(place.end);
        }
        places
    }
}

impl Word {
    fn decoded(&self) -> &[u8] {
        self.decoded.as_deref().unwrap_or(self.plain.as_bytes())
    }
}

/// The base64 of a secret at each of the three places where it may begin, without the characters that it shares with its
/// neighbours.
fn base64_forms(secret: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for (before, shared) in [(0, 0), (1, 2), (2, 3)] {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(secret.as_bytes());
        let whole = bytes.len() * 8 / 6;
        for text in [
            STANDARD_NO_PAD.encode(&bytes),
            URL_SAFE_NO_PAD.encode(&bytes),
        ] {
            let form = text.get(shared..whole).unwrap_or_default();
            if form.len() >= SHORTEST_BASE64 && !forms.iter().any(|known| known == form) {
                forms.push(form.to_owned());
            }
        }
    }
    forms
}

/// Text without its escapes.
struct Decoded {
    bytes: Vec<u8>,
    /// Where each byte comes from, and the end of the text.
    starts: Vec<usize>,
}

impl Decoded {
    /// Where bytes of the decoded text stand in the original.
    fn origin(&self, range: Range<usize>) -> Range<usize> {
        let start = self.starts[range.start];
        let last = self.starts[range.end - 1];
        let end = self.starts[range.end..].iter().find(|end| **end > last);
        start..end.copied().unwrap_or(last + 1)
    }
}

/// Undoes the usual encodings, also several of them, one within the other. `None`: there are none.
fn decode(text: &[u8]) -> Option<Decoded> {
    let mut decoded: Option<Decoded> = None;
    for _ in 0..MOST_ROUNDS {
        let bytes = decoded.as_ref().map_or(text, |it| &it.bytes);
        let next = decode_once(bytes, decoded.as_ref().map(|it| it.starts.as_slice()));
        if next.is_none() {
            break;
        }
        decoded = next;
    }
    decoded
}

fn decode_once(text: &[u8], starts: Option<&[usize]>) -> Option<Decoded> {
    let is_escape = |byte: &u8| matches!(byte, b'%' | b'\\' | b'&' | b'+');
    let first = text.iter().position(is_escape)?;
    let start_of = |at: usize| starts.map_or(at, |starts| starts[at]);
    let mut decoded = Decoded {
        bytes: text[..first].to_vec(),
        starts: (0..first).map(start_of).collect(),
    };
    let mut changed = false;
    let mut at = first;
    while let Some(&byte) = text.get(at) {
        let escape = if is_escape(&byte) {
            escape(&text[at..])
        } else {
            None
        };
        let begins = start_of(at);
        if let Some((character, length)) = escape {
            let mut buffer = [0; 4];
            let bytes = match character {
                Escaped::Byte(byte) => {
                    buffer[0] = byte;
                    &buffer[..1]
                }
                Escaped::Character(character) => character.encode_utf8(&mut buffer).as_bytes(),
            };
            decoded.bytes.extend_from_slice(bytes);
            decoded
                .starts
                .extend(std::iter::repeat_n(begins, bytes.len()));
            at += length;
            changed = true;
        } else {
            decoded.bytes.push(byte);
            decoded.starts.push(begins);
            at += 1;
        }
    }
    decoded.starts.push(start_of(text.len()));
    changed.then_some(decoded)
}

enum Escaped {
    Byte(u8),
    Character(char),
}

/// What stands at the beginning of a text in another form, and the length of that form.
fn escape(text: &[u8]) -> Option<(Escaped, usize)> {
    let byte = |byte: u8, length: usize| Some((Escaped::Byte(byte), length));
    match text {
        // A space in forms. A plus of the secret itself becomes one as well.
        [b'+', ..] => byte(b' ', 1),
        [b'%', digits @ ..] => byte(u8::try_from(hexadecimal(digits.get(..2)?)?).ok()?, 3),
        [b'\\', b'x', digits @ ..] => byte(u8::try_from(hexadecimal(digits.get(..2)?)?).ok()?, 4),
        [b'\\', b'u', digits @ ..] => {
            let unit = hexadecimal(digits.get(..4)?)?;
            let low = match digits.get(4..10) {
                Some([b'\\', b'u', low @ ..]) if (0xd800..0xdc00).contains(&unit) => {
                    hexadecimal(low).filter(|low| (0xdc00..0xe000).contains(low))
                }
                _ => None,
            };
            let (code, length) = match low {
                Some(low) => (0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00), 12),
                None => (unit, 6),
            };
            Some((Escaped::Character(char::from_u32(code)?), length))
        }
        [b'\\', escaped, ..] => match escaped {
            b'"' | b'\'' | b'\\' | b'/' => byte(*escaped, 2),
            b'b' => byte(8, 2),
            b'f' => byte(12, 2),
            b'n' => byte(b'\n', 2),
            b'r' => byte(b'\r', 2),
            b't' => byte(b'\t', 2),
            _ => None,
        },
        [b'&', name @ ..] => {
            let end = name.iter().take(10).position(|byte| *byte == b';')?;
            let length = end + 2;
            match &name[..end] {
                b"amp" => byte(b'&', length),
                b"lt" => byte(b'<', length),
                b"gt" => byte(b'>', length),
                b"quot" => byte(b'"', length),
                b"apos" => byte(b'\'', length),
                [b'#', b'x' | b'X', digits @ ..] => Some((
                    Escaped::Character(char::from_u32(hexadecimal(digits)?)?),
                    length,
                )),
                [b'#', digits @ ..] => {
                    let code = std::str::from_utf8(digits).ok()?.parse().ok()?;
                    Some((Escaped::Character(char::from_u32(code)?), length))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// A number of at most eight digits.
fn hexadecimal(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    digits.iter().try_fold(0u32, |number, digit| {
        Some((number << 4) | char::from(*digit).to_digit(16)?)
    })
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

    use super::*;

    #[test]
    fn secrets_are_found_in_their_disguises() {
        let redactor = Redactor::new(&["p&ss word\"1".to_owned()]);
        for text in [
            "x p&ss word\"1 y",
            "k=p%26ss%20word%221",
            "k=p%26ss+word%221",
            "{\"k\":\"p&ss word\\\"1\"}",
            "Basic cCZzcyB3b3JkIjE=",
        ] {
            let clean = redactor.text(text);
            assert!(clean.contains(MASK) && !clean.contains("ss"), "{clean}");
        }
    }

    #[test]
    fn secrets_are_found_in_every_encoding_and_in_several() {
        let secret = "1//0gAb-c_d.e~f|ä+\"\\n%41";
        let redactor = Redactor::new(&[secret.to_owned()]);
        let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
        let form = crate::request::url::quote_plus(secret);
        let json = serde_json::to_string(secret).unwrap();
        let ascii: String = secret
            .chars()
            .map(|c| match c {
                '/' => "\\/".to_owned(),
                c if c.is_ascii_alphanumeric() => c.to_string(),
                c => format!("\\u{:04x}", u32::from(c)),
            })
            .collect();
        let html = secret
            .replace('&', "&amp;")
            .replace('"', "&quot;")
            .replace('/', "&#x2F;");
        let mut texts = vec![
            secret.to_owned(),
            json.clone(),
            json.replace('/', "\\/"),
            serde_json::to_string(&form)
                .unwrap()
                .replace('%', "\\u0025"),
            utf8_percent_encode(&form, NON_ALPHANUMERIC).to_string(),
            utf8_percent_encode(&json, NON_ALPHANUMERIC).to_string(),
            serde_json::to_string(&json).unwrap(),
            secret
                .replace('/', "%2F")
                .replace('+', "%2B")
                .replace("%41", "%2541"),
            percent,
            form,
            ascii,
            html,
        ];
        let hex: String = secret.bytes().map(|byte| format!("%{byte:02x}")).collect();
        texts.push(hex.to_ascii_uppercase());
        texts.push(hex);
        for before in ["", "a", "ab", "user:"] {
            for after in ["", "z", "zz"] {
                let text = format!("{before}{secret}{after}");
                texts.push(STANDARD_NO_PAD.encode(&text));
                texts.push(URL_SAFE_NO_PAD.encode(&text));
            }
        }
        for text in texts {
            assert!(redactor.holds_secret(&text), "{text}");
            let clean = redactor.text(&format!("next: <{text}> end"));
            assert!(
                clean.starts_with("next: <") && clean.ends_with("> end"),
                "{clean}"
            );
            let left = clean.replace(MASK, "");
            assert!(left.len() < 30 && !left.contains("0gAb"), "{text}: {clean}");
        }
        for text in [
            "1//0gAb-c_d.e~f|ä",
            "%2F%2F0g",
            "\\u12",
            "%",
            "\\",
            "&#;",
            "&#xfffffff;",
        ] {
            assert!(!redactor.holds_secret(text), "{text}");
            assert_eq!(redactor.text(text), text);
        }
    }

    #[test]
    fn a_secret_of_one_byte_spoils_no_character() {
        // Its decoded form is the second byte of a character.
        let redactor = Redactor::new(&["%a4".to_owned()]);
        assert_eq!(redactor.text("xäy"), "x***y");
        assert_eq!(redactor.text("x%c3%a4y"), "x%c3***y");
    }

    #[test]
    fn secrets_that_overlap_are_taken_out_together() {
        let redactor = Redactor::new(&["token".to_owned(), "token-1234".to_owned()]);
        assert_eq!(redactor.text("a token-1234 b token"), "a *** b ***");
    }

    #[test]
    fn an_excerpt_never_ends_within_a_secret() {
        let secret = "s".repeat(40);
        let redactor = Redactor::new(std::slice::from_ref(&secret));
        for lead in 1990..2060 {
            let body = format!("{}{secret}{}", "a".repeat(lead), "b".repeat(500));
            let excerpt = redactor.excerpt(body.as_bytes());
            assert!(
                !excerpt.contains("sss"),
                "lead {lead}: {}",
                &excerpt[1980..]
            );
            assert!(excerpt.len() <= EXCERPT_BYTES);
        }
    }

    #[test]
    fn the_query_of_an_address_is_never_shown() {
        let redactor = Redactor::new(&["tok3n".to_owned()]);
        let url = Url::parse("https://me:pw@host/a/tok3n/b?key=1#x").unwrap();
        assert_eq!(redactor.url(&url), "https://host/a/***/b");
    }
}
