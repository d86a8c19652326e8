//! Services and their targets.

use std::rc::Rc;

use super::{count, since, until};
use crate::admin::Slice;
use crate::admin::view::{ServiceView, TargetState, TargetView};
use crate::daemon::names::NamedTarget;
use crate::daemon::switchboard::Switchboard;
use crate::health::targets::{ServiceCounts, Standing, Target, Transport};
use crate::reactor::Time;

/// Where the targets begin that are names without an address: their places
/// follow. Before them are the numbers of all others.
const NAMES: u64 = 1 << 32;

/// Where a walk over services goes on: behind this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Behind {
    service: Known,
    /// How many services with targets were told before, which counts when the
    /// service is not known any more.
    told: u32,
}

/// A service, by something of it that has a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// There was none yet.
    Nothing,
    /// The one of this target, which the next table most likely has as well.
    Target(u32),
    /// The one of this name, which has this place in this table alone.
    Name { place: u32, table: u8 },
}

/// Bits of a number of services that were told. More do not fit in a table.
const TOLD: u32 = 22;

impl Behind {
    fn pack(self) -> u64 {
        let told = u64::from(self.told.min((1 << TOLD) - 1)) << 40;
        let (kind, table, number) = match self.service {
            Known::Nothing => (0, 0, 0),
            Known::Target(id) => (1, 0, id),
            Known::Name { place, table } => (2, table, place),
        };
        (kind << 62) | told | (u64::from(table) << 32) | u64::from(number)
    }

    fn unpack(from: u64) -> Behind {
        let low = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        let (number, table) = (low(from), low(from >> 32).to_le_bytes()[0]);
        let service = match from >> 62 {
            1 => Known::Target(number),
            2 => Known::Name { place: number, table },
            _ => Known::Nothing,
        };
        Behind { service, told: low(from >> 40) & ((1 << TOLD) - 1) }
    }
}

impl Switchboard {
    /// See [`crate::admin::House::services`].
    pub(super) fn tell_services(&self, from: u64, most: usize) -> Slice<ServiceView> {
        let behind = Behind::unpack(from);
        let after = self.service_of(behind);
        let mut rest = self.services(after.map(|name| &**name));
        let items: Vec<ServiceView> = rest
            .by_ref()
            .take(most.max(1))
            .map(|(name, counts)| service_view(name.to_string(), counts))
            .collect();
        let last = items.last().filter(|_| rest.next().is_some());
        let next = last.map(|last| {
            let has_targets = |it: &&ServiceView| self.target_of(&it.service).is_some();
            let told = u32::try_from(items.iter().filter(has_targets).count()).unwrap_or(u32::MAX);
            let told = behind.told.saturating_add(told);
            Behind { service: self.known(&last.service), told }.pack()
        });
        Slice { items, next }
    }

    /// The service that a walk goes on behind; `None`: it begins.
    fn service_of(&self, Behind { service, told }: Behind) -> Option<&Rc<str>> {
        let is_current = |table: u8| table == self.table_number();
        let found = match service {
            Known::Nothing => return None,
            Known::Target(id) => self.targets().get(id).map(Target::service),
            Known::Name { place, table } => usize::try_from(place)
                .ok()
                .and_then(|place| self.names.get(place).filter(|_| is_current(table)))
                .map(NamedTarget::service),
        };
        let before = usize::try_from(told).ok().and_then(|told| told.checked_sub(1));
        found.or_else(|| self.targets().nth_service(before?))
    }

    fn known(&self, service: &str) -> Known {
        let place = || self.names.place_of(service).and_then(|place| u32::try_from(place).ok());
        match (self.target_of(service), place()) {
            (Some(id), _) => Known::Target(id),
            (None, Some(place)) => Known::Name { place, table: self.table_number() },
            // It was told a moment ago, so this does not happen; if it did, the walk
            // would go on by its number.
            (None, None) => Known::Target(u32::MAX),
        }
    }

    /// The oldest target of a service.
    fn target_of(&self, service: &str) -> Option<u32> {
        self.targets_of(service, 0).next().map(|(id, _)| id)
    }

    /// The lowest bits of the number of the table in force.
    fn table_number(&self) -> u8 {
        self.tables().to_le_bytes()[0]
    }

    /// See [`crate::admin::House::targets`].
    pub(super) fn tell_targets(&self, now: Time, from: u64, most: usize) -> Slice<TargetView> {
        let most = most.max(1);
        let mut items = Vec::new();
        let mut id = u32::try_from(from).ok().and_then(|from| self.targets().id_from(from));
        while let Some(at) = id {
            if items.len() >= most {
                return Slice { items, next: Some(at.into()) };
            }
            items.extend(self.targets().get(at).map(|target| self.target_view(now, target)));
            id = at.checked_add(1).and_then(|next| self.targets().id_from(next));
        }
        let first = usize::try_from(from.saturating_sub(NAMES)).unwrap_or(usize::MAX);
        let names = self.names.iter().enumerate().skip(first);
        for (place, target) in names.filter(|(_, it)| it.places.is_empty()) {
            if items.len() >= most {
                return Slice { items, next: Some(NAMES.saturating_add(count(place))) };
            }
            items.push(self.name_view(target));
        }
        Slice::whole(items)
    }

    fn target_view(&self, now: Time, target: &Target) -> TargetView {
        let (scheme, connections) = match target.transport() {
            Transport::Tcp => ("", Some(count(self.load.of_target(target.address())))),
            Transport::Udp => ("udp://", None),
        };
        let state = match target.standing() {
            Standing::Fit | Standing::Ejected => TargetState::Healthy,
            Standing::Unhealthy => TargetState::Unhealthy,
            Standing::Unknown => TargetState::Unknown,
        };
        let is_failing = matches!(target.standing(), Standing::Unhealthy | Standing::Ejected);
        let error = target.machine().last_error().filter(|_| is_failing);
        TargetView {
            service: target.service().to_string(),
            address: format!("{scheme}{}", target.address()),
            state,
            since_ms: since(now, target.machine().since()),
            ejected_for_ms: target.ejected_until().map(|at| until(now, at)),
            connections,
            last_error: error.map(|(_, text)| text.to_owned()),
        }
    }

    /// A name without an address.
    fn name_view(&self, target: &NamedTarget) -> TargetView {
        let trouble = self.answers.trouble(target);
        let state = if trouble.is_some() { TargetState::Unhealthy } else { TargetState::Unknown };
        TargetView {
            service: target.service().to_string(),
            address: target.authority(),
            state,
            last_error: trouble.map(str::to_owned),
            ..TargetView::default()
        }
    }
}

fn service_view(service: String, counts: ServiceCounts) -> ServiceView {
    ServiceView {
        service,
        healthy: count(counts.healthy),
        total: count(counts.total),
        unknown: count(counts.unknown),
        ejected: count(counts.ejected),
        last_error: counts.last_error,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::all;
    use super::*;
    use crate::daemon::picking::testing::{picked, switchboard, table};
    use crate::proxy::Targets as _;

    const ROUTES: &str = "route add web :80 tcp://192.0.2.1:1\n\
        route add web :80 tcp://192.0.2.1:2\n\
        route add dns :53 udp://192.0.2.1:53\n\
        route add dns :53 tcp://192.0.2.1:53\n\
        route add api :81 tcp://192.0.2.1:1\n\
        route add far :82 tcp://far.test:82\n\
        route add fax :83 tcp://fax.test:83";

    fn services(board: &Switchboard, most: usize) -> Vec<ServiceView> {
        all(most, |from, most| board.tell_services(from, most))
    }

    fn targets(board: &Switchboard, most: usize) -> Vec<TargetView> {
        all(most, |from, most| board.tell_targets(Time::from_millis(5000), from, most))
    }

    #[test]
    fn services_are_told_by_name_with_those_that_only_have_names() {
        let board = switchboard(ROUTES, 2);
        for most in 0..6 {
            let all = services(&board, most);
            let told: Vec<(&str, u64, u64, u64)> = all
                .iter()
                .map(|it| (it.service.as_str(), it.healthy, it.unknown, it.total))
                .collect();
            let expected = [
                ("api", 0, 1, 1),
                ("dns", 0, 2, 2),
                ("far", 0, 1, 1),
                ("fax", 0, 1, 1),
                ("web", 0, 2, 2),
            ];
            assert_eq!(told, expected, "{most}");
        }
        assert!(services(&switchboard("", 1), 9).is_empty());
    }

    #[test]
    fn targets_say_what_is_wrong_with_them() {
        let mut board = switchboard(ROUTES, 1);
        let now = Time::from_millis(1000);
        for id in 0..4 {
            board.checked(now, id, Ok(()));
        }
        board.checked(now, 1, Err("refused".to_owned()));
        let client = "10.0.0.1:5".parse().expect("an address");
        let local = "0.0.0.0:80".parse().expect("an address");
        let asker = crate::proxy::Client { local, source: client, hello: None };
        board.pick(now, &asker, &[]);
        for most in 1..8 {
            let all = targets(&board, most);
            let mut told: Vec<(String, TargetState)> =
                all.iter().map(|it| (format!("{} {}", it.service, it.address), it.state)).collect();
            told.sort_by(|a, b| a.0.cmp(&b.0));
            let expected = [
                ("api 192.0.2.1:1", TargetState::Healthy),
                ("dns 192.0.2.1:53", TargetState::Healthy),
                ("dns udp://192.0.2.1:53", TargetState::Healthy),
                ("far far.test:82", TargetState::Unknown),
                ("fax fax.test:83", TargetState::Unknown),
                ("web 192.0.2.1:1", TargetState::Healthy),
                ("web 192.0.2.1:2", TargetState::Unhealthy),
            ];
            let expected: Vec<_> =
                expected.iter().map(|(name, state)| ((*name).to_owned(), *state)).collect();
            assert_eq!(told, expected, "{most}");
        }
        let all = targets(&board, 100);
        let of = |address: &str| all.iter().find(|it| it.address == address).expect("it is there");
        let bad = of("192.0.2.1:2");
        assert_eq!((bad.last_error.as_deref(), bad.since_ms), (Some("refused"), 4000));
        assert_eq!((of("192.0.2.1:1").connections, bad.connections), (Some(1), Some(0)));
        assert_eq!(of("udp://192.0.2.1:53").connections, None);
    }

    #[test]
    fn a_target_that_is_ejected_says_for_how_long() {
        let mut board = switchboard(
            "route add web :80 tcp://192.0.2.1:1\n\
            route add web :80 tcp://192.0.2.1:2",
            9,
        );
        let now = Time::from_millis(5000);
        (0..2).for_each(|id| board.checked(now, id, Ok(())));
        for _ in 0..9 {
            let target = crate::proxy::Picked { service: "web".into(), ..picked(1) };
            board.dial_failed(now, &target, "refused");
        }
        let told = &targets(&board, 9)[0];
        assert_eq!((told.address.as_str(), told.state), ("192.0.2.1:1", TargetState::Healthy));
        assert!(told.ejected_for_ms.is_some_and(|left| left > 0));
        assert_eq!(told.last_error.as_deref(), Some("refused"));
        let web = &services(&board, 9)[0];
        assert_eq!((web.healthy, web.ejected, web.total), (1, 1, 2));
    }

    /// The services behind the last one that was told are told once, whatever
    /// becomes of those before it.
    #[test]
    fn services_that_stay_are_told_once_though_the_table_changes() {
        let line = |n: u32| format!("route add s{n:03} :{} tcp://192.0.2.1:{}\n", n + 1, n + 1);
        let of = |is_there: &dyn Fn(&u32) -> bool| (0..90).filter(is_there).map(line).collect();
        let first: String = of(&|n| n % 2 == 0 || n % 3 == 0);
        let second: String = of(&|n| n % 5 == 0 || n % 3 == 0);
        let mut board = switchboard(&first, 1);
        let (mut told, mut next, mut changes) = (Vec::new(), Some(0), 0);
        while let Some(from) = next {
            let slice = board.tell_services(from, 1);
            next = slice.next;
            let number: u32 = slice.items[0].service[1..].parse().expect("a number");
            told.push(number);
            // Where the last one goes, only its place is left.
            if number.is_multiple_of(3) {
                changes += 1;
                let text = if changes % 2 == 0 { &first } else { &second };
                board.load(Time::ZERO, table(text));
            }
        }
        for n in (0..90).filter(|n| n % 3 == 0) {
            assert_eq!(told.iter().filter(|it| **it == n).count(), 1, "{n}: {told:?}");
        }
    }

    #[test]
    fn a_place_is_packed_and_unpacked() {
        for told in [0, 1, 77, (1 << 22) - 1] {
            for service in [
                Known::Target(0),
                Known::Target(u32::MAX),
                Known::Name { place: u32::MAX, table: 0 },
                Known::Name { place: 7, table: u8::MAX },
            ] {
                let behind = Behind { service, told };
                assert_eq!(Behind::unpack(behind.pack()), behind);
                assert_ne!(behind.pack(), 0, "that is where walks begin");
            }
        }
        assert_eq!(Behind::unpack(0).service, Known::Nothing);
    }
}
