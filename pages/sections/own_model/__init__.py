"""The parts of the page own_model."""
