"""Clips from files, and frames to files.

reading.py       the outer face: AVI, MP4, GIF, folders of pictures and DICOM, all as RGB bytes
video.py         what FFmpeg reads, through PyAV
pictures.py      what Pillow reads: GIF, single pictures, folders of pictures
dicom.py         DICOM through pydicom and its plugins, and video streams inside of it
dicom_header.py  what a DICOM header says, held against the pixels: frames, colours, regions
display.py       how stored frames are shown: upright, unmirrored, on square pixels
clip.py          what the readers share
writing.py       frames to GIF and MP4, for people to look at
"""
