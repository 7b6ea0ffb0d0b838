//! Packages of the npm registry, installed by npm itself and kept between runs.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::program;

/// Installs packages of exact versions, each `name@version`; answers the folder that holds `node_modules`.
pub fn install(name: &str, packages: &[&str]) -> PathBuf {
    let folder = program::target().join("test-npm").join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("package.json"), r#"{"private": true}"#).unwrap();
    let mut npm = Command::new("npm");
    npm.args([
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--prefer-offline",
        "--save-exact",
    ]);
    let output = match npm.args(packages).current_dir(&folder).output() {
        Ok(output) => output,
        Err(error) => panic!("npm is needed (Debian and Ubuntu: apt install npm): {error}"),
    };
    assert!(
        output.status.success(),
        "npm install {}: {}",
        packages.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    folder
}
