#!/usr/bin/env bash
# Run a recipe on a Spark cluster of any kind: spark-submit starts Beam's job server inside Spark's
# driver on this machine, and `gristmill run` gives it its jobs.
#   submit.sh [OPTIONS of spark-submit] -- RECIPE --output RUN [OPTIONS of gristmill run]
# SPARK_HOME is a Spark of the cluster's version, JOB_SERVER the jar of `gristmill engines install spark`.
set -euo pipefail
server=${JOB_SERVER:-${XDG_CACHE_HOME:-$HOME/.cache}/gristmill/engines/spark-job-server.jar}
port=${JOB_PORT:-8099}

options=()
while (($#)) && [[ $1 != -- ]]; do
    options+=("$1")
    shift
done
if (($# < 2)); then
    sed -n '4s/^# */usage: /p' "$0" >&2
    exit 2
fi
shift
[[ -f $server ]] || { echo "submit.sh: $server: is not there: \`gristmill engines install spark\`" >&2; exit 2; }
[[ -x ${SPARK_HOME:-}/bin/spark-submit ]] || { echo "submit.sh: SPARK_HOME: is no Spark" >&2; exit 2; }

scratch=$(mktemp -d)
"$SPARK_HOME/bin/spark-submit" --deploy-mode client "${options[@]}" \
    --class org.apache.beam.runners.spark.SparkJobServerDriver "$server" \
    --job-host=localhost --job-port="$port" --artifact-port=0 --expansion-port=0 \
    --artifacts-dir="$scratch/artifacts" >"$scratch/log" 2>&1 &
spark=$!
trap 'kill $spark 2>/dev/null || true; rm -rf "$scratch"' EXIT

until (: <"/dev/tcp/localhost/$port") 2>/dev/null; do
    kill -0 $spark 2>/dev/null || { tail -n 20 "$scratch/log" >&2; exit 1; }
    sleep 1
done
status=0
gristmill run "$@" --runner spark --job-endpoint "localhost:$port" || status=$?
((status == 0)) || grep -E 'ERROR|Exception' "$scratch/log" | tail -n 20 >&2 || true
exit $status
