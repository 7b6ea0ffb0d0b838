//! Manifests that are made to exhaust whoever loads them: each is refused or loaded, in time and in memory.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use syncline_engine::Connector;

/// A manifest with this as a header's value, and this beside the streams.
fn manifest(value: &str, more: &str) -> String {
    format!(
        "type: DeclarativeSource\nversion: 6.0.0\ncheck: {{type: CheckStream, stream_names: [a]}}\n{more}\nstreams:\n  - type: \
         DeclarativeStream\n    name: a\n    schema_loader: {{type: InlineSchemaLoader, schema: {{type: object}}}}\n    retriever: \
         {{type: SimpleRetriever, record_selector: {{extractor: {{field_path: []}}}}, requester: {{type: HttpRequester, url_base: \
         'https://h', request_headers: {{a: {value}}}}}}}\n"
    )
}

fn refusal(yaml: &str) -> String {
    Connector::load("hostile", yaml).unwrap_err().to_string()
}

#[test]
fn endless_expressions_are_refused() {
    for link in [
        "1 + ",
        "1 - ",
        "1 * ",
        "1 ~ ",
        "1 and ",
        "1 or ",
        "1 < ",
        "1 == ",
        "1 in ",
        "not ",
        "- ",
        "1 if ",
        "1 if 1 else ",
        "(",
        "[",
        "{1: ",
        "1 // ",
        "1 % ",
        "+",
        "1 is ",
        "max(",
    ] {
        let source = format!("'{{{{ {}1 }}}}'", link.repeat(100_000));
        assert!(!refusal(&manifest(&source, "")).is_empty(), "{link}");
    }
    for link in [
        ".a", "[1]", "[1:]", "|lower", "| int", ".get(1)", " if 1", " is none", "()",
    ] {
        let source = format!("'{{{{ config{} }}}}'", link.repeat(100_000));
        assert!(!refusal(&manifest(&source, "")).is_empty(), "{link}");
    }
    for link in ["{% if 1 %}", "{% if not not not 1 %}", "{{ {} + {} }}"] {
        refusal(&manifest(
            &format!("'{} {{% a %}}'", link.repeat(50_000)),
            "",
        ));
    }
    // What looks like the begin of an expression but is none hides nothing.
    let sum = "1 + ".repeat(100_000);
    for before in [
        "{# {{ ' #}",
        "{#- {{ ' -#}",
        "{% raw %}{{ ' {% endraw %}",
        "{%- raw -%}{{ \\\" {%- endraw +%}",
        "{{ '{#' }}",
    ] {
        let message = refusal(&manifest(&format!("\"{before}{{{{ {sum}1 }}}}\""), ""));
        assert!(message.contains("too long"), "{before}: {message}");
    }
    let chain = |links: usize| format!("'{{{{ {}1 }}}}'", "1 + ".repeat(links));
    Connector::load("fine", &manifest(&chain(150), "")).unwrap();
    let message = refusal(&manifest(&chain(1_000), ""));
    assert!(message.contains("too long"), "{message}");
}

#[test]
fn what_stands_in_comments_and_raw_blocks_is_not_counted() {
    let sum = "1 + ".repeat(1_000);
    for text in [
        format!("{{# {{{{ {sum}1 }}}} #}}a"),
        format!("{{% raw %}}{{{{ {sum}1 }}}}{{% endraw %}}"),
        format!("{{{{ '{sum}' }}}}"),
    ] {
        Connector::load("fine", &manifest(&format!("\"{text}\""), "")).unwrap();
    }
}

#[test]
fn many_points_in_a_text_are_no_expression() {
    let text = "a.b(c) + ".repeat(5_000);
    Connector::load(
        "fine",
        &manifest(&format!("\"{text} {{{{ config['a'] }}}} {text}\""), ""),
    )
    .unwrap();
}

#[test]
fn nested_yaml_is_refused() {
    for (open, inner) in [
        ("[", "1"),
        ("{a: ", "1"),
        ("- ", "1"),
        ("? ", "1"),
        ("!!seq [", "1"),
    ] {
        let deep = format!("{}{inner}", open.repeat(50_000));
        refusal(&deep);
        refusal(&manifest("b", &format!("definitions: {{deep: {deep}}}")));
    }
    let laughs: String = (1..30).fold(
        "definitions:\n  l0: &l0 [lol, lol]\n".to_owned(),
        |text, level| {
            let before = level - 1;
            format!(
                "{text}  l{level}: &l{level} [*l{before}, *l{before}, *l{before}, *l{before}]\n"
            )
        },
    );
    refusal(&manifest("b", &laughs));
}

#[test]
fn references_cannot_multiply() {
    let mut text = "definitions:\n  d0: [1, 2]\n".to_owned();
    for level in 1..30 {
        let reference = format!("'#/definitions/d{}'", level - 1);
        text.push_str(&format!(
            "  d{level}: [{reference}, {reference}, {reference}]\n"
        ));
    }
    let message = refusal(&manifest("'#/definitions/d29'", &text));
    assert!(message.contains("exceeds"), "{message}");
    // Few values, but large ones.
    let large = format!("definitions: {{large: \"{}\"}}", "x".repeat(1_000_000));
    let references = "'#/definitions/large', ".repeat(10_000);
    let message = refusal(&manifest(&format!("[{references}]"), &large));
    assert!(message.contains("exceeds"), "{message}");
}

#[test]
fn long_names_cannot_multiply() {
    let items = "1, ".repeat(100_000);
    let name = format!("{{{}: ", "n".repeat(1_000));
    let value = format!("{}[{items}]{}", name.repeat(5), "}".repeat(5));
    let message = refusal(&manifest(&value, ""));
    assert!(message.contains("exceeds"), "{message}");
}

#[test]
fn parameters_cannot_multiply() {
    let filters = "{type: HttpResponseFilter, http_codes: [500]}, ".repeat(20_000);
    let text = "p".repeat(100_000);
    let yaml = format!(
        "type: DeclarativeSource\nversion: 6.0.0\ncheck: {{type: CheckStream, stream_names: [a]}}\nstreams:\n  - type: \
         DeclarativeStream\n    $parameters: {{large: {text}}}\n    name: a\n    retriever: {{requester: {{error_handler: \
         {{response_filters: [{filters}]}}}}}}\n"
    );
    let message = refusal(&yaml);
    assert!(message.contains("exceeds"), "{message}");
}
