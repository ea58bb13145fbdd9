"""Moving between MLflow's tracking servers and a workspace: everything that can be carried, and proof that it was."""
