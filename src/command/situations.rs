//! Five situations, and the pages that tell of them. The pages are in the
//! README; a test compares.

use super::page::Style;
use super::{explain, status};
use crate::admin::view::{
    AddressView, AnnouncementState, AnnouncementView, BfdView, ConditionView, FailureView,
    HealthView, InstanceState, InstanceView, NextView, PathView, SentView, ServiceView,
    ServicesView, SessionState, SessionView, StatusView, StopView,
};

const HOUR: u64 = 3_600_000;
const PREFIX: &str = "192.0.2.10/32";

struct Situation {
    status: StatusView,
    /// What `explain` is told of the first prefix.
    explained: AnnouncementView,
}

fn session(name: &str, address: &str) -> SessionView {
    SessionView {
        name: name.to_owned(),
        address: address.to_owned(),
        asn: 64500,
        state: SessionState::Established,
        uptime_ms: Some(76 * HOUR),
        announced: 2,
        bfd: Some(BfdView { state: "up".to_owned(), ..BfdView::default() }),
        ..SessionView::default()
    }
}

fn service(service: &str, healthy: u64, total: u64) -> ServiceView {
    ServiceView { service: service.to_owned(), healthy, total, ..ServiceView::default() }
}

fn condition(name: &str, ok: bool, text: &str) -> ConditionView {
    ConditionView { name: name.to_owned(), ok, text: text.to_owned() }
}

fn sent(name: &str) -> SentView {
    SentView {
        name: name.to_owned(),
        state: SessionState::Established,
        sent: Some(PathView {
            as_path: "64512".to_owned(),
            next_hop: "198.51.100.1".to_owned(),
            origin: "igp".to_owned(),
            communities: vec!["64512:20".to_owned()],
            ..PathView::default()
        }),
        why_not: None,
    }
}

fn announcement(prefix: &str, reason: &str, services: Vec<ServiceView>) -> AnnouncementView {
    AnnouncementView {
        prefix: prefix.to_owned(),
        state: AnnouncementState::Announced,
        since_ms: 76 * HOUR,
        reason: reason.to_owned(),
        can_serve: true,
        changes: 1,
        address: AddressView {
            needed: true,
            on_host: true,
            interface: Some("lo".to_owned()),
            by: Some("burgee".to_owned()),
            problem: None,
        },
        services,
        wanted_by: 2,
        sent_to: 2,
        ..AnnouncementView::default()
    }
}

fn conditions(
    targets: (bool, &str),
    penalty: (bool, &str),
    stop: (bool, &str),
) -> Vec<ConditionView> {
    vec![
        condition("listeners", true, "2 of 2 bound"),
        condition("table", true, "loaded"),
        condition("registry", true, "fresh"),
        condition("targets web", targets.0, targets.1),
        condition("holdup", true, "nothing waits for its 5s"),
        condition("penalty", penalty.0, penalty.1),
        condition("drain", true, "no"),
        condition("maintenance", true, "no"),
        condition("stop", stop.0, stop.1),
    ]
}

fn all_well() -> Situation {
    let web = "3 of 3 targets of web healthy";
    let status = StatusView {
        instance: InstanceView {
            version: "0.1.0".to_owned(),
            pid: 4242,
            started_ms_ago: 76 * HOUR + 5000,
            state: InstanceState::Serving,
            health: HealthView { ok: true, reasons: Vec::new() },
            bgp: true,
            connections: 1204,
            ..InstanceView::default()
        },
        sessions: vec![session("rtr-a", "198.51.100.2"), session("rtr-b", "198.51.100.3")],
        announcements: vec![
            announcement(PREFIX, web, vec![service("web", 3, 3)]),
            announcement("2001:db8::10/128", web, vec![service("web", 3, 3)]),
        ],
        services: ServicesView {
            listed: vec![service("api", 2, 2), service("web", 3, 3)],
            total: 2,
            healthy: 2,
            targets: 5,
            targets_healthy: 5,
        },
    };
    let explained = AnnouncementView {
        conditions: conditions(
            (true, "3 of 3 targets of web healthy (minhealthy 2)"),
            (true, "0 of 3000"),
            (true, "not asked for"),
        ),
        peers: vec![sent("rtr-a"), sent("rtr-b")],
        ..status.announcements[0].clone()
    };
    Situation { status, explained }
}

fn one_backend_short() -> Situation {
    let Situation { mut status, explained } = all_well();
    let reason = "1 of 3 targets of web healthy, 2 needed";
    let error = "10.1.0.2:80: Connection refused";
    let web = ServiceView { last_error: Some(error.to_owned()), ..service("web", 1, 3) };
    let withdrawn = |old: &AnnouncementView| AnnouncementView {
        state: AnnouncementState::Withdrawn,
        since_ms: 42_000,
        reason: reason.to_owned(),
        can_serve: false,
        changes: 2,
        penalty: 615,
        services: vec![web.clone()],
        sent_to: 0,
        ..old.clone()
    };
    status.announcements = status.announcements.iter().map(withdrawn).collect();
    status.sessions.iter_mut().for_each(|session| session.announced = 0);
    status.services.listed = vec![service("api", 2, 2), web.clone()];
    status.services.healthy = 1;
    status.services.targets_healthy = 3;
    status.instance.health = HealthView { ok: true, reasons: Vec::new() };
    let nothing = |name: &str| SentView { sent: None, ..sent(name) };
    let targets = "1 of 3 targets of web healthy (minhealthy 2); last error: 10.1.0.2:80: \
                   Connection refused";
    let explained = AnnouncementView {
        conditions: conditions((false, targets), (true, "615 of 3000"), (true, "not asked for")),
        peers: vec![nothing("rtr-a"), nothing("rtr-b")],
        ..withdrawn(&explained)
    };
    Situation { status, explained }
}

fn draining() -> Situation {
    let Situation { mut status, explained } = all_well();
    status.instance.state = InstanceState::Draining;
    status.instance.health = HealthView { ok: false, reasons: vec!["stopping".to_owned()] };
    status.instance.stop = Some(StopView {
        step: "graceful-shutdown".to_owned(),
        remaining_ms: 3_400,
        connections: 1187,
    });
    status.instance.connections = 1187;
    let leaving = |old: &AnnouncementView| AnnouncementView {
        state: AnnouncementState::GracefulShutdown,
        since_ms: 1_600,
        reason: "stopping".to_owned(),
        can_serve: false,
        changes: 2,
        next: Some(NextView {
            in_ms: 3_400,
            state: AnnouncementState::Withdrawn,
            why: "bgp.gracefulshutdown".to_owned(),
        }),
        ..old.clone()
    };
    status.announcements = status.announcements.iter().map(leaving).collect();
    let marked = |name: &str| {
        let mut view = sent(name);
        let path = view.sent.get_or_insert_default();
        path.communities = vec!["graceful-shutdown".to_owned(), "64512:20".to_owned()];
        view
    };
    let mut conditions = explained.conditions.clone();
    conditions[8] = condition("stop", false, "asked for");
    let peers = vec![marked("rtr-a"), marked("rtr-b")];
    let explained = AnnouncementView { conditions, peers, ..leaving(&explained) };
    Situation { status, explained }
}

fn suppressed() -> Situation {
    let Situation { mut status, explained } = all_well();
    let flapping = |old: &AnnouncementView| AnnouncementView {
        state: AnnouncementState::Withdrawn,
        since_ms: 12_000,
        reason: "suppressed: flapped, penalty 3812, for another 1m55s".to_owned(),
        changes: 9,
        penalty: 3812,
        suppressed_for_ms: Some(115_000),
        next: Some(NextView {
            in_ms: 115_000,
            state: AnnouncementState::Announced,
            why: "flap penalty".to_owned(),
        }),
        sent_to: 0,
        ..old.clone()
    };
    status.announcements[0] = flapping(&status.announcements[0]);
    status.sessions.iter_mut().for_each(|session| session.announced = 1);
    let mut conditions = explained.conditions.clone();
    conditions[5] =
        condition("penalty", false, "3812: suppressed until it is below 1000, in 1m55s");
    let nothing = |name: &str| SentView { sent: None, ..sent(name) };
    let peers = vec![nothing("rtr-a"), nothing("rtr-b")];
    let explained = AnnouncementView { conditions, peers, ..flapping(&explained) };
    Situation { status, explained }
}

fn session_down() -> Situation {
    let Situation { mut status, mut explained } = all_well();
    status.sessions[1] = SessionView {
        state: SessionState::Active,
        uptime_ms: None,
        announced: 0,
        flaps: 1,
        bfd: Some(BfdView { state: "down".to_owned(), ..BfdView::default() }),
        last_error: Some(FailureView {
            text: "sent Cease/BFD Down".to_owned(),
            kind: "sent 6/10".to_owned(),
            ms_ago: 95_000,
        }),
        retry_in_ms: Some(4_200),
        ..status.sessions[1].clone()
    };
    status.announcements.iter_mut().for_each(|announcement| announcement.sent_to = 1);
    explained.sent_to = 1;
    explained.peers[1] = SentView {
        name: "rtr-b".to_owned(),
        state: SessionState::Active,
        sent: None,
        why_not: Some("the session is down".to_owned()),
    };
    Situation { status, explained }
}

/// The situations by their names in the document, and whether the commands end
/// with 0.
fn situations() -> [(&'static str, Situation, (bool, bool)); 5] {
    [
        ("All is well", all_well(), (true, true)),
        ("A service has too few healthy targets", one_backend_short(), (false, false)),
        ("A planned stop is under way", draining(), (false, false)),
        ("A prefix went and came too often", suppressed(), (false, false)),
        ("A neighbour is lost", session_down(), (false, true)),
    ]
}

fn blocks() -> String {
    let style = Style::default();
    let mut text = String::new();
    for (name, Situation { status, explained }, _) in situations() {
        let (page, why) = (status::page(&status, style), explain::page(&explained, style));
        text.push_str(&format!(
            "\n<details><summary>{name}</summary>\n\n\
             ```text\n$ burgee status\n{page}\n$ burgee explain {PREFIX}\n{why}```\n\n</details>\n"
        ));
    }
    text
}

#[test]
fn readme_shows_the_five_situations() {
    const BEGIN: &str = "BURGEE_BLESS=1 cargo test readme_shows` writes them. -->\n";
    const END: &str = "\n<!-- The end of the pages. -->";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let mut document = std::fs::read_to_string(path).unwrap();
    let start = document.find(BEGIN).unwrap() + BEGIN.len();
    let end = document.find(END).unwrap();
    if std::env::var_os("BURGEE_BLESS").is_some() {
        document = format!("{}{}{}", &document[..start], blocks(), &document[end..]);
        std::fs::write(path, &document).unwrap();
    }
    let end = document.find(END).unwrap();
    assert_eq!(&document[start..end], blocks(), "the comment before them says what to do");
}

#[test]
fn the_page_of_a_status_is_as_wide_as_a_terminal() {
    for (name, Situation { status, .. }, _) in situations() {
        let page = status::page(&status, Style::default());
        assert!(page.lines().all(|line| line.chars().count() <= 100), "{name}:\n{page}");
    }
}

#[test]
fn ends_are_good_or_not() {
    for (name, Situation { status, explained }, good) in situations() {
        assert_eq!((status::is_good(&status), explain::is_good(&explained)), good, "{name}");
    }
}

#[test]
fn a_red_health_is_not_good() {
    let Situation { mut status, .. } = all_well();
    status.instance.health.ok = false;
    assert!(!status::is_good(&status));
}

#[test]
fn colours_are_only_where_there_is_something_to_see() {
    let coloured = |situation: &Situation| {
        status::page(&situation.status, Style { colours: true, ..Style::default() })
    };
    let (well, lost) = (coloured(&all_well()), coloured(&session_down()));
    assert!(!well.contains("\x1b[31m") && !well.contains("\x1b[33m"), "{well}");
    assert!(lost.contains("\x1b[31mactive\x1b[0m"), "{lost}");
}

#[test]
fn what_is_wrong_with_the_process_has_a_line() {
    let Situation { mut status, .. } = all_well();
    let instance = &mut status.instance;
    instance.health = HealthView { ok: false, reasons: vec!["no route table yet".to_owned()] };
    instance.registry.failing_ms = Some(61_000);
    instance.registry.error = Some("/etc/routes: Permission denied".to_owned());
    instance.panics = 1;
    instance.listeners = vec![crate::admin::view::ListenerView {
        address: "192.0.2.10:443".to_owned(),
        protocol: "tcp".to_owned(),
        ..Default::default()
    }];
    instance.maintenance = Some(crate::admin::view::MaintenanceView {
        by: "/run/burgee/maintenance".to_owned(),
        since_ms: 5_000,
    });
    status.services.total = 900;
    status.announcements[0].address.problem = Some("the address is not on this host".to_owned());
    let page = status::page(&status, Style::default());
    for line in [
        "! /health answers 503: no route table yet",
        "! routes cannot be read for 1m1s: /etc/routes: Permission denied",
        "! 1 fault caught; the log says where",
        "! listener 192.0.2.10:443 (tcp) takes no clients",
        "  maintenance for 5s, by /run/burgee/maintenance: nothing is announced",
        "! 192.0.2.10/32: the address is not on this host",
    ] {
        assert!(page.lines().any(|own| own == line), "no {line:?} in\n{page}");
    }
    assert!(page.ends_with("  and 898 more, some with problems\n"), "{page}");
}

#[test]
fn without_bgp_there_is_no_word_of_it() {
    let Situation { mut status, .. } = all_well();
    status.instance.bgp = false;
    let page = status::page(&status, Style::default());
    assert!(!page.contains("NEIGHBOURS") && page.contains("SERVICES"), "{page}");
}
