//! Dispatcher and sweeps. Rows decide and messages only wake up: this program makes sure that every row
//! that waits is announced, whatever became of its message. Several may run; one leads.

mod copies;
mod counts;
mod dead_letters;
mod dispatch;
mod orphans;
mod safety;
mod sweep;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use scryon_config::SweeperSettings;
use scryon_metrics::SweeperMetrics;
use scryon_runtime::{Context, Leases, Program, ProgramError, StoreLimits};
use tokio_util::sync::CancellationToken;

/// The program.
pub const PROGRAM: Program = Program {
    name: "scryon-sweeper",
    about: "announces what rows say is due, takes over what died, lets go what expired",
    admin_port: 9105,
    limits: StoreLimits::SWEEPER,
};

/// What the parts of the sweeper share.
#[derive(Clone)]
struct Sweeper {
    ctx: Context,
    metrics: SweeperMetrics,
    leading: Arc<AtomicBool>,
}

impl Sweeper {
    fn settings(&self) -> &SweeperSettings {
        &self.ctx.config.sweeper
    }

    fn leads(&self) -> bool {
        self.leading.load(Ordering::Relaxed)
    }
}

/// Dispatches and sweeps until told to stop.
pub async fn run(ctx: Context) -> Result<(), ProgramError> {
    let metrics = SweeperMetrics::register(&ctx.registry)?;
    let sweeper = Sweeper { ctx: ctx.clone(), metrics, leading: Arc::new(AtomicBool::new(false)) };
    let letters = dead_letters::drain(&sweeper);
    let beats = {
        let (store, owner, stop) = (ctx.store.clone(), ctx.owner.to_string(), ctx.stop.clone());
        async move { Leases::default().keep(store, owner, PROGRAM.name, stop).await }
    };
    tokio::join!(
        dispatch::dispatch(&sweeper),
        dispatch::repair(&sweeper),
        sweep::sweep(&sweeper),
        orphans::sweep(&sweeper),
        counts::count(&sweeper),
        safety::keep(&sweeper),
        beats,
    );
    letters.close().await;
    // Another sweeper leads at once instead of after the lease.
    let _resigned = ctx.store.sweeper_resign(&ctx.owner).await;
    Ok(())
}

/// Waits; false means stop.
async fn nap(stop: &CancellationToken, wait: std::time::Duration) -> bool {
    tokio::select! {
        () = tokio::time::sleep(wait) => true,
        () = stop.cancelled() => false,
    }
}
