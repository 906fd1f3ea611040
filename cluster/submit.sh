#!/usr/bin/env bash
# Run a manifest as a job of a Ray cluster and follow its log:
#
#   RAY_API_SERVER_ADDRESS=http://HEAD:8265 cluster/submit.sh MANIFEST runs_dir=/shared/runs [KEY=VALUE...] [--fresh|--dry-run]
#
# MANIFEST is relative to the repository. Submitted again, by hand or with TRIES=5 whenever the job fails, a run goes on from its newest
# complete checkpoint; --fresh sets it aside. SUBMISSION_ID names the job (-2, -3, ... are added); NO_WAIT=1 returns at once.
# Exit code: 0 when the job succeeded, 1 when it failed, 2 when it was not submitted.
set -euo pipefail
cd "$(dirname "$0")/.."

refuse() { echo "submit: $1" >&2; exit 2; }

[ $# -ge 1 ] || refuse "which manifest? usage: cluster/submit.sh MANIFEST runs_dir=DIR [KEY=VALUE...]"
[ -f "$1" ] || refuse "$1: no such manifest in $PWD"
command -v ray >/dev/null || refuse "ray is not on PATH; activate the environment: source .venv/bin/activate"
[ -n "${RAY_API_SERVER_ADDRESS:-}${RAY_ADDRESS:-}" ] || refuse "which cluster? set RAY_API_SERVER_ADDRESS=http://HEAD:8265"
case " $* " in
  *" runs_dir=/"* | *" --dry-run "*) ;;
  *) refuse "give runs_dir=/a/folder/every/node/sees: a relative one lies in the job's working directory and goes with it" ;;
esac
case " $* " in
  *" --fresh "*) [ "${TRIES:-1}" = 1 ] || refuse "TRIES=$TRIES --fresh: each try would begin anew; submit without one of them" ;;
  *" --resume"* | *" --dry-run "*) ;;
  *) set -- "$@" --resume=auto ;;
esac

for ((try = 1; ; try++)); do
  id=${SUBMISSION_ID:-}
  [ -z "$id" ] || [ "$try" = 1 ] || id="$id-$try"
  code=0
  ray job submit --working-dir . --runtime-env cluster/runtime_env.yaml \
    ${id:+--submission-id "$id"} ${NO_WAIT:+--no-wait} -- ib-lpo train "$@" || code=$?
  [ "$code" != 0 ] && [ "$try" -lt "${TRIES:-1}" ] || exit "$code"
  echo "submit: try $try of $TRIES failed; the next one goes on from the newest complete checkpoint" >&2
done
