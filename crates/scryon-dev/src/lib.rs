//! Every program in one process: for a laptop and for tests. One pool, one publisher, one worker with all
//! stages; the code is the programs' own.

use std::net::TcpListener;
use std::sync::Arc;

use scryon_domain::stage::StageKind;
use scryon_runtime::serve::{WorkerKit, work};
use scryon_runtime::{Context, Program, ProgramError, Stage, StoreLimits};

/// The program.
pub const PROGRAM: Program = Program {
    name: "scryon-dev",
    about: "API, workers and sweeper in one process",
    admin_port: 9100,
    limits: StoreLimits { disk_pace: StoreLimits::API.disk_pace, ..StoreLimits::WORKER },
};

/// The stages of all workers.
pub fn stages(ctx: &Context, kit: &WorkerKit) -> Result<Vec<Arc<dyn Stage>>, ProgramError> {
    let mut stages = scryon_transcription_worker::stages(ctx, kit, &scryon_transcription_worker::STAGES)?;
    // Assembly is among the first's already.
    stages.extend(scryon_diarization_worker::stages(ctx, kit, &[StageKind::Diarization])?);
    stages.extend(scryon_analysis_worker::stages(ctx, kit, &scryon_analysis_worker::STAGES)?);
    Ok(stages)
}

/// Works on all stages until told to stop.
pub async fn workers(ctx: Context) -> Result<(), ProgramError> {
    let kit = WorkerKit::new(&ctx)?;
    let stages = stages(&ctx, &kit)?;
    work(ctx, kit, stages).await
}

/// Runs everything until told to stop, or until one part fails.
pub async fn run(ctx: Context, listener: TcpListener) -> Result<(), ProgramError> {
    let stop = ctx.stop.clone();
    let parts = async {
        tokio::try_join!(
            scryon_api::serve(ctx.clone(), listener),
            workers(ctx.clone()),
            scryon_sweeper::run(ctx.clone())
        )
    };
    let result = parts.await.map(|_| ());
    stop.cancel();
    result
}
