//! Purchases that belong to no call: a voice profile's, a question's. They serve nobody again, so their rows only say
//! what was spent; what they are about is there by its hash alone.

use scryon_domain::ids::TenantId;
use uuid::Uuid;

use crate::db::{Bind, Statement, Store, StoreError};

/// One, before it is sent.
#[derive(Debug, Clone)]
pub struct OwnPurchase {
    pub id: Uuid,
    pub tenant_id: TenantId,
    /// In place of a stage: `voiceprint` or `question`.
    pub what: &'static str,
    pub engine: &'static str,
    pub model: String,
    /// SHA-256 of what is sent.
    pub subject_sha256: Vec<u8>,
    /// US dollars.
    pub estimated_cost: Option<f64>,
}

/// How one ended.
#[derive(Debug, Clone, Copy)]
pub enum OwnPurchaseEnd<'a> {
    /// The provider has taken it under this name.
    Submitted {
        external_id: &'a str,
    },
    Succeeded {
        units: Option<f64>,
        unit: &'static str,
        billed_cost: Option<f64>,
    },
    /// Nothing was bought.
    Failed {
        error_code: &'a str,
    },
    /// Perhaps something was.
    Unknown {
        error_code: &'a str,
    },
}

/// No two are the same purchase: the parameters that tell them apart are the row's own id. Those of programs that died long
/// ago are settled on the way: of them nobody will hear any more.
const BEGIN: &str = "with old as (
         update provider_jobs set state = 'unknown', error_code = 'provider_submit_unconfirmed'
         where call_id is null and created_at < now() - interval '2 days' and state in ('sending', 'submitted'))
     insert into provider_jobs (id, tenant_id, stage, engine, model, params_hash, audio_sha256, purchase_no, live,
         state, cause, run_no, sent_at, estimated_cost)
     values ($1, $2, $3, $4, $5, $6, $7, 1, false, 'sending', 'first', 0, now(), $8::float8::numeric)";

const END: &str = "update provider_jobs set state = $2, external_id = coalesce($3, external_id), units = $4, unit = $5,
         billed_cost = $6::float8::numeric, error_code = $7, finished_at = case when $2 in ('succeeded', 'failed') then now() end
     where id = $1 and call_id is null and state not in ('succeeded', 'failed')";

impl Store {
    /// Records a purchase before it is sent.
    pub async fn own_purchase_begin(&self, purchase: &OwnPurchase) -> Result<(), StoreError> {
        let statement = Statement::new(BEGIN)
            .bind(purchase.id)
            .bind(&purchase.tenant_id)
            .bind(purchase.what)
            .bind(purchase.engine)
            .bind(purchase.model.as_str())
            .bind(purchase.id.as_bytes().to_vec())
            .bind(purchase.subject_sha256.clone())
            .bind(Bind::Double(purchase.estimated_cost));
        self.execute(statement).await.map(|_| ())
    }

    /// Records what became of it.
    pub async fn own_purchase_end(&self, id: Uuid, end: OwnPurchaseEnd<'_>) -> Result<(), StoreError> {
        let (state, external_id, units, unit, cost, code) = match end {
            OwnPurchaseEnd::Submitted { external_id } => {
                ("submitted", Some(external_id), None, None, None, None)
            }
            OwnPurchaseEnd::Succeeded { units, unit, billed_cost } => {
                ("succeeded", None, units, Some(unit), billed_cost, None)
            }
            OwnPurchaseEnd::Failed { error_code } => ("failed", None, None, None, None, Some(error_code)),
            OwnPurchaseEnd::Unknown { error_code } => ("unknown", None, None, None, None, Some(error_code)),
        };
        let statement = Statement::new(END)
            .bind(id)
            .bind(state)
            .bind(external_id)
            .bind(Bind::Double(units))
            .bind(unit)
            .bind(Bind::Double(cost))
            .bind(code);
        self.execute(statement).await.map(|_| ())
    }
}
