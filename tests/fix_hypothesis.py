"""How hypothesis runs here: no deadline for an example, because a slow machine is not a wrong answer."""

from hypothesis import HealthCheck, settings

settings.register_profile("homevigil", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("homevigil")
