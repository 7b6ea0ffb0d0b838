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
    template.value(&scope).map(|found| found.map(Val::into_json))
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
                serde_json::from_str(&format!("{integer}.0")).unwrap()
            } else {
                json!(integer)
            }
        })
        .collect();
    let found = value("{{ config.a | sort }}", &json!({ "a": numbers }));
    let found = found.unwrap().unwrap();
    let texts: Vec<u128> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|number| format!("{number}").replace(".0", "").replace("e+15", "").parse().unwrap())
        .collect();
    assert_eq!(texts.len(), 300);
    // 2^53 + 1 is larger than the float that is nearest to it.
    let config = json!({});
    for (source, expected) in [
        ("{{ 9007199254740993 > 9007199254740992.0 }}", true),
        ("{{ 9007199254740993 == 9007199254740992.0 }}", false),
        ("{{ 9007199254740992 == 9007199254740992.0 }}", true),
        ("{{ 1.5 > 1 and -1.5 < -1 }}", true),
        ("{{ 1e300 > 5 and -1e300 < 5 }}", true),
    ] {
        assert_eq!(value(source, &config), Ok(Some(json!(expected))), "{source}");
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
