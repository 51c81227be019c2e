//! Analysis: what a call means and what to do next.

mod analysis;

use std::sync::Arc;

use scryon_domain::stage::StageKind;
use scryon_runtime::serve::{WorkerKit, chosen, work};
use scryon_runtime::{Context, Program, ProgramError, Stage, StoreLimits};

/// The program.
pub const PROGRAM: Program = Program {
    name: "scryon-analysis-worker",
    about: "says what a call means and what to do next",
    admin_port: 9104,
    limits: StoreLimits::WORKER,
};

/// The stages this program knows.
pub const STAGES: [StageKind; 1] = [StageKind::Analysis];

/// Makes the stages named.
pub fn stages(
    ctx: &Context,
    kit: &WorkerKit,
    kinds: &[StageKind],
) -> Result<Vec<Arc<dyn Stage>>, ProgramError> {
    let mut stages: Vec<Arc<dyn Stage>> = Vec::new();
    if kinds.contains(&StageKind::Analysis) {
        stages.push(Arc::new(analysis::AnalysisStage::new(&ctx.config, kit)?));
    }
    Ok(stages)
}

/// Works until told to stop.
pub async fn run(ctx: Context) -> Result<(), ProgramError> {
    let kit = WorkerKit::new(&ctx)?;
    let stages = stages(&ctx, &kit, &chosen(&ctx, &STAGES)?)?;
    work(ctx, kit, stages).await
}
