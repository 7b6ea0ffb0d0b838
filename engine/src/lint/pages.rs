//! Paginators that never end, end early, or give a page twice.

use super::component::Part;
use super::{Found, mentions, short};

pub(super) fn look(part: &Part<'_>, found: &mut Found) {
    if part.kind == "DeclarativeStream" {
        filtered_by_time(part, found);
    }
    if part.kind != "SimpleRetriever" {
        return;
    }
    let Some(paginator) = part.child("paginator") else {
        return;
    };
    let Some(strategy) = paginator.child("pagination_strategy") else {
        return;
    };
    token_is_not_sent(part, &paginator, found);
    match strategy.kind {
        "CursorPagination" => {
            no_stop(&strategy, found);
            filtered(part, &strategy, found);
        }
        "PageIncrement" => {
            no_page_size(&strategy, found);
            first_page_twice(&strategy, found);
        }
        "OffsetIncrement" => no_page_size(&strategy, found),
        _ => {}
    }
}

/// A token that no request carries asks for the first page for ever.
fn token_is_not_sent(part: &Part<'_>, paginator: &Part<'_>, found: &mut Found) {
    let requester = part.get("requester");
    let is_read = requester.is_some_and(|requester| mentions(requester, &["next_page_token"]));
    if paginator.get("page_token_option").is_none() && !is_read {
        found.add(
            "page-token-not-sent",
            &paginator.path,
            "no request says which page it wants: there is no page_token_option, and the requester does not read \
             next_page_token, so the first page comes again and again"
                .to_owned(),
            "give page_token_option",
        );
    }
}

fn no_stop(strategy: &Part<'_>, found: &mut Found) {
    if strategy.get("stop_condition").is_some() {
        return;
    }
    let value = strategy.text("cursor_value").unwrap_or_default();
    found.add(
        "no-stop-condition",
        &strategy.path,
        format!(
            "the stream ends when \"{}\" gives nothing or something false: a platform that sends a token with the last page, \
             too, is read for ever",
            short(value)
        ),
        "give stop_condition, such as the platform's own word that there is more",
    );
}

/// Variables that are what the filters have left.
const OF_WHAT_IS_LEFT: &[&str] = &["last_record", "last_page_size"];

/// `is_client_side_incremental` filters pages as a record filter does.
fn filtered_by_time(stream: &Part<'_>, found: &mut Found) {
    let is_filtered = stream
        .child("incremental_sync")
        .is_some_and(|cursor| cursor.is_set("is_client_side_incremental"));
    let strategy = stream
        .child("retriever")
        .filter(|retriever| retriever.kind == "SimpleRetriever")
        .and_then(|retriever| retriever.child("paginator"))
        .and_then(|paginator| paginator.child("pagination_strategy"));
    if let Some(strategy) = strategy
        && is_filtered
        && strategy.kind == "CursorPagination"
        && mentions(strategy.value, OF_WHAT_IS_LEFT)
    {
        found.add(
            "filter-changes-pages",
            &strategy.path,
            "last_record and last_page_size are what is_client_side_incremental has left of the page: a page of old records \
             only, or with old ones at its end, ends the stream early or asks for the wrong next page"
                .to_owned(),
            "take the next page from response",
        );
    }
}

/// `last_record` and `last_page_size` are what the filter has left.
fn filtered(part: &Part<'_>, strategy: &Part<'_>, found: &mut Found) {
    let has_filter = part
        .child("record_selector")
        .is_some_and(|selector| selector.get("record_filter").is_some());
    if has_filter && mentions(strategy.value, OF_WHAT_IS_LEFT) {
        found.add(
            "filter-changes-pages",
            &strategy.path,
            "last_record and last_page_size are what the record filter has left of the page: a page of which it drops the \
             end, or everything, ends the stream early or asks for the wrong next page"
                .to_owned(),
            "take the next page from response",
        );
    }
}

fn no_page_size(strategy: &Part<'_>, found: &mut Found) {
    if strategy.get("page_size").is_none() {
        found.add(
            "no-page-size",
            &strategy.path,
            "without page_size only an empty page ends the stream: one more request each time, and no end if the platform \
             answers with its last page again"
                .to_owned(),
            "give page_size, the platform's own if it cannot be chosen",
        );
    }
}

fn first_page_twice(strategy: &Part<'_>, found: &mut Found) {
    let injects = strategy.is_set("inject_on_first_request");
    if strategy.get("start_from_page").is_none() && !injects {
        found.add(
            "first-page-twice",
            &strategy.path,
            "the first request names no page and the second asks for page 1: a platform that counts from 1 gives its first \
             page twice"
                .to_owned(),
            "give start_from_page: 1 if the platform counts from 1, and inject_on_first_request: true",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::{assert_fine, assert_trap, stream};
    use serde_json::{Value, json};

    const STRATEGY: &str = "/streams/0/retriever/paginator/pagination_strategy";

    fn strategy(strategy: Value) -> Value {
        // Null first, so that nothing of the example's own strategy stays.
        let mut members = json!({"cursor_value": null, "stop_condition": null});
        for (name, value) in strategy.as_object().unwrap() {
            members[name] = value.clone();
        }
        stream(json!({"retriever": {"paginator": {"pagination_strategy": members}}}))
    }

    #[test]
    fn a_token_that_nothing_sends() {
        let without = json!({"paginator": {"page_token_option": null}});
        assert_trap(
            stream(json!({"retriever": without})),
            "page-token-not-sent",
            "/streams/0/retriever/paginator",
        );
        let mut read = without;
        read["requester"] =
            json!({"request_parameters": {"after": "{{ next_page_token['next_page_token'] }}"}});
        assert_fine(stream(json!({"retriever": read})));
    }

    #[test]
    fn a_cursor_without_a_stop_condition() {
        assert_trap(
            strategy(json!({"type": "CursorPagination", "cursor_value": "{{ response.next }}"})),
            "no-stop-condition",
            STRATEGY,
        );
    }

    #[test]
    fn a_filter_before_the_paginator() {
        let by_record = json!({
            "paginator": {"pagination_strategy": {"cursor_value": "{{ last_record['id'] }}"}},
            "record_selector": {"record_filter": {"type": "RecordFilter", "condition": "{{ record['a'] }}"}},
        });
        assert_trap(
            stream(json!({"retriever": by_record})),
            "filter-changes-pages",
            STRATEGY,
        );
    }

    #[test]
    fn a_filter_by_time_before_the_paginator() {
        let stream_of = |value: &str, is_client_side: bool| {
            stream(json!({
                "incremental_sync": {
                    "type": "DatetimeBasedCursor", "cursor_field": "at", "datetime_format": "%s", "start_datetime": "1",
                    "is_client_side_incremental": is_client_side, "is_data_feed": !is_client_side,
                },
                "retriever": {"paginator": {"pagination_strategy": {"cursor_value": value}}},
            }))
        };
        assert_trap(
            stream_of("{{ last_record['id'] }}", true),
            "filter-changes-pages",
            STRATEGY,
        );
        assert_fine(stream_of("{{ last_record['id'] }}", false));
        assert_fine(stream_of("{{ response['next'] }}", true));
    }

    #[test]
    fn pages_without_a_size() {
        assert_trap(
            strategy(json!({"type": "OffsetIncrement"})),
            "no-page-size",
            STRATEGY,
        );
        assert_fine(strategy(
            json!({"type": "OffsetIncrement", "page_size": 10}),
        ));
    }

    #[test]
    fn a_first_page_that_comes_twice() {
        assert_trap(
            strategy(json!({"type": "PageIncrement", "page_size": 10})),
            "first-page-twice",
            STRATEGY,
        );
        assert_fine(strategy(
            json!({"type": "PageIncrement", "page_size": 10, "start_from_page": 1}),
        ));
        assert_fine(strategy(
            json!({"type": "PageIncrement", "page_size": 10, "inject_on_first_request": true}),
        ));
    }
}
