//! Which life of an installation this is. A restore from a backup begins a new one; what an earlier life sent out is told
//! apart by its number.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

/// The epoch as this process knows it. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Epoch(Arc<AtomicI32>);

impl Epoch {
    /// The number.
    pub fn get(&self) -> i32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Learns it; gives the one before.
    pub fn set(&self, epoch: i32) -> i32 {
        self.0.swap(epoch, Ordering::Relaxed)
    }
}
