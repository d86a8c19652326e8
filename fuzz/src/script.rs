//! A script of what neighbours, kernels and the operator do to a speaker. When
//! it ends all faults do, and every neighbour must get its session and routes.

use std::time::Duration;

use burgee::bgp::message::attribute::Attributes;
use burgee::bgp::message::capability::Capability;
use burgee::bgp::message::header::MessageType;
use burgee::bgp::message::prefix::Family;
use burgee::bgp::message::route_refresh::RouteRefresh;
use burgee::bgp::message::update::{EncodeOptions, encode_announce, encode_withdraw};
use burgee::bgp::peer::Side;
use burgee::bgp::rib::originated::Path;
use burgee::bgp::session::State;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::input::Input;
use super::session::{Choice, OWNERS, SIDES, World, message};

/// Most operations of a script: the fuzzer gains nothing by longer ones.
const MAX_OPERATIONS: usize = 300;

/// First how many neighbours there are, their terms, and how the script ends;
/// then the operations.
pub(crate) fn session(data: &[u8]) {
    let mut input = Input::new(data);
    let count = 1 + input.below(3);
    let choice = |input: &mut Input<'_>| Choice { terms: input.octet(), offer: input.octet() };
    let choices: Vec<Choice> = (0..count).map(|_| choice(&mut input)).collect();
    let ending = input.octet();
    let mut script = Script { world: World::new(&choices), flooded: false };
    for _ in 0..MAX_OPERATIONS {
        if input.is_empty() {
            break;
        }
        script.operation(&mut input);
    }
    heal(&mut script.world, ending);
}

struct Script {
    world: World,
    flooded: bool,
}

impl Script {
    /// One operation on one neighbour: an octet for what, one for whom.
    fn operation(&mut self, input: &mut Input<'_>) {
        let what = input.octet() % 26;
        let whom = input.octet();
        let place = usize::from(whom >> 1) % self.world.neighbours.len();
        let side = SIDES[usize::from(whom & 1)];
        let world = &mut self.world;
        match what {
            0 => drop(world.connect(place, side)),
            1 => world.refuse(place),
            2 => world.close(place, side),
            3 => {
                let length = usize::from(input.octet());
                let piece = usize::from(whom >> 3);
                world.receive(place, side, input.take(length), piece);
            }
            4 | 5 => {
                let bytes = any_message(input);
                world.receive(place, side, &bytes, usize::from(whom >> 3) * 8);
            }
            6 | 7 => {
                let bytes = open(world, place, input.octet());
                world.receive(place, side, &bytes, usize::from(whom >> 3) * 8);
            }
            8 => world.receive(place, side, &message(MessageType::Keepalive, &[]), usize::MAX),
            9 | 10 => handshake(world, place, side),
            11 => world.receive(place, side, &their_update(input), usize::MAX),
            12 => {
                let family = Family::ALL[input.below(2)];
                let mut bytes = Vec::new();
                RouteRefresh::marker(family, input.octet() % 4).encode(&mut bytes);
                world.receive(place, side, &bytes, usize::MAX);
            }
            13 => world.pass(Duration::from_millis(u64::from(input.octet()) * 10), true),
            14 => world.pass(Duration::from_millis(u64::from(input.word())), whom >> 7 == 0),
            15 => world.pass(Duration::from_secs(input.octet().into()), whom >> 7 == 0),
            16 => drop(world.transmit(place, side, input.octet().into())),
            17 => drop(world.transmit(place, side, usize::from(input.octet()) << 8)),
            18 => world.pump(place),
            19 => world.originate(prefix(whom), OWNERS[input.below(3)], path(input.octet())),
            20 => world.withdraw(prefix(whom), OWNERS[input.below(3)]),
            21 => world.reset(place),
            22 => match input.below(4) {
                0 => world.stop(),
                1 => world.replace(place),
                _ => world.start(),
            },
            23 => world.speaker.set_complete(whom & 1 == 1),
            24 => world.request_refresh(place, Family::ALL[usize::from(whom & 1)]),
            _ => self.flood(whom == u8::MAX),
        }
    }

    /// Routes for more octets than the outbox holds: long ones, or so many that
    /// the writer looks at them in several goes.
    fn flood(&mut self, many: bool) {
        if std::mem::replace(&mut self.flooded, true) {
            return;
        }
        if many {
            for number in 0..1500_u16 {
                let [high, low] = number.to_be_bytes();
                let prefix = Ipv4Net::new([10, high, low, 0].into(), 24).expect("a length");
                let path = Path { med: Some(number.into()), ..Path::default() };
                self.world.originate(IpNet::V4(prefix), OWNERS[0], path);
            }
            return;
        }
        for number in 0..60_u8 {
            let prefix = Ipv4Net::new([10, 128, number, 0].into(), 24).expect("a length");
            let communities = (0..700).collect();
            let path = Path { med: Some(number.into()), communities, ..Path::default() };
            self.world.originate(IpNet::V4(prefix), OWNERS[0], path);
        }
    }
}

/// A message of any type with a body of up to 255 octets.
fn any_message(input: &mut Input<'_>) -> Vec<u8> {
    let kinds = [
        MessageType::Update,
        MessageType::Notification,
        MessageType::RouteRefresh,
        MessageType::Open,
        MessageType::Keepalive,
    ];
    let kind = kinds[input.below(kinds.len())];
    let length = usize::from(input.octet());
    message(kind, input.take(length))
}

/// The neighbour's OPEN, with up to one thing in it that is not as it should be.
fn open(world: &World, place: usize, choice: u8) -> Vec<u8> {
    let mut open = world.neighbours[place].theirs.open();
    match choice {
        0 => open.hold_time = 0,
        1 => open.hold_time = 3,
        2 => open.identifier = [255, 0, 0, 1].into(),
        3 => open.capabilities.clear(),
        4 => open.capabilities.retain(|c| !matches!(c, Capability::FourOctetAs(_))),
        5 => open.hold_time = u16::MAX,
        6 => open.my_as = 1,
        7 => open.capabilities.push(Capability::EnhancedRouteRefresh),
        8 => open.capabilities.push(Capability::ExtendedMessage),
        9 => open.capabilities.push(Capability::Unknown { code: 99, value: vec![0; 200] }),
        10 => open.identifier = world.peer(place).settings().terms.identifier,
        11 => open.capabilities.push(Capability::AddPath(vec![(1, 1, 3), (2, 1, 3)])),
        12 => open.capabilities.push(Capability::GracefulRestart {
            flags: 8,
            time: 120,
            families: vec![(1, 1, 0x80)],
        }),
        _ => {}
    }
    let mut bytes = Vec::new();
    open.encode(&mut bytes);
    bytes
}

/// All that brings a session up, as far as this side allows it.
fn handshake(world: &mut World, place: usize, side: Side) {
    world.connect(place, side);
    let mut bytes = open(world, place, u8::MAX);
    bytes.extend(message(MessageType::Keepalive, &[]));
    world.receive(place, side, &bytes, usize::MAX);
}

/// A sound UPDATE of a neighbour in AS 65000.
fn their_update(input: &mut Input<'_>) -> Vec<u8> {
    let choice = input.octet();
    let family = Family::ALL[usize::from(choice & 1)];
    let routes: Vec<_> = (0..choice >> 4).map(|n| (0, prefix(n << 1 | (choice & 1)))).collect();
    let options =
        EncodeOptions { four_octet_as: choice & 2 == 0, add_path: false, max_length: 4096 };
    let next_hop = match family {
        Family::Ipv4Unicast => [10, 0, 0, 100].into(),
        Family::Ipv6Unicast => [0xfd00, 0, 0, 0, 0, 0, 0, 2].into(),
    };
    let mut attributes = Attributes { next_hop: Some(next_hop), ..Attributes::default() };
    attributes.as_path.prepend(65000, 1);
    let mut bytes = Vec::new();
    match choice & 4 {
        0 => encode_announce(&mut bytes, family, &attributes, &routes, &options),
        _ => encode_withdraw(&mut bytes, family, &routes, &options),
    };
    bytes
}

/// One of sixteen prefixes; the lowest bit chooses the family.
fn prefix(choice: u8) -> IpNet {
    let number = choice >> 1 & 7;
    match choice & 1 {
        0 => IpNet::V4(Ipv4Net::new([192, 0, 2, number].into(), 32).expect("a length")),
        _ => {
            let address = [0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into()];
            IpNet::V6(Ipv6Net::new(address.into(), 128).expect("a length"))
        }
    }
}

/// Paths that differ in what they say, in how much, and in who hears of them.
fn path(choice: u8) -> Path {
    let communities = match choice & 7 {
        // No message has room for these.
        7 => (0..1100).collect(),
        // There is hardly room for one prefix.
        6 => (0..700).collect(),
        number => (0..number.into()).collect(),
    };
    let names = |name: &str| Some([name.to_owned()].into());
    Path {
        med: (choice & 8 != 0).then_some(choice.into()),
        prepend: choice >> 6,
        communities,
        audience: match choice >> 4 & 3 {
            0 => names("n0"),
            1 => names("nobody"),
            _ => None,
        },
        graceful_shutdown: choice & 0x88 == 0x88,
        ..Path::default()
    }
}

/// All faults end. The bits of `ending`: the old connections are left behind,
/// silent, to see that each of them ends by itself; the neighbours refuse our
/// attempts and dial themselves; they behave from now on over the old
/// connections too, which may have half a message on them.
fn heal(world: &mut World, ending: u8) {
    let deaf = ending & 2 == 2;
    world.speaker.set_complete(true);
    world.start();
    if ending & 1 == 1 {
        (0..320).for_each(|_| a_second(world, deaf));
        check_silent_ones_end(world);
    }
    let adopted = ending & 5 == 4;
    for place in 0..world.neighbours.len() {
        let no_hold_time = world.peer(place).settings().terms.hold_time == 0;
        for side in SIDES {
            let link = &mut world.neighbours[place].links[usize::from(side == Side::Incoming)];
            let Some(link) = link.as_mut().filter(|link| !link.served) else { continue };
            link.served = adopted && !no_hold_time && !link.asks_for_no_hold_time();
            if !link.served {
                world.close(place, side);
            }
        }
    }
    // The longest hold time, if the rest of a message is still awaited.
    (0..if adopted { 150 } else { 45 }).for_each(|_| a_second(world, deaf));
    world.check_all_is_well();
    // All goes, comes back as another path, and becomes what it was.
    let routes = world.withdraw_all();
    quiet(world, deaf);
    for (prefix, owner, _) in &routes {
        world.originate(*prefix, *owner, Path { med: Some(99), ..Path::default() });
    }
    quiet(world, deaf);
    routes.into_iter().for_each(|(prefix, owner, path)| world.originate(prefix, owner, path));
    quiet(world, deaf);
    world.stop();
}

/// Some time in which all that has changed is sent, whatever the interval
/// between two announcements.
fn quiet(world: &mut World, deaf: bool) {
    (0..4).for_each(|_| a_second(world, deaf));
    world.check_all_is_well();
}

fn check_silent_ones_end(world: &World) {
    for (place, neighbour) in world.neighbours.iter().enumerate() {
        let no_hold_time = world.peer(place).settings().terms.hold_time == 0;
        let mut links = neighbour.links.iter().flatten();
        let all_end = links.all(|link| link.served || no_hold_time || link.asks_for_no_hold_time());
        assert!(all_end, "a silent connection that never ends");
    }
}

/// One second of well-behaved neighbours.
fn a_second(world: &mut World, deaf: bool) {
    world.pass(Duration::from_secs(1), true);
    for place in 0..world.neighbours.len() {
        converse(world, place, deaf);
    }
}

fn converse(world: &mut World, place: usize, deaf: bool) {
    if world.neighbours[place].dialing {
        if deaf {
            world.refuse(place);
        } else if world.connect(place, Side::Outgoing) {
            begin(world, place, Side::Outgoing);
        }
    }
    let waits = !matches!(world.peer(place).state(), State::OpenConfirm | State::Established);
    let calls = deaf || world.peer(place).settings().terms.passive;
    if calls && waits && world.connect(place, Side::Incoming) {
        begin(world, place, Side::Incoming);
    }
    SIDES.into_iter().for_each(|side| talk(world, place, side));
}

fn begin(world: &mut World, place: usize, side: Side) {
    if let Some(link) = &mut world.neighbours[place].links[usize::from(side == Side::Incoming)] {
        link.served = true;
        let bytes = open(world, place, u8::MAX);
        world.receive(place, side, &bytes, usize::MAX);
    }
}

/// Shows a sign of life on one connection, and reads all there is.
fn talk(world: &mut World, place: usize, side: Side) {
    let link = world.neighbours[place].links[usize::from(side == Side::Incoming)].as_ref();
    if !link.is_some_and(|link| link.served) {
        return;
    }
    world.receive(place, side, &message(MessageType::Keepalive, &[]), usize::MAX);
    loop {
        world.pump(place);
        if world.transmit(place, side, usize::MAX) == 0 {
            return;
        }
    }
}
