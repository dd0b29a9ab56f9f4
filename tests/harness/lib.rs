//! What the tests of the leakprobe command share.
