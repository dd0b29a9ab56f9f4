//! From a finished report to bytes.
