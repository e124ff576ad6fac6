#!/usr/bin/env bash
# The full Painter run on any number of nodes; docs/TRAIN.md explains it. Start one of these on every node:
#
#   NNODES=1 GPUS_PER_NODE=8 bash train_painter_vit_large.sh --init_mae mae_pretrain_vit_large.pth
#   NNODES=8 NODE_RANK=0 MASTER_ADDR=node0 MASTER_PORT=29500 GPUS_PER_NODE=8 bash train_painter_vit_large.sh ...
#   NNODES=8 RDZV=c10d MASTER_ADDR=node0 MASTER_PORT=29500 GPUS_PER_NODE=8 bash train_painter_vit_large.sh ...
#
# NODE_RANK counts the nodes; with RDZV=c10d they number themselves, NNODES may be a range such as 4:8, and RDZV_ID
# tells runs on one MASTER_PORT apart. MAX_RESTARTS: how often dead processes are started again (3; 0 with NODE_RANK,
# where new ones would meet the addresses of the dead). CONFIG: another config than painter_vit_large. PYTHON: another
# interpreter than .venv/bin/python or python3. The arguments go on to tools/train.py. SLURM: tools/slurm_train.sbatch
#
# TERM, USR1, HUP or Ctrl-C: the processes finish their step and save a checkpoint. Exit status: 0 finished, 75 stopped
# by a signal, 130 by Ctrl-C (a second one kills), 2 wrong usage, else torchrun's. The same command goes on.
set -euo pipefail

wrong() { echo "$1. See the head of train_painter_vit_large.sh" >&2; exit 2; }
need() { [ -n "${!1:-}" ] || wrong "$1 is not set: $2"; }

need NNODES "the number of nodes (1 for a single machine)"
need GPUS_PER_NODE "the processes to start on this node, one a GPU"
if [ "$NNODES" != 1 ]; then
    need MASTER_ADDR "the address of node 0"
    need MASTER_PORT "a free port of node 0"
fi
restarts=3
case "$NNODES,${RDZV:-static}" in
1,*) rendezvous=(--standalone) ;;
*,c10d) rendezvous=(--rdzv_backend c10d --rdzv_endpoint "$MASTER_ADDR:$MASTER_PORT" --rdzv_id "${RDZV_ID:-painter}") ;;
*:*,static) wrong "NNODES $NNODES is a range, which needs RDZV=c10d" ;;
*,static)
    need NODE_RANK "this node's number, 0 for the first"
    rendezvous=(--node_rank "$NODE_RANK" --master_addr "$MASTER_ADDR" --master_port "$MASTER_PORT")
    restarts=0
    ;;
*) wrong "RDZV $RDZV must be static or c10d" ;;
esac

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
python="${PYTHON:-$here/.venv/bin/python}"
[ -x "$python" ] || python=python3
"$python" -c 'from importlib.util import find_spec as has; exit(not (has("torch") and has("tyro")))' ||
    { echo "$python lacks Painter's requirements: run 'make install', or activate your environment" >&2; exit 2; }

export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1  # else processes started again may meet the addresses of the dead, and hang
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
train=("$here/tools/train.py" "${CONFIG:-painter_vit_large}" "$@")
"$python" "${train[@]}" --print_config >/dev/null || exit 2  # a typo is told once, not by every process at every restart

status_file="$(mktemp)"  # the processes write 75 there, because torchrun would restart what does not exit with 0
# shellcheck disable=SC2329  # called by the trap
clean_up() {
    mapfile -t left < <(grep -lsxzF "PAINTER_STATUS_FILE=$status_file" /proc/[0-9]*/environ | cut -d/ -f3)
    [ "${#left[@]}" = 0 ] || kill -KILL "${left[@]}" 2>/dev/null || true
    rm -f "$status_file"
}
trap clean_up EXIT

# Ask the processes to stop, by USR1: after a TERM torchrun would kill them in 30 seconds. They ignore it until they can
# heed it, so it is sent again and again. Where there are none yet, nothing can be lost: torchrun may end.
stop_workers() {
    mapfile -t workers < <(grep -lszE "PPid:\s+$torchrun\s" /proc/[0-9]*/status | cut -d/ -f3)
    if [ "${#workers[@]}" != 0 ]; then
        kill -USR1 "${workers[@]}" 2>/dev/null || true
    elif [ ! -s "$status_file" ]; then
        echo 75 >"$status_file"
        kill -TERM "$torchrun" 2>/dev/null || true
    fi
}
stop='' interrupts=0
trap 'stop=1' TERM USR1 HUP
trap 'stop=1; interrupts=$((interrupts + 1)); [ "$interrupts" = 1 ] || exit 130; echo "Ctrl-C again kills" >&2' INT

set -m  # torchrun in a process group of its own: a signal to this script's group must not reach it
(
    trap '' USR1  # new processes ignore it too
    PAINTER_STATUS_FILE="$status_file" exec "$python" -m torch.distributed.run \
        --nnodes "$NNODES" --nproc_per_node "$GPUS_PER_NODE" --max_restarts "${MAX_RESTARTS:-$restarts}" "${rendezvous[@]}" \
        "${train[@]}"
) </dev/null &
set +m
torchrun=$!

while kill -0 "$torchrun" 2>/dev/null; do
    [ -z "$stop" ] || stop_workers
    sleep 0.25 || true  # a signal to the group ends it too
done
status=0
wait "$torchrun" || status=$?
[ ! -s "$status_file" ] || status="$(cat "$status_file")"
[ "$status.$interrupts" != 75.1 ] || status=130
exit "$status"
