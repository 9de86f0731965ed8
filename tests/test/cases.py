"""Test cases that are run inside of a test."""

import unittest

__all__ = ["failure", "run"]


def run(case: type[unittest.TestCase]) -> unittest.TestResult:
    """Run the tests of ``case``."""
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(case)(result)
    return result


def failure(case: type[unittest.TestCase]) -> str:
    """What the one test of ``case`` that fails says."""
    result = run(case)
    assert not result.errors, result.errors[0][1]
    assert len(result.failures) == 1
    return result.failures[0][1]
