//! Programs of the system that the tests need, installed by apt where that is allowed.

use std::path::Path;

use anyhow::bail;

use crate::command::{Run, root};
use crate::database;

struct Requirement {
    /// Debian's package.
    package: &'static str,
    /// What people on other systems look for.
    name: &'static str,
    /// Do the tests of this checkout need it?
    is_needed: fn() -> bool,
    is_there: fn() -> bool,
    /// The service that the package would start, which the tests do not need: they run its program themselves.
    service: Option<&'static str>,
    /// Is there another way, should it be missing?
    fallback: Option<&'static str>,
}

const REQUIREMENTS: [Requirement; 4] = [
    Requirement {
        package: "postgresql",
        name: "the server programs of PostgreSQL 15 or newer",
        is_needed: || true,
        is_there: database::is_installed,
        service: None,
        fallback: Some("the tests will try to download it"),
    },
    Requirement {
        package: "pgbouncer",
        name: "PgBouncer",
        is_needed: || true,
        // Debian puts it where only root looks.
        is_there: || {
            let names = ["pgbouncer", "/usr/sbin/pgbouncer"];
            names
                .iter()
                .any(|name| Run::program(name).args(&["--version"]).succeeds())
        },
        service: Some("pgbouncer"),
        fallback: None,
    },
    Requirement {
        package: "libfaketime",
        name: "libfaketime, which sets a process's wall clock wrong",
        is_needed: || true,
        // Debian puts it into a folder of the machine's architecture.
        is_there: || {
            let folders = std::fs::read_dir("/usr/lib").into_iter().flatten();
            folders
                .flatten()
                .any(|folder| folder.path().join("faketime/libfaketime.so.1").exists())
        },
        service: None,
        fallback: None,
    },
    Requirement {
        package: "chromium",
        name: "Chromium or Chrome",
        is_needed: || root().join("tests/browser").is_dir(),
        is_there: || {
            let names = ["chromium", "chromium-browser", "google-chrome"];
            names
                .iter()
                .any(|name| Run::program(name).args(&["--version"]).succeeds())
        },
        service: None,
        fallback: None,
    },
];

/// Installs what is missing, or says exactly what a person has to install.
pub(crate) fn provide() -> anyhow::Result<()> {
    for requirement in &REQUIREMENTS {
        if !(requirement.is_needed)() || (requirement.is_there)() {
            continue;
        }
        let Requirement {
            package,
            name,
            service,
            ..
        } = requirement;
        let outcome = install(package, *service);
        if outcome.is_ok() && (requirement.is_there)() {
            continue;
        }
        let why = match outcome {
            Ok(()) => format!("the package {package} of this system does not bring it"),
            Err(error) => format!("{error:#}"),
        };
        match requirement.fallback {
            Some(fallback) => println!("{name} is missing ({why}); {fallback}"),
            None => bail!(
                "the tests need {name}, which could not be installed: {why}; install it by hand \
                 (Debian, Ubuntu: sudo apt-get install {package}) and start again"
            ),
        }
    }
    Ok(())
}

fn install(package: &str, service: Option<&str>) -> anyhow::Result<()> {
    let id = Run::program("id").args(&["-u"]).output()?;
    let is_root = id == "0";
    if !Run::program("apt-get").args(&["--version"]).succeeds() {
        bail!("this system has no apt-get");
    }
    if !is_root && !Run::program("sudo").args(&["-n", "true"]).succeeds() {
        bail!("apt-get needs root, and sudo asks for a password");
    }
    println!("installing the package {package}");
    let as_root = |words: &[&str]| {
        let sudo: &[&str] = if is_root { &[] } else { &["sudo", "-n"] };
        let all = [sudo, &["env", "DEBIAN_FRONTEND=noninteractive"], words].concat();
        let (program, arguments) = all
            .split_first()
            .map_or(("true", &[][..]), |(p, a)| (*p, a));
        Run::program(program).args(arguments).run()
    };
    // A list that cannot be brought up to date may still be good enough.
    if let Err(error) = as_root(&["apt-get", "-qq", "update"]) {
        println!("{error:#}");
    }
    // At runlevel 1 a package's script starts no service; systemd does not ask for it, so there it is stopped again.
    let mut install = vec!["apt-get", "-qq", "install", "--yes"];
    if service.is_some() {
        install.insert(0, "RUNLEVEL=1");
    }
    as_root(&[&install[..], &["--no-install-recommends", package]].concat())?;
    match service {
        Some(service) if Path::new("/run/systemd/system").is_dir() => {
            as_root(&["systemctl", "disable", "--quiet", "--now", service])
        }
        _ => Ok(()),
    }
}
