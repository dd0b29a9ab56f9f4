//! Tests in guests with stock kernels.

mod boot;
