#!/usr/bin/env bash
# Runs the tests and prints their counts.
#
#   run.sh all|unit|sdks|integration|runbooks|faults|soak
#
# One build of the whole workspace serves every step: selecting single packages would build their
# dependencies again with fewer features.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
out=$(mktemp)
trap 'rm -f "$out"' EXIT
failed=0

# A step that hangs is ended with all it started: a run that is ended from outside names nothing.
step() { # NAME MINUTES COMMAND...
  local name=$1 minutes=$2 begun=$SECONDS; shift 2
  [ "${SCRYON_FAULTS_FULL:-}" != 1 ] || minutes=$((minutes * 10))
  printf '== %s\n' "$name"
  timeout --kill-after=30 "${minutes}m" "$@" 2>&1 | tee -a "$out" | grep --line-buffered -vE '^(running|test result: ok\. 0 passed|$)|^ +(Running|Doc-tests)'
  local ended=${PIPESTATUS[0]}
  [ "$ended" -eq 0 ] || { failed=1; printf '== %s FAILED\n' "$name"; }
  [ "$ended" -ne 124 ] || printf '== ended after %s minutes, which is its limit\n' "$minutes"
  printf '== %s: %s s\n' "$name" $((SECONDS - begun))
}

what=${1:-all}
case $what in all | unit | sdks | integration | runbooks | faults | soak) ;; *) sed -n '2,8p' "$0" | sed 's/^# \{0,1\}//'; exit 64 ;; esac
printf '== build\n'
cargo test --workspace --no-run --quiet || exit 1
cargo build --workspace --bins --quiet || exit 1
if [ "$what" != unit ] && [ "$what" != sdks ]; then
  deploy/local/services.sh tools || exit 1
  SERVICES_CLI=target/debug/scryon deploy/local/services.sh up main || exit 1
  . var/services/main.env
  export DATABASE_URL AMQP_URL
fi
case $what in all | unit) step 'unit, property and snapshot tests' 20 cargo test --workspace --lib --bins --test domain --test hosted --test program --no-fail-fast ;; esac
# The providers' own clients, from the Python package index, against the simulator.
case $what in all | sdks) step 'published clients of providers' 15 tests/sdks/run.sh ;; esac
# They wait for servers more than they compute.
case $what in all | integration) step 'integration tests' 20 cargo test --workspace --test integration --no-fail-fast -- --test-threads=6 ;; esac
# Whole stacks of programs, two at a time. Their figures are part of the result.
case $what in all | runbooks) step 'runbooks, executed' 15 cargo test --workspace --test runbooks --no-fail-fast -- --test-threads=2 --nocapture ;; esac
# One at a time: they kill, stop and load.
# With SCRYON_FAULTS_FULL=1 they say how much they did: that run is a proof, and read.
shown=()
[ "${SCRYON_FAULTS_FULL:-}" != 1 ] || shown=(--show-output)
case $what in all | faults) step 'fault tests' 45 cargo test --workspace --test faults --no-fail-fast -- --test-threads=1 "${shown[@]}" ;; esac
# Minutes of everything at once; three of them here, more with `make soak MINUTES=…`.
case $what in all | soak) step 'soak' $((${SOAK_MINUTES:-3} + 12)) cargo test --workspace --test soak --no-fail-fast -- --nocapture ;; esac

awk '/^test result:/ { passed += $4; failed += $6; ignored += $8 } /^test .* FAILED$/ { red = red "\n  " $2 }
     END { printf "\ntests: %d passed, %d failed, %d ignored%s\n", passed, failed, ignored, red; exit failed > 0 || passed == 0 }' "$out" || failed=1
exit $failed
