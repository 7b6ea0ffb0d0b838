//! The account that runs Postgres: the caller's own, or an unprivileged one when the caller is root.
//!
//! Postgres refuses to run as root. The account is then, in this order, the owner of the existing data folder,
//! the user `postgres`, the user `nobody`. Whether an account can use a folder is asked by trying, under that
//! account: mode bits alone do not tell (access lists, mounts).

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::{User, geteuid};

use crate::EmbeddedError;

/// Who runs the server's programs.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    name: String,
    /// User and group to change to; `None` when the caller's own account is kept.
    switch_to: Option<(u32, u32)>,
}

impl Account {
    /// The account for a data folder that may or may not exist yet.
    pub(crate) fn for_folder(folder: &Path) -> Result<Self, EmbeddedError> {
        let caller = geteuid();
        if !caller.is_root() {
            return Ok(Self {
                name: format!("uid {caller}"),
                switch_to: None,
            });
        }
        if let Ok(metadata) = fs::metadata(folder)
            && metadata.uid() != 0
        {
            let name = format!("uid {}", metadata.uid());
            return Ok(Self {
                name,
                switch_to: Some((metadata.uid(), metadata.gid())),
            });
        }
        for name in ["postgres", "nobody"] {
            if let Ok(Some(user)) = User::from_name(name) {
                let switch_to = Some((user.uid.as_raw(), user.gid.as_raw()));
                return Ok(Self {
                    name: name.to_owned(),
                    switch_to,
                });
            }
        }
        Err(EmbeddedError::NoAccount)
    }

    /// Name or number, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run under this account, away from the caller's current folder (which the account may
    /// not be able to enter), and deaf to the caller's `PG*` variables.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        if let Some((uid, gid)) = self.switch_to {
            // The standard library also drops root's supplementary groups when it changes the user.
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Hands a file or folder to the account.
    pub(crate) fn own(&self, path: &Path) -> Result<(), EmbeddedError> {
        let Some((uid, gid)) = self.switch_to else {
            return Ok(());
        };
        chown(path, Some(uid), Some(gid)).map_err(EmbeddedError::io(
            "hand over to the server's account:",
            path,
        ))
    }

    /// Can the account enter the folder and write there?
    pub(crate) fn can_use(&self, folder: &Path) -> bool {
        let mut probe = self.command(Path::new("/bin/sh"));
        probe
            .args(["-c", "cd -- \"$1\" && test -w .", "sh"])
            .arg(folder);
        probe.stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_folder_behind_a_closed_door_cannot_be_used() {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("inner");
        fs::create_dir(&inner).unwrap();
        fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let account = Account::for_folder(&inner).unwrap();
        account.own(&inner).unwrap();
        assert!(account.can_use(&inner));
        fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(account.can_use(&inner), account.switch_to.is_none());
        assert!(!account.can_use(Path::new("/no/such/folder")));
    }

    #[test]
    fn root_runs_the_server_as_the_owner_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        if geteuid().is_root() {
            chown(folder.path(), Some(4711), Some(4712)).unwrap();
            let account = Account::for_folder(folder.path()).unwrap();
            assert_eq!(account.switch_to, Some((4711, 4712)));
        } else {
            assert_eq!(Account::for_folder(folder.path()).unwrap().switch_to, None);
        }
    }
}
