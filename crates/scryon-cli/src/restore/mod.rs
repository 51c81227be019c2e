//! `scryon restore`: rows from a backup, and then what storage knows better: who was erased since, and which calls came
//! in since. It begins a new life of the installation and leaves a hold: nothing is deleted before somebody has looked.

mod rebuild;
mod replay;
mod rows;

use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};
use clap::Args;
use scryon_blobs::Blobs;
use scryon_config::{Config, ProcessEnv};
use scryon_domain::epoch::Epoch;
use scryon_queue::{QueueSettings, Topology};
use scryon_store::{HoldKind, RestoreEnd, Store};
use serde_json::json;

pub(crate) use rebuild::{Found, Rebuild};

use crate::backup::{Backups, Description, from_blobs};
use crate::output::{Failure, Output};
use crate::{own_store, store_at};

/// Statements over all rows.
const PATIENCE: Duration = Duration::from_secs(3600);

#[derive(Args)]
pub(crate) struct RestoreArguments {
    /// The backup's name, or `latest`; `scryon backup --list` shows them.
    #[arg(required_unless_present_any = ["finish", "adopt"])]
    name: Option<String>,
    /// Address of the database to restore into: a fresh one, or one without calls.
    #[arg(long, required_unless_present_any = ["finish", "adopt"], value_name = "DATABASE_URL")]
    into: Option<String>,
    /// Where the backup is, as with `scryon backup --to`.
    #[arg(long)]
    from: Option<String>,
    /// Restore over calls that are there. Their rows are lost.
    #[arg(long)]
    force: bool,
    /// Only the rows: leave queues and storage alone. For a rehearsal beside a living installation.
    #[arg(long)]
    rows_only: bool,
    /// The restored installation was looked at: lift the hold, so that sweeps delete again (DATABASE_URL).
    #[arg(long, conflicts_with_all = ["name", "into", "force", "rows_only"])]
    finish: bool,
    /// The database (DATABASE_URL) came back by other means, a snapshot of its host say: do all the rest.
    #[arg(long, conflicts_with_all = ["name", "into", "force", "rows_only", "from", "finish"])]
    adopt: bool,
    /// With --adopt: the time of the snapshot. Default: the newest sign of life in the database.
    #[arg(long, requires = "adopt")]
    snapshot_at: Option<DateTime<Utc>>,
}

pub(crate) async fn restore(output: &Output, arguments: RestoreArguments) -> Result<u8, Failure> {
    let config = Config::from_env(&ProcessEnv).map_err(|e| Failure::new(Failure::USAGE, e.to_string()))?;
    let began = Instant::now();
    if arguments.adopt {
        return adopt(output, &config, arguments.snapshot_at, began).await;
    }
    let (Some(name), Some(into)) = (&arguments.name, &arguments.into) else {
        return finish(output, &config).await;
    };
    let backups = Backups::open(&config, arguments.from.as_deref())?;
    let backup = backups.find(name).await?;
    refuse_forgotten(&config, &backup, arguments.force)?;
    let store = store_at(into, "scryon-restore", PATIENCE)?;
    rows::refuse(&store, &backup, into, arguments.force).await?;
    let dump = backups.fetch(&backup).await?;
    rows::load(&config, &store, &backup, into, &dump, output).await?;
    let rows = store.rows_by_table().await.map_err(Failure::from_store)?;
    if arguments.rows_only {
        // A sweeper that is started on it must not delete what the living installation needs.
        store.hold_set(HoldKind::Restore, "rehearsal of a restore").await.map_err(Failure::from_store)?;
        output.note(&format!(
            "rows of {} are back in {:.1} s; queues and storage were left alone",
            backup.name,
            began.elapsed().as_secs_f64()
        ));
        return output.line(
            &json!({"backup": backup.name, "rows": rows, "seconds": began.elapsed().as_secs_f64()})
                .to_string(),
        );
    }
    let blobs = Blobs::open(&config.storage).map_err(from_blobs)?;
    let life = NewLife { output, config: &config, store: &store, blobs: &blobs, backup: &backup };
    life.begin(began, rows).await
}

/// Notes of erasures are forgotten after a time; an older backup would bring back what nobody remembers was erased.
fn refuse_forgotten(config: &Config, backup: &Description, force: bool) -> Result<(), Failure> {
    if force || backup.snapshot_at > Utc::now() - config.retention.tombstones.0 {
        return Ok(());
    }
    Err(Failure::new(
        Failure::USAGE,
        "the backup is older than SCRYON_RETENTION_TOMBSTONES_DAYS: calls that were erased since then could come back. Nothing was restored; --force does it all the same",
    ))
}

/// All but the rows.
async fn adopt(
    output: &Output,
    config: &Config,
    snapshot_at: Option<DateTime<Utc>>,
    began: Instant,
) -> Result<u8, Failure> {
    let store = own_store(config, "scryon-restore", PATIENCE)?;
    store.migrate().await.map_err(Failure::from_store)?;
    store.check_schema().await.map_err(Failure::from_store)?;
    let facts = store.database_facts().await.map_err(Failure::from_store)?;
    let snapshot_at = snapshot_at.unwrap_or(facts.last_sign);
    let backup = Description {
        name: "a snapshot of the database's host".to_owned(),
        snapshot_at,
        bytes: 0,
        seconds: 0.0,
        sha256: String::new(),
        schema: facts.schema,
        epoch: facts.epoch,
        calls: facts.calls,
        migration: facts.migration,
        program: String::new(),
    };
    store.tables_analyze().await.map_err(Failure::from_store)?;
    let rows = store.rows_by_table().await.map_err(Failure::from_store)?;
    let blobs = Blobs::open(&config.storage).map_err(from_blobs)?;
    NewLife { output, config, store: &store, blobs: &blobs, backup: &backup }.begin(began, rows).await
}

async fn finish(output: &Output, config: &Config) -> Result<u8, Failure> {
    let store = own_store(config, "scryon-restore", Duration::from_secs(10))?;
    let lifted = store.hold_lift(HoldKind::Restore, "restore finished").await.map_err(Failure::from_store)?;
    if output.is_json() {
        return output.line(&json!({"lifted": lifted}).to_string());
    }
    output.line(if lifted {
        "the hold of the restore is lifted: sweeps delete again"
    } else {
        "there is no hold of a restore"
    })
}

struct NewLife<'a> {
    output: &'a Output,
    config: &'a Config,
    store: &'a Store,
    blobs: &'a Blobs,
    backup: &'a Description,
}

impl NewLife<'_> {
    async fn begin(&self, began: Instant, rows: serde_json::Value) -> Result<u8, Failure> {
        let seen = self.blobs.epoch_noted().await.map_err(from_blobs)?.max(self.backup.epoch);
        let epoch = self
            .store
            .restore_begin(&self.backup.name, self.backup.snapshot_at, seen)
            .await
            .map_err(Failure::from_store)?;
        if self.backup.bytes > 0 {
            // Its own row was written after its snapshot.
            let took = Duration::from_secs_f64(self.backup.seconds);
            let made =
                self.store.backup_made(&self.backup.name, self.backup.snapshot_at, self.backup.bytes, took);
            made.await.map_err(Failure::from_store)?;
        }
        // From here on a sweeper that still works on the lost database deletes nothing.
        self.blobs.epoch_note(epoch).await.map_err(from_blobs)?;
        // A hold that was put on after the backup.
        if let Some(reason) = self.blobs.hold_noted().await.map_err(from_blobs)? {
            self.store.hold_set(HoldKind::Legal, &reason).await.map_err(Failure::from_store)?;
        }
        let purged = self.empty_queues().await;
        let replayed = replay::replay(self.store, self.blobs, self.backup.snapshot_at).await?;
        let mut rebuild = Rebuild::new(self.store, self.blobs, replayed.erased.clone());
        // Programs are stopped, so nothing is on its way in; a clock that differs does no harm.
        let found = rebuild.all(SystemTime::now() + Duration::from_secs(86_400), true).await?;
        replay::receipts(self.store, self.blobs, self.backup.snapshot_at).await?;
        let took = began.elapsed();
        let counts = json!({
            "rows": rows, "erasedAgain": replayed.calls, "usersErasedAgain": replayed.users, "rebuilt": found.rebuilt,
            "objectsOfErasedCalls": found.erased + found.explained, "notRebuilt": found.unexplained.len(), "queuesEmptied": purged,
        });
        let end = RestoreEnd { last_sign_at: found.last_sign, rto: took, counts: counts.clone() };
        let rpo = self.store.restore_end(epoch, end).await.map_err(Failure::from_store)?;
        self.report(epoch, rpo, took, &counts, &found)
    }

    /// Messages of the former life would be dropped one by one. A broker that is away keeps them: no harm.
    async fn empty_queues(&self) -> bool {
        let settings = QueueSettings {
            url: self.config.servers.amqp_url.0.clone(),
            prefix: self.config.servers.queue_prefix.clone(),
            program: "scryon-restore".to_owned(),
            epoch: Epoch::default(),
        };
        let emptied = async {
            let connection = scryon_queue::connect(&settings, "purge").await?;
            let topology = Topology::new(settings.prefix.clone());
            topology.declare(&connection).await?;
            let emptied = topology.purge(&connection).await;
            scryon_queue::close(connection).await;
            emptied
        };
        match emptied.await {
            Ok(()) => true,
            Err(error) => {
                self.output.note(&format!(
                    "the queues were not emptied ({error}); what is in them has no effect any more"
                ));
                false
            }
        }
    }

    fn report(
        &self,
        epoch: i32,
        rpo: f64,
        took: Duration,
        counts: &serde_json::Value,
        found: &Found,
    ) -> Result<u8, Failure> {
        if self.output.is_json() {
            let rest: Vec<String> = found.unexplained.iter().map(ToString::to_string).collect();
            return self.output.line(
                &json!({"backup": self.backup.name, "epoch": epoch, "rpoSeconds": rpo, "rtoSeconds": took.as_secs_f64(),
                    "counts": counts, "unexplained": rest})
                .to_string(),
            );
        }
        let number = |name: &str| counts[name].to_string();
        for (what, value) in [
            ("backup", self.backup.name.clone()),
            ("calls in it", counts["rows"]["calls"].to_string()),
            ("erased again", number("erasedAgain")),
            ("rebuilt", format!("{} calls that came in after the backup", number("rebuilt"))),
            (
                "not rebuilt",
                format!("{} calls of which storage has objects and no recording", number("notRebuilt")),
            ),
            ("epoch", epoch.to_string()),
            ("RPO", format!("{rpo:.0} s between the backup and the last sign of life")),
            ("RTO", format!("{:.1} s", took.as_secs_f64())),
        ] {
            self.output.line(&format!("{what:<14} {value}"))?;
        }
        self.output.note("a hold is on: nothing is deleted. Start the programs, look (`scryon doctor --reconcile`), then `scryon restore --finish`");
        Ok(0)
    }
}
