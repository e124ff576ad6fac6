"""Sources: tiny downloads of every kind become the right pairs and pixels; what is broken is named."""

import json
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from data.nyu import read_labeled
from data.pairs import read_pairs
from data.prepare import find_jobs
from data.tasks import SOURCES, Entry, Job

NYU, ADE, COCO = SOURCES["nyuv2_depth"], SOURCES["ade20k_semantic"], SOURCES["coco_semantic"]
DENOISE, DERAIN, ENHANCE = SOURCES["denoise"], SOURCES["derain"], SOURCES["enhance"]
H, W = 40, 48


def save(path: Path, pixels: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8) if pixels is None else pixels).save(path)


def entries(jobs: list[Job]) -> list[Entry]:
    return [entry for job in jobs for entry in job.entries]


def made(job: Job) -> dict[str, np.ndarray]:
    """The files of a job, after a trip to another process."""
    return dict(pickle.loads(pickle.dumps(job)).make())


# NYUv2


@pytest.fixture
def labeled(tmp_path: Path) -> dict[str, np.ndarray]:
    """A labelled .mat of 4 images, of which 1, 3 (and 9, beyond it) are the official test."""
    rng = np.random.default_rng(0)
    content = {
        "images": rng.integers(1, 256, (4, 3, W, H), dtype=np.uint8),
        "rawDepths": rng.uniform(0, 9.9, (4, W, H)).astype(np.float32),
    }
    (tmp_path / "nyu_depth_v2").mkdir()
    write_labeled(tmp_path, content)
    savemat(tmp_path / "nyu_depth_v2/splits.mat", {"testNdxs": np.array([[4], [2], [10]], np.uint16)})
    return content


def write_labeled(root: Path, content: dict[str, np.ndarray], scenes: tuple[str, ...] = ("cafe", "den") * 2) -> None:
    with h5py.File(root / "nyu_depth_v2/nyu_depth_v2_labeled.mat", "w") as file:
        for name, value in content.items():
            file[name] = value
        references = file.create_dataset("sceneTypes", (1, len(scenes)), h5py.ref_dtype)
        for i, scene in enumerate(scenes):
            text = np.frombuffer(scene.encode(), np.uint8).astype(np.uint16)
            references[0, i] = file.create_dataset(f"#refs#/{i}", data=text[:, None]).ref


def test_nyu_trains_on_the_frames_of_all_scenes(tmp_path):
    for scene, number in (("den_2", 7), ("den_1", 12), ("den_1", 3)):
        save(tmp_path / f"nyu_depth_v2/sync/{scene}/rgb_{number:05}.jpg")
        save(tmp_path / f"nyu_depth_v2/sync/{scene}/sync_depth_{number:05}.png")
    (tmp_path / "nyu_depth_v2/sync/list.txt").touch()
    (tmp_path / "nyu_depth_v2/sync/den_1/index.txt").touch()
    (job,) = NYU.sources([tmp_path], "train")
    assert job.make is None
    assert [entry.image_path[18:] for entry in job.entries] == [
        "den_1/rgb_00003.jpg",
        "den_1/rgb_00012.jpg",
        "den_2/rgb_00007.jpg",
    ]
    assert job.entries[2].target_path == "nyu_depth_v2/sync/den_2/sync_depth_00007.png"
    (tmp_path / "nyu_depth_v2/sync/den_1/sync_depth_00003.png").unlink()
    with pytest.raises(ValueError, match=r"den_1/rgb_00003.jpg has no partner in nyu_depth_v2/sync/den_1; "):
        NYU.sources([tmp_path], "train")


def test_nyu_tests_on_the_official_images_of_the_mat(tmp_path, labeled):
    jobs = NYU.sources([tmp_path], "val")
    folder = "nyu_depth_v2/official_splits/test/den"
    assert entries(jobs) == [
        (f"{folder}/rgb_00001.jpg", f"{folder}/sync_depth_00001.png", None),
        (f"{folder}/rgb_00003.jpg", f"{folder}/sync_depth_00003.png", None),
    ]
    image, depth = made(jobs[1]).values()
    assert list(made(jobs[1])) == list(jobs[1].entries[0][:2])
    expected = np.zeros((H, W, 3), np.uint8)
    expected[1:40, 1:47] = labeled["images"][3].transpose(2, 1, 0)[1:40, 1:47]
    assert np.array_equal(image, expected)
    assert depth.dtype == np.uint16
    assert np.array_equal(depth, (labeled["rawDepths"][3].T * np.float32(1000)).astype(np.uint16))


def test_nyu_photographs_of_the_official_size_keep_what_the_original_kept(tmp_path, labeled):
    content = {"images": np.ones((1, 3, 640, 480), np.uint8), "rawDepths": np.ones((1, 640, 480), np.float32)}
    write_labeled(tmp_path, content, ("den",))
    image, _ = read_labeled(tmp_path / "nyu_depth_v2/nyu_depth_v2_labeled.mat", 0)
    assert image[7:474, 7:632].all()
    assert image.sum() == 467 * 625 * 3


def test_nyu_ignores_other_files(tmp_path):
    folder = tmp_path / "nyu_depth_v2/sync/den"
    for name in ("rgb_00003.jpg", "sync_depth_00003.png"):
        save(folder / name)
    (folder / "rgb_list.txt").write_text("rgb_00003.jpg")
    assert len(entries(NYU.sources([tmp_path], "train"))) == 1


def test_nyu_test_files_of_another_making_are_listed_instead(tmp_path, labeled):
    folder = tmp_path / "nyu_depth_v2/official_splits/test/den"
    save(folder / "rgb_00001.jpg")  # of this .mat, its depth still to be made
    assert len(NYU.sources([tmp_path], "val")) == 2
    (folder / "rgb_00001.jpg").unlink()
    save(folder / "rgb_00500.jpg")
    save(folder / "sync_depth_00500.png")
    (job,) = NYU.sources([tmp_path], "val")
    assert job.make is None
    assert len(job.entries) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((3, 4, W, H), np.uint8)}, r"holds images \(3, 4, 48, 40\).*due are \(N, 3, W, H\)"),
        ({"images": np.zeros((4, 3, W, H), np.float32)}, "of float32"),
        ({"rawDepths": np.zeros((4, H, W), np.float32)}, r"rawDepths \(4, 40, 48\)"),
        ({"rawDepths": np.zeros((W, H), np.float32)}, r"rawDepths \(48, 40\)"),
    ],
)
def test_nyu_names_a_mat_of_other_shapes(tmp_path, labeled, change, message):
    write_labeled(tmp_path, labeled | change)
    with pytest.raises(ValueError, match=f"nyu_depth_v2_labeled.mat .*{message}"):
        NYU.sources([tmp_path], "val")


def test_nyu_names_files_that_are_no_mat(tmp_path, labeled):
    splits, file = (tmp_path / f"nyu_depth_v2/{name}.mat" for name in ("splits", "nyu_depth_v2_labeled"))
    savemat(splits, {"testNdxs": np.array([[0]])})
    with pytest.raises(ValueError, match=r"splits.mat: testNdxs must count images from 1"):
        NYU.sources([tmp_path], "val")
    for content in (b"", b"text" * 100):
        splits.write_bytes(content)
        with pytest.raises(ValueError, match=r"splits.mat is not a MATLAB 5 file.*download it again"):
            NYU.sources([tmp_path], "val")
    write_labeled(tmp_path, {})
    with pytest.raises(ValueError, match=r"labeled.mat is not NYU Depth V2's labelled HDF5 file.*images"):
        NYU.sources([tmp_path], "val")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"labeled.mat is not NYU Depth V2's labelled HDF5 file.*download it again"):
        NYU.sources([tmp_path], "val")


def test_nyu_scene_types_stay_inside_the_root(tmp_path, labeled):
    write_labeled(tmp_path, labeled, ("den", "../../x", "den", "den"))
    savemat(tmp_path / "nyu_depth_v2/splits.mat", {"testNdxs": np.array([[2]])})
    with pytest.raises(ValueError, match=r"scene type '../../x'"):
        NYU.sources([tmp_path], "val")


# ADE20K


def save_ade(root: Path, name: str, annotation: np.ndarray, split: str = "training") -> Path:
    save(root / f"ade20k/images/{split}/{name}.jpg", np.zeros((*annotation.shape[:2], 3), np.uint8))
    save(root / f"ade20k/annotations/{split}/{name}.png", annotation)
    return root / f"ade20k/annotations/{split}/{name}.png"


def test_ade_paints_its_classes_and_leaves_the_rest_black(tmp_path):
    annotation = np.arange(151, dtype=np.uint8).reshape(1, 151)
    save_ade(tmp_path, "ADE_train_00000002", annotation)
    save_ade(tmp_path, "ADE_val_00000001", annotation, "validation")
    (job,) = ADE.sources([tmp_path], "train")
    folder = "ade20k/{}/training/ADE_train_00000002"
    target_path = f"{folder.format('annotations_with_color')}.png"
    assert list(job.entries) == [(f"{folder.format('images')}.jpg", target_path, None)]
    painted = made(job)[target_path]
    assert painted[0, 0].tolist() == [0, 0, 0]
    assert np.array_equal(painted[0, 1:], ADE.palette.colors)
    assert entries(ADE.sources([tmp_path], "val"))[0].image_path.endswith("validation/ADE_val_00000001.jpg")


def test_ade_names_what_it_cannot_paint(tmp_path):
    label = np.full((4, 4), 3, np.uint8)
    file = save_ade(tmp_path, "a", label)
    save(file, np.where(np.eye(4) > 0, 151, label).astype(np.uint8))
    (job,) = ADE.sources([tmp_path], "train")
    with pytest.raises(ValueError, match=rf"{file}: label 151 is outside .*use the SceneParsing release"):
        made(job)
    save(file, np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match=rf"{file} is RGB where L or P is due"):
        made(job)
    save(file, np.random.default_rng(0).integers(0, 150, (99, 99), dtype=np.uint8))
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(ValueError, match=rf"^{file} is truncated"):
        made(job)
    file.unlink()
    with pytest.raises(ValueError, match=r"ade20k/images/training/a.jpg has no partner in .*/annotations/training"):
        ADE.sources([tmp_path], "train")


# COCO


def write_panoptic(root: Path, segments: list[dict], ids: list[list[int]]) -> None:
    """One photograph with its segments, and one without any."""
    flat = np.array(ids)
    for name in ("000000000001", "000000000002"):
        save(root / f"coco/val2017/{name}.jpg", np.zeros((*flat.shape, 3), np.uint8))
        pixels = np.stack((flat, flat >> 8, flat >> 16), -1).astype(np.uint8)
        save(root / f"coco/annotations/panoptic_val2017/{name}.png", pixels)
    annotations = [
        {"image_id": i + 1, "file_name": f"00000000000{i + 1}.png", "segments_info": found}
        for i, found in enumerate((segments, []))
    ]
    (root / "coco/annotations/panoptic_val2017.json").write_text(json.dumps({"annotations": annotations}))


SEGMENTS = [
    {"id": 1, "category_id": 1, "iscrowd": 0},
    {"id": 65536 + 256 + 2, "category_id": 200, "iscrowd": 1},
    {"id": 77, "category_id": 62, "iscrowd": 0},  # nowhere in the file
]


def test_coco_paints_things_stuff_and_crowds(tmp_path):
    write_panoptic(tmp_path, SEGMENTS, [[1, 65794, 0, 5]])
    (job,) = COCO.sources([tmp_path], "val")
    target_path = "coco/pano_sem_seg/panoptic_segm_val2017_with_color/000000000001.png"
    assert list(job.entries) == [("coco/val2017/000000000001.jpg", target_path, None)]
    person, rug = COCO.palette.colors[[0, 132]].tolist()
    assert made(job)[target_path].tolist() == [[person, rug, [0, 0, 0], [0, 0, 0]]]


@pytest.mark.parametrize(
    ("mode", "size", "message"),
    [
        ("L", (4, 1), "1.png is L where RGB is due"),
        ("RGB", (5, 1), r"1.jpg is 4 x 1 but .*1.png is 5 x 1; download both again"),
    ],
)
def test_coco_names_a_panoptic_file_of_another_kind(tmp_path, mode, size, message):
    write_panoptic(tmp_path, SEGMENTS, [[1, 65794, 0, 5]])
    Image.new(mode, size).save(tmp_path / "coco/annotations/panoptic_val2017/000000000001.png")
    with pytest.raises(ValueError, match=message):
        made(COCO.sources([tmp_path], "val")[0])


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ("text", "is not JSON"),
        ("[]", "has no list `annotations`"),
        ('{"annotations": [{"file_name": "000000000001.png"}]}', "is no panoptic annotation"),
        ('{"annotations": [{"file_name": "000000000001.png", "segments_info": [{"id": 1}]}]}', "is no panoptic"),
        ('{"annotations": [{"file_name": "3.png", "segments_info": []}]}', "lists coco/val2017/3.jpg, which is not"),
        (
            '{"annotations": [{"file_name": "1.png", "segments_info": [{"id": 9, "category_id": 12, "iscrowd": 0}]}]}',
            "1.png: segment 9 is of category 12, which COCO does not have",
        ),
    ],
)
def test_coco_names_what_is_no_annotation(tmp_path, annotations, message):
    write_panoptic(tmp_path, SEGMENTS, [[1, 2]])
    (tmp_path / "coco/annotations/panoptic_val2017.json").write_text(annotations)
    with pytest.raises(ValueError, match=rf"panoptic_val2017.json.* {message}"):
        COCO.sources([tmp_path], "val")


def test_coco_names_a_missing_panoptic_file(tmp_path):
    write_panoptic(tmp_path, SEGMENTS, [[1, 2]])
    (tmp_path / "coco/annotations/panoptic_val2017/000000000001.png").unlink()
    with pytest.raises(ValueError, match=r"lists .*panoptic_val2017/000000000001.png, which is not there"):
        COCO.sources([tmp_path], "val")


# SIDD


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Twice the same photograph, the clean one 7 brighter, of a size for 3 patches each."""
    noisy = np.random.default_rng(0).integers(0, 249, (288, 260, 3), dtype=np.uint8)
    for i in range(2):
        folder = tmp_path / f"denoise/SIDD_Medium_Srgb/Data/000{i + 1}_S6"
        save(folder / f"000{i + 1}_NOISY_SRGB_010.PNG", noisy)
        save(folder / f"000{i + 1}_GT_SRGB_010.PNG", noisy + np.uint8(7))
    return tmp_path


def test_sidd_cuts_the_same_squares_of_both_photographs(photographs):
    jobs = DENOISE.sources([photographs], "train")
    assert [entry.image_path for entry in entries(jobs)] == [
        f"denoise/train/input/{i}_{k}.png" for i in (1, 3) for k in (1, 2, 3)
    ]
    files = [made(job) for job in jobs]
    for job, pixels in zip(jobs, files, strict=True):
        for entry in job.entries:
            assert entry.target_path == entry.image_path.replace("input", "groundtruth")
            assert pixels[entry.image_path].shape == (256, 256, 3)
            assert np.array_equal(pixels[entry.target_path], pixels[entry.image_path] + 7)
    patches = [
        pixels[entry.image_path].tobytes() for job, pixels in zip(jobs, files, strict=True) for entry in job.entries
    ]
    assert len(set(patches)) == 6  # other places in each photograph
    again = made(DENOISE.sources([photographs], "train")[1])
    assert all(np.array_equal(again[path], pixels) for path, pixels in files[1].items())


def test_sidd_patches_of_another_making_are_listed_instead(photographs):
    save(photographs / "denoise/train/input/3_3.png")  # of this making, its partner still to be cut
    assert len(DENOISE.sources([photographs], "train")) == 2
    for folder in ("input", "groundtruth"):
        save(photographs / f"denoise/train/{folder}/104_252.png")
    with pytest.raises(ValueError, match=r"input/3_3.png has no partner"):
        DENOISE.sources([photographs], "train")
    (photographs / "denoise/train/input/3_3.png").unlink()
    (job,) = DENOISE.sources([photographs], "train")
    assert job == Job([Entry("denoise/train/input/104_252.png", "denoise/train/groundtruth/104_252.png")])


def test_sidd_patches_keep_their_numbers_when_photographs_are_added(photographs):
    before = made(DENOISE.sources([photographs], "train")[1])
    added = photographs / "denoise/SIDD_Medium_Srgb/Data/0001_S6/0001_{}_SRGB_011.PNG"
    for kind in ("NOISY", "GT"):
        save(Path(str(added).format(kind)), np.zeros((288, 260, 3), np.uint8))
    jobs = DENOISE.sources([photographs], "train")
    assert [job.entries[0].image_path for job in jobs] == [f"denoise/train/input/{i}_1.png" for i in (1, 2, 3)]
    assert all(np.array_equal(pixels, before[path]) for path, pixels in made(jobs[2]).items())


def test_sidd_names_a_photograph_with_another_name(photographs):
    for kind in ("NOISY", "GT"):
        save(photographs / f"denoise/SIDD_Medium_Srgb/Data/x/x_{kind}_SRGB_010.PNG")
    with pytest.raises(ValueError, match=r"x_NOISY_SRGB_010.PNG is not named like SIDD's"):
        DENOISE.sources([photographs], "train")


def test_sidd_names_photographs_that_cannot_be_cut(photographs):
    clean = photographs / "denoise/SIDD_Medium_Srgb/Data/0001_S6/0001_GT_SRGB_010.PNG"
    job = DENOISE.sources([photographs], "train")[0]
    save(clean, np.zeros((270, 200, 3), np.uint8))
    with pytest.raises(ValueError, match=r"is 260 x 288, .* 200 x 270; due is one size from 256 up"):
        made(job)
    clean.unlink()
    with pytest.raises(ValueError, match=r"0001_GT_SRGB_010.PNG or its partner is missing"):
        DENOISE.sources([photographs], "train")


def write_blocks(root: Path, noisy: np.ndarray, clean: np.ndarray) -> None:
    (root / "denoise/val").mkdir(parents=True, exist_ok=True)
    for name, blocks in (("ValidationNoisyBlocksSrgb", noisy), ("ValidationGtBlocksSrgb", clean)):
        savemat(root / f"denoise/val/{name}.mat", {name: blocks}, do_compression=True)


def test_sidd_validates_on_all_blocks(tmp_path):
    noisy = np.random.default_rng(0).integers(0, 256, (2, 3, 256, 256, 3), dtype=np.uint8)
    write_blocks(tmp_path, noisy, 255 - noisy)
    (job,) = DENOISE.sources([tmp_path], "val")
    names = ["0001_01", "0001_02", "0001_03", "0002_01", "0002_02", "0002_03"]
    assert [Path(entry.image_path).stem for entry in job.entries] == names
    files = made(job)
    assert np.array_equal(files["denoise/val/input/0002_01.png"], noisy[1, 0])
    assert np.array_equal(files["denoise/val/groundtruth/0001_03.png"], 255 - noisy[0, 2])


@pytest.mark.parametrize(
    ("noisy", "clean", "message"),
    [
        (
            np.zeros((2, 256, 256, 3), np.uint8),
            None,
            r"NoisyBlocksSrgb is \(2, 256, 256, 3\) of uint8; due is \(images, b",
        ),
        (np.zeros((1, 1, 256, 128, 3), np.uint8), None, r"\(1, 1, 256, 128, 3\)"),
        (np.zeros((1, 1, 256, 256, 3), np.float32), None, "of single; due is"),
        (np.zeros((1, 1, 256, 256, 3), np.uint8), np.zeros((1, 2, 256, 256, 3), np.uint8), "1 x 1 blocks, .* 1 x 2"),
    ],
)
def test_sidd_names_blocks_of_other_shapes(tmp_path, noisy, clean, message):
    write_blocks(tmp_path, noisy, noisy if clean is None else clean)
    with pytest.raises(ValueError, match=message):
        DENOISE.sources([tmp_path], "val")


def test_sidd_names_a_block_file_that_is_missing_or_no_mat(tmp_path):
    blocks = np.zeros((1, 1, 256, 256, 3), np.uint8)
    write_blocks(tmp_path, blocks, blocks)
    file = tmp_path / "denoise/val/ValidationGtBlocksSrgb.mat"
    file.write_bytes(b"text")
    with pytest.raises(ValueError, match=rf"{file} is not a MATLAB 5 file"):
        DENOISE.sources([tmp_path], "val")
    savemat(file, {"blocks": blocks})
    with pytest.raises(ValueError, match=rf"{file}: ValidationGtBlocksSrgb is \(\) of nothing"):
        DENOISE.sources([tmp_path], "val")
    file.unlink()
    with pytest.raises(ValueError, match=r"denoise/val/ValidationGtBlocksSrgb.mat is not under"):
        DENOISE.sources([tmp_path], "val")


# Derain and LoL


@pytest.mark.parametrize(
    ("task", "split", "image", "target"),
    [
        (DERAIN, "train", "derain/train/input/7.jpg", "derain/train/target/7.jpg"),
        (DERAIN, "val", "derain/test/Rain100H/input/7.png", "derain/test/Rain100H/target/7.png"),
        (ENHANCE, "train", "light_enhance/our485/low/7.png", "light_enhance/our485/high/7.png"),
        (ENHANCE, "val", "light_enhance/eval15/low/7.png", "light_enhance/eval15/high/7.png"),
    ],
)
def test_restoration_lists_the_files(tmp_path, task, split, image, target):
    save(tmp_path / image)
    save(tmp_path / "other" / target)
    (tmp_path / image).with_name("Thumbs.db").touch()
    (tmp_path / image).with_name(".7.png.part").touch()
    roots = [tmp_path, tmp_path / "other"]
    assert task.sources(roots, split) == [Job([Entry(image, target)])]
    save((tmp_path / image).with_name("8.png"))
    with pytest.raises(ValueError, match=r"8.png has no partner in"):
        task.sources(roots, split)
    save((tmp_path / image).with_name("7.bmp"))
    with pytest.raises(ValueError, match=r"have one name; remove one"):
        task.sources(roots, split)


@pytest.mark.parametrize("task", [NYU, ADE, COCO, DENOISE, DERAIN, ENHANCE], ids=lambda task: task.name)
@pytest.mark.parametrize("split", ["train", "val"])
def test_what_is_wholly_absent_is_told_from_what_is_partly_there(tmp_path, task, split):
    assert find_jobs(task, [tmp_path], split) is None
    save(tmp_path / "ade20k/images/training/1.jpg")
    assert find_jobs(task, [tmp_path], "val") is None
    with pytest.raises(ValueError, match="folder ade20k/annotations/training is not under"):
        find_jobs(ADE, [tmp_path], "train")


# Real samples: what the original's preparation listed


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("task", [NYU, ADE, DENOISE, DERAIN, ENHANCE], ids=lambda task: task.name)
def test_real_downloads_give_the_original_s_list(samples, task, split):
    """In another order: the original's is that of os.listdir. Two pairs of the samples are in none of its lists."""
    extra = {"nyu_depth_v2/sync/basement_metric3d_demo/rgb_00000.jpg", "ade20k/images/validation/ADE_val_00000001.jpg"}
    found = [entry[:2] for entry in entries(task.sources(samples, split)) if entry.image_path not in extra]
    assert len(set(found)) == len(found)
    assert set(found) == {pair[:2] for pair in read_pairs(samples, task.lists[split])}
