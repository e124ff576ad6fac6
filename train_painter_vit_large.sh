#!/usr/bin/env bash
# The full Painter run on any number of nodes. Start it on every node with the same variables but NODE_RANK:
#
#   NNODES=1 GPUS_PER_NODE=8 bash train_painter_vit_large.sh --init_mae mae_pretrain_vit_large.pth
#   NNODES=8 NODE_RANK=0 MASTER_ADDR=node0 MASTER_PORT=29500 GPUS_PER_NODE=8 bash train_painter_vit_large.sh ...
#
# It runs .venv/bin/python, or PYTHON, or else python3. What follows the script's name goes on to tools/train.py and overrides configs/painter_vit_large.py; the
# global batch stays 2048 on any number of GPUs. Under SLURM: sbatch tools/slurm_train.sbatch
set -euo pipefail

need() { [ -n "${!1:-}" ] || { echo "$1 is not set: $2. See the head of train_painter_vit_large.sh" >&2; exit 2; }; }

need NNODES "the number of nodes (1 for a single machine)"
need GPUS_PER_NODE "the processes to start on this node, one a GPU"
rendezvous=(--standalone)
if [ "$NNODES" != 1 ]; then
    need NODE_RANK "this node's number, 0 to $((NNODES - 1))"
    need MASTER_ADDR "the address of node 0"
    need MASTER_PORT "a free port of node 0"
    rendezvous=(--node_rank "$NODE_RANK" --master_addr "$MASTER_ADDR" --master_port "$MASTER_PORT")
fi

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
python="${PYTHON:-$here/.venv/bin/python}"
[ -x "$python" ] || python=python3
"$python" -c 'import torch, tyro' 2>/dev/null || { echo "$python lacks Painter's requirements: run 'make install', or activate your environment" >&2; exit 2; }

export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
exec "$python" -m torch.distributed.run --nnodes "$NNODES" --nproc_per_node "$GPUS_PER_NODE" "${rendezvous[@]}" \
    "$here/tools/train.py" painter_vit_large "$@"
