"""The parts of pages that fill a screen of their own, one folder a page."""
