//! Steady load: schedules on every business, and people who start runs by hand and do not mind being refused.

use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::{Cluster, Fleet};

/// Between two requests of people.
const EVERY: Duration = Duration::from_millis(700);
/// After this time they try again.
const PATIENCE: Duration = Duration::from_secs(5);
const SCHEDULE_SECONDS: u32 = 4;

/// Load that goes on until it is stopped.
#[derive(Debug)]
pub struct Load {
    stop: watch::Sender<bool>,
    people: JoinHandle<usize>,
}

impl Load {
    /// Begins.
    pub async fn start(cluster: &Cluster, fleet: &Fleet) -> Self {
        for business in &fleet.businesses {
            let schedule = json!({
                "key": format!("often-{business}"),
                "every_seconds": SCHEDULE_SECONDS,
                "target": {"business": business},
            });
            cluster.api.post("/schedules", schedule).await.expect(201);
        }
        let (stop, stopped) = watch::channel(false);
        let api = cluster.api.clone();
        let keys: Vec<String> = fleet.members.iter().map(|one| one.key.clone()).collect();
        let people = tokio::spawn(async move {
            let mut accepted = 0;
            for key in keys.iter().cycle() {
                if *stopped.borrow() {
                    break;
                }
                // Whoever gets no answer asks again later; there may be a run then or not.
                let asking = api.post("/runs", json!({"connection": key}));
                if let Ok(answer) = timeout(PATIENCE, asking).await {
                    accepted += usize::from(answer.status == 202);
                }
                sleep(EVERY).await;
            }
            accepted
        });
        Self { stop, people }
    }

    /// Ends the load: no further run is made. Answers how many runs people were promised.
    pub async fn stop(self, cluster: &Cluster, fleet: &Fleet) -> usize {
        let _ = self.stop.send(true);
        let accepted = self.people.await.unwrap();
        let mut document = "schedules:\n".to_owned();
        for business in &fleet.businesses {
            document.push_str(&format!(
                "  - {{key: often-{business}, every_seconds: {SCHEDULE_SECONDS}, target: {{business: {business}}}, \
                 enabled: false}}\n"
            ));
        }
        let file = cluster.write("stop.yaml", &document);
        let applied = cluster.run(&["apply", "-f", &file]);
        assert!(applied.status.success(), "{applied:?}");
        accepted
    }
}
