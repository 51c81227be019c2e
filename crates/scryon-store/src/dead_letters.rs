//! Messages nobody could use, kept where people can see them.

use serde_json::Value;
use uuid::Uuid;

use crate::db::{Bind, Statement, Store, StoreError};

/// A letter as the broker handed it over.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Unique per message, so that a letter delivered twice is kept once.
    pub message_id: String,
    pub queue: Option<String>,
    pub reason: Option<String>,
    pub call_id: Option<Uuid>,
    pub body: Vec<u8>,
    pub headers: Value,
}

impl Store {
    /// Keeps a letter; keeping it again changes nothing.
    pub async fn dead_letter_insert(&self, letter: &DeadLetter) -> Result<(), StoreError> {
        let sql = "insert into dead_letters (message_id, queue, reason, call_id, body, headers)
                   values ($1, $2, $3, $4, $5, $6) on conflict (message_id) do nothing";
        let statement = Statement::new(sql)
            .bind(letter.message_id.as_str())
            .bind(letter.queue.as_deref())
            .bind(letter.reason.as_deref())
            .bind(Bind::Uuid(letter.call_id))
            .bind(letter.body.clone())
            .bind(letter.headers.clone());
        self.execute(statement).await.map(|_| ())
    }
}
