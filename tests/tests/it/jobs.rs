//! Streams whose records a platform prepares as a job: a run that waits for one holds no slot, and asks for the same one when it comes
//! back, on whichever worker.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;
use syncline_tests::database::rows;
use syncline_tests::{Cluster, program};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A platform that takes orders for reports, and is done with them when it is told so.
struct Reports {
    address: String,
    calls: Arc<Mutex<Vec<String>>>,
    done: Arc<AtomicBool>,
}

impl Reports {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let calls: Arc<Mutex<Vec<String>>> = Arc::default();
        let done = Arc::new(AtomicBool::new(false));
        let (log, is_done, ordered) = (calls.clone(), done.clone(), AtomicUsize::new(0));
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = vec![0; 8192];
                let length = socket.read(&mut head).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                let call: Vec<&str> = head.split(' ').take(2).collect();
                let call = call.join(" ");
                let body = match call.as_str() {
                    "POST /reports" => {
                        let id = ordered.fetch_add(1, Ordering::SeqCst) + 1;
                        json!({"id": id})
                    }
                    call if call.ends_with("/rows") => {
                        json!([{"id": "a", "report": 1}, {"id": "b", "report": 1}])
                    }
                    _ if is_done.load(Ordering::SeqCst) => json!({"status": "DONE"}),
                    _ => json!({"status": "RUNNING"}),
                };
                log.lock().unwrap().push(call);
                let body = body.to_string();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        Self {
            address,
            calls,
            done,
        }
    }
}

#[tokio::test]
async fn a_run_that_waits_for_a_job_holds_no_slot_and_another_worker_asks_for_the_same_job() {
    let reports = Reports::start().await;
    let mut cluster = Cluster::builder()
        .workers(2)
        .connectors(program::checkout().join("tests/connectors"))
        .start()
        .await;
    let business = json!({"key": "acme"});
    cluster.api.post("/businesses", business).await.expect(201);
    let connection = json!({
        "key": "acme-reports",
        "business": "acme",
        "platform": "reports",
        "config": {},
        "base_url": reports.address,
    });
    let made = cluster.api.post("/connections", connection).await;
    let connection = made.expect(201)["id"].as_str().unwrap().to_owned();
    let run = cluster.api.start_run("acme-reports").await;
    let waiting = |run: &serde_json::Value| run["status"] == "waiting";
    let found = cluster
        .api
        .wait_for_run(&run, "the run to wait for the platform's job", waiting)
        .await;
    assert!(found.to_string().contains("works at a job"), "{found:#}");
    let (first, _) = cluster.worker_of(&found);
    cluster.process(&first).kill_9();
    reports.done.store(true, Ordering::SeqCst);

    let ended = cluster.api.wait_for_success(&run).await;
    assert_ne!(cluster.worker_of(&ended).0, first);
    assert_eq!(ended["failures"], json!(0), "{ended:#}");
    let found = rows(&cluster.pool, "reports_rows", "id", &connection).await;
    assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "b"]);
    let calls = reports.calls.lock().unwrap().clone();
    let count = |call: &str| calls.iter().filter(|made| *made == call).count();
    assert_eq!(
        (count("POST /reports"), count("GET /reports/1/rows")),
        (1, 1),
        "{calls:?}"
    );
    assert!(count("GET /reports/1") >= 2, "{calls:?}");
}
