//! A house for tests: it tells what it was given, and remembers orders.

use std::time::Duration;

use ipnet::IpNet;

use super::api::{Order, Verb};
use super::body::Body;
use super::house::{House, Moment, Refusal, Slice};
use super::view::{
    AnnouncementState, AnnouncementView, FailureView, HealthView, InstanceState, InstanceView,
    ListenerView, Measures, PoolMeasure, RouteView, ServiceView, SessionState, SessionView,
    TargetState, TargetView, Usage,
};
use crate::config::{InForce, Value};
use crate::reactor::Time;

#[derive(Clone, Debug, Default)]
pub(crate) struct Doll {
    pub(crate) instance: InstanceView,
    pub(crate) sessions: Vec<SessionView>,
    pub(crate) announcements: Vec<AnnouncementView>,
    pub(crate) services: Vec<ServiceView>,
    pub(crate) targets: Vec<TargetView>,
    pub(crate) routes: Vec<RouteView>,
    pub(crate) measures: Measures,
    pub(crate) orders: Vec<Order>,
    /// What an order is refused with.
    pub(crate) refusal: Option<Refusal>,
    /// Asking for the version panics.
    pub(crate) is_broken: bool,
}

pub(crate) const MOMENT: Moment = Moment {
    now: Time::ZERO,
    wall: Duration::from_millis(1_700_000_000_500),
    turns: 12,
    longest_turn: Duration::from_micros(1_250),
    panics: 0,
};

fn session(name: &str, state: SessionState, flaps: u64) -> SessionView {
    let is_up = state == SessionState::Established;
    SessionView {
        name: name.to_owned(),
        address: name.to_owned(),
        asn: 64512,
        state,
        uptime_ms: is_up.then_some(90_000),
        flaps,
        hold_left_ms: is_up.then_some(88_500),
        last_error: (flaps > 0).then(|| FailureView {
            text: "received Cease/Administrative Shutdown".to_owned(),
            kind: "received 6/2".to_owned(),
            ms_ago: 500,
        }),
        ..SessionView::default()
    }
}

fn announcement(prefix: &str, state: AnnouncementState) -> AnnouncementView {
    AnnouncementView {
        prefix: prefix.to_owned(),
        state,
        since_ms: 60_500,
        reason: "2 of 3 targets healthy".to_owned(),
        reason_kind: "ready".to_owned(),
        can_serve: state == AnnouncementState::Announced,
        ..AnnouncementView::default()
    }
}

fn service(service: &str, healthy: u64, total: u64) -> ServiceView {
    ServiceView { service: service.to_owned(), healthy, total, ..ServiceView::default() }
}

fn target(service: &str, address: &str, state: TargetState) -> TargetView {
    TargetView {
        service: service.to_owned(),
        address: address.to_owned(),
        state,
        ..TargetView::default()
    }
}

fn route(service: &str, tags: &[&str]) -> RouteView {
    RouteView {
        service: service.to_owned(),
        src: ":80".to_owned(),
        dst: "tcp://10.0.0.1:80".to_owned(),
        cmd: "route add".to_owned(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        weight: 0.5,
        ..RouteView::default()
    }
}

fn instance() -> InstanceView {
    InstanceView {
        version: "0.1.0".to_owned(),
        pid: 7,
        started_ms_ago: 3_600_000,
        state: InstanceState::Serving,
        health: HealthView { ok: true, reasons: Vec::new() },
        listeners: vec![ListenerView {
            address: ":80".to_owned(),
            protocol: "tcp".to_owned(),
            open: true,
            connections: 3,
            limit: 100,
        }],
        bgp: true,
        ..InstanceView::default()
    }
}

/// A house with some of everything.
pub(crate) fn furnished() -> Doll {
    Doll {
        instance: instance(),
        sessions: vec![
            session("192.0.2.1", SessionState::Established, 0),
            session("192.0.2.2", SessionState::Active, 2),
        ],
        announcements: vec![
            announcement("192.0.2.10/32", AnnouncementState::Announced),
            announcement("2001:db8::10/128", AnnouncementState::Withdrawn),
        ],
        services: vec![service("api", 2, 2), service("web", 2, 3)],
        targets: vec![
            target("web", "10.0.0.1:80", TargetState::Healthy),
            target("we\"b\\\n", "10.0.0.2:80", TargetState::Unhealthy),
        ],
        routes: vec![route("web", &["a", "b"]), route("api", &[])],
        measures: Measures {
            usage: Usage { cpu: Some(Duration::from_millis(1_500)), ..Usage::default() },
            connections: 3,
            refused: vec![("no-route", 1), ("denied", 0)],
            pools: vec![PoolMeasure { name: "small", lent: 1, limit: 4096 }],
            ..Measures::default()
        },
        ..Doll::default()
    }
}

fn slice<T: Clone>(items: &[T], from: u64, most: usize) -> Slice<T> {
    let from = usize::try_from(from).unwrap();
    let to = (from + most).min(items.len());
    let next = (to < items.len()).then(|| u64::try_from(to).unwrap());
    Slice { items: items[from..to].to_vec(), next }
}

impl Doll {
    fn obey(&mut self, verb: Verb, prefix: Option<IpNet>) -> Result<String, Refusal> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        self.orders.push(Order { verb, prefix });
        Ok(format!("{verb:?} it is"))
    }
}

impl House for Doll {
    fn instance(&self, _: &Moment) -> InstanceView {
        assert!(!self.is_broken, "a fault in the house");
        self.instance.clone()
    }

    fn health(&self, _: &Moment) -> HealthView {
        self.instance.health.clone()
    }

    fn sessions(&self, _: &Moment, from: u64, most: usize) -> Slice<SessionView> {
        slice(&self.sessions, from, most)
    }

    fn announcements(&self, _: &Moment, from: u64, most: usize) -> Slice<AnnouncementView> {
        slice(&self.announcements, from, most)
    }

    fn announcement(&self, _: &Moment, prefix: &IpNet) -> Option<AnnouncementView> {
        self.announcements.iter().find(|it| it.prefix == prefix.to_string()).cloned()
    }

    fn services(&self, _: &Moment, from: u64, most: usize) -> Slice<ServiceView> {
        slice(&self.services, from, most)
    }

    fn targets(&self, _: &Moment, from: u64, most: usize) -> Slice<TargetView> {
        slice(&self.targets, from, most)
    }

    fn routes(&self, from: u64, most: usize) -> Slice<RouteView> {
        slice(&self.routes, from, most)
    }

    fn route_commands(&self, from: u64, most: usize) -> Slice<String> {
        let line = |it: &RouteView| format!("{} {} {} {}\n", it.cmd, it.service, it.src, it.dst);
        let Slice { items, next } = slice(&self.routes, from, most);
        Slice { items: items.iter().map(line).collect(), next }
    }

    fn measures(&self, _: &Moment) -> Measures {
        self.measures.clone()
    }

    fn config(&self) -> Vec<InForce> {
        let wait = Value::Duration(Duration::from_secs(1));
        vec![InForce { key: "proxy.shutdownwait", text: "1s".to_owned(), value: wait }]
    }

    fn drain(&mut self, _: &Moment, prefix: Option<IpNet>) -> Result<String, Refusal> {
        self.obey(Verb::Drain, prefix)
    }

    fn resume(&mut self, _: &Moment, prefix: Option<IpNet>) -> Result<String, Refusal> {
        self.obey(Verb::Resume, prefix)
    }
}

/// The whole of a content, made with allowances of one size.
pub(crate) fn content(body: Body, house: &dyn House, allowance: usize) -> String {
    let mut out = Vec::new();
    match body {
        Body::Whole(octets) => out = octets,
        Body::Stream(mut stream) => {
            while !stream.produce(house, &MOMENT, &mut allowance.clone(), &mut out) {}
        }
    }
    String::from_utf8(out).unwrap()
}
