"""Small plots as SVG text: no library, no random identifiers, colours of the page's text."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

Interval = Sequence[float] | None
"""Estimate, lower and upper bound, each between 0 and 1."""

_OPEN = '<svg viewBox="0 0 {w} {h}" width="{w}" role="img" font-size="11" font-family="system-ui,sans-serif" fill="currentColor">'
_ACCENT = "#4a90d9"
_WIDTH, _LEFT, _ROW = 720, 260, 18


def histogram(title: str, counts: Sequence[int]) -> str:
    """Bars from 0 to 1, all of the same width."""
    width, height, top = 200, 96, 16
    highest = max([*counts, 1])
    step = width / max(len(counts), 1)
    parts = [_OPEN.format(w=width, h=height), f"<title>{escape(title)}</title>", f'<text x="0" y="11">{escape(title)}</text>']
    for number, count in enumerate(counts):
        tall = (height - top - 14) * count / highest
        y = height - 14 - tall
        parts.append(f'<rect x="{number * step:.1f}" y="{y:.1f}" width="{step - 1:.1f}" height="{tall:.1f}" fill="{_ACCENT}"/>')
    axis = f'<text x="0" y="{height - 2}">0</text><text x="{width}" y="{height - 2}" text-anchor="end">1</text>'
    return "".join([*parts, axis, "</svg>"])


def intervals(title: str, rows: Sequence[tuple[str, Interval, Interval]]) -> str:
    """A line from lower to upper bound for each row: filled dots are the label model's estimates, rings people's answers."""
    height = _ROW * (len(rows) + 2)
    parts = [_OPEN.format(w=_WIDTH, h=height), f"<title>{escape(title)}</title>"]
    for tenth in range(0, 11, 2):
        x = _x(tenth / 10)
        parts.append(f'<path d="M{x:.1f} 0V{height - _ROW}" stroke="currentColor" opacity="0.2"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - 4}" text-anchor="middle">{tenth / 10:g}</text>')
    for number, (name, believed, measured) in enumerate(rows):
        y = _ROW * (number + 0.8)
        parts.append(f'<text x="0" y="{y + 4:.1f}">{escape(name)}</text>')
        parts += _interval(y - 3, believed, f'fill="{_ACCENT}"') + _interval(y + 3, measured, 'fill="none"')
    return "".join([*parts, "</svg>"])


def calibration(bins: Sequence[dict[str, Any]]) -> str:
    """How sure the labels are (to the right) against how often people agree (up); on the diagonal both are the same."""
    size = 260
    parts = [_OPEN.format(w=size, h=size), "<title>calibration</title>"]
    parts.append(f'<path d="M0 {size}L{size} 0" stroke="currentColor" opacity="0.4" stroke-dasharray="4"/>')
    parts.append(f'<path d="M0 0V{size}H{size}" stroke="currentColor" fill="none"/>')
    for b in bins:
        x, y = b["confidence"] * size, size - b["right"] * size
        span = f"M{x:.1f} {size - b['low'] * size:.1f}V{size - b['high'] * size:.1f}"
        parts.append(f'<path d="{span}" stroke="{_ACCENT}"/><circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{_ACCENT}"/>')
    return "".join([*parts, "</svg>"])


def _interval(y: float, interval: Interval, fill: str) -> list[str]:
    if not interval:
        return []
    estimate, low, high = interval[:3]
    return [
        f'<path d="M{_x(low):.1f} {y:.1f}H{_x(high):.1f}" stroke="currentColor" opacity="0.7"/>',
        f'<circle cx="{_x(estimate):.1f}" cy="{y:.1f}" r="3" stroke="currentColor" {fill}/>',
    ]


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - 12)
