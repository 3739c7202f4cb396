"""monitor: audits, judges, detectors, alarms, and the certificate in force."""
