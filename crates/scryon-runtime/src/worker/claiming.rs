//! How a delivery comes to hold a stage: a slot, then a claim, and what a refusal means for the delivery.

use std::time::Duration;

use scryon_domain::hint::Hint;
use scryon_domain::ids::{CallId, JobId, LeaseToken};
use scryon_domain::stage::StageKind;
use scryon_queue::Delivery;
use scryon_store::{Advanced, Beginning, Claimant, JobClaim, JobIntent, Lease, StoreError, Unclaimed};
use tracing::warn;

use super::{Shared, StageEntry, ending};
use crate::circuits::circuit_of;
use crate::leases::LeaseGuard;
use crate::retry::Patience;
use crate::slots::Slot;

/// How often a delivery that came back looks whether its former owner is silent by now.
const OWNER_LOOK: Duration = Duration::from_millis(500);

pub(super) enum Claimed {
    Held(Box<Lease>, Slot),
    Nothing,
    Announce(Vec<Hint>),
    GivenUp,
}

enum ClaimOnce {
    Held {
        lease: Box<Lease>,
        /// Stages that the same step left to others.
        announce: Vec<Hint>,
        /// A slot of a later stage than the hint's.
        behind: Option<Slot>,
    },
    /// The delivery came back, and what it claimed is not free yet.
    HeldByIt,
    Announce(Vec<Hint>),
}

impl ClaimOnce {
    fn lease(&self) -> Option<&Lease> {
        if let Self::Held { lease, .. } = self { Some(lease) } else { None }
    }
}

impl Shared {
    /// Gets a slot and a lease. Keeps trying while Postgres is away: the delivery waits in our hands, and
    /// the prefetch limit stops the queue.
    pub(super) async fn claim(&self, delivery: &Delivery, hint: &Hint, trace: &str) -> Claimed {
        let Some(entry) = self.stages.get(&hint.stage) else { return Claimed::Nothing };
        let slot = tokio::select! {
            slot = entry.slots.acquire(hint.lane) => slot,
            () = self.stopping.cancelled() => None,
        };
        let Some(slot) = slot else { return Claimed::GivenUp };
        self.deps.crash_point("C6");
        let mut claimant = Claimant {
            owner: self.deps.owner.to_string(),
            hint_id: delivery.hint_id,
            redelivered: delivery.redelivered,
            lane: hint.lane,
            token: LeaseToken::fresh(),
        };
        let mut patience = Patience::new(&self.stopping);
        let mut unanswered = false;
        loop {
            let once = self.claim_once(hint, &claimant).await;
            if let Ok(once) = &once
                && std::mem::take(&mut unanswered)
            {
                self.close_unheld(claimant.token, once.lease()).await;
            }
            match once {
                Ok(ClaimOnce::Held { lease, announce, behind }) => {
                    self.deps.crash_point("C7");
                    // From here on it is renewed, and known to be ours.
                    let held = self.leases.hold(&lease);
                    if !announce.is_empty() {
                        self.announcer.announce(&announce, Some(trace)).await;
                    }
                    return self.with_slot_of((lease, &held), hint, slot, behind).await;
                }
                Ok(ClaimOnce::Announce(hints)) if hints.is_empty() => return Claimed::Nothing,
                Ok(ClaimOnce::Announce(hints)) => return Claimed::Announce(hints),
                Ok(ClaimOnce::HeldByIt) => {
                    if !patience.nap(OWNER_LOOK).await {
                        return Claimed::GivenUp;
                    }
                }
                Err(error) => {
                    warn!(error = %error, trace, "failed to claim; keeping the delivery and trying again");
                    unanswered |= error.outcome_is_unknown();
                    claimant.redelivered |= unanswered;
                    if !patience.wait().await {
                        return Claimed::GivenUp;
                    }
                }
            }
        }
    }

    /// Closes the purchase that a claim without an answer perhaps recorded, where the stage is not held with it: nothing
    /// was sent, and nobody else knows that.
    pub(super) async fn close_unheld(&self, token: LeaseToken, held: Option<&Lease>) {
        let unheld = JobId(token.0);
        if held.is_some_and(|lease| lease.job == Some(JobClaim::Mine { id: unheld })) {
            return;
        }
        if let Err(error) = self.deps.store.job_not_sent(unheld, &self.deps.owner).await {
            warn!(error = %error, "failed to close a purchase that was not sent");
        }
    }

    /// A run may begin at a later stage than the hint's, and a redelivered hint may have found one that it was
    /// carried into; work there needs its slot. `behind`: the one that was taken for that.
    async fn with_slot_of(
        &self,
        (lease, held): (Box<Lease>, &LeaseGuard),
        hint: &Hint,
        slot: Slot,
        behind: Option<Slot>,
    ) -> Claimed {
        if lease.stage == hint.stage {
            return Claimed::Held(lease, slot);
        }
        drop(slot);
        if let Some(slot) = behind {
            return Claimed::Held(lease, slot);
        }
        let Some(entry) = self.stages.get(&lease.stage) else { return Claimed::Nothing };
        tokio::select! {
            Some(slot) = entry.slots.acquire(hint.lane) => Claimed::Held(lease, slot),
            () = self.stopping.cancelled() => self.hand_back_unbegun(&lease, held).await,
        }
    }

    async fn claim_once(&self, hint: &Hint, claimant: &Claimant) -> Result<ClaimOnce, StoreError> {
        let held = self.held_by(hint, claimant).await?;
        // By this very process, whose beats perhaps do not get through: only others can tell that it is dead.
        if held.is_some_and(|held| self.leases.works_on(hint.call_id, held)) {
            return Ok(ClaimOnce::HeldByIt);
        }
        let (run_no, stage) = held.map_or((hint.run_no, hint.stage), |(run, stage)| (Some(run), stage));
        let once = match run_no {
            Some(run_no) => self.stage_once(hint, claimant, run_no, stage).await?,
            None => self.start_once(hint, claimant).await?,
        };
        // Asked anew: between two statements its first life's last commit became visible, or its last beat too old.
        // The next look claims it; a delivery dropped now would leave it to the lease.
        if !matches!(once, ClaimOnce::Held { .. }) && self.held_by(hint, claimant).await?.is_some() {
            return Ok(ClaimOnce::HeldByIt);
        }
        Ok(once)
    }

    /// What the first life of a delivery that came back holds still, where it is work for this program.
    async fn held_by(
        &self,
        hint: &Hint,
        claimant: &Claimant,
    ) -> Result<Option<(i32, StageKind)>, StoreError> {
        if !claimant.redelivered {
            return Ok(None);
        }
        let held = self.deps.store.stage_of_hint(hint.call_id, claimant.hint_id).await?;
        Ok(held.filter(|(_, stage)| self.stages.contains_key(stage)))
    }

    async fn stage_once(
        &self,
        hint: &Hint,
        claimant: &Claimant,
        run_no: i32,
        stage: StageKind,
    ) -> Result<ClaimOnce, StoreError> {
        let store = &self.deps.store;
        let Some(entry) = self.stages.get(&stage) else { return Ok(ClaimOnce::Announce(Vec::new())) };
        let intent = self.intent(entry, hint.call_id, run_no, claimant.token);
        if let Some(lease) = store.stage_claim(hint.call_id, run_no, stage, claimant, intent.as_ref()).await?
        {
            // Its first life ended perhaps before it announced what it left to others. They are overdue soon.
            let announce = match claimant.redelivered {
                true => store.stages_pending(hint.call_id).await.unwrap_or_default(),
                false => Vec::new(),
            };
            return Ok(ClaimOnce::Held { lease: Box::new(lease), announce, behind: None });
        }
        Ok(match store.stage_why_not(hint.call_id, run_no, stage).await? {
            Unclaimed::Done(pending) => ClaimOnce::Announce(pending),
            Unclaimed::Superseded | Unclaimed::NotDue => ClaimOnce::Announce(Vec::new()),
        })
    }

    /// The purchase to record with a claim: none where the provider is perhaps not asked for now. It bears the number of
    /// the claim's token, so that a claim that is repeated finds the purchase that it recorded itself.
    pub(super) fn intent(
        &self,
        entry: &StageEntry,
        call_id: CallId,
        run_no: i32,
        token: LeaseToken,
    ) -> Option<JobIntent> {
        let asked = |engine: &str| {
            let circuit = circuit_of(entry.stage.kind(), engine);
            !self.deps.circuits.is_open(circuit) && self.deps.gates.is_free(circuit)
        };
        let intent = entry.stage.intent(call_id, run_no).filter(|intent| asked(&intent.engine))?;
        Some(JobIntent { id: JobId(token.0), ..intent })
    }

    async fn start_once(&self, hint: &Hint, claimant: &Claimant) -> Result<ClaimOnce, StoreError> {
        let store = &self.deps.store;
        let off = self.stages.get(&hint.stage).filter(|e| e.stage.is_off());
        // The run has no number yet; the purchase of the stage behind preprocessing does not depend on it.
        let next = off.and_then(|e| {
            self.continuation(e, hint.lane, (claimant.hint_id, claimant.token), (hint.call_id, 0))
        });
        let (go_on, behind) = next.unzip();
        let beginning = Beginning {
            assembles: self.stages.contains_key(&StageKind::Assembly)
                && !self.deps.switches.now().is_paused(StageKind::Assembly, hint.lane),
            unprepared: off.is_some(),
            go_on,
        };
        Ok(match store.run_start(hint.call_id, claimant, &beginning).await? {
            Some(Advanced { held: Some(lease), announce }) => {
                if off.is_some() && lease.stage != hint.stage {
                    ending::log_skipped(hint.stage, lease.run_no);
                }
                let behind = behind.filter(|_| lease.stage != StageKind::Assembly);
                ClaimOnce::Held { lease, announce, behind }
            }
            Some(Advanced { held: None, announce }) => ClaimOnce::Announce(announce),
            // It was carried as far as it went; what follows was perhaps never announced.
            None if claimant.redelivered => ClaimOnce::Announce(store.stages_pending(hint.call_id).await?),
            None => ClaimOnce::Announce(Vec::new()),
        })
    }
}
