"""The parts of the page influence."""
