"""The steps, each named by its number and by what it does."""
