//! Who is asking.

use diesel::sql_types::{Nullable, Text};
use scryon_domain::ids::{TenantId, UserId};
use uuid::Uuid;

use crate::calls::Owner;
use crate::db::{Statement, Store, StoreError};

#[derive(diesel::QueryableByName)]
struct UserRow {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    account_status: String,
    #[diesel(sql_type = Nullable<Text>)]
    #[allow(dead_code)] // read by later profile features; keeps the statement one
    display_name: Option<String>,
}

/// A person or service account that may act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub owner: Owner,
    /// ACTIVE, SUSPENDED or DISABLED.
    pub account_status: String,
}

const ENSURE: &str = "with made as (
         insert into users (tenant_id, external_user_id) values ($1, $2) on conflict (tenant_id, external_user_id) do nothing
         returning id, account_status, display_name)
     select * from made
     union all select id, account_status, display_name from users where tenant_id = $1 and external_user_id = $2
     limit 1";

impl Store {
    /// Finds a user by the identity provider's id; makes one on the first visit.
    pub async fn user_ensure(
        &self,
        tenant_id: &TenantId,
        external_user_id: &str,
    ) -> Result<User, StoreError> {
        let statement = || Statement::new(ENSURE).bind(tenant_id).bind(external_user_id);
        // Two first visits at once: the loser's snapshot shows neither row, a second look does.
        let row: Option<UserRow> = match self.row(statement()).await? {
            Some(row) => Some(row),
            None => self.row(statement()).await?,
        };
        let row = row.ok_or_else(|| StoreError::row("the user was neither found nor made"))?;
        Ok(User {
            owner: Owner { tenant_id: tenant_id.clone(), user_id: UserId(row.id) },
            account_status: row.account_status,
        })
    }
}
