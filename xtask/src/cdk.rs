//! The reference of the connector language, airbyte-cdk: installed at the locked versions into target/cdk, and asked for the goldens
//! that the tests compare with.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;

use crate::command::{Run, root};
use crate::tests;

/// Scripts that write tables of what the reference does, beside themselves.
const TABLES: [&str; 10] = [
    "clamping.py",
    "config_rules.py",
    "datetimes.py",
    "expressions.py",
    "options.py",
    "primary_keys.py",
    "reading.py",
    "records.py",
    "requesters.py",
    "signed_tokens.py",
];

/// The reference's environment, made unless the same lock file has been installed before.
pub(crate) fn environment() -> anyhow::Result<PathBuf> {
    let to = root().join("target/cdk");
    let lock = root().join("tests/differential/python/requirements.txt");
    let wanted = fs::read(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let stamp = to.join("installed");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(to);
    }
    println!("installing airbyte-cdk into {}", to.display());
    Run::program("python3")
        .args(&["-m", "venv"])
        .args(&[&to])
        .run()?;
    Run::program(to.join("bin/python"))
        .args(&["-m", "pip", "install", "--quiet", "--require-hashes", "-r"])
        .args(&[&lock])
        .run()?;
    fs::write(&stamp, wanted)?;
    Ok(to)
}

/// Writes all goldens anew: the tables, and what scenarios come to.
pub(crate) fn write_goldens() -> anyhow::Result<()> {
    let environment = environment()?;
    for table in TABLES {
        Run::program(environment.join("bin/python"))
            .args(&[root().join("engine/tests/golden").join(table)])
            .env("TZ", "UTC")
            // Some tables hold what came out of a set.
            .env("PYTHONHASHSEED", "0")
            .run()?;
    }
    tests::write_scenario_goldens(&environment)
}

#[cfg(test)]
mod unit_tests {
    use std::collections::BTreeSet;

    use super::*;

    fn lock() -> String {
        fs::read_to_string(root().join("tests/differential/python/requirements.txt")).unwrap()
    }

    /// The requirements of the lock file: a line each, with the lines that go on from it.
    fn requirements(lock: &str) -> Vec<String> {
        let joined = lock.replace("\\\n", " ");
        let lines = joined.lines().map(str::trim);
        let requirements = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        requirements.map(str::to_owned).collect()
    }

    #[test]
    fn everything_that_is_installed_is_pinned_with_hashes() {
        let lock = lock();
        let requirements = requirements(&lock);
        assert!(requirements.len() > 50, "{}", requirements.len());
        for requirement in &requirements {
            let (name, rest) = requirement
                .split_once("==")
                .unwrap_or_else(|| panic!("not pinned: {requirement}"));
            let hash = rest.split("--hash=sha256:").nth(1).unwrap_or_default();
            let digits = hash.trim().split(' ').next().unwrap_or_default();
            assert!(
                digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{name} has no hash"
            );
        }
        let wanted = root().join("tests/differential/python/requirements.in");
        let wanted = fs::read_to_string(wanted).unwrap();
        assert!(wanted.trim().starts_with("airbyte-cdk=="), "{wanted}");
        let pinned = format!("{} ", wanted.trim());
        assert!(requirements.iter().any(|one| one.starts_with(&pinned)));
    }

    #[test]
    fn each_script_beside_the_tables_is_run_and_each_table_is_there() {
        let folder = root().join("engine/tests/golden");
        let names = |ending: &str| -> BTreeSet<String> {
            let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap());
            let names = files.map(|file| file.file_name().into_string().unwrap());
            names
                .filter_map(|name| name.strip_suffix(ending).map(str::to_owned))
                .collect()
        };
        let run: BTreeSet<String> = TABLES
            .iter()
            .map(|table| table.trim_end_matches(".py").to_owned())
            .collect();
        assert_eq!(names(".py"), run);
        assert_eq!(names(".json"), run);
    }

    /// Python looks for modules beside the script first.
    #[test]
    fn no_script_has_the_name_of_a_package_that_it_needs() {
        let lock = lock();
        for requirement in requirements(&lock) {
            let name = requirement.split("==").next().unwrap_or_default();
            let file = format!("{}.py", name.replace('-', "_"));
            assert!(!TABLES.contains(&file.as_str()), "{file} hides a package");
        }
    }
}
