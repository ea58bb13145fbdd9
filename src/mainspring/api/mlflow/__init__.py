"""MLflow's REST interface, so that its clients can be pointed here unchanged."""

from mainspring.api.mlflow.routes import mlflow_methods, mlflow_routes, no_method

__all__ = ["mlflow_methods", "mlflow_routes", "no_method"]
