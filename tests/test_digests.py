"""Canonical JSON: one text for one value."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.digests import digest, dumps
from bench.text import quote

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)  # fmt: skip


@given(VALUES)
def test_comes_back(value: object) -> None:
    assert msgspec.json.decode(dumps(value)) == value


@given(st.dictionaries(st.text(), st.integers(0, 9)))
def test_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    assert digest(value) == digest(dict(reversed(value.items())))


def test_text_is_fixed() -> None:
    assert dumps({"b": [1, 1.0, 1e-10, True, None], "a": "ü"}) == (
        b'{"a":"\\u00fc","b":[1,1.0,1e-10,true,null]}'
    )
    assert digest({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        dumps([value])


def test_shown_values_are_short_and_on_one_line() -> None:
    assert quote("a\nb") == '"a\\nb"'
    assert quote(True) == "true"
    assert len(quote("x" * 1000)) == 60
