"""A flow retries what can pass by itself, and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from components.workspace.errors import BackendUnreachable, Conflict, GateFailed, InputError


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "again"),
    [
        (BackendUnreachable("S3 did not answer"), True),
        (InputError("unknown channel"), False),
        (GateFailed("too many bad rows"), False),
        (Conflict("someone was first"), False),
        (RuntimeError("a bug"), False),
    ],
)
def test_only_a_server_that_did_not_answer_is_asked_again(error: Exception, again: bool) -> None:
    from prefect.states import exception_to_failed_state

    from flows import train_and_release as flow

    async def asked() -> bool:
        state = await exception_to_failed_state(error)
        return await flow._may_pass(None, None, state)  # type: ignore[arg-type]

    assert asyncio.run(asked()) is again


@pytest.mark.slow
def test_retries_are_bounded_and_spread() -> None:
    from flows import train_and_release as flow

    for task in (flow.ingest, flow.train, flow.register, flow.draft):
        assert task.retries == 3
        assert task.retry_delay_seconds == [2, 10, 30]
        assert not task.persist_result
