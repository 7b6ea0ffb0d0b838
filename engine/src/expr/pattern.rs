//! Regular expressions: compiled once, bounded in size, and what `regex_replace` makes of a match.

use regex::Regex;

use super::eval::EvalError;
use super::fuel::{Fuel, limited};
use super::kept::Kept;

/// Patterns that are no constants. Few, because a compiled regular expression may take a megabyte.
pub(super) static PATTERNS: Kept<Pattern> = Kept::new(16);

/// A regular expression, and the steps of looking at a byte with it, which its compiled size bounds.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(super) regex: Regex,
    pub(super) steps: usize,
}

impl Pattern {
    pub(super) fn compile(pattern: &str) -> Result<Pattern, String> {
        for size in [4 * 1024, 16 * 1024, 64 * 1024, 256 * 1024] {
            if let Ok(regex) = built(pattern, size) {
                let steps = size / 1024;
                return Ok(Pattern { regex, steps });
            }
        }
        let regex = compile_regex(pattern)?;
        Ok(Pattern { regex, steps: 1024 })
    }
}

pub(crate) fn compile_regex(pattern: &str) -> Result<Regex, String> {
    built(pattern, 1 << 20).map_err(|error| {
        let reason = error.to_string().replace('\n', " ");
        format!("the regular expression \"{pattern}\" cannot be used: {reason}")
    })
}

fn built(pattern: &str, most_bytes: usize) -> Result<Regex, regex::Error> {
    regex::RegexBuilder::new(pattern)
        .size_limit(most_bytes)
        .build()
}

/// Python's `re.sub`: `\1` and `\g<name>` stand for groups.
pub(super) fn replace_all(
    pattern: &Pattern,
    text: &str,
    replacement: &str,
    fuel: &Fuel,
) -> Result<String, EvalError> {
    let mut out = String::new();
    let mut end = 0;
    fuel.burn_each(text.len(), pattern.steps)?;
    for found in pattern.regex.captures_iter(text) {
        // Each search may look as far as the end before it knows what it has found.
        fuel.burn_each((text.len() - end) / 4, pattern.steps)?;
        let Some(whole) = found.get(0) else { continue };
        out.push_str(&text[end..whole.start()]);
        end = whole.end();
        let mut rest = replacement;
        while let Some(place) = rest.find('\\') {
            out.push_str(&rest[..place]);
            rest = &rest[place + 1..];
            rest = group(&found, rest, &mut out)?;
        }
        out.push_str(rest);
        limited(out.len())?;
    }
    out.push_str(&text[end..]);
    limited(out.len())?;
    Ok(out)
}

/// Writes what a backslash in a replacement stands for; gives the rest behind it.
fn group<'t>(
    found: &regex::Captures<'_>,
    rest: &'t str,
    out: &mut String,
) -> Result<&'t str, EvalError> {
    let unknown =
        || EvalError::Value("the replacement holds an unknown escape or group".to_owned());
    if let Some(named) = rest.strip_prefix("g<") {
        let (name, rest) = named.split_once('>').ok_or_else(unknown)?;
        let group = match name.parse::<usize>() {
            Ok(number) if number < found.len() => found.get(number),
            Ok(_) => return Err(unknown()),
            Err(_) => found.name(name),
        };
        out.push_str(group.map_or("", |group| group.as_str()));
        return Ok(rest);
    }
    let digits = rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
    if digits > 0 && !rest.starts_with('0') {
        let number: usize = rest[..digits].parse().map_err(|_| unknown())?;
        if number >= found.len() {
            return Err(unknown());
        }
        out.push_str(found.get(number).map_or("", |group| group.as_str()));
        return Ok(&rest[digits..]);
    }
    let mut characters = rest.chars();
    let escaped = characters.next().ok_or_else(unknown)?;
    match escaped {
        'n' => out.push('\n'),
        't' => out.push('\t'),
        'r' => out.push('\r'),
        '\\' => out.push('\\'),
        c if !c.is_ascii_alphanumeric() => out.extend(['\\', c]),
        _ => return Err(unknown()),
    }
    Ok(characters.as_str())
}
