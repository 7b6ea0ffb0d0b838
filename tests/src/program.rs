//! The program under test and the folders of the checkout.

use std::env;
use std::path::{Path, PathBuf};

/// The binary: `SYNCLINE_BIN`, or `syncline` in the profile's folder, beside the test binary's.
pub fn binary() -> PathBuf {
    if let Some(path) = env::var_os("SYNCLINE_BIN").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        assert!(
            path.is_file(),
            "SYNCLINE_BIN names {}, which is no file",
            path.display()
        );
        return path;
    }
    // target/<profile>/deps/it-<hash>
    let test = env::current_exe().unwrap();
    let beside = test
        .parent()
        .and_then(Path::parent)
        .unwrap()
        .join("syncline");
    assert!(
        beside.is_file(),
        "the program under test is missing: build it by `cargo build --bin syncline`, or set SYNCLINE_BIN (looked for {})",
        beside.display()
    );
    beside
}

/// The root of the checkout.
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The manifests that are shipped.
pub fn connectors() -> PathBuf {
    checkout().join("connectors")
}

/// Where builds and downloads of tests may be kept.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| checkout().join("target"), PathBuf::from)
}
