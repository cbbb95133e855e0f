"""Forget requests, cached features and the retrained reference: what a problem is made of."""
