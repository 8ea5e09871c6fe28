"""Pure steps: data in, data out. Knows no Prefect and no MLflow."""
