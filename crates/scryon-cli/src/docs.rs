//! `scryon docs`: the generated pages.

use std::path::Path;

use crate::output::Failure;

/// Writes the pages into `folder`.
pub(crate) fn write(folder: &Path) -> Result<u8, Failure> {
    let pages = [("configuration.md", scryon_config::manual()), ("metrics.md", scryon_metrics::manual())];
    for (name, page) in pages {
        let path = folder.join(name);
        std::fs::write(&path, page)
            .map_err(|e| Failure::new(Failure::STOPPED, format!("{}: {e}", path.display())))?;
    }
    Ok(0)
}
