//! Manifests that must not load, and the ways in which they say so; and those that must.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use syncline_engine::Connector;

fn problems(yaml: &str) -> Vec<String> {
    let errors = Connector::load("demo", yaml).unwrap_err();
    errors.problems.iter().map(ToString::to_string).collect()
}

const HEAD: &str =
    "type: DeclarativeSource\nversion: 6.0.0\ncheck: {type: CheckStream, stream_names: [a]}\n";

fn stream(retriever: &str, more: &str) -> String {
    format!(
        "{HEAD}streams:\n  - type: DeclarativeStream\n    name: a\n    {more}\n    schema_loader: \
         {{type: InlineSchemaLoader, schema: {{type: object}}}}\n    retriever: {retriever}\n"
    )
}

#[test]
fn unsupported_components_are_named_with_their_path_all_at_once() {
    let yaml = stream(
        "{type: SimpleRetriever, partition_router: {type: UnionPartitionRouter}, \
         paginator: {type: AsyncRetriever}, \
         requester: {type: HttpRequester, url_base: 'https://h', authenticator: {type: CustomAuthenticator}, \
         request_parameters: {x: \"{{ config['a'] | frobnicate }}\", y: '{{ roll_dice() }}', z: '{{ nix }}', \
         w: '{% if x %}1{% endif %}'}}, \
         record_selector: {extractor: {type: DpathExtractor, field_path: []}, record_filter: {type: CustomRecordFilter, condition: x}}}",
        "incremental_sync: {type: DatetimeBasedCursor, cursor_field: at, datetime_format: '%Y %c', start_datetime: '2024', \
         cursor_granularity: 1 day, clamping: {target: HOUR}}",
    );
    let found = problems(&yaml);
    let expected = [
        (
            "/streams/0/incremental_sync/cursor_granularity",
            "an ISO 8601 duration such as PT1S, P7D or P1M is needed here",
        ),
        (
            "/streams/0/incremental_sync/datetime_format",
            "holds %c, which is not supported",
        ),
        (
            "/streams/0/incremental_sync/clamping/target",
            "one of DAY, WEEK and MONTH",
        ),
        (
            "/streams/0/incremental_sync",
            "step and cursor_granularity go together",
        ),
        (
            "/streams/0/retriever/partition_router",
            "component \"UnionPartitionRouter\" is not supported",
        ),
        (
            "/streams/0/retriever/paginator",
            "component \"AsyncRetriever\" is not supported; supported here: DefaultPaginator, NoPagination",
        ),
        (
            "/streams/0/retriever/requester/authenticator",
            "\"CustomAuthenticator\"",
        ),
        (
            "/streams/0/retriever/requester/request_parameters/x",
            "the filter \"frobnicate\"",
        ),
        (
            "/streams/0/retriever/requester/request_parameters/y",
            "the function \"roll_dice\"",
        ),
        (
            "/streams/0/retriever/requester/request_parameters/z",
            "the variable \"nix\" does not exist",
        ),
        (
            "/streams/0/retriever/requester/request_parameters/w",
            "holds a statement",
        ),
        (
            "/streams/0/retriever/record_selector/record_filter",
            "is not supported",
        ),
    ];
    for (path, text) in expected {
        let hit = found
            .iter()
            .any(|line| line.starts_with(&format!("{path}: ")) && line.contains(text));
        assert!(hit, "{path}: {text}\nis not in\n{}", found.join("\n"));
    }
    assert_eq!(found.len(), expected.len(), "{}", found.join("\n"));
}

#[test]
fn broken_files_and_references_say_what_is_wrong() {
    assert!(problems("a: [1")[0].contains("YAML"));
    assert!(problems("[]")[0].contains("mapping"));
    let loop_yaml = format!(
        "{HEAD}definitions: {{a: '#/definitions/b', b: '#/definitions/a'}}\nstreams: '#/definitions/a'"
    );
    assert!(problems(&loop_yaml)[0].contains("leads back to itself"));
    let nothing = format!("{HEAD}streams: ['#/definitions/none']");
    assert!(problems(&nothing)[0].starts_with("/streams/0: the reference \"#/definitions/none\""));
    let unknown = format!("{HEAD}x_mine: 1\nstreams: []");
    assert!(problems(&unknown)[0].starts_with("/x_mine: "));
}

#[test]
fn references_that_multiply_are_stopped() {
    let mut yaml =
        format!("{HEAD}streams: '#/definitions/l9'\ndefinitions:\n  l0: [1,1,1,1,1,1,1,1,1,1]\n");
    for level in 1..10 {
        let below = format!("'#/definitions/l{}'", level - 1);
        let items = vec![below; 10].join(",");
        let line = format!("  l{level}: [{items}]\n");
        yaml.push_str(&line);
    }
    assert!(problems(&yaml)[0].contains("400,000 values"));
}

#[test]
fn references_and_parameters_reach_the_components() {
    let yaml = format!(
        "{HEAD}definitions:\n  base:\n    requester: {{type: HttpRequester, url_base: 'https://h', http_method: POST}}\n\
         streams:\n  - name: a\n    $parameters: {{path: '/from-parameters', primary_key: [id]}}\n    \
         schema_loader: {{type: InlineSchemaLoader, schema: {{type: object}}}}\n    retriever:\n      \
         requester: {{$ref: '#/definitions/base/requester', http_method: GET}}\n      record_selector: \
         {{extractor: {{field_path: []}}}}\n"
    );
    let connector = Connector::load("demo", &yaml).unwrap();
    assert_eq!(connector.streams()[0].primary_key, [["id"]]);
    assert!(!connector.streams()[0].supports_page);
}

#[test]
fn unknown_extensions_are_refused_and_unknown_fields_ignored() {
    let yaml = stream(
        "{type: SimpleRetriever, some_field: 1, x_other: 2, requester: {type: HttpRequester, url_base: 'https://h'}, \
         record_selector: {extractor: {field_path: []}}}",
        "primary_key: id",
    );
    let found = problems(&yaml);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("/streams/0/retriever/x_other: the extension \"x_other\""));
}

#[test]
fn a_secret_without_a_property_is_refused() {
    for schema in [
        "{type: object, airbyte_secret: true}",
        "{type: object, additionalProperties: {type: string, airbyte_secret: true}}",
        "{type: object, oneOf: [{patternProperties: {'^x': {airbyte_secret: true}}}]}",
    ] {
        let yaml = stream(
            "{type: SimpleRetriever, requester: {type: HttpRequester, url_base: 'https://h'}, record_selector: {extractor: \
             {field_path: []}}}",
            "primary_key: id",
        ) + &format!("spec: {{type: Spec, connection_specification: {schema}}}\n");
        let found = problems(&yaml);
        assert_eq!(found.len(), 1, "{found:?}");
        let told = "/spec/connection_specification: airbyte_secret on the config as a whole";
        assert!(found[0].starts_with(told), "{found:?}");
    }
}
