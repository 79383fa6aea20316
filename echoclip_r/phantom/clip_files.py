"""Phantom clips as files: Motion JPEG in AVI, H.264 in MP4, and DICOM in four encodings."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

from echoclip_r.phantom.picture.screen import Identity

__all__ = ["FORMATS", "DicomStudy", "suffix_of", "write_clip"]

Bytes = npt.NDArray[np.uint8]

FORMATS = ("avi", "mp4", "dicom-rgb", "dicom-monochrome", "dicom-jpeg", "dicom-rle")
"""How a clip can be written."""

_JPEG_QUALITY = 92
_SUBSAMPLED_422 = 1  # as Pillow numbers it


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomStudy:
    """The content of a DICOM file's tags, which is all invented.

    Attributes:
        identity: the invented patient.
        sex: "F" or "M".
        day: date of the study.
        heart_rate_bpm: heart rate in whole beats per minute.
        key: text from which the file's unique identifiers are made; every clip has its own.
        study_id: id of the study in the manifest, which is the accession number, too.
        study_key: such a text for the study, the same for all clips of one study.
    """

    identity: Identity
    sex: str
    day: date
    heart_rate_bpm: int
    key: str
    study_id: str
    study_key: str


def suffix_of(form: str) -> str:
    """The ending of a file's name.

    Example:
        >>> [suffix_of(form) for form in ("avi", "dicom-rle")]
        ['.avi', '.dcm']
    """
    return ".dcm" if form.startswith("dicom") else f".{form}"


def write_clip(path: Path, frames: Bytes, *, form: str, fps_hz: int, study: DicomStudy) -> None:
    """Write a clip; the same arguments always give the same bytes.

    Args:
        path: the file.
        frames: RGB, uint8 (num_frames, height, width, 3); a video needs even sides.
        form: one of `FORMATS`.
        fps_hz: frames per second.
        study: tags of a DICOM file; a video has none.
    """
    if form == "avi":
        _write_video(path, frames, fps_hz, codec="mjpeg", pixels="yuvj420p", q="3")
    elif form == "mp4":
        _write_video(path, frames, fps_hz, codec=_mp4_codec(), pixels="yuv420p", q="3")
    else:
        _write_dicom(path, frames, form, fps_hz, study)


@cache
def _mp4_codec() -> str:
    """H.264 where this FFmpeg can encode it, else MPEG-4, which every FFmpeg can."""
    for name in ("libx264", "libopenh264"):
        if name in av.codecs_available:
            return name
    return "mpeg4"


def _write_video(
    path: Path, frames: Bytes, fps_hz: int, *, codec: str, pixels: str, q: str
) -> None:
    with av.open(str(path), mode="w") as container:
        stream = container.add_stream(codec, rate=fps_hz)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        # Several threads would cut a frame in other places on another machine.
        stream.codec_context.thread_count = 1
        if codec == "libx264":
            # Its macroblock tree reads memory that was never written (AVX-512 code of x264 as of
            # FFmpeg 8): the same frames then give other bytes in another process.
            stream.codec_context.options = {"crf": "18", "preset": "veryfast", "mbtree": "0"}
        elif codec != "libopenh264":
            stream.codec_context.options = {"qmin": q, "qmax": q}
        reformatter = VideoReformatter()
        for pixels_of_frame in frames:
            frame = av.VideoFrame.from_ndarray(pixels_of_frame, format="rgb24")
            # Left to itself the encoder would start threads for every frame.
            frame = reformatter.reformat(frame, format=pixels, threads=1)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _write_dicom(path: Path, frames: Bytes, form: str, fps_hz: int, study: DicomStudy) -> None:
    data = _describe(study, fps_hz)
    num_frames, data.Rows, data.Columns = frames.shape[:3]
    data.NumberOfFrames = num_frames
    data.SamplesPerPixel = 1 if form == "dicom-monochrome" else 3
    data.PhotometricInterpretation = "MONOCHROME2" if data.SamplesPerPixel == 1 else "RGB"
    if data.SamplesPerPixel == 3:
        data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit = 7
    data.PixelRepresentation = 0
    if form == "dicom-jpeg":
        data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        data.PhotometricInterpretation = "YBR_FULL_422"
        data.LossyImageCompression = "01"
        data.LossyImageCompressionMethod = "ISO_10918_1"
        data.PixelData = encapsulate([_jpeg(frame) for frame in frames])
        data["PixelData"].is_undefined_length = True
    else:
        if data.SamplesPerPixel == 1:
            frames = np.stack([np.asarray(Image.fromarray(frame).convert("L")) for frame in frames])
        pixels = frames.tobytes()
        data.PixelData = pixels + bytes(len(pixels) % 2)
        data["PixelData"].VR = "OB"
        if form == "dicom-rle":
            data.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    # Into memory first: pydicom makes a new error of a full disk, without its number.
    content = io.BytesIO()
    data.save_as(content, enforce_file_format=True)
    path.write_bytes(content.getvalue())


def _describe(study: DicomStudy, fps_hz: int) -> Dataset:
    """Everything but the pixels."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[study.key])
    data = Dataset()
    data.file_meta = meta
    data.SOPClassUID = meta.MediaStorageSOPClassUID
    data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID = generate_uid(entropy_srcs=[study.study_key])
    data.SeriesInstanceUID = generate_uid(entropy_srcs=[study.study_key, "series"])
    data.PatientName = f"{study.identity.family_name}^{study.identity.given_name}"
    data.PatientID = study.identity.record_number
    data.PatientBirthDate = study.identity.birth_date
    data.PatientSex = study.sex
    data.StudyDate = data.ContentDate = study.day.strftime("%Y%m%d")
    data.StudyTime = data.ContentTime = "101500"
    data.AccessionNumber = study.study_id
    data.ReferringPhysicianName = "PHANTOM^REFERRER"
    data.InstitutionName = "PHANTOM HOSPITAL"
    data.Manufacturer = "echoclip_r phantom"
    data.ImageComments = "Simulated. Not a recording of any person."
    data.Modality = "US"
    data.StudyID = "1"
    data.SeriesDescription = "A4C"
    data.SeriesNumber = data.InstanceNumber = 1
    data.HeartRate = study.heart_rate_bpm
    data.FrameTime = round(1000 / fps_hz, 3)
    data.CineRate = fps_hz
    data.FrameIncrementPointer = 0x00181063  # the tag of FrameTime
    data.BurnedInAnnotation = "YES"
    return data


def _jpeg(frame: Bytes) -> bytes:
    file = io.BytesIO()
    Image.fromarray(frame).save(
        file, format="JPEG", quality=_JPEG_QUALITY, subsampling=_SUBSAMPLED_422
    )
    return file.getvalue()
