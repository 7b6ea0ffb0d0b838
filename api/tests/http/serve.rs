//! The service as a process runs it: a socket, a heartbeat, a drain.

use std::time::Duration;

use sqlx::PgPool;
use syncline_api::run;
use syncline_shared::lifecycle::Lifecycle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{App, config};

async fn wait_until(pool: &PgPool, condition: &'static str) {
    let query =
        format!("select exists (select from syncline.process where role = 'api' and {condition})");
    let look = async {
        while !sqlx::query_scalar::<_, bool>(sqlx::AssertSqlSafe(query.clone()))
            .fetch_one(pool)
            .await
            .unwrap()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), look)
        .await
        .unwrap_or_else(|_| panic!("never: {condition}"));
}

#[tokio::test]
async fn the_service_registers_beats_answers_and_says_goodbye() {
    let app = App::start().await;
    let connectors = tempfile::tempdir().unwrap();
    let connectors = connectors.path().to_str().unwrap();
    let config = config(&["--connectors-dir", connectors, "--lease-seconds", "2"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let life = Lifecycle::new(Duration::from_secs(10));
    let service = tokio::spawn(run(config, app.database.clone(), life.clone(), listener));

    wait_until(&app.pool, "seen_at > started_at and stopped_at is null").await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 OK") && answer.contains("\"ok\""),
        "{answer}"
    );

    life.drain();
    service.await.unwrap().unwrap();
    life.finished().await.unwrap();
    wait_until(&app.pool, "stopped_at is not null").await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn the_service_refuses_to_start_with_a_short_session_secret_or_without_connectors() {
    let app = App::start().await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap().to_owned();
    for (flags, expected) in [
        (
            vec!["--connectors-dir", &folder, "--jwt-secret", "short"],
            "SYNCLINE_JWT_SECRET has 5 characters",
        ),
        (
            vec!["--connectors-dir", &folder, "--secret-key", "short"],
            "SYNCLINE_SECRET_KEY has 5 characters",
        ),
        (
            vec!["--connectors-dir", "no-such-folder"],
            "SYNCLINE_CONNECTORS_DIR",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let life = Lifecycle::new(Duration::from_secs(1));
        let error = run(config(&flags), app.database.clone(), life, listener)
            .await
            .unwrap_err();
        assert!(format!("{error:#}").contains(expected), "{error:#}");
    }
}
