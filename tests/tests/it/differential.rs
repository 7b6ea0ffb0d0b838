//! Manifests read by our engine and by airbyte-cdk: the same records, states and requests.
//!
//! `SYNCLINE_SCENARIOS` chooses scenarios by parts of their names, parted by commas. With `SYNCLINE_WRITE_GOLDENS` the proof writes what both
//! did instead of comparing it: `cargo xtask cdk-goldens`.

use std::collections::BTreeSet;
use std::fs;
use std::future::Future;
use std::sync::Arc;

use serde_json::{Value, json};
use syncline_tests::differential::{Outcome, Scenario, all, cdk, folder, golden, ours, outcome};
use syncline_tests::program;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Scenarios that are read at the same time.
const AT_ONCE: usize = 4;

fn chosen() -> Vec<Scenario> {
    let Ok(parts) = std::env::var("SYNCLINE_SCENARIOS") else {
        return all();
    };
    let parts: Vec<&str> = parts.split(',').collect();
    all()
        .into_iter()
        .filter(|scenario| parts.iter().any(|part| scenario.name.contains(part)))
        .collect()
}

fn as_json(outcomes: &[Outcome]) -> Value {
    outcomes.iter().map(Outcome::to_json).collect()
}

fn committed(name: &str, is_ours: bool) -> Result<Value, String> {
    let path = golden(name, is_ours);
    let text = fs::read_to_string(&path).map_err(|error| {
        format!(
            "{}: {error}; cargo xtask cdk-goldens writes it",
            path.display()
        )
    })?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

fn compare(expected: &Value, found: &Value) -> Result<(), String> {
    let lines = outcome::differences(expected, found);
    if lines.is_empty() {
        Ok(())
    } else {
        Err(lines.join("\n"))
    }
}

/// Ours against what is committed.
async fn check_ours(scenario: &Scenario) -> Result<(), String> {
    let (outcomes, log) = ours::read(scenario).await?;
    let found = as_json(&outcomes);
    let reference = committed(&scenario.name, false)?;
    let expected = match scenario.differs {
        Some(_) => committed(&scenario.name, true)?,
        None => reference.clone(),
    };
    compare(&expected, &found).map_err(|lines| format!("{lines}\nit said:\n{log}"))?;
    if scenario.differs.is_some() && found == reference {
        return Err("it does the same as the reference, so `differs` is out of date".to_owned());
    }
    Ok(())
}

/// Both, now, against what is committed.
async fn check_both(scenario: &Scenario) -> Result<(), String> {
    let (outcomes, log) = cdk::read(scenario).await?;
    let expected = committed(&scenario.name, false)?;
    compare(&as_json(&outcomes), &expected)
        .map_err(|lines| format!("the golden is out of date:\n{lines}\nit said:\n{log}"))?;
    check_ours(scenario).await
}

async fn write(scenario: &Scenario) -> Result<(), String> {
    let put = |is_ours: bool, (outcomes, _): (Vec<Outcome>, String)| {
        let text = serde_json::to_string_pretty(&as_json(&outcomes)).unwrap();
        fs::write(golden(&scenario.name, is_ours), text + "\n").unwrap();
    };
    let by_reference = cdk::read(scenario).await?;
    if std::env::var_os("SYNCLINE_SHOW").is_some() {
        println!("{}", by_reference.1);
    }
    put(false, by_reference);
    if scenario.differs.is_some() {
        put(true, ours::read(scenario).await?);
    }
    Ok(())
}

async fn each<F: Future<Output = Result<(), String>> + Send + 'static>(
    check: impl Fn(Arc<Scenario>) -> F,
) {
    let scenarios = chosen();
    let count = scenarios.len();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for scenario in scenarios {
        let scenario = Arc::new(scenario);
        let name = scenario.name.clone();
        let (task, places) = (check(scenario), Arc::clone(&places));
        tasks.spawn(async move {
            let _place = places.acquire().await.unwrap();
            task.await
                .map_err(|problem| format!("== {name}\n{problem}"))
        });
    }
    let mut problems: Vec<String> = tasks
        .join_all()
        .await
        .into_iter()
        .filter_map(Result::err)
        .collect();
    problems.sort();
    println!(
        "{count} scenarios, {} of them without a problem",
        count - problems.len()
    );
    assert!(
        problems.is_empty(),
        "{} of {count} scenarios:\n{}",
        problems.len(),
        problems.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_are_read_as_the_reference_read_them() {
    each(|scenario| async move { check_ours(&scenario).await }).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python and airbyte-cdk"]
async fn proof_scenarios_are_read_alike_by_the_reference_and_by_us() {
    if std::env::var_os("SYNCLINE_WRITE_GOLDENS").is_some() {
        each(|scenario| async move { write(&scenario).await }).await;
    } else {
        each(|scenario| async move { check_both(&scenario).await }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_is_refused_never_counts_as_read_alike() {
    let text = fs::read_to_string(folder().join("scenarios/plain-list.yaml")).unwrap();
    let refused = text.replace("DpathExtractor", "CustomRecordExtractor");
    assert_ne!(refused, text);
    let mut scenario: Scenario = serde_saphyr::from_str(&refused).unwrap();
    scenario.name = "plain-list".to_owned();
    let problem = check_ours(&scenario).await.unwrap_err();
    assert!(problem.contains("was not loaded"), "{problem}");
}

#[test]
fn no_scenario_can_say_that_it_may_be_passed_over() {
    let text = fs::read_to_string(folder().join("scenarios/async-report.yaml")).unwrap();
    assert!(serde_saphyr::from_str::<Scenario>(&text).is_ok());
    let passed_over = format!("needs: AsyncRetriever\n{text}");
    assert!(serde_saphyr::from_str::<Scenario>(&passed_over).is_err());
}

#[test]
fn each_golden_belongs_to_a_scenario() {
    let mut expected = BTreeSet::new();
    for scenario in all() {
        expected.insert(golden(&scenario.name, false));
        if scenario.differs.is_some() {
            expected.insert(golden(&scenario.name, true));
        }
    }
    let found: BTreeSet<_> = fs::read_dir(folder().join("goldens"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(json!(found), json!(expected));
}

#[test]
fn each_difference_is_documented() {
    let docs = fs::read_to_string(program::checkout().join("docs/connector-language.md")).unwrap();
    for scenario in all() {
        if let Some(reason) = &scenario.differs {
            let row = format!("| `{}` | {reason} |", scenario.name);
            assert!(
                docs.contains(&row),
                "missing in docs/connector-language.md: {row}"
            );
        }
    }
}
