//! Rules from tracked sites to verdicts with evidence, one file a rule. Pure.
