//! What may happen to a load balancer, at random.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use burgee::announce::{
    Facts, ListenerFact, Maintenance, Minimum, Policy, PoolFact, PrefixFacts, RegistryFact,
    Require, Rule, Settings, Stop, TargetFact, WhenEmpty, WhenStale,
};
use burgee::reactor::Time;
use burgee::reactor::random::Random;
use ipnet::IpNet;

/// Everything outside of the announcer.
#[derive(Clone, Debug)]
pub struct World {
    pub random: Random,
    pub settings: Settings,
    pub rules: Vec<Rule>,
    pub table_loaded: bool,
    pub stale: Option<(Time, String)>,
    /// `bgp.maintenancefile` exists.
    pub file: bool,
    pub stopping: Option<Stop>,
    pub prefixes: BTreeMap<IpNet, PrefixFacts>,
    /// Targets come and go all the time.
    flaps: bool,
}

fn seconds(random: &mut Random, most: u64) -> Duration {
    Duration::from_millis(random.below(most * 1_000 + 1))
}

fn minimum(random: &mut Random) -> Minimum {
    match random.below(3) {
        0 => Minimum::Percent(random.below(101) as u8),
        _ => Minimum::Count(random.below(4) as u32),
    }
}

fn prefix(number: u64) -> IpNet {
    let text = match number % 2 {
        0 => format!("192.0.2.{number}/32"),
        _ => format!("2001:db8:{number}::/48"),
    };
    text.parse().unwrap()
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let half_life = match random.below(6) {
            0 => Duration::ZERO,
            _ => Duration::from_millis(2_000 + random.below(300_000)),
        };
        let reuse = 500 + random.below(2_000) as u32;
        let max_suppress = match random.below(4) {
            0 => Duration::from_secs(random.below(60)),
            _ => half_life * (1 + random.below(16) as u32),
        };
        let settings = Settings {
            half_life,
            reuse,
            suppress: reuse + 500 + random.below(3_000) as u32,
            max_suppress,
            ..Settings::default()
        };
        let mut world = World {
            flaps: random.below(2) == 0,
            random,
            settings,
            rules: Vec::new(),
            table_loaded: false,
            stale: None,
            file: false,
            stopping: None,
            prefixes: BTreeMap::new(),
        };
        world.table_loaded = world.random.below(4) > 0;
        world.reload_settings();
        let number = 1 + world.random.below(3);
        for _ in 0..number {
            world.add_rule();
        }
        world
    }

    /// All settings but those of the penalty, of which the model knows only one.
    pub fn reload_settings(&mut self) {
        let random = &mut self.random;
        self.settings.policy = match random.below(16) {
            0 => Policy::Always,
            _ => Policy::Ready,
        };
        self.settings.hold_up = match random.below(4) {
            0 => Duration::ZERO,
            1 if self.flaps => seconds(random, 2),
            _ => seconds(random, 10),
        };
        self.settings.graceful_shutdown = match random.below(2) {
            0 => Duration::ZERO,
            _ => seconds(random, 20),
        };
        self.settings.when_stale = match random.below(2) {
            0 => WhenStale::Deprefer,
            _ => WhenStale::Withdraw,
        };
    }

    /// Other rules: one more, one less, one changed, or all in another order.
    pub fn reload_rules(&mut self) {
        match self.random.below(4) {
            0 => self.add_rule(),
            1 => {
                let place = self.random.index(self.rules.len());
                if place < self.rules.len() {
                    let gone = self.rules.remove(place);
                    self.prefixes.remove(&gone.prefix);
                }
            }
            2 => self.rules.reverse(),
            _ => {
                let place = self.random.index(self.rules.len());
                if let Some(known) = self.rules.get(place).map(|rule| rule.prefix) {
                    self.rules[place] = self.rule(known);
                    self.place(known);
                }
            }
        }
    }

    fn add_rule(&mut self) {
        let prefix = prefix(self.random.below(6));
        if self.rules.iter().all(|rule| rule.prefix != prefix) {
            let rule = self.rule(prefix);
            self.rules.push(rule);
            self.place(prefix);
        }
    }

    fn rule(&mut self, prefix: IpNet) -> Rule {
        let random = &mut self.random;
        let services = (0..random.below(4)).map(|number| Rc::from(format!("service-{number}")));
        Rule {
            prefix,
            services: services.collect(),
            require: if random.below(2) == 0 { Require::All } else { Require::Any },
            minimum: minimum(random),
            shutdown_below: (random.below(3) == 0).then(|| minimum(random)),
            deprefer_below: (random.below(2) == 0).then(|| minimum(random)),
            when_empty: match random.below(6) {
                0 => WhenEmpty::Keep,
                1 => WhenEmpty::Deprefer,
                _ => WhenEmpty::Withdraw,
            },
        }
    }

    /// Listeners and targets for a prefix.
    fn place(&mut self, prefix: IpNet) {
        let Some(rule) = self.rules.iter().find(|rule| rule.prefix == prefix) else { return };
        let mut names: Vec<Option<Rc<str>>> = rule.services.iter().cloned().map(Some).collect();
        if names.is_empty() {
            names.push(None);
        }
        let mut pools = Vec::new();
        for service in names {
            pools.push(PoolFact { service, targets: self.targets() });
        }
        let listeners = ListenerFact { bound: 2, configured: 2 };
        self.prefixes.insert(prefix, PrefixFacts { listeners, pools, drained: false });
    }

    fn targets(&mut self) -> TargetFact {
        let random = &mut self.random;
        let total = random.below(6) as usize;
        let (healthy, unknown) = match random.below(8) {
            0..=2 => (total, 0),
            3..=4 => (0, 0),
            5 => (0, total),
            6 => (random.index(total + 1), 0),
            _ => {
                let healthy = random.index(total + 1);
                (healthy, random.index(total - healthy + 1))
            }
        };
        let last_error = (healthy + unknown < total).then(|| "connection refused".to_owned());
        TargetFact { total, healthy, unknown, last_error }
    }

    /// A fact changes.
    pub fn change(&mut self, now: Time) {
        let place = self.random.index(self.rules.len());
        let prefix = self.rules.get(place).map(|rule| rule.prefix);
        let kind = if self.flaps && self.random.below(8) > 0 { 10 } else { self.random.below(16) };
        match (kind, prefix) {
            (0, Some(prefix)) => {
                let bound = self.random.index(8).min(2);
                let configured = self.random.index(8).clamp(bound, 2);
                let listeners = ListenerFact { bound, configured };
                self.prefixes.get_mut(&prefix).unwrap().listeners = listeners;
            }
            (1, _) => self.table_loaded = self.random.below(16) > 0,
            (2, _) => {
                self.stale = match self.stale.take() {
                    Some(_) => None,
                    None if self.random.below(3) == 0 => Some((now, "timed out".to_owned())),
                    None => None,
                };
            }
            (3, Some(prefix)) => self.place(prefix),
            (4, _) => self.flaps = true,
            (_, Some(prefix)) => {
                let targets = self.targets();
                let pools = &mut self.prefixes.get_mut(&prefix).unwrap().pools;
                let place = self.random.index(pools.len());
                let all_gone = pools.iter().all(|pool| pool.targets.healthy == 0);
                // Those of a flapping service are all there, or all gone.
                match self.flaps && self.random.below(8) > 0 {
                    true => pools.iter_mut().for_each(|pool| {
                        let targets = &mut pool.targets;
                        targets.unknown = 0;
                        targets.total = targets.total.max(4);
                        targets.healthy = if all_gone { targets.total } else { 0 };
                    }),
                    false => pools[place].targets = targets,
                }
                self.flaps ^= self.random.below(128) == 0;
            }
            (_, None) => {}
        }
    }

    /// Nothing is in doubt and nothing is switched off any more.
    pub fn calm(&mut self) {
        self.table_loaded = true;
        self.file = false;
        for own in self.prefixes.values_mut() {
            for pool in &mut own.pools {
                pool.targets.healthy += std::mem::take(&mut pool.targets.unknown);
            }
        }
    }

    /// What the announcer is told, in the order of its rules.
    pub fn facts<'a>(
        &self,
        rules: impl Iterator<Item = &'a Rule>,
        drained_since: Option<Time>,
        is_drained: impl Fn(&IpNet) -> bool,
    ) -> Facts {
        let own = |rule: &Rule| PrefixFacts {
            drained: is_drained(&rule.prefix),
            ..self.prefixes.get(&rule.prefix).cloned().unwrap_or_default()
        };
        let file = self.file.then(|| Maintenance::File { path: Rc::from("/etc/burgee/off") });
        let operator = drained_since.map(|since| Maintenance::Operator { since });
        Facts {
            table_loaded: self.table_loaded,
            registry: match self.stale.clone() {
                Some((since, error)) => RegistryFact::Stale { since, error },
                None => RegistryFact::Fresh,
            },
            maintenance: file.or(operator),
            stopping: self.stopping,
            prefixes: rules.map(own).collect(),
        }
    }
}
