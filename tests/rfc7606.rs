//! What becomes of an UPDATE, case by case: the rules of RFC 7606 and of the
//! RFCs that define its attributes, each with a message that keeps or breaks
//! it. The whole table is `docs/rfc7606.md`; `BURGEE_BLESS=1 cargo test --test
//! rfc7606` writes it anew. What is expected stands here, so that no blessing
//! hides a wrong outcome.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::fmt::Write as _;

use burgee::bgp::message::attribute::Attributes;
use burgee::bgp::message::attribute_list;
use burgee::bgp::message::fault::Approach;
use burgee::bgp::message::notification::Notification;
use burgee::bgp::message::prefix::{Family, FamilySet};
use burgee::bgp::message::update::{Context, Update, parse};

/// What became of an UPDATE.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// The most severe approach, with the attribute it is about, and the routes.
    Taken { because: Because, routes: String },
    /// The session ends with this NOTIFICATION.
    Reset(Notification),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Because {
    NoFault,
    /// The code, or None if no single attribute is at fault.
    Discard(Option<u8>),
    Withdraw(Option<u8>),
}

struct Case {
    section: &'static str,
    name: String,
    context: Context,
    body: Vec<u8>,
    expected: Outcome,
}

/// The cases of one section after another.
#[derive(Default)]
struct Cases(Vec<Case>);

impl Cases {
    fn add(
        &mut self,
        section: &'static str,
        name: impl Into<String>,
        context: Context,
        body: Vec<u8>,
        expected: Outcome,
    ) {
        self.0.push(Case { section, name: name.into(), context, body, expected });
    }

    /// An announcement of one route with the usual attributes and one more.
    fn with(
        &mut self,
        section: &'static str,
        name: impl Into<String>,
        context: Context,
        attribute: &[u8],
        expected: Outcome,
    ) {
        self.add(section, name, context, announcement(&context, &[attribute]), expected);
    }
}

fn accepted(routes: &str) -> Outcome {
    Outcome::Taken { because: Because::NoFault, routes: routes.into() }
}

fn discard(code: u8, routes: &str) -> Outcome {
    Outcome::Taken { because: Because::Discard(Some(code)), routes: routes.into() }
}

/// Routes are ignored, and no attribute is at fault.
fn ignored(routes: &str) -> Outcome {
    Outcome::Taken { because: Because::Discard(None), routes: routes.into() }
}

fn withdraw(code: u8, routes: &str) -> Outcome {
    Outcome::Taken { because: Because::Withdraw(Some(code)), routes: routes.into() }
}

/// The route of [`announcement`] is taken as withdrawn.
fn gone(code: u8) -> Outcome {
    withdraw(code, "− 203.0.113.0/24")
}

fn reset(subcode: u8, data: &[u8]) -> Outcome {
    Outcome::Reset(Notification::with_data(3, subcode, data))
}

fn families(list: &[Family]) -> FamilySet {
    list.iter().copied().collect()
}

fn external() -> Context {
    Context { four_octet_as: true, families: families(&Family::ALL), ..Context::default() }
}

fn internal() -> Context {
    Context { ibgp: true, ..external() }
}

/// A neighbour with two-octet AS numbers.
fn old() -> Context {
    Context { four_octet_as: false, ..external() }
}

fn add_path() -> Context {
    Context { add_path: families(&Family::ALL), ..external() }
}

fn extended_next_hop() -> Context {
    Context { extended_next_hop: families(&[Family::Ipv4Unicast]), ..external() }
}

fn only(family: Family) -> Context {
    Context { families: families(&[family]), ..external() }
}

/// The body of an UPDATE.
fn update(withdrawn: &[u8], attributes: &[&[u8]], nlri: &[u8]) -> Vec<u8> {
    let attributes = attributes.concat();
    let mut body = (withdrawn.len() as u16).to_be_bytes().to_vec();
    body.extend_from_slice(withdrawn);
    body.extend_from_slice(&(attributes.len() as u16).to_be_bytes());
    body.extend_from_slice(&attributes);
    body.extend_from_slice(nlri);
    body
}

fn attribute(flags: u8, code: u8, value: &[u8]) -> Vec<u8> {
    [&[flags, code, value.len() as u8], value].concat()
}

const ORIGIN: &[u8] = &[0x40, 1, 1, 0];
const AS_PATH: &[u8] = &[0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9];
const AS_PATH_OLD: &[u8] = &[0x40, 2, 4, 2, 1, 0xfd, 0xe9];
const NEXT_HOP: &[u8] = &[0x40, 3, 4, 192, 0, 2, 1];
const LOCAL_PREF: &[u8] = &[0x40, 5, 4, 0, 0, 0, 100];
/// 203.0.113.0/24
const NLRI: &[u8] = &[24, 203, 0, 113];
/// 10.0.0.0/8
const WITHDRAWN: &[u8] = &[8, 10];
const ROUTE: &str = "+ 203.0.113.0/24";
const IPV6_ROUTE: &str = "+ 2001:db8::/32";
/// 2001:db8::1
const GLOBAL: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// fe80::1
const LINK_LOCAL: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// 2001:db8::/32
const IPV6_NLRI: &[u8] = &[32, 0x20, 1, 0xd, 0xb8];

/// What is usually there, without the attributes whose code `more` has too.
fn usual(context: &Context, more: &[&[u8]]) -> Vec<u8> {
    let path = if context.four_octet_as { AS_PATH } else { AS_PATH_OLD };
    let mut list = vec![ORIGIN, path, NEXT_HOP];
    if context.ibgp {
        list.push(LOCAL_PREF);
    }
    list.retain(|attribute| more.iter().all(|other| other.get(1) != attribute.get(1)));
    list.concat()
}

fn announcement(context: &Context, more: &[&[u8]]) -> Vec<u8> {
    update(&[], &[&usual(context, more), &more.concat()], NLRI)
}

/// MP_REACH_NLRI of a family.
fn reach(afi: u8, safi: u8, next_hop: &[u8], nlri: &[u8]) -> Vec<u8> {
    let head = [0, afi, safi, next_hop.len() as u8];
    attribute(0x80, 14, &[&head, next_hop, &[0], nlri].concat())
}

fn unreach(afi: u8, safi: u8, nlri: &[u8]) -> Vec<u8> {
    attribute(0x80, 15, &[&[0, afi, safi], nlri].concat())
}

/// An UPDATE that announces with MP_REACH_NLRI alone.
fn multiprotocol(reach: &[u8]) -> Vec<u8> {
    update(&[], &[reach, ORIGIN, AS_PATH], &[])
}

/// A recognized attribute with its flags and a sound value.
const ATTRIBUTES: [(u8, u8, &[u8]); 16] = [
    (0x40, 1, &[0]),
    (0x40, 2, &[2, 1, 0, 0, 0xfd, 0xe9]),
    (0x40, 3, &[192, 0, 2, 1]),
    (0x80, 4, &[0, 0, 0, 5]),
    (0x40, 5, &[0, 0, 0, 100]),
    (0x40, 6, &[]),
    (0xc0, 7, &[0, 0, 0xfd, 0xe9, 10, 0, 0, 1]),
    (0xc0, 8, &[0xfd, 0xe9, 0, 1]),
    (0x80, 9, &[10, 0, 0, 1]),
    (0x80, 10, &[10, 0, 0, 1]),
    (0xc0, 16, &[0, 2, 0, 1, 0, 0, 0, 9]),
    (0xc0, 17, &[2, 1, 0, 0, 0xfd, 0xe9]),
    (0xc0, 18, &[0, 0, 0xfd, 0xe9, 10, 0, 0, 1]),
    (0xc0, 25, &[1; 20]),
    (0xc0, 32, &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]),
    (0xc0, 35, &[0, 0, 0xfd, 0xe9]),
];

fn name(code: u8) -> &'static str {
    attribute_list::name(code).unwrap()
}

/// A neighbour that may send the attribute, which is one with two-octet AS
/// numbers for the two that stand for longer ones.
fn sender(code: u8) -> Context {
    if matches!(code, 17 | 18) { old() } else { internal() }
}

/// With what attribute beside the usual ones an announcement arrives.
fn arrives(code: u8) -> String {
    match (sender(code).ibgp, code) {
        (true, 1..=3 | 5) => format!("{ROUTE} with LOCAL_PREF"),
        (true, 4) => format!("{ROUTE} with MULTI_EXIT_DISC, LOCAL_PREF"),
        (true, _) => format!("{ROUTE} with LOCAL_PREF, {}", name(code)),
        // One is merged into AS_PATH, the other needs an AGGREGATOR beside it.
        (false, _) => ROUTE.into(),
    }
}

fn sound(cases: &mut Cases) {
    let ipv6 = reach(2, 1, &GLOBAL, IPV6_NLRI);
    let section = "RFC 4271 §4.3";
    cases.add(
        section,
        "an announcement",
        external(),
        announcement(&external(), &[]),
        accepted(ROUTE),
    );
    cases.add(
        section,
        "a withdrawal",
        external(),
        update(WITHDRAWN, &[], &[]),
        accepted("− 10.0.0.0/8"),
    );
    cases.add(
        section,
        "the same prefix withdrawn and announced: the announcement is last",
        external(),
        update(NLRI, &[&usual(&external(), &[])], NLRI),
        accepted("− 203.0.113.0/24, + 203.0.113.0/24"),
    );
    cases.add(
        section,
        "the same prefix twice",
        external(),
        update(&[], &[&usual(&external(), &[])], &[NLRI, NLRI].concat()),
        accepted("+ 203.0.113.0/24, + 203.0.113.0/24"),
    );
    cases.add(
        section,
        "bits behind the prefix length are irrelevant",
        external(),
        update(&[], &[&usual(&external(), &[])], &[9, 10, 255]),
        accepted("+ 10.128.0.0/9"),
    );
    cases.add(
        section,
        "0.0.0.0/0",
        external(),
        update(&[], &[&usual(&external(), &[])], &[0]),
        accepted("+ 0.0.0.0/0"),
    );
    cases.add("RFC 4760 §3", "IPv6 routes", external(), multiprotocol(&ipv6), accepted(IPV6_ROUTE));
    cases.add(
        "RFC 4760 §4",
        "an IPv6 withdrawal",
        external(),
        update(&[], &[&unreach(2, 1, IPV6_NLRI)], &[]),
        accepted("− 2001:db8::/32"),
    );
    cases.add(
        "§5.1",
        "MP_REACH_NLRI that is not the first attribute",
        external(),
        update(&[], &[ORIGIN, AS_PATH, &ipv6], &[]),
        accepted(IPV6_ROUTE),
    );
    cases.add(
        "§5.1",
        "all four fields of routes at once",
        external(),
        update(WITHDRAWN, &[&usual(&external(), &[]), &unreach(2, 1, &[0]), &ipv6], NLRI),
        accepted("− 10.0.0.0/8, − ::/0, + 203.0.113.0/24, + 2001:db8::/32"),
    );
    for (flags, code, value) in ATTRIBUTES {
        let context = sender(code);
        let expected = accepted(&arrives(code));
        cases.with("RFC 4271 §5", name(code), context, &attribute(flags, code, value), expected);
    }
}

fn lengths_of_the_message(cases: &mut Cases) {
    let list = || reset(1, &[]);
    let mut longer = announcement(&external(), &[]);
    longer[1] = 0xff;
    cases.add("§3 b", "Withdrawn Routes Length over the message", external(), longer, list());
    let mut longer = update(&[], &[ORIGIN], &[]);
    longer[3] = 5;
    cases.add("§3 b", "Total Attribute Length over the message", external(), longer, list());
    cases.add(
        "§3 b",
        "no room for Total Attribute Length",
        external(),
        vec![0, 2, 8, 10, 0],
        list(),
    );
}

fn flags(cases: &mut Cases) {
    for (flags, code, value) in ATTRIBUTES {
        for (bit, flag) in [(0x80, "Optional"), (0x40, "Transitive")] {
            let what = if flags & bit == 0 { "with" } else { "without" };
            let wrong = attribute(flags ^ bit, code, value);
            let title = format!("{} {what} the {flag} bit", name(code));
            cases.with("§3 c", title, sender(code), &wrong, gone(code));
        }
    }
    for code in [5, 9, 10] {
        let wrong = attribute(0xc0, code, &[0; 4]);
        let title = format!("{} with wrong flags, not to be sent at all", name(code));
        cases.with("§3 c, h", title, external(), &wrong, gone(code));
    }
    let ignored = "RFC 4271 §4.3";
    let partial = attribute(0x60, 1, &[0]);
    cases.with("§3 c", "ORIGIN with the Partial bit", external(), &partial, accepted(ROUTE));
    let unused = attribute(0x4f, 1, &[0]);
    cases.with(ignored, "ORIGIN with the unused bits", external(), &unused, accepted(ROUTE));
    let long = [0x50, 1, 0, 1, 0];
    cases.with(ignored, "ORIGIN with a length of two octets", external(), &long, accepted(ROUTE));
    for flags in [0x00, 0x40, 0xc0] {
        let mut wrong = reach(2, 1, &GLOBAL, IPV6_NLRI);
        wrong[0] = flags;
        let title = format!("MP_REACH_NLRI with flags {flags:#04x}");
        cases.add("§5.3", title, external(), multiprotocol(&wrong), reset(9, &wrong));
        let mut wrong = unreach(2, 1, IPV6_NLRI);
        wrong[0] = flags;
        let title = format!("MP_UNREACH_NLRI with flags {flags:#04x}");
        cases.add("§5.3", title, external(), update(&[], &[&wrong], &[]), reset(9, &wrong));
    }
}

fn missing(cases: &mut Cases) {
    let all: [(u8, &[u8]); 4] = [(1, ORIGIN), (2, AS_PATH), (3, NEXT_HOP), (5, LOCAL_PREF)];
    for (code, _) in all {
        let rest: Vec<&[u8]> = all.iter().filter(|(c, _)| *c != code).map(|(_, a)| *a).collect();
        let title = format!("no {}", name(code));
        cases.add("§3 d", title, internal(), update(&[], &rest, NLRI), gone(code));
    }
    cases.add("§3 d", "no attributes at all", external(), update(&[], &[], NLRI), gone(1));
    let ipv6 = reach(2, 1, &GLOBAL, IPV6_NLRI);
    cases.add(
        "RFC 4760 §3",
        "MP_REACH_NLRI without AS_PATH",
        external(),
        update(&[], &[&ipv6, ORIGIN], &[]),
        withdraw(2, "− 2001:db8::/32"),
    );
    cases.add(
        "RFC 4760 §3",
        "MP_REACH_NLRI without LOCAL_PREF",
        internal(),
        multiprotocol(&ipv6),
        withdraw(5, "− 2001:db8::/32"),
    );
    cases.add(
        "§5.2",
        "a withdrawal with ORIGIN alone: nothing is mandatory",
        external(),
        update(WITHDRAWN, &[ORIGIN], &[]),
        accepted("− 10.0.0.0/8"),
    );
}

fn repeated(cases: &mut Cases) {
    let other = attribute(0x40, 1, &[9]);
    let twice = update(&[], &[&usual(&external(), &[]), &other], NLRI);
    cases.add("§3 g", "ORIGIN twice, the second malformed", external(), twice, discard(1, ROUTE));
    let wrong_flags = attribute(0x80, 3, &[192, 0, 2, 9]);
    let twice = update(&[], &[&usual(&external(), &[]), &wrong_flags], NLRI);
    let title = "NEXT_HOP twice, the second with wrong flags";
    cases.add("§3 g", title, external(), twice, discard(3, ROUTE));
    let communities = attribute(0xc0, 8, &[0xfd, 0xe9, 0, 1]);
    let twice = [&communities[..], &communities].concat();
    let expected = discard(8, &format!("{ROUTE} with COMMUNITIES"));
    cases.with("§3 g", "COMMUNITIES twice", external(), &twice, expected);
    let unknown = attribute(0xc0, 99, &[1]).repeat(2);
    let expected = discard(99, &format!("{ROUTE} with attribute 99"));
    cases.with("§3 g", "an unrecognized attribute twice", external(), &unknown, expected);
    let ipv6 = reach(2, 1, &GLOBAL, IPV6_NLRI);
    let twice = update(&[], &[&ipv6, &ipv6, ORIGIN, AS_PATH], &[]);
    cases.add("§3 g", "MP_REACH_NLRI twice", external(), twice, reset(1, &[]));
    let vpn = reach(1, 128, &[0; 12], &[]);
    let twice = update(&[], &[&ipv6, &vpn, ORIGIN, AS_PATH], &[]);
    cases.add("§3 g", "MP_REACH_NLRI of two families", external(), twice, reset(1, &[]));
    let twice = update(&[], &[&unreach(2, 1, IPV6_NLRI).repeat(2)], &[]);
    cases.add("§3 g", "MP_UNREACH_NLRI twice", external(), twice, reset(1, &[]));
}

fn several(cases: &mut Cases) {
    let atomic = attribute(0x40, 6, &[1]);
    let med = attribute(0x80, 4, &[1]);
    let both = [&atomic[..], &med].concat();
    cases.with("§3 h", "one to discard, one to withdraw for", external(), &both, gone(4));
    let unknown = attribute(0x40, 99, &[7]);
    let all = [&both[..], &unknown].concat();
    cases.with("§3 h", "and one that resets", external(), &all, reset(2, &unknown));
    let body = update(&[], &[&usual(&external(), &[]), &med], &[33, 1, 2, 3, 4, 5]);
    let title = "one to withdraw for, and NLRI that cannot be parsed";
    cases.add("§3 j", title, external(), body, reset(10, &[]));
    let ipv6 = reach(2, 1, &GLOBAL, IPV6_NLRI);
    let unreachable = unreach(2, 1, &[0]);
    let body = update(WITHDRAWN, &[AS_PATH, NEXT_HOP, &ipv6, &unreachable], NLRI);
    let routes = "− 10.0.0.0/8, − ::/0, − 203.0.113.0/24, − 2001:db8::/32";
    cases.add(
        "§2",
        "the routes of all fields are withdrawn",
        external(),
        body,
        withdraw(1, routes),
    );
}

fn lengths_of_attributes(cases: &mut Cases) {
    let tails: [(&str, &[u8]); 5] = [
        ("an attribute that runs over the end", &[0xc0, 8, 8, 1]),
        ("one octet behind the last attribute", &[0xc0]),
        ("two octets behind the last attribute", &[0xc0, 8]),
        ("three octets, with the Extended Length bit", &[0xd0, 8, 0]),
        ("an attribute of two octets of length that runs over", &[0xd0, 8, 1, 0, 1]),
    ];
    for (title, tail) in tails {
        let expected = match tail.get(1) {
            Some(code) => gone(*code),
            None => Outcome::Taken {
                because: Because::Withdraw(None),
                routes: "− 203.0.113.0/24".into(),
            },
        };
        cases.with("§4", title, external(), tail, expected);
    }
    for (code, title) in
        [(14, "MP_REACH_NLRI that runs over"), (15, "MP_UNREACH_NLRI that runs over")]
    {
        cases.with("§4, §3 j", title, external(), &[0x80, code, 40, 0, 2, 1], reset(1, &[]));
    }
    for (flags, code, _) in ATTRIBUTES {
        let empty = attribute(flags, code, &[]);
        let title = format!("{} of length zero", name(code));
        let expected = match code {
            2 => accepted(&format!("{ROUTE} with LOCAL_PREF via no AS")),
            6 => accepted(&arrives(6)),
            7 => discard(7, &format!("{ROUTE} with LOCAL_PREF")),
            17 | 18 => discard(code, ROUTE),
            _ => gone(code),
        };
        cases.with("§4", title, sender(code), &empty, expected);
    }
    let unknown = attribute(0xc0, 99, &[]);
    let expected = accepted(&format!("{ROUTE} with attribute 99"));
    let title = "an unrecognized attribute of length zero: who knows";
    cases.with("§4", title, external(), &unknown, expected);
}

fn nothing_reachable(cases: &mut Cases) {
    let origin = attribute(0x40, 1, &[9]);
    let med = attribute(0x80, 4, &[1]);
    let path = attribute(0x40, 2, &[9, 1, 0, 0, 0, 1]);
    let atomic = attribute(0x40, 6, &[1]);
    let empty_reach = reach(2, 1, &GLOBAL, &[]);
    let section = "§5.2";
    let body = update(WITHDRAWN, &[&origin], &[]);
    cases.add(section, "a withdrawal with a bad ORIGIN", external(), body, reset(6, &origin));
    let body = update(WITHDRAWN, &[&med], &[]);
    cases.add(section, "a withdrawal with a bad MED", external(), body, reset(5, &med));
    let body = update(WITHDRAWN, &[&path], &[]);
    cases.add(section, "a withdrawal with a bad AS_PATH", external(), body, reset(11, &[]));
    let body = update(WITHDRAWN, &[&[0x80]], &[]);
    cases.add(section, "a withdrawal with half an attribute", external(), body, reset(1, &[]));
    let wrong_flags = attribute(0x80, 1, &[0]);
    let body = update(WITHDRAWN, &[&wrong_flags], &[]);
    cases.add(section, "a withdrawal with wrong flags", external(), body, reset(4, &wrong_flags));
    let body = update(&[], &[&unreach(2, 1, IPV6_NLRI), &origin], &[]);
    cases.add(section, "MP_UNREACH_NLRI with a bad ORIGIN", external(), body, reset(6, &origin));
    let body = update(&[], &[&empty_reach, ORIGIN, AS_PATH, &med], &[]);
    cases.add(section, "MP_REACH_NLRI without routes, bad MED", external(), body, reset(5, &med));
    let nowhere = reach(2, 1, &[0; 16], &[]);
    let body = multiprotocol(&nowhere);
    let title = "MP_REACH_NLRI without routes, next hop ::";
    cases.add("§5.2, RFC 4760 §7", title, external(), body, reset(9, &nowhere));
    let body = update(WITHDRAWN, &[&atomic], &[]);
    let expected = discard(6, "− 10.0.0.0/8");
    cases.add(section, "a withdrawal with a bad ATOMIC_AGGREGATE", external(), body, expected);
    let body = update(&[], &[&usual(&external(), &[])], &[]);
    cases.add(
        "RFC 4271 §6.3",
        "attributes and no routes at all",
        external(),
        body,
        accepted("none"),
    );
    let section = "RFC 4724 §2";
    let end = |family| accepted(&format!("End-of-RIB of {family}"));
    cases.add(section, "an empty UPDATE", external(), vec![0; 4], end("ipv4-unicast"));
    let body = update(&[], &[&unreach(2, 1, &[])], &[]);
    cases.add(section, "an empty MP_UNREACH_NLRI", external(), body, end("ipv6-unicast"));
    let body = update(&[], &[&unreach(2, 1, &[]), ORIGIN], &[]);
    cases.add(section, "the same beside ORIGIN", external(), body, accepted("none"));
}

fn routes_that_cannot_be_parsed(cases: &mut Cases) {
    let section = "§5.3";
    let network = || reset(10, &[]);
    let usual = usual(&external(), &[]);
    let bad: [(&str, &[u8]); 3] = [
        ("a prefix length of 33", &[33, 1, 2, 3, 4, 5]),
        ("a prefix that runs over", &[24, 203, 0]),
        ("a second prefix that runs over", &[8, 10, 255]),
    ];
    for (title, field) in bad {
        let body = update(&[], &[&usual], field);
        cases.add(section, format!("NLRI with {title}"), external(), body, network());
        let body = update(field, &[], &[]);
        let title = format!("Withdrawn Routes with {title}");
        cases.add("§3 i", title, external(), body, network());
    }
    let body = update(&[], &[&usual], &[33, 1, 2, 3, 4, 5]);
    let title = "NLRI with a prefix length of 33, IPv4 not negotiated";
    cases.add(section, title, only(Family::Ipv6Unicast), body, network());
    let bad: [(&str, u8, &[u8], &[u8]); 4] = [
        ("an IPv6 prefix length of 129", 2, &GLOBAL, &[129, 0]),
        ("an IPv6 prefix that runs over", 2, &GLOBAL, &[32, 0x20]),
        ("an IPv4 prefix length of 33", 1, &[192, 0, 2, 1], &[33, 1, 2, 3, 4, 5]),
        ("an IPv4 prefix that runs over", 1, &[192, 0, 2, 1], &[24, 203, 0]),
    ];
    for (title, afi, next_hop, nlri) in bad {
        let wrong = reach(afi, 1, next_hop, nlri);
        let body = multiprotocol(&wrong);
        cases.add(
            section,
            format!("MP_REACH_NLRI with {title}"),
            external(),
            body,
            reset(9, &wrong),
        );
        let wrong = unreach(afi, 1, nlri);
        let body = update(&[], &[&wrong], &[]);
        cases.add(
            section,
            format!("MP_UNREACH_NLRI with {title}"),
            external(),
            body,
            reset(9, &wrong),
        );
    }
    for length in 0..=4 {
        let wrong = attribute(0x80, 14, &[0, 2, 1, 0][..length]);
        let title = format!("MP_REACH_NLRI of length {length}");
        cases.add(section, title, external(), multiprotocol(&wrong), reset(9, &wrong));
    }
    for length in 0..=2 {
        let wrong = attribute(0x80, 15, &[0, 2][..length]);
        let title = format!("MP_UNREACH_NLRI of length {length}");
        cases.add(section, title, external(), update(&[], &[&wrong], &[]), reset(9, &wrong));
    }
    let section = "RFC 4271 §6.3";
    let body = update(&[4, 224], &[&usual], &[NLRI, &[8, 239]].concat());
    cases.add(section, "multicast prefixes", external(), body, ignored(ROUTE));
    let multicast = reach(2, 1, &GLOBAL, &[IPV6_NLRI, &[8, 0xff]].concat());
    let body = multiprotocol(&multicast);
    cases.add(section, "IPv6 multicast prefixes", external(), body, ignored(IPV6_ROUTE));
}

fn base_attributes(cases: &mut Cases) {
    let with = |cases: &mut Cases, section, title: &str, flags, code, value: &[u8], expected| {
        cases.with(section, title, external(), &attribute(flags, code, value), expected);
    };
    with(cases, "§7.1", "ORIGIN of length 2", 0x40, 1, &[0, 0], gone(1));
    with(cases, "§7.1", "ORIGIN 3, which is undefined", 0x40, 1, &[3], gone(1));
    let path: [(&str, &str, &[u8]); 8] = [
        ("§7.2", "a segment of unknown type", &[5, 1, 0, 0, 0, 1]),
        ("§7.2", "a segment that runs over", &[2, 2, 0, 0, 0, 1]),
        ("§7.2", "a single octet behind the segments", &[2, 1, 0, 0, 0, 1, 2]),
        ("§7.2", "a segment of length zero", &[2, 0]),
        ("§7.2", "AS numbers of two octets", &[2, 1, 0xfd, 0xe9]),
        ("RFC 7607 §2", "AS 0", &[2, 2, 0, 0, 0xfd, 0xe9, 0, 0, 0, 0]),
        ("RFC 5065 §5", "AS_CONFED_SEQUENCE", &[3, 1, 0, 0, 0xfd, 0xe9]),
        ("RFC 5065 §5", "AS_CONFED_SET", &[2, 1, 0, 0, 0xfd, 0xe9, 4, 1, 0, 0, 0, 1]),
    ];
    for (section, title, value) in path {
        with(cases, section, &format!("AS_PATH with {title}"), 0x40, 2, value, gone(2));
    }
    let confederation = attribute(0x40, 2, &[3, 1, 0, 0, 0, 7]);
    let expected = accepted(&format!("{ROUTE} with LOCAL_PREF via (7)"));
    let title = "AS_PATH with AS_CONFED_SEQUENCE, from inside";
    cases.with("RFC 5065 §5", title, internal(), &confederation, expected);
    let set = [1, 2, 0, 0, 0, 1, 0, 0, 0, 2];
    let expected = accepted(&format!("{ROUTE} via {{1,2}}"));
    with(cases, "RFC 4271 §4.3", "AS_PATH with AS_SET", 0x40, 2, &set, expected);
    let expected = accepted(&format!("{ROUTE} via 9"));
    let title = "AS_PATH whose first AS is another than the neighbour's";
    with(cases, "§7.2", title, 0x40, 2, &[2, 1, 0, 0, 0, 9], expected);
    with(cases, "§7.3", "NEXT_HOP of length 3", 0x40, 3, &[192, 0, 2], gone(3));
    with(cases, "§7.3", "NEXT_HOP of length 16", 0x40, 3, &GLOBAL, gone(3));
    for address in [[0, 0, 0, 0], [224, 0, 0, 1], [240, 0, 0, 1], [255, 255, 255, 255]] {
        let title = format!("NEXT_HOP {}", std::net::Ipv4Addr::from(address));
        with(cases, "RFC 4271 §6.3", &title, 0x40, 3, &address, gone(3));
    }
    let loopback = "NEXT_HOP 127.0.0.1, for speakers of one host";
    with(cases, "RFC 4271 §6.3", loopback, 0x40, 3, &[127, 0, 0, 1], accepted(ROUTE));
    let ipv6 = reach(2, 1, &GLOBAL, IPV6_NLRI);
    let beside = attribute(0x40, 3, &[0, 0, 0, 0]);
    let body = update(&[], &[&ipv6, ORIGIN, AS_PATH, &beside], &[]);
    let title = "NEXT_HOP 0.0.0.0 without NLRI, to be ignored";
    cases.add("RFC 4760 §3", title, external(), body, accepted(IPV6_ROUTE));
    let beside = attribute(0x40, 3, &[0]);
    let body = update(&[], &[&ipv6, ORIGIN, AS_PATH, &beside], &[]);
    let title = "NEXT_HOP of length 1 without NLRI";
    cases.add("§7.3", title, external(), body, withdraw(3, "− 2001:db8::/32"));
    with(cases, "§7.4", "MULTI_EXIT_DISC of length 3", 0x80, 4, &[0; 3], gone(4));
    with(cases, "§7.5", "LOCAL_PREF from outside", 0x40, 5, &[0; 4], discard(5, ROUTE));
    let title = "LOCAL_PREF of length 3 from outside";
    with(cases, "§7.5", title, 0x40, 5, &[0; 3], discard(5, ROUTE));
    let short = attribute(0x40, 5, &[0; 3]);
    cases.with("§7.5", "LOCAL_PREF of length 3", internal(), &short, gone(5));
    with(cases, "§7.6", "ATOMIC_AGGREGATE of length 1", 0x40, 6, &[0], discard(6, ROUTE));
    with(cases, "§7.7", "AGGREGATOR of length 6", 0xc0, 7, &[1; 6], discard(7, ROUTE));
    let aggregator = attribute(0xc0, 7, &[1; 8]);
    cases.with("§7.7", "AGGREGATOR of length 8", old(), &aggregator, discard(7, ROUTE));
    let zero = [0, 0, 0, 0, 10, 0, 0, 1];
    with(cases, "RFC 7607 §2", "AGGREGATOR with AS 0", 0xc0, 7, &zero, discard(7, ROUTE));
    let zero = attribute(0xc0, 7, &zero[2..]);
    cases.with("RFC 7607 §2", "AGGREGATOR with AS 0", old(), &zero, discard(7, ROUTE));
}

fn later_attributes(cases: &mut Cases) {
    let with = |cases: &mut Cases, section, title: &str, flags, code, length: usize, expected| {
        let context = if matches!(expected, Outcome::Taken { because: Because::Withdraw(_), .. }) {
            internal()
        } else {
            external()
        };
        cases.with(section, title, context, &attribute(flags, code, &vec![1; length]), expected);
    };
    with(cases, "§7.8", "COMMUNITIES of length 5", 0xc0, 8, 5, gone(8));
    with(cases, "§7.9", "ORIGINATOR_ID from outside", 0x80, 9, 4, discard(9, ROUTE));
    with(cases, "§7.9", "ORIGINATOR_ID of length 5", 0x80, 9, 5, gone(9));
    with(cases, "§7.10", "CLUSTER_LIST from outside", 0x80, 10, 4, discard(10, ROUTE));
    with(cases, "§7.10", "CLUSTER_LIST of length 6", 0x80, 10, 6, gone(10));
    with(cases, "§7.14", "EXTENDED_COMMUNITIES of length 12", 0xc0, 16, 12, gone(16));
    let unknown = accepted(&format!("{ROUTE} with EXTENDED_COMMUNITIES"));
    let title = "EXTENDED_COMMUNITIES of a type that is not known";
    with(cases, "§7.14", title, 0xc0, 16, 8, unknown);
    let title = "IPV6_EXTENDED_COMMUNITIES of length 21";
    with(cases, "§7.15", title, 0xc0, 25, 21, gone(25));
    with(cases, "RFC 8092 §6", "LARGE_COMMUNITIES of length 16", 0xc0, 32, 16, gone(32));
    let once = accepted(&format!("{ROUTE} with LARGE_COMMUNITIES"));
    with(cases, "RFC 8092 §6", "LARGE_COMMUNITIES with duplicates", 0xc0, 32, 24, once);
    with(cases, "RFC 9234 §5", "ONLY_TO_CUSTOMER of length 5", 0xc0, 35, 5, gone(35));
    let section = "RFC 4271 §6.3";
    for flags in [0x00, 0x40, 0x60] {
        let unknown = attribute(flags, 99, &[7]);
        let title = format!("attribute 99 with flags {flags:#04x}: well-known, but not to us");
        cases.with(section, title, external(), &unknown, reset(2, &unknown));
    }
    let section = "RFC 4271 §5";
    let unknown = attribute(0xc0, 99, &[7]);
    let expected = accepted(&format!("{ROUTE} with attribute 99"));
    cases.with(section, "an unrecognized transitive attribute", external(), &unknown, expected);
    let unknown = attribute(0x80, 99, &[7]);
    let title = "an unrecognized non-transitive attribute";
    cases.with(section, title, external(), &unknown, accepted(ROUTE));
}

fn next_hops(cases: &mut Cases) {
    let section = "§7.11";
    for length in [0, 4, 12, 15, 17, 24, 31, 33, 48] {
        let wrong = reach(2, 1, &[1; 48][..length], IPV6_NLRI);
        let title = format!("IPv6 routes with a next hop of length {length}");
        cases.add(section, title, external(), multiprotocol(&wrong), reset(9, &wrong));
    }
    let two = [GLOBAL, LINK_LOCAL].concat();
    let body = multiprotocol(&reach(2, 1, &two, IPV6_NLRI));
    let title = "IPv6 routes with a global and a link-local next hop";
    cases.add("RFC 2545 §3", title, external(), body, accepted(IPV6_ROUTE));
    for (address, title) in [(&[0; 16], "::"), (&[0xff; 16], "ff…")] {
        let body = multiprotocol(&reach(2, 1, address, IPV6_NLRI));
        let title = format!("IPv6 routes with next hop {title}");
        cases.add("RFC 4271 §6.3", title, external(), body, withdraw(14, "− 2001:db8::/32"));
    }
    for context in [external(), extended_next_hop()] {
        for length in [0, 12, 24, 48] {
            let wrong = reach(1, 1, &[1; 48][..length], NLRI);
            let title = format!("IPv4 routes with a next hop of length {length}");
            cases.add(section, title, context, multiprotocol(&wrong), reset(9, &wrong));
        }
        let body = multiprotocol(&reach(1, 1, &[192, 0, 2, 1], NLRI));
        let title = "IPv4 routes with a next hop of length 4";
        cases.add("RFC 4760 §3", title, context, body, accepted(ROUTE));
    }
    for next_hop in [&GLOBAL[..], &two] {
        let attribute = reach(1, 1, next_hop, NLRI);
        let body = multiprotocol(&attribute);
        let title = format!("IPv4 routes with a next hop of length {}", next_hop.len());
        cases.add("RFC 8950 §4", title.clone(), external(), body.clone(), reset(9, &attribute));
        cases.add("RFC 8950 §3", title, extended_next_hop(), body, accepted(ROUTE));
    }
    let wrong = attribute(0x80, 14, &[0, 2, 1, 16, 0]);
    let title = "IPv6 routes with a next hop that runs over";
    cases.add(section, title, external(), multiprotocol(&wrong), reset(9, &wrong));
}

fn other_families(cases: &mut Cases) {
    let section = "RFC 4760 §8";
    let ipv6 = reach(2, 1, &GLOBAL, IPV6_NLRI);
    let ipv4 = only(Family::Ipv4Unicast);
    let body = multiprotocol(&ipv6);
    cases.add(section, "IPv6 routes, not negotiated", ipv4, body, discard(14, "none"));
    let body = update(&[], &[&unreach(2, 1, IPV6_NLRI)], &[]);
    cases.add(section, "an IPv6 withdrawal, not negotiated", ipv4, body, discard(15, "none"));
    let body = update(&[], &[&ipv6, &usual(&ipv4, &[])], NLRI);
    cases.add(section, "IPv6 routes, not negotiated, and IPv4", ipv4, body, discard(14, ROUTE));
    let ipv6_alone = only(Family::Ipv6Unicast);
    let body = announcement(&ipv6_alone, &[]);
    cases.add(section, "IPv4 routes, not negotiated", ipv6_alone, body, ignored("none"));
    let body = update(WITHDRAWN, &[], &[]);
    cases.add(section, "an IPv4 withdrawal, not negotiated", ipv6_alone, body, ignored("none"));
    let vpn = reach(1, 128, &[0; 12], &[0xff; 9]);
    let body = multiprotocol(&vpn);
    cases.add(
        section,
        "routes of a VPN, which we do not know",
        external(),
        body,
        discard(14, "none"),
    );
    let multicast = reach(2, 2, &GLOBAL, &[255]);
    let body = multiprotocol(&multicast);
    cases.add(section, "routes of SAFI 2, not even parsed", external(), body, discard(14, "none"));
    let wrong = attribute(0x80, 14, &[0, 1, 128, 24, 0]);
    let title = "a next hop that runs over, of a VPN";
    cases.add("§7.11", title, external(), multiprotocol(&wrong), reset(9, &wrong));
    let empty = update(&[], &[], &[]);
    cases.add("RFC 4724 §2", "an End-of-RIB, not negotiated", ipv6_alone, empty, accepted("none"));
}

fn path_identifiers(cases: &mut Cases) {
    let usual = usual(&external(), &[]);
    let nlri = [0, 0, 0, 7, 24, 203, 0, 113, 0, 0, 0, 8, 24, 203, 0, 113];
    let body = update(&[0, 0, 0, 9, 8, 10], &[&usual], &nlri);
    let routes = "− 10.0.0.0/8 id 9, + 203.0.113.0/24 id 7, + 203.0.113.0/24 id 8";
    let section = "RFC 7911 §3";
    cases.add(section, "path identifiers", add_path(), body, accepted(routes));
    let body = update(&[], &[&usual], &[0, 0, 0, 7]);
    cases.add("§5.3", "a path identifier without a prefix", add_path(), body, reset(10, &[]));
    let body = update(&[], &[&usual], &[0, 0, 7]);
    cases.add("§5.3", "half a path identifier", add_path(), body, reset(10, &[]));
    let body = announcement(&add_path(), &[]);
    let title = "prefixes without the path identifiers that were negotiated";
    cases.add("§5.3", title, add_path(), body, reset(10, &[]));
    let attribute = reach(2, 1, &GLOBAL, &[&[0, 0, 0, 7], IPV6_NLRI].concat());
    let body = multiprotocol(&attribute);
    let expected = accepted("+ 2001:db8::/32 id 7");
    cases.add(section, "path identifiers of IPv6 routes", add_path(), body, expected);
}

fn four_octets(cases: &mut Cases) {
    let trans = [0x40, 2, 6, 2, 2, 0xfd, 0xe9, 0x5b, 0xa0];
    let path = |segments: &[u8]| [&trans[..], &attribute(0xc0, 17, segments)].concat();
    let section = "RFC 6793 §4.2.3";
    let restored = path(&[2, 1, 0, 1, 0x11, 0x70]);
    let expected = accepted(&format!("{ROUTE} via 65001 70000"));
    cases.with(section, "AS4_PATH", old(), &restored, expected);
    let longer = path(&[2, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]);
    let unchanged = format!("{ROUTE} via 65001 23456");
    cases.with(section, "AS4_PATH longer than AS_PATH", old(), &longer, accepted(&unchanged));
    let aggregator = attribute(0xc0, 7, &[0, 9, 10, 0, 0, 1]);
    let aggregator4 = attribute(0xc0, 18, &[0, 1, 0x11, 0x70, 10, 0, 0, 1]);
    let void = [&restored[..], &aggregator, &aggregator4].concat();
    let expected = accepted(&format!("{ROUTE} with AGGREGATOR of 9 via 65001 23456"));
    cases.with(section, "AGGREGATOR not AS_TRANS: both are void", old(), &void, expected);
    let trans = attribute(0xc0, 7, &[0x5b, 0xa0, 10, 0, 0, 1]);
    let both = [&restored[..], &trans, &aggregator4].concat();
    let expected = accepted(&format!("{ROUTE} with AGGREGATOR of 70000 via 65001 70000"));
    cases.with(section, "AGGREGATOR AS_TRANS: both are restored", old(), &both, expected);
    let section = "RFC 6793 §6";
    let faults: [(&str, &[u8]); 6] = [
        ("of length 4", &[2, 1, 0, 1]),
        ("of length 7", &[2, 1, 0, 0, 0, 1, 2]),
        ("with a segment of length zero", &[2, 1, 0, 0, 0, 1, 2, 0]),
        ("with a segment that runs over", &[2, 2, 0, 0, 0, 1]),
        ("with a segment of unknown type", &[5, 1, 0, 0, 0, 1]),
        ("with AS 0, RFC 7607 §2", &[2, 1, 0, 0, 0, 0]),
    ];
    for (title, value) in faults {
        let expected = discard(17, &unchanged);
        cases.with(section, format!("AS4_PATH {title}"), old(), &path(value), expected);
    }
    let confederation = path(&[3, 1, 0, 0, 0, 7, 2, 1, 0, 1, 0x11, 0x70]);
    let expected = discard(17, &format!("{ROUTE} via 65001 70000"));
    let title = "AS4_PATH with AS_CONFED_SEQUENCE, which is left out";
    cases.with(section, title, old(), &confederation, expected);
    let short = attribute(0xc0, 18, &[0, 1, 10, 0, 0, 1]);
    cases.with(section, "AS4_AGGREGATOR of length 6", old(), &short, discard(18, ROUTE));
    let zero = attribute(0xc0, 18, &[0, 0, 0, 0, 10, 0, 0, 1]);
    cases.with("RFC 7607 §2", "AS4_AGGREGATOR with AS 0", old(), &zero, discard(18, ROUTE));
    let section = "RFC 6793 §4.1";
    let attribute = attribute(0xc0, 17, &[2, 1, 0, 1, 0x11, 0x70]);
    let title = "AS4_PATH from a speaker with four-octet numbers";
    cases.with(section, title, external(), &attribute, discard(17, ROUTE));
    let title = "AS4_AGGREGATOR from a speaker with four-octet numbers";
    cases.with(section, title, external(), &aggregator4, discard(18, ROUTE));
}

/// Every case, in the order of the document.
fn cases() -> Vec<Case> {
    let mut cases = Cases::default();
    for section in [
        sound,
        lengths_of_the_message,
        flags,
        missing,
        repeated,
        several,
        lengths_of_attributes,
        nothing_reachable,
        routes_that_cannot_be_parsed,
        base_attributes,
        later_attributes,
        next_hops,
        other_families,
        path_identifiers,
        four_octets,
    ] {
        section(&mut cases);
    }
    cases.0
}

/// What the codec makes of a case.
fn judged(case: &Case) -> Outcome {
    let update = match parse(&case.body, &case.context) {
        Ok(update) => update,
        Err(notification) => return Outcome::Reset(notification),
    };
    let fault = update.faults().next();
    let because = match fault.map(|fault| (fault.approach, fault.attribute)) {
        None => Because::NoFault,
        Some((Approach::AttributeDiscard, code)) => Because::Discard(code),
        Some((Approach::TreatAsWithdraw, code)) => Because::Withdraw(code),
    };
    Outcome::Taken { because, routes: routes(&update) }
}

fn routes(update: &Update<'_>) -> String {
    let route = |sign, path_id: u32, prefix| match path_id {
        0 => format!("{sign} {prefix}"),
        id => format!("{sign} {prefix} id {id}"),
    };
    let withdrawn = update.withdrawn().map(|(_, id, prefix)| route('−', id, prefix));
    let announced = update.announced().map(|(_, id, prefix)| route('+', id, prefix));
    let all: Vec<String> = withdrawn.chain(announced).collect();
    if let Some(family) = update.is_end_of_rib() {
        assert!(all.is_empty());
        return format!("End-of-RIB of {family}");
    }
    let mut text = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
    if update.counts().0 > 0 {
        describe(&update.attributes(), &mut text);
    }
    text
}

/// The attributes that not every route has, and a path that is not the usual one.
fn describe(attributes: &Attributes, text: &mut String) {
    let known = [
        (4, attributes.med.is_some()),
        (5, attributes.local_pref.is_some()),
        (6, attributes.atomic_aggregate),
        (7, attributes.aggregator.is_some()),
        (8, !attributes.communities.is_empty()),
        (9, attributes.originator_id.is_some()),
        (10, !attributes.cluster_list.is_empty()),
        (16, !attributes.extended_communities.is_empty()),
        (32, !attributes.large_communities.is_empty()),
        (35, attributes.only_to_customer.is_some()),
    ];
    let known = known.into_iter().filter(|(_, there)| *there).map(|(code, _)| code);
    let unknown = attributes.unknown.iter().map(|unknown| unknown.code);
    let names: Vec<String> = known.chain(unknown).map(attribute_name).collect();
    if !names.is_empty() {
        let _ = write!(text, " with {}", names.join(", "));
    }
    if let Some((asn, _)) = attributes.aggregator.filter(|(asn, _)| *asn != 65001) {
        let _ = write!(text, " of {asn}");
    }
    match attributes.as_path.to_string().as_str() {
        "65001" => {}
        "" => text.push_str(" via no AS"),
        path => {
            let _ = write!(text, " via {path}");
        }
    }
}

fn attribute_name(code: u8) -> String {
    attribute_list::name(code).map_or_else(|| format!("attribute {code}"), str::to_owned)
}

fn outcome(outcome: &Outcome) -> String {
    let of = |code: &Option<u8>| code.map_or("no attribute".to_owned(), attribute_name);
    match outcome {
        Outcome::Taken { because: Because::NoFault, routes } => format!("accepted: {routes}"),
        Outcome::Taken { because: Because::Discard(None), routes } => {
            format!("without the routes that are ignored: {routes}")
        }
        Outcome::Taken { because: Because::Discard(code), routes } => {
            format!("attribute discard ({}): {routes}", of(code))
        }
        Outcome::Taken { because: Because::Withdraw(code), routes } => {
            format!("treat-as-withdraw ({}): {routes}", of(code))
        }
        Outcome::Reset(notification) => format!("session reset: {notification}"),
    }
}

/// What the neighbour is, and what was negotiated with it.
fn neighbour(context: &Context) -> String {
    let mut text = if context.ibgp { "internal" } else { "external" }.to_owned();
    if !context.four_octet_as {
        text.push_str(", two-octet AS numbers");
    }
    if !context.add_path.is_empty() {
        text.push_str(", add-path");
    }
    if !context.extended_next_hop.is_empty() {
        text.push_str(", RFC 8950");
    }
    match context.families.iter().collect::<Vec<_>>()[..] {
        [family] => {
            let _ = write!(text, ", {family} alone");
        }
        _ => assert_eq!(context.families.iter().count(), 2),
    }
    text
}

const PREFACE: &str = "# What becomes of an UPDATE, case by case

<!-- Written by tests/rfc7606.rs; `BURGEE_BLESS=1 cargo test --test rfc7606` writes it anew. -->

The rules of RFC 7606 (sections without a number of an RFC are its own) and of the RFCs that
define the attributes, each with a message that keeps or breaks it, and what the codec did. `+`
is a route that is announced, `−` one that is withdrawn; attributes are named where not every
route has them, and the AS path where it is not the neighbour's AS alone. Other messages:
[notifications.md](notifications.md).

Where the texts leave a choice or seem to disagree:

- **Flags of ATOMIC_AGGREGATE and AGGREGATOR** (§3 c, §3 f): treat-as-withdraw. §3 f changes what
  *specifies a session reset*, and for conflicting flags §3 c has left no such case; the
  exception that §3 c makes for the specification of an attribute does not apply, because
  RFC 4271 §5.1.6 and §5.1.7 say nothing of flags. Where §7.6 and §7.7 would have it discarded,
  §3 h takes the stronger approach. The same goes for attributes that the neighbour must not send
  at all: their flags are judged first.
- **AFI/SAFI disable** (§2) is not offered. It would be allowed wherever the routes of
  MP_REACH_NLRI or MP_UNREACH_NLRI cannot be found (§3 j, §5.3, §7.11); we reset the session,
  which the same sections allow. A family that is only ignored would be silently wrong until
  somebody looks.
- **Families that were not negotiated** are ignored, with a line in the log, as no RFC makes them
  an error. What can be seen of such an attribute without knowing the family (flags, minimum
  length, end of the next hop) is judged all the same, and so are NLRI and Withdrawn Routes.
- **LOCAL_PREF** is no mandatory attribute in the words of RFC 4271 §5, but required from internal
  neighbours (§5.1.5 there, RFC 4760 §3), so that its absence is treated as §3 d has it.
- **The first AS of AS_PATH** is not compared with the neighbour's: the check is optional
  (RFC 4271 §6.3), and a route server does not put itself there (RFC 7947 §2.2.2).
- **AS_SET** is accepted; RFC 9774, which has such routes withdrawn, is not followed.
- **NEXT_HOP without NLRI** is ignored as RFC 4760 §3 asks, its length and flags are not.
- **An unrecognized attribute of length zero** is passed on: whether its length may be zero (§4)
  stands in a document that we do not know.
- **A next hop that is our own address** or on no common subnet (RFC 4271 §6.3) is for the table of
  routes to refuse; the codec knows no addresses of ours.

What is logged (§6): each fault, the routes, and the octets of the whole message, for the first
malformed UPDATEs of a neighbour and then for some of them. What we send (§5.1) has one field of
routes a message, and MP_REACH_NLRI or MP_UNREACH_NLRI is the first attribute.

";

fn table(cases: &[Case]) -> String {
    let mut text = PREFACE.to_owned();
    text.push_str("| section | UPDATE | from | outcome |\n|---|---|---|---|\n");
    for case in cases {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            case.section,
            case.name,
            neighbour(&case.context),
            outcome(&judged(case))
        );
    }
    text
}

#[test]
fn every_case_has_the_outcome_that_its_section_asks_for() {
    let cases = cases();
    assert!(cases.len() >= 90, "{} cases", cases.len());
    let wrong: Vec<String> = cases
        .iter()
        .map(|case| (case, judged(case)))
        .filter(|(case, found)| *found != case.expected)
        .map(|(case, found)| {
            let from = neighbour(&case.context);
            let (found, expected) = (outcome(&found), outcome(&case.expected));
            format!("{} {} ({from}): {found} instead of {expected}", case.section, case.name)
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn the_document_says_what_the_codec_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rfc7606.md");
    let table = table(&cases());
    println!("{table}");
    if std::env::var_os("BURGEE_BLESS").is_some() {
        std::fs::write(path, &table).expect("docs can be written");
    }
    let expected = std::fs::read_to_string(path).expect("docs/rfc7606.md");
    assert_eq!(table, expected, "the table has changed; read it beside RFC 7606");
}
