"""Shape annotations of the library are checked at run time here, and only here."""

import jaxtyping
import pytest

jaxtyping.install_import_hook("linvid_edu", "beartype.beartype")


@pytest.fixture
def unchecked_shapes():
    """Switch the checks off, to see the library's own answer to an argument of the wrong type."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
