//! Health and metrics of roles that serve no API, and the command that asks for it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use clap::Args;
use syncline_shared::db::Database;
use syncline_shared::lifecycle::Lifecycle;
use syncline_shared::telemetry::metrics_text;

use crate::roles::listen;

/// Longest time that a readiness check may take.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// See [`crate::args::Command::Healthcheck`].
#[derive(Debug, Args)]
pub(crate) struct HealthcheckCommand {
    /// Address and port of the process's HTTP.
    #[arg(long, env = "SYNCLINE_LISTEN")]
    listen: SocketAddr,
}

#[derive(Clone)]
struct Health {
    database: Database,
    life: Lifecycle,
}

/// Serves `/healthz` (the process answers), `/readyz` (it takes on work, and the database answers) and `/metrics`, if an address
/// is given.
pub(crate) async fn serve_if_asked(
    address: Option<SocketAddr>,
    database: &Database,
    life: &Lifecycle,
) -> anyhow::Result<()> {
    let Some(address) = address else {
        return Ok(());
    };
    let listener = listen(address).await?;
    tracing::info!("health is served on http://{}", listener.local_addr()?);
    let health = Health {
        database: database.clone(),
        life: life.clone(),
    };
    let router = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(|| async { metrics_text() }))
        .with_state(health);
    let stopping = life.stopping().clone();
    let draining = life.draining().clone();
    life.spawn("health", async move {
        tokio::select! {
            served = axum::serve(listener, router) => Ok(served?),
            // Health is told until the drain has ended or a moment has passed: probes see the drain, not a closed port.
            () = async { draining.cancelled().await; tokio::time::sleep(Duration::from_millis(200)).await } => Ok(()),
            () = stopping.cancelled() => Ok(()),
        }
    });
    Ok(())
}

async fn ready(State(health): State<Health>) -> (StatusCode, &'static str) {
    if health.life.draining().is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining");
    }
    let asked = async {
        let mut db = health.database.session().await?;
        syncline_shared::db::now(&mut db).await
    };
    match tokio::time::timeout(READY_WITHIN, asked).await {
        Ok(Ok(_)) => (StatusCode::OK, "ready"),
        _ => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the database does not answer",
        ),
    }
}

/// Fails unless the process answers that it is healthy.
pub(crate) async fn check(command: &HealthcheckCommand) -> anyhow::Result<()> {
    let mut address = command.listen;
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let url = format!("http://{address}/healthz");
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(3))
        .build()?;
    let answer = client
        .get(&url)
        .send()
        .await
        .with_context(|| format!("{url} does not answer"))?;
    if !answer.status().is_success() {
        bail!("{url} answers {}", answer.status());
    }
    Ok(())
}
