"""Lets failures inside the conformance kit tell their values."""

import pytest

pytest.register_assert_rewrite("channels.layers.conformance")
