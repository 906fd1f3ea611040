#!/usr/bin/env bash
# Run a manifest as a job of a Ray cluster and follow its log:
#
#   RAY_API_SERVER_ADDRESS=http://HEAD:8265 cluster/submit.sh MANIFEST runs_dir=/shared/runs [KEY=VALUE...] [--resume|--fresh|--dry-run]
#
# MANIFEST is relative to the repository. SUBMISSION_ID names the job; NO_WAIT=1 returns at once.
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

exec ray job submit --working-dir . --runtime-env cluster/runtime_env.yaml \
  ${SUBMISSION_ID:+--submission-id "$SUBMISSION_ID"} ${NO_WAIT:+--no-wait} -- ib-lpo train "$@"
