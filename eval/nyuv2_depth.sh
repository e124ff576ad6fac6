#!/usr/bin/env bash
# bash eval/nyuv2_depth.sh CKPT [DATA_ROOT] [--option value ...]; see eval/run.sh
exec bash "$(dirname "$0")/run.sh" nyuv2_depth "$@"
