"""The model registry (MLflow): one version a training run, with every artefact, proof and metric inside.

Artefacts lie in the version's run as plain files; nothing is pickled::

    model/                      the trained model
    artefacts/<profile>.artefact
    proofs/<profile>.proof.json
    report/report.html          how it was trained and what it reaches, with report.json
    report/artefacts.html       what was compiled for each profile, the recipes that lost, and the proofs

Metrics are the trained model's, `<task>/<method>/<metric>`, those of its proofs, `<profile>/<check>`, the figures of the
report under `report/`, and the learning curves, step by step, under `curve/`.

MLflow is imported inside the functions: it takes seconds.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.values import Proof
from components.workspace import Workspace
from components.workspace.errors import BackendUnreachable, InputError, NotFound
from components.workspace.files import sha256_file, sha256_json

CANDIDATE = "candidate"
REPORT, CURVE = "report", "curve"
DIGEST_TAG = "muster.release_digest"
_BATCH = 1000
"""As many metrics as MLflow takes at once."""


@dataclass(frozen=True)
class ModelVersion:
    name: str
    version: int
    run_id: str


@dataclass(frozen=True)
class Described:
    """A version with what is known of it. ``metrics`` are flat names -> numbers, ``lineage`` tags without their prefix."""

    model: ModelVersion
    created: str
    aliases: tuple[str, ...]
    lineage: dict[str, str]
    metrics: dict[str, float]
    artefacts: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """``folder``: its files, and ``pages`` beside them. ``figures``: flat names -> numbers. ``curves``: name -> (step, value),
    rising in step.
    """

    folder: Path
    figures: Mapping[str, float]
    curves: Mapping[str, Sequence[tuple[int, float]]]
    pages: Sequence[Path] = ()


def register(
    workspace: Workspace,
    *,
    model_folder: Path,
    artefact_files: Sequence[Path],
    proofs: Sequence[Proof],
    metrics: Mapping[str, float],
    lineage: Mapping[str, str],
    report: Report | None = None,
) -> ModelVersion:
    """Make a version of the workspace's model with everything of this training run, under the alias `candidate`.

    ``lineage`` becomes tags; it has at least 'workspace_digest', the digest of the configuration. The same artefacts from
    the same configuration are registered once: a second call returns the version that is there, with these proofs and
    this report.

    Raises:
        InputError: ``lineage`` has no 'workspace_digest'.
        BackendUnreachable: the tracking server does not answer.
    """
    name = workspace.settings.name
    if "workspace_digest" not in lineage:
        raise InputError("the lineage of a model version has no 'workspace_digest'", hint="give the digest of the configuration")
    digest = sha256_json([sorted(sha256_file(f) for f in artefact_files), lineage["workspace_digest"]])
    with _client(workspace) as client:
        version = _find(client, name, digest)
        if version is None:
            run_id = _log_run(workspace, client, model_folder, artefact_files, proofs, metrics, lineage)
            version = _create_version(client, name, run_id, digest, lineage)
        else:
            _log_proofs(client, version.run_id, proofs)
        if report is not None:
            _log_report(client, version.run_id, report)
        client.set_registered_model_alias(name, CANDIDATE, str(version.version))
    return version


def find_version(workspace: Workspace, selector: str = CANDIDATE) -> ModelVersion:
    """The version with the number or alias ``selector``.

    Raises:
        NotFound: there is none.
    """
    from mlflow.exceptions import MlflowException

    name = workspace.settings.name
    with _client(workspace) as client:
        try:
            if selector.isdecimal():
                found = client.get_model_version(name, selector)
            else:
                found = client.get_model_version_by_alias(name, selector)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise NotFound(
                    f"model '{name}' has no version or alias '{selector}'", hint="muster model list shows what there is"
                ) from None
            raise
        return ModelVersion(name, int(found.version), str(found.run_id))


def exists(workspace: Workspace) -> bool:
    """Whether a model registry is there at all: the workspace's own one begins with its first version."""
    return (
        not workspace.tracking_uri.startswith("sqlite:///") or Path(workspace.tracking_uri.removeprefix("sqlite:///")).is_file()
    )


def aliases(workspace: Workspace) -> dict[str, int]:
    """Every alias of the workspace's model -> version; none before the model is registered."""
    from mlflow.exceptions import MlflowException

    with _client(workspace) as client:
        try:
            found = client.get_registered_model(workspace.settings.name).aliases
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return {}
            raise
        return {alias: int(version) for alias, version in found.items()}


def set_alias(workspace: Workspace, alias: str, version: int | None) -> None:
    """Let an alias name a version, or take it away with None."""
    name = workspace.settings.name
    with _client(workspace) as client:
        if version is None:
            client.delete_registered_model_alias(name, alias)
        else:
            client.set_registered_model_alias(name, alias, str(version))


def list_versions(workspace: Workspace, *, limit: int = 50) -> list[ModelVersion]:
    """The latest versions, newest first."""
    name = workspace.settings.name
    with _client(workspace) as client:
        found = client.search_model_versions(f"name='{name}'", max_results=limit, order_by=["version_number DESC"])
        return [ModelVersion(name, int(v.version), str(v.run_id)) for v in found]


def describe(workspace: Workspace, version: ModelVersion) -> Described:
    from registry.contract.times import stamp, utc_from_ms

    with _client(workspace) as client:
        found = client.get_model_version(version.name, str(version.version))
        run = client.get_run(version.run_id)
        files = client.list_artifacts(version.run_id, "artefacts")
        lineage = {k.removeprefix("muster.lineage."): v for k, v in found.tags.items() if k.startswith("muster.lineage.")}
        return Described(
            model=version,
            created=stamp(utc_from_ms(found.creation_timestamp)),
            aliases=tuple(sorted(found.aliases)),
            lineage=dict(sorted(lineage.items())),
            metrics=dict(sorted(run.data.metrics.items())),
            artefacts=tuple(sorted(Path(f.path).name for f in files)),
        )


def fetch(workspace: Workspace, version: ModelVersion, name: str, folder: Path) -> Path:
    """Fetch one file of a version, e.g. `artefacts/gateway-arm64.artefact`, or one folder, into ``folder``.

    Raises:
        NotFound: the version has no such file.
    """
    parent, _, _ = name.rpartition("/")
    with _client(workspace) as client:
        present = [f.path for f in client.list_artifacts(version.run_id, parent or None)]
        if name not in present:
            raise NotFound(
                f"version {version.version} of '{version.name}' has no {name}",
                hint=f"it has {', '.join(present) or 'nothing'} there",
            )
        return Path(client.download_artifacts(version.run_id, name, str(folder)))


def read_proofs(workspace: Workspace, version: ModelVersion) -> list[Proof]:
    """The proofs of a version, by profile."""
    with tempfile.TemporaryDirectory() as folder:
        files = sorted(fetch(workspace, version, "proofs", Path(folder)).iterdir())
        return [Proof.load(f) for f in files]


def trained_metrics(described: Described, proofs: Sequence[Proof]) -> dict[str, float]:
    """The metrics of the trained model, `<task>/<method>/<metric>`, without those of its artefacts and of its report."""
    proven = _proof_metrics(proofs)
    others = (f"{REPORT}/", f"{CURVE}/")
    return {name: value for name, value in described.metrics.items() if name not in proven and not name.startswith(others)}


def _log_run(
    workspace: Workspace,
    client: Any,
    model_folder: Path,
    artefact_files: Sequence[Path],
    proofs: Sequence[Proof],
    metrics: Mapping[str, float],
    lineage: Mapping[str, str],
) -> str:
    run = client.create_run(_experiment(workspace, client), tags={f"muster.lineage.{k}": v for k, v in lineage.items()})
    run_id = str(run.info.run_id)
    _log_metrics(client, run_id, metrics)
    client.log_artifacts(run_id, str(model_folder), "model")
    for file in artefact_files:
        client.log_artifact(run_id, str(file), "artefacts")
    _log_proofs(client, run_id, proofs)
    client.set_terminated(run_id)
    return run_id


def _log_proofs(client: Any, run_id: str, proofs: Sequence[Proof]) -> None:
    """The proofs as files and as metrics, in place of earlier ones: the same artefact may be proven better elsewhere."""
    _log_metrics(client, run_id, _proof_metrics(proofs))
    with tempfile.TemporaryDirectory() as folder:
        for proof in proofs:
            proof.save(Path(folder))
        client.log_artifacts(run_id, folder, "proofs")


def _log_report(client: Any, run_id: str, report: Report) -> None:
    """The report's files, figures and curves, in place of earlier ones: a truth may have come since."""
    _log_metrics(client, run_id, report.figures)
    _log_history(client, run_id, {f"{CURVE}/{name}": points for name, points in report.curves.items()})
    client.log_artifacts(run_id, str(report.folder), REPORT)
    for page in report.pages:
        client.log_artifact(run_id, str(page), REPORT)


def _log_metrics(client: Any, run_id: str, values: Mapping[str, float]) -> None:
    _log_history(client, run_id, {name: [(0, value)] for name, value in values.items()})


def _log_history(client: Any, run_id: str, values: Mapping[str, Sequence[tuple[int, float]]]) -> None:
    """``values``: name -> (step, value)."""
    from mlflow.entities import Metric

    now = round(time.time() * 1000)
    metrics = [Metric(name, value, now, step) for name, points in values.items() for step, value in points]
    for start in range(0, len(metrics), _BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + _BATCH], synchronous=True)


def _proof_metrics(proofs: Sequence[Proof]) -> dict[str, float]:
    """`<profile>/<check>` -> measured value."""
    return {f"{p.profile}/{c.name}": c.value for p in proofs for c in p.checks}


def _experiment(workspace: Workspace, client: Any) -> str:
    """The workspace's experiment; beside a SQLite store its files lie in the workspace too."""
    name = workspace.settings.name
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    local = workspace.tracking_uri.startswith("sqlite:")
    place = (workspace.state.resolve() / "mlartifacts").as_uri() if local else None
    return str(client.create_experiment(name, artifact_location=place))


def _find(client: Any, name: str, digest: str) -> ModelVersion | None:
    found = client.search_model_versions(f"name='{name}' and tags.`{DIGEST_TAG}`='{digest}'", max_results=1)
    return ModelVersion(name, int(found[0].version), str(found[0].run_id)) if found else None


def _create_version(client: Any, name: str, run_id: str, digest: str, lineage: Mapping[str, str]) -> ModelVersion:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"{client.get_run(run_id).info.artifact_uri}/model"
    tags = {DIGEST_TAG: digest} | {f"muster.lineage.{k}": v for k, v in lineage.items()}
    made = client.create_model_version(name, source, run_id=run_id, tags=tags)
    return ModelVersion(name, int(made.version), run_id)


@contextmanager
def _client(workspace: Workspace) -> Iterator[Any]:
    """MLflow's client on the workspace's store, without its progress bars and its migration log."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import sqlalchemy.exc
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    for name in ("mlflow", "alembic"):  # after the import, which sets levels of its own
        logging.getLogger(name).setLevel(logging.ERROR)
    workspace.state.mkdir(parents=True, exist_ok=True)
    try:
        yield MlflowClient(tracking_uri=workspace.tracking_uri, registry_uri=workspace.tracking_uri)
    except (MlflowException, ConnectionError, sqlalchemy.exc.OperationalError) as error:
        raise BackendUnreachable(
            f"the model registry at {workspace.tracking_uri} failed: {error}",
            hint="check registry.tracking_uri in muster.yaml or MUSTER_TRACKING_URI, and that the server runs",
        ) from None
