"""Lines and points as SVG text: no library, no random identifiers, colours of the page's text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

COLOURS = ("#4a90d9", "#d9744a", "#5aa469", "#a05ac8", "#8c8c3c")
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 440, 210, 52, 26, 22, 12
_TICKS = 4
_ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Line:
    """``points``: x and y, rising in x, ``joined`` by a line. ``spans``: x, lower and upper bound, drawn as whiskers."""

    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False
    dots: bool = False
    spans: Sequence[tuple[float, float, float]] = ()
    joined: bool = True


def line_plot(title: str, lines: Sequence[Line], *, x_name: str = "", logarithmic: bool = False, diagonal: bool = False) -> str:
    """Lines over a common x; ``logarithmic``: both axes, ``diagonal``: the line on which both are the same."""
    scale: Callable[[float], float] = _logarithm if logarithmic else float
    xs = [scale(x) for line in lines for x, _ in line.points]
    ys = [scale(y) for line in lines for _, y in line.points]
    ys += [scale(v) for line in lines for _, low, high in line.spans for v in (low, high)]
    if not xs:
        return ""
    across, up = (_Axis(xs, _LEFT, _WIDTH - _RIGHT), _Axis(ys, _HEIGHT - _BOTTOM, _TOP))
    if diagonal:
        across = up = _Axis([*xs, *ys], 0, 1)
        across, up = across.onto(_LEFT, _WIDTH - _RIGHT), up.onto(_HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img" font-size="11" font-family="system-ui,sans-serif" '
        f'fill="currentColor"><title>{escape(title)}</title><text x="0" y="11">{escape(title)}</text>',
        f'<path d="M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}" stroke="currentColor" fill="none" opacity="0.5"/>',
        *_ticks(across, up, logarithmic, x_name),
    ]
    if diagonal:
        low, high = across.low, across.high
        path = f"M{across(low):.1f} {up(low):.1f}L{across(high):.1f} {up(high):.1f}"
        parts.append(f'<path d="{path}" stroke="currentColor" opacity="0.4" stroke-dasharray="4"/>')
    pitch = min(13, (_HEIGHT - _BOTTOM - _TOP - 10) // max(len(lines) - 1, 1))
    for number, line in enumerate(lines):
        parts += _drawn(line, COLOURS[number % len(COLOURS)], across, up, scale)
        parts.append(_legend(line, COLOURS[number % len(COLOURS)], _TOP + 10 + pitch * number))
    return "".join([*parts, "</svg>"])


class _Axis:
    """Values onto pixels; a span of nothing is widened."""

    def __init__(self, values: Sequence[float], begin: float, end: float) -> None:
        self.low, self.high = min(values), max(values)
        if self.high - self.low < 1e-12:
            self.low, self.high = self.low - 0.5, self.high + 0.5
        self._begin, self._end = begin, end

    def __call__(self, value: float) -> float:
        return self._begin + (value - self.low) / (self.high - self.low) * (self._end - self._begin)

    def onto(self, begin: float, end: float) -> _Axis:
        return _Axis((self.low, self.high), begin, end)

    def ticks(self, logarithmic: bool) -> list[float]:
        """Round values inside the span, about `_TICKS`; whole powers of ten where the axis has their logarithms."""
        rough = (self.high - self.low) / _TICKS
        power = 10.0 ** floor(log10(rough))
        step = 1.0 if logarithmic else next(f * power for f in _ROUND if f * power >= rough * 0.999)
        return [i * step for i in range(ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9) + 1)]


def _ticks(across: _Axis, up: _Axis, logarithmic: bool, x_name: str) -> list[str]:
    def shown(value: float) -> str:
        return f"{10**value:g}" if logarithmic else f"{round(value, 9):.10g}"

    below = [
        f'<text x="{across(v):.1f}" y="{_HEIGHT - 12}" text-anchor="middle" opacity="0.8">{shown(v)}</text>'
        for v in across.ticks(logarithmic)
    ]
    beside = [
        f'<text x="{_LEFT - 4}" y="{up(v) + 4:.1f}" text-anchor="end" opacity="0.8">{shown(v)}</text>'
        f'<path d="M{_LEFT} {up(v):.1f}H{_WIDTH - _RIGHT}" stroke="currentColor" opacity="0.12"/>'
        for v in up.ticks(logarithmic)
    ]
    name = f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 1}" text-anchor="end" opacity="0.8">{escape(x_name)}</text>'
    return [*below, *beside, name]


def _drawn(line: Line, colour: str, across: _Axis, up: _Axis, scale: Callable[[float], float]) -> list[str]:
    places = [(across(scale(x)), up(scale(y))) for x, y in line.points]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dashes = ' stroke-dasharray="5 3"' if line.dashed else ""
    parts = [f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.6"{dashes}/>'] if path and line.joined else []
    whiskers = "".join(f"M{across(scale(x)):.1f} {up(scale(a)):.1f}V{up(scale(b)):.1f}" for x, a, b in line.spans)
    if whiskers:
        parts.append(f'<path d="{whiskers}" stroke="{colour}" opacity="0.6"/>')
    if line.dots:
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
    return parts


def _legend(line: Line, colour: str, y: int) -> str:
    dashes = ' stroke-dasharray="5 3"' if line.dashed else ""
    stroke = f'<path d="M{_WIDTH - 130} {y - 4}h18" stroke="{colour}" stroke-width="1.6"{dashes}/>'
    return stroke + f'<text x="{_WIDTH - 108}" y="{y}">{escape(line.name)}</text>'


def _logarithm(value: float) -> float:
    return log10(max(value, 1e-4))
