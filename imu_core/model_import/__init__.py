"""A stranger's checkpoint and images, checked before anything else uses them."""
