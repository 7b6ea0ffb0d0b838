//! Takes secrets out of everything that may be stored or shown.
//!
//! A secret is looked for as it is, percent-encoded, and base64-encoded; the values that an
//! authenticator makes of it (a hash, a bearer header) are added while reading, because platforms
//! like to echo headers. Longest first, so that a part does not spoil the whole.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

/// What stands where a secret stood.
const MASK: &str = "***";
/// Longest excerpt of a body or a record.
const EXCERPT_BYTES: usize = 2048;

#[derive(Clone, Default)]
pub(crate) struct Redactor {
    words: Vec<String>,
}

impl Redactor {
    pub(crate) fn new(secrets: &[String]) -> Redactor {
        let mut redactor = Redactor::default();
        for secret in secrets {
            redactor.add(secret);
        }
        redactor
    }

    /// Adds one secret with its usual disguises.
    pub(crate) fn add(&mut self, secret: &str) {
        if secret.trim().is_empty() {
            return;
        }
        let encoded = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
        let as_form = encoded.replace("%20", "+");
        let in_json = serde_json::to_string(secret).unwrap_or_default();
        let in_json = in_json.trim_matches('"').to_owned();
        for word in [
            secret.to_owned(),
            encoded,
            as_form,
            STANDARD.encode(secret),
            in_json,
        ] {
            if !word.is_empty() && !self.words.contains(&word) {
                self.words.push(word);
            }
        }
        self.words.sort_by_key(|word| std::cmp::Reverse(word.len()));
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

    /// Whether a text holds a secret. Shorter words than six characters would be found anywhere.
    pub(crate) fn holds_secret(&self, text: &str) -> bool {
        self.words
            .iter()
            .any(|word| word.len() >= 6 && text.contains(word.as_str()))
    }

    pub(crate) fn text(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for word in &self.words {
            if clean.contains(word.as_str()) {
                clean = clean.replace(word.as_str(), MASK);
            }
        }
        clean
    }

    /// The beginning of a text, cleaned before it is cut, so that no half of a secret remains.
    pub(crate) fn excerpt(&self, bytes: &[u8]) -> String {
        // Enough of the text that a secret across the cut is still recognised as a whole.
        let longest = self.words.first().map_or(0, String::len);
        let window = &bytes[..bytes.len().min(EXCERPT_BYTES + longest)];
        let mut clean = self.text(&String::from_utf8_lossy(window));
        let mut cut = clean.len().min(EXCERPT_BYTES);
        if bytes.len() > window.len() {
            // The tail of the window may hold the first part of a secret that was cut.
            cut = cut.min(clean.len().saturating_sub(longest));
        }
        while !clean.is_char_boundary(cut) {
            cut -= 1;
        }
        clean.truncate(cut);
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
}

#[cfg(test)]
mod tests {
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
