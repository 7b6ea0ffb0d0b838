//! Settings that contradict each other, or the stream.

use super::ReadSettings;
use crate::load::model::Stream;

/// What is wrong with the settings, whatever the platform would say.
pub(super) fn contradiction(stream: &Stream, settings: &ReadSettings) -> Option<String> {
    let name = &stream.name;
    if settings.page.is_some() && !stream.supports_page() {
        return Some(format!(
            "the stream \"{name}\" cannot be read by page number"
        ));
    }
    if settings.page.is_some() && settings.from.is_some() {
        return Some("a read has either a position or a single page".to_owned());
    }
    if settings.page.is_some() && settings.range.is_some() {
        return Some("a read has either a data range or a single page".to_owned());
    }
    let range = settings.range?;
    if stream.cursor.is_none() {
        return Some(format!(
            "the stream \"{name}\" cannot be read by a data range: it has no cursor (incremental_sync), so its records cannot \
             be asked for by time"
        ));
    }
    if stream.cursor.as_ref().is_some_and(|cursor| cursor.counts) {
        return Some(format!(
            "the stream \"{name}\" cannot be read by a data range: its cursor counts, so its records cannot be asked for by time"
        ));
    }
    (range.from >= range.to).then(|| {
        format!(
            "a data range must end after it begins; this one is from {} to {}",
            range.from.to_rfc3339(),
            range.to.to_rfc3339()
        )
    })
}
