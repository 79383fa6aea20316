"""Time to one random frame against decoding the whole clip, for each format.

The cardiac clip inside the pydicom package, at twice its size and played twice (60 frames of
640 x 480), is written in every format that echoclip_r reads. Each figure is the median of reads of
files that the operating system has at hand, in one process and thread.

Run: .venv/bin/python benchmarks/data/media_speed.py
"""

from __future__ import annotations

import io
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from benchmarks.common import facts, write_results
from echoclip_r.media.reading import probe, read_clip, read_frames
from echoclip_r.sector.find import apply_sector, find_sector

SEED = 0
SINGLE_READS = 30
WHOLE_READS = 5

Frames = NDArray[np.uint8]


def _clip() -> Frames:
    small = read_clip(get_testdata_file("examples_ybr_color.dcm", download=False))
    large = [np.asarray(Image.fromarray(frame).resize((640, 480))) for frame in small]
    return np.stack(large * 2)


def _video(codec: str, pixels: str, **options: str) -> Callable[[Path, Frames], None]:
    def write(path: Path, frames: Frames) -> None:
        key_every = int(options.get("g", "12"))
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=30, options=options)
            stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
            stream.codec_context.gop_size = key_every
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())

    return write


def _gif(path: Path, frames: Frames) -> None:
    first, *rest = (Image.fromarray(frame) for frame in frames)
    first.save(path, save_all=True, append_images=rest, duration=33)


def _folder(suffix: str) -> Callable[[Path, Frames], None]:
    def write(path: Path, frames: Frames) -> None:
        path.mkdir()
        for number, frame in enumerate(frames):
            Image.fromarray(frame).save(path / f"{number:04d}{suffix}")

    return write


def _dicom(syntax: str) -> Callable[[Path, Frames], None]:
    def write(path: Path, frames: Frames) -> None:
        data: Dataset = pydicom.dcmread(get_testdata_file("examples_ybr_color.dcm", download=False))
        data.NumberOfFrames, data.Rows, data.Columns = frames.shape[:3]
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.PhotometricInterpretation = "RGB"
        data.PixelData = frames.tobytes()
        data["PixelData"].is_undefined_length = False
        if syntax == JPEGBaseline8Bit:
            data.file_meta.TransferSyntaxUID = syntax
            data.PhotometricInterpretation = "YBR_FULL_422"
            data.PixelData = encapsulate([_jpeg(frame) for frame in frames])
            data["PixelData"].is_undefined_length = True
        elif syntax != ExplicitVRLittleEndian:
            data.compress(syntax, generate_instance_uid=False)
        data.save_as(path, enforce_file_format=True)

    return write


def _jpeg(frame: Frames) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=92, subsampling="4:2:2")
    return buffer.getvalue()


FORMATS: dict[str, tuple[str, Callable[[Path, Frames], None]]] = {
    "AVI, Motion JPEG": ("a.avi", _video("mjpeg", "yuvj420p", qmin="3", qmax="3")),
    "AVI, uncompressed": ("a.avi", _video("rawvideo", "bgr24")),
    "MP4, H.264, key frame every 12": ("a.mp4", _video("libx264", "yuv420p", g="12")),
    "MP4, H.264, one key frame": ("a.mp4", _video("libx264", "yuv420p", g="250")),
    "MP4, MPEG-4, key frame every 12": ("a.mp4", _video("mpeg4", "yuv420p", g="12")),
    "GIF": ("a.gif", _gif),
    "folder of PNG": ("png", _folder(".png")),
    "folder of JPEG": ("jpeg", _folder(".jpg")),
    "DICOM, uncompressed RGB": ("a.dcm", _dicom(ExplicitVRLittleEndian)),
    "DICOM, JPEG": ("a.dcm", _dicom(JPEGBaseline8Bit)),
    "DICOM, JPEG 2000": ("a.dcm", _dicom(JPEG2000Lossless)),
    "DICOM, RLE": ("a.dcm", _dicom(RLELossless)),
}


def _milliseconds(calls: list[Callable[[], object]]) -> dict[str, float]:
    times = []
    for call in calls:
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return {
        "n": len(times),
        "median_ms": statistics.median(times),
        "min_ms": min(times),
        "max_ms": max(times),
    }


def _measure(path: Path) -> dict[str, Any]:
    num_frames = probe(path).num_frames  # Pillow's GIF writer leaves out frames like the last one
    rng = np.random.default_rng(SEED)
    places = [int(index) for index in rng.integers(0, num_frames, SINGLE_READS)]
    read_clip(path)  # once unmeasured: imports of plugins, page cache
    files = path.iterdir() if path.is_dir() else [path]
    whole = _milliseconds([lambda: read_clip(path)] * WHOLE_READS)
    one = _milliseconds([partial(read_frames, path, [at]) for at in places])
    return {
        "megabytes": sum(file.stat().st_size for file in files) / 1e6,
        "probe": _milliseconds([lambda: probe(path)] * WHOLE_READS),
        "one_frame": one,
        "whole_clip": whole,
        "whole_over_one": whole["median_ms"] / one["median_ms"],
    }


def main() -> None:
    """Write the clip in every format, time the reads, write the results."""
    frames = _clip()
    results: dict[str, Any] = {
        **facts(
            ".venv/bin/python benchmarks/data/media_speed.py",
            ["av", "pillow", "pydicom", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg", "scipy"],
            seed=SEED,
        ),
        "frames": frames.shape[0],
        "height_px": frames.shape[1],
        "width_px": frames.shape[2],
        "formats": {},
    }
    for name, (file, write) in FORMATS.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / file
            write(path, frames)
            results["formats"][name] = _measure(path)
    sector = find_sector(frames)
    results["sector"] = {
        "find": _milliseconds([lambda: find_sector(frames)] * WHOLE_READS),
        "apply_10_frames_224_px": _milliseconds(
            [lambda: apply_sector(frames[:10], sector, 224)] * WHOLE_READS
        ),
    }
    write_results("media_speed", results, _markdown(results))


def _markdown(results: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| {name} | {row['megabytes']:.1f} | {row['probe']['median_ms']:.1f} "
        f"| {row['one_frame']['median_ms']:.1f} | {row['whole_clip']['median_ms']:.0f} "
        f"| {row['whole_over_one']:.0f} |"
        for name, row in results["formats"].items()
    )
    sector = results["sector"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return f"""# One random frame against the whole clip

Medians in milliseconds, n = {SINGLE_READS} random frames and {WHOLE_READS} whole clips a format,
of {results["frames"]} frames of {results["width_px"]} x {results["height_px"]}, on a machine that
others used too: read the ratios. `times`: whole clip over one frame. A GIF is a chain of changes,
and a video with a single key frame must be decoded from its start. RLE is decoded in Python by
pydicom itself.

| format | MB | probe | one frame | whole clip | times |
| --- | --- | --- | --- | --- | --- |
{rows}

Finding the sector of this clip takes {sector["find"]["median_ms"]:.0f} ms, blanking, cropping and
resizing ten frames of it to 224 px {sector["apply_10_frames_224_px"]["median_ms"]:.0f} ms
(medians of {WHOLE_READS}).

{results["machine"]}; Python {results["python"]}; {versions}. Seed {results["seed"]}. \
Made by `{results["command"]}`.
"""


if __name__ == "__main__":
    main()
