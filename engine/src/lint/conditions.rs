//! Expressions that Python cannot evaluate when a value is missing.
//!
//! `.get('x')` without a default gives None, and None can neither be compared nor counted. The reference then takes the
//! template's own text for the value, which is true as a condition; the engine ends the read with the path.

use super::component::Part;
use super::{Found, short};
use crate::expr::{Comparison, Filter, Method, Node, Var};

/// Fields that are evaluated while a stream is read.
const EVALUATED: &[&str] = &[
    "condition",
    "predicate",
    "stop_condition",
    "cursor_value",
    "value",
    "url",
    "url_base",
    "path",
    "request_parameters",
    "request_headers",
    "request_body_json",
    "request_body_data",
    "datetime",
    "start_datetime",
    "end_datetime",
    "min_datetime",
    "max_datetime",
    "step",
    "lookback_window",
    "values",
    "field_path",
    "page_size",
    "header",
    "api_token",
    "username",
    "password",
    "backoff_time_in_seconds",
];

pub(super) fn look(part: &Part<'_>, found: &mut Found) {
    let mut has_page_size = true;
    if part.kind == "CursorPagination" {
        has_page_size = part.get("page_size").is_some();
    }
    for name in EVALUATED {
        for (path, source) in part.texts_of(name) {
            let Some(template) = part.template(source, &path) else {
                continue;
            };
            let mut search = Search {
                has_page_size,
                present: Vec::new(),
                risk: None,
            };
            for node in template.expressions() {
                search.node(node);
            }
            if let Some(risk) = search.risk {
                found.add(
                    "none-in-condition",
                    &path,
                    format!(
                        "\"{}\" {risk}, which fails where a value is missing: the reference then takes the text of the template \
                         for its value, sends it or holds it for true; here the read ends with an error",
                        short(source)
                    ),
                    "give a default: .get('x', 0), or ask for the value first: {{ x and x > 1 }}",
                );
            }
        }
    }
}

struct Search {
    has_page_size: bool,
    /// What a condition before has asked for.
    present: Vec<String>,
    risk: Option<&'static str>,
}

impl Search {
    fn node(&mut self, node: &Node) {
        match node {
            Node::Const(_) | Node::Var(_) => {}
            Node::List(nodes) | Node::Tuple(nodes) => self.all(nodes),
            Node::Dict(pairs) => {
                for (key, value) in pairs {
                    self.node(key);
                    self.node(value);
                }
            }
            Node::Attribute(of, _) | Node::Not(of) | Node::Negate(of) | Node::Slice { of, .. } => {
                self.node(of);
            }
            Node::Each(_, of) => {
                self.node(of);
                if self.may_be_none(of) {
                    self.risk = Some(GONE_THROUGH);
                }
            }
            Node::Item(left, right) | Node::Concat(left, right) | Node::Or(left, right) => {
                self.node(left);
                self.node(right);
            }
            Node::And(left, right) => {
                self.node(left);
                self.guarded(left, right);
            }
            Node::If {
                condition,
                then,
                otherwise,
            } => {
                self.node(condition);
                self.guarded(condition, then);
                if let Some(otherwise) = otherwise {
                    self.node(otherwise);
                }
            }
            Node::Arithmetic(_, left, right) => {
                self.node(left);
                self.node(right);
                if self.may_be_none(left) || self.may_be_none(right) {
                    self.risk = Some("calculates with what may be None");
                }
            }
            Node::Compare(first, links) => self.comparison(first, links),
            Node::Filter(filter, of, arguments) => {
                self.node(of);
                self.all(&arguments.positional);
                if let Some(risk) = risk_of(*filter)
                    && self.may_be_none(of)
                {
                    self.risk = Some(risk);
                }
            }
            Node::Test(_, of, nodes) | Node::Method(_, of, nodes) => {
                self.node(of);
                self.all(nodes);
            }
            Node::Function(_, arguments) => {
                for node in arguments.iter().flatten() {
                    self.node(node);
                }
            }
        }
    }

    fn all(&mut self, nodes: &[Node]) {
        for node in nodes {
            self.node(node);
        }
    }

    fn comparison(&mut self, first: &Node, links: &[(Comparison, Node)]) {
        self.node(first);
        let mut left = first;
        for (operator, right) in links {
            self.node(right);
            match operator {
                Comparison::Less
                | Comparison::LessOrEqual
                | Comparison::Greater
                | Comparison::GreaterOrEqual => {
                    if self.may_be_none(left) || self.may_be_none(right) {
                        self.risk = Some("compares what may be None");
                    }
                }
                Comparison::In | Comparison::NotIn => {
                    if self.may_be_none(right) {
                        self.risk = Some("searches in what may be None");
                    }
                }
                Comparison::Equal | Comparison::NotEqual => {}
            }
            left = right;
        }
    }

    /// What comes after a condition is only evaluated where the condition holds.
    fn guarded(&mut self, condition: &Node, then: &Node) {
        let known = self.present.len();
        self.remember(condition);
        self.node(then);
        self.present.truncate(known);
    }

    /// Whatever a condition asks of a value, it has been thought of: this is a search for oversights, no proof.
    fn remember(&mut self, condition: &Node) {
        match condition {
            Node::And(left, right) => {
                self.remember(left);
                self.remember(right);
            }
            Node::Not(of) => self.remember(of),
            Node::Test(_, of, _) => self.present.push(written(of)),
            Node::Compare(first, _) => self.present.push(written(first)),
            other => self.present.push(written(other)),
        }
    }

    fn may_be_none(&self, node: &Node) -> bool {
        let is_none = match node {
            Node::Const(value) => value.is_null(),
            Node::Method(Method::Get, _, arguments) => match arguments.as_slice() {
                [_] => true,
                [_, default] => self.may_be_none(default),
                _ => false,
            },
            Node::Var(Var::PageSize) => !self.has_page_size,
            // Without its second argument `default` is for what is undefined, which None is not.
            Node::Filter(Filter::Default, of, arguments) => {
                let is_for_none = arguments.positional.len() > 1 || !arguments.named.is_empty();
                !is_for_none && self.may_be_none(of)
            }
            Node::Or(_, right) => self.may_be_none(right),
            Node::And(left, right) => self.may_be_none(left) || self.may_be_none(right),
            Node::If {
                then, otherwise, ..
            } => {
                self.may_be_none(then)
                    || otherwise
                        .as_ref()
                        .is_some_and(|node| self.may_be_none(node))
            }
            _ => false,
        };
        is_none && !self.present.contains(&written(node))
    }
}

const GONE_THROUGH: &str = "goes through what may be None";

/// What a filter does that None does not bear; most write it as a text.
fn risk_of(filter: Filter) -> Option<&'static str> {
    match filter {
        Filter::Length => Some("takes the length of what may be None"),
        Filter::RegexSearch | Filter::RegexReplace => {
            Some("searches by a regular expression in what may be None")
        }
        Filter::Base64Encode | Filter::Base64Decode | Filter::Base64Ascii => {
            Some("encodes or decodes what may be None")
        }
        Filter::Abs | Filter::Round => Some("calculates with what may be None"),
        Filter::List
        | Filter::First
        | Filter::Last
        | Filter::Join
        | Filter::Reverse
        | Filter::Items
        | Filter::Unique
        | Filter::Sort
        | Filter::Sum
        | Filter::Min
        | Filter::Max
        | Filter::DictSort
        | Filter::GroupBy
        | Filter::Batch
        | Filter::Slice => Some(GONE_THROUGH),
        _ => None,
    }
}

/// The same for expressions that are written alike.
fn written(node: &Node) -> String {
    format!("{node:?}")
}

#[cfg(test)]
mod tests {
    use super::super::example::{assert_fine, assert_trap, stream};
    use serde_json::{Value, json};

    const CONDITION: &str = "/streams/0/retriever/record_selector/record_filter/condition";

    fn filter(condition: &str) -> Value {
        stream(json!({"retriever": {"record_selector": {
            "record_filter": {"type": "RecordFilter", "condition": condition}
        }}}))
    }

    #[test]
    fn what_may_be_none_in_a_condition() {
        for condition in [
            "{{ record.get('a') > 1 }}",
            "{{ 0 < record.get('a') }}",
            "{{ 'x' in record.get('a') }}",
            "{{ record.get('a') | length > 0 }}",
            "{{ record.get('a') + 1 == 2 }}",
            "{{ record.get('b') and record.get('a') > 1 }}",
            "{{ record.get('a') | regex_search('(x)') == 'x' }}",
            "{{ record.get('a') | first == 1 }}",
            "{{ record.get('a') | batch(2) | list == [] }}",
            "{{ record.get('a') | map('string') == ['1'] }}",
            "{{ record.get('a') | default('b') | length > 0 }}",
        ] {
            assert_trap(filter(condition), "none-in-condition", CONDITION);
        }
    }

    #[test]
    fn what_is_safe_in_a_condition() {
        for condition in [
            "{{ record.get('a', 0) > 1 }}",
            "{{ record.get('a') == 1 }}",
            "{{ record.get('a') and record.get('a') > 1 }}",
            "{{ record.get('a') > 1 if record.get('a') else false }}",
            "{{ record.get('a') is not none and record.get('a') > 1 }}",
            "{{ (record.get('a') or 0) > 1 }}",
            "{{ record['a'] > 1 }}",
            "{{ record.get('a') | int > 1 }}",
            "{{ record.get('a') | default('b', true) | length > 0 }}",
            "{{ record.get('a') | string | regex_search('(x)') == 'x' }}",
            "{{ record.get('a', '') | regex_search('(x)') == 'x' }}",
            "{{ record.get('a') | lower == 'x' }}",
        ] {
            assert_fine(filter(condition));
        }
    }

    #[test]
    fn what_may_be_none_in_a_request() {
        let risky = "{{ config.get('a') + 1 }}";
        for (field, value, place) in [
            ("path", json!(risky), "path"),
            ("url_base", json!(format!("https://{risky}")), "url_base"),
            (
                "request_parameters",
                json!({"n": risky}),
                "request_parameters/n",
            ),
            ("request_headers", json!({"n": risky}), "request_headers/n"),
            (
                "request_body_json",
                json!({"type": "report", "of": [{"n": risky}]}),
                "request_body_json/of/0/n",
            ),
        ] {
            let requester = "/streams/0/retriever/requester";
            assert_trap(
                super::super::example::requester(json!({field: value})),
                "none-in-condition",
                &format!("{requester}/{place}"),
            );
        }
        let cursor = |start: &str| {
            stream(json!({"incremental_sync": {
                "type": "DatetimeBasedCursor", "cursor_field": "at", "datetime_format": "%s", "start_datetime": start,
                "is_client_side_incremental": true,
            }}))
        };
        assert_trap(
            cursor(risky),
            "none-in-condition",
            "/streams/0/incremental_sync/start_datetime",
        );
        assert_fine(cursor("{{ config.get('a', 0) + 1 }}"));
    }

    #[test]
    fn a_header_that_may_be_missing() {
        let filter = |predicate: &str| {
            super::super::example::requester(json!({"error_handler": {
                "type": "DefaultErrorHandler",
                "response_filters": [{"type": "HttpResponseFilter", "predicate": predicate, "action": "RATE_LIMITED"}],
            }}))
        };
        assert_trap(
            filter("{{ headers.get('x-use') | regex_search('([0-9]+)') == '0' }}"),
            "none-in-condition",
            "/streams/0/retriever/requester/error_handler/response_filters/0/predicate",
        );
        assert_fine(filter(
            "{{ headers.get('x-use', '') | regex_search('([0-9]+)') == '0' }}",
        ));
    }

    #[test]
    fn a_page_size_that_is_not_given() {
        let stop = |page_size: Value| {
            stream(json!({"retriever": {"paginator": {"pagination_strategy": {
                "stop_condition": "{{ last_page_size < page_size }}",
                "page_size": page_size,
            }}}}))
        };
        assert_trap(
            stop(Value::Null),
            "none-in-condition",
            "/streams/0/retriever/paginator/pagination_strategy/stop_condition",
        );
        assert_fine(stop(json!(10)));
    }
}
