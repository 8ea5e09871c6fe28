"""Time and energy of a window, estimated from its instructions.

An emulator counts instructions, a processor takes cycles: time is instructions times cycles an instruction over the
clock, a range because the second factor is one. Energy is that time at the power of a computing processor.
"""

from __future__ import annotations

from components.quantization.checks import at_most
from components.values import Check
from components.workspace.profiles import Budget

_UNIT = "ms, estimated"


def estimates(budget: Budget, instructions: int | None) -> list[Check]:
    """Both ends of the range in ms, and its upper end in microjoules; budgets bind the upper ends."""
    if instructions is None or budget.clock_mhz is None or budget.cpi is None:
        return []
    low, high = (instructions * cycles / budget.clock_mhz / 1e3 for cycles in budget.cpi)
    checks = [at_most("time_low", low, None, _UNIT), at_most("time_high", high, budget.latency_ms, _UNIT)]
    if budget.power_mw is not None:
        checks.append(at_most("energy_high", high * budget.power_mw, budget.energy_uj, "microjoules, estimated"))
    return checks
