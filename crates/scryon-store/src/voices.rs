//! Voice profiles. What is in them is encrypted before it comes here.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Binary, Double, Integer, Nullable, Text, Timestamptz};
use scryon_domain::ids::{TenantId, UserId};
use uuid::Uuid;

use crate::calls::Owner;
use crate::db::{Statement, Store, StoreError};
use crate::vault::Sealed;

/// A profile that is about to be made.
#[derive(Debug, Clone)]
pub struct NewVoice {
    pub id: Uuid,
    pub provider: &'static str,
    pub model: &'static str,
    pub consent_version: String,
    pub sample_count: i32,
    pub sample_seconds: f64,
}

/// A profile without its voice.
#[derive(Debug, Clone, diesel::QueryableByName)]
pub struct VoiceRow {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    pub id: Uuid,
    /// PENDING, ACTIVE or FAILED.
    #[diesel(sql_type = Text)]
    pub state: String,
    #[diesel(sql_type = Text)]
    pub provider: String,
    #[diesel(sql_type = Text)]
    pub model: String,
    #[diesel(sql_type = Text)]
    pub consent_version: String,
    #[diesel(sql_type = Integer)]
    pub sample_count: i32,
    #[diesel(sql_type = Double)]
    pub sample_seconds: f64,
    #[diesel(sql_type = Nullable<Text>)]
    pub external_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub error_code: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
    /// Since the last change, on the database's clock.
    #[diesel(sql_type = Double)]
    pub age_seconds: f64,
}

/// A profile in use.
#[derive(Debug, Clone)]
pub struct ActiveVoice {
    pub id: Uuid,
    pub model: String,
    pub consent_version: String,
    pub embedding: Sealed,
}

impl ActiveVoice {
    /// What its encryption is bound to.
    pub fn place(&self) -> String {
        voice_place(self.id)
    }
}

/// What the encryption of a profile is bound to.
pub fn voice_place(id: Uuid) -> String {
    format!("voice profile {id}")
}

#[derive(diesel::QueryableByName)]
struct ActiveRow {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    model: String,
    #[diesel(sql_type = Text)]
    consent_version: String,
    #[diesel(sql_type = Binary)]
    embedding: Vec<u8>,
    #[diesel(sql_type = Text)]
    key_id: String,
}

#[derive(diesel::QueryableByName)]
struct StateRow {
    #[diesel(sql_type = Text)]
    state: String,
}

/// A profile in use stays in use until the new one is made.
const BEGIN: &str = "insert into user_voice_profiles
         (id, tenant_id, user_id, state, provider, model, consent_version, sample_count, sample_seconds)
     values ($1, $2, $3, 'PENDING', $4, $5, $6, $7, $8)
     on conflict (user_id, state) do update set id = excluded.id, provider = excluded.provider, model = excluded.model,
         consent_version = excluded.consent_version, consented_at = now(), sample_count = excluded.sample_count,
         sample_seconds = excluded.sample_seconds, external_id = null, created_at = now(), updated_at = now()
     returning state";

const SUBMITTED: &str = "update user_voice_profiles set external_id = $2, updated_at = now()
     where id = $1 and state = 'PENDING' returning state";

/// Reading `gone` in the update makes sure that the rows it replaces are out of the way first.
const ACTIVATE: &str = "with mine as (select id, user_id from user_voice_profiles where id = $1 and state = 'PENDING' for update),
     gone as (delete from user_voice_profiles p using mine where p.user_id = mine.user_id and p.id <> mine.id returning p.id)
     update user_voice_profiles p set state = 'ACTIVE', embedding = $2, key_id = $3, external_id = null, updated_at = now()
     from mine where p.id = mine.id and (select count(*) from gone) >= 0 returning p.state";

const FAIL: &str = "with mine as (select id, user_id from user_voice_profiles where id = $1 and state = 'PENDING' for update),
     gone as (delete from user_voice_profiles p using mine where p.user_id = mine.user_id and p.state = 'FAILED' returning p.id)
     update user_voice_profiles p set state = 'FAILED', error_code = $2, external_id = null, updated_at = now()
     from mine where p.id = mine.id and (select count(*) from gone) >= 0 returning p.state";

const RESEAL: &str = "update user_voice_profiles set embedding = $2, key_id = $3
     where id = $1 and state = 'ACTIVE' and key_id = $4 returning state";

const LIST: &str = "select id, state, provider, model, consent_version, sample_count, sample_seconds, external_id, error_code,
         created_at, updated_at, extract(epoch from now() - updated_at)::float8 as age_seconds
     from user_voice_profiles where tenant_id = $1 and user_id = $2 order by created_at";

const ACTIVE: &str = "select id, model, consent_version, embedding, key_id from user_voice_profiles
     where tenant_id = $1 and user_id = $2 and state = 'ACTIVE'";

const DELETE: &str = "delete from user_voice_profiles where tenant_id = $1 and user_id = $2 returning state";

impl Store {
    /// Records that a profile is being made, before anything is asked of a provider.
    pub async fn voice_begin(&self, owner: &Owner, new: &NewVoice) -> Result<(), StoreError> {
        let statement = Statement::new(BEGIN)
            .bind(new.id)
            .bind(&owner.tenant_id)
            .bind(owner.user_id)
            .bind(new.provider)
            .bind(new.model)
            .bind(new.consent_version.as_str())
            .bind(new.sample_count)
            .bind(new.sample_seconds);
        self.row::<StateRow>(statement).await.map(|_| ())
    }

    /// The provider has taken the job. False: the profile was deleted or begun anew.
    pub async fn voice_submitted(&self, id: Uuid, external_id: &str) -> Result<bool, StoreError> {
        let statement = Statement::new(SUBMITTED).bind(id).bind(external_id);
        Ok(self.row::<StateRow>(statement).await?.is_some())
    }

    /// Puts a profile into use in place of the one before. False: it was deleted or begun anew meanwhile.
    pub async fn voice_activate(&self, id: Uuid, embedding: &Sealed) -> Result<bool, StoreError> {
        let statement =
            Statement::new(ACTIVATE).bind(id).bind(embedding.bytes.clone()).bind(embedding.key_id.as_str());
        Ok(self.row::<StateRow>(statement).await?.is_some())
    }

    /// The profile cannot be made; one that is in use stays.
    pub async fn voice_fail(&self, id: Uuid, code: &str) -> Result<bool, StoreError> {
        Ok(self.row::<StateRow>(Statement::new(FAIL).bind(id).bind(code)).await?.is_some())
    }

    /// The same voice under another key. False: it is not in use under the old one.
    pub async fn voice_reseal(&self, old: &ActiveVoice, new: &Sealed) -> Result<bool, StoreError> {
        let statement = Statement::new(RESEAL)
            .bind(old.id)
            .bind(new.bytes.clone())
            .bind(new.key_id.as_str())
            .bind(old.embedding.key_id.as_str());
        Ok(self.row::<StateRow>(statement).await?.is_some())
    }

    /// A user's profiles without their voices, oldest first.
    pub async fn voices(&self, owner: &Owner) -> Result<Vec<VoiceRow>, StoreError> {
        self.rows(Statement::new(LIST).bind(&owner.tenant_id).bind(owner.user_id)).await
    }

    /// The profile that a user's calls are compared with.
    pub async fn voice_active(
        &self,
        tenant_id: &TenantId,
        user_id: UserId,
    ) -> Result<Option<ActiveVoice>, StoreError> {
        let row: Option<ActiveRow> = self.row(Statement::new(ACTIVE).bind(tenant_id).bind(user_id)).await?;
        Ok(row.map(|row| ActiveVoice {
            id: row.id,
            model: row.model,
            consent_version: row.consent_version,
            embedding: Sealed { bytes: row.embedding, key_id: row.key_id },
        }))
    }

    /// Deletes a user's profiles, also one in the making. True: there was one in use.
    pub async fn voice_delete(&self, owner: &Owner) -> Result<bool, StoreError> {
        let statement = Statement::new(DELETE).bind(&owner.tenant_id).bind(owner.user_id);
        let gone: Vec<StateRow> = self.rows(statement).await?;
        Ok(gone.iter().any(|row| row.state == "ACTIVE"))
    }
}
