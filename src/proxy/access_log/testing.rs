//! Records for tests.

use std::time::Duration;

use super::{Ending, TcpRecord};

/// All that can be known of a connection.
pub(super) fn record() -> TcpRecord<'static> {
    TcpRecord {
        client: "[2001:db8::7]:51000".parse().unwrap(),
        local: "192.0.2.1:443".parse().unwrap(),
        proxy: Some("198.51.100.2:40000".parse().unwrap()),
        listener: "0.0.0.0:443".parse().unwrap(),
        service: Some("web"),
        target: Some("10.0.0.5:8443".parse().unwrap()),
        server_name: Some("www.example"),
        bytes_received: 1234,
        bytes_sent: u64::MAX,
        start: Duration::new(1_795_453_200, 100_000_000),
        duration: Duration::new(61, 23_456_789),
        dial_time: Some(Duration::from_micros(1500)),
        retries: 2,
        ending: Ending::Finished,
    }
}

/// Nothing happened but that somebody came.
pub(super) fn nothing() -> TcpRecord<'static> {
    TcpRecord {
        proxy: None,
        service: None,
        target: None,
        server_name: None,
        bytes_received: 0,
        bytes_sent: 0,
        duration: Duration::ZERO,
        dial_time: None,
        retries: 0,
        ending: Ending::NoRoute,
        ..record()
    }
}
