//! Addresses: base and path, query parameters, the stand-in for `url_base`.
//!
//! A query that is already in the address is never re-encoded (some platforms depend on raw brackets
//! and commas); parameters are encoded as Python's `quote_plus` does.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use url::Url;
use url::form_urlencoded;

use crate::expr::Val;

const QUOTED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'_')
    .remove(b'.')
    .remove(b'-')
    .remove(b'~');

/// Base and path. An absolute path wins; an empty one leaves the base as it is.
pub(crate) fn join(base: &str, path: &str) -> Result<Url, String> {
    let path = path.trim();
    let absolute = path.starts_with("http://") || path.starts_with("https://");
    let text = if absolute {
        path.to_owned()
    } else if path.trim_start_matches('/').is_empty() {
        base.trim().to_owned()
    } else {
        let base = base.trim().split(['?', '#']).next().unwrap_or_default();
        format!(
            "{}/{}",
            base.trim_end_matches('/'),
            path.trim_start_matches('/')
        )
    };
    parse(&text)
}

/// The address of the next page: one that begins with a slash replaces the base's whole path.
pub(crate) fn follow(base: &str, address: &str) -> Result<Url, String> {
    if !address.starts_with('/') {
        return join(base, address);
    }
    parse(base)?
        .join(address)
        .map_err(|error| format!("the address cannot be read: {error}"))
}

pub(crate) fn parse(text: &str) -> Result<Url, String> {
    // The text may hold a secret: it is not repeated here.
    let url = Url::parse(text).map_err(|error| format!("the address cannot be read: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "the address begins with \"{}:\"; use https or http",
            url.scheme()
        ));
    }
    Ok(url)
}

/// Puts scheme, host and path prefix of `base` in the place of scheme and host of `url`.
pub(crate) fn replace_origin(url: &Url, base: &str) -> Result<Url, String> {
    let base = parse(base)?;
    let mut moved = base.clone();
    let prefix = base.path().trim_end_matches('/');
    moved.set_path(&format!("{prefix}{}", url.path()));
    moved.set_query(url.query());
    Ok(moved)
}

/// Whether both addresses have scheme, host and port in common.
pub(crate) fn same_origin(left: &Url, right: &Url) -> bool {
    left.scheme() == right.scheme()
        && left.host_str() == right.host_str()
        && left.port_or_known_default() == right.port_or_known_default()
}

/// Adds parameters; those that the address has already with the same value are left out.
pub(crate) fn add_parameters(url: &mut Url, parameters: &Map<String, Value>) {
    let present: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let mut query = url.query().unwrap_or_default().to_owned();
    for (name, value) in parameters {
        for text in parameter_texts(value) {
            let already = present
                .iter()
                .any(|(key, held)| key == name && *held == text);
            if already {
                continue;
            }
            if !query.is_empty() {
                query.push('&');
            }
            query.push_str(&quote_plus(name));
            query.push('=');
            query.push_str(&quote_plus(&text));
        }
    }
    url.set_query(if query.is_empty() { None } else { Some(&query) });
}

/// A form body.
pub(crate) fn form(parameters: &Map<String, Value>) -> String {
    let mut pairs = Vec::new();
    for (name, value) in parameters {
        for text in parameter_texts(value) {
            pairs.push(format!("{}={}", quote_plus(name), quote_plus(&text)));
        }
    }
    pairs.join("&")
}

/// A list repeats the key; everything else is written as Python would.
fn parameter_texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items
            .iter()
            .filter(|item| !item.is_null())
            .map(text_of)
            .collect(),
        // Python goes through a dict by its keys.
        Value::Object(members) => members.keys().cloned().collect(),
        Value::Null => Vec::new(),
        other => vec![text_of(other)],
    }
}

/// Python's `str()` of a JSON value.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => Val::json(other.clone()).to_text().into_owned(),
    }
}

pub(crate) fn quote_plus(text: &str) -> String {
    utf8_percent_encode(text, QUOTED)
        .to_string()
        .replace("%20", "+")
}

/// Host and port, the port also where the scheme implies it.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port_or_known_default() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// The query as pairs, for budget matchers.
pub(crate) fn query_pairs(url: &Url) -> Vec<(String, String)> {
    form_urlencoded::parse(url.query().unwrap_or_default().as_bytes())
        .into_owned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn base_and_path_are_joined() {
        for (base, path, expected) in [
            ("https://h/v1", "products", "https://h/v1/products"),
            ("https://h/v1/", "/products", "https://h/v1/products"),
            ("https://h/v1/", "", "https://h/v1/"),
            ("https://h/v1?x=1", "p", "https://h/v1/p"),
            ("https://h/v1", "https://other/p", "https://other/p"),
            (
                "https://h/v1",
                "customers/1:search",
                "https://h/v1/customers/1:search",
            ),
            ("https://h", "a?q=List(1,2)", "https://h/a?q=List(1,2)"),
        ] {
            assert_eq!(join(base, path).unwrap().as_str(), expected);
        }
        assert!(join("ftp://h", "p").is_err());
        assert!(join("not an address", "p").is_err());
    }

    #[test]
    fn parameters_are_encoded_as_python_does() {
        let mut url = Url::parse("https://h/p?raw=(a,b)&page=2").unwrap();
        let parameters = json!({
            "page": 2, "q": "a b&c/ü~", "on": true, "ids": [1, "x"], "none": null
        });
        let Value::Object(parameters) = parameters else {
            unreachable!()
        };
        add_parameters(&mut url, &parameters);
        assert_eq!(
            url.query(),
            Some("raw=(a,b)&page=2&q=a+b%26c%2F%C3%BC~&on=True&ids=1&ids=x")
        );
    }

    #[test]
    fn a_stand_in_takes_the_place_of_the_origin() {
        let url = Url::parse("https://api.example.com/2/tweets?x=1").unwrap();
        let moved = replace_origin(&url, "http://127.0.0.1:9000/x/").unwrap();
        assert_eq!(moved.as_str(), "http://127.0.0.1:9000/x/2/tweets?x=1");
    }
}
