//! Paths with patterns in them, as the reference's path library reads them: `*` and `?` and `[...]` within a step, `**` for any
//! number of steps.
//!
//! A name also stands for the place in a list, `-1` for its last one. Found values come in the order of the record, upper levels first.

use regex::Regex;
use serde_json::{Map, Value};

/// A compiled path.
#[derive(Debug, Clone)]
pub(crate) struct Glob(Vec<Step>);

#[derive(Debug, Clone)]
enum Step {
    Name(String),
    Pattern(Regex),
    /// `**`: none, one or several steps.
    Any,
}

/// Decides on a value that the path leads to.
pub(crate) type Choice<'c, E> = dyn FnMut(&Value) -> Result<bool, E> + 'c;

impl Glob {
    /// Compiles the steps; `Err` says what is wrong with them.
    pub(crate) fn compile(steps: &[String]) -> Result<Glob, String> {
        let mut compiled = Vec::with_capacity(steps.len());
        for step in steps {
            compiled.push(match step.as_str() {
                "**" => Step::Any,
                name if name.contains(['*', '?', '[']) => Step::Pattern(pattern(name)?),
                name => Step::Name(name.to_owned()),
            });
        }
        let deep = compiled.iter().filter(|step| matches!(step, Step::Any));
        if deep.count() > 1 {
            return Err("a path can have one \"**\" only".to_owned());
        }
        Ok(Glob(compiled))
    }

    /// Removes what the path leads to and `choice` agrees to. An item within a list becomes null, its last one goes.
    pub(crate) fn remove<E>(
        &self,
        members: &mut Map<String, Value>,
        choice: &mut Choice<'_, E>,
    ) -> Result<(), E> {
        remove_members(members, &[&self.0], choice)
    }

    /// The values that the path leads to.
    pub(crate) fn find<'v>(&self, members: &'v Map<String, Value>) -> Vec<&'v Value> {
        let mut found = Vec::new();
        find_members(members, &[&self.0], &mut found);
        found
    }

    /// The values that the path leads to, in any value.
    pub(crate) fn find_in<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        let mut found = Vec::new();
        find_below(value, &[&self.0], &mut found);
        found
    }
}

/// What is left of a path after a step of the value; several, where a `**` may go on or end.
type Rest<'g> = Vec<&'g [Step]>;

/// Where a key leads: whether a path ends there, and what is left of those that go on.
fn enter<'g>(paths: &[&'g [Step]], fits: &dyn Fn(&Step) -> bool) -> (bool, Rest<'g>) {
    let mut ends = false;
    let mut rest: Rest<'g> = Vec::new();
    for path in paths {
        let mut after = |left: &'g [Step]| {
            // A `**` at the end also stands for nothing.
            ends |= matches!(left, [] | [Step::Any]);
            if !left.is_empty() {
                rest.push(left);
            }
        };
        match path {
            [Step::Any, left @ ..] => {
                after(path);
                match left {
                    [first, left @ ..] if fits(first) => after(left),
                    _ => {}
                }
            }
            [first, left @ ..] if fits(first) => after(left),
            _ => {}
        }
    }
    (ends, rest)
}

fn enter_member<'g>(paths: &[&'g [Step]], name: &str) -> (bool, Rest<'g>) {
    enter(paths, &|step| match step {
        Step::Name(wanted) => wanted == name,
        Step::Pattern(regex) => regex.is_match(name),
        Step::Any => true,
    })
}

fn enter_item<'g>(paths: &[&'g [Step]], index: usize, length: usize) -> (bool, Rest<'g>) {
    enter(paths, &|step| match step {
        Step::Name(wanted) => match wanted.strip_prefix('-') {
            Some(from_end) => from_end
                .parse::<usize>()
                .is_ok_and(|from_end| index.checked_add(from_end) == Some(length)),
            None => wanted.parse() == Ok(index),
        },
        Step::Pattern(regex) => regex.is_match(&index.to_string()),
        Step::Any => true,
    })
}

fn remove_members<E>(
    members: &mut Map<String, Value>,
    paths: &[&[Step]],
    choice: &mut Choice<'_, E>,
) -> Result<(), E> {
    let names: Vec<String> = match paths {
        // The usual case: one member, by its name.
        [[Step::Name(name), ..]] => vec![name.clone()],
        _ => members.keys().cloned().collect(),
    };
    for name in names {
        let Some(value) = members.get_mut(&name) else {
            continue;
        };
        let (ends, rest) = enter_member(paths, &name);
        if ends && choice(value)? {
            members.shift_remove(&name);
        } else {
            remove_below(value, &rest, choice)?;
        }
    }
    Ok(())
}

fn remove_below<E>(
    value: &mut Value,
    paths: &[&[Step]],
    choice: &mut Choice<'_, E>,
) -> Result<(), E> {
    match value {
        Value::Object(members) if !paths.is_empty() => remove_members(members, paths, choice),
        Value::Array(items) if !paths.is_empty() => {
            let length = items.len();
            for index in 0..length {
                let (ends, rest) = enter_item(paths, index, length);
                if !ends || !choice(&items[index])? {
                    remove_below(&mut items[index], &rest, choice)?;
                } else if index + 1 == length {
                    items.pop();
                } else {
                    items[index] = Value::Null;
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn find_members<'v>(
    members: &'v Map<String, Value>,
    paths: &[&[Step]],
    found: &mut Vec<&'v Value>,
) {
    let mut below = Vec::new();
    for (name, value) in members {
        let (ends, rest) = enter_member(paths, name);
        if ends {
            found.push(value);
        }
        below.push((value, rest));
    }
    for (value, rest) in below {
        find_below(value, &rest, found);
    }
}

fn find_below<'v>(value: &'v Value, paths: &[&[Step]], found: &mut Vec<&'v Value>) {
    match value {
        Value::Object(members) if !paths.is_empty() => find_members(members, paths, found),
        Value::Array(items) if !paths.is_empty() => {
            let mut below = Vec::new();
            for (index, item) in items.iter().enumerate() {
                let (ends, rest) = enter_item(paths, index, items.len());
                if ends {
                    found.push(item);
                }
                below.push((item, rest));
            }
            for (item, rest) in below {
                find_below(item, &rest, found);
            }
        }
        _ => {}
    }
}

/// A step with shell patterns, as a regular expression.
fn pattern(step: &str) -> Result<Regex, String> {
    let mut source = String::from("(?s)^");
    let mut rest = step;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '*' => source.push_str(".*"),
            '?' => source.push('.'),
            '[' => {
                // A bracket right after the opening one, or after the `!`, belongs to the set.
                let skipped = rest.strip_prefix('!').map_or(0, |_| 1);
                let from = skipped + rest[skipped..].strip_prefix(']').map_or(0, |_| 1);
                match rest[from..].find(']') {
                    None => source.push_str("\\["),
                    Some(end) => {
                        let set = &rest[skipped..from + end];
                        source.push_str(if skipped == 1 { "[^" } else { "[" });
                        for c in set.chars() {
                            if !c.is_alphanumeric() && c != '-' {
                                source.push('\\');
                            }
                            source.push(c);
                        }
                        source.push(']');
                        rest = &rest[from + end + 1..];
                    }
                }
            }
            other => source.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    source.push('$');
    crate::expr::compile_regex(&source)
        .map_err(|_| format!("\"{step}\" is no usable pattern of a name"))
}
