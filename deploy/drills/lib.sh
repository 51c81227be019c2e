# Functions of the drills in docs/runbooks: they make a trouble and look whether it is there. The steps of a page do not
# use them: those stand alone, as printed. Sourced by `scryon runbook drill`.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
stack=${STACK_VAR:-$root/var}
. "$stack/dev.env"
export API_URL DATABASE_URL AMQP_URL OPERATOR_URL
# Calls that a drill of many calls makes.
many=${DRILL_CALLS:-40}

sql() { psql -X -At --no-password -v ON_ERROR_STOP=1 -c "$1" "$DATABASE_URL"; }
pause() { read -rt "${1:-0.2}" <> <(:) || true; }

# A recording nobody else has: mono, 16 bit, 8 kHz, noise.
wav() { # SECONDS FILE
  local bytes=$(($1 * 16000))
  le() { local n=$1 i; for ((i = 0; i < $2; i++)); do printf "\\x$(printf %02x $((n & 255)))"; n=$((n >> 8)); done; }
  { printf RIFF; le $((bytes + 36)) 4; printf 'WAVEfmt '; le 16 4; le 1 2; le 1 2; le 8000 4; le 16000 4; le 2 2; le 16 2
    printf data; le "$bytes" 4; head -c "$bytes" /dev/urandom; } >"$2"
}
upload() { # [HOW MANY]: prints the calls' ids, one per line
  local folder n; folder=$(mktemp -d)
  for ((n = 0; n < ${1:-1}; n++)); do wav 12 "$folder/$n.wav"; done
  scryon --json upload "$folder"/*.wav | sed -n 's/.*"callId":"\([^"]*\)".*/\1/p'
  rm -rf "$folder"
}
wait_until() { # SECONDS COMMAND…
  local deadline=$((SECONDS + $1)); shift
  until "$@"; do
    [ $SECONDS -lt $deadline ] || { echo "waited in vain for: $*" >&2; return 1; }
    pause
  done
}
has_status() { [ "$(sql "select status from call_records where id = '$1'")" = "$2" ]; }
wait_status() { wait_until 60 has_status "$1" "$2"; } # ID STATUS
counts() { [ "$(sql "$1")" = "$2" ]; } # SQL NUMBER
wait_count() { wait_until 120 counts "$1" "$2"; }

simulator() { sed -n 's/^fake provider at //p' "$stack/log/scryon-simulator.log"; }
fault() { # JSON of an order
  curl -fsS -X POST "$(simulator)/control/faults" -H 'content-type: application/json' -d "$1" >/dev/null
}
no_faults() { curl -fsS -X DELETE "$(simulator)/control/faults" >/dev/null; }
release() { curl -fsS -X POST "$(simulator)/control/release" >/dev/null; }
bought() { # ROUTE: purchases in the simulator's own ledger
  curl -fsS "$(simulator)/ledger" | tr '{' '\n' | awk -v route="\"route\":\"$1\"" '
    index($0, route) && match($0, /"count":[0-9]+/) { sum += substr($0, RSTART + 8, RLENGTH - 8) } END { print sum + 0 }'
}
objects_of() { find "${OBJECT_STORAGE_LOCAL_PATH:-$stack/storage}" -path "*/$1/*" -type f 2>/dev/null | wc -l; } # CALL
pid_of() { cat "$stack/run/$1"; }
http_status() { curl -s -o /dev/null -w '%{http_code}' "$@"; }
set_settings() { "$root/deploy/local/stack.sh" set "$@"; . "$stack/dev.env"; }
unset_settings() { "$root/deploy/local/stack.sh" unset "$@"; . "$stack/dev.env"; }
profiles_are_there() { [ "$(http_status "$API_URL/api/users/me/voice-profile/status")" = 200 ]; }
