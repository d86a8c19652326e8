//! The route table: what the commands of the route language add up to.
//!
//! A table is built as a whole and never changed; a new one takes its place.
//! It is shared as `Rc<Table>`, so a connection keeps the table that it was
//! routed by for as long as it needs.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use super::command::{Add, Command, Source};
use super::ring;

/// All routes.
#[derive(Clone, Debug, Default)]
pub struct Table {
    routes: Vec<Route>,
    by_source: HashMap<Source, usize>,
    targets: Vec<(String, SocketAddr)>,
    udp_targets: Vec<(String, SocketAddr)>,
}

/// One source and its targets.
#[derive(Clone, Debug)]
pub struct Route {
    source: Source,
    targets: Vec<Target>,
    ring: Vec<usize>,
}

/// One target of one route.
#[derive(Clone, Debug)]
pub struct Target {
    /// The service that it belongs to.
    pub service: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// The weight that the operator gave it; 0 for none.
    pub fixed_weight: f64,
    /// Its share of the route's traffic, 0 to 1.
    pub share: f64,
    /// How many slots of the route's ring are its own.
    pub slots: u32,
    /// `tags`
    pub tags: Vec<String>,
    /// `opts`
    pub opts: BTreeMap<String, String>,
    /// Its place in [`Table::targets`], or for a `udp://` target in
    /// [`Table::udp_targets`], which several routes may share.
    pub index: usize,
}

impl Table {
    /// Executes the commands in order.
    pub fn build(commands: &[(usize, Command)]) -> Table {
        let mut table = Table::default();
        for (_, command) in commands {
            match command {
                Command::Add(add) => table.add(add),
            }
        }
        table.number_targets();
        for route in &mut table.routes {
            route.weigh();
        }
        table
    }

    /// The route of connections to our port `port`.
    pub fn lookup_port(&self, port: u16) -> Option<&Route> {
        self.by_source.get(&Source::Port(port)).and_then(|&at| self.routes.get(at))
    }

    /// The route of datagrams to our port `port`.
    pub fn lookup_udp_port(&self, port: u16) -> Option<&Route> {
        self.by_source.get(&Source::UdpPort(port)).and_then(|&at| self.routes.get(at))
    }

    /// All routes, in the order in which they were first named.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Service and address of every target of connections, each pair once: what
    /// there is to check the health of. [`Target::index`] points into it.
    pub fn targets(&self) -> &[(String, SocketAddr)] {
        &self.targets
    }

    /// The same of every target of datagrams.
    pub fn udp_targets(&self) -> &[(String, SocketAddr)] {
        &self.udp_targets
    }

    fn add(&mut self, add: &Add) {
        let at = *self.by_source.entry(add.source.clone()).or_insert(self.routes.len());
        if at == self.routes.len() {
            let source = add.source.clone();
            self.routes.push(Route { source, targets: Vec::new(), ring: Vec::new() });
        }
        if let Some(route) = self.routes.get_mut(at) {
            route.add(add);
        }
    }

    /// Comes after the last command, because commands may also remove.
    fn number_targets(&mut self) {
        let mut places = HashMap::new();
        for route in &mut self.routes {
            let is_udp = matches!(route.source, Source::UdpPort(_));
            let targets = if is_udp { &mut self.udp_targets } else { &mut self.targets };
            for target in &mut route.targets {
                let key = (is_udp, target.service.clone(), target.address);
                target.index = *places.entry(key).or_insert_with_key(|(_, service, address)| {
                    targets.push((service.clone(), *address));
                    targets.len().saturating_sub(1)
                });
            }
        }
    }
}

impl Route {
    /// What the route matches.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Its targets, in the order in which they were added.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The weighted ring: for each slot, a place in [`Route::targets`]. It is
    /// the list of targets itself when none has a fixed weight.
    pub fn ring(&self) -> &[usize] {
        &self.ring
    }

    /// The target that slot `slot` of the ring belongs to.
    pub fn at_slot(&self, slot: usize) -> Option<&Target> {
        self.ring.get(slot).and_then(|&at| self.targets.get(at))
    }

    /// Adds a target, unless there is one with the same service, address,
    /// fixed weight and tags. As in fabio, other options make no difference.
    fn add(&mut self, add: &Add) {
        let is_duplicate = self.targets.iter().any(|target| {
            target.address == add.address
                && target.fixed_weight == add.weight
                && target.service == add.service
                && target.tags == add.tags
        });
        if !is_duplicate {
            self.targets.push(Target {
                service: add.service.clone(),
                address: add.address,
                fixed_weight: add.weight,
                share: 0.0,
                slots: 0,
                tags: add.tags.clone(),
                opts: add.opts.clone(),
                index: 0,
            });
        }
    }

    fn weigh(&mut self) {
        let fixed: Vec<f64> = self.targets.iter().map(|target| target.fixed_weight).collect();
        let is_weighted = fixed.iter().any(|&weight| weight > 0.0);
        let shares = ring::shares(&fixed);
        let slots = if is_weighted { ring::slots(&shares) } else { vec![1; fixed.len()] };
        self.ring = ring::place(&slots);
        for ((target, share), slots) in self.targets.iter_mut().zip(shares).zip(slots) {
            target.share = share;
            target.slots = slots;
        }
    }
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

    #[test]
    fn an_empty_text_is_an_empty_table() {
        let table = table("");
        assert!(table.routes().is_empty());
        assert!(table.targets().is_empty());
        assert!(table.lookup_port(80).is_none());
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
        let addresses: Vec<String> = web.targets().iter().map(|t| t.address.to_string()).collect();
        assert_eq!(addresses, ["192.0.2.1:1", "192.0.2.3:1"]);
        assert_eq!(web.targets()[1].service, "web");
        assert_eq!(web.targets()[1].tags, ["a", "b"]);
        assert_eq!(web.targets()[1].opts.get("x").map(String::as_str), Some("y"));
        assert_eq!(table.lookup_port(53).unwrap().targets().len(), 1);
        assert!(table.lookup_port(81).is_none());
    }

    #[test]
    fn datagrams_have_routes_targets_and_weights_of_their_own() {
        let table = table(
            "route add dns :53 tcp://192.0.2.1:53 weight 1\n\
             route add dns :53 udp://192.0.2.1:53\n\
             route add dns :53 UDP://[2001:db8::1]:53\n\
             route add log :514 udp://192.0.2.1:53",
        );
        assert_eq!(table.lookup_port(53).unwrap().targets().len(), 1);
        let route = table.lookup_udp_port(53).unwrap();
        assert_eq!(route.source().to_string(), ":53");
        assert!(route.targets().iter().all(|t| t.share == 0.5 && t.slots == 1));
        assert!(table.lookup_port(514).is_none());
        let (four, six) = ("192.0.2.1:53".parse().unwrap(), "[2001:db8::1]:53".parse().unwrap());
        let named = |service: &str, address: SocketAddr| (service.to_owned(), address);
        assert_eq!(table.targets(), [named("dns", four)]);
        assert_eq!(
            table.udp_targets(),
            [named("dns", four), named("dns", six), named("log", four)]
        );
        assert_eq!(table.lookup_udp_port(514).unwrap().targets()[0].index, 2);
    }

    #[test]
    fn duplicates_differ_in_service_address_weight_or_tags_but_not_opts() {
        let table = table(
            "route add a :1 tcp://192.0.2.1:1\n\
             route add a :1 tcp://192.0.2.1:1 opts \"x=y\"\n\
             route add a :1 tcp://192.0.2.1:1 weight -1\n\
             route add b :1 tcp://192.0.2.1:1\n\
             route add a :1 tcp://192.0.2.1:2\n\
             route add a :1 tcp://192.0.2.1:1 weight 0.1\n\
             route add a :1 tcp://192.0.2.1:1 tags \"x\"\n\
             route add a :2 tcp://192.0.2.1:1",
        );
        assert_eq!(table.lookup_port(1).unwrap().targets().len(), 5);
        assert_eq!(table.lookup_port(2).unwrap().targets().len(), 1);
    }

    #[test]
    fn targets_are_listed_once_and_numbered() {
        let table = table(
            "route add a :1 tcp://192.0.2.1:1\n\
             route add b :1 tcp://192.0.2.1:1\n\
             route add b :2 tcp://192.0.2.1:1\n\
             route add a :2 tcp://192.0.2.1:1 weight 0.5",
        );
        let address: SocketAddr = "192.0.2.1:1".parse().unwrap();
        assert_eq!(table.targets(), [("a".to_owned(), address), ("b".to_owned(), address)]);
        for target in table.routes().iter().flat_map(Route::targets) {
            assert_eq!(table.targets()[target.index].0, target.service);
        }
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
        assert_eq!(route.ring().len(), 10_000);
        assert_eq!(route.at_slot(0).unwrap().address.port(), 1);
        assert!(route.at_slot(10_000).is_none());
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
}
