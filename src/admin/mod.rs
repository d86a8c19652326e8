//! The admin API: what the process does and why, as JSON and as metrics, and
//! the operator's commands.
