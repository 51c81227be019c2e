//! pg_dump and pg_restore, run as children. The password goes by the environment: arguments are seen by everybody.

use std::path::PathBuf;
use std::process::Stdio;

use reqwest::Url;
use scryon_config::Config;
use tokio::process::Command;

use crate::output::Failure;

/// Where Debian and its relatives keep the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// One of PostgreSQL's own programs, ready to connect to `url`.
pub(crate) fn program(config: &Config, name: &str, url: &str) -> Result<Command, Failure> {
    let mut command = Command::new(find(config, name)?);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let wrong = |what: &str| Failure::new(Failure::USAGE, format!("the address of the database {what}"));
    let url = Url::parse(url).map_err(|_e| wrong("cannot be read"))?;
    let database = plain(url.path().trim_start_matches('/'));
    command
        .env("PGHOST", url.host_str().unwrap_or("127.0.0.1").trim_matches(['[', ']']))
        .env("PGPORT", url.port().unwrap_or(5432).to_string())
        .env("PGDATABASE", if database.is_empty() { plain(url.username()) } else { database })
        .env("PGCONNECT_TIMEOUT", "10")
        // What the address sets for a session of ours (a search path) is not meant for them.
        .env_remove("PGOPTIONS");
    if !url.username().is_empty() {
        command.env("PGUSER", plain(url.username()));
    }
    if let Some(password) = url.password() {
        command.env("PGPASSWORD", plain(password));
    }
    for (name, value) in url.query_pairs() {
        if name == "sslmode" {
            command.env("PGSSLMODE", value.as_ref());
        }
    }
    Ok(command)
}

/// The database that an address names.
pub(crate) fn database_of(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    Some(plain(url.path().trim_start_matches('/')))
}

fn find(config: &Config, name: &str) -> Result<PathBuf, Failure> {
    if let Some(folder) = &config.backup.postgres_bin {
        return Ok(PathBuf::from(folder).join(name));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut versions: Vec<PathBuf> =
        std::fs::read_dir(VERSIONS).into_iter().flatten().flatten().map(|e| e.path().join("bin")).collect();
    versions.sort_by_key(|folder| std::cmp::Reverse(version(folder)));
    // The newest version reads every older server; a wrapper on PATH may pick another one.
    versions.into_iter().chain(std::env::split_paths(&path)).map(|folder| folder.join(name)).find(|p| p.is_file()).ok_or_else(
        || {
            Failure::new(
                Failure::USAGE,
                format!("{name} is not on PATH and not in {VERSIONS}: install the PostgreSQL client (Debian: postgresql-client), or set SCRYON_POSTGRES_BIN"),
            )
        },
    )
}

fn version(folder: &std::path::Path) -> u32 {
    let name = folder.parent().and_then(|p| p.file_name()).and_then(|n| n.to_str());
    name.and_then(|n| n.parse().ok()).unwrap_or_default()
}

/// Takes the escapes of an address back.
fn plain(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = (*first == b'%').then(|| tail.get(..2)).flatten();
        let byte = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_an_address_are_taken_back() {
        assert_eq!(plain("p%40ss%2Fword"), "p@ss/word");
        assert_eq!(plain("100%"), "100%");
        assert_eq!(plain("%zz"), "%zz");
        assert_eq!(database_of("postgres://u:p@h:1/calls?options=-c%20x").as_deref(), Some("calls"));
    }
}
