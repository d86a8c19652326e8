//! One seed: processes that follow each other on a host, with everything that
//! happens to them.

use std::collections::BTreeMap;
use std::mem::discriminant;
use std::net::Ipv4Addr;
use std::time::Duration;

use burgee::announce::drain::{self, Drain, Limits, Step};
use burgee::announce::{
    Announcer, Change, Drains, Facts, Identity, Level, PrefixStatus, Reason, Record, Restored, Stop,
};
use burgee::reactor::Time;
use burgee::reactor::random::Random;
use ipnet::IpNet;

use super::model::{Model, Saved, allowed, is_switched_off};
use super::world::World;

const IDENTITY: Identity = Identity { router_id: Ipv4Addr::new(203, 0, 113, 1), asn: 65_001 };

/// What happens in a life, if nothing ends it before.
const STEPS: u64 = 150;

/// How often something happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    updates: u64,
    rises: u64,
    falls: u64,
    held_up: u64,
    suppressed: u64,
    awaited_checks: u64,
    switched_off: u64,
    deadlines: u64,
    idle: u64,
    crashes: u64,
    lost_records: u64,
    stops: u64,
    hurried: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        for (sum, more) in self.fields().into_iter().zip(other.clone().fields()) {
            *sum += *more;
        }
    }

    /// Whether each of them was there often enough to find out anything.
    pub fn has_seen_everything(mut self) -> bool {
        self.fields().into_iter().all(|number| *number >= 1_000)
    }

    fn fields(&mut self) -> [&mut u64; 13] {
        [
            &mut self.updates,
            &mut self.rises,
            &mut self.falls,
            &mut self.held_up,
            &mut self.suppressed,
            &mut self.awaited_checks,
            &mut self.switched_off,
            &mut self.deadlines,
            &mut self.idle,
            &mut self.crashes,
            &mut self.lost_records,
            &mut self.stops,
            &mut self.hurried,
        ]
    }
}

/// A host with one process after the other.
struct Host {
    random: Random,
    world: World,
    announcer: Announcer,
    models: BTreeMap<IpNet, Model>,
    drains: Drains,
    drained_since: Time,
    /// What the neighbours have, told by changes alone.
    neighbour: BTreeMap<IpNet, Level>,
    now: Time,
    /// The wall clock at [`Time::ZERO`].
    wall: Duration,
    disk: Option<String>,
    /// What the record on disk says, and when it was made.
    saved: BTreeMap<IpNet, Saved>,
    written: Duration,
    tally: Tally,
    /// There is no time for penalties to be forgotten.
    hasty: bool,
}

/// A whole life, from a clean start to a quiet end.
pub fn live(seed: u64) -> Tally {
    let mut random = Random::new(seed ^ 0xb5);
    let world = World::new(seed);
    let (now, wall) = (Time::from_millis(random.below(50)), Duration::from_secs(1_790_000_000));
    let restored = Restored::default();
    let announcer = Announcer::new(now, world.settings, world.rules.clone(), &restored);
    let models = world.rules.iter().map(|rule| (rule.prefix, Model::new(now, true))).collect();
    let mut host = Host {
        random,
        world,
        announcer,
        models,
        drains: Drains::default(),
        drained_since: now,
        neighbour: BTreeMap::new(),
        now,
        wall,
        disk: None,
        saved: BTreeMap::new(),
        written: wall,
        hasty: seed.is_multiple_of(2),
        tally: Tally::default(),
    };
    host.write(false);
    host.update();
    for _ in 0..STEPS {
        host.happen();
    }
    host.come_to_rest();
    host.tally
}

impl Host {
    fn happen(&mut self) {
        match self.random.below(64) {
            0..32 => self.world.change(self.now),
            32..41 => {}
            41..43 => self.world.file = self.random.below(8) == 0,
            43..47 => self.switch(),
            47..49 => self.reload(),
            49 if self.random.below(2) == 0 => return self.stop(),
            50 => return self.crash(),
            _ => self.pass_to_deadline(),
        }
        self.update();
        self.pass();
    }

    /// Some time: mostly a little, at times a lot, as when the machine sleeps.
    fn pass(&mut self) {
        let most = match self.random.below(32) {
            0 if !self.hasty => 100_000_000,
            1..4 if !self.hasty => 60_000,
            4..16 => 3_000,
            16..28 => return self.pass_to_deadline(),
            _ => return,
        };
        self.now = self.now + Duration::from_millis(self.random.below(most));
    }

    fn pass_to_deadline(&mut self) {
        if let Some(deadline) = self.announcer.deadline() {
            self.now = self.now.max(deadline);
            self.tally.deadlines += 1;
        }
    }

    /// The operator drains or resumes.
    fn switch(&mut self) {
        let place = self.random.index(self.world.rules.len());
        let prefix = self.world.rules.get(place).map(|rule| rule.prefix);
        let prefix = prefix.filter(|_| self.random.below(2) == 0);
        if self.random.below(4) == 0 {
            self.drained_since = self.now;
            self.drains.drain(prefix);
        } else {
            self.drains.resume(prefix.filter(|_| self.random.below(2) == 0));
        }
    }

    fn reload(&mut self) {
        match self.random.below(2) {
            0 => self.world.reload_settings(),
            _ => self.world.reload_rules(),
        }
        let rules = self.world.rules.clone();
        let gone = self.announcer.set_rules(self.now, self.world.settings, rules);
        for prefix in gone {
            assert!(self.neighbour.remove(&prefix).is_some(), "{prefix} was not announced");
            assert!(self.world.rules.iter().all(|rule| rule.prefix != prefix), "{prefix} stays");
        }
        let rules = &self.world.rules;
        self.models.retain(|prefix, _| rules.iter().any(|rule| rule.prefix == *prefix));
        for rule in rules {
            self.models.entry(rule.prefix).or_insert_with(|| Model::new(self.now, true));
        }
        assert_eq!(self.announcer.deadline(), Some(self.now));
    }

    fn facts(&self) -> Facts {
        let since = self.drains.all.then_some(self.drained_since);
        self.world.facts(self.announcer.rules(), since, |prefix| self.drains.has(prefix))
    }

    /// A decision, held against everything that was promised.
    fn update(&mut self) {
        let facts = self.facts();
        let before = self.announcer.status().to_vec();
        let changes = self.announcer.update(self.now, &facts);
        self.tally.updates += 1;
        self.check_changes(&before, &changes);
        let mut settled = true;
        let rules: Vec<_> = self.announcer.rules().cloned().collect();
        assert_eq!(rules, self.world.rules);
        for ((rule, own), status) in rules.iter().zip(&facts.prefixes).zip(self.announcer.status())
        {
            let settings = &self.world.settings;
            let model = self.models.get_mut(&rule.prefix).unwrap();
            let (low, high) = allowed(settings, rule, &facts, own);
            let waits = model.waits(low, high);
            let seen = model.check(self.now, settings, rule, &facts, own, status);
            let switched_off = is_switched_off(&facts, own);
            let is_without_table = matches!(status.reason, Reason::NoTable);
            let held_up = matches!(status.reason, Reason::HoldingUp { .. });
            model.is_preliminary =
                !switched_off && (waits || is_without_table || held_up && model.is_preliminary);
            settled &= !model.is_preliminary;
            self.tally.rises += u64::from(seen.rose);
            self.tally.falls += u64::from(seen.fell);
            self.tally.held_up += u64::from(seen.was_held_up);
            self.tally.suppressed += u64::from(seen.was_suppressed);
            self.tally.awaited_checks += u64::from(seen.awaited_checks);
            self.tally.switched_off += u64::from(switched_off);
        }
        assert_eq!(self.announcer.is_settled(), settled);
        self.check_quiet(&facts);
        self.write(false);
    }

    /// The changes are what is different, no more and no less, and lead those
    /// who follow them to what is desired.
    fn check_changes(&mut self, before: &[PrefixStatus], changes: &[Change]) {
        let is_news = |(old, new): &(&PrefixStatus, &PrefixStatus)| {
            old.level != new.level || discriminant(&old.reason) != discriminant(&new.reason)
        };
        let expected: Vec<Change> = before
            .iter()
            .zip(self.announcer.status())
            .inspect(|(old, new)| {
                let changes = old.changes + u64::from(old.level != new.level);
                assert_eq!(new.changes, changes);
            })
            .filter(is_news)
            .map(|(old, new)| Change {
                prefix: new.prefix,
                from: old.level,
                to: new.level,
                reason: new.reason.clone(),
            })
            .collect();
        assert_eq!(changes, expected);
        for change in changes {
            match change.to {
                Level::Withdrawn => self.neighbour.remove(&change.prefix),
                level => self.neighbour.insert(change.prefix, level),
            };
        }
        let desired: BTreeMap<IpNet, Level> = self.announcer.desired().collect();
        assert_eq!(self.neighbour, desired);
        assert_eq!(self.announcer.is_withdrawn(), desired.is_empty());
    }

    /// Until the deadline nothing happens, and then something does.
    fn check_quiet(&mut self, facts: &Facts) {
        let deadline = self.announcer.deadline();
        assert!(deadline.is_none_or(|at| at > self.now), "{deadline:?} is not to come");
        let until = deadline.unwrap_or(self.now + Duration::from_secs(100_000));
        let span = until.since(self.now).as_nanos() as u64;
        let between = self.now + Duration::from_nanos(self.random.below(span));
        let mut idle = self.announcer.clone();
        assert_eq!(idle.update(between, facts), [], "before the deadline");
        assert_eq!(idle.status(), self.announcer.status(), "before the deadline");
        assert_eq!(idle.deadline(), deadline, "the deadline moves");
        self.tally.idle += 1;
        if let Some(deadline) = deadline {
            idle.update(deadline, facts);
            assert_ne!(idle.status(), self.announcer.status(), "woken for nothing");
        }
    }

    fn wall(&self) -> Duration {
        let passed = Duration::from_nanos(self.now.as_nanos());
        Duration::from_millis(u64::try_from((self.wall + passed).as_millis()).unwrap())
    }

    /// Writes the record, if there is news.
    fn write(&mut self, clean: bool) {
        let record = Record {
            clean,
            written: self.wall(),
            identity: IDENTITY,
            drains: self.drains.clone(),
            prefixes: self.announcer.record(self.now),
            vips: Vec::new(),
        };
        let old = self.disk.as_deref().and_then(|text| Record::parse(text).ok());
        if old.is_some_and(|old| old.says_the_same_as(&record)) {
            return;
        }
        let text = record.to_string();
        assert_eq!(Record::parse(&text).as_ref(), Ok(&record));
        let settings = &self.world.settings;
        let save = |(prefix, model): (&IpNet, &Model)| (*prefix, model.save(self.now, settings));
        self.saved = self.models.iter().map(save).collect();
        self.written = record.written;
        self.disk = Some(text);
    }

    /// kill -9, or worse.
    fn crash(&mut self) {
        self.tally.crashes += 1;
        let text = self.disk.take().unwrap_or_default();
        self.disk = match self.random.below(12) {
            0 => None,
            1 => text.get(..self.random.index(text.len())).map(str::to_owned),
            2 => Some("\u{0}\u{0}\u{0}".to_owned()),
            _ => Some(text),
        };
        self.restart(true);
    }

    /// Another process, after some time, in which the wall clock may be set.
    fn restart(&mut self, crashed: bool) {
        let wall = self.wall();
        self.wall = match self.random.below(8) {
            0 => wall.saturating_sub(Duration::from_secs(self.random.below(100_000))),
            1 => wall + Duration::from_secs(self.random.below(100_000)),
            _ => wall + Duration::from_millis(self.random.below(10_000)),
        };
        self.now = Time::from_millis(self.random.below(50));
        let restored = Restored::read(self.disk.as_deref(), IDENTITY, self.wall());
        let is_lost = self.disk.is_none() || restored.problem.is_some();
        self.tally.lost_records += u64::from(is_lost);
        match is_lost {
            true => self.drains = Drains::default(),
            false => assert_eq!(self.drains, restored.drains),
        }
        assert_eq!(restored.problem.is_some(), is_lost && self.disk.is_some());
        self.drained_since = self.now;
        self.world.stopping = None;
        if let Some((since, _)) = &mut self.world.stale {
            *since = self.now;
        }
        let away = self.wall().saturating_sub(self.written);
        // Without a record it is the first start of all.
        let crashed = crashed && self.disk.is_some();
        assert_eq!(restored.unclean, crashed);
        let next = |prefix: &IpNet| match self.saved.get(prefix).filter(|_| !is_lost) {
            Some(saved) => Model::restored(self.now, &self.world.settings, saved, away, crashed),
            None => Model::new(self.now, !crashed),
        };
        self.models =
            self.world.rules.iter().map(|rule| (rule.prefix, next(&rule.prefix))).collect();
        let rules = self.world.rules.clone();
        self.announcer = Announcer::new(self.now, self.world.settings, rules, &restored);
        self.neighbour.clear();
        assert!(self.announcer.is_withdrawn());
        self.write(false);
        self.update();
    }

    /// A planned stop, or a hurried one, to its end.
    fn stop(&mut self) {
        self.tally.stops += 1;
        let mut drain = Drain::new(Limits {
            graceful_shutdown: self.world.settings.graceful_shutdown,
            grace: Duration::from_millis(self.random.below(3_000)),
            finish: Duration::from_millis(self.random.below(3_000)),
        });
        let impatient = self.random.below(3) == 0;
        drain.request(self.now);
        self.world.stopping = Some(Stop { hurried: false });
        self.update();
        let mut acknowledged = self.now;
        let mut waits = 0;
        while drain.step() != Step::Done {
            if impatient && !drain.is_hurried() && self.random.below(4) == 0 {
                self.tally.hurried += 1;
                drain.request(self.now);
                self.world.stopping = Some(Stop { hurried: true });
                self.update();
            }
            let facts = drain::Facts {
                withdrawn: self.announcer.is_withdrawn(),
                acknowledged: self.now >= acknowledged,
                connections: self.random.index(3),
                bgp_closed: self.random.below(2) == 0,
            };
            // The stop moves on before the announcer in each turn.
            if let Some(step) = drain.advance(self.now, &facts) {
                let limit = drain.remaining(self.now);
                assert!(limit <= Duration::from_secs(20), "{step} may last for {limit:?}");
                // While the network converges it must have been told.
                let is_withdrawn = self.announcer.is_withdrawn();
                assert!(is_withdrawn || step <= Step::Withdrawing, "{step}, and still announced");
                continue;
            }
            if self.random.below(4) == 0 {
                self.world.change(self.now);
            }
            let before = self.neighbour.clone();
            self.update();
            if self.neighbour != before {
                acknowledged = self.now + Duration::from_millis(self.random.below(40));
            }
            let deadline = drain.deadline(self.now).expect("every step is bounded");
            let next = self.announcer.deadline().map_or(deadline, |other| other.min(deadline));
            self.now = self.now.max(next);
            waits += 1;
            assert!(waits < 10_000, "the stop never ends");
        }
        assert!(self.announcer.is_withdrawn());
        self.write(true);
        self.restart(false);
    }

    /// Without any more news everything is announced as well as it can be, after
    /// a few deadlines.
    fn come_to_rest(&mut self) {
        self.drains.resume(None);
        self.world.calm();
        self.update();
        let mut wakes = 0;
        while let Some(deadline) = self.announcer.deadline() {
            self.now = deadline;
            self.update();
            wakes += 1;
            assert!(wakes < 40, "it does not come to rest");
        }
        assert!(self.announcer.is_settled());
        let facts = self.facts();
        let rules: Vec<_> = self.announcer.rules().cloned().collect();
        for ((rule, own), status) in rules.iter().zip(&facts.prefixes).zip(self.announcer.status())
        {
            let (low, high) = allowed(&self.world.settings, rule, &facts, own);
            assert_eq!(low, high);
            assert_eq!((status.level, status.service_level), (low, low));
            assert_eq!(status.next, None);
        }
    }
}
