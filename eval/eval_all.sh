#!/usr/bin/env bash
# All seven benchmarks, then the paper's tables and the report:
#
#     bash eval/eval_all.sh CKPT [DATA_ROOT] [OUT] [--option value ...]
#
# CKPT may be the word oracle. The results go to OUT/NAME (results), table.md and report.html beside them. A benchmark
# that cannot run says why, and the others go on; the exit status is 1 then. The same command goes on where it was
# stopped. Environment: as eval/run.sh; BENCHMARKS, a list of names.
set -uo pipefail
if [ "$#" -lt 1 ] || [ "${1#-}" != "$1" ]; then
  echo "usage: bash eval/eval_all.sh CKPT [DATA_ROOT] [OUT] [--option value ...]" >&2
  exit 2
fi
ckpt="$1"; shift
root=datasets out=results
if [ "$#" -gt 0 ] && [ "${1#-}" = "$1" ]; then root="$1"; shift; fi
if [ "$#" -gt 0 ] && [ "${1#-}" = "$1" ]; then out="$1"; shift; fi

. "$(dirname "$0")/python.sh"
trap 'exit 130' INT # a benchmark ends in order on Ctrl-C, which for bash is no reason to stop
failed=()
for name in ${BENCHMARKS:-nyuv2_depth ade20k_semantic coco_panoptic coco_pose sidd derain lol}; do
  bash "$here/eval/run.sh" "$name" "$ckpt" "$root" --out_dir "$out/$name" "$@" || failed+=("$name")
done

"$python" "$here/tools/paper_table.py" "$out" && "$python" "$here/tools/report.py" "$out" || failed+=("tables and report")
if [ "${#failed[@]}" -gt 0 ]; then
  echo "error: without a result: ${failed[*]}" >&2
  exit 1
fi
