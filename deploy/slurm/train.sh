#!/usr/bin/env bash
# Training on all GPUs of the allocation, by torchrun.
#   sbatch --nodes=4 --gpus-per-node=8 train.sh RUN --output MODEL --preset 1b
#SBATCH --job-name=gristmill-train
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --mem=0
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

# near the time limit: a checkpoint, from which a new job of the same number goes on
again() {
    scancel --signal=TERM "$SLURM_JOB_ID"
    wait || true
    exec scontrol requeue "$SLURM_JOB_ID"
}
trap again USR1

# this script is on the first node
srun --kill-on-bad-exit=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" python -m torch.distributed.run \
    --nnodes="$SLURM_JOB_NUM_NODES" --nproc-per-node="${SLURM_GPUS_ON_NODE:-1}" \
    --rdzv-backend=c10d --rdzv-id="$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}" \
    --rdzv-endpoint="$(hostname):$((20000 + SLURM_JOB_ID % 10000))" \
    --max-restarts=0 --shutdown-timeout=120 -m train "$@" &
wait $!
