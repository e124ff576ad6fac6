#!/usr/bin/env bash
# One benchmark: bash eval/run.sh NAME CKPT [DATA_ROOT] [--option value ...]; the wrappers beside it give the name.
#
# Environment: GPUS_PER_NODE (1) processes, by torchrun if more than one; PYTHON (.venv/bin/python, else python3).
set -euo pipefail
case "${1:-}" in -*) set -- ;; esac # an option is no name
if [ "$#" -lt 2 ] || [ "${2#-}" != "$2" ]; then
  echo "usage: bash eval/${1:-NAME}.sh CKPT [DATA_ROOT] [--option value ...]; DATA_ROOT is datasets if left out" >&2
  exit 2
fi
name="$1" ckpt="$2"
shift 2
root=datasets
if [ "$#" -gt 0 ] && [ "${1#-}" = "$1" ]; then root="$1"; shift; fi

. "$(dirname "$0")/python.sh"
subject=(--ckpt "$ckpt")
if [ "$ckpt" = oracle ]; then subject=(--oracle); fi
launch=("$python")
if [ "${GPUS_PER_NODE:-1}" != 1 ]; then
  launch+=(-m torch.distributed.run --standalone --nproc_per_node "$GPUS_PER_NODE")
fi
exec "${launch[@]}" -m "eval.$name" "${subject[@]}" --data_root "$root" "$@"
