//! What every program shares: start-up, admin port, signals and drain, heartbeats, the one worker loop.

pub mod admin;
pub mod announce;
pub mod audio;
pub mod circuits;
pub mod crash;
pub mod credentials;
pub mod engines;
mod epoch;
pub mod gate;
pub mod leases;
pub mod owner;
pub mod retry;
pub mod serve;
pub mod shell;
pub mod slots;
pub mod stage;
pub mod switches;
pub mod worker;

pub use announce::{Announce, Mute};
pub use circuits::{Admission, Circuits};
pub use gate::Gates;
pub use leases::{Leases, Process};
pub use prometheus::Registry;
pub use shell::{Context, Program, ProgramError, StoreLimits};
pub use stage::{Stage, StageContext, StageDeps, StageDone, StageError, StageErrorKind, completed};
pub use switches::{Switched, Switches};
pub use worker::{Worker, WorkerParts};

/// For workers to set: small pieces are what they allocate, of which glibc's takes a tenth of their time more
/// (docs/adr/0037-an-allocator-for-small-pieces.md).
pub use tikv_jemallocator::Jemalloc as WorkerAllocator;
