"""The forms in which predictions are asked and answered: bytes to checked rows, and a prediction to bytes."""
