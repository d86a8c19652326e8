//! A BGP neighbour for the real binary: a listener on loopback with a thread
//! that answers OPEN, keeps the session alive and records what arrives.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use burgee::bgp::message::header::{self, MAX_LENGTH, MessageType};
use burgee::bgp::message::prefix::Family;
use burgee::bgp::negotiation::Terms;
use burgee::bgp::offer::Offer;

/// A message from burgee, or the end of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Message(MessageType, Vec<u8>),
    End,
}

/// The neighbour: AS 65000 on a port of its own.
pub struct Neighbour {
    pub address: SocketAddr,
    heard: Receiver<Heard>,
}

impl Neighbour {
    /// Listens, and serves one connection after the other with a hold time of
    /// 3 s, so that keepalives are under a second apart.
    pub fn start(peer_asn: u32) -> Neighbour {
        Neighbour::start_at("127.0.0.1", peer_asn)
    }

    /// The same at another address of loopback.
    pub fn start_at(address: &str, peer_asn: u32) -> Neighbour {
        let listener = TcpListener::bind((address, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (tell, heard) = channel();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let connection = connection.expect("accepted");
                if converse(connection, peer_asn, &tell).is_err() {
                    return;
                }
            }
        });
        Neighbour { address, heard }
    }

    /// Waits for a message of this type, and returns its body; others before
    /// it are dropped.
    pub fn expect(&self, wanted: MessageType) -> Vec<u8> {
        loop {
            match self.next() {
                Heard::Message(kind, body) if kind == wanted => return body,
                Heard::Message(..) => {}
                Heard::End => panic!("the connection ended before a {wanted:?} came"),
            }
        }
    }

    /// The next thing heard. The bound only ends a test that has failed.
    pub fn next(&self) -> Heard {
        self.heard.recv_timeout(Duration::from_secs(60)).expect("burgee went silent")
    }

    /// Waits for the end of a connection.
    pub fn expect_end(&self) {
        while self.next() != Heard::End {}
    }

    /// Forgets what was heard so far.
    pub fn forget(&self) {
        while self.heard.try_recv().is_ok() {}
    }
}

fn converse(mut stream: TcpStream, peer_asn: u32, tell: &Sender<Heard>) -> Result<(), ()> {
    let mut hello = Vec::new();
    let terms = Terms {
        asn: 65000,
        identifier: Ipv4Addr::new(198, 51, 100, 1),
        peer_asn,
        hold_time: 3,
        keepalive: None,
        families: Family::ALL.into_iter().collect(),
        connect_retry: Duration::from_secs(1),
        passive: true,
        offer: Offer::default(),
    };
    terms.open().encode(&mut hello);
    header::encode_keepalive(&mut hello);
    let mut writer = stream.try_clone().expect("a second handle");
    let _ = writer.write_all(&hello);
    let keeper = thread::spawn(move || {
        let mut keepalive = Vec::new();
        header::encode_keepalive(&mut keepalive);
        while writer.write_all(&keepalive).is_ok() {
            thread::sleep(Duration::from_millis(700));
        }
    });
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        bytes.extend_from_slice(&buffer[..count]);
        while let Some(frame) = header::next_frame(&bytes, MAX_LENGTH).expect("well-formed") {
            let heard = Heard::Message(frame.kind, frame.body.to_vec());
            let length = frame.length;
            tell.send(heard).map_err(drop)?;
            bytes.drain(..length);
        }
    }
    let _ = stream.shutdown(std::net::Shutdown::Both);
    let _ = keeper.join();
    tell.send(Heard::End).map_err(drop)
}
