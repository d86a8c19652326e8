//! Services and their targets.

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

/// Where a walk over services goes on: behind the service of this target, which
/// the next table most likely has as well. Where there is none, or no longer one
/// of this number, it goes on at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Behind {
    target: Option<u32>,
    place: u32,
}

/// Bits of a place, and a bit that says that there is a target.
const PLACE: u32 = 31;
const HAS_TARGET: u64 = 1 << 63;

impl Behind {
    fn pack(self) -> u64 {
        let place = u64::from(self.place).min((1 << PLACE) - 1) << 32;
        match self.target {
            Some(target) => HAS_TARGET | place | u64::from(target),
            None => place,
        }
    }

    fn unpack(from: u64) -> Behind {
        let low = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        let place = low((from & !HAS_TARGET) >> 32);
        Behind { target: (from & HAS_TARGET != 0).then(|| low(from)), place }
    }
}

impl Switchboard {
    /// See [`crate::admin::House::services`].
    pub(super) fn tell_services(&self, from: u64, most: usize) -> Slice<ServiceView> {
        let behind = Behind::unpack(from);
        let service = behind.target.and_then(|id| self.targets().get(id)).map(Target::service);
        let before = behind.place.checked_sub(1).and_then(|it| usize::try_from(it).ok());
        let after = service.or_else(|| self.targets().nth_service(before?));
        let mut rest = self.services(after.map(|name| &**name));
        let items: Vec<ServiceView> = rest
            .by_ref()
            .take(most.max(1))
            .map(|(name, counts)| service_view(name.to_string(), counts))
            .collect();
        let last = items.last().filter(|_| rest.next().is_some());
        let next = last.map(|last| {
            let target = self.targets_of(&last.service, 0).next().map(|(id, _)| id);
            let told = u32::try_from(items.len()).unwrap_or(u32::MAX);
            Behind { target, place: behind.place.saturating_add(told) }.pack()
        });
        Slice { items, next }
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
