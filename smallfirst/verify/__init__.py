"""verify: an answer -> canonical form, validity, p_correct. Pure."""
