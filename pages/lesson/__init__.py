"""The lesson: twelve steps as a strip above the live pages, and what a lecturer's link can hide."""
