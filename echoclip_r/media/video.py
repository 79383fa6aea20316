"""Video files through PyAV: AVI, MP4, MOV, MKV and whatever else FFmpeg opens.

The packets of a file are listed first, undecoded. That gives the exact number of frames (headers
are wrong in files that were cut off or never closed), the time stamp of each, and the key frame to
start from; reading the list costs about a millisecond a megabyte.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from echoclip_r.errors import MediaError
from echoclip_r.media.clip import Clip, ClipInfo, check_indices, collect, over_black
from echoclip_r.media.display import Display, display_of_matrix

__all__ = ["probe", "read"]

# FFmpeg would also draw text files as pictures and follow playlists to other files: neither is
# a clip, and the first would turn a report into pixels. Names as in FFmpeg's list of demuxers.
_CONTAINERS = (
    "asf,avi,dv,flv,h264,hevc,ivf,m4v,matroska,webm,mjpeg,mov,mp4,mpeg,mpegts,mpegvideo,mxf,nut,ogg"
)
_CUT_OFF = "the file was cut off or never finished; copy or export it again"
_DAMAGED = "the file is damaged, cut off or was never finished; copy or export it again"
_TS_PACKET, _TS_SYNC = 188, b"\x47"  # bytes of a packet, and the byte that each begins with
# So long a clip may lack its last frame.
_MIN_FRAMES_BUT_ONE = 9
_TOLERATED_SHARE = 0.1
# They have no place to say it, so their frames need not be asked.
_NEVER_TURNED = ("avi", "mpeg", "asf", "dv", "ivf", "flv")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """A video: the file at `path`, or a stream that was taken out of it."""

    path: Path
    stream_data: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Packets:
    """The frames of a file in display order: time stamps, and which of them are key frames.

    Attributes:
        times: time stamps in the stream's unit, rising; None where the file gives none.
        keys: time stamps of the key frames, rising.
        num_frames: frames in the file.
        note: what is missing at its end, or "".
    """

    times: tuple[int, ...] | None
    keys: tuple[int, ...]
    num_frames: int
    note: str = ""

    def numbers(self) -> dict[int, int]:
        """Time stamp -> index of the frame."""
        return {time: index for index, time in enumerate(self.times or ())}


def probe(path: Path, stream_data: bytes | None = None) -> tuple[ClipInfo, Display]:
    """Size and rate of a video; see `echoclip_r.media.reading.probe`.

    Args:
        path: the file, also where the stream was taken out of it.
        stream_data: a stream that lies inside of another file, or None for the file itself.
    """
    source = _Source(path=path, stream_data=stream_data)
    with _open(source) as (container, stream):
        packets = _list_packets(source, container, stream)
        return _facts(source, container, stream, packets)


def read(path: Path, indices: Sequence[int] | None, stream_data: bytes | None = None) -> Clip:
    """All frames (``indices`` None) or some; see `echoclip_r.media.reading.read`."""
    source = _Source(path=path, stream_data=stream_data)
    with _open(source) as (container, stream):
        packets = _list_packets(source, container, stream)
        info, display = _facts(source, container, stream, packets)
        indices = range(info.num_frames) if indices is None else indices
        check_indices(info, indices)
        wanted = sorted(set(indices))
        decoded = _decode(source, container, stream, packets, wanted)
        return collect(info, display, indices=indices, decoded=decoded, why=_DAMAGED)


@contextmanager
def _open(source: _Source) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its first video stream; FFmpeg's errors become `MediaError`."""
    path, data = source.path, source.stream_data
    try:
        only = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
        file = str(path) if data is None else BytesIO(data)
        with av.open(file, mode="r", options=only) as container:
            if not container.streams.video:
                raise MediaError(path, "it holds no video stream")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise MediaError(path, "its video is in a coding that FFmpeg does not read")
            # Workers share the cores among files; threads inside a decoder would only add delay.
            stream.codec_context.thread_count = 1
            yield container, stream
    except av.error.FFmpegError as error:
        raise MediaError(
            path, f"FFmpeg reads no video in it ({error.strerror}): not a video, or {_CUT_OFF}"
        ) from error


def _facts(
    source: _Source, container: InputContainer, stream: VideoStream, packets: _Packets
) -> tuple[ClipInfo, Display]:
    rate = stream.average_rate
    info = ClipInfo(
        path=source.path,
        num_frames=packets.num_frames,
        height_px=stream.codec_context.height,
        width_px=stream.codec_context.width,
        fps_hz=float(rate) if rate else None,
        codec=stream.codec_context.name,
        notes=tuple(filter(None, (packets.note, _cut_note(container, stream, packets.num_frames)))),
    )
    aspect = float(stream.sample_aspect_ratio or 1) or 1.0
    matrix = _display_matrix(source, container, stream, packets)
    if matrix is None:
        return info, Display(pixel_aspect=aspect)
    try:
        return info, display_of_matrix(matrix, pixel_aspect=aspect)
    except ValueError as error:
        raise MediaError(
            source.path,
            f"it asks to be shown turned by {error} degrees, and only quarter turns are followed; "
            "export it upright",
        ) from None


def _display_matrix(
    source: _Source, container: InputContainer, stream: VideoStream, packets: _Packets
) -> tuple[int, ...] | None:
    """The nine numbers that say how a frame is to be turned, or None.

    PyAV gives them with a decoded frame alone.
    """
    if container.format.name in _NEVER_TURNED:
        return None
    frame = None
    if packets.times is not None:
        try:
            container.seek(packets.times[0], stream=stream)
            frame = next(_frames(container, stream), None)
        except av.error.FFmpegError:
            pass
    if frame is None:
        with _open(source) as (again, same):
            frame = next(_frames(again, same), None)
    if frame is None:
        return None
    side = cast("Mapping[SideDataType, SideData]", frame.side_data)  # PyAV 18 types it otherwise
    matrix = side.get(SideDataType.DISPLAYMATRIX)
    return None if matrix is None else struct.unpack("=9i", bytes(matrix))


def _list_packets(source: _Source, container: InputContainer, stream: VideoStream) -> _Packets:
    """List the frames without decoding them, and refuse a file that lacks its end."""
    path = source.path
    times: list[int | None] = []
    keys: list[int] = []
    num_hidden = num_broken = 0
    for packet in container.demux(stream):
        if packet.is_corrupt:
            num_broken += 1
            continue
        # What an edit list cuts away is in the file, but is not shown.
        num_hidden += bool(packet.size) and packet.is_discard
        if packet.size and not packet.is_discard:
            times.append(packet.pts)
            if packet.is_keyframe and packet.pts is not None:
                keys.append(packet.pts)
    held = len(times) + num_hidden
    promised = _promised_frames(source, container, stream)
    lost = max(promised - held, num_broken)
    # Without its last frame a clip is still a clip; with more missing, who knows what else is.
    if lost > (held >= _MIN_FRAMES_BUT_ONE):
        if num_broken:
            raise MediaError(path, f"frame {len(times)} breaks off: {_CUT_OFF}")
        raise MediaError(path, f"it holds {held} of {promised} frames: {_CUT_OFF}")
    known = [time for time in times if time is not None]
    complete = len(set(known)) == len(times)
    note = f"its last frame breaks off; the {len(times)} before it are used" if lost else ""
    if not lost and "mpegts" in container.format.name and _ends_within_packet(source):
        note = (
            f"its stream breaks off within a packet, so it was cut off; the {len(times)} frames "
            "that are left are used, and the last of them may be damaged"
        )
    return _Packets(
        times=tuple(sorted(known)) if complete else None,
        keys=tuple(sorted(keys)),
        num_frames=len(times),
        note=note,
    )


def _ends_within_packet(source: _Source) -> bool:
    """Whether a transport stream's last packet is not whole; padding behind it is none."""
    if source.stream_data is not None:
        data = source.stream_data
        rest = data[len(data) - len(data) % _TS_PACKET :]
    else:
        size = source.path.stat().st_size
        with source.path.open("rb") as file:
            file.seek(size - size % _TS_PACKET)
            rest = file.read()
    return rest[:1] == _TS_SYNC


def _cut_note(container: InputContainer, stream: VideoStream, held: int) -> str:
    """What to say of a Matroska or WebM file that is shorter than its header states."""
    rate, duration = stream.average_rate, container.duration
    if "matroska" not in container.format.name or not rate or not duration:
        return ""
    stated = round(duration / av.time_base * float(rate))
    if stated - held <= max(1, _TOLERATED_SHARE * stated):
        return ""
    return (
        f"its header states a length of about {stated} frames, and it holds {held}; the file was "
        f"cut off, or its rate changes. All {held} are used"
    )


def _promised_frames(source: _Source, container: InputContainer, stream: VideoStream) -> int:
    """The number of frames that the file itself says it holds; 0 where that cannot be trusted."""
    if "mov" in container.format.name:
        return int(stream.frames)
    if container.format.name != "avi" or source.stream_data is not None:
        return 0
    # An AVI's count includes skipped frames, which have no data, so it is only believed where
    # the file is shorter than its own header says. Unfinished files state no length at all.
    with source.path.open("rb") as file:
        riff = file.read(8)
    length = struct.unpack("<I", riff[4:8])[0]
    cut = length + 8 > source.path.stat().st_size or length == 0
    return int(stream.frames) if cut else 0


def _decode(
    source: _Source,
    container: InputContainer,
    stream: VideoStream,
    packets: _Packets,
    wanted: Sequence[int],
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield (index, RGB frame) for the wanted indices, which rise, each once if it is found."""
    if packets.times is None or len(wanted) == packets.num_frames:
        yield from _decode_from_start(source, packets, wanted)
        return
    reformatter = VideoReformatter()
    numbers = packets.numbers()
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
            if index in group and not frame.is_corrupt:
                group.discard(index)
                yield index, _to_rgb(frame, reformatter)
            if not group or (index is not None and index > last):
                break
        missed.extend(sorted(group))
    if missed:
        # A file whose key frames or seek table are wrong is still read, only from its start.
        yield from _decode_from_start(source, packets, missed)


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


def _decode_from_start(
    source: _Source, packets: _Packets, wanted: Sequence[int]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Decode from the start, and know the frames by their time stamps, else by counting.

    The file is opened again: in some containers (MPEG program streams) a seek to the first time
    stamp ends at a later key frame.
    """
    left = set(wanted)
    reformatter = VideoReformatter()
    numbers = packets.numbers()
    with _open(source) as (container, stream):
        for count, frame in enumerate(_frames(container, stream)):
            index = count if frame.pts is None else numbers.get(frame.pts, count)
            if index in left and not frame.is_corrupt:
                left.discard(index)
                yield index, _to_rgb(frame, reformatter)
            if not left:
                break


def _frames(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
    """Decode from where the container stands, and pass over what does not decode.

    PyAV's own generators leak a packet when they are left before their end and not closed, which
    over an archive adds up.
    """
    with closing(cast("Generator[av.Packet[VideoStream]]", container.demux(stream))) as packets:
        for packet in packets:
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue
            yield from frames


def _to_rgb(frame: av.VideoFrame, reformatter: VideoReformatter) -> NDArray[np.uint8]:
    alpha = any(component.is_alpha for component in frame.format.components)
    # By default every frame would start threads of its own, which a busy machine makes wait.
    converted = reformatter.reformat(frame, format="rgba" if alpha else "rgb24", threads=1)
    pixels = np.asarray(converted.to_ndarray(), np.uint8)
    return over_black(pixels) if alpha else pixels
