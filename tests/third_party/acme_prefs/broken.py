"""A module that cannot be imported where its own dependency is missing."""

import a_package_that_nobody_has  # noqa: F401


class AcmeBroken:
    """Never reached."""
