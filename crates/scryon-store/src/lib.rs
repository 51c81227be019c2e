//! Rows, claims, leases and admission: every statement the pipeline sends to Postgres. One file per
//! aggregate; a claim is one statement, a finish is one transaction in one round trip.

mod actions;
mod audit;
mod batch;
mod bulk;
mod callbacks;
mod calls;
mod circuits;
mod claim;
mod controls;
mod costs;
mod db;
mod dead_letters;
mod dispatch;
mod doctor;
mod erasure;
mod finish;
mod heartbeat;
mod holds;
mod idempotency;
mod jobs;
mod keys;
mod lease;
mod migrate;
mod orphans;
mod outcome;
mod own_purchases;
mod probes;
mod restore;
mod retention;
mod search;
mod switches;
mod users;
mod vault;
mod voices;

pub use actions::ActionItemRow;
pub use audit::{Audit, AuditRow, Change, Impact};
pub use bulk::{Backfill, CallFilter, ChosenCall, Plan};
pub use callbacks::{Callback, CallbackEffect};
pub use calls::{
    CallDetailRow, CallListRow, CallStatusRow, CompletedKey, DocumentRow, ListPosition, NewCall, Owner,
};
pub use circuits::Circuit;
pub use claim::{ANNOUNCE_AGAIN, Beginning, Claimant, LEASE, OWNER_SILENCE, Unclaimed};
pub use controls::{EventRow, Ordered, Reanalysis, StuckCall};
pub use costs::{CallCost, TenantCost};
pub use db::{Store, StoreError, StoreSettings};
pub use dead_letters::{DeadLetter, DeadLetterRow};
pub use dispatch::{Announced, CallCount, Due, LEADERSHIP, Paused};
pub use doctor::{Inputs, PromisedArtifact};
pub use erasure::{ErasureBegin, ProviderCopy, Receipt, Subject};
pub use finish::{
    Advanced, AnalysisEffects, Continuation, JobSettlement, OutputObject, StageEvent, StageOutput,
};
pub use heartbeat::{BEAT_PATIENCE, HeldLease};
pub use holds::{Hold, HoldKind};
pub use idempotency::{KEY_HOLD, KEY_LIFETIME, KeyState, ORDER_KEY_HELD, OrderKey};
pub use jobs::{Purchase, RebuyCause};
pub use keys::{ApiKey, CALLBACK, KeyHolder, KeyUse};
pub use lease::{
    AudioObject, CallFacts, JobClaim, JobIntent, Lease, StageInputs, StageOutputRow, SubmittedJob,
};
pub use outcome::{JobEnd, JobEndState, Setback, TokenState};
pub use own_purchases::{OwnPurchase, OwnPurchaseEnd};
pub use probes::{AwaitedCallbacks, LastStart};
pub use restore::{DatabaseFacts, RestoreEnd, SafetyFigures, TargetFacts, Unrecorded, UnstoredUser};
pub use retention::{Aged, Tombstone};
pub use search::{
    DueEmbedding, DueSearch, EmbeddingJob, LONGEST_QUERY, NewEmbedding, SearchCounts, SearchText, Vector,
    indexable,
};
pub use switches::{Sweep, Switch, SwitchOrder};
pub use users::User;
pub use vault::{Sealed, Vault, VaultError};
pub use voices::{ActiveVoice, NewVoice, VoiceRow, voice_place};
