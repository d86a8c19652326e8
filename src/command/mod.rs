//! The commands that talk to a running instance: `status`, `explain`, `drain`
//! and `resume`.
