"""An archive of imaginary patients: pictures and reports drawn from the same findings.

For demonstrations, tests and ablations; it is no clinical evidence.
"""
