//! Where the API's door stands in the daemon, and what the settings say of it.

use super::Daemon;
use crate::admin::Credentials;
use crate::admin::api::ApiSettings;
use crate::admin::door::{self, AddressSettings, Admin, AdminSettings, SocketSettings};
use crate::config::Config;
use crate::reactor::{Reactor, Readiness, Token};

/// New settings, with the sockets that they need.
pub(super) type Prepared = door::Prepared;

/// The door.
#[derive(Debug)]
pub(super) struct Api(Option<Admin>);

impl Api {
    /// Opens it.
    ///
    /// # Errors
    /// See [`Admin::open`].
    pub(super) fn open(reactor: &mut Reactor, config: &Config) -> Result<Api, String> {
        Admin::open(reactor, settings(config)).map(|admin| Api(Some(admin)))
    }

    /// See [`Admin::prepare_change`].
    pub(super) fn prepare_change(&self, config: &Config) -> Result<Option<Prepared>, String> {
        self.0.as_ref().map(|admin| admin.prepare_change(settings(config))).transpose()
    }

    /// See [`Admin::commit_change`].
    pub(super) fn commit_change(
        &mut self,
        reactor: &mut Reactor,
        prepared: Option<Prepared>,
    ) -> Vec<String> {
        match (&mut self.0, prepared) {
            (Some(admin), Some(prepared)) => admin.commit_change(reactor, prepared),
            _ => Vec::new(),
        }
    }

    /// Collect: remembers what the kernel said about a socket.
    pub(super) fn collect(&mut self, token: Token, readiness: Readiness) {
        self.0.iter_mut().for_each(|admin| admin.collect(token, readiness));
    }

    /// Expire: remembers that a timer fired.
    pub(super) fn expired(&mut self, token: Token) {
        self.0.iter_mut().for_each(|admin| admin.expired(token));
    }

    /// Flush: slots that were freed in this turn may be used again.
    pub(super) fn flush(&mut self) {
        self.0.iter_mut().for_each(Admin::flush);
    }

    /// Whether anything can make progress without another event.
    pub(super) fn has_ready(&self) -> bool {
        self.0.as_ref().is_some_and(Admin::has_ready)
    }

    /// Panics that were caught at the edge of a connection.
    pub(super) fn panics(&self) -> u64 {
        self.0.as_ref().map_or(0, Admin::panics)
    }

    /// See [`Admin::inject_panic`].
    pub(super) fn inject_panic(&mut self) {
        self.0.iter_mut().for_each(Admin::inject_panic);
    }
}

impl Daemon {
    /// Api: answers who asks. The door asks the daemon in turn, so it leaves its
    /// place for that long.
    pub(super) fn serve_api(&mut self, reactor: &mut Reactor) {
        if let Some(mut admin) = self.api.0.take() {
            admin.api(reactor, self);
            self.api.0 = Some(admin);
        }
    }
}

fn settings(config: &Config) -> AdminSettings {
    let ui = &config.ui;
    let address = |address| AddressSettings {
        address,
        dual_stack: ui.dual_stack,
        is_required: ui.addr_is_set,
    };
    let socket =
        |path: &String| SocketSettings { path: path.clone(), is_required: ui.socket_is_set };
    let credentials = ui.credentials.as_ref();
    AdminSettings {
        address: ui.addr.map(address),
        socket: ui.socket.as_ref().map(socket),
        api: ApiSettings {
            path: ui.path.clone(),
            read_only: ui.read_only,
            credentials: credentials.map(|(name, word)| Credentials::new(name, word.expose())),
            metrics_path: ui.metrics_path.clone(),
        },
    }
}
