//! Tables as people see them, at a fixed time.
