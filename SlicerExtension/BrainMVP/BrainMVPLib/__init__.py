"""What the BrainMVP module does, without Qt: the scene and the server are given to it from outside.

Only `widget.py`, `cells.py` and `plot.py` know Qt. Python 3.9 syntax; imports nothing but what 3D Slicer bundles.
"""
