"""The parts of the page reidentify."""
