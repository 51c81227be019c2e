//! `scryon check`: does a server let us in?

use std::time::Duration;

use scryon_domain::epoch::Epoch;
use scryon_queue::QueueSettings;
use scryon_store::{Store, StoreSettings};

use crate::output::Failure;

/// Checks every server that is named.
pub(crate) async fn check(database: Option<&str>, amqp: Option<&str>) -> Result<u8, Failure> {
    if let Some(url) = database {
        let settings = StoreSettings {
            url: url.to_owned(),
            application_name: "scryon-check".to_owned(),
            pool_size: 1,
            pool_wait: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(3),
            statement_timeout: Duration::from_secs(3),
            lock_timeout: None,
            step_pace: Duration::ZERO,
        };
        let store = Store::new(&settings).map_err(Failure::from_store)?;
        store.ping().await.map_err(Failure::from_store)?;
    }
    if let Some(url) = amqp {
        let settings = QueueSettings {
            url: url.to_owned(),
            prefix: "scryon".to_owned(),
            program: "scryon-check".to_owned(),
            epoch: Epoch::default(),
        };
        let connection = scryon_queue::connect(&settings, "check")
            .await
            .map_err(|e| Failure::new(Failure::UNAVAILABLE, e.to_string()))?;
        scryon_queue::close(connection).await;
    }
    Ok(0)
}
