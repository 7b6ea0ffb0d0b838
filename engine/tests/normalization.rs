//! Schema normalisation among the other steps of a record's way, and configs that are normalised before a read. What is expected was
//! measured on the reference.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod support;

use std::sync::Arc;

use serde_json::{Value, json};
use support::{answer, serve, settings};
use syncline_engine::{Connector, ReadError};

const RECORDS: &str = r#"[{"n": "5", "at": "1704067200", "flag": "yes", "tags": "x"},
    {"n": "6", "at": "1704153600", "flag": 0, "tags": ["y"]},
    {"n": "5", "at": "1704240000", "flag": null, "tags": null}]"#;

fn connector(condition: &str, transforms_first: bool, cursor: &str) -> Connector {
    let yaml = format!(
        "type: DeclarativeSource\nversion: 6.0.0\ncheck: {{type: CheckStream, stream_names: [a]}}\n\
         streams:\n  - type: DeclarativeStream\n    name: a\n    schema_loader: {{type: InlineSchemaLoader, schema: {{type: object, \
         properties: {{n: {{type: integer}}, at: {{type: integer}}, flag: {{type: [boolean, 'null']}}, tags: {{type: array, items: {{type: \
         [string]}}}}, made: {{type: number}}}}}}}}\n    transformations: [{{type: AddFields, fields: [{{type: AddedFieldDefinition, \
         path: [made], value: \"{{{{ record['n'] }}}}\"}}]}}]\n    retriever: {{type: SimpleRetriever, requester: {{type: \
         HttpRequester, url_base: 'https://h', path: list}}, record_selector: {{extractor: {{field_path: []}}, record_filter: {{condition: \
         \"{condition}\"}}, schema_normalization: Default, transform_before_filtering: {transforms_first}}}}}\n    incremental_sync: \
         {{type: DatetimeBasedCursor, cursor_field: at, datetime_format: '%s', start_datetime: '1704067200', end_datetime: \
         '1704153600'{cursor}}}\n\
         spec: {{type: Spec, connection_specification: {{type: object}}}}\n"
    );
    Connector::load("demo", &yaml).unwrap()
}

#[tokio::test]
async fn records_are_normalised_after_filter_and_transformations_and_before_the_cursor_sees_them() {
    let first = json!({"n": 5, "at": 1_704_067_200, "flag": true, "tags": ["x"], "made": 5.0});
    let second = json!({"n": 6, "at": 1_704_153_600, "flag": false, "tags": ["y"], "made": 6.0});
    let third = json!({"n": 5, "at": 1_704_240_000, "flag": null, "tags": ["None"], "made": 5.0});
    let client_side = ", is_client_side_incremental: true";
    for (condition, transforms_first, cursor, expected, state) in [
        (
            "{{ record['n'] == '5' }}",
            false,
            "",
            vec![&first, &third],
            "1704240000",
        ),
        (
            "{{ record['made'] == 5 }}",
            true,
            "",
            vec![&first, &third],
            "1704240000",
        ),
        ("{{ record['made'] == 5 }}", false, "", vec![], "1704067200"),
        (
            "{{ true }}",
            true,
            client_side,
            vec![&first, &second],
            "1704153600",
        ),
    ] {
        let server = serve(|_, _| answer(200, "", RECORDS)).await;
        let base = settings(json!({}), &server.address, Arc::default());
        let connector = connector(condition, transforms_first, cursor);
        let mut reader = connector.reader("a", base).unwrap();
        let page = reader.next_page().await.unwrap().unwrap();
        let found: Vec<Value> = page.records.into_iter().map(Value::Object).collect();
        let expected: Vec<Value> = expected.into_iter().cloned().collect();
        assert_eq!(found, expected, "{condition}");
        assert_eq!(page.state, Some(json!({"at": state})), "{condition}");
    }
}

#[tokio::test]
async fn a_config_is_normalised_before_it_is_checked_and_used() {
    let yaml = "type: DeclarativeSource\nversion: 6.0.0\ncheck: {type: CheckStream, stream_names: [a]}\n\
         streams:\n  - {type: DeclarativeStream, name: a, schema_loader: {type: InlineSchemaLoader, schema: {type: object}}, retriever: {type: \
         SimpleRetriever, requester: {type: HttpRequester, url_base: 'https://h', path: \"{{ config['paths'][0] }}\"}, record_selector: \
         {extractor: {field_path: []}}}}\n\
         spec:\n  type: Spec\n  connection_specification: {type: object, required: [paths], properties: {paths: {type: array}}}\n  \
         advanced_auth: {auth_flow_type: oauth2.0}\n  config_normalization_rules:\n    type: ConfigNormalizationRules\n    config_migrations: \
         [{type: ConfigMigration, transformations: [{type: ConfigAddFields, fields: [{type: AddedFieldDefinition, path: [paths], value: \
         \"{{ [config['path']] }}\"}], condition: \"{{ config.get('path') }}\"}]}]\n    validations: [{type: DpathValidator, field_path: \
         [limit], validation_strategy: {type: ValidateAdheresToSchema, base_schema: {type: integer}}}]\n";
    let connector = Connector::load("demo", yaml).unwrap();
    let server = serve(|_, _| answer(200, "", "[]")).await;
    assert_eq!(connector.check_config(&json!({"path": "old-way"})), Ok(()));
    let base = settings(json!({"path": "old-way"}), &server.address, Arc::default());
    connector
        .reader("a", base)
        .unwrap()
        .next_page()
        .await
        .unwrap();
    assert_eq!(server.targets(), ["/old-way"]);
    assert!(
        server.seen.lock().unwrap()[0]
            .head
            .starts_with("GET /old-way ")
    );
    let problems = connector.check_config(&json!({})).unwrap_err();
    assert_eq!(problems[0].pointer, "/paths");
    // JSON within a text is checked as what it holds.
    let config = |limit: &str| json!({"paths": ["a"], "limit": limit});
    assert_eq!(connector.check_config(&config("7")), Ok(()));
    let base = settings(config("seven"), &server.address, Arc::default());
    let error = connector.reader("a", base).unwrap_err();
    assert!(matches!(error, ReadError::NeedsPerson { .. }), "{error}");
    assert!(
        error.to_string().contains("/limit") && !error.to_string().contains("seven"),
        "{error}"
    );
}

#[tokio::test]
async fn a_secret_that_the_rules_move_stays_one() {
    let yaml = "type: DeclarativeSource\nversion: 6.0.0\ncheck: {type: CheckStream, stream_names: [a]}\n\
         streams:\n  - {type: DeclarativeStream, name: a, schema_loader: {type: InlineSchemaLoader, schema: {type: object}}, retriever: {type: \
         SimpleRetriever, requester: {type: HttpRequester, url_base: 'https://h', path: list, request_headers: {X-K: \"{{ config['plain'] }}\"}}, \
         record_selector: {extractor: {field_path: []}}}}\n\
         api_budget: {type: HTTPAPIBudget, policies: [{type: MovingWindowCallRatePolicy, x_name: all, x_scope: \"{{ config['plain'] }}\", \
         rates: [{limit: 10, interval: PT1S}], matchers: []}]}\n\
         spec:\n  type: Spec\n  connection_specification: {type: object, properties: {key: {type: string, airbyte_secret: true}}}\n  \
         config_normalization_rules:\n    type: ConfigNormalizationRules\n    transformations: [{type: ConfigAddFields, fields: [{type: \
         AddedFieldDefinition, path: [plain], value: \"{{ config['key'] }}\"}]}, {type: ConfigRemoveFields, field_pointers: [[key]]}]\n";
    let connector = Connector::load("demo", yaml).unwrap();
    let config = json!({"key": "moved-secret"});
    let scopes = connector.budget_scopes(&config).unwrap();
    assert!(!scopes[0].contains("moved"), "{scopes:?}");
    let server = serve(|_, _| answer(400, "", r#"{"message": "not moved-secret"}"#)).await;
    let base = settings(config, &server.address, Arc::default());
    let error = connector.reader("a", base).unwrap().next_page().await;
    let error = format!("{:?}", error.unwrap_err());
    assert!(
        error.contains("not ***") && !error.contains("moved-secret"),
        "{error}"
    );
    let seen = server.seen.lock().unwrap();
    assert!(
        seen[0].head.contains("x-k: moved-secret"),
        "{}",
        seen[0].head
    );
}
