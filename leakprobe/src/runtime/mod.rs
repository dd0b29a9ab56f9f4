//! Language runtimes: who owns waiters, what they wait for.
//!
//! One folder a runtime, each with the same inside (`detect`, `list`, `explain`, `prove`), and one
//! line in the registry. A runtime may own waiters, or only dress OS threads, or both.

pub mod native;
