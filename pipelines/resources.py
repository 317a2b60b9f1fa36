"""What runs are given: the workshop. Configuration only; no computation, no asset."""

import dagster as dg

from diagnostics.workshop import Workshop


@dg.resource(description="Catalogue, profil et dossiers de l'exécution (DIAGNOSTIC_PROFILE, DIAGNOSTIC_DATA).")
def workshop_from_environment(_context) -> Workshop:
    return Workshop.from_environment()
