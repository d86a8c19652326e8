//! `burgee status`: a page that a person reads in five seconds. What is well is
//! short; what is not has a mark and its reason.

use super::page::{Cell, Style, Table, Tone, cell, count, countdown, duration, plain, write_line};
use crate::admin::view::{
    AnnouncementState, AnnouncementView, InstanceState, InstanceView, ServiceView, ServicesView,
    SessionState, SessionView, StatusView,
};

/// Whether everything is as it should be.
pub(super) fn is_good(status: &StatusView) -> bool {
    status.instance.health.ok
        && status.sessions.iter().all(is_up)
        && status.announcements.iter().all(is_announced)
}

/// The whole page.
pub(super) fn page(status: &StatusView, style: Style) -> String {
    let mut out = String::new();
    head(&status.instance, style, &mut out);
    if status.instance.bgp {
        sessions(&status.sessions, style, &mut out);
        announcements(&status.announcements, style, &mut out);
    }
    services(&status.services, style, &mut out);
    out
}

fn is_up(session: &SessionView) -> bool {
    session.state == SessionState::Established
}

/// Whether all who should have it were sent it as it should be.
fn is_announced(announcement: &AnnouncementView) -> bool {
    announcement.state == AnnouncementState::Announced
        && announcement.sent_to >= announcement.wanted_by
}

fn heading(title: &str, summary: &str, style: Style, out: &mut String) {
    out.push('\n');
    let title = cell(format!("{title:<10}"), Tone::Heading);
    write_line(&[title, plain(summary)], style, out);
}

fn head(instance: &InstanceView, style: Style, out: &mut String) {
    let tone = match instance.state {
        InstanceState::Serving => Tone::Plain,
        _ => Tone::Notice,
    };
    let words = [
        cell(format!("burgee {}", instance.version), Tone::Heading),
        cell(instance.state.name(), tone),
        plain(format!("up {}", duration(instance.started_ms_ago))),
        plain(format!("pid {}", instance.pid)),
        plain(count(instance.connections, "connection", "connections")),
    ];
    write_line(&words, style, out);
    let mut table = Table::default();
    let mut note = |text: String, tone| table.row(tone == Tone::Problem, vec![cell(text, tone)]);
    if let Some(stop) = &instance.stop {
        let (left, waiting) =
            (countdown(stop.remaining_ms), count(stop.connections, "connection", "connections"));
        note(format!("stopping: {}, at most {left} more, {waiting} left", stop.step), Tone::Notice);
    }
    if let Some(maintenance) = &instance.maintenance {
        let (by, since) = (&maintenance.by, duration(maintenance.since_ms));
        note(format!("maintenance for {since}, by {by}: nothing is announced"), Tone::Notice);
    }
    if !instance.health.ok {
        note(format!("/health answers 503: {}", instance.health.reasons.join("; ")), Tone::Problem);
    }
    for listener in instance.listeners.iter().filter(|listener| !listener.open) {
        let (address, protocol) = (&listener.address, &listener.protocol);
        note(format!("listener {address} ({protocol}) takes no clients"), Tone::Problem);
    }
    if let Some(failing) = instance.registry.failing_ms {
        let error = instance.registry.error.as_deref().unwrap_or("unknown error");
        let since = duration(failing);
        note(format!("routes cannot be read for {since}: {error}"), Tone::Problem);
    }
    if instance.panics > 0 {
        note(
            format!("{} caught; the log says where", count(instance.panics, "fault", "faults")),
            Tone::Problem,
        );
    }
    table.write(style, out);
}

fn sessions(all: &[SessionView], style: Style, out: &mut String) {
    let up = all.iter().filter(|session| is_up(session)).count();
    heading("NEIGHBOURS", &format!("{up} of {} established", all.len()), style, out);
    let mut table = Table::default();
    for session in all {
        let SessionView { name, address, asn, state, announced, .. } = session;
        let is_up = is_up(session);
        let tone = if is_up { Tone::Plain } else { Tone::Problem };
        let who = if name == address { name.clone() } else { format!("{name} ({address})") };
        table.row(
            !is_up,
            vec![
                plain(who),
                plain(format!("AS{asn}")),
                cell(state.name(), tone),
                plain(session.uptime_ms.map_or_else(|| "-".to_owned(), duration)),
                plain(count(*announced, "prefix", "prefixes")),
                plain(session_notes(session)),
            ],
        );
    }
    table.write(style, out);
}

/// What else there is to say of a neighbour.
fn session_notes(session: &SessionView) -> String {
    let mut notes = Vec::new();
    if let Some(bfd) = &session.bfd {
        notes.push(format!("bfd {}", bfd.state));
    }
    if session.flaps > 0 {
        notes.push(format!("{} lost so far", count(session.flaps, "session", "sessions")));
    }
    if let Some(error) = &session.last_error
        && (!is_up(session) || session.flaps > 0)
    {
        notes.push(format!("{} {} ago", error.text, duration(error.ms_ago)));
    }
    if let Some(kept_out) = session.kept_out_for_ms {
        notes.push(format!("kept out for {}", countdown(kept_out)));
    }
    if let Some(retry) = session.retry_in_ms {
        notes.push(format!("next try in {}", countdown(retry)));
    }
    notes.join(", ")
}

fn announcements(all: &[AnnouncementView], style: Style, out: &mut String) {
    let good = all.iter().filter(|announcement| is_announced(announcement)).count();
    heading("PREFIXES", &format!("{good} of {} announced", all.len()), style, out);
    let mut table = Table::default();
    for announcement in all {
        let AnnouncementView { prefix, state, since_ms, sent_to, wanted_by, .. } = announcement;
        table.row(
            !is_announced(announcement),
            vec![
                plain(prefix),
                cell(state.name(), tone(*state)),
                plain(duration(*since_ms)),
                plain(format!("at {sent_to} of {wanted_by}")),
                plain(announcement_notes(announcement)),
            ],
        );
        if let Some(problem) = &announcement.address.problem {
            table.row(true, vec![cell(format!("{prefix}: {problem}"), Tone::Problem)]);
        }
    }
    table.write(style, out);
}

pub(super) fn tone(state: AnnouncementState) -> Tone {
    match state {
        AnnouncementState::Announced => Tone::Plain,
        AnnouncementState::Depreferred | AnnouncementState::GracefulShutdown => Tone::Notice,
        AnnouncementState::Withdrawn | AnnouncementState::Unknown => Tone::Problem,
    }
}

/// Why, and what comes next.
fn announcement_notes(announcement: &AnnouncementView) -> String {
    match &announcement.next {
        None => announcement.reason.clone(),
        Some(next) => {
            let (state, left) = (next.state.name(), countdown(next.in_ms));
            format!("{state} in {left}; {}", announcement.reason)
        }
    }
}

fn services(services: &ServicesView, style: Style, out: &mut String) {
    let ServicesView { listed, total, healthy, targets, targets_healthy } = services;
    let summary = format!("{healthy} of {total} healthy, {targets_healthy} of {targets} targets");
    heading("SERVICES", &summary, style, out);
    let mut table = Table::default();
    for service in listed {
        table.row(!is_well(service), service_row(service));
    }
    let more = total.saturating_sub(u64::try_from(listed.len()).unwrap_or(u64::MAX));
    if more > 0 {
        let problems = total.saturating_sub(*healthy);
        let all_listed = listed.iter().filter(|it| !is_well(it)).count() as u64 >= problems;
        let what = if all_listed { "all healthy" } else { "some with problems" };
        table.row(false, vec![plain(format!("and {more} more, {what}"))]);
    }
    table.write(style, out);
}

fn is_well(service: &ServiceView) -> bool {
    service.healthy == service.total && service.ejected == 0
}

/// A service and how many of its targets can serve.
pub(super) fn service_row(service: &ServiceView) -> Vec<Cell> {
    let ServiceView { healthy, total, unknown, ejected, .. } = service;
    let tone = match (is_well(service), healthy) {
        (true, _) => Tone::Plain,
        (false, 0) => Tone::Problem,
        (false, _) => Tone::Notice,
    };
    let mut notes = Vec::new();
    if *unknown > 0 {
        notes.push(format!("{unknown} not checked yet"));
    }
    if *ejected > 0 {
        notes.push(format!("{ejected} ejected"));
    }
    if let (false, Some(error)) = (is_well(service), &service.last_error) {
        notes.push(error.clone());
    }
    let name = if service.service.is_empty() { "all" } else { &service.service };
    vec![plain(name), cell(format!("{healthy}/{total}"), tone), plain(notes.join(", "))]
}
