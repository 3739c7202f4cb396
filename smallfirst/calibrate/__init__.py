"""PURE: how sure is it? Tests of the promise, the certificate, plans, calibrated probabilities, drift detectors."""
