//! What operators type.

use std::time::Duration;

use clap::{Args, Subcommand};
use uuid::Uuid;

use crate::costs::age;

#[derive(Subcommand)]
pub(crate) enum OperatorCommand {
    /// Keep work back: its messages and rows wait where they are, and nothing counts as stuck.
    Pause {
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        word: Word,
    },
    /// Let paused work go on.
    Resume {
        #[command(flatten)]
        what: What,
    },
    /// Take fewer uploads: those above the limit get 429 with Retry-After, and nothing of them is kept.
    Throttle {
        /// Uploads a minute that each API process takes; 0 takes none.
        #[arg(long, required_unless_present = "off")]
        per_minute: Option<u32>,
        /// Only of this tenant; without it of all together.
        #[arg(long, default_value = "*")]
        tenant: String,
        /// Take the limit back.
        #[arg(long, conflicts_with = "per_minute")]
        off: bool,
        /// For this long (`15m`, `2h`, `1d`); without it until it is taken back.
        #[arg(long = "for", value_parser = age)]
        period: Option<Duration>,
        /// Why, for those who read it later.
        #[arg(long, required_unless_present = "off")]
        reason: Option<String>,
    },
    /// Show what is paused, limited, flagged and logged more of now.
    Switches,
    /// See and set feature flags: `analysis`, `voice_embedding`.
    #[command(subcommand)]
    Flags(FlagCommand),
    /// Log more of some parts for a while, in every program.
    LogLevel {
        /// For example `provider=debug` or `scryon_store=trace`.
        #[arg(required_unless_present = "reset")]
        directive: Option<String>,
        /// For this long.
        #[arg(long = "for", value_parser = age, default_value = "15m")]
        period: Duration,
        /// Why, for those who read it later.
        #[arg(long, default_value = "looking for a cause")]
        reason: String,
        /// Log as the programs were started.
        #[arg(long, conflicts_with = "directive")]
        reset: bool,
    },
    /// See who uses which key; make and end keys of tenants.
    #[command(subcommand)]
    Keys(KeyCommand),
    /// See which program runs with which secret (by the beginnings of their hashes), what each still verifies and what is
    /// awaited; make a new one.
    #[command(subcommand)]
    Secrets(SecretCommand),
    /// Run the slow sweeps now (expired audio, objects of deleted calls, stale calls) and print what they did.
    Sweep,
    /// List calls that nobody will go on with by themselves, and what to do.
    Stuck,
    /// See messages that nobody could use, and announce anew what they were about.
    #[command(subcommand)]
    Dead(DeadCommand),
    /// Show what changed: starts with their settings, migrations, switches, flags, keys, providers.
    Changes {
        /// Of the last minutes (`90m`), hours (`2h`) or days (`7d`).
        #[arg(long, value_parser = age, default_value = "2h")]
        since: Duration,
    },
    /// Show whom an incident touched: calls by tenant and status, minutes, money.
    Impact {
        /// It began this long ago.
        #[arg(long, value_parser = age)]
        since: Duration,
        /// It ended this long ago; without it, it has not.
        #[arg(long, value_parser = age)]
        until: Option<Duration>,
    },
    /// Show which operator did what, and why.
    Audit {
        /// Most lines.
        #[arg(long, default_value_t = 50)]
        limit: i64,
    },
}

/// What is kept back; one of them.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct What {
    /// A stage: preprocessing, transcription, diarization, assembly, analysis.
    #[arg(long)]
    pub(super) stage: Option<String>,
    /// A lane: live, backfill.
    #[arg(long)]
    lane: Option<String>,
    /// New runs of a tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Requests to an engine's provider; `llm` is the language model.
    #[arg(long)]
    engine: Option<String>,
}

impl What {
    /// `Err`: an engine.
    pub(super) fn target(self) -> Result<String, String> {
        match (self.stage, self.lane, self.tenant, self.engine) {
            (Some(stage), ..) => Ok(format!("stage:{stage}")),
            (_, Some(lane), ..) => Ok(format!("lane:{lane}")),
            (_, _, Some(tenant), _) => Ok(format!("tenant:{tenant}")),
            (.., engine) => Err(engine.unwrap_or_default()),
        }
    }
}

#[derive(Args)]
pub(crate) struct Word {
    /// For this long (`15m`, `2h`, `1d`); without it until it is taken back.
    #[arg(long = "for", value_parser = age)]
    pub(super) period: Option<Duration>,
    /// Why, for those who read it later.
    #[arg(long)]
    pub(super) reason: String,
}

#[derive(Subcommand)]
pub(crate) enum FlagCommand {
    List,
    /// Say yes or no, without a restart. What is off by configuration stays off.
    Set {
        name: String,
        #[arg(value_parser = ["on", "off"])]
        value: String,
        #[command(flatten)]
        word: Word,
    },
    /// Leave it to the configuration again.
    Clear {
        name: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Keys of tenants, and uses of all keys, those of SCRYON_API_KEY among them.
    List,
    /// Make a key; it is printed once and kept nowhere.
    Create {
        #[arg(long, default_value = "default")]
        tenant: String,
        /// What it is for.
        #[arg(long)]
        label: String,
        /// What it may do besides acting for itself: `admin`.
        #[arg(long = "scope")]
        scopes: Vec<String>,
    },
    /// End a key.
    Revoke {
        id: Uuid,
        #[arg(long)]
        reason: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum SecretCommand {
    List,
    /// Print a new secret, once; it is kept nowhere. Put it in front of the old one in the setting's list.
    New,
}

#[derive(Subcommand)]
pub(crate) enum DeadCommand {
    List,
    /// Announce anew what these letters were about.
    Redrive {
        #[arg(required_unless_present = "all")]
        ids: Vec<i64>,
        /// All that were not redriven yet and whose call is under way.
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
}
