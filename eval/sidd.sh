#!/usr/bin/env bash
# bash eval/sidd.sh CKPT [DATA_ROOT] [--option value ...]; see eval/run.sh
exec bash "$(dirname "$0")/run.sh" sidd "$@"
