//! How to reach a database on the server: URLs, connections, quoted names.

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::server::SUPERUSER;

/// The ways into the server for this crate itself.
pub(crate) fn connect_options(port: u16, password: &str) -> PgConnectOptions {
    // Everything is given here, so a password file of the user has nothing to add.
    PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username(SUPERUSER)
        .password(password)
        .ssl_mode(PgSslMode::Disable)
}

/// The port, the user and the (hexadecimal) password need no escapes; a database's name may.
pub(crate) fn database_url(port: u16, password: &str, database: &str) -> String {
    let base = format!("postgres://{SUPERUSER}:{password}@127.0.0.1:{port}/");
    let name = database
        .replace('%', "%25")
        .replace('?', "%3F")
        .replace('#', "%23");
    match url::Url::parse(&format!("{base}{name}?sslmode=disable")) {
        Ok(url) => url.into(),
        Err(_) => base,
    }
}

/// A name as it stands in a statement.
pub(crate) fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_database_names_come_back_out_of_the_url() {
        for name in ["syncline", "with space", "50%", "a?b#c", "umlaut-ä"] {
            let url = database_url(5433, "00ff", name);
            let options: PgConnectOptions = url.parse().unwrap();
            assert_eq!(options.get_database(), Some(name), "{url}");
            assert_eq!(
                (options.get_port(), options.get_username()),
                (5433, SUPERUSER)
            );
        }
    }
}
