//! What lies in storage.

use std::path::Path;

/// Objects of calls in storage.
pub fn objects(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.join("tenants")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(_) => {
                    let path = entry.path().to_string_lossy().into_owned();
                    if path.contains("/calls/") {
                        found.push(path);
                    }
                }
                Err(_) => {}
            }
        }
    }
    found
}
