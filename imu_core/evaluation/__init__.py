"""What is measured after a run: distances, attacks, similarity, maps of where a network looks, re-identification."""
