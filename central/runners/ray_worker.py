"""What Ray runs for an order, in a process that it keeps for the next one: torch is imported once."""

from __future__ import annotations

from central.merge.orders import order_from_json


def work(line: str) -> None:
    """Execute one order, `WorkOrder.to_json`; only here Ray meets torch."""
    from central.merge.execute import execute

    execute(order_from_json(line))
