"""The codec in both its forms, for the tests of this folder."""

import pytest

from tests.implementations import find_implementations


@pytest.fixture(scope="session", params=find_implementations("codec"), ids=str)
def codec(request):
    return request.param.imported_module
