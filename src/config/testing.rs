//! What the unit tests of this room share.

use std::io;

use super::{LoadError, Loaded, PeerConfig, Sources, load};
use crate::reactor::interfaces::{InterfaceAddress, Interfaces};

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

/// Loads a properties file `f` on a host with the one address 10.0.0.9.
pub(super) fn on_a_host(text: &str) -> Result<Loaded, LoadError> {
    let interfaces = || {
        let own = InterfaceAddress {
            name: "eth0".to_string(),
            address: "10.0.0.9".parse().map_err(io::Error::other)?,
            prefix_len: 24,
            up: true,
            loopback: false,
        };
        Ok(Interfaces { addresses: vec![own], default_route: Some("eth0".to_string()) })
    };
    let arguments = vec!["-cfg=f".to_string()];
    let sources = Sources { arguments, environment: Vec::new(), interfaces };
    sources.load(&|_| Ok(text.as_bytes().to_vec()))
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

/// The neighbours that `bgp.peers` says there are.
pub(super) fn peers(text: &str) -> Vec<PeerConfig> {
    loaded(&format!("bgp.peers={text}")).config.bgp.peers
}

/// A neighbour with these options.
pub(super) fn one(options: &str) -> PeerConfig {
    peers(&format!("address=192.0.2.1;asn=65001;{options}")).remove(0)
}

/// The errors of one neighbour, without what they all begin with.
pub(super) fn errors_of(options: &str) -> Vec<String> {
    let errors = errors(&format!("bgp.peers=address=192.0.2.1;asn=65001;{options}"));
    let strip =
        |error: String| error.strip_prefix("f:1: bgp.peers: peer 192.0.2.1: ").unwrap().to_string();
    errors.into_iter().map(strip).collect()
}
