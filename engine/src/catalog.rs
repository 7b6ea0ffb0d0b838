//! The connectors of a folder: every manifest loaded and checked once, at the start of a process.
//!
//! A folder with one broken manifest is refused as a whole, naming each file and each problem: a
//! platform that is silently missing would look like a connection's mistake later.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::Connector;

/// The platforms that can be synced. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    connectors: Arc<BTreeMap<String, Connector>>,
}

/// Why a folder of manifests cannot be used.
#[derive(Debug, Error)]
pub enum CatalogError {
    /// The folder is missing or may not be read.
    #[error(
        "the connectors' folder {} cannot be read: {source}; set SYNCLINE_CONNECTORS_DIR to the folder of manifests",
        folder.display()
    )]
    Unreadable {
        /// The folder.
        folder: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Manifests have problems: a line each, with file and path.
    #[error("the connectors have problems:\n{}", .0.join("\n"))]
    Problems(Vec<String>),
}

impl Catalog {
    /// Loads every `<platform>.yaml` of a folder.
    pub fn load(folder: &Path) -> Result<Catalog, CatalogError> {
        let mut loaded = Vec::new();
        let mut problems = Vec::new();
        for file in manifests(folder)? {
            match Connector::load_file(&file) {
                Ok(connector) => loaded.push(connector),
                Err(errors) => {
                    for problem in errors.problems {
                        problems.push(format!("  {}: {problem}", file.display()));
                    }
                }
            }
        }
        if !problems.is_empty() {
            return Err(CatalogError::Problems(problems));
        }
        Ok(Catalog::of(loaded))
    }

    /// A catalog of these connectors.
    pub fn of(connectors: impl IntoIterator<Item = Connector>) -> Catalog {
        let by_platform = connectors
            .into_iter()
            .map(|connector| (connector.platform().to_owned(), connector));
        Catalog {
            connectors: Arc::new(by_platform.collect()),
        }
    }

    /// The connector of a platform.
    pub fn find(&self, platform: &str) -> Option<&Connector> {
        self.connectors.get(platform)
    }

    /// All connectors, by platform.
    pub fn all(&self) -> impl Iterator<Item = &Connector> {
        self.connectors.values()
    }

    /// The known platforms, for sentences about an unknown one.
    pub fn platforms(&self) -> String {
        if self.connectors.is_empty() {
            return "none; SYNCLINE_CONNECTORS_DIR holds no manifest".to_owned();
        }
        self.connectors
            .keys()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

fn manifests(folder: &Path) -> Result<Vec<PathBuf>, CatalogError> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "yaml")
            {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    };
    read().map_err(|source| CatalogError::Unreadable {
        folder: folder.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_folder_is_named_with_its_setting() {
        let text = Catalog::load(Path::new("no-such-folder"))
            .expect_err("refused")
            .to_string();
        assert!(
            text.contains("no-such-folder") && text.contains("SYNCLINE_CONNECTORS_DIR"),
            "{text}"
        );
    }

    #[test]
    fn every_broken_manifest_is_named_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("one.yaml"), "version: [").unwrap();
        std::fs::write(folder.path().join("two.yaml"), "type: Unknown").unwrap();
        std::fs::write(folder.path().join("notes.txt"), "not a manifest").unwrap();
        let text = Catalog::load(folder.path())
            .expect_err("refused")
            .to_string();
        assert!(
            text.contains("one.yaml") && text.contains("two.yaml"),
            "{text}"
        );
        assert!(!text.contains("notes.txt"), "{text}");
    }

    #[test]
    fn an_empty_folder_is_an_empty_catalog() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::load(folder.path()).unwrap();
        assert!(catalog.find("g2a").is_none());
        assert!(catalog.platforms().contains("SYNCLINE_CONNECTORS_DIR"));
    }
}
