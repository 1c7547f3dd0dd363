"""DICOM as it comes from a scanner or a PACS: which series is which sequence, its voxels, and the way back as SEG.

headers.py      the facts of one slice: a file, or a frame of a multi-frame file
series.py       slices into volumes: what belongs together, what is missing
facts.py        what is read off the facts
unfit.py        what is no plain image of the head
diffusion.py    what belongs to a diffusion measurement
acquisition.py  which sequences the acquisition allows
recognise.py    facts into a sequence, and why
verdict.py      what that answer is
judge.py        a volume beside the others of its series
choose.py       one volume per sequence, by a stated rule
read.py         a volume's voxels with their place in the world
find.py         the studies below a folder
seg.py          a segmentation as DICOM SEG
"""
