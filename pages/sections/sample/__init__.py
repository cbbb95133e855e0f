"""The card of a sample, which several pages open."""
