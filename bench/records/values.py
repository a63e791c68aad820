"""The plain values that records are made of."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

Scalar = bool | int | float | str
AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
AtLeastZero = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Digest = str  # sha256, 64 hexadecimal digits
Moment = Annotated[datetime, msgspec.Meta(tz=True)]  # in UTC
