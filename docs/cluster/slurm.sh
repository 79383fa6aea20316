#!/bin/bash
# Prepare an archive in parts, as an array of Slurm (docs/scale.md).
#
#   sbatch --export=ALL,MANIFEST=/data/manifest.csv,SHARDS=/data/shards docs/cluster/slurm.sh
#   echoclip-r prepare /data/manifest.csv --out /data/shards --finish 400 --workers 4
#
# Where the second command names parts that are missing, run these again, e.g. with --array=3,17.
#SBATCH --job-name=prepare
#SBATCH --array=1-400%100
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --output=%x-%A-%a.log
set -euo pipefail

: "${MANIFEST:?is not set; give it with sbatch --export}" "${SHARDS:?is not set}"
# The number of parts stays the same when some of them are run again.
exec echoclip-r prepare "$MANIFEST" --out "$SHARDS" \
    --part "/${PARTS:-400}" --workers "${SLURM_CPUS_PER_TASK:-1}"
