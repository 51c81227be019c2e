//! What calls and tenants cost: the ledger, read for people.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Double, Integer, Nullable, Text, Timestamptz};
use scryon_domain::ids::CallId;
use serde::Serialize;
use uuid::Uuid;

use crate::calls::Owner;
use crate::db::{Statement, Store, StoreError};

/// One request to a provider, made or perhaps made for a call. Costs are US dollars.
#[derive(Debug, Clone, Serialize, diesel::QueryableByName)]
#[serde(rename_all = "camelCase")]
pub struct CallCost {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = Integer)]
    pub run: i32,
    #[diesel(sql_type = Text)]
    pub stage: String,
    #[diesel(sql_type = Text)]
    pub engine: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Text>)]
    pub model: Option<String>,
    /// first, retry, failover, repair, ambiguous or reset.
    #[diesel(sql_type = Text)]
    pub cause: String,
    #[diesel(sql_type = Text)]
    pub state: String,
    /// Times it was sent; more than once only under one idempotency key.
    #[diesel(sql_type = Integer)]
    pub sends: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Double>)]
    pub units: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Text>)]
    pub unit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Double>)]
    pub estimated_cost: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Double>)]
    pub billed_cost: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Text>)]
    pub error_code: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub finished_at: Option<DateTime<Utc>>,
}

/// What a tenant bought of one model of an engine. Costs are US dollars.
#[derive(Debug, Clone, Serialize, diesel::QueryableByName)]
#[serde(rename_all = "camelCase")]
pub struct TenantCost {
    #[diesel(sql_type = Text)]
    pub tenant: String,
    #[diesel(sql_type = Text)]
    pub stage: String,
    #[diesel(sql_type = Text)]
    pub engine: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Text>)]
    pub model: Option<String>,
    /// Requests that gave an answer.
    #[diesel(sql_type = BigInt)]
    pub purchases: i64,
    /// Of these, those that were made a second time by a decision.
    #[diesel(sql_type = BigInt)]
    pub bought_again: i64,
    /// Requests of which nobody knows yet whether they were taken.
    #[diesel(sql_type = BigInt)]
    pub unsettled: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Double>)]
    pub units: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[diesel(sql_type = Nullable<Text>)]
    pub unit: Option<String>,
    #[diesel(sql_type = Double)]
    pub billed_cost: f64,
}

const OF_CALL: &str =
    "select j.id, j.run_no as run, j.stage, j.engine, j.model, j.cause::text, j.state::text, j.sends, j.units, j.unit,
         j.estimated_cost::float8, j.billed_cost::float8, j.error_code, j.created_at, j.finished_at
     from call_records c join provider_jobs j on j.call_id = c.id
     where c.tenant_id = $1 and c.user_id = $2 and c.id = $3 order by j.created_at, j.stage, j.purchase_no";

const OF_TENANTS: &str =
    "select tenant_id as tenant, stage, engine, model, count(*) filter (where state = 'succeeded') as purchases,
         count(*) filter (where state = 'succeeded' and cause in ('ambiguous', 'repair', 'reset')) as bought_again,
         count(*) filter (where state in ('intent', 'sending', 'submitted', 'unknown')) as unsettled,
         sum(units) as units, max(unit) as unit, coalesce(sum(billed_cost), 0)::float8 as billed_cost
     from provider_jobs where created_at > now() - $1 * interval '1 second' and ($2::text is null or tenant_id = $2)
     group by tenant_id, stage, engine, model order by tenant_id, billed_cost desc, stage, engine, model";

impl Store {
    /// What was bought for the owner's call, oldest first. Empty also where there is no such call.
    pub async fn call_costs(&self, owner: &Owner, id: CallId) -> Result<Vec<CallCost>, StoreError> {
        self.rows(Statement::new(OF_CALL).bind(&owner.tenant_id).bind(owner.user_id).bind(id)).await
    }

    /// What tenants, or one of them, bought since `age` ago.
    pub async fn tenant_costs(
        &self,
        age: Duration,
        tenant: Option<&str>,
    ) -> Result<Vec<TenantCost>, StoreError> {
        self.rows(Statement::new(OF_TENANTS).bind(age).bind(tenant)).await
    }
}
