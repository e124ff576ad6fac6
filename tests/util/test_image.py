"""Images: what a file must be to be read as colour or as depth, and the way to normalised tensors and back."""

import numpy as np
import pytest
import torch
from PIL import Image

from util.image import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    MAX_PIXELS,
    denormalize,
    normalize,
    read_rgb,
    read_uint16,
    to_uint8,
)

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8))


def test_colour_files_are_read_exactly(tmp_path):
    for name in ("a.png", "a.bmp", "a.tif"):
        PHOTO.save(tmp_path / name)
        np.testing.assert_array_equal(read_rgb(tmp_path / name), PHOTO)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1"])
def test_other_8_bit_files_become_rgb_as_pillow_converts_them(tmp_path, mode):
    PHOTO.convert(mode).save(tmp_path / "a.png")
    image = read_rgb(tmp_path / "a.png")
    assert image.mode == "RGB"
    np.testing.assert_array_equal(image, PHOTO.convert(mode).convert("RGB"))


def test_depth_keeps_every_16_bit_value(tmp_path):
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    for name in ("depth.png", "depth.tif"):
        Image.fromarray(values).save(tmp_path / name)
        read = read_uint16(tmp_path / name)
        assert read.dtype == np.uint16
        np.testing.assert_array_equal(read, values)


def test_depth_in_32_bit_files_is_read_if_it_fits(tmp_path):
    Image.fromarray(np.array([[0, 65535]], np.int32)).save(tmp_path / "fits.tif")
    assert read_uint16(tmp_path / "fits.tif").tolist() == [[0, 65535]]
    for wrong in (65536, -1):
        Image.fromarray(np.array([[0, wrong]], np.int32)).save(tmp_path / "wraps.tif")
        with pytest.raises(ValueError, match=r"wraps\.tif"):
            read_uint16(tmp_path / "wraps.tif")


@pytest.mark.parametrize("read", [read_rgb, read_uint16])
def test_the_file_is_named(tmp_path, read):
    with pytest.raises(ValueError, match=r"no\.png does not exist"):
        read(tmp_path / "no.png")
    (tmp_path / "junk.png").write_bytes(bytes(1000))
    with pytest.raises(ValueError, match=r"junk\.png is not an image"):
        read(tmp_path / "junk.png")


def test_a_file_is_closed_once_read(tmp_path):
    PHOTO.save(tmp_path / "a.png")
    image = read_rgb(tmp_path / "a.png")
    (tmp_path / "a.png").unlink()
    assert image.getpixel((4, 5)) == PHOTO.getpixel((4, 5))


def test_largest_picture_is_measured_in_pixels(tmp_path, monkeypatch):
    assert MAX_PIXELS == 64_000_000
    monkeypatch.setattr("util.image.MAX_PIXELS", 30)
    PHOTO.save(tmp_path / "fits.png")
    PHOTO.resize((31, 1)).save(tmp_path / "large.png")
    assert read_rgb(tmp_path / "fits.png").size == (5, 6)
    with pytest.raises(ValueError, match=r"large\.png has 31 x 1 pixels, more than 30"):
        read_rgb(tmp_path / "large.png")


def test_bytes_come_back_from_a_tensor():
    np.testing.assert_array_equal(to_uint8(torch.from_numpy(np.array(PHOTO)).permute(2, 0, 1) / 255), PHOTO)


def test_normalisation_asks_a_device_for_nothing_and_sends_it_nothing(monkeypatch):
    """Tensors of Python's numbers would be sent to the device, and waited for."""
    monkeypatch.setattr(torch, "tensor", lambda *_, **__: pytest.fail("sent"))
    for function in (normalize, denormalize):
        assert function(torch.empty(2, 3, 4, 5, device="meta")).device.type == "meta"


def test_bytes_are_clipped_and_rounded():
    x = torch.tensor([-0.2, 0.49 / 255, 0.51 / 255, 254.6 / 255, 1.7]).expand(3, 1, 5)
    assert to_uint8(x)[0, :, 0].tolist() == [0, 0, 1, 255, 255]
    assert to_uint8(x.bfloat16()).dtype == np.uint8


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 3, 4, 5)])
def test_normalisation_is_imagenets_and_turns_back(shape):
    assert (IMAGENET_MEAN, IMAGENET_STD) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    for channel in range(3):
        expected = (x[..., channel, :, :] - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel]
        torch.testing.assert_close(normalize(x)[..., channel, :, :], expected)
    torch.testing.assert_close(denormalize(normalize(x)), x)
    assert normalize(x.double()).dtype == torch.float64
