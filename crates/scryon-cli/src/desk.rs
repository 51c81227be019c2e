//! Where operators' orders go: to the API with an admin's key, or straight to the database while the API is down. Either
//! way they are the same orders, and audited.

use std::time::Duration;

use scryon_config::{Config, ProcessEnv};
use scryon_operations::{Actor, Operation, OperationError};
use scryon_store::Store;
use serde_json::Value;

use crate::api::Api;
use crate::output::Failure;
use crate::own_store;

/// Longest statement of an order.
const PATIENCE: Duration = Duration::from_secs(120);

/// How orders are given.
pub(crate) enum Desk {
    Api(Api),
    /// The database, and who is logged in here.
    Direct(Box<Store>, Actor),
}

impl Desk {
    /// The API where there is an admin's key, unless the database is wanted.
    pub(crate) fn open(
        api: impl FnOnce() -> Result<Api, Failure>,
        admin_key: Option<&str>,
        direct: bool,
    ) -> Result<Self, Failure> {
        if let Some(key) = admin_key.filter(|_| !direct) {
            return Ok(Self::Api(api()?.with_bearer(key)));
        }
        let config =
            Config::from_env(&ProcessEnv).map_err(|e| Failure::new(Failure::USAGE, e.to_string()))?;
        let store = own_store(&config, "scryon-operator", PATIENCE)?;
        let login = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_default();
        let login = if login.is_empty() { "unknown".to_owned() } else { login };
        Ok(Self::Direct(Box::new(store), Actor { name: format!("direct:{login}"), request_id: None }))
    }

    /// Gives an order, or asks.
    pub(crate) async fn order(&self, operation: Operation) -> Result<Value, Failure> {
        match self {
            Self::Api(api) => api.operate(&operation).await,
            Self::Direct(store, actor) => {
                operation.carry_out(store, actor).await.map_err(|error| match error {
                    OperationError::Store(error) => Failure::from_store(error),
                    error => Failure::new(Failure::REFUSED, error.to_string()),
                })
            }
        }
    }
}
