#!/usr/bin/env bash
# bash eval/ade20k_semantic.sh CKPT [DATA_ROOT] [--option value ...]; see eval/run.sh
exec bash "$(dirname "$0")/run.sh" ade20k_semantic "$@"
