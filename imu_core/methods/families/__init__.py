"""The unlearning methods, one file a family."""
