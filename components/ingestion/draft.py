"""The text of a first `muster.yaml`: what is known stands plain, what was guessed has a comment."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from components.ingestion.guess import Guess, GuessedChannel

_MARGIN = 0.25
_FEW_DEVICES = 4
_YAML_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


def draft(guess: Guess, name: str, profiles: tuple[str, ...], seed: int) -> str:
    """`muster.yaml` for ``guess``, with the anomaly task alone: it needs no labels."""
    steps, stride, calibration = window_sizes(guess.steps_a_device)
    sections = (
        f"# A first contract, guessed from {len(guess.devices)} devices. Lines with 'guess' want your eyes.\n"
        f"name: {name}\nseed: {seed}\n",
        f"storage:\n  source: {_quoted(str(guess.source))}\n  format: {guess.format}\n",
        _telemetry(guess),
        "validation:\n  max_quarantined: 0.05  # guess: more bad rows than this stop the pipeline\n",
        f"windows:\n  steps: {steps}  # guess: long enough for what you look for?\n  stride: {stride}\n"
        f"  calibration_steps: {calibration}  # guess: samples per phase of a device's calibration\n",
        "tasks:\n  - name: anomaly\n    kind: anomaly\n    labels: none\n",
        _evaluation(guess),
        f"profiles: [{', '.join(profiles)}]  # guess: the shipped kinds of devices; keep what you have\n",
        "fleets:\n  - name: fleet\n    inventory: inventory.csv  # invented: profiles, firmware and keys are not your devices'\n"
        '    variants:\n      - {name: all, firmware: ">=0"}\n',
        "release:\n  stages:  # guess: gates decide by themselves from 33 devices of a variant on (decided_by: gates)\n"
        "    - {name: canary, share: 0.05, soak_s: 3600, decided_by: people}\n"
        "    - {name: all, share: 1.0, soak_s: 0, decided_by: people}\n",
    )
    return "\n".join(sections)


def window_sizes(steps_a_device: int) -> tuple[int, int, int]:
    """Steps, stride and calibration steps that leave a device with that many samples some windows to learn from."""
    steps = min(32, max(8, steps_a_device // 16))
    calibration = min(240, steps_a_device // 12)
    return steps, max(steps // 2, 1), calibration if calibration >= 16 else 0


def _telemetry(guess: Guess) -> str:
    lines = [
        "telemetry:",
        f"  device: {_quoted(guess.device)}",
        f"  time: {_time(guess)}",
        f"  interval_s: {_number(guess.interval_s)}  # guess: median distance of a device's rows",
        "  channels:",
        *(_channel(c) for c in guess.channels),
    ]
    if guess.context:
        lines += ["  context:", *(f"    {key}: {_quoted(name)}" for key, name in sorted(guess.context.items()))]
    if guess.ignored:
        lines.append(f"  ignored: [{', '.join(map(_quoted, guess.ignored))}]  # guess: no numbers, or not in every file")
    return "\n".join(lines) + "\n"


def _time(guess: Guess) -> str:
    column = f"column: {_quoted(guess.time)}"
    if not guess.epoch:
        return f"{{{column}}}"
    why = "it counts, the epoch is invented" if guess.epoch_unit == "step" else "by the size of its numbers"
    return f'{{{column}, epoch: "{guess.epoch}", unit: {guess.epoch_unit}}}  # guess: {why}'


def _channel(channel: GuessedChannel) -> str:
    margin = (channel.high - channel.low) * _MARGIN or max(abs(channel.high), 1.0)
    unit = f"unit: {_quoted(channel.unit or '1')}"
    bounds = f"range: [{_number(channel.low - margin)}, {_number(channel.high + margin)}]"
    what = "range" if channel.unit else "unit, range"
    return f"    - {{name: {channel.name}, {unit}, dtype: {channel.dtype}, {bounds}}}  # guess: {what}"


def _evaluation(guess: Guess) -> str:
    if len(guess.devices) >= _FEW_DEVICES:
        return "evaluation:\n  split: devices\n  holdout: 0.25\n"
    return f'evaluation:\n  split: period  # guess: too few devices to hold some out\n  after: "{guess.quarter_before_end}"\n'


def _number(value: float) -> str:
    text = f"{value:.6g}"
    mantissa, e, exponent = text.partition("e")
    return (mantissa if "." in mantissa else mantissa + ".0") + e + exponent


def _quoted(text: str) -> str:
    """Bare where YAML reads it as the same text."""
    return (
        text
        if text.isidentifier() and text.lower() not in {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
        else f'"{text}"'
    )
