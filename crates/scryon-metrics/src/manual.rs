//! The catalogue as a page.

use crate::described;

/// docs/metrics.md.
pub fn manual() -> String {
    let mut out = String::from(
        "# Metrics\n\nEvery program serves Prometheus text at `/metrics` (and `/actuator/prometheus`) of its admin port, \
         besides its process's CPU, memory and descriptors. Base units, closed label sets, no tenant label; every series starts at 0.\n\n\
         This page is written from the catalogue in `crates/scryon-metrics` by `make docs`; a test compares them.\n",
    );
    let mut group = "";
    for d in described() {
        if d.group != group {
            group = d.group;
            out.push_str(&format!(
                "\n## {group}\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n"
            ));
        }
        let kind = match d.kind {
            "Histogram" | "HistogramVec" => "histogram",
            _ if d.name.ends_with("_total") => "counter",
            _ => "gauge",
        };
        let labels = if d.labels.is_empty() { "–".to_owned() } else { d.labels.join(", ") };
        out.push_str(&format!("| `{}` | {kind} | {labels} | {} |\n", d.name, d.help.trim()));
    }
    out.push_str(
        "\n`scryon_calls_*_total` come from Postgres through the sweepers: hand-made changes and scale-down lose nothing. \
         Every sweeper exports the same totals, so dashboards take `max without (instance)`.\n",
    );
    out
}
