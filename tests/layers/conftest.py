"""Lets failures inside the conformance kit, and inside tests that backends share, tell their
values."""

import pytest

pytest.register_assert_rewrite("channels.layers.conformance", "tests.layers.sealed")
