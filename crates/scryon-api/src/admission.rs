//! Whether a fresh call is announced at once or held for the dispatcher: below its tenant's cap it is.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use scryon_domain::ids::TenantId;
use scryon_store::Store;
use tracing::debug;

/// How long a count is believed.
const FRESH: Duration = Duration::from_secs(1);

/// Room per tenant, counted at most once a second.
#[derive(Debug)]
pub(crate) struct Admission {
    default_cap: i64,
    rooms: Mutex<HashMap<TenantId, Room>>,
}

#[derive(Debug, Clone, Copy)]
struct Room {
    counted: Instant,
    left: i64,
    in_flight: i64,
}

impl Admission {
    pub(crate) fn new(default_cap: u32) -> Self {
        Self { default_cap: i64::from(default_cap), rooms: Mutex::new(HashMap::new()) }
    }

    /// Takes a place where there is one. A count that cannot be had means no: the dispatcher announces.
    pub(crate) async fn take(&self, store: &Store, tenant: &TenantId) -> bool {
        self.with_room(store, tenant, |room| {
            room.left -= 1;
            room.left >= 0
        })
        .await
        .unwrap_or(false)
    }

    /// Calls of the tenant in flight, roughly.
    pub(crate) async fn in_flight(&self, store: &Store, tenant: &TenantId) -> i64 {
        self.with_room(store, tenant, |room| room.in_flight).await.unwrap_or(0)
    }

    async fn with_room<T>(
        &self,
        store: &Store,
        tenant: &TenantId,
        use_it: impl FnOnce(&mut Room) -> T,
    ) -> Option<T> {
        {
            let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(room) = rooms.get_mut(tenant)
                && room.counted.elapsed() < FRESH
            {
                return Some(use_it(room));
            }
        }
        let (in_flight, cap) = match store.tenant_in_flight(tenant).await {
            Ok(found) => found,
            Err(error) => {
                debug!(error = %error, "failed to count a tenant's calls in flight");
                return None;
            }
        };
        let left = cap.map_or(self.default_cap, i64::from) - in_flight;
        let mut room = Room { counted: Instant::now(), left, in_flight };
        let result = use_it(&mut room);
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone(), room);
        Some(result)
    }
}
