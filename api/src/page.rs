//! Pages of lists: the limit, and the opaque cursor.
//!
//! A cursor is base64url JSON that holds where the next page starts and a hash of the filter it was made for. It is not
//! signed: nothing can be reached by it that the filter would not show anyway. A cursor that came with another filter is
//! refused, since the pages would not fit together.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::error::FieldProblem;
use crate::extract::Params;

/// Entries of a page unless asked otherwise.
pub(crate) const DEFAULT_LIMIT: usize = 50;
/// Entries of a page at most.
pub(crate) const MAX_LIMIT: usize = 200;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The entries.
    pub data: Vec<T>,
    /// Asks for the next page, with the same filter; null on the last page.
    pub next_cursor: Option<String>,
    /// True if there is a next page.
    pub has_more: bool,
}

/// Which page was asked for.
#[derive(Debug)]
pub(crate) struct PageRequest {
    /// Entries of the page.
    pub limit: usize,
    /// The last entry of the page before.
    pub after: Option<String>,
    filter: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cursor {
    filter: String,
    after: String,
}

impl PageRequest {
    /// Reads `limit` and `cursor`; the other parameters are the filter, in whatever order they came.
    pub(crate) fn read(params: &mut Params) -> Self {
        let limit = params
            .integer("limit", 1, MAX_LIMIT)
            .unwrap_or(DEFAULT_LIMIT);
        let filter = fingerprint(params.filter(&["limit", "cursor"]));
        let mut after = None;
        if let Some(text) = params.text("cursor") {
            match decode(&text) {
                Some(cursor) if cursor.filter == filter => after = Some(cursor.after),
                Some(_) => params.refuse(FieldProblem::new(
                    "cursor",
                    "cursor-of-other-filter",
                    "the cursor belongs to another filter; ask for the first page with this one",
                )),
                None => params.refuse(FieldProblem::new(
                    "cursor",
                    "cursor",
                    "the cursor is not one that this list gave out",
                )),
            }
        }
        Self {
            limit,
            after,
            filter,
        }
    }

    /// Entries to ask the database for: one more than are shown tells whether there is a next page.
    pub(crate) fn fetch(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or(i64::MAX - 1) + 1
    }

    /// The page of what was fetched; `position` names an entry for the cursor.
    pub(crate) fn page<R, T>(
        &self,
        mut fetched: Vec<R>,
        position: impl Fn(&R) -> String,
        show: impl Fn(R) -> T,
    ) -> Page<T> {
        let has_more = fetched.len() > self.limit;
        fetched.truncate(self.limit);
        let next_cursor = fetched.last().filter(|_| has_more).map(|last| {
            encode(&Cursor {
                filter: self.filter.clone(),
                after: position(last),
            })
        });
        Page {
            data: fetched.into_iter().map(show).collect(),
            next_cursor,
            has_more,
        }
    }
}

fn fingerprint(mut filter: Vec<(String, String)>) -> String {
    filter.sort();
    let mut hash = Sha256::new();
    for (name, value) in filter {
        hash.update(name.len().to_le_bytes());
        hash.update(name);
        hash.update(value.len().to_le_bytes());
        hash.update(value);
    }
    URL_SAFE_NO_PAD.encode(hash.finalize().get(..12).unwrap_or_default())
}

fn encode(cursor: &Cursor) -> String {
    // Two strings, so this cannot fail.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(cursor).unwrap_or_default())
}

fn decode(text: &str) -> Option<Cursor> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> (PageRequest, Vec<FieldProblem>) {
        let mut params = Params::parse(Some(query));
        params.text("platform");
        let page = PageRequest::read(&mut params);
        (page, params.problems())
    }

    fn page_of(request: &PageRequest, fetched: Vec<u32>) -> Page<u32> {
        request.page(fetched, u32::to_string, |entry| entry)
    }

    #[test]
    fn a_cursor_leads_to_the_next_page_of_the_same_filter() {
        let (first, _) = read("platform=g2a&limit=2");
        let page = page_of(&first, vec![9, 8, 7]);
        assert_eq!(
            (page.data.as_slice(), page.has_more),
            ([9, 8].as_slice(), true)
        );
        let cursor = page.next_cursor.unwrap();
        let (second, problems) = read(&format!("limit=2&cursor={cursor}&platform=g2a"));
        assert_eq!((second.after.as_deref(), problems), (Some("8"), vec![]));
        assert_eq!(page_of(&second, vec![7]).next_cursor, None);
    }

    #[test]
    fn a_cursor_of_another_filter_is_refused() {
        let (first, _) = read("platform=g2a&limit=1");
        let cursor = page_of(&first, vec![2, 1]).next_cursor.unwrap();
        let (other, problems) = read(&format!("platform=meta&cursor={cursor}"));
        assert_eq!(other.after, None);
        assert_eq!(problems[0].code, "cursor-of-other-filter");
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in ["%21", "bm8", "e30"] {
            let (_, problems) = read(&format!("cursor={text}"));
            assert_eq!(problems[0].code, "cursor", "{text}");
        }
    }

    #[test]
    fn limits_outside_1_to_200_are_refused() {
        for text in ["0", "201", "-1", "many"] {
            let (_, problems) = read(&format!("limit={text}"));
            assert_eq!(problems[0].pointer, "limit", "{text}");
        }
        assert_eq!(read("").0.limit, DEFAULT_LIMIT);
    }
}
