#!/usr/bin/env bash
# bash eval/coco_panoptic.sh CKPT [DATA_ROOT] [--option value ...]; see eval/run.sh
exec bash "$(dirname "$0")/run.sh" coco_panoptic "$@"
