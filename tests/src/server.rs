//! The Postgres of a cluster: a database on the server that all tests share, or a server of its own that may come to harm.

use std::time::Duration;

use syncline_postgres::StopMode;
use syncline_postgres::testing::{self, PrivateServer, TestDatabase};
use tokio::time::{Instant, sleep};

use crate::program;

/// The database's name on a private server.
const DATABASE: &str = "tests";

/// Where a cluster's database is.
#[derive(Debug)]
pub(crate) enum ServerOfCluster {
    Shared(TestDatabase),
    Private(PrivateDatabase),
}

impl ServerOfCluster {
    /// A database; on a private server, if settings are given for one, and else migrated unless it is to be empty.
    pub(crate) async fn start(private: Option<&[(String, String)]>, empty: bool) -> Self {
        if let Some(settings) = private {
            return Self::Private(PrivateDatabase::start(settings).await);
        }
        let database = if empty {
            testing::empty_database().await
        } else {
            testing::database(&program::checkout().join("migrations")).await
        };
        Self::Shared(database.unwrap())
    }

    /// The database's address.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Shared(database) => database.url(),
            Self::Private(database) => database.server.server().url(DATABASE),
        }
    }

    /// The same address on another port.
    pub(crate) fn url_at(&self, port: u16) -> String {
        let (here, there) = (format!(":{}/", self.port()), format!(":{port}/"));
        self.url().replacen(&here, &there, 1)
    }

    /// The server's port.
    pub(crate) fn port(&self) -> u16 {
        let url = self.url();
        let port = url.rsplit_once('@').and_then(|(_, rest)| {
            let (_, rest) = rest.split_once(':')?;
            rest.split('/').next()?.parse().ok()
        });
        port.unwrap_or_else(|| panic!("the database's address has no port"))
    }

    /// The private server.
    pub(crate) fn private(&mut self) -> &mut PrivateDatabase {
        match self {
            Self::Private(database) => database,
            Self::Shared(_) => panic!("the cluster's server is shared with other tests"),
        }
    }
}

/// A server that belongs to one cluster.
#[derive(Debug)]
pub struct PrivateDatabase {
    server: Box<PrivateServer>,
}

impl PrivateDatabase {
    async fn start(settings: &[(String, String)]) -> Self {
        let settings: Vec<(&str, &str)> = settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let server = PrivateServer::start(&settings).await.unwrap();
        server.server().ensure_database(DATABASE).await.unwrap();
        Self {
            server: Box::new(server),
        }
    }

    /// Restarts the server in the given way.
    pub async fn restart(&mut self, mode: StopMode) {
        self.server.server_mut().restart(mode).await.unwrap();
    }

    /// Takes the server away for a time, by a fast stop. Answers for how long it was away, its stop and start included.
    pub async fn be_away_for(&mut self, time: Duration) -> Duration {
        let began = Instant::now();
        self.server.stop(StopMode::Fast).await.unwrap();
        sleep(time.saturating_sub(began.elapsed())).await;
        self.server.start_again().await.unwrap();
        began.elapsed()
    }
}
