"""Models to bytes and back. Each format is loaded when it is used, and not before."""
