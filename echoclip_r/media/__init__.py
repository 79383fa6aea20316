"""Clips from files, and frames to files.

reading.py   the outer face: AVI, MP4, GIF, folders of pictures and DICOM, all as RGB bytes
video.py     what FFmpeg reads, through PyAV
pictures.py  what Pillow reads: GIF, single pictures, folders of pictures
dicom.py     single and multi-frame DICOM, through pydicom and its plugins
clip.py      what the three readers share
writing.py   frames to GIF and MP4, for people to look at
"""
