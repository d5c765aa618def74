//! The settings of the C library's allocator, which are those of `template.yaml`.

/// The variables and their values.
pub(crate) const SETTINGS: [(&str, &str); 2] =
    [("MALLOC_MMAP_THRESHOLD_", "33554432"), ("MALLOC_TRIM_THRESHOLD_", "268435456")];
