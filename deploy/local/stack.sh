#!/usr/bin/env bash
# The whole stack on this machine: Postgres and RabbitMQ (services.sh), then API, workers and sweeper as
# programs of their own.
#
#   stack.sh up            build, start what does not run, write var/dev.env
#   stack.sh demo [AUDIO]  up, then take one recording through and print what came out; with
#                          PROVIDERS=simulator on hosted engines that a simulator plays
#   stack.sh set NAME=VALUE…      keep settings for the programs and restart those whose settings changed:
#   stack.sh unset NAME…          what `railway variables set` or `kubectl set env` is elsewhere
#   stack.sh run COMMAND…         a command with the settings that the programs have (`railway run`, `kubectl exec`)
#   stack.sh stop          stop the programs; servers and data stay
#   stack.sh down          stop the programs, then the servers, and delete what they left
#
# STACK_VAR names another folder than var/ for a second stack; STACK_BUILD=no uses the programs as they are;
# DATABASE_URL and AMQP_URL together name its servers.
#
# var/dev.env can be sourced by sh: API_URL, DATABASE_URL, AMQP_URL, METRICS_URLS ('name=url …') and
# PIDS ('scryon-api=123 …'). Settings of the environment reach the programs as they are.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
services=$root/deploy/local/services.sh
profile=${PROFILE:-debug}
bin=${STACK_BIN:-$root/target/$profile}
var=${STACK_VAR:-$root/var}
programs=(scryon-api scryon-transcription-worker scryon-diarization-worker scryon-analysis-worker scryon-sweeper)
env_file=$var/dev.env
log=$var/log

say() { printf '[stack] %s\n' "$*" >&2; }
die() { printf '[stack] %s\n' "$*" >&2; exit 1; }
pause() { read -rt 0.1 <> <(:) || true; }

build() {
  [ "${STACK_BUILD:-yes}" != no ] || return 0
  command -v cargo >/dev/null || die "cargo is missing: install Rust from https://rustup.rs and run the command again"
  say "building ($profile; a first build takes minutes)"
  local flags=(--workspace --bins)
  [ "$profile" != release ] || flags+=(--release)
  (cd "$root" && cargo build --quiet "${flags[@]}")
}

# ---- programs ------------------------------------------------------------------------------------------
pid_of() { # PROGRAM: its id, if what runs under it is a program of this clone
  local pid
  pid=$(cat "$var/run/$1" 2>/dev/null) || return 1
  [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null || return 1
  case $(readlink "/proc/$pid/exe" 2>/dev/null) in "$bin/$1"* | "$root"/target/*/"$1"*) echo "$pid" ;; *) return 1 ;; esac
}
address_of() { # PROGRAM WORDS: where it says that it listens
  grep -F "$2" "$log/$1.log" | sed -n 's/.*address=\([^ ]*\).*/\1/p' | tail -n 1
}
start() { # PROGRAM ARGUMENTS
  pid_of "$1" >/dev/null && return 0
  (cd "$root" && exec setsid "$bin/$1" "${@:2}" >"$log/$1.log" 2>&1 </dev/null) &
  echo $! >"$var/run/$1"
}
is_up() { # PROGRAM
  kill -0 "$(cat "$var/run/$1")" 2>/dev/null || die "$1 ended: $(tail -n 3 "$log/$1.log")"
  # On a busy machine what was started may still be the shell that is about to become the program.
  pid_of "$1" >/dev/null || return 1
  local address; address=$(address_of "$1" 'admin port open')
  [ -n "$address" ] && answers "$address" /ready
}
answers() { # HOST:PORT PATH: 200
  local line
  line=$( (exec 3<>"/dev/tcp/${1%:*}/${1##*:}" && printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&3 && timeout 3 head -n 1 <&3) 2>/dev/null) || true
  case $line in *' 200 '*) return 0 ;; *) return 1 ;; esac
}
free_or_any() { if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then echo 0; else echo "$1"; fi; }

as_operator() { # DATABASE_URL: the same login in the role that operators have
  case $1 in
    *options=*) printf %s "${1/options=/options=-crole%3Dscryon_operator%20}" ;;
    *\?*) printf '%s&options=-crole%%3Dscryon_operator' "$1" ;;
    *) printf '%s?options=-crole%%3Dscryon_operator' "$1" ;;
  esac
}

# Settings that outlive a command, as those of a platform do.
settings() { # set NAME=VALUE… | unset NAME…
  local word=$1 setting name; shift
  [ $# -gt 0 ] || die "$word needs a setting"
  mkdir -p "$var"; touch "$var/settings.env"; chmod 600 "$var/settings.env"
  for setting in "$@"; do
    name=${setting%%=*}
    [[ $name =~ ^[A-Z][A-Z0-9_]*$ ]] || die "$name is no name of a setting"
    sed -i "/^$name=/d" "$var/settings.env"
    [ "$word" = unset ] || printf '%s=%q\n' "$name" "${setting#*=}" >>"$var/settings.env"
    [ "$word" = set ] || unset "$name"
  done
}

stop_programs() { # [PROGRAM…]: these, or all
  local program pid deadline=$((SECONDS + 40))
  [ $# -gt 0 ] || set -- "${programs[@]}" scryon-simulator
  for program in "$@"; do
    if pid=$(pid_of "$program"); then kill -TERM "$pid" 2>/dev/null || true; fi
  done
  for program in "$@"; do
    while pid=$(pid_of "$program"); do
      if [ $SECONDS -ge $deadline ]; then say "$program did not stop in time and is killed"; kill -KILL "$pid" 2>/dev/null || true; fi
      pause
    done
    rm -f "$var/run/$program"
  done
}

# What the programs are started with.
their_settings() {
  if [ -r "$var/settings.env" ]; then set -a; . "$var/settings.env"; set +a; fi
  if [ -z "${STACK_VAR:-}" ] && ! grep -q '^DATABASE_URL=' "$var/settings.env" 2>/dev/null; then
    . "$root/var/services/main.env"
  fi
  export OBJECT_STORAGE_LOCAL_PATH=${OBJECT_STORAGE_LOCAL_PATH:-$var/storage}
  export SCRYON_BACKUP_LOCAL_PATH=${SCRYON_BACKUP_LOCAL_PATH:-$var/backups}
  export DATABASE_URL AMQP_URL
}

up() {
  mkdir -p "$log" "$var/run"
  build
  if [ -z "${STACK_VAR:-}" ]; then
    export SERVICES_CLI=$bin/scryon
    "$services" tools
    "$services" up main
  fi
  their_settings
  mkdir -p "$OBJECT_STORAGE_LOCAL_PATH"
  # Whoever types has it; the programs do not.
  unset SCRYON_ADMIN_KEY
  "$bin/scryon" migrate >&2
  # Programs that already run keep their ports; a newer build or other settings replace them.
  local settings; settings=$({ env | grep -E '^(SCRYON_|LEMONFOX_|PYANNOTE_|LLM_|OBJECT_STORAGE_|DATABASE_URL|AMQP_URL|MAX_|SERVER_)' | sort; stat -c %Y "${programs[@]/#/$bin/}"; } | sha256sum)
  [ "$settings" = "$(cat "$var/run/settings" 2>/dev/null)" ] || stop_programs "${programs[@]}"
  printf %s "$settings" >"$var/run/settings"
  # The API keeps its address over a restart.
  [ -n "${SERVER_PORT:-}" ] || SERVER_PORT=$(cat "$var/run/port" 2>/dev/null) || SERVER_PORT=0
  [ "$SERVER_PORT" != 0 ] || [ -n "${STACK_VAR:-}" ] || SERVER_PORT=$(free_or_any 8080)
  export SCRYON_ADMIN_PORT=0 SERVER_PORT
  local program metrics='' pids='' deadline=$((SECONDS + 240))
  for program in "${programs[@]}"; do start "$program"; done
  for program in "${programs[@]}"; do
    until is_up "$program"; do
      [ $SECONDS -lt $deadline ] || die "$program is not ready: see $log/$program.log"
      pause
    done
    metrics+="$program=http://$(address_of "$program" 'admin port open')/metrics "
    pids+="$program=$(pid_of "$program") "
  done
  local api; api=$(address_of scryon-api 'API open')
  printf %s "${api##*:}" >"$var/run/port"
  cat >"$env_file" <<EOF
API_URL='http://$api'
DATABASE_URL='$DATABASE_URL'
AMQP_URL='$AMQP_URL'
OPERATOR_URL='$(as_operator "$DATABASE_URL")'
METRICS_URLS='${metrics% }'
PIDS='${pids% }'
EOF
}

# Hosted engines that a simulator plays: it says which settings lead to it.
with_simulator() {
  local deadline setting
  mkdir -p "$log" "$var/run"
  build
  deadline=$((SECONDS + 120))
  start scryon-simulator 127.0.0.1:0 --sandbox
  until grep -q '^SCRYON_WEBHOOK_SECRET=' "$log/scryon-simulator.log" 2>/dev/null; do
    [ $SECONDS -lt $deadline ] || die "the simulator is not ready: see $log/scryon-simulator.log"
    pause
  done
  while IFS= read -r setting; do export "${setting?}"; done < <(grep -E '^[A-Z_]+=' "$log/scryon-simulator.log")
  export SCRYON_DIARIZATION_POLL_INTERVAL_SECONDS=${SCRYON_DIARIZATION_POLL_INTERVAL_SECONDS:-1}
}

demo() {
  local audio=${1:-} bundled=$root/tests/fixtures/support-call.ogg
  if [ -z "$audio" ]; then
    audio=$bundled
    # In the bundled recording the left channel is the agent, who uses the product.
    export SCRYON_CHANNEL_ROLES=${SCRYON_CHANNEL_ROLES-USER,CONTACT}
  fi
  [ -r "$audio" ] || die "there is no readable recording at $audio"
  case ${PROVIDERS:-} in
    '') take "$audio" ;;
    simulator)
      with_simulator
      printf '\n==== Lemonfox, pyannoteAI and a language model (their words are the simulator'"'"'s) ====\n'
      take "$audio"
      export PYANNOTE_ENABLED=false
      printf '\n==== the same recording with PYANNOTE_ENABLED=false ====\n'
      take "$audio" ;;
    *) die "PROVIDERS is simulator, or not set" ;;
  esac
}

take() { # AUDIO
  local audio=$1 started seconds id
  up
  . "$env_file"; export API_URL
  say "uploading $(basename "$audio")"
  started=$(date +%s%N)
  id=$("$bin/scryon" --json upload --wait "$audio" | sed -n 's/.*"id":"\([^"]*\)".*/\1/p' | head -n 1) || true
  seconds=$((($(date +%s%N) - started) / 1000000))
  [ -n "$id" ] || die "the upload failed; the reason is above"
  printf '\n== Transcript ==\n'; "$bin/scryon" transcript "$id"
  printf '\n== Analysis ==\n'; "$bin/scryon" analysis "$id"
  [ -z "${PROVIDERS:-}" ] || { printf '\n== Who did what, and what it cost ==\n'; "$bin/scryon" costs "$id"; }
  printf '\n%s took %d.%03d s. The API is at %s and keeps running; `make down` stops it.\n' \
    "$(basename "$audio")" $((seconds / 1000)) $((seconds % 1000)) "$API_URL"
  printf 'Look around: API_URL=%s %s show %s\n' "$API_URL" "${bin#"$root"/}/scryon" "$id"
}

case ${1:-} in
  up)
    if [ "${PROVIDERS:-}" = simulator ]; then
      with_simulator
      # Its addresses are new with each start; what somebody has set since stays as it is.
      mapfile -t played < <(grep -E '^[A-Z_]+=' "$log/scryon-simulator.log" | while IFS= read -r setting; do
        case $setting in
          *_BASE_URL=*) printf '%s\n' "$setting" ;;
          *) grep -q "^${setting%%=*}=" "$var/settings.env" 2>/dev/null || printf '%s\n' "$setting" ;;
        esac
      done)
      settings set "${played[@]}" "SCRYON_DIARIZATION_POLL_INTERVAL_SECONDS=1"
    fi
    up; say "the stack runs; its addresses and process ids are in ${env_file#"$root"/}"; cat "$env_file" ;;
  demo) demo "${2:-}" ;;
  run) their_settings; PATH=$bin:$PATH exec "${@:2}" ;;
  stop) stop_programs "${programs[@]}"; say "the programs are stopped; \`up\` starts them again" ;;
  set | unset)
    # What the programs refuse is not kept: they would refuse the next, right, setting along with it.
    before=$(cat "$var/settings.env" 2>/dev/null || true)
    trap 'printf "%s\n" "$before" >"$var/settings.env"; say "the settings are as they were before; \`up\` starts programs that do not run"' EXIT
    settings "$@"; STACK_BUILD=no up
    trap - EXIT
    say "the programs run with these settings" ;;
  down)
    stop_programs
    [ -n "${STACK_VAR:-}" ] || "$services" down
    rm -rf "$log" "$var/run" "$var/storage" "$var/backups" "$var/settings.env" "$env_file"
    say "nothing of this clone runs any more" ;;
  *) sed -n '2,10p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//'; exit 64 ;;
esac
