#!/usr/bin/env bash
# PostgreSQL and RabbitMQ for this clone: found, or started, or an exact word on what to install.
#
#   services.sh up [NAME]              find or start a pair; writes var/services/NAME.env (default name: main)
#   services.sh own NAME               start a pair of our own, never a found one (fault tests stop and kill it)
#   services.sh stop|start|kill NAME postgres|rabbitmq     only for pairs of our own
#   services.sh rabbitmqctl NAME ARG...                    rabbitmqctl of a pair of our own
#   services.sh tools                  ffmpeg, pocketsphinx, psql, curl, openssl, installed where that is possible
#   services.sh python                 Python 3 with venv, installed where that is possible
#   services.sh faketime               a library that shifts the clock of a program, for fault tests; prints its path
#   services.sh down                   stop every pair this clone started and delete its data
#
# Order of search for `up`: DATABASE_URL / AMQP_URL; the default ports of this machine (used only if the
# login works); a Docker engine with deploy/compose.yaml; Debian packages as root. Data of our own servers
# lives in folders of the service users (~postgres, ~rabbitmq): a clone may sit in a 0700 folder that they
# cannot enter. Nothing here touches another cluster, another node or the system's epmd.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
state=$root/var/services
clone_id=$(printf %s "$root" | sha256sum | cut -c1-8)
pg_home=/var/lib/postgresql/scryon-$clone_id
mq_home=/var/lib/rabbitmq/scryon-$clone_id
compose=$root/deploy/compose.yaml

say() { printf '[services] %s\n' "$*" >&2; }
die() { printf '[services] %s\n' "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" = 0 ]; }
has_docker() { has docker && docker info >/dev/null 2>&1; }
has_apt() { is_root && has apt-get && [ -r /etc/debian_version ]; }
listening() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

# Waits until a command succeeds; polls, because neither server announces readiness to a stranger.
wait_until() { # SECONDS WHAT COMMAND...
  local deadline=$((SECONDS + $1)) what=$2; shift 2
  until "$@"; do
    [ $SECONDS -lt $deadline ] || die "$what did not become ready in time; see the logs named above"
    read -rt 0.1 <> <(:) || true
  done
}

# ---- packages ------------------------------------------------------------------------------------------
# A package must not leave a system service running: policy-rc.d refuses starts while apt works, and
# PostgreSQL is told not to make its default cluster. An existing policy file or setting is put back.
apt_install() {
  has_apt || return 1
  local missing=() p
  for p in "$@"; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q '^install ok installed' || missing+=("$p")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing Debian packages: ${missing[*]}"
  local policy=/usr/sbin/policy-rc.d cluster=/etc/postgresql-common/createcluster.conf
  exec 8>/var/lock/scryon-apt.lock; flock 8
  local log; log=$(mktemp)
  (
    [ ! -e $policy ] || mv $policy $policy.scryon-saved
    [ ! -e $cluster ] || cp -p $cluster $cluster.scryon-saved
    restore() {
      rm -f $policy; [ ! -e $policy.scryon-saved ] || mv $policy.scryon-saved $policy
      if [ -e $cluster.scryon-saved ]; then mv $cluster.scryon-saved $cluster; else rm -f $cluster; fi
    }
    trap restore EXIT
    printf '#!/bin/sh\nexit 101\n' >$policy; chmod 755 $policy
    mkdir -p "$(dirname $cluster)"; echo 'create_main_cluster = false' >$cluster
    export DEBIAN_FRONTEND=noninteractive
    opts=(-y -q --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold -o Acquire::Retries=3)
    apt-get install "${opts[@]}" "${missing[@]}" >"$log" 2>&1 \
      || { apt-get update -q >>"$log" 2>&1; apt-get install "${opts[@]}" "${missing[@]}" >>"$log" 2>&1; }
  ) || { tail -n 15 "$log" >&2; rm -f "$log"; flock -u 8; say "apt-get could not install: ${missing[*]}"; return 1; }
  rm -f "$log"; flock -u 8
}

free_port() { # FIRST: the first port from FIRST on that nobody listens on and no pair of ours has taken
  local p=$1
  while listening 127.0.0.1 "$p" || grep -qsE "(PORT|EPMD|DIST)='?$p'?$" "$state"/*.ctl; do p=$((p + 1)); done
  echo "$p"
}

# ---- our own PostgreSQL --------------------------------------------------------------------------------
pg_bin() { local d; d=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1); [ -x "$d/postgres" ] && echo "$d"; }
as_pg() { (cd / && runuser -u postgres -- "$@"); }
pg_ready() { as_pg "$(pg_bin)/pg_isready" -q -h 127.0.0.1 -p "$1"; }

pg_start() { # NAME
  . "$state/$1.ctl"
  local bin dir=$pg_home/$1; bin=$(pg_bin)
  if [ ! -f "$dir/data/PG_VERSION" ]; then
    install -d -o postgres -g postgres -m 700 "$pg_home" "$dir"
    as_pg sh -c 'umask 077; printf %s scryon >"$1"' - "$dir/pw"
    as_pg "$bin/initdb" -D "$dir/data" -U scryon --pwfile="$dir/pw" -A scram-sha-256 -E UTF8 --locale=C.UTF-8 >/dev/null
    as_pg rm -f "$dir/pw"
    as_pg tee -a "$dir/data/postgresql.conf" >/dev/null <<CONF
listen_addresses = '127.0.0.1'
port = $PG_PORT
unix_socket_directories = '$dir'
max_connections = 400
shared_buffers = 256MB
max_wal_size = 2GB
logging_collector = off
CONF
  fi
  as_pg "$bin/pg_ctl" -D "$dir/data" status >/dev/null 2>&1 \
    || as_pg setsid "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -s -W start
  say "PostgreSQL of our own on port $PG_PORT (log: $dir/log)"
  wait_until 60 PostgreSQL pg_ready "$PG_PORT"
  as_pg env PGPASSWORD=scryon "$bin/psql" -qAt -h 127.0.0.1 -p "$PG_PORT" -U scryon -d postgres \
    -c "select 1 from pg_database where datname = 'scryon'" | grep -q 1 \
    || as_pg env PGPASSWORD=scryon "$bin/createdb" -h 127.0.0.1 -p "$PG_PORT" -U scryon scryon
}
pg_stop() { # NAME MODE(fast|immediate)
  [ ! -f "$pg_home/$1/data/postmaster.pid" ] || as_pg "$(pg_bin)/pg_ctl" -D "$pg_home/$1/data" -s -m "$2" -w stop || true
}

# ---- our own RabbitMQ ----------------------------------------------------------------------------------
mq_exec() { # NAME COMMAND...: becomes the command, as user rabbitmq with our own node name, ports, epmd and folders
  local name=$1; shift; . "$state/$name.ctl"; local dir=$mq_home/$name
  cd / && exec runuser -u rabbitmq -- env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME="$dir" LANG=C.UTF-8 \
    ERL_EPMD_PORT="$MQ_EPMD" ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_NODENAME="scryon_${clone_id}_${name//-/_}@localhost" \
    RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT="$MQ_PORT" RABBITMQ_DIST_PORT="$MQ_DIST" \
    RABBITMQ_MNESIA_BASE="$dir/mnesia" RABBITMQ_LOG_BASE="$dir/log" RABBITMQ_CONF_ENV_FILE=/dev/null \
    RABBITMQ_CONFIG_FILE="$dir/rabbitmq.conf" RABBITMQ_ENABLED_PLUGINS_FILE="$dir/plugins" RABBITMQ_PID_FILE="$dir/pid" \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}' \
    sh -c 'ulimit -Sn "$(ulimit -Hn)"; exec "$@"' sh "$@"   # every quorum queue reserves handles: 1024 last for 300
}
amqp_ready() { # the server answers the protocol header with a Connection.Start frame (first byte 01)
  local byte
  byte=$( (exec 3<>/dev/tcp/127.0.0.1/"$1" && printf 'AMQP\0\0\11\1' >&3 && timeout 2 head -c 1 <&3 | od -An -tx1) 2>/dev/null) || true
  [ "${byte// /}" = 01 ]
}
mq_start() { # NAME
  . "$state/$1.ctl"
  local dir=$mq_home/$1
  if [ ! -f "$dir/rabbitmq.conf" ]; then
    install -d -o rabbitmq -g rabbitmq -m 700 "$mq_home" "$dir" "$dir/mnesia" "$dir/log"
    printf 'loopback_users = none\ndisk_free_limit.absolute = 50MB\nlog.file.level = warning\n' >"$dir/rabbitmq.conf"
    echo '[].' >"$dir/plugins"
    chown rabbitmq:rabbitmq "$dir/rabbitmq.conf" "$dir/plugins"
  fi
  if ! amqp_ready "$MQ_PORT"; then
    rm -f "$dir/pid"
    mq_exec "$1" setsid /usr/lib/rabbitmq/bin/rabbitmq-server >"$dir/log/console" 2>&1 </dev/null &
  fi
  say "RabbitMQ of our own on port $MQ_PORT (log: $dir/log)"
  wait_until 90 RabbitMQ amqp_ready "$MQ_PORT"
}
mq_pids() { pgrep -u rabbitmq -f -- "-home $mq_home/$1 " || true; } # NAME: its home folder is on its command line
mq_gone() { [ -z "$(mq_pids "$1")" ]; }
mq_stop() { # NAME SIGNAL
  local p; p=$(mq_pids "$1")
  [ -z "$p" ] || kill "-$2" $p 2>/dev/null || true
  wait_until 30 "the end of RabbitMQ" mq_gone "$1"
}
epmd_stop() { . "$state/$1.ctl"; [ ! -x /usr/bin/epmd ] || ERL_EPMD_PORT=$MQ_EPMD /usr/bin/epmd -port "$MQ_EPMD" -kill >/dev/null 2>&1 || true; }

# ---- starting a pair -----------------------------------------------------------------------------------
write_env() { # NAME KIND DATABASE_URL AMQP_URL
  printf "SERVICES_KIND='%s'\nDATABASE_URL='%s'\nAMQP_URL='%s'\n" "$2" "$3" "$4" >"$state/$1.env"
}
leftovers() { # NAME: of a clone in this place that was deleted without `down`; its servers hold other ports
  [ -d "$pg_home/$1" ] || [ -d "$mq_home/$1" ] || return 0
  say "removing what a deleted clone left of the pair $1"
  pg_stop "$1" immediate
  mq_stop "$1" KILL
  rm -rf "${pg_home:?}/$1" "${mq_home:?}/$1"
}
own_debian() { # NAME WANT_PG WANT_MQ
  local want=()
  [ "$2" = 0 ] || want+=(postgresql-15 postgresql-client-15)
  [ "$3" = 0 ] || want+=(rabbitmq-server)
  if [ "$2" = 1 ] && [ -n "$(pg_bin)" ]; then want=("${want[@]/postgresql-15}"); want=("${want[@]/postgresql-client-15}"); fi
  apt_install $(printf '%s\n' "${want[@]}" | grep .) || return 1
  if [ ! -f "$state/$1.ctl" ]; then
    leftovers "$1"
    local base=$((21000 + 16#${clone_id:0:3} % 2000 * 4)) # below the ephemeral ports
    { echo "PG_PORT=$(free_port $base)"; } >"$state/$1.ctl"
    echo "MQ_PORT=$(free_port $((base + 1)))" >>"$state/$1.ctl"
    echo "MQ_EPMD=$(free_port $((base + 2)))" >>"$state/$1.ctl"
    echo "MQ_DIST=$(free_port $((base + 3)))" >>"$state/$1.ctl"
  fi
  [ "$2" = 0 ] || pg_start "$1"
  [ "$3" = 0 ] || mq_start "$1"
}
docker_compose() { # NAME ARGS...
  local name=$1; shift
  PG_PORT=$PG_PORT MQ_PORT=$MQ_PORT docker compose -p "scryon-$clone_id-$name" -f "$compose" "$@"
}
own_docker() { # NAME SERVICES...
  local name=$1; shift
  if [ ! -f "$state/$name.ctl" ]; then
    { echo "PG_PORT=$(free_port 25432)"; echo "MQ_PORT=$(free_port 25672)"; echo "DOCKER=1"; } >"$state/$name.ctl"
  fi
  . "$state/$name.ctl"
  docker_compose "$name" up -d --wait "$@" >&2
}
own_pair() { # NAME WANT_PG WANT_MQ: sets kind, pg, mq
  local services=()
  if has_docker; then
    [ "$2" = 0 ] || services+=(postgres)
    [ "$3" = 0 ] || services+=(rabbitmq)
    own_docker "$1" "${services[@]}"; kind=docker
  elif has_apt && own_debian "$1" "$2" "$3"; then kind=debian
  else
    die "no PostgreSQL or RabbitMQ to use. Do one of these and run the command again:
  - set DATABASE_URL=postgres://user:password@host/db and AMQP_URL=amqp://user:password@host:5672/%2f
  - start PostgreSQL 15+ on port 5432 with role and database scryon (password scryon), and RabbitMQ 3.10+ on port 5672 with guest/guest
  - start a Docker engine (deploy/compose.yaml is used then)
  - on Debian: run as root once, or  apt-get install postgresql-15 rabbitmq-server"
  fi
  . "$state/$1.ctl"
  [ "$2" = 0 ] || pg="postgres://scryon:scryon@127.0.0.1:$PG_PORT/scryon"
  [ "$3" = 0 ] || mq="amqp://guest:guest@127.0.0.1:$MQ_PORT/%2f"
}

# A found server counts only if its login works. `scryon check` speaks both protocols; it exists once the
# project is built, which every caller in the Makefile does first.
login_works() { # --database URL | --amqp URL
  local bin
  for bin in "${SERVICES_CLI:-}" "$root/target/debug/scryon" "$root/target/release/scryon"; do
    if [ -n "$bin" ] && [ -x "$bin" ]; then timeout 30 "$bin" check "$@" >/dev/null 2>&1; return; fi
  done
  case $1 in
    --database) has psql && PGCONNECT_TIMEOUT=3 psql -qAt "$2" -c 'select 1' >/dev/null 2>&1 ;;
    *) return 1 ;;
  esac
}

up() {
  local name=${1:-main} kind=found pg='' mq='' want_pg=1 want_mq=1
  if [ -n "${DATABASE_URL:-}" ]; then
    login_works --database "$DATABASE_URL" || die "DATABASE_URL is set but its login fails: correct it, or unset it to have a server started"
    pg=$DATABASE_URL want_pg=0; say "PostgreSQL: DATABASE_URL"
  elif [ ! -f "$state/$name.ctl" ] && listening 127.0.0.1 5432 && login_works --database postgres://scryon:scryon@127.0.0.1:5432/scryon; then
    pg=postgres://scryon:scryon@127.0.0.1:5432/scryon want_pg=0; say "PostgreSQL: found on port 5432"
  fi
  if [ -n "${AMQP_URL:-}" ]; then
    login_works --amqp "$AMQP_URL" || die "AMQP_URL is set but its login fails: correct it, or unset it to have a server started"
    mq=$AMQP_URL want_mq=0; say "RabbitMQ: AMQP_URL"
  elif [ ! -f "$state/$name.ctl" ] && listening 127.0.0.1 5672 && login_works --amqp amqp://guest:guest@127.0.0.1:5672/%2f; then
    mq=amqp://guest:guest@127.0.0.1:5672/%2f want_mq=0; say "RabbitMQ: found on port 5672"
  fi
  [ $want_pg$want_mq = 00 ] || own_pair "$name" $want_pg $want_mq
  write_env "$name" "$kind" "$pg" "$mq"
}
own() { local kind='' pg='' mq=''; own_pair "$1" 1 1; write_env "$1" "$kind" "$pg" "$mq"; }

control() { # stop|start|kill NAME postgres|rabbitmq
  [ -f "$state/$2.ctl" ] || die "there is no pair of our own named $2"
  . "$state/$2.ctl"
  if [ -n "${DOCKER:-}" ]; then docker_compose "$2" "$1" "$3" >&2; [ "$1" != start ] || docker_compose "$2" up -d --wait "$3" >&2; return; fi
  case $1-$3 in
    start-postgres) pg_start "$2" ;;
    stop-postgres) pg_stop "$2" fast ;;
    kill-postgres) pg_stop "$2" immediate ;;
    start-rabbitmq) mq_start "$2" ;;
    stop-rabbitmq) mq_stop "$2" TERM ;;
    kill-rabbitmq) mq_stop "$2" KILL ;;
    *) die "usage: services.sh stop|start|kill NAME postgres|rabbitmq" ;;
  esac
}

broker_ctl() { # NAME ARG...: rabbitmqctl as the node's own user, with its cookie
  local name=$1; shift
  [ -f "$state/$name.ctl" ] || die "there is no pair of our own named $name"
  . "$state/$name.ctl"
  if [ -n "${DOCKER:-}" ]; then docker_compose "$name" exec -T rabbitmq rabbitmqctl "$@"; return; fi
  (mq_exec "$name" /usr/lib/rabbitmq/bin/rabbitmqctl -q "$@")
}

down() {
  local ctl name
  for ctl in "$state"/*.ctl; do
    [ -f "$ctl" ] || continue
    name=$(basename "$ctl" .ctl); PG_PORT='' MQ_PORT='' DOCKER=''; . "$ctl"
    if [ -n "$DOCKER" ]; then docker_compose "$name" down -v >&2
    else
      [ ! -d "$pg_home/$name" ] || pg_stop "$name" immediate
      if [ -d "$mq_home/$name" ]; then mq_stop "$name" KILL; epmd_stop "$name"; fi
      rm -rf "${pg_home:?}/$name" "${mq_home:?}/$name"
    fi
    rm -f "$ctl" "$state/$name.env"
    say "stopped and removed the pair $name"
  done
  rmdir "$pg_home" "$mq_home" 2>/dev/null || true
  rm -rf "$state"
}

tools() {
  local missing=()
  has ffmpeg && has ffprobe || missing+=(ffmpeg)
  has pocketsphinx_continuous || has pocketsphinx || missing+=(pocketsphinx)
  [ -d /usr/share/pocketsphinx/model/en-us ] || missing+=(pocketsphinx-en-us)
  # What the runbooks' steps use.
  has psql || missing+=(postgresql-client)
  has curl || missing+=(curl)
  has openssl || missing+=(openssl)
  # What a fault test makes a network with.
  has ip || missing+=(iproute2)
  [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}" \
    || say "not installed: ${missing[*]}. Without ffmpeg calls run on the original audio; without pocketsphinx set SCRYON_WHISPER_MODEL; the runbooks need psql, curl and openssl, a fault test ip. On Debian: apt-get install ${missing[*]}"
}

python() {
  python3 -c 'import venv, ensurepip' 2>/dev/null && return
  apt_install python3 python3-venv || die "python3 with its venv module is missing. On Debian: apt-get install python3-venv"
}

faketime() {
  local found
  find_faketime() { found=$(ls /usr/lib/*/faketime/libfaketimeMT.so.1 /usr/lib/faketime/libfaketimeMT.so.1 2>/dev/null | head -n 1); [ -n "$found" ]; }
  find_faketime || { apt_install libfaketime && find_faketime; } || die "libfaketime is missing. On Debian: apt-get install libfaketime"
  printf '%s\n' "$found"
}

mkdir -p "$state"
# One at a time per clone. flock -o keeps the lock out of the servers we start: they outlive this script.
[ -n "${SCRYON_SERVICES_LOCKED:-}" ] || SCRYON_SERVICES_LOCKED=1 exec flock -o "$root/var/services.lock" "${BASH_SOURCE[0]}" "$@"
unset SCRYON_SERVICES_LOCKED
case ${1:-} in
  up) up "${2:-main}" ;;
  own) own "${2:?name}" ;;
  stop | start | kill) control "$1" "${2:?name}" "${3:?postgres|rabbitmq}" ;;
  rabbitmqctl) shift; broker_ctl "$@" ;;
  tools) tools ;;
  python) python ;;
  faketime) faketime ;;
  down) down ;;
  *) sed -n '2,17p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//'; exit 64 ;;
esac
