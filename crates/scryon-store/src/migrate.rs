//! Migrations: up, down, and the refusal of a schema this program does not know.

use diesel::sql_types;
use diesel_async::{AsyncMigrationHarness, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::db::{Conn, Statement, Store, StoreError};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

/// Any number: one lock for all who migrate this database.
const ADVISORY_LOCK: &str = "select pg_advisory_lock(hashtext('scryon.migrate'))";
const ADVISORY_UNLOCK: &str = "select pg_advisory_unlock(hashtext('scryon.migrate'))";

/// Rights are no part of a backup, and roles no part of a database: each migration makes what is missing of those of the
/// operators, also where there is nothing else to do. The same stands in the migration that brought them.
const OPERATORS_ROLE: &str = "do $$ begin
    if not exists (select 1 from pg_roles where rolname = 'scryon_operator') then create role scryon_operator nologin; end if;
exception
    when duplicate_object or unique_violation then null;
    when insufficient_privilege then raise notice 'the role scryon_operator is missing: docs/runbooks/README.md';
end $$";
/// Only where something is missing: a login that does not own the tables may not grant, and has nothing to do then.
const OPERATORS_RIGHTS: &str = "select grant_operator() from (
    select 1 from pg_roles r, pg_class c join pg_namespace n on n.oid = c.relnamespace
    where r.rolname = 'scryon_operator' and n.nspname = current_schema() and c.relkind in ('r', 'v')
      and not has_table_privilege(r.oid, c.oid, 'select') limit 1) missing";

#[derive(diesel::QueryableByName)]
struct VersionRow {
    #[diesel(sql_type = sql_types::Text)]
    version: String,
}

#[derive(diesel::QueryableByName)]
struct FloorRow {
    #[diesel(sql_type = sql_types::Text)]
    oldest_program: String,
}

impl Store {
    /// Applies what is pending, oldest first; running it twice, or on two machines at once, is safe.
    /// Gives the versions it applied. Operators have their rights afterwards, also in a database that was restored.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        let applied: Vec<String> = self
            .with_harness(&[OPERATORS_ROLE, OPERATORS_RIGHTS], |harness| {
                harness
                    .run_pending_migrations(MIGRATIONS)
                    .map(|done| done.iter().map(ToString::to_string).collect())
            })
            .await?;
        if !applied.is_empty() {
            self.change_note("migration", "scryon", serde_json::json!({"applied": applied})).await?;
        }
        Ok(applied)
    }

    /// Takes every migration back, newest first. For tests and for a machine that is to be emptied.
    pub async fn migrate_down(&self) -> Result<Vec<String>, StoreError> {
        self.with_harness(&[], |harness| {
            harness
                .revert_all_migrations(MIGRATIONS)
                .map(|done| done.iter().map(ToString::to_string).collect())
        })
        .await
    }

    /// `afterwards`: statements, where all went well; nobody else migrates meanwhile.
    async fn with_harness<F>(&self, afterwards: &[&str], work: F) -> Result<Vec<String>, StoreError>
    where
        F: FnOnce(&mut AsyncMigrationHarness<Conn>) -> diesel::migration::Result<Vec<String>>,
    {
        let mut conn = self.conn().await?;
        diesel::sql_query("set statement_timeout = 0").execute(&mut *conn).await?;
        diesel::sql_query("set lock_timeout = 0").execute(&mut *conn).await?;
        diesel::sql_query(ADVISORY_LOCK).execute(&mut *conn).await?;
        let mut harness = AsyncMigrationHarness::new(conn);
        let done = work(&mut harness).map_err(|e| StoreError::Schema {
            message: format!("a migration failed and was rolled back: {e}"),
        });
        let mut conn = harness.into_inner();
        let mut after = Ok(0);
        for statement in afterwards.iter().filter(|_| done.is_ok()) {
            after = after.and(diesel::sql_query(*statement).execute(&mut *conn).await);
        }
        diesel::sql_query(ADVISORY_UNLOCK).execute(&mut *conn).await?;
        // The session's limits were lifted: it does not go back into the pool.
        drop(deadpool::managed::Object::take(conn));
        after?;
        done
    }

    /// Refuses a schema that is older than this program, or that has moved past it.
    pub async fn check_schema(&self) -> Result<(), StoreError> {
        let known = known_versions();
        let table: Option<VersionRow> = self
            .row(Statement::new(
                "select coalesce(to_regclass('__diesel_schema_migrations')::text, '') as version",
            ))
            .await?;
        if table.is_none_or(|t| t.version.is_empty()) {
            return Err(older("it has no tables of this project", &known));
        }
        let applied: Vec<VersionRow> =
            self.rows(Statement::new("select version from __diesel_schema_migrations")).await?;
        let missing: Vec<&String> =
            known.iter().filter(|k| !applied.iter().any(|a| &a.version == *k)).collect();
        if let Some(first) = missing.as_slice().first() {
            return Err(older(&format!("migration {first} is missing"), &known));
        }
        let floor: Option<FloorRow> =
            self.row(Statement::new("select oldest_program from schema_floor")).await?;
        let newest = known.last().cloned().unwrap_or_default();
        match floor {
            Some(floor) if floor.oldest_program > newest => Err(StoreError::Schema {
                message: format!(
                    "the database schema is too new for this program: it needs a program that knows migration {}, this one knows up to {newest}. Deploy the newer program.",
                    floor.oldest_program
                ),
            }),
            _ => Ok(()),
        }
    }
}

fn older(what: &str, known: &[String]) -> StoreError {
    StoreError::Schema {
        message: format!(
            "the database schema is older than this program ({what}; needed: {}). Run `scryon migrate`, then start again.",
            known.last().map_or("none", String::as_str)
        ),
    }
}

/// Versions of the embedded migrations, oldest first.
fn known_versions() -> Vec<String> {
    use diesel::migration::{Migration, MigrationSource};
    let migrations: Vec<Box<dyn Migration<diesel::pg::Pg>>> = MIGRATIONS.migrations().unwrap_or_default();
    let mut versions: Vec<String> = migrations.iter().map(|m| m.name().version().to_string()).collect();
    versions.sort();
    versions
}
