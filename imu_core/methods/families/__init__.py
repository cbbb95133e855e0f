"""The unlearning methods, one file a family. Each declares its methods by name in METHODS; the registry reads the folder."""
