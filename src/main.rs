//! burgee's command line.
fn main() {}
