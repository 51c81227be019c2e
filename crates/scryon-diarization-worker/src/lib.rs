//! Diarization: who spoke when; and assembly, where diarization was what it waited for.

mod diarization;
mod voice;

use std::sync::Arc;

use scryon_domain::stage::StageKind;
use scryon_runtime::serve::{WorkerKit, chosen, work};
use scryon_runtime::{Context, Program, ProgramError, Stage, StoreLimits};

/// The program.
pub const PROGRAM: Program = Program {
    name: "scryon-diarization-worker",
    about: "tells who spoke when and puts transcripts together",
    admin_port: 9103,
    limits: StoreLimits::WORKER,
};

/// The stages this program knows.
pub const STAGES: [StageKind; 2] = [StageKind::Diarization, StageKind::Assembly];

/// Makes the stages named.
pub fn stages(
    ctx: &Context,
    kit: &WorkerKit,
    kinds: &[StageKind],
) -> Result<Vec<Arc<dyn Stage>>, ProgramError> {
    let mut stages: Vec<Arc<dyn Stage>> = Vec::new();
    for kind in kinds {
        match kind {
            StageKind::Diarization => {
                stages.push(Arc::new(diarization::DiarizationStage::new(&ctx.config, &kit.http)?));
            }
            StageKind::Assembly => {
                stages.push(Arc::new(scryon_assembly::Assembly::new(&ctx.config, kit.deps.switches.clone())));
            }
            StageKind::Preprocessing | StageKind::Transcription | StageKind::Analysis => {}
        }
    }
    Ok(stages)
}

/// Works until told to stop.
pub async fn run(ctx: Context) -> Result<(), ProgramError> {
    let kit = WorkerKit::new(&ctx)?;
    let stages = stages(&ctx, &kit, &chosen(&ctx, &STAGES)?)?;
    work(ctx, kit, stages).await
}
