"""The facts of a bill, without prices: pricing comes later."""

from __future__ import annotations

from typing import Literal

import msgspec

from bench.records.values import AtLeastOne, Seconds

Purchase = Literal["on-demand", "spot", "reserved", "savings-plan", "serverless", "owned"]


class BillingFact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``count`` units of a SKU (an instance type, a cluster fee) used for ``seconds`` each."""

    sku: str
    region: str = ""
    purchase: Purchase
    seconds: Seconds
    count: AtLeastOne = 1
