"""The doctor: each planted fault is named, and the command it prints mends it."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.tasks import SOURCES
from tools import check_data, prepare

LIST = "ade20k/ade20k_training_image_semantic.json"
PAINTED = "ade20k/annotations_with_color/training/{}.png"
SYNC = "nyu_depth_v2/sync/den/{}"


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """ADE20K and depth for training and validation, prepared; nothing else."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for split in ("training", "validation"):
        for i in range(4):
            save(tmp_path / f"ade20k/images/{split}/{i}.jpg", noise)
            save(tmp_path / f"ade20k/annotations/{split}/{i}.png", noise[..., 0] % 151)
    for folder in (SYNC, "nyu_depth_v2/official_splits/test/den/{}"):
        save(tmp_path / folder.format("rgb_00001.jpg"), noise)
        save(tmp_path / folder.format("sync_depth_00001.png"), noise[..., 0].astype(np.uint16))
    with pytest.raises(SystemExit) as end:
        prepare.main(["all", "--root", str(tmp_path), "--num_workers", "1"])
    assert end.value.code == 0
    return tmp_path


def run(capsys, *arguments: object) -> tuple[object, list[str]]:
    """Exit status, and lines printed."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        check_data.main([str(argument) for argument in (*arguments, "--num_workers", 1)])
    return end.value.code, capsys.readouterr().out.splitlines()


def mend(lines: list[str]) -> int:
    """Run the commands that were printed; return how many."""
    cures = [shlex.split(line.removeprefix("  mend: ")) for line in lines if line.startswith("  mend: ")]
    for program, *words in cures:
        if program == "rm":
            for word in words:
                Path(word).unlink()
        else:
            assert (program, words[0]) == ("python", "tools/prepare.py")
            with pytest.raises(SystemExit) as end:
                prepare.main([*words[1:], "--num_workers", "1"])
            assert end.value.code == 0
    return len(cures)


def test_a_whole_root_is_ok(root, capsys):
    code, lines = run(capsys, root)
    assert code == 0
    assert "ade20k_semantic train: present; 4 pairs listed, 4 in the downloads, 4 read, 0 faults" in lines
    assert "nyuv2_depth val: present; 1 pairs listed, 1 in the downloads, 1 read, 0 faults" in lines
    assert "denoise train: absent" in lines
    assert lines[-1] == "ok"
    assert len(lines) == 2 * len(SOURCES.keys() - {"own_classes"}) + 1


def edit(change):
    """A fault in the list of ADE20K."""

    def plant(root: Path) -> None:
        content = json.loads((root / LIST).read_text())
        (root / LIST).write_text(json.dumps(change(content)))

    return plant


FAULTS = {
    "list missing": (lambda root: (root / LIST).unlink(), f"{LIST} is not there", 1),
    "list broken": (lambda root: (root / LIST).write_text("["), f"{LIST} is not JSON", 1),
    "list short": (edit(lambda pairs: pairs[:3]), f"{LIST} lacks 1 of the downloads' pairs, first that of ade20k", 1),
    "list of another type": (
        edit(lambda pairs: [*pairs[:3], pairs[3] | {"type": "lol_image2enhance"}]),
        "entry 3: type lol_image2enhance where ade20k_image2semantic is due",
        1,
    ),
    "target missing": (
        lambda root: (root / PAINTED.format(2)).unlink(),
        f"entry 2: {PAINTED.format(2)} is missing; prepare it again",
        1,
    ),
    "target empty": (lambda root: (root / PAINTED.format(1)).write_bytes(b""), "1.png is empty", 2),
    "target truncated": (
        lambda root: (root / PAINTED.format(1)).write_bytes((root / PAINTED.format(1)).read_bytes()[:400]),
        "1.png is truncated",
        2,
    ),
    "target of no class": (
        lambda root: save(root / PAINTED.format(3), np.full((32, 32, 3), 200, np.uint8)),
        "entry 3: ade20k/annotations_with_color/training/3.png shows (200, 200, 200), the colour of no class",
        2,
    ),
    "target of another size": (
        lambda root: save(root / PAINTED.format(0), np.zeros((32, 31, 3), np.uint8)),
        "but target ade20k/annotations_with_color/training/0.png is 31 x 32",
        2,
    ),
}


@pytest.mark.parametrize(("plant", "message", "num_cures"), FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_named_and_mended(root, capsys, plant, message, num_cures):
    plant(root)
    code, lines = run(capsys, root, "--sources", "ade20k_semantic")
    assert code == 1
    assert any(message in line for line in lines), lines
    assert lines[-1].startswith("not ok")
    assert mend(lines) == num_cures
    code, lines = run(capsys, root, "--sources", "ade20k_semantic")
    assert (code, lines[-1]) == (0, "ok")


def test_two_spoilt_targets_go_before_they_are_made_again(root, capsys):
    for i in (1, 2):
        (root / PAINTED.format(i)).write_bytes(b"text")
    _, lines = run(capsys, root)
    assert mend(lines) == 2
    assert run(capsys, root)[0] == 0


BROKEN = {
    "no partner": (lambda root: (root / SYNC.format("sync_depth_00001.png")).unlink(), "rgb_00001.jpg has no partner"),
    "8-bit depth": (
        lambda root: save(root / SYNC.format("sync_depth_00001.png"), np.ones((32, 32), np.uint8)),
        "is an 8-bit L image where 16-bit gray is due",
    ),
    "broken photograph": (
        lambda root: (root / SYNC.format("rgb_00001.jpg")).write_bytes(b"text"),
        "is not an image in a known format",
    ),
}


@pytest.mark.parametrize(("plant", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_download_is_named_without_a_command(root, capsys, plant, message):
    plant(root)
    code, lines = run(capsys, root, "--sources", "nyuv2_depth")
    assert code == 1
    assert any(message in line for line in lines), lines
    assert not any("mend" in line for line in lines)


def test_labels_are_tried_before_they_are_painted(root, capsys):
    (root / LIST).unlink()
    save(root / "ade20k/annotations/training/1.png", np.full((32, 32), 151, np.uint8))
    code, lines = run(capsys, root, "--sources", "ade20k_semantic")
    assert code == 1
    assert any("training/1.png: label 151 is outside" in line for line in lines)


def test_what_is_absent_is_wrong_only_where_it_is_named_or_half_there(root, capsys):
    assert run(capsys, root, "--sources", "denoise", "enhance")[0] == 1
    code, lines = run(capsys, root, "--sources", "ade20k_semantic", "derain")
    assert code == 1
    assert "  nothing of it is there; docs/DATA.md says what to download; or leave it out with --splits" in lines
    for part in ("images", "annotations", "annotations_with_color"):
        for file in (root / f"ade20k/{part}/validation").iterdir():
            file.unlink()
        (root / f"ade20k/{part}/validation").rmdir()
    (root / "ade20k/ade20k_validation_image_semantic.json").unlink()
    assert run(capsys, root)[0] == 1
    assert run(capsys, root, "--splits", "train")[0] == 0


def test_a_prepared_root_needs_no_downloads_but_says_so(root, capsys):
    for file in (root / "ade20k/annotations/training").iterdir():
        file.unlink()
    (root / "ade20k/annotations/training").rmdir()
    code, lines = run(capsys, root, "--sources", "ade20k_semantic", "--splits", "train")
    assert code == 1  # half a download
    assert "4 pairs listed, downloads not whole, 4 read, 1 faults" in lines[0]
    for pair in json.loads((root / LIST).read_text()):
        assert (root / pair["image_path"]).is_file()


def test_an_empty_root_is_not_ok(tmp_path, capsys):
    code, lines = run(capsys, tmp_path)
    assert code == 1
    assert lines[-1].startswith(f"no data is under {tmp_path}")


def test_json(root, capsys):
    (root / PAINTED.format(2)).write_bytes(b"")
    code, lines = run(capsys, root, "--json")
    assert code == 1
    (line,) = lines
    report = json.loads(line)
    assert report["ok"] is False
    assert set(report["sources"]) == set(SOURCES) - {"own_classes"}
    ade = report["sources"]["ade20k_semantic"]["train"]
    assert (ade["state"], ade["listed"], ade["downloaded"], ade["read"], len(ade["faults"])) == ("present", 4, 4, 4, 1)
    assert ade["cures"][0] == f"rm {root / PAINTED.format(2)}"
    assert report["sources"]["denoise"]["val"]["state"] == "absent"


@pytest.mark.parametrize("kind", ["own_pictures", "own_classes"])
def test_people_s_own_data_is_of_one_kind(tmp_path, capsys, kind):
    """That of the palette, prepared or not; the other one is nobody's fault, unless it is named."""
    for i in range(2):
        save(tmp_path / f"images/{i}.png", np.full((32, 32, 3), 90, np.uint8))
        save(tmp_path / f"labels/{i}.png", np.full((32, 32), i, np.uint8))
    if kind == "own_classes":
        (tmp_path / "palette.json").write_text("2")
    _, lines = run(capsys, tmp_path)
    faults = [line for line in lines if line.startswith("  ") and "mend:" not in line]
    assert [line.partition(" is not there")[0] for line in faults] == [
        f"  downloaded, but own_{split}.json" for split in ("train", "val")
    ]
    assert mend(lines) == 2
    code, lines = run(capsys, tmp_path)
    assert (code, lines[-1]) == (0, "ok")
    assert f"{kind} val: present; 1 pairs listed, 1 in the downloads, 1 read, 0 faults" in lines
    (other,) = {"own_pictures", "own_classes"} - {kind}
    assert run(capsys, tmp_path, "--sources", other)[0] == 1


def test_a_folder_missing_of_people_s_own_data_is_no_download(tmp_path, capsys):
    save(tmp_path / "images/train/0.png", np.full((32, 32, 3), 90, np.uint8))
    save(tmp_path / "labels/train/0.png", np.full((32, 32, 3), 90, np.uint8))
    _, lines = run(capsys, tmp_path, "--splits", "val")
    told = f"  folder images/val is not under {tmp_path}; docs/FINETUNE.md says how images and labels are laid out"
    assert told in lines


def test_a_sample_reads_some_and_all_reads_all(root, capsys):
    for i in range(4):
        (root / PAINTED.format(i)).write_bytes(b"")
    arguments = [root, "--sources", "ade20k_semantic", "--splits", "train"]
    named = set()
    for seed in range(8):
        _, lines = run(capsys, *arguments, "--sample", 1, "--seed", seed)
        assert "1 read, 1 faults" in lines[0]
        named.add(lines[1])
    assert 1 < len(named) <= 4
    assert "4 read, 4 faults" in run(capsys, *arguments, "--sample", 1, "--all")[1][0]


def test_a_list_in_a_second_root_is_mended_there(root, capsys, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    (out / "ade20k").mkdir()
    (root / LIST).rename(out / LIST)
    (root / PAINTED.format(0)).unlink()
    _, lines = run(capsys, root, out)
    assert mend(lines) == 1
    assert (out / PAINTED.format(0)).is_file()
    assert not (root / LIST).exists()
    assert run(capsys, root, out)[0] == 0
