//! All pages of a read.

use syncline_engine::{Connector, Page, ReadSettings};

/// The pages of the stream "a".
pub(crate) async fn all(connector: &Connector, settings: ReadSettings) -> Vec<Page> {
    let mut reader = connector.reader("a", settings).unwrap();
    let mut pages = Vec::new();
    while let Some(page) = reader.next_page().await.unwrap() {
        pages.push(page);
    }
    pages
}
