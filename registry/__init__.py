"""What is kept, who gets it, who may say so. Knows no Prefect; of `components` only workspace, runtime and values."""
