#!/usr/bin/env bash
# bash eval/derain.sh CKPT [DATA_ROOT] [--option value ...]; see eval/run.sh
exec bash "$(dirname "$0")/run.sh" derain "$@"
