"""Settings of all tests: no test is timed, so hypothesis sets no deadline for an example on busy cores."""

from importlib.util import find_spec

if find_spec("hypothesis") is not None:  # the environment of the vLLM group has none
    from hypothesis import HealthCheck, settings

    settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("shared")
