//! Reading and writing recorded runs.
