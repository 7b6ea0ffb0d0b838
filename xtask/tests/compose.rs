//! docker-compose.yml, read by a parser of the Compose specification that refuses what the specification does not
//! know. Variables are filled in first, as Compose itself does.
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of tests may fail loudly, too"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use compose_spec::service::healthcheck::Test;
use compose_spec::service::{Command, Condition, Healthcheck};
use compose_spec::{Compose, ListOrMap, Service, ShortOrLong};

const FILE: &str = include_str!("../../docker-compose.yml");
const SECRETS: [&str; 3] = [
    "POSTGRES_PASSWORD",
    "SYNCLINE_SECRET_KEY",
    "SYNCLINE_JWT_SECRET",
];
const LONG_RUNNING: [&str; 4] = ["scheduler", "worker", "api", "simulator"];

/// Fills in `${NAME}`, `${NAME:-default}` and `${NAME:?message}`; the error is the message, with the name.
fn interpolate(text: &str, variables: &BTreeMap<&str, &str>) -> Result<String, String> {
    let mut filled = String::new();
    for line in text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
    {
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("${") {
            let (expression, after) = after.split_once('}').ok_or("an open ${")?;
            let end = expression.find(':').unwrap_or(expression.len());
            let (name, rule) = expression.split_at(end);
            filled.push_str(before);
            match (variables.get(name), rule.split_at_checked(2)) {
                (Some(value), _) => filled.push_str(value),
                (None, Some((":-", default))) => filled.push_str(default),
                (None, Some((":?", message))) => return Err(format!("{name}: {message}")),
                (None, _) => return Err(format!("{name}: no rule for a missing value: {rule:?}")),
            }
            rest = after;
        }
        filled.push_str(rest);
        filled.push('\n');
    }
    Ok(filled)
}

fn compose() -> Compose {
    let variables = SECRETS
        .map(|name| (name, "0123456789abcdef0123456789abcdef"))
        .into();
    let text = interpolate(FILE, &variables).unwrap();
    let compose = Compose::options()
        .apply_merge(true)
        .from_yaml_str(&text)
        .unwrap();
    compose.validate_all().unwrap();
    compose
}

fn service<'a>(compose: &'a Compose, name: &str) -> &'a Service {
    let found = compose
        .services
        .iter()
        .find(|(known, _)| known.as_str() == name);
    found
        .unwrap_or_else(|| panic!("there is no service {name}"))
        .1
}

fn conditions(service: &Service) -> BTreeMap<String, Condition> {
    let ShortOrLong::Long(dependencies) = &service.depends_on else {
        return BTreeMap::new();
    };
    dependencies
        .iter()
        .map(|(name, dependency)| (name.to_string(), dependency.condition))
        .collect()
}

/// `None` for a variable that is handed on from where Compose runs.
fn environment(service: &Service) -> BTreeMap<String, Option<String>> {
    let ListOrMap::Map(map) = &service.environment else {
        panic!("the environment is a list")
    };
    let text = |value: &compose_spec::Value| match value {
        compose_spec::Value::String(text) => text.clone(),
        other => panic!("not a text: {other:?}"),
    };
    map.iter()
        .map(|(name, value)| (name.to_string(), value.as_ref().map(text)))
        .collect()
}

#[test]
fn the_services_are_the_roles_and_the_database() {
    let compose = compose();
    let names: Vec<&str> = compose
        .services
        .keys()
        .map(compose_spec::Identifier::as_str)
        .collect();
    assert_eq!(
        names,
        [
            "postgres",
            "migrate",
            "scheduler",
            "worker",
            "api",
            "simulator"
        ]
    );
    for role in ["migrate", "scheduler", "worker", "api", "simulator"] {
        let service = service(&compose, role);
        assert_eq!(
            service.command,
            Some(Command::List(vec![role.to_owned()])),
            "{role}"
        );
        assert_eq!(
            service.image,
            shared_image(&compose),
            "{role}: one image for all"
        );
        assert!(
            service.entrypoint.is_none(),
            "{role}: the image's own program"
        );
    }
    let simulator = service(&compose, "simulator");
    assert_eq!(
        simulator
            .profiles
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["simulator"]
    );
}

fn shared_image(compose: &Compose) -> Option<compose_spec::service::Image> {
    service(compose, "migrate").image.clone()
}

#[test]
fn everything_waits_for_the_migrated_database() {
    let compose = compose();
    let healthy = ("postgres".to_owned(), Condition::ServiceHealthy);
    let migrated = (
        "migrate".to_owned(),
        Condition::ServiceCompletedSuccessfully,
    );
    assert_eq!(
        conditions(service(&compose, "migrate")),
        [healthy.clone()].into()
    );
    for role in ["scheduler", "worker", "api"] {
        let expected = [healthy.clone(), migrated.clone()].into();
        assert_eq!(conditions(service(&compose, role)), expected, "{role}");
    }
    assert_eq!(conditions(service(&compose, "simulator")), BTreeMap::new());
    assert!(matches!(
        service(&compose, "postgres").healthcheck,
        Some(Healthcheck::Command(_))
    ));
    let restart = service(&compose, "migrate").restart;
    assert_eq!(
        restart,
        Some(compose_spec::service::Restart::No),
        "migrate runs once"
    );
}

#[test]
fn workers_and_schedulers_can_be_scaled() {
    let compose = compose();
    for role in ["worker", "scheduler"] {
        let service = service(&compose, role);
        assert!(
            service.ports.is_empty(),
            "{role}: a port can be taken only once"
        );
        assert!(
            service.container_name.is_none(),
            "{role}: a name can be taken only once"
        );
        assert!(
            service.hostname.is_none() && service.scale.is_none(),
            "{role}"
        );
    }
    assert!(!service(&compose, "api").ports.is_empty());
}

#[test]
fn every_long_running_process_is_watched_and_has_time_to_stop() {
    let compose = compose();
    for role in LONG_RUNNING {
        let service = service(&compose, role);
        let Some(Healthcheck::Command(check)) = &service.healthcheck else {
            panic!("{role} has no health check")
        };
        let expected = ["syncline", "healthcheck"].map(str::to_owned).to_vec();
        assert_eq!(check.test, Some(Test::Command(expected)), "{role}");
        let grace = service.stop_grace_period.unwrap_or_default();
        assert!(grace >= Duration::from_secs(30), "{role}: {grace:?}");
    }
    let grace = service(&compose, "postgres").stop_grace_period.unwrap();
    assert!(grace >= Duration::from_mins(1));
}

#[test]
fn a_missing_secret_is_named_before_anything_starts() {
    for missing in SECRETS {
        let given = SECRETS.into_iter().filter(|name| *name != missing);
        let variables = given.map(|name| (name, "x")).collect();
        let message = interpolate(FILE, &variables).unwrap_err();
        assert!(
            message.starts_with(&format!("{missing}: set it to ")),
            "{message}"
        );
    }
}

#[test]
fn the_roles_get_the_variables_of_the_contract() {
    let compose = compose();
    for role in ["migrate", "scheduler", "worker", "api"] {
        let environment = environment(service(&compose, role));
        let value = |name: &str| environment.get(name).cloned().flatten().unwrap_or_default();
        let url = value("DATABASE_URL");
        assert!(
            url.starts_with("postgres://syncline:0123456789abcdef"),
            "{role}: {url}"
        );
        assert!(url.ends_with("@postgres:5432/syncline"), "{role}: {url}");
        for name in [
            "SYNCLINE_SECRET_KEY",
            "SYNCLINE_JWT_SECRET",
            "SYNCLINE_LISTEN",
            "SYNCLINE_LOG",
        ] {
            assert!(!value(name).is_empty(), "{role}: {name}");
        }
        assert!(environment.contains_key("SYNCLINE_ALLOW_HOSTS"), "{role}");
    }
    let simulator = environment(service(&compose, "simulator"));
    assert!(
        !simulator.contains_key("SYNCLINE_SECRET_KEY"),
        "the simulator needs no secret"
    );
}
