//! Identifiers as types: a tenant id in a call slot must not compile.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id!(
    /// One recording and everything derived from it. Version 7, so that new calls sit together in indexes.
    CallId
);
uuid_id!(
    /// A person or service account inside one tenant.
    UserId
);
uuid_id!(
    /// Proof of a lease: every write of a worker carries it, and a token that was replaced writes nothing.
    LeaseToken
);
uuid_id!(
    /// Identity of one queue message; a redelivery carries the same one.
    HintId
);
uuid_id!(
    /// One row of the purchase ledger; also sent to providers that honour idempotency keys.
    JobId
);

impl CallId {
    /// A new id, ordered by time.
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl Default for CallId {
    fn default() -> Self {
        Self::new()
    }
}

impl LeaseToken {
    /// A token nobody else holds. Ordered by time, because the purchase that a claim records bears its number.
    pub fn fresh() -> Self {
        Self(Uuid::now_v7())
    }
}

impl HintId {
    /// A message id nobody else uses.
    pub fn fresh() -> Self {
        Self(Uuid::new_v4())
    }
}

/// An organisation. Text, because operators type it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantId(pub String);

impl TenantId {
    /// The tenant of a machine that configures none.
    pub const DEFAULT: &'static str = "default";

    /// The default tenant.
    pub fn default_tenant() -> Self {
        Self(Self::DEFAULT.to_owned())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
