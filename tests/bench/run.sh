#!/usr/bin/env bash
# The benchmark: our stack, the peer and the database's limit in one run. Arguments go to the driver
# (`--help` lists them).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
target=${CARGO_TARGET_DIR:-target}
cargo build --release --workspace --bins --quiet
SERVICES_CLI=$target/release/scryon deploy/local/services.sh own bench
. var/services/bench.env
export DATABASE_URL AMQP_URL
exec "$target/release/scryon-bench" "$@"
