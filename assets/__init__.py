"""What is produced: Dagster assets, one module per stage, thin: they call `diagnostics/`.

raw -> observations -> geography -> indicators -> maps -> reports. Keys are `<stage>/<name>`; groups are numbered so
that the interface reads in the order of the flow. No computation belongs here, and no schedule.
"""
