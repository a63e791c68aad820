"""The plain values that records are made of."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

# An id, which is also the name of a file or folder: it stays in the folder that it is read for.
Name = Annotated[
    str,
    msgspec.Meta(pattern=r"\A[^./\\\x00-\x1f\x7f-\x9f][^/\\\x00-\x1f\x7f-\x9f]*\Z", max_length=200),
]
Scalar = bool | int | float | str
AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
AtLeastZero = Annotated[int, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]  # a float holds it exactly
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Digest = str  # sha256, 64 hexadecimal digits
Moment = Annotated[datetime, msgspec.Meta(tz=True)]  # in UTC
