"""The parts of the page attack."""
