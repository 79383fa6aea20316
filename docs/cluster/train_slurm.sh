#!/bin/bash
# Train on several machines of Slurm (docs/scale.md).
#
#   sbatch --export=ALL,SHARDS=/data/shards,RUN=/data/runs/first docs/cluster/train_slurm.sh
#
# Given again with the same RUN, it goes on from the last checkpoint.
#SBATCH --job-name=train
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --output=%x-%j.log
set -euo pipefail

: "${SHARDS:?is not set; give it with sbatch --export}" "${RUN:?is not set}"
host=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
# Else a machine that comes back waits in vain for the address of the first rendezvous.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
exec srun torchrun --nnodes "$SLURM_NNODES" --nproc-per-node 8 --max-restarts 10 \
    --rdzv-backend c10d --rdzv-id "$SLURM_JOB_ID" --rdzv-endpoint "$host:29400" \
    -m echoclip_r train --recipe "${RECIPE:-echoclip-r}" --shards "$SHARDS" --out "$RUN"
