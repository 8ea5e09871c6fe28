"""A window with the telemetry around it, as a person needs it to judge, drawn as SVG or as text."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from components.values import Windows
    from components.workspace import Workspace

CONTEXT = 2
"""Lengths of a window shown before it, and as many after it."""

_POINTS = 200
_WIDTH, _ROW, _LEFT, _TOP = 720, 56, 190, 6
_DEVIATIONS = 2.0
_TINY = 1e-12
_BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Excerpt:
    """``values``: (slots, channels) float32 in physical units, NaN for missing or unknown. Slots ``first`` to ``last``
    (exclusive) are the window. ``usual``: (channels, 2) what the device itself mostly sent while it was calibrated.
    ``channels``: name and unit of each channel.
    """

    values: NDArray[np.float32]
    usual: NDArray[np.float64]
    first: int
    last: int
    channels: tuple[tuple[str, str], ...]


def excerpt(workspace: Workspace, windows: Windows, position: int) -> Excerpt:
    """Window ``position`` with `CONTEXT` window lengths before and after it, as far as windows cover them."""
    telemetry, steps = workspace.settings.telemetry, windows.values.shape[1]
    margin = CONTEXT * steps
    reach = (margin + steps) // workspace.settings.windows.stride + 1
    near = slice(max(position - reach, 0), position + reach + 1)
    rows = windows.index.iloc[near]
    mine = windows.index.iloc[position]
    away = (rows["start"] - mine["start"]).dt.total_seconds().to_numpy() / telemetry.interval_s
    slots = np.round(away).astype(np.int64)[:, None] + margin + np.arange(steps)
    values = np.full((2 * margin + steps, len(windows.channels)), np.nan, np.float32)
    same = (rows["device_id"] == mine["device_id"]).to_numpy()
    for row, place in zip(np.asarray(windows.values[near])[same], slots[same], strict=True):
        inside = (place >= 0) & (place < len(values))
        values[place[inside]] = row[inside]
    usual = _usual(workspace, windows, str(mine["device_id"]))
    return Excerpt(values, usual, margin, margin + steps, tuple((c.name, c.unit) for c in telemetry.channels))


def as_svg(shown: Excerpt) -> str:
    """One row a channel, the window shaded, dashes around what is usual; colours follow the page's text colour."""
    height = _ROW * len(shown.channels) + 2 * _TOP
    scale = (_WIDTH - _LEFT) / max(len(shown.values) - 1, 1)
    left, right = _LEFT + shown.first * scale, _LEFT + (shown.last - 1) * scale
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" width="100%" role="img" font-size="11" fill="currentColor" '
        f'font-family="system-ui,sans-serif" aria-label="channels of the window and around it">',
        f'<rect x="{left:.1f}" y="0" width="{right - left:.1f}" height="{height}" fill="#4a90d9" opacity="0.18"/>',
    ]
    for c, (name, unit) in enumerate(shown.channels):
        parts += _row(shown.values[:, c], shown.usual[c], _TOP + c * _ROW, name, unit)
    return "".join([*parts, "</svg>"])


def as_text(shown: Excerpt, width: int = 60) -> str:
    """One line a channel, like ``flow  ▁▂▃|▄▅|▆  38.2..44.1 m3/h, usual 39..43``; bars mark the window."""
    longest = max(len(name) for name, _ in shown.channels)
    lines = []
    for c, (name, unit) in enumerate(shown.channels):
        parts = (shown.values[: shown.first, c], shown.values[shown.first : shown.last, c], shown.values[shown.last :, c])
        low, high = _bounds(shown.values[:, c], shown.usual[c])
        columns = [max(round(width * len(p) / len(shown.values)), 1) for p in parts]
        drawn = "|".join(_spark(p, n, low, high) for p, n in zip(parts, columns, strict=True))
        usual = "{:.4g}..{:.4g}".format(*shown.usual[c])
        lines.append(f"{name:<{longest}}  {drawn}  {low:.4g}..{high:.4g} {unit}, usual {usual}")
    return "\n".join(lines)


def _usual(workspace: Workspace, windows: Windows, device: str) -> NDArray[np.float64]:
    """(channels, 2) the centre of the device's own scaling and `_DEVIATIONS` to each side, inside the channel's range.

    Under several operating conditions there is no one centre: then the middle nine tenths of what the device sent.
    """
    if windows.calibration.conditions is not None:
        sent = np.asarray(windows.values[(windows.index["device_id"] == device).to_numpy()]).reshape(-1, len(windows.channels))
        return np.nan_to_num(np.nanquantile(sent, (0.05, 0.95), axis=0).T)
    scaling = windows.scalings.get(device, windows.calibration.fallback)
    lsb, offset = np.asarray(windows.converter.lsb), np.asarray(windows.converter.offset)
    centre = np.asarray(scaling.center) * lsb + offset
    deviation = 127 / workspace.settings.windows.clip * 65536 / np.maximum(scaling.multiplier, 1) * lsb
    low, high = np.asarray([c.range for c in workspace.settings.telemetry.channels], np.float64).T
    bounds = (centre - _DEVIATIONS * deviation, centre + _DEVIATIONS * deviation)
    return np.stack([np.clip(bound, low, high) for bound in bounds], axis=1)


def _row(values: NDArray[np.float32], usual: NDArray[np.float64], top: float, name: str, unit: str) -> list[str]:
    low, high = _bounds(values, usual)
    head = (
        f'<text x="0" y="{top + 16:.0f}">{escape(name)}</text>'
        f'<text x="0" y="{top + 31:.0f}" opacity="0.7">{low:.4g} to {high:.4g} {escape(unit)}</text>'
    )
    x, y = _thinned(values)
    xs = _LEFT + x * (_WIDTH - _LEFT) / max(len(values) - 1, 1)
    ys, edges = (top + (_ROW - 10) * (1 - (v - low) / max(high - low, _TINY)) for v in (y, usual))
    dashes = "".join(f"M{_LEFT} {edge:.1f}H{_WIDTH}" for edge in edges.tolist())
    return [
        head,
        f'<path d="{dashes}" stroke="currentColor" opacity="0.4" stroke-dasharray="3 4"/>',
        f'<path d="{_path(xs, ys)}" fill="none" stroke="currentColor" stroke-width="1.2"/>',
    ]


def _path(xs: NDArray[np.float64], ys: NDArray[np.float64]) -> str:
    """A line that breaks where a value is missing; a lone value is a dot."""
    drawn, words = False, []
    for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
        if np.isnan(y):
            drawn = False
            continue
        words.append(f"{'L' if drawn else 'M'}{x:.1f} {y:.1f}" + ("" if drawn else "h.1"))
        drawn = True
    return "".join(words)


def _thinned(values: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions and values to draw: all, or the least and the greatest of each of `_POINTS` parts, so no spike is lost."""
    if len(values) <= 2 * _POINTS:
        return np.arange(len(values), dtype=np.float64), values.astype(np.float64)
    edges = np.linspace(0, len(values), _POINTS + 1).astype(np.int64)[:-1]
    low = np.fmin.reduceat(values, edges).astype(np.float64)
    high = np.fmax.reduceat(values, edges).astype(np.float64)
    return np.repeat(edges, 2).astype(np.float64), np.stack([low, high], axis=1).ravel()


def _bounds(values: NDArray[np.float32], usual: NDArray[np.float64]) -> tuple[float, float]:
    """What the drawing spans: noise of a quiet channel must not fill it."""
    present = np.concatenate([values[~np.isnan(values)], usual])
    return float(present.min()), float(present.max())


def _spark(values: NDArray[np.float32], columns: int, low: float, high: float) -> str:
    """``columns`` characters, each the mean of its part; a blank where nothing was sent."""
    blocks = []
    for part in np.array_split(values, min(columns, len(values))):
        present = part[~np.isnan(part)]
        level = (float(present.mean()) - low) / max(high - low, _TINY) if present.size else 0.0
        blocks.append(_BLOCKS[min(int(level * len(_BLOCKS)), len(_BLOCKS) - 1)] if present.size else " ")
    return "".join(blocks)
