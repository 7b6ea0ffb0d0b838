//! Nothing outlives a statement but its rows: behind a pooler in transaction mode the next one goes by another server process.

use crate::statements::all;

/// What stays with a session when its transaction has ended.
const STAYS: [&str; 10] = [
    "pg_advisory_lock(",
    "pg_advisory_lock_shared(",
    "pg_try_advisory_lock(",
    "pg_try_advisory_lock_shared(",
    "create temp",
    "with hold",
    "listen ",
    "prepare ",
    "set session",
    ", false)",
];

#[test]
fn no_statement_leaves_anything_behind_in_its_session() {
    let texts = all();
    assert!(texts.len() > 50, "only {} are recorded", texts.len());
    for text in &texts {
        let plain = text.to_lowercase();
        for stays in STAYS {
            // The last of them is that of `set_config(name, value, is_local)`.
            let concerns = stays != ", false)" || plain.contains("set_config(");
            assert!(!concerns || !plain.contains(stays), "{stays:?} in {text}");
        }
        let sets = plain.trim_start().starts_with("set ");
        assert!(!sets || plain.contains("set local "), "{text}");
    }
}
