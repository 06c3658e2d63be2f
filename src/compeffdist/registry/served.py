"""What MLflow logs and runs as the model's code (models from code). Nothing else imports this file."""

from mlflow.models import set_model

from compeffdist.registry.model import StudentModel

set_model(StudentModel())
