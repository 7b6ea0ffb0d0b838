//! Transformations of names: `KeysToLower`, `KeysToSnakeCase`, `KeysReplace`.

use serde_json::{Map, Value};

use crate::page::Record;

/// Members of the record itself get lower-case names.
pub(crate) fn to_lower(record: &mut Record) {
    renamed(record, false, &|name| name.to_lowercase());
}

/// Members get names of lower-case words and underscores, those of objects within objects, too.
pub(crate) fn to_snake_case(record: &mut Record) {
    renamed(record, true, &snake_case);
}

/// A part of each name is replaced, within objects, too.
pub(crate) fn replace(record: &mut Record, old: &str, new: &str) {
    renamed(record, true, &|name| name.replace(old, new));
}

/// Of two members that come to the same name the later one stays.
fn renamed(members: &mut Map<String, Value>, deep: bool, name_of: &dyn Fn(&str) -> String) {
    for (name, mut value) in std::mem::take(members) {
        if let Value::Object(inner) = &mut value
            && deep
        {
            renamed(inner, deep, name_of);
        }
        members.insert(name_of(&name), value);
    }
}

/// Words are runs of capitals with the small letters that follow, of small letters, and of digits. What is between them becomes one
/// underscore; at the ends it stays one, too, and so does the place before a leading digit.
fn snake_case(name: &str) -> String {
    let ascii = any_ascii::any_ascii(name);
    let mut words = words(&ascii);
    if words.len() >= 3 {
        let last = words.len() - 1;
        let mut place = 0;
        words.retain(|word| {
            let at_end = place == 0 || place == last;
            place += 1;
            at_end || !word.is_empty()
        });
    }
    if words
        .first()
        .is_some_and(|word| word.starts_with(|c: char| c.is_ascii_digit()))
    {
        words.insert(0, "");
    }
    words.join("_").to_ascii_lowercase()
}

/// The words of a name; an empty one for each stretch of other characters.
fn words(name: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = name;
    let run = |text: &str, belongs: &dyn Fn(char) -> bool| {
        text.find(|c: char| !belongs(c)).unwrap_or(text.len())
    };
    while let Some(first) = rest.chars().next() {
        let length = if first.is_ascii_uppercase() {
            let capitals = run(rest, &|c| c.is_ascii_uppercase());
            capitals + run(&rest[capitals..], &|c| c.is_ascii_lowercase())
        } else if first.is_ascii_lowercase() {
            run(rest, &|c| c.is_ascii_lowercase())
        } else if first.is_ascii_digit() {
            run(rest, &|c| c.is_ascii_digit())
        } else {
            run(rest, &|c| !c.is_ascii_alphanumeric())
        };
        let word = &rest[..length];
        let is_word = first.is_ascii_alphanumeric();
        words.push(if is_word { word } else { "" });
        rest = &rest[length..];
    }
    words
}
