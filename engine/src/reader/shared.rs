//! What the reads of one sync have in common: tokens that were fetched, and parents that were read.
//!
//! Several streams often have the same parent. The first child that reads it whole leaves its pages here, as JSON, so that the others
//! need not ask for them again. Small parents only: what is kept in memory is bounded, and a parent beyond the bound is read again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use crate::auth::Tokens;
use crate::page::{Position, Record};

/// Bytes of parents' records that one sync keeps.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// What the reads of one sync share, so that tokens are fetched and parents are read once; cheap to clone. Only reads of the same
/// config may share.
#[derive(Clone, Default)]
pub struct SharedReads {
    pub(crate) tokens: Tokens,
    pub(crate) parents: KeptParents,
    /// Secrets of the config as it was given. The manifest's rules may have moved them to where nothing is marked.
    pub(crate) given_secrets: Arc<[String]>,
}

impl std::fmt::Debug for SharedReads {
    /// Leaves the content out: it holds secrets.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SharedReads")
            .finish_non_exhaustive()
    }
}

/// What says that two parents are the same: the digest of their whole text in the manifest.
pub(crate) type Identity = [u8; 32];

/// A page of a parent.
pub(crate) struct KeptPage {
    /// A JSON array.
    records: Vec<u8>,
    /// The parent's own partition.
    pub(crate) of_parent: Map<String, Value>,
    /// The parent's position before this page.
    pub(crate) start: Option<Position>,
}

impl KeptPage {
    fn of(
        records: &[Record],
        of_parent: Map<String, Value>,
        start: Option<Position>,
    ) -> Option<KeptPage> {
        Some(KeptPage {
            records: serde_json::to_vec(records).ok()?,
            of_parent,
            start,
        })
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        // They were written a moment ago.
        serde_json::from_slice(&self.records).unwrap_or_default()
    }
}

/// Parents that were read whole.
#[derive(Clone, Default)]
pub(crate) struct KeptParents(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    pages: HashMap<Identity, Arc<[KeptPage]>>,
    bytes: usize,
}

impl KeptParents {
    pub(crate) fn find(&self, parent: &Identity) -> Option<Arc<[KeptPage]>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.pages.get(parent).cloned()
    }

    fn keep(&self, recording: Recording) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.bytes + recording.bytes <= MOST_BYTES {
            kept.bytes += recording.bytes;
            kept.pages.insert(recording.parent, recording.pages.into());
        }
    }
}

/// The pages of a parent while it is read from its beginning.
pub(crate) struct Recording {
    parent: Identity,
    pages: Vec<KeptPage>,
    bytes: usize,
}

impl Recording {
    pub(crate) fn of(parent: Identity) -> Recording {
        Recording {
            parent,
            pages: Vec::new(),
            bytes: 0,
        }
    }

    /// Goes on with a page; `None` when the parent is too large to be kept.
    pub(crate) fn with(
        mut self,
        records: &[Record],
        of_parent: &Map<String, Value>,
        start: Option<&Position>,
    ) -> Option<Recording> {
        let page = KeptPage::of(records, of_parent.clone(), start.cloned())?;
        self.bytes += page.records.len();
        self.pages.push(page);
        (self.bytes <= MOST_BYTES).then_some(self)
    }

    /// The parent has come to its end.
    pub(crate) fn finish(self, parents: &KeptParents) {
        parents.keep(self);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn records(bytes: usize) -> Vec<Record> {
        let Value::Object(record) = json!({ "text": "x".repeat(bytes) }) else {
            unreachable!("it is an object");
        };
        vec![record]
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let parents = KeptParents::default();
        for index in 0..4 {
            let recording = Recording::of([index; 32]);
            let half = recording.with(&records(MOST_BYTES / 2 - 100), &Map::new(), None);
            half.unwrap().finish(&parents);
        }
        assert_eq!(parents.find(&[1; 32]).unwrap()[0].records().len(), 1);
        assert!(parents.find(&[2; 32]).is_none());
        let recording = Recording::of([9; 32]);
        assert!(
            recording
                .with(&records(MOST_BYTES + 1), &Map::new(), None)
                .is_none()
        );
    }
}
