//! The query of a list: page size, page token and window. Parameters the platform does not know are ignored.

use super::changes::moment_parameter;
use super::errors::ApiError;

/// The largest page that a caller may ask for.
pub(super) const MOST_PAGE_SIZE: u64 = 1_000;

/// A parsed query.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ListQuery {
    pub(super) page_size: Option<u32>,
    pub(super) page_token: Option<String>,
    /// For the list of changes: the first moment asked for.
    pub(super) since: Option<String>,
    /// For the list of changes: the last moment asked for.
    pub(super) until: Option<String>,
}

/// Reads the query; where a parameter is repeated, the last one counts. An empty token asks for the first page.
pub(super) fn parse(query: &str) -> Result<ListQuery, ApiError> {
    let mut parsed = ListQuery::default();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "page_size" => parsed.page_size = Some(page_size(&value)?),
            "page_token" => {
                parsed.page_token = (!value.is_empty()).then(|| value.into_owned());
            }
            "since" => parsed.since = Some(moment_parameter("since", &value)?),
            "until" => parsed.until = Some(moment_parameter("until", &value)?),
            _ => {}
        }
    }
    Ok(parsed)
}

fn page_size(value: &str) -> Result<u32, ApiError> {
    match value.parse::<u32>() {
        Ok(size) if (1..=MOST_PAGE_SIZE).contains(&u64::from(size)) => Ok(size),
        _ => Err(ApiError::InvalidArgument(format!(
            "page_size must be a whole number from 1 to {MOST_PAGE_SIZE}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_leniently_but_its_page_size_must_fit() {
        let parsed = parse("page_size=5&page_token=&page_token=Fab%2B&sort=id").unwrap();
        assert_eq!(parsed.page_size, Some(5));
        assert_eq!(parsed.page_token.as_deref(), Some("Fab+"));
        assert_eq!(parse("page_token="), Ok(ListQuery::default()));
        for bad in ["0", "1001", "-1", "ten", ""] {
            let refused = parse(&format!("page_size={bad}"));
            assert!(
                matches!(refused, Err(ApiError::InvalidArgument(_))),
                "{bad}"
            );
        }
    }
}
