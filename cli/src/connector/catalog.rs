//! The configured catalog: which streams are read, and how.

use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

use super::given::json_file;

/// What of a configured catalog counts here; the rest is for destinations.
#[derive(Debug, Deserialize)]
struct ConfiguredCatalog {
    streams: Vec<ConfiguredStream>,
}

#[derive(Debug, Deserialize)]
struct ConfiguredStream {
    stream: Named,
    sync_mode: SyncMode,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SyncMode {
    FullRefresh,
    Incremental,
}

/// A stream that is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) name: String,
    pub(super) mode: SyncMode,
}

/// The streams of a configured catalog, in its order.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Chosen>> {
    let value = json_file(path, "catalog")?;
    let catalog: ConfiguredCatalog = serde_json::from_value(value).with_context(|| {
        format!(
            "the catalog {} is no configured catalog: {{\"streams\": [{{\"stream\": {{\"name\": ...}}, \"sync_mode\": \
             \"full_refresh\" or \"incremental\"}}]}} is needed",
            path.display()
        )
    })?;
    let chosen = catalog.streams.into_iter().map(|stream| Chosen {
        name: stream.stream.name,
        mode: stream.sync_mode,
    });
    Ok(chosen.collect())
}
