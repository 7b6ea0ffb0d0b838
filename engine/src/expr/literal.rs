//! Python's `ast.literal_eval`: text that reads as a Python literal becomes that value.
//!
//! The language applies it to everything that an expression renders, and to plain texts too. Numbers
//! keep their digits: a float's text is normalised only when no digit is lost. Complex numbers are
//! never values; keys of dicts become texts, since JSON knows no other.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::number;
use super::value::{Val, equality_key};

/// Deeper nesting is no literal of a config or an answer.
const MAX_DEPTH: usize = 64;

/// Reads a text as a Python literal; `None` if it is not one.
pub(crate) fn literal_eval(text: &str) -> Option<Val<'static>> {
    let text = text.trim_start_matches([' ', '\t']);
    // Most texts are words; a literal starts with one of these.
    let first = text.chars().next()?;
    let may_start = first.is_ascii_digit() || "+-.'\"([{TFNbBrRuUs\n\r\u{c}#\\".contains(first);
    if !may_start {
        return None;
    }
    let mut parser = Parser {
        rest: text,
        depth: 0,
        brackets: 0,
    };
    let value = parser.top_level()?;
    parser.blank_lines();
    if parser.rest.is_empty() {
        Some(value.into_val())
    } else {
        None
    }
}

/// A literal while it is read: nested tuples keep their kind until they are JSON.
enum Literal {
    Json(Value),
    Tuple(Vec<Value>),
    Set(Vec<Value>),
    Bytes(Vec<u8>),
    Ellipsis,
}

impl Literal {
    fn into_val(self) -> Val<'static> {
        match self {
            Literal::Json(value) => Val::json(value),
            Literal::Tuple(items) => Val::Tuple(items),
            Literal::Set(items) => Val::Set(items),
            Literal::Bytes(bytes) => Val::Bytes(bytes),
            Literal::Ellipsis => Val::Ellipsis,
        }
    }

    fn into_json(self) -> Value {
        self.into_val().into_json()
    }
}

struct Parser<'t> {
    rest: &'t str,
    depth: usize,
    /// Within brackets a line may end anywhere.
    brackets: usize,
}

impl<'t> Parser<'t> {
    fn space(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\u{c}']);
            if let Some(rest) = self
                .rest
                .strip_prefix("\\\n")
                .or_else(|| self.rest.strip_prefix("\\\r\n"))
            {
                self.rest = rest;
            } else if self.brackets > 0 && self.rest.starts_with(['\n', '\r']) {
                self.rest = &self.rest[1..];
            } else if self.rest.starts_with('#') {
                let end = self.rest.find(['\n', '\r']).unwrap_or(self.rest.len());
                self.rest = &self.rest[end..];
                if self.brackets == 0 {
                    return;
                }
            } else {
                return;
            }
        }
    }

    fn blank_lines(&mut self) {
        self.brackets += 1;
        self.space();
        self.brackets -= 1;
    }

    fn eat(&mut self, token: &str) -> bool {
        self.space();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// `a` or `a, b,` without brackets.
    fn top_level(&mut self) -> Option<Literal> {
        self.blank_lines();
        let first = self.expression()?;
        if !self.eat(",") {
            self.space();
            return Some(first);
        }
        let mut items = vec![first.into_json()];
        loop {
            self.space();
            if self.rest.is_empty() || self.rest.starts_with(['\n', '\r']) {
                return Some(Literal::Tuple(items));
            }
            items.push(self.expression()?.into_json());
            if !self.eat(",") {
                return Some(Literal::Tuple(items));
            }
        }
    }

    fn expression(&mut self) -> Option<Literal> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let value = self.signed_or_atom();
        self.depth -= 1;
        value
    }

    fn signed_or_atom(&mut self) -> Option<Literal> {
        self.space();
        if self.eat("+") {
            return match self.operand()? {
                Literal::Json(Value::Number(number)) => Some(Literal::Json(Value::Number(number))),
                _ => None,
            };
        }
        if self.eat("-") {
            return match self.operand()? {
                Literal::Json(Value::Number(positive)) => {
                    let text = positive.as_str();
                    let negative = match text.strip_prefix('-') {
                        Some(text) => text.to_owned(),
                        None if text == "0" => "0".to_owned(),
                        None => format!("-{text}"),
                    };
                    number::parse(&negative).map(|number| Literal::Json(Value::Number(number)))
                }
                _ => None,
            };
        }
        self.atom()
    }

    /// What a sign stands before: a number, perhaps in brackets, but no second sign.
    fn operand(&mut self) -> Option<Literal> {
        self.space();
        self.atom()
    }

    fn atom(&mut self) -> Option<Literal> {
        let first = self.rest.chars().next()?;
        match first {
            '(' => self.tuple(),
            '[' => self.list(),
            '{' => self.dict_or_set(),
            '\'' | '"' => self.strings(),
            '.' if self.rest.starts_with("...") => {
                self.rest = &self.rest[3..];
                Some(Literal::Ellipsis)
            }
            '.' | '0'..='9' => self.number(),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Option<Literal> {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let end = self
            .rest
            .find(|c: char| !is_part(c))
            .unwrap_or(self.rest.len());
        let word = &self.rest[..end];
        let quoted = self.rest[end..].starts_with(['\'', '"']);
        if quoted {
            return self.strings();
        }
        let value = match word {
            "True" => Literal::Json(Value::Bool(true)),
            "False" => Literal::Json(Value::Bool(false)),
            "None" => Literal::Json(Value::Null),
            "set" => {
                self.rest = &self.rest[end..];
                return (self.eat("(") && self.eat(")")).then(|| Literal::Set(Vec::new()));
            }
            _ => return None,
        };
        self.rest = &self.rest[end..];
        Some(value)
    }

    fn tuple(&mut self) -> Option<Literal> {
        self.rest = &self.rest[1..];
        self.brackets += 1;
        let mut items = Vec::new();
        let mut literal = None;
        let mut comma = false;
        loop {
            if self.eat(")") {
                break;
            }
            if literal.is_some() && !comma {
                return None;
            }
            if let Some(previous) = literal.take() {
                items.push(Literal::into_json(previous));
            }
            literal = Some(self.expression()?);
            comma = self.eat(",");
        }
        self.brackets -= 1;
        match literal {
            // Brackets around one value without a comma are only brackets.
            Some(only) if items.is_empty() && !comma => Some(only),
            Some(last) => {
                items.push(last.into_json());
                Some(Literal::Tuple(items))
            }
            None => Some(Literal::Tuple(items)),
        }
    }

    fn list(&mut self) -> Option<Literal> {
        self.rest = &self.rest[1..];
        self.brackets += 1;
        let mut items = Vec::new();
        while !self.eat("]") {
            items.push(self.expression()?.into_json());
            if !self.eat(",") {
                if !self.eat("]") {
                    return None;
                }
                break;
            }
        }
        self.brackets -= 1;
        Some(Literal::Json(Value::Array(items)))
    }

    fn dict_or_set(&mut self) -> Option<Literal> {
        self.rest = &self.rest[1..];
        self.brackets += 1;
        let mut members = Map::new();
        let mut items: Vec<Value> = Vec::new();
        let mut known = HashSet::new();
        while !self.eat("}") {
            let key = self.expression()?;
            if self.eat(":") {
                if !items.is_empty() {
                    return None;
                }
                let key = dict_key(key)?;
                let value = self.expression()?.into_json();
                members.insert(key, value);
            } else {
                let hashable = !matches!(
                    key,
                    Literal::Set(_) | Literal::Json(Value::Array(_) | Value::Object(_))
                );
                if !members.is_empty() || !hashable {
                    return None;
                }
                let item = key.into_json();
                if known.insert(equality_key(&item)) {
                    items.push(item);
                }
            }
            if !self.eat(",") {
                if !self.eat("}") {
                    return None;
                }
                break;
            }
        }
        self.brackets -= 1;
        if items.is_empty() {
            Some(Literal::Json(Value::Object(members)))
        } else {
            Some(Literal::Set(items))
        }
    }

    fn number(&mut self) -> Option<Literal> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let mut end = 0;
        let mut previous = ' ';
        let based = self
            .rest
            .get(..2)
            .is_some_and(|head| matches!(head, "0x" | "0X" | "0o" | "0O" | "0b" | "0B"));
        for c in self.rest.chars() {
            let exponent_sign = matches!(c, '+' | '-') && matches!(previous, 'e' | 'E') && !based;
            if !is_part(c) && !exponent_sign {
                break;
            }
            end += c.len_utf8();
            previous = c;
        }
        let token = &self.rest[..end];
        self.rest = &self.rest[end..];
        let json = if based {
            based_integer(token)?
        } else {
            decimal_number(token)?
        };
        Some(Literal::Json(json))
    }

    /// One or more adjacent string literals, with their prefixes.
    fn strings(&mut self) -> Option<Literal> {
        let mut text = String::new();
        let mut bytes: Vec<u8> = Vec::new();
        let mut kind: Option<bool> = None;
        loop {
            let prefix_end = self.rest.find(['\'', '"'])?;
            let prefix = self.rest[..prefix_end].to_ascii_lowercase();
            let (is_bytes, raw) = match prefix.as_str() {
                "" | "u" => (false, false),
                "r" => (false, true),
                "b" => (true, false),
                "br" | "rb" => (true, true),
                _ => return None,
            };
            if kind.is_some_and(|known| known != is_bytes) {
                return None;
            }
            kind = Some(is_bytes);
            self.rest = &self.rest[prefix_end..];
            let body = self.quoted()?;
            if is_bytes {
                if !body.is_ascii() {
                    return None;
                }
                bytes.extend(unescape_bytes(body, raw)?);
            } else {
                text.push_str(&unescape_text(body, raw)?);
            }
            self.space();
            let next = self.rest.trim_start_matches(['b', 'B', 'r', 'R', 'u', 'U']);
            let another = self.rest.len() - next.len() <= 2 && next.starts_with(['\'', '"']);
            if !another {
                let is_bytes = kind == Some(true);
                return Some(if is_bytes {
                    Literal::Bytes(bytes)
                } else {
                    Literal::Json(Value::String(text))
                });
            }
        }
    }

    /// The raw text between the quotes.
    fn quoted(&mut self) -> Option<&'t str> {
        let quote = self.rest.chars().next()?;
        let triple: String = std::iter::repeat_n(quote, 3).collect();
        let is_triple = self.rest.starts_with(&triple);
        let delimiter: &str = if is_triple { &triple } else { &triple[..1] };
        let body = &self.rest[delimiter.len()..];
        let mut position = 0;
        while position < body.len() {
            let rest = &body[position..];
            if let Some(after) = rest.strip_prefix(delimiter) {
                self.rest = after;
                return Some(&body[..position]);
            }
            let c = rest.chars().next()?;
            if !is_triple && matches!(c, '\n' | '\r') {
                return None;
            }
            position += c.len_utf8();
            if c == '\\' {
                position += body[position..].chars().next()?.len_utf8();
            }
        }
        None
    }
}

fn dict_key(key: Literal) -> Option<String> {
    match key {
        Literal::Json(Value::Array(_) | Value::Object(_)) | Literal::Set(_) => None,
        Literal::Json(Value::String(text)) => Some(text),
        other => Some(other.into_val().to_text().into_owned()),
    }
}

fn based_integer(token: &str) -> Option<Value> {
    let radix = match token.as_bytes().get(1)? {
        b'x' | b'X' => 16,
        b'o' | b'O' => 8,
        _ => 2,
    };
    // Python allows one underscore before each digit here, also after the prefix.
    let digits = token[2..].strip_prefix('_').unwrap_or(&token[2..]);
    let digits = without_underscores(digits)?;
    let integer = i128::from_str_radix(&digits, radix).ok()?;
    Some(number::from_integer(integer))
}

fn decimal_number(token: &str) -> Option<Value> {
    let (mantissa, exponent) = match token.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (token, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits_of = |part: &str| {
        if part.is_empty() {
            Some(String::new())
        } else {
            without_underscores(part)
        }
    };
    let whole_digits = digits_of(whole)?;
    let fraction_digits = digits_of(fraction.unwrap_or_default())?;
    if whole_digits.is_empty() && fraction_digits.is_empty() {
        return None;
    }
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(&whole_digits) || !all_digits(&fraction_digits) {
        return None;
    }
    let stripped = whole_digits.trim_start_matches('0');
    let whole_json = if stripped.is_empty() { "0" } else { stripped };
    if fraction.is_none() && exponent.is_none() {
        // "007" is no integer in Python, "000" is.
        let leading_zero = whole_digits.starts_with('0') && !stripped.is_empty();
        // Python refuses to read longer integers.
        if leading_zero || whole_digits.len() > 4300 {
            return None;
        }
        return number::parse(whole_json).map(Value::Number);
    }
    let mut json = whole_json.to_owned();
    if !fraction_digits.is_empty() {
        json.push('.');
        json.push_str(&fraction_digits);
    } else if exponent.is_none() {
        json.push_str(".0");
    }
    if let Some(exponent) = exponent {
        let (sign, digits) = match exponent.strip_prefix(['+', '-']) {
            Some(digits) => (&exponent[..1], digits),
            None => ("", exponent),
        };
        let digits = without_underscores(digits)?;
        if !all_digits(&digits) {
            return None;
        }
        json.push('e');
        json.push_str(sign);
        json.push_str(&digits);
    }
    let parsed = number::parse(&json)?;
    // Larger than any float: there is no such JSON number, so the text stays a text.
    if !number::as_float(&parsed).is_finite() {
        return None;
    }
    number::parse(&number::text(&parsed)).map(Value::Number)
}

/// Digits with single underscores between them.
fn without_underscores(digits: &str) -> Option<String> {
    let misplaced = digits.starts_with('_') || digits.ends_with('_') || digits.contains("__");
    if digits.is_empty() || misplaced {
        None
    } else {
        Some(digits.replace('_', ""))
    }
}

fn unescape_text(body: &str, raw: bool) -> Option<String> {
    // Python reads every kind of line end as \n.
    let body = body.replace("\r\n", "\n").replace('\r', "\n");
    if raw || !body.contains('\\') {
        return Some(body);
    }
    let mut text = String::with_capacity(body.len());
    let mut chars = body.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        let code = match chars.next()? {
            '\n' => continue,
            'x' => hex_digits(&mut chars, 2)?,
            'u' => hex_digits(&mut chars, 4)?,
            'U' => hex_digits(&mut chars, 8)?,
            // Names of characters need the whole table of Unicode.
            'N' => return None,
            digit @ '0'..='7' => octal_digits(&mut chars, digit),
            other => {
                if let Some(plain) = simple_escape(other) {
                    text.push(plain);
                } else {
                    text.push('\\');
                    text.push(other);
                }
                continue;
            }
        };
        text.push(char::from_u32(code)?);
    }
    Some(text)
}

fn unescape_bytes(body: &str, raw: bool) -> Option<Vec<u8>> {
    if raw {
        return Some(body.as_bytes().to_vec());
    }
    let mut bytes = Vec::with_capacity(body.len());
    let mut chars = body.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.push(u8::try_from(c).ok()?);
            continue;
        }
        let code = match chars.next()? {
            '\n' => continue,
            'x' => hex_digits(&mut chars, 2)?,
            digit @ '0'..='7' => octal_digits(&mut chars, digit),
            other => {
                match simple_escape(other) {
                    Some(plain) => bytes.push(u8::try_from(plain).ok()?),
                    None => bytes.extend([b'\\', u8::try_from(other).ok()?]),
                }
                continue;
            }
        };
        bytes.push(u8::try_from(code & 0xff).ok()?);
    }
    Some(bytes)
}

fn simple_escape(c: char) -> Option<char> {
    Some(match c {
        '\\' | '\'' | '"' => c,
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        _ => return None,
    })
}

type Chars<'c> = std::iter::Peekable<std::str::Chars<'c>>;

fn hex_digits(chars: &mut Chars<'_>, count: usize) -> Option<u32> {
    let mut code = 0u32;
    for _ in 0..count {
        code = code.checked_mul(16)? + chars.next()?.to_digit(16)?;
    }
    Some(code)
}

fn octal_digits(chars: &mut Chars<'_>, first: char) -> u32 {
    let mut code = first.to_digit(8).unwrap_or(0);
    for _ in 0..2 {
        let Some(digit) = chars.peek().and_then(|c| c.to_digit(8)) else {
            break;
        };
        code = code * 8 + digit;
        chars.next();
    }
    code
}
