#!/usr/bin/env bash
# The providers' own published clients against the simulator, unmodified but for their base address: if they
# cannot tell the difference, neither can ours. Needs Python 3 and the Python package index.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
here=$root/tests/sdks
venv=$root/var/sdks
if ! cmp -s "$here/requirements.txt" "$venv/installed"; then
  "$root/deploy/local/services.sh" python
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
  cp "$here/requirements.txt" "$venv/installed"
fi
log=$(mktemp)
"$root/target/debug/scryon-simulator" 127.0.0.1:0 --sandbox >"$log" &
simulator=$!
trap 'kill $simulator 2>/dev/null; rm -f "$log"' EXIT
deadline=$((SECONDS + 20))
until grep -q '^SCRYON_WEBHOOK_SECRET=' "$log"; do
  [ $SECONDS -lt $deadline ] || { echo 'the simulator did not start' >&2; exit 1; }
  read -rt 0.05 <> <(:) || true
done
SIMULATOR=$(sed -n 's/^fake provider at //p' "$log") "$venv/bin/python" "$here/sdks.py"
