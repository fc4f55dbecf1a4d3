#!/usr/bin/env bash
# One part of a crawl, as a run of its own: read, extracted and filtered on one machine of an array.
#   sbatch --array=1-N parts.sh RECIPE PARTS RUNS
# Line N of the file PARTS is the input of part N, as `gristmill run --input` takes it.
#SBATCH --job-name=gristmill-part
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=32G
#SBATCH --time=12:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
recipe=$1 parts=$2 runs=$3
input=$(sed -n "${SLURM_ARRAY_TASK_ID}p" "$parts")

# near the time limit: stop, and go on in a new job of the same number
again() {
    scancel --signal=TERM "$SLURM_JOB_ID"
    wait || true
    exec scontrol requeue "$SLURM_JOB_ID"
}
trap again USR1

srun --cpus-per-task="$SLURM_CPUS_PER_TASK" gristmill run "$recipe" --input "$input" \
    --output "$(printf '%s/part-%05d' "$runs" "$SLURM_ARRAY_TASK_ID")" \
    --until filter --workers "$SLURM_CPUS_PER_TASK" &
wait $!
