//! The looking up of names: an answer, the system's files, and the machine
//! under a script of everything that servers, sockets and the clock can do.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use burgee::reactor::Time;
use burgee::resolve::hosts::Hosts;
use burgee::resolve::machine::{IN_FLIGHT, Machine, Transmit};
use burgee::resolve::message::{self, Record, Reply};
use burgee::resolve::resolv_conf::ResolvConf;
use burgee::resolve::{Event, MAX_ADDRESSES, Name};

use super::decoders::one_line;
use super::input::Input;

/// The name that answers are about.
const NAME: &str = "www.example.test";

/// The first octet chooses.
pub(crate) fn dns(data: &[u8]) {
    let mut input = Input::new(data);
    match input.below(3) {
        0 => answer(&mut input),
        1 => files(&mut input),
        _ => script(&mut input),
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

/// What must hold of addresses, wherever they come from.
fn addresses(addresses: &[IpAddr]) {
    assert!(addresses.len() <= MAX_ADDRESSES);
    assert!(addresses.is_sorted_by(|one, next| one < next), "sorted, each once");
    assert!(addresses.iter().all(|it| !it.is_unspecified() && !it.is_multicast()));
}

fn answer(input: &mut Input<'_>) {
    let record = if input.chance() { Record::Aaaa } else { Record::A };
    let octets = input.rest();
    let id = Input::new(octets).word();
    let reply = message::reply(octets, id, &name(NAME), record);
    assert_eq!(message::reply(octets, id, &name("WWW.example.TEST."), record), reply);
    assert_eq!(message::reply(octets, !id, &name(NAME), record), None);
    assert_eq!(message::reply(octets, id, &name("a.test"), record).is_some(), {
        // Only a refusal may leave the question out.
        reply.is_some() && octets.get(4..6) == Some(&[0, 0])
    });
    match reply {
        Some(Reply::Addresses { addresses: found, .. }) => {
            addresses(&found);
            assert!(found.iter().all(|it| it.is_ipv4() || record == Record::Aaaa));
            assert!(!found.is_empty());
        }
        Some(Reply::Failed(text)) => one_line(&text),
        _ => {}
    }
    for edns in [false, true] {
        let question = message::question(id, &name(NAME), record, edns);
        assert_eq!(message::reply(&question, id, &name(NAME), record), None, "no answer");
    }
}

fn files(input: &mut Input<'_>) {
    let text = String::from_utf8_lossy(input.rest());
    let conf = ResolvConf::parse(&text);
    assert!((1..=3).contains(&conf.servers.len()) && (1..=5).contains(&conf.attempts));
    assert!((1..=30).contains(&conf.timeout.as_secs()) && conf.ndots <= 15);
    conf.servers.iter().for_each(|server| assert_ne!(server.address.port(), 0));
    conf.search
        .iter()
        .for_each(|domain| assert_eq!(Name::parse(&domain.to_string()).as_ref(), Ok(domain)));
    let hosts = Hosts::parse(&text);
    assert!(hosts.find(&name("localhost")).is_some_and(|it| it.iter().all(IpAddr::is_loopback)));
    for word in text.split_whitespace().filter_map(|word| Name::parse(word).ok()) {
        assert!(hosts.find(&word).is_none_or(|it| (1..=MAX_ADDRESSES).contains(&it.len())));
        let candidates = word.candidates(conf.ndots, &conf.search);
        assert!((1..=1 + conf.search.len()).contains(&candidates.len()));
    }
}

const NAMES: [&str; 4] = ["a", "b.test", "c.d.test.", "hosted"];
const CONFS: [&str; 3] = [
    "nameserver 192.0.2.1\nnameserver 192.0.2.2\noptions timeout:2",
    "search x.test y.test\noptions ndots:2 rotate attempts:1",
    "nameserver 2001:db8::1\noptions use-vc no-aaaa",
];

/// An answer that is mostly good: flags and what follows the question are the
/// input's.
fn reply_to(transmit: &Transmit, input: &mut Input<'_>) -> Vec<u8> {
    let skipped = if transmit.over_tcp { 2 } else { 0 };
    let mut octets = transmit.octets[skipped..].to_vec();
    let question = octets[12..].iter().position(|octet| *octet == 0).expect("a root") + 12 + 5;
    let is_ipv4 = octets[question - 3] == 1;
    octets.truncate(question);
    octets[2..4].copy_from_slice(&[0x81, 0x80]);
    octets[6..12].fill(0);
    match input.below(6) {
        0 => octets[3] |= 3,
        1 => octets[3] |= input.octet() & 15,
        2 => octets[2] |= 2,
        3 => octets.extend(input.take(12)),
        _ => {
            octets[7] = 1;
            let (kind, length) = if is_ipv4 { (1, 4) } else { (28, 16) };
            octets.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, input.octet(), input.octet(), 0, length]);
            octets
                .extend(&[32, 1, 13, 184, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..length as usize - 1]);
            octets.push(input.octet());
        }
    }
    if input.below(8) == 7 {
        let at = input.below(octets.len());
        octets[at] ^= input.octet();
    }
    match transmit.over_tcp {
        true => [&(octets.len() as u16).to_be_bytes()[..], &octets].concat(),
        false => octets,
    }
}

/// Everything of a machine, step by step.
fn script(input: &mut Input<'_>) {
    let hosts = Hosts::parse("192.0.2.9 hosted");
    let mut machine = Machine::new(ResolvConf::parse(CONFS[0]), hosts.clone(), 1);
    let mut now = Time::from_millis(1);
    let mut open: Vec<Transmit> = Vec::new();
    for _ in 0..200 {
        if input.is_empty() {
            break;
        }
        let wanted = name(NAMES[input.below(NAMES.len())]);
        match input.below(9) {
            0 => machine.unwant(&wanted),
            1 => machine.configure(now, ResolvConf::parse(CONFS[input.below(3)]), hosts.clone()),
            2 => machine.want(now, &wanted).expect("few"),
            3 => now = now + Duration::from_millis(input.word().into()),
            4 => now = machine.deadline().unwrap_or(now).max(now),
            5 if !open.is_empty() => {
                let transmit = open.swap_remove(input.below(open.len()));
                match input.chance() {
                    true => machine.failed(now, transmit.id, "refused"),
                    false => machine.exhausted(now, transmit.id),
                }
            }
            _ if !open.is_empty() => {
                let transmit = open.swap_remove(input.below(open.len()));
                let octets = reply_to(&transmit, input);
                let from: SocketAddr = transmit.server.address;
                match transmit.over_tcp {
                    true => octets
                        .chunks(1 + input.below(20))
                        .for_each(|it| machine.receive_stream(now, transmit.id, from, it)),
                    false => machine.receive(now, transmit.id, from, &octets),
                }
            }
            _ => {}
        }
        turn(&mut machine, now, &mut open);
    }
    NAMES.iter().for_each(|text| machine.unwant(&name(text)));
    turn(&mut machine, now, &mut open);
    assert_eq!((machine.in_flight(), machine.deadline()), (0, None), "nothing is left behind");
}

/// What the door does in a turn; afterwards the machine waits for something.
fn turn(machine: &mut Machine, now: Time, open: &mut Vec<Transmit>) {
    machine.timeout(now);
    while let Some(transmit) = machine.poll_transmit(now, 7) {
        open.push(transmit);
    }
    while let Some(closed) = machine.poll_closed() {
        open.retain(|transmit| transmit.id != closed);
    }
    assert!(machine.in_flight() <= IN_FLIGHT);
    while let Some(event) = machine.poll_event() {
        let status = machine.status(event.name()).expect("wanted");
        match event {
            Event::Resolved { addresses: found, .. } => {
                assert!(!found.is_empty());
                addresses(&found);
                assert!(status.answered.is_some());
            }
            Event::Failed { error, stale, .. } => {
                one_line(&error);
                assert!(!stale || status.answered.is_some());
            }
        }
        addresses(&status.addresses);
    }
    assert!(!machine.has_ready(), "no spinning");
    assert!(machine.deadline().is_none_or(|deadline| deadline > now));
    let is_waiting = machine.names().next().is_some();
    assert_eq!(machine.deadline().is_some(), is_waiting, "every name is looked up again");
}
