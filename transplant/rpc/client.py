"""The client of the merge server: typed methods, deadlines and retries inside."""

from __future__ import annotations

from transplant.rpc.catalog_calls import CatalogCalls
from transplant.rpc.intake_calls import IntakeCalls
from transplant.rpc.merge_calls import MergeCalls


class CentralClient(IntakeCalls, CatalogCalls, MergeCalls):
    """Everything that a site, an operator or a benchmark can ask of a center, over one connection."""
