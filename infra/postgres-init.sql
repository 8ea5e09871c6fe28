-- One database a service; the registry's tables are made by its own migrations.
CREATE DATABASE mlflow;
CREATE DATABASE prefect;
CREATE DATABASE registry;
