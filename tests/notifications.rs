//! What is answered to a header, an OPEN, a NOTIFICATION and a ROUTE-REFRESH,
//! case by case. The tables are `docs/notifications.md`; `BURGEE_BLESS=1 cargo
//! test --test notifications` writes them anew. What is expected stands here, so
//! that no blessing hides a wrong answer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::fmt::Write as _;

use burgee::bgp::message::capability::Capability;
use burgee::bgp::message::header::{EXTENDED_MAX_LENGTH, MAX_LENGTH, next_frame};
use burgee::bgp::message::notification::Notification;
use burgee::bgp::message::open::Open;
use burgee::bgp::message::prefix::Family;
use burgee::bgp::message::route_refresh::RouteRefresh;

/// What was understood, in words, or the NOTIFICATION that is sent.
type Answer = Result<String, Notification>;

struct Case {
    section: &'static str,
    name: String,
    found: Answer,
    expected: Answer,
}

fn understood(text: &str) -> Answer {
    Ok(text.to_owned())
}

fn refused(code: u8, subcode: u8, data: &[u8]) -> Answer {
    Err(Notification::with_data(code, subcode, data))
}

/// The cases of one table.
struct Table<'a, Input: ?Sized> {
    ask: &'a dyn Fn(&Input) -> Answer,
    cases: Vec<Case>,
}

impl<'a, Input: ?Sized> Table<'a, Input> {
    fn new(ask: &'a dyn Fn(&Input) -> Answer) -> Table<'a, Input> {
        Table { ask, cases: Vec::new() }
    }

    fn add(
        &mut self,
        section: &'static str,
        name: impl Into<String>,
        input: &Input,
        expected: Answer,
    ) {
        let found = (self.ask)(input);
        self.cases.push(Case { section, name: name.into(), found, expected });
    }
}

/// A message with this length field and type, with as many octets as it says,
/// but no fewer than a header.
fn message(length: u16, kind: u8) -> Vec<u8> {
    let mut bytes = vec![0xff; 16];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.push(kind);
    bytes.resize(usize::from(length).max(19), 0);
    bytes
}

const KINDS: [(u8, &str, u16); 4] =
    [(1, "OPEN", 29), (2, "UPDATE", 23), (3, "NOTIFICATION", 21), (4, "KEEPALIVE", 19)];

fn headers() -> Vec<Case> {
    let ask = |(bytes, max_length): &(Vec<u8>, usize)| match next_frame(bytes, *max_length)? {
        None => understood("more octets are needed"),
        Some(frame) => Ok(format!("{:?} of {} octets", frame.kind, frame.length)),
    };
    let mut table = Table::new(&ask);
    let plain = |bytes: Vec<u8>| (bytes, MAX_LENGTH);
    let extended = |bytes: Vec<u8>| (bytes, EXTENDED_MAX_LENGTH);
    let bad_length = |length: u16| refused(1, 2, &length.to_be_bytes());
    let section = "RFC 4271 §6.1";
    let mut marker = message(19, 4);
    marker[15] = 0;
    table.add(section, "a marker that is not all ones", &plain(marker.clone()), refused(1, 1, &[]));
    marker.truncate(16);
    let title = "the same, before the rest has come";
    table.add(section, title, &plain(marker), refused(1, 1, &[]));
    let http = b"GET / HTTP/1.1".to_vec();
    table.add(section, "a request of HTTP", &plain(http), refused(1, 1, &[]));
    for length in [0, 18] {
        let title = format!("length {length}");
        table.add(section, title, &plain(message(length, 2)), bad_length(length));
    }
    let title = "UPDATE of 4096 octets";
    table.add(section, title, &plain(message(4096, 2)), understood("Update of 4096 octets"));
    table.add(section, "UPDATE of 4097 octets", &plain(message(4097, 2)), bad_length(4097));
    let title = "length 4097, before the type has come";
    table.add(section, title, &plain(message(4097, 2)[..18].to_vec()), bad_length(4097));
    for (kind, name, shortest) in KINDS {
        let title = format!("{name} of {} octets", shortest - 1);
        table.add(section, title, &plain(message(shortest - 1, kind)), bad_length(shortest - 1));
        let whole = next_frame(&message(shortest, kind), MAX_LENGTH).unwrap().unwrap().kind;
        let expected = format!("{whole:?} of {shortest} octets");
        let title = format!("{name} of {shortest} octets");
        table.add(section, title, &plain(message(shortest, kind)), Ok(expected));
    }
    table.add(section, "KEEPALIVE of 20 octets", &plain(message(20, 4)), bad_length(20));
    for kind in [0, 6, 255] {
        let title = format!("type {kind}");
        table.add(section, title, &plain(message(19, kind)), refused(1, 3, &[kind]));
    }
    let title = "length 18 and type 9: the length is first";
    table.add(section, title, &plain(message(18, 9)), bad_length(18));
    let half = message(23, 2)[..22].to_vec();
    let expected = understood("more octets are needed");
    table.add("RFC 4271 §4.1", "all but the last octet", &plain(half), expected);
    let section = "RFC 8654 §4";
    for (kind, name, read) in [
        (2, "UPDATE", "Update"),
        (3, "NOTIFICATION", "Notification"),
        (5, "ROUTE-REFRESH", "RouteRefresh"),
    ] {
        let title = format!("{name} of 65535 octets, where extended");
        let expected = format!("{read} of 65535 octets");
        table.add(section, title, &extended(message(65535, kind)), Ok(expected));
    }
    for (kind, name) in [(1, "OPEN"), (4, "KEEPALIVE")] {
        let title = format!("{name} of 4097 octets, where extended");
        table.add(section, title, &extended(message(4097, kind)), bad_length(4097));
    }
    let title = "NOTIFICATION of 4097 octets, where not extended";
    table.add("RFC 8654 §5", title, &plain(message(4097, 3)), bad_length(4097));
    table.cases
}

/// The body of an OPEN of AS 65001 with these parameters and a length of them.
fn open_body(length: usize, parameters: &[u8]) -> Vec<u8> {
    let fixed = [4, 0xfd, 0xe9, 0, 90, 192, 0, 2, 1, length as u8];
    [&fixed, parameters].concat()
}

/// One parameter with these capabilities.
fn open_with(capabilities: &[u8]) -> Vec<u8> {
    let parameter = [&[2, capabilities.len() as u8], capabilities].concat();
    open_body(parameter.len(), &parameter)
}

fn fields(ask: &dyn Fn(&[u8]) -> Answer) -> Vec<Case> {
    let mut table = Table::new(ask);
    let with = |at: usize, octets: &[u8]| {
        let mut body = open_body(0, &[]);
        body[at..at + octets.len()].copy_from_slice(octets);
        body
    };
    let plain = "AS 65001, hold time 90, ipv4-unicast";
    let section = "RFC 4271 §6.2";
    table.add(section, "an OPEN without parameters", &with(0, &[4]), understood(plain));
    for version in [0, 3, 5, 255] {
        let title = format!("version {version}");
        table.add(section, title, &with(0, &[version]), refused(2, 1, &[0, 4]));
    }
    for time in [1, 2] {
        let title = format!("hold time {time}");
        table.add(section, title, &with(3, &[0, time]), refused(2, 6, &[]));
    }
    for time in [0, 3] {
        let expected = plain.replace("time 90", &format!("time {time}"));
        table.add(section, format!("hold time {time}"), &with(3, &[0, time]), Ok(expected));
    }
    table.add("RFC 7607 §2", "AS 0", &with(1, &[0, 0]), refused(2, 2, &[]));
    let title = "BGP identifier 0.0.0.0";
    table.add("RFC 6286 §2.2", title, &with(5, &[0; 4]), refused(2, 3, &[]));
    let title = "BGP identifier 255.255.255.255, which is no host";
    table.add("RFC 6286 §2.1", title, &with(5, &[255; 4]), understood(plain));
    let section = "RFC 6793 §4.1";
    let expected = plain.replace("65001", "70000") + "; four-octet AS";
    let capability = [65, 4, 0, 1, 0x11, 0x70];
    table.add(section, "AS 70000 in its capability", &open_with(&capability), Ok(expected));
    let zero = open_with(&[65, 4, 0, 0, 0, 0]);
    table.add("RFC 7607 §2", "AS 0 in its capability", &zero, refused(2, 2, &[]));
    table.cases
}

fn parameters(ask: &dyn Fn(&[u8]) -> Answer) -> Vec<Case> {
    let mut table = Table::new(ask);
    let refresh = [2, 2, 2, 0];
    let one = "AS 65001, hold time 90, ipv4-unicast; route refresh";
    let section = "RFC 4271 §6.2";
    table.add(section, "one parameter", &open_body(4, &refresh), understood(one));
    for kind in [0, 1, 3, 254] {
        let title = format!("a parameter of type {kind}");
        table.add(section, title, &open_body(3, &[kind, 1, 0]), refused(2, 4, &[]));
    }
    let malformed: [(&str, usize, &[u8]); 6] = [
        ("a parameter of one octet", 1, &[2]),
        ("a parameter that runs over", 4, &[2, 3, 2, 0]),
        ("parameters longer than their length", 3, &refresh),
        ("parameters shorter than their length", 5, &refresh),
        ("octets behind parameters of length 0", 0, &refresh),
        ("a capability that runs over its parameter", 4, &[2, 2, 2, 1]),
    ];
    for (title, length, octets) in malformed {
        table.add(section, title, &open_body(length, octets), refused(2, 0, &[]));
    }
    let section = "RFC 9072 §2";
    let long = [255, 0, 5, 2, 0, 2, 2, 0];
    for length in [255, 8, 1] {
        let title = format!("the extended form, length octet {length}");
        table.add(section, title, &open_body(length, &long), understood(one));
    }
    table.add(
        section,
        "the extended form, length octet 0",
        &open_body(0, &long),
        refused(2, 0, &[]),
    );
    let none = understood("AS 65001, hold time 90, ipv4-unicast");
    table.add(section, "the extended form, no parameters", &open_body(255, &[255, 0, 0]), none);
    let title = "the extended form, length over the message";
    let over = [255, 0, 6, 2, 0, 2, 2, 0];
    table.add(section, title, &open_body(255, &over), refused(2, 0, &[]));
    let title = "the extended form, octets behind the parameters";
    let under = [255, 0, 5, 2, 0, 2, 2, 0, 0];
    table.add(section, title, &open_body(255, &under), refused(2, 0, &[]));
    let title = "the extended form, cut inside its length";
    table.add(section, title, &open_body(255, &[255, 0]), refused(2, 0, &[]));
    let section = "RFC 9072 §3";
    let inside = [255, 0, 8, 2, 0, 2, 2, 0, 255, 0, 0];
    let title = "type 255 as an extended parameter";
    table.add(section, title, &open_body(255, &inside), refused(2, 4, &[]));
    let title = "type 255 as a second, plain parameter";
    table.add(section, title, &open_body(6, &[2, 2, 2, 0, 255, 0]), refused(2, 4, &[]));
    table.cases
}

fn capabilities(ask: &dyn Fn(&[u8]) -> Answer) -> Vec<Case> {
    let mut table = Table::new(ask);
    let with = |families: &str| Ok(format!("AS 65001, hold time 90, {families}"));
    let ignored = |code: u8| with(&format!("ipv4-unicast; capability {code} is ignored"));
    let section = "RFC 5492 §3";
    table.add(section, "a capability that is not known", &open_with(&[200, 2, 1, 2]), ignored(200));
    let section = "RFC 5492 §4";
    let twice = with("ipv4-unicast; route refresh; route refresh");
    table.add(section, "a capability twice", &open_with(&[2, 0, 2, 0]), twice);
    let title = "each capability in a parameter of its own";
    let two = with("ipv4-unicast; route refresh; extended message");
    table.add(section, title, &open_body(8, &[2, 2, 2, 0, 2, 2, 6, 0]), two);
    let none = with("ipv4-unicast");
    table.add(section, "a parameter without capabilities", &open_body(2, &[2, 0]), none);
    let section = "RFC 4760 §8";
    let ipv6 = [1, 4, 0, 2, 0, 1];
    table.add(section, "IPv6 unicast alone", &open_with(&ipv6), with("ipv6-unicast"));
    let both = [&ipv6[..], &[1, 4, 0, 1, 7, 1]].concat();
    let expected = with("ipv4-unicast, ipv6-unicast");
    table.add(section, "two families, the reserved octet set", &open_with(&both), expected);
    let twice = [&ipv6[..], &ipv6].concat();
    table.add(section, "a family twice", &open_with(&twice), with("ipv6-unicast"));
    let vpn = [1, 4, 0, 1, 0, 128];
    table.add(section, "a family that is not known alone", &open_with(&vpn), with("no family"));
    let odd: [(&'static str, &str, &[u8]); 8] = [
        ("RFC 4760 §8", "a multiprotocol capability of length 3", &[1, 3, 0, 2, 0]),
        ("RFC 2918 §2", "route refresh of length 1", &[2, 1, 0]),
        ("RFC 8654 §3", "extended message of length 1", &[6, 1, 0]),
        ("RFC 9234 §4.1", "a role of length 2", &[9, 2, 0, 3]),
        ("RFC 6793 §3", "a four-octet AS capability of length 2", &[65, 2, 0xfd, 0xea]),
        ("RFC 7911 §4", "Send/Receive 4: not understood", &[69, 4, 0, 1, 1, 4]),
        ("RFC 8950 §4", "an extended next hop of length 5", &[5, 5, 0, 1, 0, 1, 0]),
        ("RFC 4724 §3", "graceful restart of length 3", &[64, 3, 0, 120, 0]),
    ];
    for (section, title, octets) in odd {
        table.add(section, title, &open_with(octets), ignored(octets[0]));
    }
    let two = [65, 4, 0, 0, 0xfd, 0xea, 65, 4, 0, 0, 0xfd, 0xeb];
    let expected = "AS 65002, hold time 90, ipv4-unicast; four-octet AS; four-octet AS";
    let title = "two four-octet AS numbers that differ: the first counts";
    table.add("RFC 6793 §4.1", title, &open_with(&two), understood(expected));
    table.cases
}

fn capability_name(capability: &Capability) -> String {
    match capability {
        Capability::Multiprotocol { .. } => String::new(),
        Capability::Unknown { code, .. } => format!("; capability {code} is ignored"),
        Capability::RouteRefresh => "; route refresh".to_owned(),
        Capability::ExtendedMessage => "; extended message".to_owned(),
        Capability::FourOctetAs(_) => "; four-octet AS".to_owned(),
        other => format!("; {other:?}"),
    }
}

fn opens() -> Vec<Case> {
    let ask = |body: &[u8]| {
        let open = Open::parse(body)?;
        let mut families: Vec<String> =
            open.families().iter().map(|family: Family| family.to_string()).collect();
        if families.is_empty() {
            families.push("no family".to_owned());
        }
        let mut text =
            format!("AS {}, hold time {}, {}", open.asn(), open.hold_time, families.join(", "));
        open.capabilities.iter().for_each(|capability| text.push_str(&capability_name(capability)));
        Ok(text)
    };
    [fields(&ask), parameters(&ask), capabilities(&ask)].into_iter().flatten().collect()
}

fn notifications() -> Vec<Case> {
    let ask = |body: &[u8]| Notification::parse(body).map(|notification| notification.to_string());
    let mut table = Table::new(&ask);
    let section = "RFC 4486 §3";
    for (subcode, name) in [
        (1, "Maximum Number of Prefixes Reached"),
        (2, "Administrative Shutdown"),
        (3, "Peer De-configured"),
        (4, "Administrative Reset"),
        (5, "Connection Rejected"),
        (6, "Other Configuration Change"),
        (7, "Connection Collision Resolution"),
        (8, "Out of Resources"),
    ] {
        let expected = format!("Cease/{name} (6/{subcode})");
        table.add(section, format!("Cease {subcode}"), &[6, subcode], Ok(expected));
    }
    let section = "RFC 9003 §2";
    let shutdown = "Cease/Administrative Shutdown (6/2)";
    let told = |text: &str| Ok(format!("{shutdown} text=\"{text}\""));
    table.add(section, "a shutdown with a text", b"\x06\x02\x03bye", told("bye"));
    let longest = [&[6, 2, 255][..], &[b'x'; 255]].concat();
    table.add(section, "a text of 255 octets", &longest, told(&"x".repeat(255)));
    table.add(section, "a text of length 0", &[6, 2, 0], Ok(format!("{shutdown} data=00")));
    let over = Ok(format!("{shutdown} data=04627965"));
    table.add("RFC 9003 §4", "a text that runs over", b"\x06\x02\x04bye", over);
    let invalid = b"\x06\x02\x03a\xffb";
    table.add("RFC 9003 §4", "a text that is not UTF-8", invalid, told("a\u{fffd}b"));
    let other = understood("Cease/Peer De-configured (6/3) data=03627965");
    table.add(section, "a text where none is defined", b"\x06\x03\x03bye", other);
    let section = "RFC 8538 §3";
    let cause = "Cease/Hard Reset (6/9) cause=Cease/Administrative Shutdown (6/2) text=\"bye\"";
    table.add(section, "a hard reset", b"\x06\x09\x06\x02\x03bye", understood(cause));
    let bare = understood("Cease/Hard Reset (6/9)");
    table.add(section, "a hard reset without its cause", &[6, 9], bare);
    let section = "RFC 4271 §6.4";
    let unknown = understood("code 77/subcode 3 (77/3)");
    table.add(section, "a code that is not known", &[77, 3], unknown);
    let unknown = understood("Cease/subcode 99 (6/99)");
    table.add(section, "a subcode that is not known", &[6, 99], unknown);
    table.cases
}

fn refreshes() -> Vec<Case> {
    let ask = |(body, enhanced): &(Vec<u8>, bool)| {
        let refresh = RouteRefresh::parse(body, *enhanced)?;
        let family = refresh.family().map_or("unknown".to_owned(), |family| family.to_string());
        Ok(format!("subtype {}, family {family}", refresh.subtype))
    };
    let mut table = Table::new(&ask);
    let whole = |body: &[u8]| {
        let mut bytes = message(19 + body.len() as u16, 5);
        bytes[19..].copy_from_slice(body);
        bytes
    };
    let bad_length = |length| refused(1, 2, &[0, length]);
    let expected = understood("subtype 0, family ipv6-unicast");
    table.add("RFC 2918 §3", "a request for IPv6 unicast", &(vec![0, 2, 0, 1], false), expected);
    let expected = understood("subtype 0, family unknown");
    table.add("RFC 2918 §4", "a family that is not known", &(vec![0, 1, 0, 128], false), expected);
    for subtype in [1, 2] {
        let title = format!("subtype {subtype}, with the capability");
        let expected = format!("subtype {subtype}, family ipv4-unicast");
        table.add("RFC 7313 §3.2", title, &(vec![0, 1, subtype, 1], true), Ok(expected));
        let longer = [0, 1, subtype, 1, 0];
        let title = format!("subtype {subtype} of 24 octets, with the capability");
        table.add("RFC 7313 §5", title, &(longer.to_vec(), true), refused(7, 1, &whole(&longer)));
        let title = format!("subtype {subtype} of 22 octets, with the capability");
        table.add(
            "RFC 7313 §5",
            title,
            &(longer[..3].to_vec(), true),
            refused(7, 1, &whole(&longer[..3])),
        );
        let title = format!("subtype {subtype} of 24 octets, without it");
        table.add("RFC 4271 §6.1", title, &(longer.to_vec(), false), bad_length(24));
    }
    let expected = understood("subtype 9, family ipv4-unicast");
    let title = "subtype 9, which the session ignores";
    table.add("RFC 7313 §5", title, &(vec![0, 1, 9, 1], true), expected);
    for length in [0, 3, 5] {
        let title = format!("subtype 0 of {} octets", 19 + length);
        let body = &[0, 1, 0, 1, 0][..usize::from(length)];
        table.add("RFC 4271 §6.1", title, &(body.to_vec(), true), bad_length(19 + length));
    }
    table.cases
}

const PREFACE: &str = "# What is answered to the other messages, case by case

<!-- Written by tests/notifications.rs; `BURGEE_BLESS=1 cargo test --test notifications` writes it anew. -->

What the codec makes of a header, an OPEN, a NOTIFICATION and a ROUTE-REFRESH: what it understood,
or the NOTIFICATION that is sent, with its data in hexadecimal. UPDATE: [rfc7606.md](rfc7606.md).

Where the texts leave a choice or seem to disagree:

- **A NOTIFICATION of less than 21 octets** is answered with Bad Message Length: RFC 4271 §6.1 names
  it among the errors of the header, and §6.4, which leaves a wrong NOTIFICATION unanswered, is
  about what is inside of one that could be read.
- **Octets behind the optional parameters** have no error of their own in RFC 4271 §6.2, so that
  the subcode is 0, and so have parameters that are longer than the message.
- **A capability whose value does not fit its code** is kept as one that is not known, since
  RFC 5492 §3 has such capabilities ignored. Which of several instances counts is for the
  document of the capability to say (RFC 5492 §4); the codec keeps them all in their order.
- **AS 0** is refused in the field and in the capability alike, although RFC 6793 §4.1 has the field
  overruled.
- **A ROUTE-REFRESH of a wrong length** has the error of RFC 7313 §5 only for the subtypes and the
  neighbours that it speaks of. RFC 2918 has none; for the rest RFC 4271 §6.1 is taken as it
  stands for all other types.
- **A shutdown text** is sent with at most 128 octets: no capability tells that a neighbour takes
  more (RFC 9003 §3). Up to 255 are read.

What needs to know the neighbour (Bad Peer AS, our own BGP identifier, Unsupported Capability, Role
Mismatch) is judged when both OPENs are there, not here.
";

fn outcome(answer: &Answer) -> String {
    match answer {
        // The long text is all the same letter.
        Ok(text) => text.replace(&"x".repeat(200), "x…x"),
        Err(notification) => format!("sends {notification}"),
    }
}

fn tables() -> Vec<(&'static str, Vec<Case>)> {
    vec![
        ("Header", headers()),
        ("OPEN", opens()),
        ("NOTIFICATION", notifications()),
        ("ROUTE-REFRESH", refreshes()),
    ]
}

#[test]
fn every_case_has_the_answer_that_its_section_asks_for() {
    let tables = tables();
    let wrong: Vec<String> = tables
        .iter()
        .flat_map(|(_, cases)| cases)
        .filter(|case| case.found != case.expected)
        .map(|case| {
            let (found, expected) = (outcome(&case.found), outcome(&case.expected));
            format!("{} {}: {found} instead of {expected}", case.section, case.name)
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_document_says_what_the_codec_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/notifications.md");
    let mut text = PREFACE.to_owned();
    for (heading, cases) in tables() {
        let _ = write!(text, "\n## {heading}\n\n| section | what came | answer |\n|---|---|---|\n");
        for case in cases {
            let _ =
                writeln!(text, "| {} | {} | {} |", case.section, case.name, outcome(&case.found));
        }
    }
    println!("{text}");
    if std::env::var_os("BURGEE_BLESS").is_some() {
        std::fs::write(path, &text).expect("docs can be written");
    }
    let expected = std::fs::read_to_string(path).expect("docs/notifications.md");
    assert_eq!(text, expected, "the tables have changed; read them beside RFC 4271 §6");
}
