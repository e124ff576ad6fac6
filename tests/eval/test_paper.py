"""The paper's numbers, as its tables print them."""

import pytest

from eval.paper import HEADLINE, MAIN, METRICS, PAPER, PROMPTS, RELEASED, SEPARATE, TITLES


def test_order_and_names():
    assert list(PAPER) == list(RELEASED) == list(HEADLINE) == list(TITLES)
    assert HEADLINE == {
        "nyuv2_depth": ("rms", "abs_rel", "d1"),
        "ade20k_semantic": ("mIoU",),
        "coco_panoptic": ("PQ",),
        "coco_pose": ("AP",),
        "sidd": ("psnr", "ssim_paper"),
        "derain": ("psnr", "ssim"),
        "lol": ("psnr", "ssim_paper"),
    }
    assert [m.name for m in METRICS] == [name for names in HEADLINE.values() for name in names]
    assert [(m.benchmark, m.name) for m in METRICS if m.lower] == [("nyuv2_depth", "rms"), ("nyuv2_depth", "abs_rel")]


def test_table_1():
    assert PAPER == {
        "nyuv2_depth": {"rms": 0.288, "abs_rel": 0.080, "d1": 0.950},
        "ade20k_semantic": {"mIoU": 49.9},
        "coco_panoptic": {"PQ": 43.4},
        "coco_pose": {"AP": 72.1},
        "sidd": {"psnr": 38.88, "ssim_paper": 0.954},
        "derain": {"psnr": 29.49, "ssim": 0.868},
        "lol": {"psnr": 22.40, "ssim_paper": 0.872},
    }
    restored = {
        "sidd": {"psnr": 38.66, "ssim_paper": 0.954},
        "derain": {"psnr": 29.42, "ssim": 0.867},
        "lol": {"psnr": 22.34, "ssim_paper": 0.872},
    }
    assert PAPER | restored == RELEASED


@pytest.mark.parametrize(
    ("scores", "row"),
    [
        (SEPARATE, (".327", "47.2", "41.3", "72.5", "38.43", "28.28", "21.67")),
        (PROMPTS["random"], (".291", "49.3", "43.1", "71.8", "38.46", "29.26", "22.31")),
        (PROMPTS["searched"], (".288", "49.9", "43.4", "72.1", "38.88", "29.49", "22.40")),
        (PROMPTS["learned"], (".286", "49.9", "43.3", "72.2", "38.71", "29.56", "22.38")),
    ],
    ids=["separate", "random", "searched", "learned"],
)
def test_tables_2_and_3(scores, row):
    """The first headline metric of each benchmark, with its decimals."""
    assert [m.name for m in MAIN] == [names[0] for names in HEADLINE.values()]
    printed = [f"{scores[m.benchmark][m.name]:.{m.decimals}f}".lstrip("0") for m in MAIN]
    assert tuple(printed) == row
    assert all(len(metrics) == 1 for metrics in scores.values())


def test_searched_prompts_are_those_of_table_1():
    assert all(PROMPTS["searched"][m.benchmark][m.name] == PAPER[m.benchmark][m.name] for m in MAIN)
