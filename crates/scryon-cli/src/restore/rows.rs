//! The rows of a backup.

use scryon_blobs::LocalCopy;
use scryon_config::Config;
use scryon_store::Store;

use crate::backup::Description;
use crate::output::{Failure, Output};
use crate::postgres;

/// Nothing that somebody may still want is written over.
pub(super) async fn refuse(
    store: &Store,
    backup: &Description,
    into: &str,
    force: bool,
) -> Result<(), Failure> {
    let no = |message: String| Err(Failure::new(Failure::USAGE, message));
    let target = store.target_facts().await.map_err(Failure::from_store)?;
    if postgres::database_of(into).is_none_or(|name| name.is_empty()) {
        return no("--into names no database".to_owned());
    }
    if let Some(schema) = target.schema.as_deref().filter(|s| *s != backup.schema) {
        return no(format!(
            "the backup is of schema {}, the address leads into schema {schema}",
            backup.schema
        ));
    }
    if target.tables > 0 && !target.ours {
        return no(format!(
            "schema {} holds tables of somebody else; nothing was restored. Name an empty database",
            backup.schema
        ));
    }
    let calls = if target.ours { store.calls_count().await.map_err(Failure::from_store)? } else { 0 };
    if calls > 0 && !force {
        return no(format!(
            "the database holds {calls} calls; nothing was restored. Name a fresh database, or --force to lose them"
        ));
    }
    Ok(())
}

/// Loads the dump, brings its schema up to date and has Postgres look at what it has.
pub(super) async fn load(
    config: &Config,
    store: &Store,
    backup: &Description,
    into: &str,
    dump: &LocalCopy,
    output: &Output,
) -> Result<(), Failure> {
    store.schema_empty(&backup.schema).await.map_err(Failure::from_store)?;
    let target = store.target_facts().await.map_err(Failure::from_store)?;
    if target.schema.as_deref() != Some(backup.schema.as_str()) {
        return Err(Failure::new(
            Failure::USAGE,
            format!(
                "the backup is of schema {}, which the address does not lead into; add ?options=-csearch_path%3D{} to it",
                backup.schema, backup.schema
            ),
        ));
    }
    let mut command = postgres::program(config, "pg_restore", into)?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let database = postgres::database_of(into).unwrap_or_default();
    command
        .args(["--no-owner", "--no-privileges", "--exit-on-error"])
        .arg(format!("--jobs={jobs}"))
        .arg(format!("--schema={}", backup.schema))
        .arg(format!("--dbname={database}"))
        .arg(dump.path());
    output.note(&format!("restoring {} ({} bytes) …", backup.name, backup.bytes));
    let ended = command.status().await.map_err(|e| Failure::new(Failure::STOPPED, e.to_string()))?;
    if !ended.success() {
        return Err(Failure::new(
            Failure::STOPPED,
            format!(
                "pg_restore ended with {ended}; the database holds a part of the backup and is not to be used. Say the same again, with --force where it has calls"
            ),
        ));
    }
    store.migrate().await.map_err(Failure::from_store)?;
    store.check_schema().await.map_err(Failure::from_store)?;
    // A dump has no statistics: the first statements would be planned blindly.
    store.tables_analyze().await.map_err(Failure::from_store)
}
