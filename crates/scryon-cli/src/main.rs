//! `scryon`: run everything on a laptop, migrate, upload and read calls.

mod api;
mod backup;
mod check;
mod controls;
mod costs;
mod desk;
mod docs;
mod doctor;
mod erase;
mod hold;
mod operators;
mod output;
mod pace;
mod postgres;
mod probe;
mod provider;
mod reprocess;
mod restore;
mod runbook;
mod upload;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use scryon_config::{Config, Env, ProcessEnv};
use scryon_runtime::shell::main_with;
use scryon_runtime::{Context, ProgramError};
use scryon_store::{Store, StoreSettings};

use crate::api::Api;
use crate::controls::Order;
use crate::desk::Desk;
use crate::operators::OperatorCommand;
use crate::output::{Failure, Output};

/// Call recordings in; speaker-labelled transcripts, analysis and action items out.
///
/// Exit codes: 0 done; 1 a call ended FAILED or CANCELLED; 64 wrong usage or settings; 65 the API refused the
/// request; 69 a server did not answer; 70 stopped by an error. Data goes to standard output, everything
/// else to standard error.
#[derive(Parser)]
#[command(name = "scryon", version, verbatim_doc_comment)]
struct Cli {
    /// Print JSON, one document per line, and nothing else on standard output.
    #[arg(long, global = true)]
    json: bool,
    /// Address of the API.
    #[arg(long, global = true, env = "API_URL", default_value = "http://127.0.0.1:8080")]
    api_url: String,
    /// Key for X-Scryon-Api-Key; of a comma list the first is sent.
    #[arg(long, global = true, env = "SCRYON_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// A tenant's key with the scope `admin`: operators' commands go to the API with it.
    #[arg(long, global = true, env = "SCRYON_ADMIN_KEY", hide_env_values = true)]
    admin_key: Option<String>,
    /// Operators' commands go straight to the database (DATABASE_URL), also while the API is down.
    #[arg(long, global = true)]
    direct: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run API, workers and sweeper in this process (settings are environment variables).
    Dev {
        /// Hosted engines, played by a simulator inside this process: nothing is spent.
        #[arg(long)]
        sandbox: bool,
    },
    /// Apply pending database migrations; safe to run twice and on several machines at once.
    Migrate {
        /// Take every migration back instead. This deletes all data.
        #[arg(long)]
        down: bool,
    },
    /// Upload recordings.
    Upload(upload::UploadArguments),
    /// List calls, newest first; with `delete` delete calls of whatever tenant, as an operator.
    Calls(controls::CallsArguments),
    /// Show one call and its stages.
    Show { id: String },
    /// End the work on calls.
    Cancel {
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Begin a new run of calls, behind live ones; what is unchanged and paid for is reused.
    Reprocess(reprocess::ReprocessArguments),
    /// Analyse calls again from their stored transcripts.
    Reanalyze {
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Delete calls and all that belongs to them. There is no way back.
    Delete {
        #[arg(required = true)]
        ids: Vec<String>,
        /// It is meant.
        #[arg(long, required = true)]
        yes: bool,
    },
    /// Print what happened to a call, oldest first.
    Events {
        id: String,
        /// Go on until the call is over.
        #[arg(long)]
        follow: bool,
    },
    /// Print a call's transcript.
    Transcript {
        id: String,
        /// Form of the transcript.
        #[arg(long, value_enum, default_value_t = TranscriptForm::Text)]
        format: TranscriptForm,
    },
    /// Print a call's analysis and action items.
    Analysis { id: String },
    /// Show what a call cost by engine, or, without an id, what tenants bought (from the database).
    Costs(costs::CostsArguments),
    /// See which providers are asked, and switch them: by the API with SCRYON_ADMIN_KEY, else in the database.
    #[command(subcommand)]
    Provider(provider::ProviderCommand),
    /// Read, run and practise the operators' runbooks.
    Runbook(runbook::RunbookArguments),
    #[command(flatten)]
    Operator(OperatorCommand),
    /// Send a recording of our own the whole way, as the tenant `canary`: exit code 0 when every step was done in time.
    Probe(probe::ProbeArguments),
    /// Keep everything: while a hold is on nothing is deleted from storage or by its age (database, DATABASE_URL).
    #[command(subcommand)]
    Hold(hold::HoldCommand),
    /// Back the database up, by pg_dump, into a store of its own.
    Backup(backup::BackupArguments),
    /// Restore a backup into a database, erase again what was erased since, and rebuild calls that came in since.
    Restore(restore::RestoreArguments),
    /// Compare rows with storage, both ways: exit code 0 when they agree, 1 when something is left that differs.
    Doctor {
        /// Repair what can be: rows whose object is gone, calls without a row whose recording is there.
        #[arg(long)]
        reconcile: bool,
    },
    /// Erase a user or a tenant with all that belongs to them; the receipt stays. There is no way back.
    Erase(erase::EraseArguments),
    /// Ask whether servers can be used: exit code 0 when every named one lets us in.
    Check {
        /// Postgres, as DATABASE_URL.
        #[arg(long)]
        database: Option<String>,
        /// RabbitMQ, as AMQP_URL.
        #[arg(long)]
        amqp: Option<String>,
    },
    /// Write docs/configuration.md and docs/metrics.md from the registries in code.
    #[command(hide = true)]
    Docs {
        /// The folder to write to.
        folder: PathBuf,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum TranscriptForm {
    Text,
    Json,
    Vtt,
    Srt,
}

impl TranscriptForm {
    const fn accept(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Json => "application/json",
            Self::Vtt => "text/vtt",
            Self::Srt => "application/x-subrip",
        }
    }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, everything else is wrong usage.
            let code = if error.use_stderr() { Failure::USAGE } else { 0 };
            let _printed = error.print();
            return ExitCode::from(code);
        }
    };
    if let Command::Dev { sandbox } = cli.command {
        return if sandbox {
            in_sandbox()
        } else {
            main_with(scryon_dev::PROGRAM, &ProcessEnv, migrate_first, dev)
        };
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::new(Failure::STOPPED, error.to_string()).exit(),
    };
    match runtime.block_on(run(cli)) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => failure.exit(),
    }
}

async fn run(cli: Cli) -> Result<u8, Failure> {
    let output = Output::new(cli.json);
    let api = || Api::new(&cli.api_url, cli.api_key.as_deref());
    let desk = || Desk::open(api, cli.admin_key.as_deref(), cli.direct);
    match cli.command {
        Command::Dev { .. } => Ok(0),
        Command::Migrate { down } => migrate(&output, down).await,
        Command::Upload(arguments) => upload::upload(&api()?, &output, arguments).await,
        Command::Calls(arguments) => controls::calls(api, desk, &output, arguments).await,
        Command::Show { id } => output.call(&api()?.call(&id).await?),
        Command::Transcript { id, format } => {
            let form = if cli.json { TranscriptForm::Json } else { format };
            output.text(&api()?.transcript(&id, form.accept()).await?)
        }
        Command::Analysis { id } => output.analysis(&api()?.analysis(&id).await?),
        Command::Cancel { ids } => controls::order(&api()?, &output, Order::Cancel, &ids).await,
        Command::Reprocess(arguments) => reprocess::reprocess(api, desk, &output, arguments).await,
        Command::Reanalyze { ids } => controls::order(&api()?, &output, Order::Reanalyze, &ids).await,
        Command::Delete { ids, yes: _ } => controls::order(&api()?, &output, Order::Delete, &ids).await,
        Command::Events { id, follow } => controls::events(&api()?, &output, &id, follow).await,
        Command::Runbook(arguments) => runbook::runbook(&output, arguments).await,
        Command::Operator(command) => operators::operate(&desk()?, &output, command).await,
        Command::Probe(arguments) => probe::probe(api()?, desk()?, &output, arguments).await,
        Command::Costs(arguments) => costs::costs(api, &output, arguments).await,
        Command::Provider(command) => provider::provider(desk, &output, command).await,
        Command::Hold(command) => hold::hold(&output, command).await,
        Command::Backup(arguments) => backup::backup(&output, arguments).await,
        Command::Restore(arguments) => restore::restore(&output, arguments).await,
        Command::Doctor { reconcile } => doctor::doctor(&output, reconcile).await,
        Command::Erase(arguments) => erase::erase(&output, arguments).await,
        Command::Check { database, amqp } => check::check(database.as_deref(), amqp.as_deref()).await,
        Command::Docs { folder } => docs::write(&folder),
    }
}

async fn migrate(output: &Output, down: bool) -> Result<u8, Failure> {
    let config = Config::from_env(&ProcessEnv).map_err(|e| Failure::new(Failure::USAGE, e.to_string()))?;
    let store = migration_store(&config)?;
    let done = if down { store.migrate_down().await } else { store.migrate().await };
    output.migrations(&done.map_err(Failure::from_store)?, down)
}

fn migration_store(config: &Config) -> Result<Store, Failure> {
    own_store(config, "scryon-migrate", Duration::from_secs(600))
}

/// One connection for one command.
pub(crate) fn own_store(config: &Config, name: &str, statement_timeout: Duration) -> Result<Store, Failure> {
    store_at(&config.database_url(), name, statement_timeout)
}

/// The same at an address of its own.
pub(crate) fn store_at(url: &str, name: &str, statement_timeout: Duration) -> Result<Store, Failure> {
    Store::new(&StoreSettings {
        url: url.to_owned(),
        application_name: name.to_owned(),
        pool_size: 1,
        pool_wait: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(3),
        statement_timeout,
        lock_timeout: None,
        step_pace: Duration::ZERO,
    })
    .map_err(Failure::from_store)
}

/// A laptop's database is brought up to date without being asked.
async fn migrate_first(config: &Config) -> Result<(), ProgramError> {
    let store = migration_store(config).map_err(|f| ProgramError::Setup(f.message))?;
    store.migrate().await?;
    Ok(())
}

/// Everything with hosted engines that a simulator plays, on a thread of its own.
fn in_sandbox() -> ExitCode {
    let opened = TcpListener::bind("127.0.0.1:0").and_then(|listener| {
        let address = listener.local_addr()?;
        let (simulator, server) = scryon_simulator::serve(listener, scryon_simulator::Options::default())?;
        simulator.set_hosted(scryon_simulator::HostedOptions::sandbox());
        Ok((format!("http://{address}"), server))
    });
    let (address, server) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            return Failure::new(Failure::STOPPED, format!("the sandbox cannot start: {error}")).exit();
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::new(Failure::STOPPED, error.to_string()).exit(),
    };
    // It ends with the process.
    runtime.spawn(server);
    // What is set by hand wins: a real key for one engine, say.
    let mut env: BTreeMap<String, String> =
        scryon_simulator::sandbox_settings(&address).into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    env.extend(
        ProcessEnv.names().into_iter().filter_map(|name| Some((name.clone(), ProcessEnv.get(&name)?))),
    );
    main_with(scryon_dev::PROGRAM, &env, migrate_first, dev)
}

async fn dev(ctx: Context) -> Result<(), ProgramError> {
    let api = &ctx.config.api;
    let address = (api.server_host.clone(), api.server_port);
    let listener = TcpListener::bind((address.0.as_str(), address.1)).map_err(|source| ProgramError::Io {
        what: format!("{}:{} cannot be opened (SERVER_HOST, SERVER_PORT)", address.0, address.1),
        source,
    })?;
    scryon_dev::run(ctx, listener).await
}
