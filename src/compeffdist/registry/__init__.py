"""MLflow: tracking of training runs and the registry of student versions."""
