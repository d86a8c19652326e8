//! The route table: what the commands of the route language add up to.
//!
//! A table is built as a whole and never changed; a new one takes its place.
//! Looking a route up costs the same however many there are.

use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;

use super::builder;
use super::check::CheckOptions;
use super::command::Command;
use super::destination::Destination;
use super::hash::{Hash, Places, hash_text};
use super::options::Options;
use super::order::Order;
use super::pick::Strategy;
use super::ports::DynamicPort;
use super::ring;
use super::source::{self, Source, canonical};

/// All routes.
#[derive(Clone, Debug, Default)]
pub struct Table {
    routes: Vec<Route>,
    index: Places,
    /// Those of the index whose host is `*` or begins with `*.`.
    wildcards: Places,
    /// Places of the routes, sorted as they are shown.
    order: Vec<usize>,
    targets: Vec<(Rc<str>, SocketAddr)>,
    udp_targets: Vec<(Rc<str>, SocketAddr)>,
    names: Vec<(Rc<str>, Rc<str>, u16)>,
    /// How targets are checked, each way once; and for each target of
    /// connections and each name which of these is meant.
    checks: Vec<Rc<CheckOptions>>,
    target_checks: Vec<Option<u32>>,
    name_checks: Vec<Option<u32>>,
    dynamic_ports: Vec<DynamicPort>,
    /// Services with `limit=`, and their places by name.
    limits: Vec<(Rc<str>, u32)>,
    limited: Places,
}

/// One source and its targets.
#[derive(Clone, Debug)]
pub struct Route {
    place: usize,
    source: Source,
    targets: Vec<Target>,
    /// For each target the slots of all targets up to it; empty when none has
    /// a fixed weight, so that each has one.
    upto: Vec<u32>,
    strategy: Option<Strategy>,
    has_alpn: bool,
}

/// One target of one route.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The service that it belongs to.
    pub service: Rc<str>,
    /// Where it is, as it was written.
    pub destination: Destination,
    /// The weight that the operator gave it; 0 for none.
    pub fixed_weight: f64,
    /// Its share of the route's traffic, 0 to 1.
    pub share: f64,
    /// How many slots of the route's ring are its own.
    pub slots: u32,
    /// `tags`
    pub tags: Vec<String>,
    /// `opts`
    pub options: Options,
    /// Its place in [`Table::targets`], which several routes may share; `None`
    /// when it has no address, or no listener looks its route up.
    pub index: Option<usize>,
    /// Its place in [`Table::names`]; `None` when it has no name, or no
    /// listener looks its route up.
    pub name_index: Option<usize>,
}

impl Target {
    /// Where to connect to; `None` for a redirect, and for a name.
    pub fn address(&self) -> Option<SocketAddr> {
        self.destination.address()
    }
}

impl Table {
    /// Executes the commands in order, all at once. A table of unknown size
    /// is better built by a [`TableBuilder`](super::TableBuilder).
    pub fn build(commands: &[(usize, Command)]) -> Table {
        builder::build(commands)
    }

    /// The route of connections to our port `port`: `:PORT`.
    pub fn lookup_port(&self, port: u16) -> Option<&Route> {
        self.find(source::hash_port(port), |source| *source == Source::Port(port))
    }

    /// The route of connections to this address and port of ours:
    /// `ADDRESS:PORT`, else `:PORT`.
    pub fn lookup_address(&self, local: SocketAddr) -> Option<&Route> {
        let local = canonical(local);
        let is_local = |source: &Source| *source == Source::Address(local);
        self.find(source::hash_address(local), is_local).or_else(|| self.lookup_port(local.port()))
    }

    /// The route of a TLS connection for this server name (RFC 6066 §3), in
    /// any case and with or without the last dot: `NAME/`, else the longest
    /// `*.SUFFIX/`, else `*/`, else `/`.
    pub fn lookup_name(&self, name: &str) -> Option<&Route> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        self.find_host(&name, "/").or_else(|| self.find_host("", "/"))
    }

    /// The route of datagrams to this address and port of ours: `ADDRESS:PORT`,
    /// else `:PORT`, of a `udp://` target.
    pub fn lookup_udp(&self, local: SocketAddr) -> Option<&Route> {
        let (local, port) = (canonical(local), local.port());
        let is_local = |source: &Source| *source == Source::UdpAddress(local);
        let is_port = |source: &Source| *source == Source::UdpPort(port);
        self.find(source::hash_udp_address(local), is_local)
            .or_else(|| self.find(source::hash_udp_port(port), is_port))
    }

    /// The route with exactly this source.
    pub fn lookup(&self, source: &Source) -> Option<&Route> {
        self.find(source.hash(), |other| other == source)
    }

    /// All routes, in the order in which they were first named.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// All routes by host, then path, both from the last to the first as
    /// fabio lists them, so that those without a host come last.
    pub fn sorted(&self) -> impl Iterator<Item = &Route> {
        self.order.iter().filter_map(|&at| self.routes.get(at))
    }

    /// The route at a place of [`Table::sorted`].
    pub fn sorted_at(&self, place: usize) -> Option<&Route> {
        self.routes.get(*self.order.get(place)?)
    }

    /// Service and address of every target of connections, each pair once: what there is to
    /// check the health of. [`Target::index`] points into it.
    pub fn targets(&self) -> &[(Rc<str>, SocketAddr)] {
        &self.targets
    }

    /// The same of every target of datagrams; [`Target::index`] of a `udp://`
    /// target points into it.
    pub fn udp_targets(&self) -> &[(Rc<str>, SocketAddr)] {
        &self.udp_targets
    }

    /// Service, name and port of every target that is a name, each once: what
    /// there is to look up. [`Target::name_index`] points into it.
    pub fn names(&self) -> &[(Rc<str>, Rc<str>, u16)] {
        &self.names
    }

    /// The different ways in which targets are checked otherwise than by the
    /// defaults.
    pub fn checks(&self) -> &[Rc<CheckOptions>] {
        &self.checks
    }

    /// How the target at this place of [`Table::targets`] is checked: a place
    /// in [`Table::checks`]; `None` for the defaults. Of lines that say it
    /// differently the first counts.
    pub fn target_check(&self, index: usize) -> Option<usize> {
        place(*self.target_checks.get(index)?)
    }

    /// The same for [`Table::names`].
    pub fn name_check(&self, index: usize) -> Option<usize> {
        place(*self.name_checks.get(index)?)
    }

    /// Whether [`Table::lookup_name`] may find a route.
    pub fn has_names(&self) -> bool {
        let is_named = |it: &Source| matches!(it, Source::Host { .. }) && it.is_looked_up();
        self.routes.iter().any(|route| is_named(&route.source))
    }

    /// The ports that a `proto=tcp-dynamic` listener serves, sorted: those of a
    /// source `:PORT` or `ADDRESS:PORT` whose targets are all `tcp://`.
    pub fn dynamic_ports(&self) -> &[DynamicPort] {
        &self.dynamic_ports
    }

    /// Most connections to a service: the lowest `limit=` of its targets.
    pub fn service_limit(&self, service: &str) -> Option<u32> {
        if self.limits.is_empty() {
            return None;
        }
        Some(self.limits.get(self.place_of_limit(service)?)?.1)
    }

    fn place_of_limit(&self, service: &str) -> Option<usize> {
        let is_meant = |at: usize| self.limits.get(at).is_some_and(|(own, _)| **own == *service);
        self.limited.find(hash_text(service), is_meant)
    }

    /// Gives the memory of up to `count` targets, or routes, back; says whether
    /// any are left. For a table that is of no more use, because to drop a large one
    /// takes longer than a turn of the loop may.
    pub fn dismantle(&mut self, count: usize) -> bool {
        if !self.index.is_empty() || !self.order.is_empty() {
            self.index = Places::default();
            self.wildcards = Places::default();
            self.order = Vec::new();
            return true;
        }
        let mut left = count;
        while let Some(route) = self.routes.last_mut().filter(|_| left > 0) {
            let targets = route.targets.len();
            route.targets.truncate(targets.saturating_sub(left));
            left = left.saturating_sub(targets.max(1));
            if route.targets.is_empty() {
                self.routes.pop();
            }
        }
        self.routes.shrink_to_fit();
        // The names of services are of the routes' targets and of these.
        let mut are_empty = self.routes.is_empty();
        for list in [&mut self.targets, &mut self.udp_targets] {
            list.truncate(list.len().saturating_sub(count));
            list.shrink_to_fit();
            are_empty &= list.is_empty();
        }
        self.names.truncate(self.names.len().saturating_sub(count));
        self.checks.truncate(self.checks.len().saturating_sub(count));
        !(are_empty && self.names.is_empty() && self.checks.is_empty())
    }

    /// The exact host, else the longest wildcard.
    fn find_host(&self, name: &str, path: &str) -> Option<&Route> {
        let is_exact = |source: &Source| matches!(source, Source::Host { host, path: own } if own == path && host == name);
        let hash = source::hash_host(source::hash_backwards(name), path);
        self.find(hash, is_exact).or_else(|| self.find_wildcard(name, path))
    }

    /// All suffixes that begin with a dot are met on one walk from the end of
    /// the name, so that the last one found is the longest.
    fn find_wildcard(&self, name: &str, path: &str) -> Option<&Route> {
        if self.wildcards.is_empty() || name.is_empty() {
            return None;
        }
        let find = |hash: Hash, suffix: &str| {
            let is_meant = |source: &Source| match source {
                Source::Host { host, path: own } => {
                    own == path && host.strip_prefix('*') == Some(suffix)
                }
                _ => false,
            };
            let hash = source::hash_host(hash.byte(b'*'), path);
            self.find_in(&self.wildcards, hash, is_meant)
        };
        let mut hash = Hash::new();
        let mut longest = find(hash, "");
        for (at, byte) in name.bytes().enumerate().rev() {
            hash = hash.byte(byte);
            if byte == b'.' && at > 0 {
                longest = find(hash, name.get(at..).unwrap_or_default()).or(longest);
            }
        }
        longest
    }

    fn find(&self, hash: u64, is_meant: impl Fn(&Source) -> bool) -> Option<&Route> {
        self.find_in(&self.index, hash, is_meant)
    }

    fn find_in(
        &self,
        index: &Places,
        hash: u64,
        is_meant: impl Fn(&Source) -> bool,
    ) -> Option<&Route> {
        let is_meant = |at: usize| self.routes.get(at).is_some_and(|r| is_meant(&r.source));
        index.find(hash, is_meant).and_then(|at| self.routes.get(at))
    }

    /// A table to be filled with up to `routes` routes and `targets` targets:
    /// none of its lists is to be moved when it grows.
    pub(super) fn with_room(routes: usize, targets: usize) -> Table {
        Table {
            routes: Vec::with_capacity(routes),
            index: Places::with_room(routes),
            targets: Vec::with_capacity(targets),
            target_checks: Vec::with_capacity(targets),
            ..Table::default()
        }
    }

    /// Adds a route, whose source is not in the table yet. Each target's
    /// index is set.
    pub(super) fn push(&mut self, source: Source, targets: Vec<Target>) {
        let place = self.routes.len();
        self.index.insert(source.hash(), place);
        if let Source::Host { host, .. } = &source
            && (host == "*" || host.starts_with("*."))
        {
            self.wildcards.insert(source.hash(), place);
        }
        let has_alpn = targets.iter().any(|target| !target.options.alpn.is_empty());
        let (upto, strategy) = (Vec::new(), None);
        let mut route = Route { place, source, targets, upto, strategy, has_alpn };
        route.weigh();
        self.routes.push(route);
    }

    /// Goes on to sort the routes; says whether that is done.
    pub(super) fn sort(&mut self, order: &mut Order, steps: usize) -> bool {
        let source = |at: usize| self.routes.get(at).map(|route| route.source.host_and_path());
        let sorted = order.advance(steps, |a, b| source(b).cmp(&source(a)));
        let is_done = sorted.is_some();
        self.order = sorted.unwrap_or_default();
        is_done
    }

    /// Adds a target to those there is to check the health of, or to those of
    /// datagrams.
    pub(super) fn push_target(
        &mut self,
        is_udp: bool,
        service: Rc<str>,
        address: SocketAddr,
    ) -> usize {
        let targets = if is_udp { &mut self.udp_targets } else { &mut self.targets };
        targets.push((service, address));
        if !is_udp {
            self.target_checks.push(None);
        }
        targets.len().saturating_sub(1)
    }

    /// Adds a name to those there are to look up.
    pub(super) fn push_name(&mut self, service: Rc<str>, name: Rc<str>, port: u16) -> usize {
        self.names.push((service, name, port));
        self.name_checks.push(None);
        self.names.len().saturating_sub(1)
    }

    /// The ways in which targets are checked.
    pub(super) fn set_checks(&mut self, checks: Vec<Rc<CheckOptions>>) {
        self.checks = checks;
    }

    /// Which of them is that of a target of connections.
    pub(super) fn target_check_mut(&mut self, index: usize) -> Option<&mut Option<u32>> {
        self.target_checks.get_mut(index)
    }

    /// Which of them is that of a name.
    pub(super) fn name_check_mut(&mut self, index: usize) -> Option<&mut Option<u32>> {
        self.name_checks.get_mut(index)
    }

    /// A service may have so many connections, if no other target of it says
    /// fewer.
    pub(super) fn limit(&mut self, service: &Rc<str>, limit: u32) {
        match self.place_of_limit(service) {
            Some(at) => {
                if let Some((_, own)) = self.limits.get_mut(at) {
                    *own = limit.min(*own);
                }
            }
            None => {
                self.limited.insert(hash_text(service), self.limits.len());
                self.limits.push((Rc::clone(service), limit));
            }
        }
    }

    pub(super) fn set_dynamic_ports(&mut self, ports: Vec<DynamicPort>) {
        self.dynamic_ports = ports;
    }
}

fn place(number: Option<u32>) -> Option<usize> {
    usize::try_from(number?).ok()
}

/// The commands that make this table again, as fabio shows them for
/// `/api/routes?raw`: without the targets that get no traffic. Weights have
/// four decimals where that is all of them.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sorted().try_for_each(|route| route.fmt(f))
    }
}

impl Route {
    /// Its place in [`Table::routes`].
    pub fn place(&self) -> usize {
        self.place
    }

    /// What the route matches.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Its targets, in the order in which they were added.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// `strategy=` of the first of its targets that has it, and a share.
    pub fn strategy(&self) -> Option<Strategy> {
        self.strategy
    }

    /// Whether any of its targets has `alpn=`.
    pub fn has_alpn(&self) -> bool {
        self.has_alpn
    }

    /// The command that adds one of its targets, a line with its end.
    pub fn command<'a>(&'a self, target: &'a Target) -> impl fmt::Display {
        Line { source: &self.source, target }
    }

    /// How many slots its ring has.
    pub fn ring_size(&self) -> usize {
        match self.upto.last() {
            Some(&size) => size as usize,
            None => self.targets.len(),
        }
    }

    /// The weighted ring: for each slot, a place in [`Route::targets`]. It is
    /// the list of targets itself when none has a fixed weight. Others have
    /// ten thousand slots or more, so that it is made only on demand.
    pub fn ring(&self) -> Vec<usize> {
        let slots: Vec<u32> = self.targets.iter().map(|target| target.slots).collect();
        if self.is_weighted() { ring::place(&slots) } else { (0..slots.len()).collect() }
    }

    /// Whether a target has a fixed weight, so that the ring is not just the
    /// list of the targets.
    pub fn is_weighted(&self) -> bool {
        !self.upto.is_empty()
    }

    /// The target that owns the slot with this number when the slots of each
    /// target lie side by side: not the order of the ring, but as often.
    pub(super) fn at_share(&self, slot: usize) -> Option<&Target> {
        let at = match self.is_weighted() {
            true => self.upto.partition_point(|&upto| upto as usize <= slot),
            false => slot,
        };
        self.targets.get(at)
    }

    fn weigh(&mut self) {
        let fixed: Vec<f64> = self.targets.iter().map(|target| target.fixed_weight).collect();
        let is_weighted = fixed.iter().any(|&weight| weight > 0.0);
        let shares = ring::shares(&fixed);
        let slots = if is_weighted { ring::slots(&shares) } else { vec![1; fixed.len()] };
        if is_weighted {
            let sum = |sum: &mut u32, slots: &u32| {
                *sum = sum.saturating_add(*slots);
                Some(*sum)
            };
            self.upto = slots.iter().scan(0, sum).collect();
        }
        for ((target, share), slots) in self.targets.iter_mut().zip(shares).zip(slots) {
            target.share = share;
            target.slots = slots;
        }
        let sharing = self.targets.iter().filter(|target| target.slots > 0);
        self.strategy = sharing.filter_map(|target| target.options.strategy).next();
    }
}

/// A line for each target that gets traffic.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let targets = self.targets.iter().filter(|target| target.slots > 0);
        targets.map(|target| self.command(target)).try_for_each(|line| line.fmt(f))
    }
}

/// The command that adds one target of a route, a line with its end.
struct Line<'a> {
    source: &'a Source,
    target: &'a Target,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { source, target } = self;
        write!(f, "route add {} {source} {}", target.service, target.destination)?;
        if target.fixed_weight > 0.0 {
            write!(f, " weight {}", weight(target.fixed_weight))?;
        }
        if !target.tags.is_empty() {
            write!(f, " tags \"{}\"", target.tags.join(","))?;
        }
        if !target.options.is_empty() {
            write!(f, " opts \"{}\"", target.options)?;
        }
        writeln!(f)
    }
}

/// Four decimals, as in fabio, where they say it all.
fn weight(weight: f64) -> String {
    let short = format!("{weight:.4}");
    if short.parse() == Ok(weight) { short } else { format!("{weight:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::command::parse;

    fn table(text: &str) -> Table {
        let parsed = parse(text);
        assert_eq!(parsed.errors, []);
        Table::build(&parsed.commands)
    }

    /// A table with these sources; the target's service is the source.
    fn routed(sources: &[&str]) -> Table {
        let line = |source: &&str| format!("route add {source} {source} tcp://192.0.2.1:1\n");
        table(&sources.iter().map(line).collect::<String>())
    }

    fn service(route: Option<&Route>) -> Option<&str> {
        route.map(|route| &*route.targets()[0].service)
    }

    #[test]
    fn datagrams_have_routes_targets_and_weights_of_their_own() {
        let table = table(
            "route add dns :53 tcp://192.0.2.1:53 weight 1\n\
             route add dns :53 udp://192.0.2.1:53\n\
             route add dns :53/udp UDP://[2001:db8::1]:53\n\
             route add log 192.0.2.10:514 udp://192.0.2.1:53\n\
             route add gone :53 udp://192.0.2.9:53\n\
             route add gone :53 tcp://192.0.2.9:53\n\
             route del gone :53/udp",
        );
        let local = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert_eq!(table.lookup_port(53).unwrap().targets().len(), 2);
        let route = table.lookup_udp(local("192.0.2.10:53")).unwrap();
        assert_eq!(route.source().to_string(), ":53/udp");
        assert!(route.targets().iter().all(|t| t.share == 0.5 && t.slots == 1));
        let log = table.lookup_udp(local("192.0.2.10:514")).unwrap();
        assert_eq!(log.targets()[0].index, Some(2));
        assert!(table.lookup_udp(local("192.0.2.11:514")).is_none());
        assert!(table.lookup_address(local("192.0.2.10:514")).is_none());
        let named = |(service, address): &(Rc<str>, SocketAddr)| format!("{service} {address}");
        let udp: Vec<String> = table.udp_targets().iter().map(named).collect();
        assert_eq!(udp, ["dns 192.0.2.1:53", "dns [2001:db8::1]:53", "log 192.0.2.1:53"]);
        assert_eq!(table.targets().len(), 2);
    }

    #[test]
    fn an_empty_text_is_an_empty_table() {
        let table = table("");
        assert!(table.routes().is_empty());
        assert!(table.targets().is_empty());
        assert!(table.lookup_port(80).is_none());
        assert!(table.lookup_name("x.com").is_none());
        assert!(table.lookup_name("").is_none());
        assert_eq!(table.to_string(), "");
    }

    #[test]
    fn routes_are_found_by_port_and_keep_their_order() {
        let table = table(
            "route add web :80 tcp://192.0.2.1:1\n\
             route add dns :53 tcp://192.0.2.2:53\n\
             route add web :80 tcp://192.0.2.3:1 tags \"a,b\" opts \"x=y\"",
        );
        let sources: Vec<String> = table.routes().iter().map(|r| r.source().to_string()).collect();
        assert_eq!(sources, [":80", ":53"]);
        let web = table.lookup_port(80).unwrap();
        let texts: Vec<&str> = web.targets().iter().map(|t| t.destination.as_str()).collect();
        assert_eq!(texts, ["tcp://192.0.2.1:1", "tcp://192.0.2.3:1"]);
        assert_eq!(&*web.targets()[1].service, "web");
        assert_eq!(web.targets()[1].tags, ["a", "b"]);
        assert_eq!(web.targets()[1].options.get("x"), Some("y"));
        assert_eq!(table.lookup_port(53).unwrap().targets().len(), 1);
        assert_eq!(table.lookup_port(53).unwrap().place(), 1);
        assert!(table.lookup_port(81).is_none());
    }

    #[test]
    fn an_address_goes_before_its_port_alone() {
        let table = routed(&[":80", "192.0.2.1:80", "[2001:db8::1]:53"]);
        let find = |local: &str| service(table.lookup_address(local.parse().unwrap()));
        assert_eq!(find("192.0.2.1:80"), Some("192.0.2.1:80"));
        assert_eq!(find("[::ffff:192.0.2.1]:80"), Some("192.0.2.1:80"));
        assert_eq!(find("192.0.2.2:80"), Some(":80"));
        assert_eq!(find("0.0.0.0:80"), Some(":80"));
        assert_eq!(find("[2001:db8::1]:53"), Some("[2001:db8::1]:53"));
        assert_eq!(find("[2001:db8::2]:53"), None);
        assert_eq!(service(table.lookup_name("192.0.2.1:80")), None);
    }

    #[test]
    fn names_are_found_whatever_their_case() {
        let table = routed(&["Example.com", "b.example.com/", "c.example.com/path"]);
        assert_eq!(service(table.lookup_name("example.com")), Some("Example.com"));
        assert_eq!(service(table.lookup_name("EXAMPLE.COM.")), Some("Example.com"));
        assert_eq!(service(table.lookup_name("b.example.com")), Some("b.example.com/"));
        let dotted = routed(&["Example.com."]);
        assert_eq!(service(dotted.lookup_name("example.com")), Some("Example.com."));
        for name in ["c.example.com", "a.example.com", "com", "", ".", "example.com.."] {
            assert!(table.lookup_name(name).is_none(), "{name}");
        }
    }

    #[test]
    fn the_longest_wildcard_wins_and_a_name_goes_before_it() {
        let table = routed(&[
            "*.example.com/",
            "*.b.example.com/",
            "x.b.example.com/",
            "*.com/path",
            "/",
            "*a.org/",
        ]);
        for (name, expected) in [
            ("x.b.example.com", "x.b.example.com/"),
            ("y.b.example.com", "*.b.example.com/"),
            ("Z.Y.B.Example.Com", "*.b.example.com/"),
            ("b.example.com", "*.example.com/"),
            ("a.example.com", "*.example.com/"),
            ("example.com", "/"),
            ("notexample.com", "/"),
            ("com", "/"),
            ("a.org", "/"),
            (".example.com", "/"),
            ("", "/"),
        ] {
            assert_eq!(service(table.lookup_name(name)), Some(expected), "{name}");
        }
        let table = routed(&["*/", "*.x.com/", "/"]);
        assert_eq!(service(table.lookup_name("a.x.com")), Some("*.x.com/"));
        assert_eq!(service(table.lookup_name("x.com")), Some("*/"));
        assert_eq!(service(table.lookup_name("")), Some("/"), "no name is no match for *");
    }

    #[test]
    fn a_literal_star_in_a_name_is_only_a_name() {
        let table = routed(&["*.x.com/", "/"]);
        assert_eq!(service(table.lookup_name("*.x.com")), Some("*.x.com/"));
        assert_eq!(service(table.lookup_name("*")), Some("/"));
    }

    /// What the index finds is what a walk over all routes finds.
    #[test]
    fn the_index_agrees_with_a_scan() {
        let mut random = crate::reactor::random::Random::new(5);
        let labels = ["a", "b", "c", "com", "*"];
        let name = |random: &mut crate::reactor::random::Random| {
            let count = 1 + random.index(4);
            let label = |_| labels[random.index(labels.len())];
            (0..count).map(label).collect::<Vec<_>>().join(".")
        };
        for _ in 0..60 {
            let hosts: Vec<String> =
                (0..random.index(40)).map(|_| format!("{}/", name(&mut random))).collect();
            let table = routed(&hosts.iter().map(String::as_str).collect::<Vec<_>>());
            for _ in 0..40 {
                let name = name(&mut random).replace('*', "d");
                let matches = |source: &&String| {
                    let host = source.trim_end_matches('/');
                    let suffix =
                        host.strip_prefix('*').filter(|s| s.is_empty() || s.starts_with('.'));
                    host == name
                        || suffix.is_some_and(|s| name.ends_with(s) && name.len() > s.len())
                };
                // The exact name is the longest text of all that match, but
                // for a wildcard of one label more, which is as long or more.
                let best = hosts
                    .iter()
                    .filter(matches)
                    .max_by_key(|host| (!host.starts_with('*'), host.len()));
                assert_eq!(service(table.lookup_name(&name)), best.map(String::as_str), "{name}");
            }
        }
    }

    #[test]
    fn duplicates_differ_in_service_url_weight_or_tags_but_not_opts() {
        let table = table(
            "route add a :1 tcp://192.0.2.1:1\n\
             route add a :1 tcp://192.0.2.1:1 opts \"x=y\"\n\
             route add a :1 tcp://192.0.2.1:1 weight -1\n\
             route add b :1 tcp://192.0.2.1:1\n\
             route add a :1 tcp://192.0.2.1:2\n\
             route add a :1 tcp://192.0.2.1:1/\n\
             route add a :1 tcp://192.0.2.1:1 weight 0.1\n\
             route add a :1 tcp://192.0.2.1:1 tags \"x\"\n\
             route add a :2 tcp://192.0.2.1:1",
        );
        assert_eq!(table.lookup_port(1).unwrap().targets().len(), 6);
        assert_eq!(table.lookup_port(2).unwrap().targets().len(), 1);
    }

    #[test]
    fn targets_are_listed_once_and_numbered() {
        let table = table(
            "route add a :1 tcp://192.0.2.1:1\n\
             route add b :1 tcp://192.0.2.1:1\n\
             route add b :2 tcp://192.0.2.1:1\n\
             route add a :2 tcp://192.0.2.1:1 weight 0.5\n\
             route add a x.com/ http://backend/",
        );
        let address: SocketAddr = "192.0.2.1:1".parse().unwrap();
        assert_eq!(table.targets(), [(Rc::from("a"), address), (Rc::from("b"), address)]);
        for target in table.routes().iter().flat_map(Route::targets) {
            let listed = target.index.map(|index| table.targets()[index].clone());
            assert_eq!(listed, target.address().map(|at| (Rc::clone(&target.service), at)));
        }
    }

    /// Else a prefix would be announced for a service that nobody can reach.
    #[test]
    fn what_no_listener_looks_up_is_not_checked() {
        let table = table(
            "route add a x.com/ tcp://192.0.2.1:1\nroute add a x.com/path http://192.0.2.1:2\n\
             route add a 192.0.2.9:80 tcp://192.0.2.1:3\nroute add a :80 tcp://192.0.2.1:4\n\
             route add a x.com:443/ tcp://192.0.2.1:5\nroute add a *.x.com/ tcp://192.0.2.1:6\n\
             route add a *x.com/ tcp://192.0.2.1:7\nroute add a / tcp://192.0.2.1:8",
        );
        let is_checked = |route: &Route| route.targets()[0].index.is_some();
        let checked: Vec<bool> = table.routes().iter().map(is_checked).collect();
        let looked_up: Vec<bool> =
            table.routes().iter().map(|route| route.source().is_looked_up()).collect();
        assert_eq!(checked, looked_up);
        assert_eq!(looked_up, [true, false, true, true, false, true, false, true]);
        assert_eq!(table.targets().len(), 5);
    }

    #[test]
    fn names_of_targets_are_listed_once_and_numbered() {
        let table = table(
            "route add a :1 tcp://DB.x.com:1\n\
             route add b :1 tcp://db.x.com:1\n\
             route add a :1 tcp://db.x.com:2\n\
             route add a x.com/ tcp://db.x.com:1\n\
             route add a x.com/path tcp://other.x.com:1\n\
             route add a :1 tcp://192.0.2.1:1\n\
             route add a :1 http://db.x.com:1",
        );
        let named =
            |(service, name, port): &(Rc<str>, Rc<str>, u16)| format!("{service} {name} {port}");
        let names: Vec<String> = table.names().iter().map(named).collect();
        assert_eq!(names, ["a db.x.com 1", "b db.x.com 1", "a db.x.com 2"]);
        let indexes = |route: &Route| -> Vec<(Option<usize>, Option<usize>)> {
            route.targets().iter().map(|target| (target.index, target.name_index)).collect()
        };
        let name = |at| (None, Some(at));
        let port = [name(0), name(1), name(2), (Some(0), None), (None, None)];
        assert_eq!(indexes(table.lookup_port(1).unwrap()), port);
        assert_eq!(indexes(table.lookup_name("x.com").unwrap()), [name(0)]);
        assert_eq!(table.targets().len(), 1);
    }

    #[test]
    fn the_lowest_limit_of_a_service_counts() {
        let table = table(
            "route add a :1 tcp://192.0.2.1:1 opts \"limit=10\"\n\
             route add b :1 tcp://192.0.2.1:1\n\
             route add a x.com/ tcp://192.0.2.2:1 opts \"limit=7\"\n\
             route add a :2 tcp://192.0.2.1:1 opts \"limit=9\"\n\
             route add a :3 tcp://192.0.2.1:1 opts \"limit=1\"\n\
             route add b :4 udp://192.0.2.1:1 opts \"limit=1\"\n\
             route add c :4 tcp://192.0.2.1:1 opts \"limit=3\"\n\
             route del a :3",
        );
        let limits = ["a", "b", "c", "d", ""].map(|service| table.service_limit(service));
        assert_eq!(limits, [Some(7), None, Some(3), None, None]);
        assert_eq!(routed(&[":1"]).service_limit(":1"), None);
    }

    #[test]
    fn dynamic_ports_are_those_of_tcp_targets_alone() {
        let table = table(
            "route add a :90 tcp://192.0.2.1:1\n\
             route add a 192.0.2.9:80 tcp://192.0.2.1:1\n\
             route add a [2001:db8::9]:80 tcp://192.0.2.1:1\n\
             route add a [2001:db8::9]:70 tcp://db.x.com:1 weight 0.5\n\
             route add a 192.0.2.9:90 tcp://192.0.2.1:1\n\
             route add a 192.0.2.9:90 http://192.0.2.1:1\n\
             route add a :91 http://192.0.2.1:1\n\
             route add a :92 tcp://192.0.2.1:1\n\
             route add a :92 https://192.0.2.1:1 weight 1\n\
             route add a :93 udp://192.0.2.1:1\n\
             route add gone :94 tcp://192.0.2.1:1\n\
             route add gone :80 http://192.0.2.1:1\n\
             route add a x.com:95/ tcp://192.0.2.1:1\n\
             route del gone",
        );
        let dynamic = |port, is_all_tcp| DynamicPort { port, is_all_tcp };
        let expected = [dynamic(70, true), dynamic(80, true), dynamic(90, false)];
        assert_eq!(table.dynamic_ports(), expected);
    }

    #[test]
    fn without_fixed_weights_the_ring_is_the_list() {
        let table = table(
            "route add a :1 tcp://192.0.2.1:1\n\
             route add a :1 tcp://192.0.2.1:2 weight 0\n\
             route add a :1 tcp://192.0.2.1:3",
        );
        let route = table.lookup_port(1).unwrap();
        assert_eq!(route.ring(), [0, 1, 2]);
        assert_eq!(route.ring_size(), 3);
        assert!(route.targets().iter().all(|t| t.slots == 1 && t.share == 1.0 / 3.0));
    }

    #[test]
    fn fixed_weights_divide_the_ring_and_the_rest_share_what_remains() {
        let table = table(
            "route add a :1 tcp://192.0.2.1:1 weight 0.2\n\
             route add a :1 tcp://192.0.2.1:2\n\
             route add a :1 tcp://192.0.2.1:3",
        );
        let route = table.lookup_port(1).unwrap();
        let slots: Vec<u32> = route.targets().iter().map(|t| t.slots).collect();
        assert_eq!(slots, [2_000, 4_000, 4_000]);
        assert_eq!((route.ring().len(), route.ring_size()), (10_000, 10_000));
        assert_eq!(route.ring()[0], 0);
        let owner = |slot| route.at_share(slot).map(|t| t.fixed_weight);
        assert_eq!((owner(0), owner(1_999)), (Some(0.2), Some(0.2)));
        assert_eq!((owner(2_000), owner(9_999), owner(10_000)), (Some(0.0), Some(0.0), None));
    }

    #[test]
    fn a_target_that_nothing_remains_for_has_no_slot() {
        let table = table(
            "route add a :1 tcp://192.0.2.1:1 weight 1\n\
             route add a :1 tcp://192.0.2.1:2",
        );
        let route = table.lookup_port(1).unwrap();
        assert_eq!(route.targets()[1].slots, 0);
        assert_eq!(route.targets()[1].share, 0.0);
        assert!(route.ring().iter().all(|&at| at == 0));
    }

    #[test]
    fn a_single_target_owns_its_ring_whatever_its_weight() {
        for weight in ["", "weight 0", "weight 0.00001", "weight 500"] {
            let table = table(&format!("route add a :1 tcp://192.0.2.1:1 {weight}"));
            let route = table.lookup_port(1).unwrap();
            assert_eq!(route.targets()[0].share, 1.0, "{weight}");
            assert!(!route.ring().is_empty());
        }
    }

    #[test]
    fn a_table_is_shown_as_fabio_shows_it() {
        let table = table(
            "route add a / http://192.0.2.1:1/\n\
             route add b :80 tcp://192.0.2.1:2 weight 0.25 tags \"x, y\"\n\
             route add c x.com/ HTTP://192.0.2.1:3/ opts \"strip=/z flag a=b\"\n\
             route add d x.com/foo https://192.0.2.1:4 weight 1.5\n\
             route add e x.com/foo https://192.0.2.1:5\n\
             route add f a.com http://192.0.2.1:6\n\
             route add g b.com http://192.0.2.1:7 weight 0.00001\n\
             route add b :80 tcp://192.0.2.1:8",
        );
        assert_eq!(
            table.to_string(),
            "route add d x.com/foo https://192.0.2.1:4 weight 1.5000\n\
             route add c x.com/ http://192.0.2.1:3/ opts \"a=b flag= strip=/z\"\n\
             route add g b.com/ http://192.0.2.1:7 weight 1e-5\n\
             route add f a.com/ http://192.0.2.1:6\n\
             route add b :80 tcp://192.0.2.1:2 weight 0.2500 tags \"x,y\"\n\
             route add b :80 tcp://192.0.2.1:8\n\
             route add a / http://192.0.2.1:1/\n"
        );
    }

    #[test]
    fn a_table_is_dismantled_piece_by_piece() {
        let line = |port: usize| format!("route add a :1 tcp://192.0.2.1:{port}\n");
        let mut wide = table(&(1..=5).map(line).collect::<String>());
        assert!(wide.dismantle(2) && wide.dismantle(2));
        assert_eq!(wide.routes().first().map(|route| route.targets().len()), Some(3));
        let mut table = routed(&[":1", ":2", ":3", ":4", ":5"]);
        assert!(table.dismantle(2));
        assert!(table.lookup_port(1).is_none(), "the index goes first");
        for left in [3, 1] {
            assert!(table.dismantle(2));
            assert_eq!((table.routes().len(), table.targets().len()), (left, left));
        }
        assert!(!table.dismantle(2));
    }
}
