"""The parts of the page paper."""
