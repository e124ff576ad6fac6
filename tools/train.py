"""Train Painter.

    python tools/train.py demo                                     a small model on the CPU (after `make demo`)
    torchrun --nproc_per_node 8 tools/train.py painter_vit_large   the full run on one node
    python tools/train.py single_gpu --optim.lr 5e-4 --print_config

The first argument is a file, or the name of one in configs/; --key value overrides any of its values. The
run's folder then holds checkpoints, log.jsonl, TensorBoard files and pictures; the same command goes on from
the last checkpoint.
"""

import logging
import sys
from collections.abc import Sequence

from engine.config import flatten
from engine.load_config import load_config
from engine.train import NonFiniteError, run
from eval.during_training import probes


def main(arguments: Sequence[str]) -> None:
    """Read the config, train, and turn what the user can mend into one sentence."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    print_config = "--print_config" in arguments
    try:
        config = load_config([a for a in arguments if a != "--print_config"], "tools/train.py")
        if print_config:
            print("\n".join(f"{key} = {value}" for key, value in flatten(config).items()))
        else:
            run(config, probes(config))
    except (ValueError, NonFiniteError) as error:
        message = str(error).partition("Original Traceback")[2] or str(error)  # a loader worker adds its stack
        sys.exit(f"error: {message.rpartition('ValueError: ')[2].strip()}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from the last checkpoint")


if __name__ == "__main__":
    main(sys.argv[1:])
