"""When and where it runs: one file per Dagster concept, and the command line. Nothing is computed here."""
