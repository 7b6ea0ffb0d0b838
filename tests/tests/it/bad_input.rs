//! Bad input on the command line: one clear message, the right exit code, nothing half done.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use syncline_tests::cluster::bare_command;
use syncline_tests::database::count;
use syncline_tests::{Cluster, program};

const KEY: &str = "long-enough-to-seal-credentials-with-000";

/// Runs a command that must fail, and checks that the message holds the words.
#[track_caller]
fn assert_refused(mut command: Command, code: i32, words: &[&str]) -> String {
    let output: Output = command.env("SYNCLINE_LOG_FILTER", "warn").output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{command:?}: {message}");
    assert!(
        !message.contains("panicked at") && !message.contains("RUST_BACKTRACE"),
        "{message}"
    );
    for word in words {
        assert!(
            message.contains(word),
            "the message lacks {word:?}: {message}"
        );
    }
    let told = message
        .lines()
        .filter(|line| line.starts_with("syncline: "))
        .count();
    assert!(code == 2 || told == 1, "not one message: {message}");
    message
}

fn program(arguments: &[&str]) -> Command {
    let mut command = bare_command();
    command.args(arguments).current_dir(program::checkout());
    command
}

#[test]
fn an_unreachable_database_is_named_without_its_password() {
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("postgres://someone:hunter2@127.0.0.1:{port}/nothing");
    for role in ["migrate", "scheduler"] {
        let mut command = program(&[role]);
        command.env("DATABASE_URL", &url);
        let address = format!("127.0.0.1:{port}");
        let began = Instant::now();
        let message = assert_refused(command, 1, &[&address, "DATABASE_URL", "refused"]);
        // Told at once, not when some patience has run out.
        assert!(began.elapsed() < Duration::from_secs(5), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
    let mut command = program(&["migrate"]);
    command.env("DATABASE_URL", "mysql://someone:hunter2@localhost/x");
    let message = assert_refused(command, 1, &["DATABASE_URL", "postgres://"]);
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn wrong_usage_exits_with_2_and_says_what_is_allowed() {
    assert_refused(
        program(&["worker", "--no-such-flag"]),
        2,
        &["--no-such-flag", "--help"],
    );
    assert_refused(program(&["frobnicate"]), 2, &["frobnicate"]);
    assert_refused(
        program(&["migrate"]),
        2,
        &["DATABASE_URL", "--database-url"],
    );
    let mut command = program(&["worker", "--slots", "0"]);
    command
        .env("DATABASE_URL", "postgres://x@localhost/x")
        .env("SYNCLINE_SECRET_KEY", KEY);
    assert_refused(command, 2, &["--slots", "0", "1..=5000"]);
    assert_refused(
        program(&["simulator", "--listen", "nowhere"]),
        2,
        &["--listen", "nowhere"],
    );
}

#[test]
fn a_taken_port_is_named_with_a_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let words = [address.as_str(), "SYNCLINE_LISTEN", "--listen"];
    assert_refused(program(&["simulator", "--listen", &address]), 1, &words);
    // Before Postgres is started: nothing is left behind.
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let command = program(&[
        "dev",
        "--listen",
        &address,
        "--data-dir",
        data.to_str().unwrap(),
    ]);
    assert_refused(command, 1, &words);
    assert!(!data.join("postgres").exists(), "Postgres was begun");
}

#[tokio::test]
async fn keys_ports_and_manifests_are_checked_before_a_process_serves() {
    let cluster = Cluster::builder().start().await;
    for (role, variable) in [
        ("worker", "SYNCLINE_SECRET_KEY"),
        ("api", "SYNCLINE_SECRET_KEY"),
        ("api", "SYNCLINE_JWT_SECRET"),
    ] {
        let mut command = cluster.command();
        command
            .args([role, "--listen", "127.0.0.1:0"])
            .env(variable, "short-secret");
        let message = assert_refused(command, 1, &[variable, "32"]);
        assert!(!message.contains("short-secret"), "{role}: {message}");
    }

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for role in ["api", "worker", "scheduler"] {
        let mut command = cluster.command();
        command.args([role, "--listen", &address]);
        assert_refused(command, 1, &[&address, "SYNCLINE_LISTEN"]);
    }

    let mut command = cluster.command();
    command
        .arg("worker")
        .env("SYNCLINE_ALLOW_HOSTS", "10.0.0.0/99");
    assert_refused(command, 1, &["SYNCLINE_ALLOW_HOSTS", "10.0.0.0/99"]);
    let mut missing = cluster.command();
    missing
        .arg("api")
        .env("SYNCLINE_CONNECTORS_DIR", "/no/such/folder");
    assert_refused(missing, 1, &["SYNCLINE_CONNECTORS_DIR", "/no/such/folder"]);

    let folder = cluster.folder().join("connectors");
    fs::create_dir(&folder).unwrap();
    let manifest = fs::read_to_string(program::connectors().join("g2a.yaml")).unwrap();
    let unsupported = manifest.replace("type: SimpleRetriever", "type: CustomRetriever");
    fs::write(folder.join("broken.yaml"), unsupported).unwrap();
    for role in ["worker", "api"] {
        let mut command = cluster.command();
        command
            .args([role, "--listen", "127.0.0.1:0"])
            .env("SYNCLINE_CONNECTORS_DIR", &folder);
        assert_refused(
            command,
            1,
            &[
                "broken.yaml",
                "/streams/0/retriever",
                "CustomRetriever",
                "SimpleRetriever",
            ],
        );
    }
    let lint = program(&[
        "connector",
        "lint",
        folder.join("broken.yaml").to_str().unwrap(),
    ])
    .output()
    .unwrap();
    let told = String::from_utf8_lossy(&lint.stdout).into_owned();
    assert!(
        lint.status.code() == Some(1) && told.contains("CustomRetriever"),
        "{told}"
    );
}

#[test]
fn a_database_that_was_never_migrated_is_refused_by_every_role() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime
        .block_on(syncline_postgres::testing::empty_database())
        .unwrap();
    for role in ["worker", "scheduler", "api"] {
        let mut command = program(&[role]);
        command
            .env("DATABASE_URL", database.url())
            .env("SYNCLINE_SECRET_KEY", KEY)
            .env("SYNCLINE_JWT_SECRET", KEY);
        assert_refused(command, 1, &["syncline migrate"]);
    }
}

#[tokio::test]
async fn a_document_with_problems_is_refused_as_a_whole_and_all_of_them_are_told() {
    let cluster = Cluster::builder().start().await;
    let refuse = |name: &str, document: &str, words: &[&str]| {
        let file = cluster.write(name, document);
        let mut command = cluster.command();
        command.args(["apply", "-f", &file]);
        assert_refused(command, 1, words)
    };
    refuse(
        "unset.yaml",
        "businesses: [{key: acme}]\nconnections:\n  - key: a\n    business: acme\n    platform: g2a\n    \
         config: {client_id: x, email: x@example.com, client_secret: \"${env:NO_SUCH_SECRET}\"}\n",
        &["NO_SUCH_SECRET", "connections[0].config.client_secret"],
    );
    refuse(
        "many.yaml",
        "businesses: [{key: acme, name: Acme}]\nconnections:\n  - {key: a, business: acme, platform: myspace}\n  \
         - {key: b, business: acme, platform: g2a, config: {client_id: x, email: x@example.com}}\nschedules:\n  \
         - {key: c, cron: \"61 * * * *\", target: {connection: a}}\n  \
         - {key: d, cron: \"0 1 * * *\", zone: Mars/Olympus, target: everything}\n",
        &[
            "myspace",
            "g2a",
            "client_secret",
            "schedules[0].cron",
            "61 * * * *",
            "schedules[1].zone",
            "Mars/Olympus",
        ],
    );
    refuse(
        "twice.yaml",
        "businesses: []\nbusinesses: []\n",
        &["businesses"],
    );
    refuse(
        "unknown.yaml",
        "busineses: [{key: acme}]\n",
        &["busineses", "businesses"],
    );
    let mut command = cluster.command();
    command.args(["apply", "-f", "no-such-file.yaml"]);
    assert_refused(command, 1, &["no-such-file.yaml"]);
    for query in [
        "select count(*) from syncline.business",
        "select count(*) from syncline.connection",
        "select count(*) from syncline.schedule",
    ] {
        assert_eq!(count(&cluster.pool, query).await, 0, "{query}");
    }
}
