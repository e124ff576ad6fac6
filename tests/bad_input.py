"""Bad input of every kind on the way to a trained model, and what the user is told: one table.

    python -m tests.bad_input

Expected: a line or more for each case, with its message and `ok`; exit status 1 if any is wrong. To add a case, add
a `Case` to one of the lists: a name, what the user does in a folder that `tiny_run` has made, and the message.
"""

import datetime
import io
import json
import os
import pickle
import re
import shlex
import signal
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from safetensors.torch import save

from models import Painter, PainterConfig
from models.weights import MAY_BE_NEW
from tests.data.test_pairs import GRAY16, PHOTO, claim, encode
from tests.engine.conftest import write_source
from tools import check_data, check_pairs, prepare, train

IS_ROOT = os.geteuid() == 0
TINY = PainterConfig(img_size=(64, 32), embed_dim=8, depth=4, num_heads=2, decoder_embed_dim=4)
STATE = Painter(TINY).state_dict()
ENCODER = [name for name in STATE if not any(fnmatchcase(name, pattern) for pattern in MAY_BE_NEW)]
SECONDS = 60  # after which a case hangs
WIDTH = 96  # of the column of messages

Act = Callable[[Path], object]


class Case(NamedTuple):
    """What goes wrong, and what is said then."""

    name: str
    act: Act
    """what the user does in a folder"""
    message: str
    """all that the user is told: `~` is the folder, `...` any words of the same line"""
    skip: bool = False
    """whether this machine or user cannot show it"""


DATA = 'data=DataConfig({"derain": Source("derain.json", 1.0)}, roots=(Path("~/data"),), num_workers=0)'
OPTIM = 'optim=OptimConfig(steps=1, warmup=0, global_batch=1, micro_batch=1, precision="fp32")'
HEAD = "from pathlib import Path\nfrom engine.config import *\nfrom models import PainterConfig\n"


def run_text(data: str = DATA, optim: str = OPTIM, more: str = "") -> str:
    """A config file."""
    return f'{HEAD}config = RunConfig({data}, model={TINY!r}, {optim}, out_dir=Path("~/run"), device="cpu", {more})\n'


def tiny_run(folder: Path) -> None:
    """run.py, and what it needs: a list of one pair."""
    write_source(folder / "data", "derain", "derain_image2derain", 1)
    put(folder, "run.py", run_text())


# What a user does


def put(folder: Path, name: str, content: str | bytes) -> None:
    """Write a file; in text, ~ is the folder."""
    data = content.replace("~", str(folder)).encode() if isinstance(content, str) else content
    (folder / name).write_bytes(data)


def command(main: Callable[[list[str]], object], line: str) -> Act:
    """Run a tool."""
    return lambda folder: main(shlex.split(line.replace("~", str(folder))))


def training(options: str = "") -> Act:
    """Train as run.py says."""
    return command(train.main, f"~/run.py {options}")


def after(change: Act, act: Act) -> Act:
    """First change something."""
    return lambda folder: (change(folder), act(folder))


def with_config(content: str | bytes) -> Act:
    """Train by another run.py."""
    return after(lambda folder: put(folder, "run.py", content), training())


def with_list(content: str | bytes) -> Act:
    """Train on another list."""
    return after(lambda folder: put(folder, "data/derain.json", content), training())


def with_entry(**changes: Any) -> Act:
    """Train on a list whose entry is changed."""
    return with_list(entry(**changes))


def entry(**changes: Any) -> str:
    """The list with a changed entry; None takes a key out."""
    pair = {"image_path": "derain/0.png", "target_path": "derain/0_target.png", "type": "derain_image2derain"}
    return json.dumps([{key: value for key, value in {**pair, **changes}.items() if value is not None}])


def with_weights(name: str, content: Any, option: str = "init") -> Act:
    """Train from a file of weights: these bytes, or this object, or what a function of the folder gives."""

    def write(folder: Path) -> None:
        value = content(folder) if callable(content) else content
        put(folder, name, value if isinstance(value, bytes) else saved(name, value))

    return after(write, training(f"--{option} ~/{name}"))


def saved(name: str, content: Any) -> bytes:
    """The bytes of a file of weights."""
    if name.endswith(".safetensors"):
        return save(content)
    torch.save(content, file := io.BytesIO())
    return file.getvalue()


class Trap:
    """Unpickled without care, it makes a file `trap`, which `told` looks for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {shlex.quote(str(self.folder / 'trap'))}",)


def with_module(name: str, module: Any, act: Act) -> Act:
    """Where a package is this, or missing: None."""

    def run(folder: Path) -> None:
        with patch.dict(sys.modules, {name: module}):
            act(folder)

    return run


def damage(folder: Path) -> None:
    """Flip a bit of a checkpoint's tensors."""
    (shard,) = (folder / "run/last").glob("*.safetensors")
    content = shard.read_bytes()
    shard.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def fails(*_: Any, **__: Any) -> None:
    raise RuntimeError("Unknown model (vit_gross)")


def replaced(name: str, make: Callable[[Path], object]) -> Act:
    """Put something else in place of a file: os.mkdir, or os.mkfifo, a pipe that nobody writes to."""

    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        make(folder / name)

    return change


# The cases


def of_range(option: str, message: str) -> Case:
    """An option whose value is out of range; the box of the command line says so."""
    return Case(option, training(option), f"Value error Error parsing ...: {message}")


COUNT, AMOUNT, POSITIVE = "must be 1 or more", "must be a finite number, 0 or more", "must be a finite number above 0"
LOG_COUNTS = ("every", "val_every", "val_limit", "benchmark_every", "benchmark_limit", "save_every", "keep")
RANGES = [
    of_range("--optim.steps 0", f"optim.steps 0 {COUNT}"),
    of_range("--optim.steps -5", f"optim.steps -5 {COUNT}"),
    of_range("--optim.micro_batch 0", f"optim.micro_batch 0 {COUNT}"),
    of_range("--optim.global_batch 0", f"optim.global_batch 0 {COUNT}"),
    of_range("--optim.epochs 0", f"optim.epochs 0.0 {POSITIVE}, or None"),
    of_range("--optim.warmup -1", "optim.warmup -1 must be 0 or more"),
    of_range("--optim.lr -1e-3", f"optim.lr -0.001 {AMOUNT}"),
    of_range("--optim.lr nan", f"optim.lr nan {AMOUNT}"),
    of_range("--optim.min_lr 1", "optim.min_lr 1.0 must be at most optim.lr 0.001"),
    of_range("--optim.betas 0.9 1", "optim.betas (0.9, 1.0) must be 0 or more and below 1"),
    of_range("--optim.weight_decay -0.1", f"optim.weight_decay -0.1 {AMOUNT}"),
    of_range("--optim.layer_decay 0", "optim.layer_decay 0.0 must be above 0 and at most 1"),
    of_range("--optim.clip_grad 0", f"optim.clip_grad 0.0 {POSITIVE}"),
    of_range("--optim.clip_grad nan", f"optim.clip_grad nan {POSITIVE}"),
    of_range("--optim.max_skipped -1", "optim.max_skipped -1 must be 0 or more"),
    of_range("--data.num_workers -1", "data.num_workers -1 must be 0 or more, or None"),
    of_range("--data.max_broken -1", "data.max_broken -1 must be 0 or more"),
    of_range("--data.sources.derain.weight -1", f"derain.json: weight -1.0 {AMOUNT}"),
    of_range("--data.sources.derain.weight nan", f"derain.json: weight nan {AMOUNT}"),
    of_range("--data.mask.ratio 1", "mask ratios must lie in 0..1, got half_ratio 0.1, ratio 1.0"),
    of_range(
        "--data.mask.block_size 9 3", "mask block_size (9, 3) must be (least, most) tokens with 1 <= least <= most"
    ),
    of_range(
        "--data.augment.crop_scale 0 1", "crop_scale (0.0, 1.0) must be (least, most) with 0 < least <= most <= 1"
    ),
    of_range("--data.augment.jitter 2", "the chances of jitter 2.0 and flip 0.5 must lie in 0..1"),
    *(of_range(f"--log.{name} 0", f"log.{name} 0 {COUNT}") for name in LOG_COUNTS),
    of_range("--log.pictures -1", "log.pictures -1 must be 0 or more"),
    of_range("--seed -1", "seed -1 must be 0 or more and below 2**32"),
    of_range("--seed 4294967296", "seed 4294967296 must be 0 or more and below 2**32"),
    of_range("--profile -1", "profile -1 must be 0 or more"),
    of_range("--timeout_minutes 0", f"timeout_minutes 0.0 {POSITIVE}"),
    of_range("--timeout_minutes inf", f"timeout_minutes inf {POSITIVE}"),
    of_range("--model.depth 0", f"model.depth 0 {COUNT}"),
    of_range("--model.num_heads 0", f"model.num_heads 0 {COUNT}"),
    of_range("--model.patch_size 0", f"model.patch_size 0 {COUNT}"),
    of_range("--model.embed_dim 0", f"model.embed_dim 0 {COUNT}"),
    of_range("--model.decoder_embed_dim 0", f"model.decoder_embed_dim 0 {COUNT}"),
    of_range("--model.drop_path_rate 1", "model.drop_path_rate 1.0 must be 0 or more and below 1, ..."),
    of_range("--model.mlp_ratio nan", "... model.mlp_ratio nan above 0"),
    of_range("--model.pretrain_img_size 0", "pretrain_img_size 0 must be at least patch_size 16"),
    of_range("--model.img_size 0 0", "img_size (0, 0) must be a multiple of patch_size 16"),
    of_range("--model.img_size 48 32", "img_size (48, 32): half its height must be a multiple of patch_size 16"),
    of_range("--model.depth 6", "model depth 6 must be a multiple of 4: the head reads features at the quarters"),
]

KNOWN = (
    "one of demo, finetune, painter_vit_large, single_gpu, single_task, toy, toy_finish, toy_half, toy_joints, "
    "toy_restore"
)
COMMANDS = [
    Case(
        "no config",
        command(train.main, ""),
        f"error: which run? usage: tools/train.py CONFIG [--key value ...]; CONFIG is a file or {KNOWN}",
    ),
    Case(
        "config misspelt",
        command(train.main, "painter_vit_larg"),
        "error: there is no config painter_vit_larg; did you mean painter_vit_large?",
    ),
    Case(
        "config nowhere",
        command(train.main, "~/mine.py"),
        "error: there is no config ~/mine.py; known names: demo, finetune, painter_vit_large, single_gpu, single_task, "
        "toy, toy_finish, toy_half, toy_joints, toy_restore",
    ),
    Case(
        "config a folder",
        command(train.main, "~/data"),
        f"error: ~/data is a folder; give a config file in it, or {KNOWN}",
    ),
    Case(
        "config a pipe",
        after(replaced("run.py", os.mkfifo), training()),
        "error: there is no config ~/run.py; known names: ...",
    ),
    Case(
        "unknown key",
        training("--optim.lrr 1"),
        "Unrecognized options Unrecognized options: --optim.lrr, 1 Perhaps you meant: --optim.lr FLOAT ...",
    ),
    Case(
        "unknown source",
        training("--data.sources.derane.weight 1"),
        "... --data.sources.derane.weight, 1 Perhaps you meant: --data.sources.derain.weight FLOAT ...",
    ),
    Case(
        "a word for a number",
        training("--optim.lr fast"),
        "Value error Error parsing --optim.lr: could not convert string to float: 'fast' ...",
    ),
    Case(
        "a broken number of steps",
        training("--optim.steps 1.5"),
        "Value error Error parsing --optim.steps: invalid literal for int() with base 10: '1.5' ...",
    ),
    Case(
        "one number for two",
        training("--optim.betas 0.9"),
        "Missing argument Missing value for argument '--optim.betas'. Expected 2 values.",
    ),
    Case(
        "unknown choice",
        training("--optim.loss l3"),
        "Invalid choice invalid choice 'l3' for argument '--optim.loss'. "
        "Expected one of ('smoothl1', 'l1', 'l2', 'l1l2').",
    ),
    Case(
        "init and init_mae",
        training("--init a.pth --init_mae b.pth"),
        "Value error Error parsing RunConfig: give init or init_mae, not both: each sets all encoder weights",
    ),
]

CONFIGS = [
    Case("not Python", with_config("x = 1 +"), "error: ~/run.py is not a Python file: invalid syntax (run.py, line 1)"),
    Case("bytes", with_config(bytes(range(1, 256))), "error: ~/run.py is not a Python file: ..."),
    Case("no config", with_config("x = 1"), "error: ~/run.py does not define `config = RunConfig(...)`"),
    Case(
        "a config of a part",
        with_config(HEAD + "config = OptimConfig()"),
        "error: ~/run.py does not define `config = RunConfig(...)`",
    ),
    Case(
        "init and init_mae",
        with_config(run_text(more="init='a', init_mae='b'")),
        "error: ~/run.py, line 4: give init or init_mae, not both: each sets all encoder weights",
    ),
    Case(
        "unknown key",
        with_config(run_text(more="outdir=1")),
        "error: ~/run.py, line 4: RunConfig has no key 'outdir'; did you mean 'out_dir'?",
    ),
    Case(
        "unknown key, none near",
        with_config(run_text(data="data=DataConfig({}, shards=4)")),
        "error: ~/run.py, line 4: DataConfig has no key 'shards'; its keys: sources, roots, mask, augment, ...",
    ),
    Case(
        "a needed key left out",
        with_config(HEAD + "config = RunConfig(data=DataConfig({}))"),
        "error: ~/run.py, line 4: RunConfig.__init__() missing 1 required positional argument: 'out_dir'",
    ),
    Case(
        "a name misspelt",
        with_config(run_text(optim="optim=OptimConfg()")),
        "error: ~/run.py, line 4: name 'OptimConfg' is not defined",
    ),
    Case(
        "an import of nothing",
        with_config("import nowhere\n" + run_text()),
        "error: ~/run.py, line 1: No module named 'nowhere'",
    ),
    Case(
        "text for a number",
        with_config(run_text(optim="optim=OptimConfig(lr='1e-3')")),
        "error: ~/run.py, line 4: optim.lr '1e-3' must be a finite number, 0 or more",
    ),
    Case(
        "a number for text",
        with_config(run_text(more="init=3")),
        "error: ~/run.py: init = 3 has the wrong type; give str | None",
    ),
    Case(
        "out of range",
        with_config(run_text(optim="optim=OptimConfig(micro_batch=-2)")),
        "error: ~/run.py, line 4: optim.micro_batch -2 must be 1 or more",
    ),
    Case(
        "no data root",
        with_config(run_text(data="data=DataConfig({}, roots=())")),
        "error: ~/run.py, line 4: data.roots names no folder; give those that hold the data",
    ),
    Case(
        "no source",
        with_config(run_text(data="data=DataConfig({})")),
        "error: no source has a weight above 0; set --data.sources.NAME.weight",
    ),
]

AT = "error: derain.json, entry 0:"
ROOTED = "leaves the data root; give it relative to the root, without '..'"
FIND = "name the root that holds it, or prepare the data"
STRINGS = f"{AT} need the strings image_path, target_path, type; got"
LISTS = [
    Case(
        "no source with a weight",
        training("--data.sources.derain.weight 0"),
        "error: no source has a weight above 0; set --data.sources.NAME.weight",
    ),
    Case("root missing", training("--data.roots ~/no"), f"error: derain.json is not under ~/no; {FIND}"),
    Case("two roots missing", training("--data.roots ~/a ~/b"), f"error: derain.json is not under ~/a or ~/b; {FIND}"),
    Case(
        "list missing", training("--data.sources.derain.train no.json"), f"error: no.json is not under ~/data; {FIND}"
    ),
    Case(
        "list for validation missing",
        training("--data.sources.derain.val val.json"),
        f"error: val.json is not under ~/data; {FIND}",
    ),
    Case(
        "list outside the root",
        training("--data.sources.derain.train ../secret.json"),
        f"error: path '../secret.json' {ROOTED}",
    ),
    Case(
        "list a folder",
        after(replaced("data/derain.json", os.mkdir), training()),
        f"error: derain.json is not under ~/data; {FIND}",
    ),
    Case(
        "list a pipe",
        after(replaced("data/derain.json", os.mkfifo), training()),
        f"error: derain.json is not under ~/data; {FIND}",
    ),
    Case(
        "list of 0 bytes",
        with_list(b""),
        "error: pair list derain.json is not JSON (Expecting value: ...); prepare it again",
    ),
    Case(
        "list cut off",
        with_list('[{"image_path":'),
        "error: pair list derain.json is not JSON (... line 1 ...); prepare it again",
    ),
    Case(
        "list of bytes",
        with_list(bytes(range(255, 0, -1))),
        "error: pair list derain.json is not JSON (...); prepare it again",
    ),
    Case(
        "list 100 000 deep",
        with_list("[" * 100_000),
        "error: pair list derain.json is not JSON (maximum recursion depth exceeded ...); prepare it again",
    ),
    Case(
        "list no list",
        with_list('{"a": 1}'),
        "error: pair list derain.json holds a dict; it must be a JSON array of pairs",
    ),
    Case(
        "list empty", with_list("[]"), "error: pair list derain.json is empty; prepare it again or leave the source out"
    ),
    Case("entry a number", with_list("[5]"), f"{STRINGS} 5"),
    Case(
        "entry without a key", with_entry(target_path=None), f"{STRINGS} {{'image_path': 'derain/0.png', 'type': ...}}"
    ),
    Case("path a number", with_entry(target_path=3), f"{STRINGS} {{... 'target_path': 3, ...}}"),
    Case(
        "unknown type",
        with_entry(type="derain_image2drain"),
        f"{AT} unknown type 'derain_image2drain'; did you mean derain_image2derain...?",
    ),
    Case("path absolute", with_entry(image_path="~/secret.png"), f"{AT} path '~/secret.png' {ROOTED}"),
    Case(
        "path upwards",
        with_entry(target_path="derain/../../secret.png"),
        f"{AT} path 'derain/../../secret.png' {ROOTED}",
    ),
    Case(
        "path upwards as on Windows", with_entry(image_path="..\\secret.png"), f"{AT} path '..\\\\secret.png' {ROOTED}"
    ),
    Case("path empty", with_entry(image_path=""), f"{AT} path '' {ROOTED}"),
    Case(
        "path with a null byte",
        with_entry(image_path="derain/\0.png"),
        f"{AT} derain/\\0.png is not under ~/data; {FIND}",
    ),
    Case(
        "label where none is due",
        with_entry(label=[1]),
        f"{AT} pairs of type derain_image2derain are files; take the label out of the list",
    ),
    Case(
        "label of a wrong kind",
        with_entry(type="coco_image2panoptic_inst", label={"segments": ["a"]}),
        f'{AT} the label of ~/data/derain/0_target.png must be {{"segments": [ids]}}, ids of 1..16777215; '
        "got {'segments': ['a']}",
    ),
]


def of_image(name: str, content: bytes | Act, message: str, skip: bool = False) -> Case:
    """An image of these bytes, or changed otherwise; check_pairs says so above its sum."""
    change = content if callable(content) else lambda folder: put(folder, IMAGE, content)
    words = f"derain.json, entry 0: {message}\n1 pairs read, 1 broken; 1 lists read, 0 broken"
    return Case(name, after(change, command(check_pairs.main, "~/run.py")), words, skip)


IMAGE = "data/derain/0.png"
AGAIN = "copy or download it again"
UNKNOWN = f"~/{IMAGE} is not an image in a known format; replace it"
NOT_THERE = f"derain/0.png is not under ~/data; {FIND}"
IMAGES = [
    Case("missing before training", after(lambda folder: (folder / IMAGE).unlink(), training()), f"{AT} {NOT_THERE}"),
    Case(
        "missing, and the target",
        with_entry(image_path="a.png", target_path="b.png"),
        f"{AT} a.png is not under ~/data; 2 files are missing in all; {FIND}",
    ),
    Case(
        "truncated while training",
        after(lambda folder: put(folder, IMAGE, encode(PHOTO)[:-600]), training()),
        f"{AT} ~/{IMAGE} is truncated or broken (...); {AGAIN}",
    ),
    of_image("missing", lambda folder: (folder / IMAGE).unlink(), NOT_THERE),
    of_image("a pipe", replaced(IMAGE, os.mkfifo), NOT_THERE),
    of_image("a folder", replaced(IMAGE, os.mkdir), NOT_THERE),
    of_image("0 bytes", b"", f"~/{IMAGE} is empty (0 bytes); {AGAIN}"),
    of_image("truncated", encode(PHOTO, "JPEG")[:-600], f"~/{IMAGE} is truncated or broken (...); {AGAIN}"),
    of_image("a web page", b"<html>404</html>", UNKNOWN),
    of_image("PostScript, which runs programs", encode(PHOTO, "EPS"), UNKNOWN),
    of_image("CMYK", encode(PHOTO.convert("CMYK"), "JPEG"), f"~/{IMAGE} is CMYK; convert it to RGB"),
    of_image(
        "16 bits", encode(GRAY16), f"~/{IMAGE} has 16 or more bits a channel where 8 are due; save it as 8-bit RGB"
    ),
    of_image(
        "64 megapixels in 100 bytes",
        claim(8001, 8000),
        f"~/{IMAGE} has 8001 x 8000 pixels, more than 64000000; shrink it",
    ),
    of_image(
        "900 megapixels in 100 bytes", claim(30_000, 30_000), f"~/{IMAGE} has far more than 64000000 pixels; shrink it"
    ),
    of_image(
        "not of its target's size",
        encode(PHOTO),
        "image derain/0.png is 48 x 40 but target derain/0_target.png is 36 x 40; prepare the pair again",
    ),
    of_image(
        "depth of 8 bits",
        lambda folder: put(folder, "data/derain.json", entry(type="nyuv2_image2depth")),
        "~/data/derain/0_target.png is an 8-bit RGB image where 16-bit gray is due; prepare it again",
    ),
    of_image(
        "not readable",
        lambda folder: (folder / IMAGE).chmod(0),
        f"~/{IMAGE} may not be read by this user; give it read permission",
        skip=IS_ROOT,
    ),
]

CURE = "so download or save it again"
SAVE = 'save it again as {"model": state_dict} or as a bare state_dict'
REFUSED = (
    "and is refused for safety: where you trust it, save only its tensors again, "
    'as {"model": state_dict} or as .safetensors'
)
UNFIT = "does not fit the model; it needs weights of the same architecture and size:"
WEIGHTS = [
    Case(
        "missing",
        training("--init ~/w.pth"),
        "error: ~/w.pth does not exist: check the path, or download the weights there first",
    ),
    Case(
        "a folder", training("--init ~/data"), "error: ~/data is a directory: give the path of the weights file in it"
    ),
    Case(
        "unknown suffix",
        with_weights("w.ckpt", STATE),
        "error: ~/w.ckpt has an unknown suffix: weights end in .safetensors, .pth, .pt or .bin",
    ),
    Case("0 bytes", with_weights("w.pth", b""), "error: ~/w.pth is empty (0 bytes): download or save it again"),
    Case(
        "a pipe",
        after(replaced("w.pth", os.mkfifo), training("--init ~/w.pth")),
        "error: ~/w.pth is empty (0 bytes): download or save it again",
    ),
    Case(
        "a web page",
        with_weights("w.pth", b"<html>404</html>"),
        "error: ~/w.pth cannot be read as weights (...): it is cut short, damaged or of another kind, " + CURE,
    ),
    Case(
        "truncated .pth",
        with_weights("w.pth", saved("w.pth", STATE)[:-600]),
        "error: ~/w.pth cannot be read as weights (...): it is cut short, damaged or of another kind, " + CURE,
    ),
    Case(
        "truncated .safetensors",
        with_weights("w.safetensors", saved("w.safetensors", STATE)[:-9]),
        "error: ~/w.safetensors cannot be read as weights (...): it is cut short, damaged or of another kind, " + CURE,
    ),
    Case(
        "pickle that runs a command",
        with_weights("w.pth", lambda folder: {"model": STATE, "more": Trap(folder)}),
        f"error: ~/w.pth wants to import or run posix.system {REFUSED}",
    ),
    Case(
        "bare pickle that runs a command",
        with_weights("w.bin", lambda folder: pickle.dumps(Trap(folder), protocol=2)),
        f"error: ~/w.bin wants to import or run posix.system {REFUSED}",
    ),
    Case(
        "MAE pickle that runs a command",
        with_weights("w.pth", lambda folder: {"model": STATE, "args": Trap(folder)}, "init_mae"),
        f"error: ~/w.pth wants to import or run posix.system {REFUSED}",
    ),
    Case(
        "pickle of an own class",
        with_weights("w.pth", {"model": STATE, "when": datetime.date(2023, 3, 1)}),
        f"error: ~/w.pth wants to import or run datetime.date {REFUSED}",
    ),
    Case("no tensors", with_weights("w.pth", {"model": {}}), f"error: ~/w.pth holds no named tensors: {SAVE}"),
    Case(
        "a number among tensors",
        with_weights("w.pth", {**STATE, "epoch": 3}),
        f"error: ~/w.pth holds values that are no plain float tensors (epoch): {SAVE}",
    ),
    Case(
        "whole numbers",
        with_weights("w.pth", {**STATE, "norm.bias": torch.ones(8, dtype=torch.int8)}),
        f"error: ~/w.pth holds values that are no plain float tensors (norm.bias): {SAVE}",
    ),
    Case(
        "a sparse tensor",
        with_weights("w.pth", {**STATE, "norm.bias": torch.ones(8).to_sparse()}),
        f"error: ~/w.pth holds values that are no plain float tensors (norm.bias): {SAVE}",
    ),
    Case(
        "names that are numbers",
        with_weights("mae.pth", {0: torch.ones(8)}, "init_mae"),
        f"error: ~/mae.pth holds values that are no plain float tensors (0): {SAVE}",
    ),
    Case(
        "NaN",
        with_weights("w.pth", {**STATE, "norm.bias": torch.full((8,), torch.nan)}),
        "error: ~/w.pth holds NaN or infinity in norm.bias; its training has failed: take another",
    ),
    Case(
        "another architecture",
        with_weights("w.pth", {"conv1.weight": torch.ones(2)}),
        f"error: ~/w.pth {UNFIT}\n  missing: mask_token; ... and ... more\n  unexpected: conv1.weight",
    ),
    Case(
        "a key missing",
        with_weights("w.pth", {name: value for name, value in STATE.items() if name != "norm.bias"}),
        f"error: ~/w.pth {UNFIT}\n  missing: norm.bias",
    ),
    Case(
        "another size",
        with_weights("w.safetensors", {**STATE, "norm.bias": torch.ones(3)}),
        f"error: ~/w.safetensors {UNFIT}\n  mis-shaped: norm.bias found (3,) expected (8,)",
    ),
    Case(
        "MAE without a key",
        with_weights("mae.pth", {name: STATE[name] for name in ENCODER if name != "norm.bias"}, "init_mae"),
        f"error: ~/mae.pth {UNFIT}\n  missing: norm.bias",
    ),
    Case(
        "timm, not installed",
        with_module("timm", None, training("--init_mae timm:vit_large_patch16_224.mae")),
        "error: timm:vit_large_patch16_224.mae needs a working timm (...): "
        "pip install timm torchvision, or give the path of a MAE file",
    ),
    Case(
        "timm, unknown name",
        with_module("timm", SimpleNamespace(create_model=fails), training("--init_mae timm:vit_gross")),
        "error: timm cannot provide vit_gross (RuntimeError('Unknown model (vit_gross)')): "
        "check the name and the network, or download the MAE file elsewhere and give its path",
    ),
    Case(
        "not readable",
        after(lambda folder: (put(folder, "w.pth", b"x"), (folder / "w.pth").chmod(0)), training("--init ~/w.pth")),
        "error: ~/w.pth may not be read by this user: give it read permission",
        skip=IS_ROOT,
    ),
]

RUNS = [
    Case(
        "batch that does not divide",
        training("--optim.global_batch 7 --optim.micro_batch 2"),
        "error: optim.global_batch 7 must be a multiple of micro_batch x ranks = 2 x 1",
    ),
    Case(
        "fp16 on the CPU",
        training("--optim.precision fp16"),
        "error: fp16 needs a GPU; give the precision bf16 or fp32",
    ),
    Case(
        "cuda without a GPU",
        training("--device cuda"),
        "error: --device cuda was asked for, but PyTorch sees no CUDA device; use --device cpu or auto",
        skip=torch.cuda.is_available(),
    ),
    Case(
        "benchmark unknown",
        training("--log.benchmarks nyuv2"),
        "error: unknown benchmark 'nyuv2'; known are nyuv2_depth, ...",
    ),
    Case("benchmark without data", training("--log.benchmarks nyuv2_depth"), "error: ... is not under ~/data; ..."),
    Case(
        "wandb, not installed",
        with_module("wandb", None, training("--log.wandb painter")),
        "error: --log.wandb needs the package: pip install wandb",
    ),
    Case(
        "resume from nothing",
        training("--resume ~/no"),
        "error: ~/no is no checkpoint: it has no checkpoint.json; give a folder step_NNNNNNN of a run, or ...",
    ),
    Case(
        "resume from a weights file",
        with_weights("w.pth", STATE, "resume"),
        "error: ~/w.pth is no checkpoint: it has no checkpoint.json; give a folder step_NNNNNNN of a run, "
        "or weights to --init",
    ),
    Case(
        "resume never, into a folder with checkpoints",
        after(training(), training("--resume never")),
        "error: ~/run holds checkpoints of another run; go on with --resume auto or choose another --out_dir",
    ),
    Case(
        "resume an earlier one of the same folder",
        after(training("--optim.steps 2 --log.save_every 1"), training("--resume ~/run/step_0000001")),
        "error: ~/run/step_0000002 is later than ~/run/step_0000001; move later ones away, or choose another --out_dir",
    ),
    Case(
        "resume with another network",
        after(training(), training("--model.depth 8")),
        f"error: ~/run/step_0000001 {UNFIT}\n  missing: blocks.4.norm1.weight; ... and ... more",
    ),
    Case(
        "all checkpoints damaged",
        after(training(), after(damage, training())),
        "error: all checkpoints of ~/run are damaged; start again with another --out_dir",
    ),
    Case(
        "evaluate a damaged checkpoint",
        after(training(), after(damage, training("--init ~/run/last --out_dir ~/next"))),
        "error: ~/run/step_0000001/shard-... is damaged: its size or SHA-256 is not that of checkpoint.json",
    ),
    Case(
        "out_dir empty", training("--out_dir ''"), "Value error Error parsing ...: out_dir is empty; name a folder ..."
    ),
    Case(
        "out_dir a file",
        training("--out_dir ~/run.py"),
        "error: ~/run.py cannot be written to (File exists); choose another folder",
    ),
    Case(
        "out_dir below a file",
        training("--out_dir ~/run.py/run"),
        "error: ~/run.py/run cannot be written to (Not a directory); choose another folder",
    ),
    Case(
        "fsdp without torchrun",
        training("--parallel fsdp"),
        "error: parallel fsdp shares the network out over the ranks of a launch: start it by torchrun",
    ),
    Case(
        "fsdp with fp16",
        training("--parallel fsdp --optim.precision fp16"),
        "Value error Error parsing ...: parallel fsdp has no loss scale; give optim.precision bf16 or fp32",
    ),
    Case(
        "more broken pairs than borne with",
        after(
            replaced("data/derain/0.png", os.mkdir),
            training("--data.broken quarantine --data.check_files False"),
        ),
        "error: derain.json: no pair drawn for a sample can be read, as the last of them: derain.json, entry 0: ...",
    ),
    Case(
        "out_dir not writable",
        after(lambda folder: folder.chmod(0o500), training()),
        "error: ~/run cannot be written to (Permission denied); choose another folder",
        skip=IS_ROOT,
    ),
]

TOOLS = [
    Case(
        "prepare: unknown source",
        command(prepare.main, "denoize --root ~/data"),
        "error: unknown source 'denoize'; did you mean denoise or derain?",
    ),
    Case(
        "check_data: unknown source",
        command(check_data.main, "~/data --sources denoize"),
        "error: unknown source 'denoize'; did you mean denoise or derain?",
    ),
    Case(
        "prepare: root missing",
        command(prepare.main, "all --root ~/no"),
        "error: ~/no is not a folder; give the folders that hold nyu_depth_v2/, coco/, ...",
    ),
    Case(
        "prepare: nothing downloaded",
        command(prepare.main, "derain --root ~/data --splits val"),
        "derain val: not downloaded: nothing of it is under ~/data (docs/DATA.md)",
    ),
    Case(
        "check_data: root missing",
        command(check_data.main, "~/no"),
        "error: ~/no is not a folder; give the folders that hold ...",
    ),
    Case(
        "check_pairs: broken list",
        after(lambda folder: put(folder, "data/derain.json", "[]"), command(check_pairs.main, "~/run.py")),
        "pair list derain.json is empty; prepare it again or leave the source out\n"
        "0 pairs read, 0 broken; 1 lists read, 1 broken",
    ),
]

TABLE = {
    "range": RANGES,
    "command": COMMANDS,
    "config": CONFIGS,
    "list": LISTS,
    "image": IMAGES,
    "weights": WEIGHTS,
    "run": RUNS,
    "tool": TOOLS,
}
CASES = [case._replace(name=f"{kind}: {case.name}") for kind, cases in TABLE.items() for case in cases]


# What the user is told


def told(case: Case) -> str:
    """What a user reads at the end, ~ for the folder; and what he should not have to read."""
    out, err = io.StringIO(), io.StringIO()  # the latter with progress bars
    with tempfile.TemporaryDirectory() as name, redirect_stdout(out), redirect_stderr(err):
        folder = Path(name)
        tiny_run(folder)
        try:
            with time_limit():
                case.act(folder)
            message = "nothing was wrong"
        except SystemExit as end:
            message = end.code if isinstance(end.code, str) else out_of_box(out.getvalue() or err.getvalue())
        except Exception as error:
            message = f"a traceback, and {error!r}"
        if (folder / "trap").exists():
            message = "the command in the file was run"
        return message.replace(str(folder), "~").replace("\0", "\\0")


def out_of_box(text: str) -> str:
    """What is in the box that the command line draws, in one line; other text as it is."""
    if "For full helptext" not in text:
        return text.strip()
    return " ".join(re.sub(r"[│╭╮╰╯─|+]|-{3,}", " ", text).partition("For full helptext")[0].split())


@contextmanager
def time_limit() -> Iterator[None]:
    """TimeoutError after SECONDS, wherever it hangs."""

    def stop(*_: object) -> None:
        raise TimeoutError

    old = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)


def fits(case: Case, message: str) -> bool:
    """Whether this is all of the expected message."""
    return bool(re.fullmatch(re.escape(case.message).replace(re.escape("..."), ".*"), message))


def main(cases: Sequence[Case] = CASES) -> None:
    """Print the table; exit status 1 if a message is wrong."""
    width, num_wrong = max(len(case.name) for case in cases), 0
    for case in cases:
        message = "(not on this machine, or not as this user)" if case.skip else told(case)
        wrong = not case.skip and not fits(case, message)
        num_wrong += wrong
        first, *more = [part for line in message.splitlines() for part in textwrap.wrap(line, WIDTH)]
        print(f"{case.name:{width}}  {first:{WIDTH}}  {'wrong' if wrong else 'skipped' if case.skip else 'ok'}")
        more += textwrap.wrap(f"expected: {case.message}", WIDTH) if wrong else []
        print("".join(f"{'':{width}}  {line}\n" for line in more), end="", flush=True)
    print(f"{len(cases)} cases, {num_wrong} wrong")
    sys.exit(int(num_wrong > 0))


if __name__ == "__main__":
    main()
