//! The connectors that this process knows: one manifest a platform.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use syncline_engine::Connector;

/// Connectors by platform.
pub(crate) type Connectors = Arc<BTreeMap<String, Connector>>;

/// Loads every `*.yaml` of a folder; the problems of all of them are told at once.
pub(crate) fn load(folder: &Path) -> anyhow::Result<Connectors> {
    let entries = std::fs::read_dir(folder).with_context(|| {
        format!(
            "SYNCLINE_CONNECTORS_DIR {} cannot be read",
            folder.display()
        )
    })?;
    let mut connectors = BTreeMap::new();
    let mut problems = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        match Connector::load_file(&path) {
            Ok(connector) => {
                connectors.insert(connector.platform().to_owned(), connector);
            }
            Err(errors) => problems.push(format!("{}: {errors}", path.display())),
        }
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    Ok(Arc::new(connectors))
}
