//! The statements of the product, as `cargo xtask prepare` has recorded them.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// A recorded statement: its text, and the types of its parameters.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) name: &'static str,
    pub(crate) text: String,
    pub(crate) types: Vec<String>,
}

fn recorded() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.sqlx");
    let paths = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    paths
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
        .collect()
}

/// The text of every statement.
pub(crate) fn all() -> Vec<String> {
    let texts = recorded().into_iter();
    texts
        .map(|recorded| recorded["query"].as_str().unwrap().to_owned())
        .collect()
}

/// Finds the one statement that holds all these fragments.
pub(crate) fn find(name: &'static str, fragments: &[&str]) -> Statement {
    let mut found = Vec::new();
    for recorded in recorded() {
        let text = recorded["query"].as_str().unwrap();
        if fragments.iter().all(|fragment| text.contains(fragment)) {
            let types = recorded["describe"]["parameters"]["Left"].as_array();
            found.push(Statement {
                name,
                text: text.to_owned(),
                types: types.into_iter().flatten().map(type_name).collect(),
            });
        }
    }
    assert_eq!(found.len(), 1, "one statement has {fragments:?}");
    found.remove(0)
}

/// `Int8Array` is `int8[]`.
fn type_name(recorded: &Value) -> String {
    let name = recorded.as_str().unwrap().to_lowercase();
    name.strip_suffix("array")
        .map_or(name.clone(), |element| format!("{element}[]"))
}
