//! Preprocessing, transcription and (of `scryon-assembly`) assembly: what makes a transcript. One file per stage.

mod preprocessing;
mod transcription;

use std::sync::Arc;

use scryon_domain::stage::StageKind;
use scryon_runtime::serve::{WorkerKit, chosen, work};
use scryon_runtime::{Context, Program, ProgramError, Stage, StoreLimits};

/// The program.
pub const PROGRAM: Program = Program {
    name: "scryon-transcription-worker",
    about: "prepares recordings, transcribes them and puts transcripts together",
    admin_port: 9102,
    limits: StoreLimits::WORKER,
};

/// The stages this program knows.
pub const STAGES: [StageKind; 3] = [StageKind::Preprocessing, StageKind::Transcription, StageKind::Assembly];

/// Makes the stages named.
pub fn stages(
    ctx: &Context,
    kit: &WorkerKit,
    kinds: &[StageKind],
) -> Result<Vec<Arc<dyn Stage>>, ProgramError> {
    let mut stages: Vec<Arc<dyn Stage>> = Vec::new();
    for kind in kinds {
        match kind {
            StageKind::Preprocessing => stages.push(Arc::new(preprocessing::Preprocessing::new(&ctx.config))),
            StageKind::Transcription => {
                stages.push(Arc::new(transcription::Transcription::new(&ctx.config, &kit.http)?));
            }
            StageKind::Assembly => {
                stages.push(Arc::new(scryon_assembly::Assembly::new(&ctx.config, kit.deps.switches.clone())));
            }
            StageKind::Diarization | StageKind::Analysis => {}
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
