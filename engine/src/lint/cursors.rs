//! Cursors: slices that ask for everything each time, and gaps between slices.

use super::component::Part;
use super::{Found, mentions};
use crate::time::Span;

pub(super) fn look(part: &Part<'_>, found: &mut Found) {
    if part.kind != "DeclarativeStream" {
        return;
    }
    let Some(cursor) = part.child("incremental_sync") else {
        return;
    };
    if cursor.kind == "DatetimeBasedCursor" {
        bounds(part, &cursor, found);
        gaps(&cursor, found);
    }
}

fn bounds(stream: &Part<'_>, cursor: &Part<'_>, found: &mut Found) {
    let words = ["stream_interval", "stream_slice", "stream_partition"];
    let reads_slice = stream
        .get("retriever")
        .is_some_and(|retriever| mentions(retriever, &words));
    if reads_slice || cursor.is_set("is_data_feed") {
        return;
    }
    let filters = cursor.is_set("is_client_side_incremental");
    let has_steps = cursor.get("step").is_some();
    if cursor.get("start_time_option").is_none() && (!filters || has_steps) {
        found.add(
            "cursor-not-sent",
            &cursor.path,
            if has_steps {
                "no request says which time it wants, so each slice reads everything there is".to_owned()
            } else {
                "no request says which time it wants, so each read is a full one, and only the state says otherwise".to_owned()
            },
            "give start_time_option, or read stream_interval in the request; if the platform has no filter, leave step out \
             and set is_client_side_incremental: true",
        );
    } else if has_steps && cursor.get("end_time_option").is_none() {
        found.add(
            "end-not-sent",
            &cursor.path,
            "there are steps, but no request says where its slice ends: each reads up to now, so records come once for every \
             slice before them"
                .to_owned(),
            "give end_time_option, or leave step and cursor_granularity out",
        );
    }
}

/// A slice ends one granularity before the next begins; a format that is finer can name moments between them.
fn gaps(cursor: &Part<'_>, found: &mut Found) {
    let granularity = cursor.text("cursor_granularity").and_then(Span::parse);
    let Some(granularity) = granularity.filter(|_| cursor.get("step").is_some()) else {
        return;
    };
    let format = cursor.text("datetime_format").unwrap_or_default();
    let is_finer_than_seconds = ["%f", "%ms", "%_ms", "%s_as_float", "%epoch_microseconds"]
        .iter()
        .any(|directive| format.contains(directive));
    let second = Span::parse("PT1S");
    let base = chrono::DateTime::UNIX_EPOCH.fixed_offset();
    let at_least_a_second = second
        .and_then(|second| second.after(base))
        .zip(granularity.after(base))
        .is_some_and(|(second, moment)| moment >= second);
    if is_finer_than_seconds && at_least_a_second {
        found.add(
            "gaps-between-slices",
            &cursor.path_of("cursor_granularity"),
            format!(
                "the format {format} has parts of seconds, but a slice ends a whole cursor_granularity before the next one \
                 begins: a record of a moment between them is in no slice"
            ),
            "give the smallest difference of two values, such as PT0.001S or PT0.000001S",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::{assert_fine, assert_trap, stream};
    use serde_json::{Value, json};

    const CURSOR: &str = "/streams/0/incremental_sync";

    fn cursor(change: Value) -> Value {
        let option = |name: &str| json!({"type": "RequestOption", "inject_into": "request_parameter", "field_name": name});
        let mut cursor = json!({
            "type": "DatetimeBasedCursor",
            "cursor_field": "updated_at",
            "datetime_format": "%Y-%m-%dT%H:%M:%SZ",
            "start_datetime": "2024-01-01T00:00:00Z",
            "step": "P1D",
            "cursor_granularity": "PT1S",
            "start_time_option": option("since"),
            "end_time_option": option("until"),
        });
        for (name, value) in change.as_object().unwrap() {
            cursor[name] = value.clone();
        }
        stream(json!({"incremental_sync": cursor}))
    }

    #[test]
    fn a_good_cursor() {
        assert_fine(cursor(json!({})));
    }

    #[test]
    fn a_slice_that_no_request_names() {
        assert_trap(
            cursor(json!({"start_time_option": null})),
            "cursor-not-sent",
            CURSOR,
        );
        assert_fine(cursor(json!({
            "start_time_option": null, "end_time_option": null, "step": null, "cursor_granularity": null,
            "is_client_side_incremental": true,
        })));
        let mut read = cursor(json!({"start_time_option": null}));
        read["streams"][0]["retriever"] = json!({"requester": {"request_parameters": {"q": "{{ stream_interval['start_time'] }}"}}});
        assert_fine(read);
    }

    #[test]
    fn a_slice_without_an_end() {
        assert_trap(
            cursor(json!({"end_time_option": null})),
            "end-not-sent",
            CURSOR,
        );
        assert_fine(cursor(
            json!({"end_time_option": null, "step": null, "cursor_granularity": null}),
        ));
    }

    #[test]
    fn a_format_that_is_finer_than_the_granularity() {
        let fine = "%Y-%m-%dT%H:%M:%S.%fZ";
        assert_trap(
            cursor(json!({"datetime_format": fine, "start_datetime": "2024-01-01T00:00:00.0Z"})),
            "gaps-between-slices",
            &format!("{CURSOR}/cursor_granularity"),
        );
        assert_fine(cursor(json!({
            "datetime_format": fine, "start_datetime": "2024-01-01T00:00:00.0Z", "cursor_granularity": "PT0.000001S",
        })));
    }
}
