//! Expressions and data that are made to exhaust whoever evaluates them, or to break it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::scope::{Place, Scope};
use super::template::Template;
use super::{EvalError, Val};

/// What the text gives for this config.
fn value(source: &str, config: &Value) -> Result<Option<Value>, EvalError> {
    let parameters = Arc::new(json!({}));
    let template = Template::compile(source, "", &parameters, Place::CONFIG).unwrap();
    let scope = Scope::of_config(config);
    template
        .value(&scope)
        .map(|found| found.map(Val::into_json))
}

/// Numbers that look thrown, the same ones each time.
fn thrown(index: usize) -> usize {
    index.wrapping_mul(2_654_435_761) % 1_000_003
}

#[test]
fn what_has_no_order_is_not_sorted() {
    let mixed: Vec<Value> = (0..500)
        .map(|index| match index % 4 {
            0 => json!(thrown(index)),
            1 => json!(thrown(index).to_string()),
            2 => json!(null),
            _ => json!([thrown(index)]),
        })
        .collect();
    for source in [
        "{{ config.a | sort }}",
        "{{ config.a | sort(reverse=true) }}",
        "{{ config.a | max }}",
    ] {
        let found = value(source, &json!({ "a": mixed }));
        assert!(matches!(found, Err(EvalError::Type(_))), "{found:?}");
    }
}

#[test]
fn integers_and_floats_are_put_in_one_order() {
    let base = 9_007_199_254_740_992_u64;
    let numbers: Vec<Value> = (0..300)
        .map(|index| {
            let integer = base + u64::try_from(thrown(index) % 7).unwrap();
            if index % 3 == 0 {
                // Only even ones are floats.
                serde_json::from_str(&format!("{}.0", integer & !1)).unwrap()
            } else {
                json!(integer)
            }
        })
        .collect();
    let found = value("{{ config.a | sort }}", &json!({ "a": numbers }));
    let found = found.unwrap().unwrap();
    let found = found.as_array().unwrap();
    let read = |number: &Value| number.to_string().replace(".0", "").parse();
    let integers: Vec<u64> = found.iter().map(|number| read(number).unwrap()).collect();
    assert_eq!(integers.len(), 300);
    assert!(integers.is_sorted());
    // 2^53 + 1 is larger than the float that is nearest to it.
    let config = json!({});
    for (source, expected) in [
        ("{{ 9007199254740993 > 9007199254740992.0 }}", true),
        ("{{ 9007199254740993 == 9007199254740992.0 }}", false),
        ("{{ 9007199254740992 == 9007199254740992.0 }}", true),
        ("{{ 1.5 > 1 and -1.5 < -1 }}", true),
        ("{{ 1e300 > 5 and -1e300 < 5 }}", true),
    ] {
        assert_eq!(
            value(source, &config),
            Ok(Some(json!(expected))),
            "{source}"
        );
    }
}

#[test]
fn unique_of_many_takes_no_time() {
    let many: Vec<Value> = (0..200_000).map(|index| json!(index)).collect();
    let began = Instant::now();
    let found = value("{{ config.a | unique | length }}", &json!({ "a": many }));
    assert_eq!(found, Ok(Some(json!(200_000))));
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn each_evaluation_has_a_number_of_steps() {
    let config = json!({
        "list": vec![1; 300_000],
        "texts": vec!["some text"; 200_000],
        "deep": {"a": {"b": vec![vec![1; 1_000]; 1_000]}},
        "text": "a".repeat(3_000_000),
    });
    let many = |part: &str, times: usize| format!("{{{{ [{}] }}}}", vec![part; times].join(", "));
    for source in [
        "{{ ('a'*4000000)|list|map('replace','a','b'*4000000)|list|length }}",
        "{{ ('a'*4000000) | list }}",
        "{{ ('a'*4000000) | reverse | list }}",
        "{{ (' '*4000000).split(' ') | length }}",
        "{{ ('\\n'*4000000).splitlines() | length }}",
        "{{ config.text | trim(config.text) }}",
        "{{ config.text.strip(config.text) }}",
        "{{ config.texts | select('in', config.text) | list }}",
        "{{ config.list | select('in', config.list) | list }}",
        "{{ config.texts | map('replace', 'some', 'a'*1000000) | join | length }}",
        "{{ config.texts | map('regex_replace', 'e', 'a'*100000) | list | length }}",
        "{{ config.text | regex_search('\\\\w{10}\\\\d') }}",
        "{{ config.text | regex_replace('a*b|a', 'c') }}",
        "{{ config.list | slice(100000000) | list | length }}",
        "{{ [1] | batch(100000000, 2) | list | length }}",
        "{{ [1] | slice(100000, config.list) | list | length }}",
        "{{ config.list | groupby('x', config.list) | length }}",
        "{{ '%999999999s' | format('a') }}",
        "{{ config.texts | map('format') | map('truncate') | map('indent', 1000000, true) | join | length }}",
        &many("config.text", 40),
        &many("config.deep", 40),
        &many("'a' * 4000000", 40),
        &format!("{{{{ {} }}}}", vec!["config.deep"; 60].join(" == ")),
        &format!(
            "{{{{ {} }}}}",
            vec!["(config.deep | tojson | length)"; 30].join(" + ")
        ),
        &format!("{{{{ {} | length }}}}", vec!["config.list"; 60].join(" + ")),
        &format!("{{{{ {} }}}}", vec!["config.deep"; 60].join(" ~ ")),
    ] {
        let began = Instant::now();
        let found = value(source, &config);
        assert!(found.is_err(), "{source:.80}");
        let takes = began.elapsed();
        assert!(takes < Duration::from_secs(30), "{source:.80}: {takes:?}");
    }
    let message = value("{{ ('a'*4000000) | list }}", &config).unwrap_err();
    assert!(message.to_string().contains("100000000 steps"), "{message}");
}

#[test]
fn what_is_usual_is_far_from_the_number_of_steps() {
    let record = json!({"id": 1, "name": "a name", "tags": ["a", "b"], "stats": {"clicks": 12, "cost": "1.25"}});
    let config = json!({ "data": vec![record; 20_000] });
    for source in [
        "{{ config.data | map(attribute='id') | unique | join(',') }}",
        "{{ config.data | selectattr('id', 'eq', 1) | list | length }}",
        "{{ config.data | sort(attribute='name') | length }}",
        "{{ config.data | map(attribute='stats.cost') | map('float') | sum }}",
        "{{ (config.data | last).stats.clicks + (config.data | first).id }}",
        "{{ config.data | length }}",
        "{{ config.data[:100] | tojson | length }}",
    ] {
        assert!(value(source, &config).is_ok(), "{source}");
    }
}

#[test]
fn a_large_set_in_a_text_takes_no_time() {
    let items: Vec<String> = (0..300_000).map(|item| item.to_string()).collect();
    let config = json!({ "text": format!("{{{}}}", items.join(",")) });
    let began = Instant::now();
    let found = value("{{ config.text }}", &config).unwrap().unwrap();
    assert_eq!(found.as_array().unwrap().len(), 300_000);
    assert!(began.elapsed() < Duration::from_secs(20));
    // A text beyond the limit is not read.
    let config = json!({ "text": format!("[{}0]", "0,".repeat(3_000_000)) });
    assert!(value("{{ config.text }}", &config).is_err());
}

#[test]
fn spans_of_many_years_are_refused() {
    for text in [
        "P9223372036854775807Y",
        "P9223372036854775807Y9223372036854775807M",
    ] {
        let found = value(&format!("{{{{ duration('{text}') }}}}"), &json!({}));
        assert!(matches!(found, Err(EvalError::Type(_))), "{found:?}");
    }
}

#[test]
fn the_longest_expressions_fit_on_the_stack() {
    let chains = [
        "1 + ", "1 - ", "1 * ", "'a' ~ ", "1 and ", "0 or ", "1 < ", "not ", "2 == ",
    ]
    .map(|link| format!("{{{{ {}1 }}}}", link.repeat(200)));
    let ends = [
        ".a",
        "['a']",
        "|list",
        "|string",
        ".get('a')",
        " if 1 else 2",
        " is none",
    ]
    .map(|link| format!("{{{{ config{} }}}}", link.repeat(60)));
    let nested = ["(", "[", "{'a': ", "max(1, ", "-("].map(|open| {
        let close = open.chars().rev().filter_map(|c| match c {
            '(' => Some(')'),
            '[' => Some(']'),
            '{' => Some('}'),
            _ => None,
        });
        let close: String = close.collect();
        format!("{{{{ {}1{} }}}}", open.repeat(60), close.repeat(60))
    });
    // What a thread has. A test's frames are several times as large as those of a release.
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    let all = move || {
        let mut evaluated = 0;
        for source in chains.iter().chain(&ends).chain(&nested) {
            let parameters = Arc::new(json!({}));
            if let Ok(template) = Template::compile(source, "", &parameters, Place::CONFIG) {
                drop(template.value(&Scope::of_config(&json!({}))));
                evaluated += 1;
            }
        }
        evaluated
    };
    assert!(thread.spawn(all).unwrap().join().unwrap() > 12);
}
