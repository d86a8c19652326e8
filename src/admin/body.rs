//! The contents of answers. A long one is made in slices, as the client takes
//! it: 60,000 routes at once would keep everybody else waiting.

use serde::Serialize;

use super::house::{House, Moment, Slice};
use super::json::{Indenter, compact};
use super::metrics;
use super::view::{ServiceView, ServicesView};

/// What one of these costs of an allowance, which counts routes: a neighbour has
/// many numbers, and a prefix asks all neighbours.
pub(super) const SESSION_COST: usize = 8;
pub(super) const ANNOUNCEMENT_COST: usize = 16;

/// Services that are listed in a status even if all is well, and those that
/// are if it is not.
const FEW_SERVICES: usize = 20;
const SERVICES_LISTED: usize = 50;

/// The content of an answer.
#[derive(Debug)]
pub enum Body {
    /// All of it.
    Whole(Vec<u8>),
    /// It is made as it is sent.
    Stream(Box<Stream>),
}

/// What is listed in slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    Status,
    Sessions,
    Announcements,
    Routes,
    /// Routes in their own language.
    RouteCommands,
}

impl Body {
    pub(super) fn listing(listing: Listing, pretty: bool) -> Body {
        let lister = Lister {
            part: match listing {
                Listing::Status => Part::Instance,
                Listing::Sessions => Part::Sessions,
                Listing::Announcements => Part::Announcements,
                Listing::Routes => Part::Routes,
                Listing::RouteCommands => Part::RouteCommands,
            },
            in_status: listing == Listing::Status,
            from: 0,
            is_empty: true,
            healthy: Vec::new(),
            services: ServicesView::default(),
        };
        let indenter = pretty.then(Indenter::default);
        Body::Stream(Box::new(Stream { source: Source::List(lister), indenter }))
    }

    pub(super) fn metrics() -> Body {
        let source = Source::Metrics(metrics::Page::default());
        Body::Stream(Box::new(Stream { source, indenter: None }))
    }
}

/// A content that is made as it is sent.
#[derive(Debug)]
pub struct Stream {
    source: Source,
    indenter: Option<Indenter>,
}

#[derive(Debug)]
enum Source {
    List(Lister),
    Metrics(metrics::Page),
}

impl Stream {
    /// Appends the next slice, for which `allowance` is spent: a unit is the
    /// work of one route. Says whether that was the last one.
    pub fn produce(
        &mut self,
        house: &dyn House,
        at: &Moment,
        allowance: &mut usize,
        out: &mut Vec<u8>,
    ) -> bool {
        let Stream { source, indenter } = self;
        match source {
            Source::Metrics(page) => page.produce(house, at, allowance, out),
            Source::List(list) => match indenter {
                None => list.produce(house, at, allowance, out),
                Some(indenter) => {
                    let mut json = Vec::new();
                    let is_last = list.produce(house, at, allowance, &mut json);
                    indenter.push(&json, out);
                    is_last
                }
            },
        }
    }
}

/// How many items of a cost an allowance is good for; always at least one, so
/// that there is progress.
pub(super) fn affordable(allowance: usize, cost: usize) -> usize {
    allowance.checked_div(cost).unwrap_or_default().max(1)
}

/// Takes the cost of the items of a slice from an allowance, and the cost of
/// asking for it.
pub(super) fn charge<T>(allowance: &mut usize, cost: usize, slice: &Slice<T>) {
    let spent = slice.items.len().saturating_mul(cost).saturating_add(1);
    *allowance = allowance.saturating_sub(spent);
}

/// What is written next.
#[derive(Clone, Copy, Debug)]
enum Part {
    Instance,
    Sessions,
    Announcements,
    Services,
    Routes,
    RouteCommands,
    End,
}

#[derive(Debug)]
struct Lister {
    part: Part,
    in_status: bool,
    /// Where the next slice of this part begins.
    from: u64,
    /// Whether this part has had no item yet.
    is_empty: bool,
    /// The first of the services of which all is well.
    healthy: Vec<ServiceView>,
    /// The others, and the sums.
    services: ServicesView,
}

impl Lister {
    fn produce(
        &mut self,
        house: &dyn House,
        at: &Moment,
        allowance: &mut usize,
        out: &mut Vec<u8>,
    ) -> bool {
        while *allowance > 0 && !matches!(self.part, Part::End) {
            self.step(house, at, allowance, out);
        }
        matches!(self.part, Part::End)
    }

    fn step(&mut self, house: &dyn House, at: &Moment, allowance: &mut usize, out: &mut Vec<u8>) {
        let (from, all) = (self.from, *allowance);
        let next = match self.part {
            Part::Instance => {
                let instance = compact(&house.instance(at));
                out.extend_from_slice(instance.strip_suffix(b"}").unwrap_or(&instance));
                out.extend_from_slice(b",\"sessions\":");
                *allowance = allowance.saturating_sub(1);
                None
            }
            Part::Sessions => {
                let slice = house.sessions(at, from, affordable(all, SESSION_COST));
                charge(allowance, SESSION_COST, &slice);
                self.list(slice, out)
            }
            Part::Announcements => {
                let slice = house.announcements(at, from, affordable(all, ANNOUNCEMENT_COST));
                charge(allowance, ANNOUNCEMENT_COST, &slice);
                self.list(slice, out)
            }
            Part::Services => {
                let slice = house.services(at, from, all);
                charge(allowance, 1, &slice);
                slice.items.into_iter().for_each(|service| self.add_service(service));
                slice.next
            }
            Part::Routes => {
                let slice = house.routes(from, all);
                charge(allowance, 1, &slice);
                self.list(slice, out)
            }
            Part::RouteCommands => {
                let slice = house.route_commands(from, all);
                charge(allowance, 1, &slice);
                slice.items.iter().for_each(|line| out.extend_from_slice(line.as_bytes()));
                slice.next
            }
            Part::End => None,
        };
        match next {
            Some(next) => self.from = next,
            None => self.end_part(out),
        }
    }

    fn list<T: Serialize>(&mut self, slice: Slice<T>, out: &mut Vec<u8>) -> Option<u64> {
        for item in &slice.items {
            out.push(if self.is_empty { b'[' } else { b',' });
            self.is_empty = false;
            out.extend_from_slice(&compact(item));
        }
        slice.next
    }

    fn end_part(&mut self, out: &mut Vec<u8>) {
        let (is_empty, part) = (std::mem::replace(&mut self.is_empty, true), self.part);
        self.from = 0;
        let closed: &[u8] = match (part, is_empty) {
            (Part::Sessions | Part::Announcements | Part::Routes, false) => b"]",
            (Part::Sessions | Part::Announcements, true) => b"[]",
            // fabio has no empty list here.
            (Part::Routes, true) => b"null",
            _ => b"",
        };
        out.extend_from_slice(closed);
        self.part = match part {
            Part::Instance => Part::Sessions,
            Part::Sessions if self.in_status => {
                out.extend_from_slice(b",\"announcements\":");
                Part::Announcements
            }
            Part::Announcements if self.in_status => {
                out.extend_from_slice(b",\"services\":");
                Part::Services
            }
            Part::Services => {
                out.extend_from_slice(&compact(&self.list_services()));
                out.push(b'}');
                Part::End
            }
            _ => Part::End,
        };
        if matches!(self.part, Part::End) && !matches!(part, Part::RouteCommands) {
            out.push(b'\n');
        }
    }

    fn add_service(&mut self, service: ServiceView) {
        let sums = &mut self.services;
        let is_well = service.healthy == service.total && service.ejected == 0;
        sums.total = sums.total.saturating_add(1);
        sums.healthy = sums.healthy.saturating_add(u64::from(is_well));
        sums.targets = sums.targets.saturating_add(service.total);
        sums.targets_healthy = sums.targets_healthy.saturating_add(service.healthy);
        let (list, most) = match is_well {
            true => (&mut self.healthy, FEW_SERVICES),
            false => (&mut sums.listed, SERVICES_LISTED),
        };
        if list.len() < most {
            list.push(service);
        }
    }

    fn list_services(&mut self) -> ServicesView {
        let mut services = std::mem::take(&mut self.services);
        if usize::try_from(services.total).is_ok_and(|total| total <= FEW_SERVICES) {
            services.listed.append(&mut self.healthy);
            services.listed.sort_by(|a, b| a.service.cmp(&b.service));
        }
        services
    }
}
