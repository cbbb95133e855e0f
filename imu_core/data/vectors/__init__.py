"""Data sets of float vectors: points of the plane, points that somebody drew, tables."""
