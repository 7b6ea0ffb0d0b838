//! The embedded server through its public interface: real servers, killed in real ways.
//!
//! A test that needs an owner to die runs this binary again as a child process, with `OWNER_OF` naming the folder,
//! and kills it with SIGKILL.
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of tests may fail loudly, too"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid, getpgid};
use sqlx::{Connection, PgConnection};
use syncline_postgres::{Embedded, EmbeddedConfig, EmbeddedError, StopMode};
use tempfile::TempDir;

const OWNER_OF: &str = "SYNCLINE_TEST_OWNER_OF";

/// A folder that every account can enter.
fn open_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn config(folder: &Path) -> EmbeddedConfig {
    let mut config = EmbeddedConfig::new(folder.join("postgres"))
        .setting("shared_buffers", "16MB")
        .setting("max_connections", "20");
    config.reachable_dir = folder.join("reachable");
    config.download = false;
    config
}

async fn connect(server: &Embedded) -> PgConnection {
    PgConnection::connect(&server.url("postgres"))
        .await
        .unwrap()
}

async fn write_row(server: &Embedded, value: i32) {
    let mut connection = connect(server).await;
    sqlx::raw_sql("create table if not exists kept (value int)")
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::query("insert into kept values ($1)")
        .bind(value)
        .execute(&mut connection)
        .await
        .unwrap();
}

async fn rows(server: &Embedded) -> Vec<i32> {
    let mut connection = connect(server).await;
    sqlx::query_scalar("select value from kept order by 1")
        .fetch_all(&mut connection)
        .await
        .unwrap()
}

/// Not a test of its own: the owner that other tests kill. Without the variable it has nothing to do.
#[tokio::test]
async fn owner_process() {
    let Some(folder) = std::env::var_os(OWNER_OF) else {
        return;
    };
    let server = Embedded::start(config(Path::new(&folder))).await.unwrap();
    println!("\nowner: {} {}", server.pid(), server.port());
    std::future::pending::<()>().await;
}

fn spawn_owner(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "owner_process", "--nocapture"])
        .env(OWNER_OF, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Process id of the server that a spawned owner has started.
fn await_owner(owner: &mut Child) -> i32 {
    let output = BufReader::new(owner.stdout.take().unwrap());
    for line in output.lines() {
        if let Some(rest) = line.unwrap().strip_prefix("owner: ") {
            return rest.split(' ').next().unwrap().parse().unwrap();
        }
    }
    panic!("the owner ended before its server was there");
}

fn kill_9(process: &mut Child) {
    process.kill().unwrap();
    process.wait().unwrap();
}

#[tokio::test]
async fn data_survives_stops_and_restarts_of_every_kind() {
    let folder = open_folder();
    let mut server = Embedded::start(config(folder.path())).await.unwrap();
    let port = server.port();
    write_row(&server, 1).await;
    for (value, mode) in [
        (2, StopMode::Fast),
        (3, StopMode::Immediate),
        (4, StopMode::Smart),
    ] {
        let before = server.pid();
        server.restart(mode).await.unwrap();
        assert_ne!(server.pid(), before);
        assert_eq!(server.port(), port);
        write_row(&server, value).await;
    }
    server.stop(StopMode::Fast).await.unwrap();

    let server = Embedded::start(config(folder.path())).await.unwrap();
    assert_eq!(rows(&server).await, [1, 2, 3, 4]);
    assert_eq!(
        server.port(),
        port,
        "the port of the last start is taken again"
    );
    server.ensure_database("another one").await.unwrap();
    server.ensure_database("another one").await.unwrap();
    PgConnection::connect(&server.url("another one"))
        .await
        .unwrap();
    server.remove().await.unwrap();
    let left: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(
        left.iter().all(|name| name == "reachable"),
        "left behind: {left:?}"
    );
}

#[tokio::test]
async fn nobody_gets_in_without_the_password_and_the_server_has_its_own_process_group() {
    let folder = open_folder();
    let server = Embedded::start(config(folder.path())).await.unwrap();
    let url = server.url("postgres");
    let (_, rest) = url.split_once("syncline:").unwrap();
    let (password, address) = rest.split_once('@').unwrap();
    let wrong = format!("postgres://syncline:wrong@{address}");
    let refused = PgConnection::connect(&wrong).await.unwrap_err().to_string();
    assert!(
        refused.contains("password authentication failed"),
        "{refused}"
    );
    assert!(!format!("{server:?}").contains(password));

    let mode = fs::metadata(server.folder().join("password"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(
        server
            .socket_dir()
            .join(format!(".s.PGSQL.{}", server.port()))
            .exists()
    );

    let mut connection = connect(&server).await;
    let query = "select current_setting('data_checksums') || ' ' || current_setting('fsync') || ' ' \
                 || pg_encoding_to_char(encoding) from pg_database where datname = 'postgres'";
    let settings: String = sqlx::query_scalar(query)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(settings, "on on UTF8");

    // A Ctrl-C in the terminal reaches the foreground group only.
    assert_ne!(
        getpgid(Some(Pid::from_raw(server.pid()))).unwrap(),
        getpgid(None).unwrap()
    );
    drop(connection);
    server.remove().await.unwrap();
}

#[tokio::test]
async fn a_killed_owners_server_is_adopted_and_other_settings_restart_it() {
    let folder = open_folder();
    let mut owner = spawn_owner(folder.path());
    let pid = await_owner(&mut owner);
    let refused = Embedded::start(config(folder.path())).await.unwrap_err();
    assert!(
        matches!(&refused, EmbeddedError::InUse { owner: holder, .. } if *holder == owner.id().to_string()),
        "{refused}"
    );
    kill_9(&mut owner);

    let mut server = Embedded::start(config(folder.path())).await.unwrap();
    assert_eq!(server.pid(), pid, "the running server is adopted");
    write_row(&server, 7).await;
    server.restart(StopMode::Fast).await.unwrap();
    assert_eq!(rows(&server).await, [7]);
    let before = server.pid();
    server.detach();

    let found = Embedded::adopt(config(folder.path()))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.pid(), before);
    found.detach();

    let other = config(folder.path()).setting("work_mem", "5MB");
    let server = Embedded::start(other).await.unwrap();
    assert_ne!(server.pid(), before);
    let mut connection = connect(&server).await;
    let work_mem: String = sqlx::query_scalar("show work_mem")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(work_mem, "5MB");
    drop(connection);
    server.stop(StopMode::Fast).await.unwrap();
    assert!(
        Embedded::adopt(config(folder.path()))
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_killed_server_with_a_reused_process_number_starts_again() {
    let folder = open_folder();
    let mut server = Embedded::start(config(folder.path())).await.unwrap();
    write_row(&server, 1).await;
    let (pid, data) = (server.pid(), server.folder().join("data"));
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    assert!(server.wait().await.contains("signal: 9"));
    server.detach();

    // A process of the server's own account takes the number over: the case that Postgres itself refuses.
    let mut stranger = Command::new("sleep");
    if geteuid().is_root() {
        use std::os::unix::fs::MetadataExt;
        use std::os::unix::process::CommandExt;
        let owner = fs::metadata(&data).unwrap();
        stranger.uid(owner.uid()).gid(owner.gid());
    }
    let mut stranger = stranger.arg("600").current_dir("/").spawn().unwrap();
    let pid_file = data.join("postmaster.pid");
    let text = fs::read_to_string(&pid_file).unwrap();
    fs::write(
        &pid_file,
        text.replacen(&pid.to_string(), &stranger.id().to_string(), 1),
    )
    .unwrap();

    let server = Embedded::start(config(folder.path())).await.unwrap();
    assert_eq!(rows(&server).await, [1]);
    assert!(
        stranger.try_wait().unwrap().is_none(),
        "the stranger was not touched"
    );
    kill_9(&mut stranger);
    server.remove().await.unwrap();
}

#[tokio::test]
async fn an_owner_killed_during_initdb_leaves_nothing_in_the_way() {
    let folder = open_folder();
    let mut owner = spawn_owner(folder.path());
    let root = folder.path().join("postgres");
    // The side folder is there: initdb is at work.
    while side_folders(&root).is_empty() {
        assert!(owner.try_wait().unwrap().is_none(), "the owner ended early");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    kill_9(&mut owner);
    assert!(
        !root.join("data").exists(),
        "initdb was quicker than the kill"
    );
    let server = Embedded::start(config(folder.path())).await.unwrap();
    write_row(&server, 1).await;
    server.remove().await.unwrap();
}

fn side_folders(root: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(root) else {
        return Vec::new();
    };
    let paths = entries.flatten().map(|entry| entry.path());
    paths
        .filter(|path| path.to_string_lossy().contains("data.new"))
        .collect()
}

#[tokio::test]
async fn a_clone_that_only_root_can_enter_gets_its_database_elsewhere_by_a_link() {
    // Made by this user, for this user only: for root, the server's account cannot pass.
    let clone = tempfile::tempdir().unwrap();
    fs::set_permissions(clone.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let elsewhere = open_folder();
    let mut config = config(clone.path());
    config.reachable_dir = elsewhere.path().to_path_buf();
    let server = Embedded::start(config.clone()).await.unwrap();
    write_row(&server, 1).await;
    assert_eq!(config.data_dir.is_symlink(), geteuid().is_root());
    assert_eq!(server.folder(), config.data_dir.canonicalize().unwrap());
    server.stop(StopMode::Fast).await.unwrap();

    let server = Embedded::start(config).await.unwrap();
    assert_eq!(rows(&server).await, [1]);
    server.remove().await.unwrap();
}

#[tokio::test]
async fn a_failed_start_quotes_the_log_and_leaves_no_process() {
    let folder = open_folder();
    let wrong = config(folder.path()).setting("shared_buffers", "a lot");
    let refused = Embedded::start(wrong).await.unwrap_err().to_string();
    assert!(
        refused.contains("shared_buffers") && refused.contains("postgres.log"),
        "{refused}"
    );

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config(folder.path());
    config.port = Some(taken.local_addr().unwrap().port());
    let refused = Embedded::start(config.clone())
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("Address already in use"), "{refused}");
    drop(taken);
    Embedded::start(config)
        .await
        .unwrap()
        .remove()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_lost_password_is_named() {
    let folder = open_folder();
    let server = Embedded::start(config(folder.path())).await.unwrap();
    let password = server.folder().join("password");
    server.stop(StopMode::Fast).await.unwrap();
    fs::remove_file(&password).unwrap();
    let refused = Embedded::start(config(folder.path())).await.unwrap_err();
    assert!(
        matches!(&refused, EmbeddedError::PasswordLost(path) if *path == password),
        "{refused}"
    );
}

#[tokio::test]
async fn a_database_of_another_version_names_the_version_it_needs() {
    let folder = open_folder();
    let server = Embedded::start(config(folder.path())).await.unwrap();
    let version = server.folder().join("data/PG_VERSION");
    server.stop(StopMode::Fast).await.unwrap();
    fs::write(&version, "14\n").unwrap();
    let refused = Embedded::start(config(folder.path()))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("no Postgres 14 (the version that made"),
        "{refused}"
    );
    assert!(
        refused.contains("needed is 14") && refused.contains("SYNCLINE_POSTGRES_BIN"),
        "{refused}"
    );
}
