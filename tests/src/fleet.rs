//! Connections of several businesses, and the check at the end of a test that everything came right for each of them.

use std::time::Duration;

use serde_json::json;

use crate::api_client::has_ended;
use crate::database::{compare_products, rows};
use crate::story::{self, RunStory};
use crate::{Account, Cluster};

/// One connection.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its key.
    pub key: String,
    /// Its id.
    pub id: String,
}

/// All connections of a cluster, each with an account of its own. The source does not change while they are synced.
#[derive(Debug)]
pub struct Fleet {
    /// Keys of the businesses.
    pub businesses: Vec<String>,
    /// The connections.
    pub members: Vec<Member>,
}

impl Fleet {
    /// Makes so many businesses with so many connections each; the cluster must have an account for each connection.
    pub async fn connect(cluster: &Cluster, businesses: u32, each: u32) -> Self {
        let mut fleet = Self {
            businesses: Vec::new(),
            members: Vec::new(),
        };
        let mut account = 0;
        for number in 1..=businesses {
            let business = format!("business-{number}");
            let body = json!({"key": business, "name": business});
            cluster.api.post("/businesses", body).await.expect(201);
            for shop in 1..=each {
                account += 1;
                let key = format!("{business}-shop-{shop}");
                let account = Account::number(account);
                let id = cluster.connect_account(&key, &business, &account).await;
                fleet.members.push(Member { key, id });
            }
            fleet.businesses.push(business);
        }
        fleet
    }

    /// Starts a run of each connection, waits until each has written some checkpoints, and answers their ids.
    pub async fn start_runs(&self, cluster: &Cluster) -> Vec<String> {
        let mut runs = Vec::new();
        for member in &self.members {
            runs.push(cluster.api.start_run(&member.key).await);
        }
        for run in &runs {
            let in_the_middle = |run: &serde_json::Value| {
                run["status"] == "running" && run["checkpoint_sequence"].as_u64() >= Some(2)
            };
            cluster
                .api
                .wait_for_run(run, "the middle of all runs", in_the_middle)
                .await;
        }
        runs
    }

    /// True if no run of these has ended.
    pub async fn are_under_way(cluster: &Cluster, runs: &[String]) -> bool {
        for run in runs {
            if has_ended(&cluster.api.run(run).await) {
                return false;
            }
        }
        true
    }

    /// Waits until all runs have ended, and checks what must hold whatever has happened: every run succeeded, no two attempts
    /// overlap, every connection's rows are the source's and were inserted once, and no process ended, panicked or gave a secret
    /// away. Answers the runs and every breach.
    pub async fn judge(
        &self,
        cluster: &mut Cluster,
        longest: Duration,
    ) -> (Vec<RunStory>, Vec<String>) {
        story::wait_until_all_have_ended(cluster, longest).await;
        let stories = story::read_all(cluster).await;
        let truth = cluster.simulator.truth().await;
        let mut problems = story::not_succeeded(&stories);
        problems.extend(story::overlaps(&stories));
        problems.extend(story::miscounts(&stories, truth.len() as u64));
        for member in &self.members {
            let found = rows(&cluster.pool, "g2a_products", "id", &member.id).await;
            if let Err(difference) = compare_products(&found, &truth) {
                problems.push(format!("rows of {}: {difference}", member.key));
            }
        }
        problems.extend(cluster.problems());
        (stories, problems)
    }
}
