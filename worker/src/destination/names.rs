//! Names of tables and columns, made from names that strangers chose.

/// Longest identifier that Postgres keeps whole, in bytes.
const MAX_BYTES: usize = 63;

/// A name of lower-case letters, digits and underscores. `None`: nothing is left of it, or it is too long.
pub(super) fn sanitise(name: &str) -> Option<String> {
    let mut clean = String::with_capacity(name.len());
    let mut previous_lower = false;
    for character in name.chars() {
        if character.is_ascii_uppercase() && previous_lower {
            clean.push('_');
        }
        previous_lower = character.is_ascii_lowercase() || character.is_ascii_digit();
        clean.push(if character.is_ascii_alphanumeric() {
            character.to_ascii_lowercase()
        } else {
            '_'
        });
    }
    if clean.starts_with(|first: char| first.is_ascii_digit()) {
        clean.insert(0, 'n');
    }
    let meaningful = clean.chars().any(|character| character != '_');
    (meaningful && clean.len() <= MAX_BYTES).then_some(clean)
}

/// An identifier between double quotes.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_plain_identifiers() {
        assert_eq!(sanitise("minPrice").as_deref(), Some("min_price"));
        assert_eq!(
            sanitise("retail_min_price").as_deref(),
            Some("retail_min_price")
        );
        assert_eq!(sanitise("Ad Set-ID").as_deref(), Some("ad_set_id"));
        assert_eq!(sanitise("28d_click").as_deref(), Some("n28d_click"));
        assert_eq!(sanitise("größe").as_deref(), Some("gr__e"));
        assert_eq!(sanitise("??"), None);
        assert_eq!(sanitise(&"x".repeat(64)), None);
    }
}
