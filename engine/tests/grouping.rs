//! Partitions that are read in groups, as the reference reads them.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use std::sync::Arc;

use serde_json::{Value, json};
use support::{answer, serve, settings};
use syncline_engine::{Connector, LoadErrors};

const HEAD: &str = "type: DeclarativeSource\nversion: 6.0.0\ncheck: {type: CheckStream, stream_names: [a]}\ndefinitions:\n  parents: \
     {type: DeclarativeStream, name: parents, schema_loader: {type: InlineSchemaLoader, schema: {type: object}}, retriever: {type: \
     SimpleRetriever, requester: {type: HttpRequester, url_base: 'https://h', path: parents}, record_selector: {extractor: {field_path: \
     []}}}}\n";
const PARENTS: &str = "{type: SubstreamPartitionRouter, parent_stream_configs: [{type: ParentStreamConfig, parent_key: id, partition_field: \
     id, stream: '#/definitions/parents', extra_fields: [['n']]}]}";

fn load(router: &str) -> Result<Connector, LoadErrors> {
    let yaml = format!(
        "{HEAD}streams:\n  - {{type: DeclarativeStream, name: a, schema_loader: {{type: InlineSchemaLoader, schema: {{type: object}}}}, \
         transformations: [{{type: AddFields, fields: [{{type: AddedFieldDefinition, path: [x], value: \"{{{{ stream_slice.extra_fields \
         }}}}\"}}]}}], retriever: {{type: SimpleRetriever, partition_router: {router}, requester: {{type: HttpRequester, url_base: \
         'https://h', path: list, request_parameters: {{ids: \"{{{{ stream_partition['id'] | join('-') }}}}\", all: \"{{{{ \
         stream_partition['id'] }}}}\"}}}}, record_selector: {{extractor: {{field_path: []}}}}}}}}\n"
    );
    Connector::load("demo", &yaml)
}

async fn read(router: &str) -> (Vec<String>, Vec<Value>) {
    let server = serve(|_, target| match target {
        "/parents" => answer(
            200,
            "",
            r#"[{"id": 1, "n": "a"}, {"id": 2, "n": "b"}, {"id": 2, "n": "c"}, {"id": 3}, {"id": null}, {"id": 5, "n": "e"}]"#,
        ),
        _ => answer(200, "", r#"[{"ok": 1}]"#),
    })
    .await;
    let base = settings(json!({}), &server.address, Arc::default());
    let connector = load(router).unwrap();
    let mut reader = connector.reader("a", base).unwrap();
    let mut found = Vec::new();
    while let Some(page) = reader.next_page().await.unwrap() {
        found.extend(
            page.records
                .into_iter()
                .map(|mut record| record.remove("x").unwrap()),
        );
    }
    let seen = server.seen.lock().unwrap();
    assert!(seen.iter().all(|seen| seen.head.starts_with("GET ")));
    drop(seen);
    (server.targets(), found)
}

#[tokio::test]
async fn partitions_of_a_list_are_read_in_groups() {
    let router = "{type: GroupingPartitionRouter, group_size: 2, deduplicate: false, underlying_partition_router: {type: \
         ListPartitionRouter, cursor_field: id, values: [x, 'y', x, z]}}";
    let (targets, found) = read(router).await;
    assert_eq!(
        targets,
        ["/list?ids=x-y&all=x&all=y", "/list?ids=x-z&all=x&all=z"]
    );
    assert_eq!(found, [json!({}), json!({})]);
}

#[tokio::test]
async fn partitions_of_parents_are_read_in_groups_each_once() {
    let router = format!(
        "{{type: GroupingPartitionRouter, group_size: 3, underlying_partition_router: {PARENTS}}}"
    );
    let (targets, found) = read(&router).await;
    assert_eq!(
        targets,
        [
            "/parents",
            "/list?ids=1-2-3&all=1&all=2&all=3",
            "/list?ids=5&all=5"
        ]
    );
    assert_eq!(found, [json!({"n": ["a", "b", null]}), json!({"n": ["e"]})]);
}

#[test]
fn groups_that_cannot_be_made_are_refused() {
    for (router, path) in [
        (
            "{type: GroupingPartitionRouter, group_size: 0, underlying_partition_router: {type: ListPartitionRouter, cursor_field: id, values: [a]}}",
            "group_size",
        ),
        (
            "{type: GroupingPartitionRouter, group_size: 1}",
            "underlying_partition_router",
        ),
        (
            "{type: GroupingPartitionRouter, group_size: 1, underlying_partition_router: {type: ListPartitionRouter, cursor_field: id, values: [a], \
         request_option: {type: RequestOption, inject_into: header, field_name: x}}}",
            "underlying_partition_router",
        ),
    ] {
        let errors = load(router).unwrap_err();
        assert!(errors.problems[0].path.ends_with(path), "{errors}");
    }
}
