"""Video files through PyAV: AVI, MP4, MOV, MKV and whatever else FFmpeg opens.

The packets of a file are listed first, undecoded. That gives the exact number of frames (headers
are wrong in files that were cut off or never closed), the time stamp of each, and the key frame to
start from; reading the list costs about a millisecond a megabyte.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from echoclip_r.errors import MediaError
from echoclip_r.media.clip import ClipInfo, check_indices, over_black

__all__ = ["probe", "read"]

# FFmpeg would also draw text files as pictures and follow playlists to other files: neither is
# a clip, and the first would turn a report into pixels. Names as in FFmpeg's list of demuxers.
_CONTAINERS = (
    "asf,avi,dv,flv,h264,hevc,ivf,m4v,matroska,webm,mjpeg,mov,mp4,mpeg,mpegts,mpegvideo,mxf,nut,ogg"
)
_CUT_OFF = "the file was cut off or never finished; copy or export it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Packets:
    """The frames of a file in display order: time stamps, and which of them are key frames.

    Attributes:
        times: time stamps in the stream's unit, rising; None where the file gives none.
        keys: time stamps of the key frames, rising.
        num_frames: frames in the file.
    """

    times: tuple[int, ...] | None
    keys: tuple[int, ...]
    num_frames: int


def probe(path: Path) -> ClipInfo:
    """Size and rate of a video; see `echoclip_r.media.reading.probe`."""
    with _open(path) as (container, stream):
        return _info(path, stream, _list_packets(path, container, stream))


def read(path: Path, indices: Sequence[int] | None) -> NDArray[np.uint8]:
    """All frames (``indices`` None) or some; see `echoclip_r.media.reading.read_frames`."""
    with _open(path) as (container, stream):
        packets = _list_packets(path, container, stream)
        info = _info(path, stream, packets)
        if indices is None:
            indices = range(info.num_frames)
        check_indices(info, indices)
        out = np.empty((len(indices), info.height_px, info.width_px, 3), np.uint8)
        places: dict[int, list[int]] = {}
        for place, index in enumerate(indices):
            places.setdefault(index, []).append(place)
        for index, frame in _decode(path, container, stream, packets, sorted(places)):
            if frame.shape != out.shape[1:]:
                raise MediaError(path, f"frame {index} has another size than the first")
            out[places.pop(index)] = frame
        if places:
            raise MediaError(path, f"frame {min(places)} cannot be decoded: {_CUT_OFF}")
        return out


@contextmanager
def _open(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its first video stream; FFmpeg's errors become `MediaError`."""
    try:
        only = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
        with av.open(str(path), options=only) as container:
            if not container.streams.video:
                raise MediaError(path, "it holds no video stream")
            stream = container.streams.video[0]
            # Workers share the cores among files; threads inside a decoder would only add delay.
            stream.codec_context.thread_count = 1
            yield container, stream
    except av.error.FFmpegError as error:
        raise MediaError(
            path, f"FFmpeg reads no video in it ({error.strerror}): not a video, or {_CUT_OFF}"
        ) from error


def _info(path: Path, stream: VideoStream, packets: _Packets) -> ClipInfo:
    rate = stream.average_rate
    return ClipInfo(
        path=path,
        num_frames=packets.num_frames,
        height_px=stream.codec_context.height,
        width_px=stream.codec_context.width,
        fps_hz=float(rate) if rate else None,
        codec=stream.codec_context.name,
    )


def _list_packets(path: Path, container: InputContainer, stream: VideoStream) -> _Packets:
    """List the frames without decoding them, and refuse a file that lacks its end."""
    times: list[int | None] = []
    keys: list[int] = []
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise MediaError(path, f"frame {len(times)} breaks off: {_CUT_OFF}")
        if packet.size and not packet.is_discard:
            times.append(packet.pts)
            if packet.is_keyframe and packet.pts is not None:
                keys.append(packet.pts)
    promised = _promised_frames(path, container, stream)
    if promised > len(times):
        raise MediaError(path, f"it holds {len(times)} of {promised} frames: {_CUT_OFF}")
    known = [time for time in times if time is not None]
    complete = len(set(known)) == len(times)
    return _Packets(
        times=tuple(sorted(known)) if complete else None,
        keys=tuple(sorted(keys)),
        num_frames=len(times),
    )


def _promised_frames(path: Path, container: InputContainer, stream: VideoStream) -> int:
    """The number of frames that the file itself says it holds; 0 where that cannot be trusted."""
    if "mov" in container.format.name:
        return int(stream.frames)
    if container.format.name != "avi":
        return 0
    # An AVI's count includes skipped frames, which have no data, so it is only believed where
    # the file is shorter than its own header says. Unfinished files state no length at all.
    with path.open("rb") as file:
        riff = file.read(8)
    length = struct.unpack("<I", riff[4:8])[0]
    cut = length + 8 > path.stat().st_size or length == 0
    return int(stream.frames) if cut else 0


def _decode(
    path: Path,
    container: InputContainer,
    stream: VideoStream,
    packets: _Packets,
    wanted: Sequence[int],
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield (index, RGB frame) for the wanted indices, which rise, each once if it is found."""
    if packets.times is None or len(wanted) == packets.num_frames:
        yield from _decode_by_count(path, wanted)
        return
    reformatter = VideoReformatter()
    numbers = {time: index for index, time in enumerate(packets.times)}
    missed: list[int] = []
    position = 0
    while position < len(wanted):
        # One seek serves every wanted frame up to the next key frame.
        start, end = _group(packets, wanted, position)
        group = set(wanted[position:end])
        position = end
        container.seek(start, stream=stream)
        last = max(group)
        for frame in _frames(container, stream):
            index = numbers.get(frame.pts) if frame.pts is not None else None
            if index in group:
                group.discard(index)
                yield index, _to_rgb(path, index, frame, reformatter)
            if not group or (index is not None and index > last):
                break
        missed.extend(sorted(group))
    if missed:
        # A file whose key frames or seek table are wrong is still read, only from its start.
        yield from _decode_by_count(path, missed)


def _group(packets: _Packets, wanted: Sequence[int], position: int) -> tuple[int, int]:
    """The key frame to seek to, and the end of the run of ``wanted`` that it serves."""
    assert packets.times is not None
    first = packets.times[wanted[position]]
    earlier = [key for key in packets.keys if key <= first]
    start = earlier[-1] if earlier else packets.times[0]
    later = packets.keys[len(earlier)] if len(earlier) < len(packets.keys) else None
    end = position + 1
    while end < len(wanted) and (later is None or packets.times[wanted[end]] < later):
        end += 1
    return start, end


def _decode_by_count(path: Path, wanted: Sequence[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Decode from the start, counting frames.

    The file is opened again: in some containers (MPEG program streams) a seek to the first time
    stamp ends at a later key frame.
    """
    left = set(wanted)
    reformatter = VideoReformatter()
    with _open(path) as (container, stream):
        for index, frame in enumerate(_frames(container, stream)):
            if index in left:
                left.discard(index)
                yield index, _to_rgb(path, index, frame, reformatter)
            if not left:
                break


def _frames(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
    """Decode from where the container stands.

    PyAV's own generators leak a packet when they are left before their end and not closed, which
    over an archive adds up.
    """
    with closing(cast("Generator[av.Packet[VideoStream]]", container.demux(stream))) as packets:
        for packet in packets:
            yield from packet.decode()


def _to_rgb(
    path: Path, index: int, frame: av.VideoFrame, reformatter: VideoReformatter
) -> NDArray[np.uint8]:
    if frame.is_corrupt:
        raise MediaError(path, f"frame {index} is damaged; copy or export the file again")
    alpha = any(component.is_alpha for component in frame.format.components)
    # By default every frame would start threads of its own, which a busy machine makes wait.
    converted = reformatter.reformat(frame, format="rgba" if alpha else "rgb24", threads=1)
    pixels = np.asarray(converted.to_ndarray(), np.uint8)
    return over_black(pixels) if alpha else pixels
