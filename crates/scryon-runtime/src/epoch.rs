//! Which life of the installation this process is in. It is read at the start and looked at now and then: nothing on the
//! way of a call asks for it.

use std::time::Duration;

use scryon_domain::epoch::Epoch;
use scryon_domain::hint::Hint;
use scryon_store::Store;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::stage::StageDeps;

/// Until a process has heard of a restore, its hints are dropped and announced again by the dispatcher.
const EVERY: Duration = Duration::from_secs(2);

/// Begins with `now`, and goes on reading the epoch until told to stop.
pub(crate) fn follow(store: &Store, now: i32, stop: &CancellationToken) -> Epoch {
    let epoch = Epoch::default();
    epoch.set(now);
    let (store, stop, shared) = (store.clone(), stop.clone(), epoch.clone());
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stop.cancelled() => return,
            }
            match store.epoch().await {
                Ok(now) => {
                    let before = shared.set(now);
                    if before != now {
                        warn!(
                            before,
                            now,
                            "the database was restored from a backup; what was sent before it has no effect any more"
                        );
                    }
                }
                Err(error) => debug!(error = %error, "failed to read the epoch; trying again"),
            }
        }
    });
    epoch
}

/// Whether the installation that sent the hint is this one, and not what it was before a restore. A newer life than we
/// know of is asked about first.
pub(crate) async fn is_of_this_life(hint: &Hint, deps: &StageDeps) -> bool {
    if hint.epoch > deps.epoch.get()
        && let Ok(epoch) = deps.store.epoch().await
    {
        deps.epoch.set(epoch);
    }
    hint.epoch == deps.epoch.get()
}
