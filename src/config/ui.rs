//! `ui.*` and `metrics.prometheus.path`: where the admin API is, and who may
//! use it.

use std::net::SocketAddr;

use super::address::Address;
use super::load::ReadFile;
use super::reader::{Item, Reader};
use super::settings::Setting;
use super::templates::ListInterfaces;
use super::{ListenerConfig, Secret, listeners, peers};

/// The admin API: a listener, and a unix socket for the commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UiConfig {
    /// `ui.addr`: `None`: there is no listener.
    pub addr: Option<SocketAddr>,
    /// Whether the unspecified address was left out (`:9998`): one dual-stack
    /// socket, as in [`ListenerConfig::dual_stack`].
    pub dual_stack: bool,
    /// Whether somebody set `ui.addr`: then it has to be free.
    pub addr_is_set: bool,
    /// `ui.socket`: `None`: there is no unix socket.
    pub socket: Option<String>,
    /// Whether somebody set `ui.socket`: then it has to be there.
    pub socket_is_set: bool,
    /// `ui.access=ro`: nothing may be changed.
    pub read_only: bool,
    /// `ui.path`: empty, or a path with a `/` before and none behind it.
    pub path: String,
    /// `ui.username`, and `ui.password` or the first line of
    /// `ui.passwordfile`: what clients of the listener have to give.
    pub credentials: Option<(String, Secret)>,
    /// `metrics.prometheus.path`: it begins with a `/`.
    pub metrics_path: String,
}

/// Whether this program has the admin API.
const HAS_API: bool = cfg!(feature = "http");

/// Its keys, and what is in the way without it.
const ADDR: &str = "ui.addr";
const SOCKET: &str = "ui.socket";
const NO_API: &str = "this burgee was built without the feature `http`; set it to nothing";

/// The longest path of a unix socket in Linux: sun_path of unix(7), less the
/// zero at its end.
const LONGEST_SOCKET: usize = 107;

/// The path that is never anything else.
const HEALTH: &str = "/health";

/// Reads all keys. `proxy` are the listeners for clients.
pub(super) fn read(
    reader: &mut Reader<'_>,
    proxy: &[ListenerConfig],
    read_file: ReadFile<'_>,
    interfaces: ListInterfaces<'_>,
) -> UiConfig {
    let address = address(reader, proxy, interfaces);
    let read_only = reader.parse("ui.access", |text| match text {
        "rw" => Ok(false),
        "ro" => Ok(true),
        _ => Err("expected rw or ro".to_owned()),
    });
    let path = reader.parse("ui.path", prefix).unwrap_or_default();
    let config = UiConfig {
        addr: address.as_ref().map(|address| address.address),
        dual_stack: address.is_some_and(|address| address.dual_stack),
        addr_is_set: is_set(reader, ADDR),
        socket: reader.parse(SOCKET, socket).flatten().filter(|_| HAS_API),
        socket_is_set: is_set(reader, SOCKET),
        read_only: read_only.unwrap_or(true),
        metrics_path: metrics_path(reader, &path),
        path,
        credentials: credentials(reader, read_file),
    };
    refuse_without_api(reader);
    warn_of_strangers(&config, reader);
    config
}

fn is_set(reader: &mut Reader<'_>, key: &str) -> bool {
    reader.setting(key).is_some_and(Setting::is_set)
}

/// The one listener.
fn address(
    reader: &mut Reader<'_>,
    proxy: &[ListenerConfig],
    interfaces: ListInterfaces<'_>,
) -> Option<Address> {
    let (setting, maps) = reader.maps(ADDR)?;
    let [map] = maps.as_slice() else {
        if !maps.is_empty() {
            reader.fail(setting, "expected one listener");
        }
        return None;
    };
    let written = map.get("").or(map.get("addr")).unwrap_or_default();
    let item = Item::new(setting, format!("listener {written}"), map);
    item.check_keys(reader.report);
    check_protocol(&item, reader);
    let address = listeners::address(&item, written, interfaces, reader)?;
    match proxy.iter().find(|listener| listeners::takes(listener, &address)) {
        None => Some(address).filter(|_| HAS_API || setting.is_set()),
        Some(other) => {
            let other = listeners::print(other);
            let what = format!("it takes the same connections as listener {other} of proxy.addr");
            match setting.is_set() {
                true => item.fail(reader.report, &what),
                false => item.warn(reader.report, &format!("{what}, so that there is no listener")),
            }
            None
        }
    }
}

fn check_protocol(item: &Item<'_>, reader: &mut Reader<'_>) {
    match item.get("proto") {
        None | Some("http") => {}
        Some(protocol @ "https") => {
            let what = "TLS for the API is not supported yet; expected http";
            item.fail_value(reader.report, "proto", protocol, what);
        }
        Some(other) => item.fail_value(reader.report, "proto", other, "expected http"),
    }
}

fn socket(text: &str) -> Result<Option<String>, String> {
    match text {
        "" => Ok(None),
        path if path.len() > LONGEST_SOCKET => {
            Err(format!("expected a path of at most {LONGEST_SOCKET} octets"))
        }
        path if path.contains('\0') => Err("expected a path".to_owned()),
        path => Ok(Some(path.to_owned())),
    }
}

/// As fabio does: a `/` in front, and none behind.
fn prefix(text: &str) -> Result<String, String> {
    check_path(text)?;
    let path = text.trim_end_matches('/');
    Ok(match path {
        "" => String::new(),
        path if path.starts_with('/') => path.to_owned(),
        path => format!("/{path}"),
    })
}

/// RFC 3986 §3.3: a path ends where a query begins, and has no blanks.
fn check_path(text: &str) -> Result<(), String> {
    match text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#')) {
        true => Ok(()),
        false => Err("expected a path, without blanks, ? and #".to_owned()),
    }
}

fn metrics_path(reader: &mut Reader<'_>, prefix: &str) -> String {
    let parse = |text: &str| {
        check_path(text)?;
        if !text.starts_with('/') {
            return Err("expected a path that begins with /".to_owned());
        }
        let api = text.strip_prefix(prefix).is_some_and(|rest| rest.starts_with("/api/"));
        match api || text == HEALTH {
            true => Err("expected another path; this one has a meaning of its own".to_owned()),
            false => Ok(text.to_owned()),
        }
    };
    reader.parse("metrics.prometheus.path", parse).unwrap_or_default()
}

/// `ui.username` and one of the two ways to write its password.
fn credentials(reader: &mut Reader<'_>, read_file: ReadFile<'_>) -> Option<(String, Secret)> {
    let name = reader.parse("ui.username", user_name)?;
    let password = password(reader, read_file);
    let has_password = ["ui.password", "ui.passwordfile"]
        .iter()
        .any(|key| reader.setting(key).is_some_and(|setting| !setting.value.is_empty()));
    match (name.is_empty(), has_password) {
        (true, false) => None,
        (false, true) => password.map(|password| (name, password)),
        (true, true) => fail(reader, "ui.username", "there is a password, and no user of it"),
        (false, false) => fail(
            reader,
            "ui.username",
            "the user has no password; set ui.password or ui.passwordfile",
        ),
    }
}

fn password(reader: &mut Reader<'_>, read_file: ReadFile<'_>) -> Option<Secret> {
    let text = reader.parse("ui.password", check_text)?;
    let path = reader.text("ui.passwordfile");
    let password = match (text.is_empty(), path.is_empty()) {
        (true, true) => return None,
        (false, true) => text.to_owned(),
        (true, false) => reader.parse("ui.passwordfile", |path| {
            let content = peers::password_from_file(path, read_file)?;
            let line = content.lines().next().unwrap_or_default();
            match line {
                "" => Err("the first line of the file is empty".to_owned()),
                line => check_text(line).map(str::to_owned),
            }
        })?,
        (false, false) => {
            return fail(reader, "ui.passwordfile", "ui.password is set too; remove one");
        }
    };
    Some(Secret::new(password))
}

/// RFC 7617 §2: the name ends at a colon.
fn user_name(text: &str) -> Result<String, String> {
    match check_text(text)?.contains(':') {
        true => Err("expected a name without a colon".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// RFC 7617 §2: neither name nor password has control characters.
fn check_text(text: &str) -> Result<&str, String> {
    match text.contains(char::is_control) {
        true => Err("expected a text without control characters".to_owned()),
        false => Ok(text),
    }
}

fn fail<T>(reader: &mut Reader<'_>, key: &str, what: &str) -> Option<T> {
    reader.parse(key, |_| Err::<T, String>(what.to_owned()))
}

/// What was asked for and this program cannot give.
fn refuse_without_api(reader: &mut Reader<'_>) {
    for key in [ADDR, SOCKET].into_iter().filter(|_| !HAS_API) {
        if let Some(setting) = reader.setting(key)
            && setting.is_set()
            && !setting.value.is_empty()
        {
            reader.fail(setting, NO_API);
        }
    }
}

/// An API that anybody can reach, and with which anybody can stop the service.
fn warn_of_strangers(config: &UiConfig, reader: &mut Reader<'_>) {
    let Some(setting) = reader.setting(ADDR) else { return };
    let Some(addr) = config.addr else {
        if config.credentials.is_some()
            && let Some(setting) = reader.setting("ui.username")
        {
            reader.warn(setting, "it has no effect, as ui.addr is empty");
        }
        return;
    };
    if !addr.ip().is_loopback() && config.credentials.is_none() && !config.read_only {
        let what = "whoever reaches this address can drain this instance; set ui.username and \
                    ui.password, set ui.access to ro, or listen on 127.0.0.1";
        reader.warn(setting, what);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{errors, loaded};
    use super::*;

    fn ui(text: &str) -> UiConfig {
        loaded(text).config.ui
    }

    #[cfg(not(feature = "http"))]
    #[test]
    fn without_the_feature_there_is_none_and_asking_for_it_is_an_error() {
        let usual = ui("");
        assert_eq!((usual.addr, usual.socket), (None, None));
        assert_eq!((usual.addr_is_set, usual.socket_is_set), (false, false));
        for (key, value) in [(ADDR, "127.0.0.1:9998"), (SOCKET, "/run/s")] {
            assert!(errors(&format!("{key}=")).is_empty());
            assert_eq!(
                errors(&format!("{key}={value}")),
                [format!("f:1: {key} = \"{value}\": {NO_API}")]
            );
        }
    }

    #[cfg(feature = "http")]
    mod with_the_feature {
        use super::super::super::testing::{load_file, on_a_host, warnings};
        use super::*;

        /// The warnings about the API.
        fn told(text: &str) -> Vec<String> {
            warnings(text).into_iter().filter(|text| text.contains("ui.")).collect()
        }

        fn addr(text: &str) -> Option<(String, bool)> {
            let ui = ui(&format!("ui.addr={text}\nui.access=ro"));
            assert!(ui.addr_is_set);
            ui.addr.map(|addr| (addr.to_string(), ui.dual_stack))
        }

        fn addr_errors(text: &str) -> Vec<String> {
            errors(&format!("ui.addr={text}\nui.access=ro"))
        }

        #[test]
        fn nobody_but_this_host_by_default() {
            let usual = UiConfig {
                addr: Some("127.0.0.1:9998".parse().unwrap()),
                dual_stack: false,
                addr_is_set: false,
                socket: Some("/run/burgee/control.sock".into()),
                socket_is_set: false,
                read_only: false,
                path: String::new(),
                credentials: None,
                metrics_path: "/metrics".into(),
            };
            assert_eq!(ui(""), usual);
            assert_eq!(told(""), Vec::<String>::new());
        }

        #[test]
        fn one_listener_or_none() {
            let some = |text: &str, dual_stack| Some((text.to_owned(), dual_stack));
            assert_eq!(addr(""), None);
            assert_eq!(addr(":9998"), some("[::]:9998", true));
            assert_eq!(addr("addr=[::1]:0;proto=http"), some("[::1]:0", false));
            assert_eq!(addr("0.0.0.0:80,"), some("0.0.0.0:80", false));
            assert_eq!(
                addr_errors(":80,:81"),
                ["f:1: ui.addr = \":80,:81\": expected one listener"]
            );
            assert_eq!(
                addr_errors("localhost:80"),
                ["f:1: ui.addr: listener localhost:80: expected :port, ip:port or [ipv6]:port; \
                  names are not supported"]
            );
            assert_eq!(addr_errors("proto=http").len(), 1);
        }

        #[test]
        fn templates_stand_for_addresses_of_this_host() {
            let text = "ui.addr={{ GetPrivateIP }}:9998\nui.access=ro";
            let loaded = on_a_host(text).unwrap();
            assert_eq!(loaded.config.ui.addr, "10.0.0.9:9998".parse().ok());
            let printed = loaded.effective.to_string();
            assert!(printed.contains("# {{ GetPrivateIP }}:9998 is 10.0.0.9:9998\n"), "{printed}");
        }

        #[test]
        fn tls_is_refused_and_what_does_nothing_is_named() {
            assert_eq!(
                addr_errors(":80;proto=https"),
                [
                    "f:1: ui.addr: listener :80: proto = \"https\": TLS for the API is not supported \
                  yet; expected http"
                ]
            );
            assert_eq!(
                addr_errors(":80;proto=tcp"),
                ["f:1: ui.addr: listener :80: proto = \"tcp\": expected http"]
            );
            assert_eq!(
                addr_errors(":80;cs=mycerts"),
                [
                    "f:1: ui.addr: listener :80: cs = \"mycerts\": known from fabio but not supported \
                  yet; remove it"
                ]
            );
            let own = "has no effect: the API has time limits of its own";
            assert_eq!(
                told("ui.addr=127.0.0.1:80;rt=1s;wt=2s;tlsmin=tls12"),
                [
                    format!("f:1: ui.addr: listener 127.0.0.1:80: option \"rt\" {own}"),
                    format!("f:1: ui.addr: listener 127.0.0.1:80: option \"wt\" {own}"),
                    "f:1: ui.addr: listener 127.0.0.1:80: option \"tlsmin\" is known from fabio \
                     but not supported yet; it has no effect"
                        .to_owned(),
                ]
            );
        }

        #[test]
        fn the_api_and_clients_have_different_addresses() {
            let with = |listener: &str, rest: &str| {
                load_file(&format!("proxy.addr={listener}\nui.access=ro\n{rest}"))
            };
            let own = "ui.addr=127.0.0.1:80";
            for listener in [":80;proto=tcp", "0.0.0.0:80;proto=tcp", "127.0.0.1:80;proto=tcp+sni"]
            {
                let name = listener.split(';').next().unwrap();
                assert_eq!(
                    with(listener, own).unwrap_err().errors,
                    [format!(
                        "f:3: ui.addr: listener 127.0.0.1:80: it takes the same connections as \
                         listener {name} of proxy.addr"
                    )]
                );
            }
            let fine =
                [":81;proto=tcp", "[::]:80;proto=tcp", ":80;proto=udp", ":0;proto=tcp-dynamic"];
            for listener in fine {
                assert!(with(listener, own).unwrap().config.ui.addr.is_some(), "{listener}");
            }
            assert!(with(":0;proto=tcp", "ui.addr=127.0.0.1:0").unwrap().config.ui.addr.is_some());
            let given_up = with(":9998;proto=tcp", "").unwrap();
            assert_eq!(given_up.config.ui.addr, None);
            assert_eq!(
                given_up.warnings,
                ["ui.addr: listener 127.0.0.1:9998: it takes the same connections as listener \
                  :9998 of proxy.addr, so that there is no listener"]
            );
        }

        #[test]
        fn strangers_are_warned_of() {
            let anybody = |addr: &str| {
                format!(
                    "f:1: ui.addr = \"{addr}\": whoever reaches this address can drain this \
                     instance; set ui.username and ui.password, set ui.access to ro, or listen on \
                     127.0.0.1"
                )
            };
            for addr in [":9998", "0.0.0.0:9998", "192.0.2.1:9998", "[2001:db8::1]:9998"] {
                assert_eq!(told(&format!("ui.addr={addr}")), [anybody(addr)]);
                for rest in ["ui.access=ro", "ui.username=ops\nui.password=s3cret"] {
                    let text = format!("ui.addr={addr}\n{rest}");
                    assert_eq!(told(&text), Vec::<String>::new(), "{text}");
                }
            }
            for addr in ["127.0.0.1:9998", "127.1.2.3:9998", "[::1]:9998", ""] {
                assert_eq!(told(&format!("ui.addr={addr}")), Vec::<String>::new(), "{addr}");
            }
            assert_eq!(
                told("ui.addr=\nui.username=ops\nui.password=s3cret"),
                ["f:2: ui.username = \"ops\": it has no effect, as ui.addr is empty"]
            );
        }

        #[test]
        fn the_socket() {
            let set = ui("ui.socket=/run/s");
            assert_eq!((set.socket.as_deref(), set.socket_is_set), (Some("/run/s"), true));
            let none = ui("ui.socket=");
            assert_eq!((none.socket, none.socket_is_set), (None, true));
            let path = "/".repeat(107);
            assert_eq!(ui(&format!("ui.socket={path}")).socket, Some(path.clone()));
            let error = errors(&format!("ui.socket={path}/"));
            assert!(error[0].ends_with(": expected a path of at most 107 octets"), "{error:?}");
            assert_eq!(
                errors("ui.socket=a\\u0000b"),
                ["f:1: ui.socket = \"a\\0b\": expected a path"]
            );
        }
    }

    #[test]
    fn access() {
        assert!(ui("ui.access=ro").read_only && !ui("ui.access=rw").read_only);
        assert_eq!(errors("ui.access=r"), ["f:1: ui.access = \"r\": expected rw or ro"]);
    }

    #[test]
    fn paths_have_a_slash_before_and_none_behind() {
        for (text, path) in [
            ("", ""),
            ("/", ""),
            ("burgee", "/burgee"),
            ("/burgee", "/burgee"),
            ("/burgee/", "/burgee"),
            ("a/b//", "/a/b"),
        ] {
            assert_eq!(ui(&format!("ui.path={text}")).path, path, "{text}");
        }
        for text in ["/a?b", "/a#b", "/a b", "/\u{e4}"] {
            assert_eq!(
                errors(&format!("ui.path={text}")),
                [format!("f:1: ui.path = \"{text}\": expected a path, without blanks, ? and #")]
            );
        }
    }

    #[test]
    fn the_path_of_the_metrics_is_that_of_nothing_else() {
        let path = |text: &str| ui(&format!("metrics.prometheus.path={text}")).metrics_path;
        assert_eq!(path("/"), "/");
        assert_eq!(path("/healthz"), "/healthz");
        let error = |text: &str| {
            let mut errors = errors(text);
            assert_eq!(errors.len(), 1, "{errors:?}");
            errors.remove(0)
        };
        let key = "metrics.prometheus.path";
        assert_eq!(
            error(&format!("{key}=metrics")),
            "f:1: metrics.prometheus.path = \"metrics\": expected a path that begins with /"
        );
        let taken = "expected another path; this one has a meaning of its own";
        for text in ["/health", "/api/config"] {
            assert_eq!(
                error(&format!("{key}={text}")),
                format!("f:1: {key} = \"{text}\": {taken}")
            );
        }
        let text = format!("{key}=/lb/api/metrics\nui.path=lb");
        assert_eq!(error(&text), format!("f:1: {key} = \"/lb/api/metrics\": {taken}"));
        assert!(errors(&format!("{key}=/api/metrics\nui.path=lb")).is_empty());
    }

    /// The user name and the password, as the files of the tests have it.
    fn user(text: &str) -> Option<(String, String)> {
        let credentials = ui(text).credentials;
        credentials.map(|(name, password)| (name, password.expose().to_owned()))
    }

    #[test]
    fn a_user_has_a_name_and_one_password() {
        let some = |password: &str| Some(("ops".to_owned(), password.to_owned()));
        assert_eq!(user(""), None);
        assert_eq!(user("ui.username=\nui.password=\nui.passwordfile="), None);
        assert_eq!(user("ui.username=ops\nui.password=s3:cret"), some("s3:cret"));
        assert_eq!(user("ui.username=ops\nui.passwordfile=/etc/pw"), some("/ETC/PW"));
        assert_eq!(user("ui.username=ops\nui.passwordfile=/etc/pw\\nb"), some("/ETC/PW"));
        let golden = [
            (
                "ui.username=ops",
                "f:1: ui.username = \"ops\": the user has no password; set ui.password or \
                 ui.passwordfile",
            ),
            ("ui.password=s3cret", "ui.username: there is a password, and no user of it"),
            ("ui.passwordfile=x", "ui.username: there is a password, and no user of it"),
            (
                "ui.username=ops\nui.password=s3cret\nui.passwordfile=x",
                "f:3: ui.passwordfile = \"x\": ui.password is set too; remove one",
            ),
            (
                "ui.username=ops\nui.passwordfile=missing",
                "f:2: ui.passwordfile = \"missing\": cannot be read: entity not found",
            ),
            (
                "ui.username=ops\nui.passwordfile=\\nx",
                "f:2: ui.passwordfile = \"\\nx\": the first line of the file is empty (there is a \
                 blank before or after it)",
            ),
            (
                "ui.username=o:ps\nui.password=s3cret",
                "f:1: ui.username = \"o:ps\": expected a name without a colon",
            ),
            (
                "ui.username=o\\tps\nui.password=s3cret",
                "f:1: ui.username = \"o\\tps\": expected a text without control characters",
            ),
            (
                "ui.username=ops\nui.password=s3\\ncret",
                "f:2: ui.password: expected a text without control characters",
            ),
        ];
        for (text, error) in golden {
            assert_eq!(errors(text), [error], "{text}");
        }
    }

    #[test]
    fn the_password_is_never_printed() {
        let loaded = loaded("ui.username=ops\nui.password=s3cret");
        let printed = loaded.effective.to_string();
        assert!(printed.contains("\nui.password = ***\n"), "{printed}");
        let shown = format!("{printed}{:?}{:?}", loaded.config, loaded.warnings);
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
