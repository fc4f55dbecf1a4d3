#!/usr/bin/env bash
# The runs of all parts as one: deduplicated against each other, curated, tokenized, mixed.
#   sbatch --dependency=afterok:ARRAY whole.sh RECIPE RUNS RUN
#SBATCH --job-name=gristmill-whole
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=64
#SBATCH --mem=256G
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
recipe=$(realpath "$1") runs=$(realpath "$2") run=$3

again() {
    scancel --signal=TERM "$SLURM_JOB_ID"
    wait || true
    exec scontrol requeue "$SLURM_JOB_ID"
}
trap again USR1

{
    printf 'extends: %s\ninputs:\n' "$recipe"
    printf -- '- run: %s\n' "$runs"/part-*
} >"$runs/whole.yaml"
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" gristmill run "$runs/whole.yaml" --output "$run" \
    --workers "$SLURM_CPUS_PER_TASK" --memory "$((SLURM_MEM_PER_NODE / 2))M" &
wait $!
