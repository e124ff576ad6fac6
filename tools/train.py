"""Train Painter.

    python tools/train.py demo                                     a small model on the CPU (its data: `make demo`)
    torchrun --nproc_per_node 8 tools/train.py painter_vit_large   the full run on one node
    python tools/train.py single_gpu --optim.lr 5e-4 --print_config

The first argument is a file, or the name of one in configs/; --key value overrides any of its values. The
run's folder then holds checkpoints, log.jsonl, TensorBoard files and pictures; the same command goes on from
the last checkpoint. SIGTERM, SIGUSR1 and Ctrl-C end the step and save: the exit status is then 75, or 130.
"""

import logging
import os
import sys
import time
from collections.abc import Sequence

import torch

from engine.checkpoint import LAST
from engine.config import flatten
from engine.load_config import load_config
from engine.stop import INTERRUPTED, Stopped, forget_status, leave
from engine.train import run
from eval.during_training import probes
from util.dist import LostRankError, TogetherError, ToldByMainError

FULL = "the GPU's memory is full: lower --optim.micro_batch, or give --model.checkpointing full or --parallel fsdp"


def main(arguments: Sequence[str]) -> None:
    """Read the config, train, and turn what the user can mend into one sentence."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    print_config = "--print_config" in arguments
    forget_status()
    try:
        config = load_config([a for a in arguments if a != "--print_config"], "tools/train.py")
        if print_config:
            print("\n".join(f"{key} = {value}" for key, value in flatten(config).items()))
        else:
            run(config, probes(config))
            if not int(os.environ.get("RANK", 0)):
                print(f"finished: {config.out_dir / LAST} has the weights, and tools/export.py makes one file of it")
    except Stopped as stopped:
        if not int(os.environ.get("RANK", 0)):
            print(stopped, file=sys.stderr)
        leave(stopped.status)
    except ToldByMainError:
        time.sleep(1)  # torchrun ends the others when one has ended, and rank 0 shall speak first
        leave(1)
    except TogetherError as error:
        leave(1, f"error: {error}")
    except torch.cuda.OutOfMemoryError:
        sys.exit(f"error: {FULL}")
    except (ValueError, OSError, LostRankError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main(sys.argv[1:])
