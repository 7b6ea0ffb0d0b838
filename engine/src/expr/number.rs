//! Numbers as Python writes them, without losing a digit.
//!
//! A JSON number keeps its text. It is rendered the way Python renders the float of that text when
//! that is the same decimal value (`25.10` becomes `25.1`, `1e16` becomes `1e+16`); when a float
//! could not hold it, the text stays as it is. Only arithmetic goes through floats, as in Python.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Number, Value};

/// Whether a number is an integer in Python's eyes: its text has neither point nor exponent.
pub(crate) fn is_integer(number: &Number) -> bool {
    !number.as_str().contains(['.', 'e', 'E'])
}

/// An integer that fits 128 bits.
pub(crate) fn as_integer(number: &Number) -> Option<i128> {
    if is_integer(number) {
        number.as_str().parse().ok()
    } else {
        None
    }
}

/// The nearest float; infinite if the number is larger than any float.
pub(crate) fn as_float(number: &Number) -> f64 {
    number.as_str().parse().unwrap_or(f64::NAN)
}

/// A JSON number from an integer.
pub(crate) fn from_integer(integer: i128) -> Value {
    parse(&integer.to_string()).map_or(Value::Null, Value::Number)
}

/// A JSON number from a float; `None` if it is infinite or not a number.
pub(crate) fn from_float(float: f64) -> Option<Value> {
    if float.is_finite() {
        parse(&float_text(float)).map(Value::Number)
    } else {
        None
    }
}

/// A JSON number from JSON text.
pub(crate) fn parse(text: &str) -> Option<Number> {
    serde_json::from_str(text).ok()
}

/// A number as Python prints it.
pub(crate) fn text(number: &Number) -> Cow<'_, str> {
    let own = number.as_str();
    if is_integer(number) {
        return Cow::Borrowed(if own == "-0" { "0" } else { own });
    }
    if is_written_shortest(own) {
        return Cow::Borrowed(own);
    }
    let float = as_float(number);
    if !float.is_finite() {
        return Cow::Borrowed(own);
    }
    let python = float_text(float);
    if decimal(own) == decimal(&python) {
        Cow::Owned(python)
    } else {
        Cow::Borrowed(own)
    }
}

/// Whether a decimal stands as Python would write it, which a glance tells of nearly all: at most 15 digits (a float holds any
/// such), no exponent, no zero at the end that could go.
fn is_written_shortest(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let Some((whole, fraction)) = digits.split_once('.') else {
        return false;
    };
    let all_digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
    let needed = fraction == "0" || !fraction.ends_with('0');
    // Below a tenth an exponent may be due.
    let large = whole != "0" || !fraction.starts_with('0');
    all_digits && needed && large && digits.len() <= 16
}

/// Python's `repr` of a finite float: the shortest digits that read back, with an exponent below
/// 1e-4 and from 1e16 on.
pub(crate) fn float_text(float: f64) -> String {
    if float == 0.0 || (1e-4..1e16).contains(&float.abs()) {
        let mut plain = float.to_string();
        if !plain.contains('.') {
            plain.push_str(".0");
        }
        return plain;
    }
    let scientific = format!("{float:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// Sign, significant digits and power of ten: equal for equal decimal values.
fn decimal(text: &str) -> (bool, String, i64) {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let mut exponent: i64 = exponent
        .trim_start_matches('+')
        .parse()
        .unwrap_or(i64::MAX / 2);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    exponent = exponent.saturating_sub(i64::try_from(fraction.len()).unwrap_or(i64::MAX));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let trimmed = digits.trim_end_matches('0');
    if trimmed.is_empty() {
        return (negative, String::new(), 0);
    }
    let zeros = i64::try_from(digits.len() - trimmed.len()).unwrap_or(0);
    (negative, trimmed.to_owned(), exponent.saturating_add(zeros))
}

/// Whether two numbers are the same to the last digit.
pub(crate) fn is_same(left: &Number, right: &Number) -> bool {
    decimal(left.as_str()) == decimal(right.as_str())
}

/// Order of two numbers. Integers are taken by their digits, also beside a float: an order by the nearest floats would not be one.
pub(crate) fn compare(left: &Number, right: &Number) -> Option<Ordering> {
    match (is_integer(left), is_integer(right)) {
        (true, true) => Some(match (as_integer(left), as_integer(right)) {
            (Some(left), Some(right)) => left.cmp(&right),
            _ => compare_digits(left.as_str(), right.as_str()),
        }),
        (true, false) => integer_beside_float(left, as_float(right)),
        (false, true) => integer_beside_float(right, as_float(left)).map(Ordering::reverse),
        (false, false) => as_float(left).partial_cmp(&as_float(right)),
    }
}

fn integer_beside_float(integer: &Number, float: f64) -> Option<Ordering> {
    if !float.is_finite() {
        return 0.0.partial_cmp(&float);
    }
    // A float holds any integer of so few digits.
    if integer.as_str().len() <= 15 {
        return as_float(integer).partial_cmp(&float);
    }
    // All digits of the whole part, however many.
    let whole = format!("{:.0}", float.trunc());
    let order = compare_digits(integer.as_str(), &whole);
    if order.is_eq() {
        return 0.0.partial_cmp(&float.fract());
    }
    Some(order)
}

/// Order of two integers by their digits.
fn compare_digits(left: &str, right: &str) -> Ordering {
    let is_negative = |text: &str| text.starts_with('-') && text != "-0";
    let (left_negative, right_negative) = (is_negative(left), is_negative(right));
    let (left, right) = (left.trim_start_matches('-'), right.trim_start_matches('-'));
    let size = left.len().cmp(&right.len()).then_with(|| left.cmp(right));
    match (left_negative, right_negative) {
        (false, false) => size,
        (true, true) => size.reverse(),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    }
}

/// A text that is the same for numbers that [`compare`] calls equal, and for no others.
pub(crate) fn exact(number: &Number) -> Cow<'_, str> {
    let text = if is_integer(number) {
        Cow::Borrowed(number.as_str())
    } else {
        let float = as_float(number);
        if float.is_finite() && float.fract() == 0.0 {
            Cow::Owned(format!("{float:.0}"))
        } else {
            Cow::Owned(float_text(float))
        }
    };
    if text == "-0" {
        Cow::Borrowed("0")
    } else {
        text
    }
}

/// The operators on numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Remainder,
    Power,
}

/// Python's arithmetic: integers stay integers (except `/`), everything else becomes a float.
pub(crate) fn calculate(
    operator: Arithmetic,
    left: &Number,
    right: &Number,
) -> Result<Value, String> {
    // A whole number to the power of a negative one is a fraction.
    let is_fraction = match operator {
        Arithmetic::Divide => true,
        Arithmetic::Power => right.as_str().starts_with('-'),
        _ => false,
    };
    if !is_fraction && is_integer(left) && is_integer(right) {
        let too_large = || "an integer of the calculation needs more than 128 bits".to_owned();
        let (Some(left), Some(right)) = (as_integer(left), as_integer(right)) else {
            return Err(too_large());
        };
        let result = match operator {
            Arithmetic::Add => left.checked_add(right),
            Arithmetic::Subtract => left.checked_sub(right),
            Arithmetic::Multiply => left.checked_mul(right),
            Arithmetic::Power => match u32::try_from(right) {
                Ok(exponent) => left.checked_pow(exponent),
                Err(_) => None,
            },
            _ if right == 0 => return Err("division by zero".to_owned()),
            Arithmetic::Remainder => left.checked_rem(right).map(|rest| {
                if rest != 0 && (rest < 0) != (right < 0) {
                    rest + right
                } else {
                    rest
                }
            }),
            _ => left.checked_div(right).map(|quotient| {
                let inexact = quotient * right != left;
                if inexact && (left < 0) != (right < 0) {
                    quotient - 1
                } else {
                    quotient
                }
            }),
        };
        return result.map(from_integer).ok_or_else(too_large);
    }
    let (left, right) = (as_float(left), as_float(right));
    let divides = !matches!(
        operator,
        Arithmetic::Add | Arithmetic::Subtract | Arithmetic::Multiply | Arithmetic::Power
    );
    let inverts_zero = operator == Arithmetic::Power && left == 0.0 && right < 0.0;
    if divides && right == 0.0 || inverts_zero {
        return Err("division by zero".to_owned());
    }
    let result = match operator {
        Arithmetic::Add => left + right,
        Arithmetic::Subtract => left - right,
        Arithmetic::Multiply => left * right,
        Arithmetic::Divide => left / right,
        Arithmetic::Power => left.powf(right),
        Arithmetic::FloorDivide => (left / right).floor(),
        Arithmetic::Remainder => {
            let rest = left % right;
            if rest != 0.0 && (rest < 0.0) != (right < 0.0) {
                rest + right
            } else {
                rest
            }
        }
    };
    from_float(result).ok_or_else(|| "the result of the calculation is not finite".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (float, expected) in [
            (1.0, "1.0"),
            (1.1, "1.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e-5, "1.5e-05"),
            (0.0001, "0.0001"),
            (0.000_099_999_999_999_999_99, "9.999999999999999e-05"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (100_000.0, "100000.0"),
            (-0.0, "-0.0"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e300, "1e+300"),
        ] {
            assert_eq!(float_text(float), expected);
        }
    }

    #[test]
    fn no_digit_of_a_number_is_lost() {
        for (json, expected) in [
            ("25.10", "25.1"),
            ("1e16", "1e+16"),
            ("-0", "0"),
            (
                "123456789012345678901234567890",
                "123456789012345678901234567890",
            ),
            ("0.12345678901234567890123", "0.12345678901234567890123"),
            ("1e+999", "1e+999"),
            ("1.0", "1.0"),
            ("12E2", "1200.0"),
            ("0.5", "0.5"),
            ("-12.25", "-12.25"),
            ("-0.0", "-0.0"),
            ("0.00001", "1e-05"),
            ("123456789.1234567", "123456789.1234567"),
        ] {
            assert_eq!(text(&parse(json).unwrap()), expected, "{json}");
        }
    }

    #[test]
    fn arithmetic_is_pythons() {
        use Arithmetic::*;
        for (operator, left, right, expected) in [
            (FloorDivide, "-7", "2", "-4"),
            (Remainder, "-7", "2", "1"),
            (Remainder, "7", "-2", "-1"),
            (Divide, "4", "2", "2.0"),
            (FloorDivide, "7.5", "2", "3.0"),
            (Add, "0.1", "0.2", "0.30000000000000004"),
            (Multiply, "99999999999999999", "10", "999999999999999990"),
        ] {
            let result = calculate(operator, &parse(left).unwrap(), &parse(right).unwrap());
            assert_eq!(result.unwrap().to_string(), expected);
        }
        assert!(calculate(Divide, &parse("1").unwrap(), &parse("0").unwrap()).is_err());
        let huge = parse("170141183460469231731687303715884105727").unwrap();
        assert!(calculate(Add, &huge, &parse("1").unwrap()).is_err());
    }
}
