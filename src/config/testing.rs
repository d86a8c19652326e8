//! What the unit tests of this room share.

use super::{LoadError, Loaded, load};

/// Loads a properties file `f`. Files named in it hold their own name in
/// capitals and a newline; `missing` is not there.
pub(super) fn load_file(text: &str) -> Result<Loaded, LoadError> {
    let read_file = |path: &str| match path {
        "f" => Ok(text.as_bytes().to_vec()),
        "missing" => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
        path => Ok(format!("{}\n", path.to_uppercase()).into_bytes()),
    };
    load(&["-cfg=f".to_string()], &[], &read_file)
}

/// The errors of a file; empty for a valid one.
pub(super) fn errors(text: &str) -> Vec<String> {
    load_file(text).map_or_else(|error| error.errors, |_| Vec::new())
}

/// A file that has to be valid.
pub(super) fn loaded(text: &str) -> Loaded {
    load_file(text).unwrap()
}

/// The warnings of a file that has to be valid.
pub(super) fn warnings(text: &str) -> Vec<String> {
    loaded(text).warnings
}
