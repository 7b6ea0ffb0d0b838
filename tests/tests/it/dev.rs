//! `syncline dev` as a person uses it: start, look, Ctrl-C, start again; also from a folder that only root can enter.

use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::unistd::geteuid;
use serde_json::{Value, json};
use syncline_tests::api_client::has_ended;
use syncline_tests::cluster::bare_command;
use syncline_tests::database::{assert_products_equal, rows};
use syncline_tests::wait::{Look, until};
use syncline_tests::{Dev, program};
use tempfile::TempDir;

const PRODUCTS: u32 = 15_420;

/// A folder with these rights.
fn folder(mode: u32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
    folder
}

/// The demo's first run, as soon as there is one.
async fn first_run(dev: &Dev) -> String {
    let api = dev.api();
    let run = until("the demo's first run", async || {
        let runs = api.list("/runs?connection=demo-g2a").await;
        Look::some(runs.into_iter().next_back(), "no run")
    })
    .await;
    run["id"].as_str().unwrap().to_owned()
}

/// Ctrl-C: the process is gone, and so is its Postgres.
async fn stop(dev: &mut Dev) {
    let pid = dev.postgres_pid().unwrap();
    dev.process.interrupt().await;
    assert_eq!(dev.postgres_pid(), None, "Postgres ({pid}) is still there");
    let address = dev.greeting.database.split('@').nth(1).unwrap();
    let address = address.split(['/', '?']).next().unwrap();
    assert!(
        TcpStream::connect(address).is_err(),
        "somebody still serves {address}"
    );
}

/// A second one on the same folder is refused; commands beside the first one find its database.
fn neighbours_find_it(dev: &Dev, data: &Path) {
    let beside = |arguments: &[&str]| {
        let mut command = bare_command();
        command
            .args(arguments)
            .env("SYNCLINE_DATA_DIR", data)
            .current_dir(program::checkout());
        command.output().unwrap()
    };
    let second = beside(&["dev", "--listen", "127.0.0.1:0"]);
    let message = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{message}");
    assert!(
        message.contains("another syncline dev") && message.contains("--data-dir"),
        "{message}"
    );
    let tokens = beside(&["token", "list"]);
    let listed = String::from_utf8_lossy(&tokens.stdout).into_owned();
    assert!(
        listed.contains("dev\tadmin"),
        "{listed}{}",
        String::from_utf8_lossy(&tokens.stderr)
    );
    assert!(!listed.contains(&dev.greeting.token), "{listed}");
}

#[tokio::test]
async fn dev_syncs_the_demo_stops_with_ctrl_c_and_goes_on_where_it_ended() {
    let (home, logs) = (folder(0o755), folder(0o755));
    let data = home.path().join("clone/.syncline");
    let mut dev = Dev::start(&data, logs.path(), "dev-1").await;
    let first_token = dev.greeting.token.clone();
    let api = dev.api();
    let credentials = json!({"name": dev.greeting.user, "password": dev.greeting.password});
    let session = api
        .with_token(None)
        .post("/auth/sign-in", credentials)
        .await
        .expect(200);
    let signed_in = api.with_token(session["token"].as_str());
    assert_eq!(signed_in.get("/auth/me").await.expect(200)["role"], "admin");
    let wrong = json!({"name": dev.greeting.user, "password": "wrong"});
    api.with_token(None)
        .post("/auth/sign-in", wrong)
        .await
        .problem(401);
    neighbours_find_it(&dev, &data);

    let id = first_run(&dev).await;
    // Waits a minute at the longest, which is what is promised.
    let run = api.wait_for_success(&id).await;
    assert_eq!(run["progress"]["inserted"], json!(PRODUCTS), "{run:#}");
    let connection = run["connection"]["id"].as_str().unwrap().to_owned();
    let before = rows(&dev.pool(), "g2a_products", "id", &connection).await;
    assert_products_equal(&before, &dev.simulator().truth().await);
    stop(&mut dev).await;
    drop(dev);

    let mut dev = Dev::start(&data, logs.path(), "dev-2").await;
    assert_eq!(dev.greeting.token, first_token);
    assert_eq!(dev.api().run(&id).await["progress"], run["progress"]);
    assert_eq!(
        rows(&dev.pool(), "g2a_products", "id", &connection).await,
        before
    );
    // The connection follows the simulator, wherever it listens now.
    let page = json!({"connection": "demo-g2a", "page": 3, "wait": 30});
    let page = dev.api().post("/runs", page).await.expect(200);
    assert_eq!(page["progress"]["unchanged"], json!(20), "{page:#}");
    stop(&mut dev).await;
}

#[tokio::test]
async fn dev_survives_kill_9_also_where_only_root_can_enter() {
    // Postgres refuses to run as root, and another account cannot enter this folder.
    let (home, logs) = (folder(0o700), folder(0o755));
    let data = home.path().join("clone/.syncline");
    let mut dev = Dev::start(&data, logs.path(), "dev-1").await;
    let elsewhere = !dev
        .postgres_folder()
        .starts_with(home.path().canonicalize().unwrap());
    assert_eq!(
        elsewhere,
        geteuid().is_root(),
        "{}",
        dev.postgres_folder().display()
    );
    let id = first_run(&dev).await;
    let in_the_middle = |run: &Value| run["checkpoint_sequence"].as_u64() >= Some(20);
    dev.api()
        .wait_for_run(&id, "the middle of the run", in_the_middle)
        .await;
    let token = dev.greeting.token.clone();
    dev.process.kill_9();
    drop(dev);

    let mut dev = Dev::start(&data, logs.path(), "dev-2").await;
    assert_eq!(dev.greeting.token, token);
    let run = dev
        .api()
        .wait_for_run(&id, "the run's end", has_ended)
        .await;
    assert_eq!(run["status"], "succeeded", "{run:#}");
    assert_eq!(run["attempts"][0]["outcome"], "lost", "{run:#}");
    assert_eq!(run["progress"]["inserted"], json!(PRODUCTS), "{run:#}");
    let connection = run["connection"]["id"].as_str().unwrap().to_owned();
    let found = rows(&dev.pool(), "g2a_products", "id", &connection).await;
    assert_products_equal(&found, &dev.simulator().truth().await);
    let postgres = dev.postgres_folder();
    stop(&mut dev).await;
    // What lies outside the home is not deleted with it.
    fs::remove_dir_all(postgres).unwrap();
}
