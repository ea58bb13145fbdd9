"""What is here for clients of MLflow is read by their own Python."""

collect_ignore = ["client"]
