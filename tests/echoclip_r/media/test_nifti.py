"""NIfTI sequences are read as they lie on the screen."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from echoclip_r.errors import MediaError
from echoclip_r.media.reading import probe, read_clip, read_frames

FRAMES = np.random.default_rng(0).integers(0, 256, (5, 20, 30)).astype(np.uint8)


def content(
    frames: np.ndarray, *, code: int = 2, order: str = "<", dims=None, spacing=(1, 1)
) -> bytes:
    count, height, width = frames.shape
    header = bytearray(352)
    struct.pack_into(f"{order}i", header, 0, 348)
    struct.pack_into(f"{order}8h", header, 40, *(dims or (3, width, height, count, 1, 1, 1, 1)))
    struct.pack_into(f"{order}h", header, 70, code)
    struct.pack_into(f"{order}8f", header, 76, 1, *spacing, 1, 1, 1, 1, 1)
    struct.pack_into(f"{order}3f", header, 108, 352, 1, 0)
    header[344:348] = b"n+1\0"
    kinds = {2: "u1", 4: "i2", 16: "f4", 512: "u2"}
    return bytes(header) + frames.astype(order + kinds[code]).tobytes()


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("code", [2, 4, 16])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_grey_values_are_kept(tmp_path, order, code, name):
    """Whatever kind of numbers they are stored as, and packed or not."""
    raw = content(FRAMES, code=code, order=order)
    path = tmp_path / name
    path.write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    clip = read_clip(path)
    assert np.array_equal(clip, np.repeat(FRAMES[..., None], 3, -1))
    assert np.array_equal(read_frames(path, [4, 0]), clip[[4, 0]])
    info = probe(path)
    assert (info.num_frames, info.height_px, info.width_px, info.codec) == (5, 20, 30, "nifti")


def test_more_bits_are_scaled_by_one_rule_for_all_frames(tmp_path):
    """The brightest of the whole clip becomes white."""
    frames = FRAMES.astype(np.uint16) * 16
    (tmp_path / "a.nii").write_bytes(content(frames, code=512))
    clip = read_clip(tmp_path / "a.nii")
    wanted = np.round((frames - frames.min()) * (255 / (frames.max() - frames.min())))
    assert np.array_equal(clip[..., 0], wanted)


def test_pixels_become_square_and_four_sizes_are_a_sequence(tmp_path):
    """Pixels twice as wide as high, and a size of one between rows and frames."""
    dims = (4, 30, 20, 1, 5, 1, 1, 1)
    (tmp_path / "a.nii").write_bytes(content(FRAMES, dims=dims, spacing=(0.4, 0.2)))
    assert read_clip(tmp_path / "a.nii").shape == (5, 20, 60, 3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda raw: raw[:600], "damaged or cut off"),
        (lambda raw: raw[:100], "damaged or cut off"),
        (lambda raw: raw[:344] + b"ni1\0" + raw[348:], "not a NIfTI file with the pictures in it"),
        (lambda raw: raw[:70] + struct.pack("<h", 128) + raw[72:], "NIfTI code 128"),
        (lambda raw: raw[:40] + struct.pack("<8h", 4, 5, 5, 5, 5, 1, 1, 1) + raw[56:], "volumes"),
        (lambda raw: raw[:40] + struct.pack("<8h", 3, 0, 5, 5, 1, 1, 1, 1) + raw[56:], "volumes"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_what_cannot_be_read_is_said(tmp_path, change, said, packed):
    """Never a traceback of another kind."""
    raw = change(content(FRAMES))
    path = tmp_path / ("a.nii.gz" if packed else "a.nii")
    path.write_bytes(gzip.compress(raw) if packed else raw)
    with pytest.raises(MediaError, match=said):
        read_clip(path)


@pytest.mark.parametrize("start", [float("nan"), float("inf"), -5.0, 0.0, 347.0])
def test_pixels_begin_behind_the_header(tmp_path, start):
    """Else the header, in which a name may stand, would be taken for a picture."""
    raw = bytearray(content(FRAMES))
    struct.pack_into("<f", raw, 108, start)
    (tmp_path / "a.nii").write_bytes(raw)
    for read in (probe, read_clip):
        with pytest.raises(MediaError, match="damaged or cut off"):
            read(tmp_path / "a.nii")


@pytest.mark.parametrize("slope", [float("nan"), float("inf")])
def test_a_scale_that_is_no_number_gives_no_picture(tmp_path, slope):
    """It is black, in which no sector is found, and no warning of numpy's is shown."""
    raw = bytearray(content(FRAMES))
    struct.pack_into("<f", raw, 112, slope)
    (tmp_path / "a.nii").write_bytes(raw)
    assert not read_clip(tmp_path / "a.nii").any()


def test_a_packed_file_that_was_cut_off(tmp_path):
    """Its end is missing."""
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(content(FRAMES))[:-30])
    with pytest.raises(MediaError, match="damaged or cut off"):
        read_clip(path)
