//! Who holds a lease: this process, told apart from every other and from its own former lives.

use uuid::Uuid;

/// Host, process id and a uuid of this start.
pub fn owner_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let host = if host.is_empty() { "host" } else { host };
    format!("{host}:{}:{}", std::process::id(), Uuid::new_v4().simple())
}
