//! Jobs: options that no request of a job carries.

use super::Found;
use super::component::Part;

pub(super) fn look(part: &Part<'_>, found: &mut Found) {
    if part.kind != "DeclarativeStream" {
        return;
    }
    let Some(retriever) = part
        .child("retriever")
        .filter(|retriever| retriever.kind == "AsyncRetriever")
    else {
        return;
    };
    if let Some(cursor) = part.child("incremental_sync") {
        for option in ["start_time_option", "end_time_option"] {
            ignored(&cursor, option, "stream_interval", found);
        }
    }
    let routers = retriever.children("partition_router");
    for router in retriever.child("partition_router").iter().chain(&routers) {
        ignored(router, "request_option", "stream_partition", found);
        for parent in router.children("parent_stream_configs") {
            ignored(&parent, "request_option", "stream_partition", found);
        }
    }
    has_paginator(&retriever, found);
}

fn ignored(part: &Part<'_>, option: &str, variable: &str, found: &mut Found) {
    if part.get(option).is_none() {
        return;
    }
    found.add(
        "job-option-ignored",
        &part.path_of(option),
        format!("no request of a job carries {option}: each job is asked for everything, unless its requests read {variable}"),
        "leave the option out, and use expressions in the creation_requester",
    );
}

/// Only the download is paged.
fn has_paginator(retriever: &Part<'_>, found: &mut Found) {
    if retriever.get("paginator").is_some() {
        found.add(
            "job-option-ignored",
            &retriever.path_of("paginator"),
            "an AsyncRetriever has no paginator: only what a job has prepared is read page by page"
                .to_owned(),
            "give download_paginator",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::{stream, traps};
    use serde_json::{Value, json};

    fn job(change: Value) -> Value {
        let requester = json!({"type": "HttpRequester", "url_base": "https://api.example.com", "path": "/jobs"});
        let mut retriever = json!({
            "type": "AsyncRetriever", "requester": null, "paginator": null,
            "creation_requester": requester, "polling_requester": requester, "download_requester": requester,
            "status_extractor": {"type": "DpathExtractor", "field_path": ["status"]},
            "status_mapping": {"running": ["RUNNING"], "completed": ["DONE"], "failed": ["FAILED"], "timeout": ["TIMEOUT"]},
        });
        for (name, value) in change["retriever"].as_object().into_iter().flatten() {
            retriever[name] = value.clone();
        }
        stream(json!({"retriever": retriever, "incremental_sync": change["incremental_sync"]}))
    }

    #[test]
    fn options_that_no_job_sees_are_named() {
        let option = json!({"type": "RequestOption", "inject_into": "request_parameter", "field_name": "since"});
        let found = traps(job(json!({
            "incremental_sync": {
                "type": "DatetimeBasedCursor", "cursor_field": "day", "datetime_format": "%Y-%m-%d", "start_datetime": "2024-01-01",
                "start_time_option": option,
            },
            "retriever": {
                "paginator": {"type": "NoPagination"},
                "partition_router": [{"type": "ListPartitionRouter", "cursor_field": "a", "values": ["x"], "request_option": option}],
            },
        })));
        let paths: Vec<&str> = found
            .iter()
            .filter(|(trap, _)| *trap == "job-option-ignored")
            .map(|(_, path)| path.as_str())
            .collect();
        assert_eq!(
            paths,
            [
                "/streams/0/incremental_sync/start_time_option",
                "/streams/0/retriever/partition_router/0/request_option",
                "/streams/0/retriever/paginator",
            ]
        );
    }

    #[test]
    fn a_job_that_is_asked_by_expressions_is_fine() {
        let found = traps(job(json!({
            "retriever": {"partition_router": {"type": "ListPartitionRouter", "cursor_field": "a", "values": ["x"]}},
        })));
        assert!(
            found.iter().all(|(trap, _)| *trap != "job-option-ignored"),
            "{found:?}"
        );
    }
}
