//! What the three worker programs do the same way: start the loop on their stages, stop it in order.

use std::sync::Arc;

use scryon_domain::stage::StageKind;
use scryon_metrics::WorkerMetrics;
use scryon_providers::media::Encoder;
use scryon_providers::{EngineInfo, HttpClient};
use tokio::sync::Semaphore;
use tracing::info;

use crate::circuits::Circuits;
use crate::gate::Gates;
use crate::leases::{Leases, Process};
use crate::shell::{Context, ProgramError};
use crate::stage::{Stage, StageDeps};
use crate::worker::{Worker, WorkerParts};

/// What a worker's stages are made from.
pub struct WorkerKit {
    pub deps: StageDeps,
    pub http: HttpClient,
}

impl WorkerKit {
    /// Registers the worker's metrics and opens its HTTP client.
    pub fn new(ctx: &Context) -> Result<Self, ProgramError> {
        let metrics = WorkerMetrics::register(&ctx.registry)?;
        let http = HttpClient::new(Some(metrics.clone())).map_err(ProgramError::Setup)?;
        let deps = StageDeps {
            store: ctx.store.clone(),
            blobs: ctx.blobs.clone(),
            circuits: Circuits::new(ctx.store.clone(), metrics.clone()),
            encoder: Encoder::new(&ctx.config.audio),
            cores: Arc::new(Semaphore::new(cores())),
            gates: Gates::new(ctx.config.engines.provider_rpm.clone(), metrics.clone()),
            metrics,
            switches: ctx.switches.clone(),
            owner: ctx.owner.clone(),
            epoch: ctx.queue.epoch.clone(),
            crash_at: ctx.config.telemetry.crash_at.as_deref().map(Arc::from),
        };
        Ok(Self { deps, http })
    }
}

/// Of a program's stages those that SCRYON_STAGES names.
pub fn chosen(ctx: &Context, known: &[StageKind]) -> Result<Vec<StageKind>, ProgramError> {
    let wanted = &ctx.config.workers.stages.0;
    let chosen: Vec<StageKind> =
        known.iter().copied().filter(|k| wanted.is_empty() || wanted.contains(k)).collect();
    if chosen.is_empty() {
        let known: Vec<&str> = known.iter().map(|k| k.as_str()).collect();
        return Err(ProgramError::Setup(format!(
            "SCRYON_STAGES names no stage of {}; it works on: {}",
            ctx.program,
            known.join(", ")
        )));
    }
    Ok(chosen)
}

/// Works until told to stop, then drains.
pub async fn work(ctx: Context, kit: WorkerKit, stages: Vec<Arc<dyn Stage>>) -> Result<(), ProgramError> {
    let leases = Leases::default();
    let reading = tokio::spawn(kit.deps.circuits.clone().keep(ctx.stop.clone()));
    let beating = tokio_util::sync::CancellationToken::new();
    let beats = tokio::spawn({
        let (leases, store, stop) = (leases.clone(), ctx.store.clone(), beating.clone());
        let process = Process {
            owner: ctx.owner.to_string(),
            program: ctx.program,
            stages: stages.iter().map(|s| s.kind()).collect(),
        };
        async move { leases.keep(store, process, stop).await }
    });
    let sharing = tokio::spawn(kit.deps.gates.clone().keep(ctx.store.clone(), ctx.stop.clone()));
    let looking = tokio::spawn(crate::credentials::keep(
        ctx.config.engines.clone(),
        stages.iter().map(|s| s.kind()).collect(),
        kit.http.clone(),
        ctx.store.clone(),
        ctx.stop.clone(),
    ));
    let kinds: Vec<&str> = stages.iter().map(|s| s.kind().as_str()).collect();
    info!(stages = kinds.join(","), "working");
    let worker = Worker::start(
        stages,
        WorkerParts {
            deps: kit.deps,
            announcer: ctx.announcer.clone(),
            leases,
            queue: ctx.queue.clone(),
            observer: ctx.observer.clone(),
            max_tries: ctx.config.workers.max_tries.0,
        },
    );
    ctx.stop.cancelled().await;
    worker.stop(ctx.config.workers.drain.0).await;
    reading.abort();
    sharing.abort();
    looking.abort();
    beating.cancel();
    // The sign-off only saves others a three-second wait.
    let _signed_off = tokio::time::timeout(std::time::Duration::from_secs(1), beats).await;
    Ok(())
}

/// Whether a stage's work is its own machine's alone. One engine that asks somebody else is enough that calls wait for that
/// one side by side; those that fill cores have their turns then (see [`crate::engines`]).
pub fn fills_cores<'a>(engines: impl IntoIterator<Item = &'a EngineInfo>) -> bool {
    let mut engines = engines.into_iter().peekable();
    engines.peek().is_some() && engines.all(|e| e.cpu_bound)
}

/// Slots of a stage: as configured, else one per core for work that fills cores, else `many`.
pub fn slots(configured: u32, fills_cores: bool, many: usize) -> usize {
    match configured {
        0 if fills_cores => cores(),
        0 => many,
        n => n as usize,
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}
