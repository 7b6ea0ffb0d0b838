//! Addresses: what joining base and path does, and parameters that are in the address already.

use serde_json::Value;

use super::component::Part;
use super::{Found, short};

pub(super) fn look(part: &Part<'_>, found: &mut Found) {
    match part.kind {
        "HttpRequester" => {
            joined(part, found);
            double_slash(part, found);
        }
        "SimpleRetriever" => in_query_already(part, found),
        _ => {}
    }
}

fn joined(part: &Part<'_>, found: &mut Found) {
    let Some(path) = part
        .text("path")
        .filter(|path| !path.trim_matches('/').is_empty())
    else {
        return;
    };
    if part
        .text("url_base")
        .is_some_and(|base| outside_expressions(base).contains('?'))
    {
        found.add(
            "query-in-base",
            &part.path_of("url_base"),
            "the query of url_base is lost, since path is put in its place; the reference drops the last segment of url_base with it".to_owned(),
            "move the query into request_parameters, or into path",
        );
    }
    let first = path
        .trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default();
    let first = outside_expressions(first);
    let is_address = path.starts_with("http://") || path.starts_with("https://");
    if !is_address && first.split('?').next().unwrap_or_default().contains(':') {
        found.add(
            "colon-in-path",
            &part.path_of("path"),
            format!(
                "the reference takes \"{}\" for a whole address because of the colon, and drops url_base; here it is joined",
                short(path)
            ),
            "for a manifest that runs in both, put a segment and a slash before the colon, moving the end of url_base there",
        );
    }
}

fn double_slash(part: &Part<'_>, found: &mut Found) {
    for name in ["url_base", "path", "url"] {
        let Some(text) = part.text(name) else {
            continue;
        };
        let plain = outside_expressions(text);
        let before_query = plain.split('?').next().unwrap_or_default();
        let without_scheme = before_query
            .split_once("://")
            .map_or(before_query, |(_, rest)| rest);
        if without_scheme.trim_start_matches('/').contains("//") {
            found.add(
                "double-slash",
                &part.path_of(name),
                format!(
                    "\"{}\" is sent with its double slash, which many platforms do not know; the reference leaves one slash out",
                    short(text)
                ),
                "leave one slash out",
            );
        }
    }
}

/// A parameter that the address has already: the same value is left out, another one is sent besides.
fn in_query_already(part: &Part<'_>, found: &mut Found) {
    let Some(requester) = part.child("requester") else {
        return;
    };
    let address = ["path", "url"].into_iter().find_map(|name| {
        let (_, query) = requester.text(name)?.split_once('?')?;
        Some((requester.path_of(name), query))
    });
    let Some((path, query)) = address else {
        return;
    };
    let mut named: Vec<&str> = Vec::new();
    if let Some(Value::Object(parameters)) = requester.get("request_parameters") {
        named.extend(parameters.keys().map(String::as_str));
    }
    if let Some(paginator) = part.child("paginator") {
        for option in ["page_token_option", "page_size_option"] {
            let option = paginator.child(option);
            let option =
                option.filter(|option| option.text("inject_into") == Some("request_parameter"));
            named.extend(option.and_then(|option| option.text("field_name")));
        }
    }
    let query = outside_expressions(query);
    let of_address = query
        .split('&')
        .filter_map(|pair| pair.split('=').next())
        .filter(|name| !name.is_empty());
    for name in of_address {
        if named.contains(&name) {
            found.add(
                "parameter-twice",
                &path,
                format!(
                    "the address has the parameter \"{name}\" already: the one that is added is left out if it has the same \
                     value, and sent besides if it has another, so most platforms see either value"
                ),
                "state it once",
            );
        }
    }
}

/// A text without what stands in `{{ }}`.
pub(super) fn outside_expressions(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        plain.push_str(before);
        // A mark, so that the slashes around an expression stay apart.
        plain.push('_');
        rest = after.split_once("}}").map_or("", |(_, rest)| rest);
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::super::example::{assert_fine, assert_trap, requester};
    use serde_json::json;

    const REQUESTER: &str = "/streams/0/retriever/requester";

    #[test]
    fn a_query_in_the_base() {
        assert_trap(
            requester(json!({"url_base": "https://api.example.com/v1?key=1"})),
            "query-in-base",
            &format!("{REQUESTER}/url_base"),
        );
        assert_fine(requester(
            json!({"url_base": "https://{{ config['a?b'] }}.example.com"}),
        ));
    }

    #[test]
    fn a_colon_in_the_first_segment() {
        assert_trap(
            requester(json!({"path": "/items:search"})),
            "colon-in-path",
            &format!("{REQUESTER}/path"),
        );
        assert_fine(requester(
            json!({"path": "customers/{{ config['a:b'] }}/items:search"}),
        ));
        assert_fine(requester(json!({"path": "items?at=10:30"})));
    }

    #[test]
    fn a_double_slash() {
        assert_trap(
            requester(json!({"path": "/items//all"})),
            "double-slash",
            &format!("{REQUESTER}/path"),
        );
        assert_fine(requester(
            json!({"path": "/items/{{ config['a'] }}/{{ config['b'] }}/all?next=http://x"}),
        ));
    }

    #[test]
    fn a_parameter_that_the_address_has_already() {
        assert_trap(
            requester(
                json!({"path": "/items?limit=10&q=a", "request_parameters": {"limit": "20"}}),
            ),
            "parameter-twice",
            &format!("{REQUESTER}/path"),
        );
        assert_trap(
            requester(json!({"path": "/items?after=x"})),
            "parameter-twice",
            &format!("{REQUESTER}/path"),
        );
        assert_fine(requester(
            json!({"path": "/items?q=a", "request_parameters": {"limit": "20"}}),
        ));
    }
}
