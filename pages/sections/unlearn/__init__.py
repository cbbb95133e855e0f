"""The parts of the page unlearn."""
