//! The API as programs use it: answers, pages, filters, and refusals that name the field and leave nothing behind.

use reqwest::Method;
use serde_json::{Value, json};
use syncline_tests::database::count;
use syncline_tests::{Cluster, Platform};

/// A refusal must hold this problem.
#[track_caller]
fn assert_names(problem: &Value, pointer: &str, words: &[&str]) {
    let errors = problem["errors"].as_array().cloned().unwrap_or_default();
    let Some(error) = errors.iter().find(|error| error["pointer"] == pointer) else {
        panic!("nothing is said of {pointer}: {problem:#}");
    };
    let detail = error["detail"].as_str().unwrap_or_default();
    for word in words {
        assert!(
            detail.contains(word),
            "{pointer} is refused without {word:?}: {detail}"
        );
    }
}

#[tokio::test]
async fn a_run_that_is_waited_for_answers_its_counts_and_one_page_reads_just_that_page() {
    let cluster = Cluster::builder().products(390).start().await;
    cluster.connect("acme-g2a").await;
    let whole = cluster
        .api
        .post("/runs?wait=30", json!({"connection": "acme-g2a"}))
        .await;
    let run = whole.expect(200);
    let location = whole.header("location").to_owned();
    assert_eq!(
        location,
        format!("/api/v1/runs/{}", run["id"].as_str().unwrap())
    );
    assert_eq!(
        (&run["status"], &run["kind"]),
        (&json!("succeeded"), &json!("incremental")),
        "{run:#}"
    );
    let progress = &run["progress"];
    assert_eq!(
        (&progress["pages"], &progress["inserted"]),
        (&json!(20), &json!(390)),
        "{run:#}"
    );
    assert_eq!(run["trigger"]["requested_by"], "tests", "{run:#}");

    cluster.simulator.forget_calls().await;
    let page = json!({"connection": "acme-g2a", "page": 7, "wait": 30});
    let run = cluster.api.post("/runs", page).await.expect(200);
    let progress = &run["progress"];
    assert_eq!(
        (&run["kind"], &run["page"]),
        (&json!("page"), &json!(7)),
        "{run:#}"
    );
    assert_eq!(
        (&progress["pages"], &progress["unchanged"]),
        (&json!(1), &json!(20)),
        "{run:#}"
    );
    assert_eq!(
        progress["deleted"],
        json!(0),
        "a page is no complete read: {run:#}"
    );
    let calls = cluster.simulator.referee(Platform::CLIENT_ID, 1_000).await;
    assert_eq!(
        (&calls["total"], &calls["timeline"][0]["page"]),
        (&json!(1), &json!(7)),
        "{calls}"
    );

    // One that is due later is not waited for in vain.
    let later = json!({"connection": "acme-g2a", "delay_seconds": 3600, "wait": 1});
    let run = cluster.api.post("/runs", later).await.expect(202);
    assert_eq!(
        (&run["status"], &run["why"]["code"]),
        (&json!("waiting"), &json!("delay")),
        "{run:#}"
    );
    assert!(run["why"]["until"].is_string(), "{run:#}");
}

#[tokio::test]
async fn runs_are_listed_newest_first_by_every_filter_and_in_pages_that_fit_together() {
    let cluster = Cluster::builder().products(15).start().await;
    for key in ["one", "two"] {
        cluster.connect(key).await;
    }
    let mut started = Vec::new();
    for number in 0..9 {
        let connection = if number % 3 == 0 { "two" } else { "one" };
        let body = json!({"connection": connection, "wait": 30});
        let run = cluster.api.post("/runs", body).await.expect(200);
        started.push((
            run["id"].as_str().unwrap().to_owned(),
            connection,
            run["created_at"].clone(),
        ));
    }
    let newest_first = |connection: &str| -> Vec<String> {
        let chosen = started
            .iter()
            .rev()
            .filter(|(_, of, _)| connection.is_empty() || *of == connection);
        chosen.map(|(id, ..)| id.clone()).collect()
    };
    let listed = async |query: &str| -> Vec<String> {
        let runs = cluster.api.list(&format!("/runs?{query}")).await;
        runs.iter()
            .map(|run| run["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(listed("").await, newest_first(""));
    assert_eq!(
        listed("platform=g2a&status=succeeded,failed").await,
        newest_first("")
    );
    assert_eq!(listed("connection=one").await, newest_first("one"));
    assert_eq!(listed("business=two-business").await, newest_first("two"));
    assert_eq!(listed("status=failed,queued").await, Vec::<String>::new());
    assert_eq!(listed("platform=meta").await, Vec::<String>::new());
    let since = started[6].2.as_str().unwrap();
    assert_eq!(
        listed(&format!("created_after={since}")).await,
        newest_first("")[..3]
    );
    assert_eq!(
        listed(&format!("created_before={since}")).await,
        newest_first("")[3..]
    );

    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = cluster
            .api
            .get(&format!("/runs?connection=one&limit=4{cursor}"))
            .await
            .expect(200);
        let ids = page["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|run| run["id"].as_str().unwrap().to_owned());
        pages.push(ids.collect::<Vec<_>>());
        assert_eq!(
            page["has_more"].as_bool(),
            Some(page["next_cursor"].is_string()),
            "{page}"
        );
        let Some(next) = page["next_cursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [4, 2]);
    assert_eq!(pages.concat(), newest_first("one"));
    let other = cluster
        .api
        .get(&format!("/runs?connection=two&limit=4{cursor}"))
        .await;
    assert_names(&other.problem(400), "cursor", &["another filter"]);
}

#[tokio::test]
async fn nobody_gets_in_without_a_token_and_a_viewer_may_only_look() {
    let cluster = Cluster::builder().start().await;
    let nobody = cluster.api.with_token(None);
    let stranger = cluster
        .api
        .with_token(Some("syn_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
    for path in [
        "/runs",
        "/schedules",
        "/connections",
        "/businesses",
        "/scheduler/status",
        "/tokens",
    ] {
        for client in [&nobody, &stranger] {
            let refused = client.get(path).await;
            refused.problem(401);
            assert!(
                refused.header("www-authenticate").starts_with("Bearer"),
                "{path}"
            );
        }
    }
    nobody
        .post("/runs", json!({"connection": "acme-g2a"}))
        .await
        .problem(401);
    for path in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/docs",
        "/api/v1/openapi.json",
    ] {
        let answer = nobody.send(Method::GET, path, None).await;
        assert!(
            [200, 303, 307, 308].contains(&answer.status),
            "{path} answers {}",
            answer.status
        );
    }
    let openapi = nobody
        .send(Method::GET, "/api/v1/openapi.json", None)
        .await
        .expect(200);
    assert!(
        openapi["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1"))
    );

    let made = cluster.run(&["token", "create", "looker", "--role", "viewer"]);
    let token = String::from_utf8(made.stdout).unwrap();
    let viewer = cluster.api.with_token(Some(token.trim()));
    viewer.get("/runs").await.expect(200);
    viewer
        .post("/businesses", json!({"key": "mine"}))
        .await
        .problem(403);
    viewer.get("/tokens").await.problem(403);
    assert!(cluster.run(&["token", "delete", "looker"]).status.success());
    viewer.get("/runs").await.problem(401);
}

#[tokio::test]
async fn what_cannot_be_accepted_is_refused_by_field_value_and_what_is_allowed() {
    let cluster = Cluster::builder().start().await;
    cluster.connect("acme-g2a").await;
    connections_are_checked(&cluster).await;
    schedules_are_checked(&cluster).await;
    runs_are_checked(&cluster).await;
    for (query, expected) in [
        ("select count(*) from syncline.connection", 1),
        ("select count(*) from syncline.business", 1),
        ("select count(*) from syncline.schedule", 0),
        ("select count(*) from syncline.runs", 0),
    ] {
        assert_eq!(count(&cluster.pool, query).await, expected, "{query}");
    }
}

async fn connections_are_checked(cluster: &Cluster) {
    let connection = |change: &dyn Fn(&mut Value)| {
        let mut body = cluster.connection("another", "acme-g2a-business", &json!({}));
        change(&mut body);
        cluster.api.post("/connections", body)
    };
    let problem = connection(&|body| body["platform"] = json!("myspace"))
        .await
        .problem(422);
    assert_names(&problem, "/platform", &["myspace", "g2a"]);

    let refused = connection(&|body| {
        let config = body["config"].as_object_mut().unwrap();
        config.remove("client_secret");
        body["limits"] = json!({"nonsense": {"limit": 1, "per_seconds": 1}});
        body["streams"] = json!(["products", "orders"]);
    });
    let problem = refused.await.problem(422);
    assert!(
        problem["errors"].to_string().contains("client_secret"),
        "{problem:#}"
    );
    assert_names(&problem, "/limits/nonsense", &["nonsense", "requests"]);
    assert_names(&problem, "/streams/1", &["orders", "products"]);

    let problem = connection(&|body| body["base_url"] = json!("ftp://somewhere"))
        .await
        .problem(422);
    assert_names(&problem, "/base_url", &["ftp", "https"]);
    let problem = connection(&|body| body["key"] = json!("acme-g2a"))
        .await
        .problem(409);
    assert_names(&problem, "/key", &["acme-g2a"]);
    let nobody = connection(&|body| body["business"] = json!("nobody")).await;
    assert!(
        [404, 422].contains(&nobody.status) && nobody.text.contains("nobody"),
        "{nobody:?}"
    );
    let taken = json!({"key": "acme-g2a-business"});
    cluster.api.post("/businesses", taken).await.problem(409);
}

async fn schedules_are_checked(cluster: &Cluster) {
    for (fields, pointer, word) in [
        (json!({"cron": "61 * * * *"}), "/cron", "61 * * * *"),
        (
            json!({"cron": "0 2 * * *", "zone": "Mars/Olympus"}),
            "/zone",
            "Mars/Olympus",
        ),
        (json!({"every_seconds": 0}), "/every_seconds", "0"),
    ] {
        let mut body = json!({"key": "bad", "target": {"connection": "acme-g2a"}});
        body.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        let problem = cluster.api.post("/schedules", body).await.problem(422);
        assert_names(&problem, pointer, &[word]);
    }
}

async fn runs_are_checked(cluster: &Cluster) {
    let api = &cluster.api;
    let misspelt = json!({"connection": "acme-g2a", "wiat": 3});
    assert_names(
        &api.post("/runs", misspelt).await.problem(422),
        "/wiat",
        &[],
    );
    let unknown = json!({"connection": "acme-g2a", "streams": ["orders"]});
    let problem = api.post("/runs", unknown).await.problem(422);
    assert_names(&problem, "/streams/0", &["orders", "products"]);
    api.post("/runs", json!({"connection": "nobody"}))
        .await
        .problem(404);
    api.get("/runs/01900000-0000-7000-8000-000000000000")
        .await
        .problem(404);
    api.get("/runs/nonsense").await.problem(404);

    let problem = api.get("/runs?colour=blue").await.problem(400);
    assert_names(&problem, "colour", &[]);
    let problem = api.get("/runs?status=asleep").await.problem(400);
    assert_names(&problem, "status", &["asleep", "queued"]);
    api.send(Method::DELETE, "/api/v1/runs", None)
        .await
        .problem(405);
    api.send(Method::GET, "/api/v1/nothing", None)
        .await
        .problem(404);
}
