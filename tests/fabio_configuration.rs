//! fabio's configuration, behaviour by behaviour: flags, environment,
//! properties file, values and lists. `docs/fabio-configuration.md` is the
//! list of all, with the test of each.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use burgee::config::{
    Config, ListenerConfig, LoadError, Loaded, Request, Sources, Strategy, load, request,
};
use burgee::reactor::interfaces::{InterfaceAddress, Interfaces};
use log::LevelFilter;

#[path = "common/documents.rs"]
mod documents;

fn own(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn pairs(environment: &[(&str, &str)]) -> Vec<(String, String)> {
    environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Loads from flags, variables and the file `f`.
fn from(flags: &[&str], environment: &[(&str, &str)], file: &[u8]) -> Result<Loaded, LoadError> {
    load(&own(flags), &pairs(environment), &|path| match path {
        "f" => Ok(file.to_vec()),
        _ => Err(io::ErrorKind::NotFound.into()),
    })
}

fn file(text: &str) -> Loaded {
    from(&["-cfg=f"], &[], text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

fn file_errors(text: &str) -> Vec<String> {
    from(&["-cfg=f"], &[], text.as_bytes()).map_or_else(|error| error.errors, |_| Vec::new())
}

fn flags(flags: &[&str]) -> Config {
    from(flags, &[], b"").unwrap_or_else(|error| panic!("{flags:?}: {error:?}")).config
}

fn environment(variables: &[(&str, &str)]) -> Loaded {
    from(&[], variables, b"").unwrap()
}

/// A value of a text key as it is written in a file: the route commands, which
/// take any text.
fn text_of(written: &str) -> String {
    file(&format!("registry.static.routes{written}")).config.registry.static_routes().to_owned()
}

/// Exit status, stdout and stderr of the program in a clean environment.
fn burgee(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_burgee"))
        .env_clear()
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

// Sources.

#[test]
fn flags_go_before_variables_before_the_file_before_the_default_key_by_key() {
    let text = b"proxy.dialtimeout=4s\nproxy.idletimeout=4s\nproxy.shutdownwait=4s\n\
                 proxy.readtimeout=4s\nproxy.addr=:1;proto=tcp";
    let variables = [
        ("FABIO_PROXY_DIALTIMEOUT", "2s"),
        ("FABIO_PROXY_IDLETIMEOUT", "2s"),
        ("PROXY_DIALTIMEOUT", "3s"),
        ("PROXY_IDLETIMEOUT", "3s"),
        ("PROXY_SHUTDOWNWAIT", "3s"),
    ];
    let proxy = from(&["-cfg=f", "-proxy.dialtimeout=1s"], &variables, text).unwrap().config.proxy;
    let found = [
        proxy.dial_timeout,
        proxy.idle_timeout,
        proxy.shutdown_wait,
        proxy.listeners[0].read_timeout,
        proxy.listeners[0].write_timeout,
    ];
    assert_eq!(found.map(|time| time.as_secs()), [1, 2, 3, 4, 0]);
}

// The command line.

#[test]
fn one_dash_and_two_are_the_same() {
    for flag in ["-proxy.strategy=rr", "--proxy.strategy=rr"] {
        assert_eq!(flags(&[flag]).proxy.strategy, Strategy::RoundRobin);
    }
}

#[test]
fn a_value_follows_an_equals_sign_or_is_the_next_argument() {
    assert_eq!(flags(&["-proxy.strategy", "rr"]).proxy.strategy, Strategy::RoundRobin);
    assert_eq!(flags(&["--proxy.strategy", "rr"]).proxy.strategy, Strategy::RoundRobin);
    let routes = flags(&["-registry.static.routes=a=b"]).registry;
    assert_eq!(routes.static_routes(), "a=b");
    let dash = flags(&["-registry.static.routes", "-x"]).registry;
    assert_eq!(dash.static_routes(), "-x");
}

#[test]
fn the_last_flag_of_a_key_counts() {
    assert_eq!(flags(&["-health.rise=1", "-health.rise", "7"]).health.rise, 7);
}

#[test]
fn a_boolean_needs_no_value() {
    let watch = |arguments: &[&str]| from(arguments, &[], b"").unwrap().config.watch;
    assert!(watch(&["-config.watch"]));
    assert!(watch(&["-config.watch=true"]));
    assert!(!watch(&["-config.watch=false"]));
    assert!(watch(&["-config.watch", "-proxy.strategy=rr"]));
}

#[test]
fn a_detached_value_of_a_boolean_is_an_error() {
    let error = from(&["-config.watch", "false"], &[], b"").unwrap_err();
    assert_eq!(error.exit_code, 2);
    assert_eq!(
        error.errors,
        ["unexpected argument \"false\": a boolean takes its value after \"=\", as in \
          -config.watch=false"]
    );
}

#[test]
fn what_follows_the_flags_is_an_error() {
    for arguments in [&["-health.rise=1", "extra"][..], &["--", "extra"], &["--", "-health.rise=1"]]
    {
        let error = from(arguments, &[], b"").unwrap_err();
        assert_eq!((error.exit_code, error.errors.len()), (2, 1), "{arguments:?}");
        assert!(error.errors[0].starts_with("unexpected argument"), "{arguments:?}");
    }
    assert_eq!(flags(&["-health.rise=7", "--"]).health.rise, 7);
}

#[test]
fn an_unknown_flag_or_a_bad_value_exits_with_2() {
    let (status, printed, errors) = burgee(&["-weather=fine"]);
    assert_eq!((status, printed.as_str()), (2, ""));
    assert_eq!(errors, "error: unknown flag -weather\nsee burgee --help\n");
    for bad in ["-health.rise=x", "-config.watch=yes", "-proxy.dialtimeout=30", "-health.rise"] {
        let (status, _, errors) = burgee(&["run", bad]);
        assert_eq!(status, 2, "{bad}: {errors}");
    }
}

#[test]
fn help_is_printed_and_exits_with_0() {
    for flag in ["-h", "-help", "--h", "--help"] {
        let (status, printed, errors) = burgee(&[flag]);
        assert_eq!((status, errors.as_str()), (0, ""), "{flag}");
        assert!(printed.contains("proxy.addr") && printed.contains("-cfg"), "{flag}");
    }
    assert_eq!(request(&own(&["-log.level", "-h"])), Request::Load, "it is a value");
}

#[test]
fn flags_are_the_keys_with_their_case() {
    let check_interval = "-registry.consul.register.checkInterval=9s";
    assert!(from(&[check_interval], &[], b"").is_ok());
    let error = from(&["-Proxy.Strategy=rr"], &[], b"").unwrap_err();
    assert_eq!(error.errors, ["unknown flag -Proxy.Strategy; did you mean -proxy.strategy?"]);
}

#[test]
fn the_version_is_asked_for_anywhere() {
    let version = format!("burgee {}\n", env!("CARGO_PKG_VERSION"));
    for arguments in [
        &["-v"][..],
        &["-version"],
        &["--version"],
        &["-weather", "-v"],
        &["-cfg", "nowhere", "--version"],
        &["run", "extra", "-version"],
        &["--", "-v"],
        &["-log.level", "-v"],
    ] {
        assert_eq!(burgee(arguments), (0, version.clone(), String::new()), "{arguments:?}");
    }
}

#[test]
fn double_dash_v_does_nothing() {
    assert_eq!(request(&own(&["--v"])), Request::Load);
    assert_eq!(flags(&["--v", "-health.rise=7"]).health.rise, 7);
}

#[test]
fn all_forms_of_cfg() {
    let text = b"health.rise=7";
    for arguments in [
        &["-cfg", "f"][..],
        &["--cfg", "f"],
        &["-cfg=f"],
        &["--cfg=f"],
        &["-cfg=\"f\""],
        &["-cfg='f'"],
        &["-proxy.strategy=rr", "-cfg", "f"],
    ] {
        let config = from(arguments, &[], text).unwrap().config;
        assert_eq!(config.health.rise, 7, "{arguments:?}");
    }
    // One pair, both of one kind, and only after an equals sign.
    for arguments in [&["-cfg=\"f'"][..], &["-cfg=''f''"], &["-cfg", "'f'"]] {
        assert!(from(arguments, &[], text).is_err(), "{arguments:?}");
    }
}

#[test]
fn cfg_without_a_path_is_an_error() {
    for arguments in [&["-cfg"][..], &["-cfg="], &["--cfg=''"], &["-cfg", ""]] {
        let error = from(arguments, &[], b"").unwrap_err();
        assert_eq!(error.errors, ["flag -cfg: invalid or missing path to config file"]);
    }
    assert_eq!(burgee(&["-cfg"]).0, 2);
}

#[test]
fn the_last_cfg_counts() {
    let config = from(&["-cfg=nowhere", "-cfg", "f"], &[], b"health.rise=7").unwrap().config;
    assert_eq!(config.health.rise, 7);
    assert!(from(&["-cfg=f", "-cfg=nowhere"], &[], b"").is_err());
}

#[test]
fn flags_of_gos_tests_are_unknown() {
    let error = from(&["-test.v"], &[], b"").unwrap_err();
    assert_eq!(error.errors, ["unknown flag -test.v"]);
}

#[test]
fn without_cfg_no_file_is_read() {
    let asked = std::cell::Cell::new(false);
    let loaded = load(&[], &[], &|_| {
        asked.set(true);
        Err(io::ErrorKind::NotFound.into())
    });
    assert!(loaded.is_ok() && !asked.get());
}

// The environment.

#[test]
fn a_variable_is_the_key_with_underscores_after_the_prefix() {
    let config = environment(&[("FABIO_PROXY_STRATEGY", "rr"), ("FABIO_HEALTH_RISE", "7")]).config;
    assert_eq!((config.proxy.strategy, config.health.rise), (Strategy::RoundRobin, 7));
}

#[test]
fn variables_are_compared_without_case() {
    for name in ["FABIO_PROXY_STRATEGY", "fabio_proxy_strategy", "Fabio_Proxy_Strategy"] {
        assert_eq!(environment(&[(name, "rr")]).config.proxy.strategy, Strategy::RoundRobin);
    }
    // A key with capitals is found too: it is not supported yet, and says so.
    let name = "FABIO_REGISTRY_CONSUL_REGISTER_CHECKINTERVAL";
    let told = environment(&[(name, "9s")]).warnings;
    assert!(told[0].contains("registry.consul.register.checkInterval is known"), "{told:?}");
}

#[test]
fn a_variable_without_the_prefix_counts_and_one_with_it_goes_before() {
    assert_eq!(environment(&[("LOG_LEVEL", "WARN")]).config.log.level, LevelFilter::Warn);
    let both = [("FABIO_LOG_LEVEL", "ERROR"), ("LOG_LEVEL", "WARN")];
    assert_eq!(environment(&both).config.log.level, LevelFilter::Error);
    assert_eq!(environment(&both[1..]).effective.to_string().matches("LOG_LEVEL").count(), 1);
}

#[test]
fn a_variable_that_is_set_to_nothing_is_set() {
    let listener = b"proxy.addr=:80;proto=tcp";
    assert_eq!(from(&["-cfg=f"], &[], listener).unwrap().config.proxy.listeners.len(), 1);
    let empty = from(&["-cfg=f"], &[("PROXY_ADDR", "")], listener).unwrap();
    assert!(empty.config.proxy.listeners.is_empty());
}

#[test]
fn a_variable_with_the_prefix_that_is_no_key_is_named() {
    let told = environment(&[("FABIO_PROXY_STRATGEY", "rr"), ("PROXY_STRATGEY", "rr")]).warnings;
    let about: Vec<&String> = told.iter().filter(|text| text.contains("STRATGEY")).collect();
    assert_eq!(
        about,
        ["environment variable FABIO_PROXY_STRATGEY: it belongs to no key; did you mean \
             FABIO_PROXY_STRATEGY?"]
    );
}

#[test]
fn variables_for_go_consul_and_vault_change_nothing() {
    let others =
        [("GOGC", "1"), ("GOMAXPROCS", "1"), ("CONSUL_HTTP_ADDR", "x"), ("VAULT_ADDR", "x")];
    let (with, without) = (environment(&others), environment(&[]));
    assert_eq!(with.config, without.config);
    assert_eq!(with.warnings, without.warnings);
}

// The properties file.

#[test]
fn variables_in_the_path_are_put_in() {
    let config = from(&["-cfg=${NAME}"], &[("NAME", "f")], b"health.rise=7").unwrap().config;
    assert_eq!(config.health.rise, 7);
    let error = from(&["-cfg=${NAME}"], &[], b"").unwrap_err();
    assert_eq!(error.errors, ["flag -cfg: there is no environment variable NAME"]);
}

#[test]
fn a_url_is_refused() {
    for url in ["http://example.net/fabio.properties", "https://example.net/x"] {
        let error = from(&["-cfg", url], &[], b"").unwrap_err();
        assert_eq!(
            error.errors,
            ["flag -cfg: a configuration from a URL is not supported; give a file"]
        );
    }
}

#[test]
fn a_file_is_utf8() {
    assert_eq!(text_of("=\u{e4}\u{1f6a9}"), "\u{e4}\u{1f6a9}");
    let error = from(&["-cfg=f"], &[], b"a=b\nui.title=\xe4").unwrap_err();
    assert_eq!(error.errors, ["f:2: the file is not UTF-8"]);
}

#[test]
fn a_file_that_cannot_be_read_exits_with_1() {
    let (status, printed, errors) = burgee(&["-cfg", "/nowhere/fabio.properties"]);
    assert_eq!((status, printed.as_str()), (1, ""));
    assert!(errors.starts_with("error: /nowhere/fabio.properties: cannot be read"), "{errors}");
}

#[test]
fn comments_begin_a_line() {
    let text = "# registry.static.routes=a\n ! registry.static.routes=b\n";
    assert_eq!(file(text).config.registry.static_routes(), "");
    assert_eq!(text_of("=a # b ! c"), "a # b ! c");
}

#[test]
fn a_key_ends_at_a_blank_an_equals_sign_or_a_colon() {
    for separator in ["=", ":", " ", "\t", "\u{c}", " = ", "\t:\u{c}", "  "] {
        assert_eq!(text_of(&format!("{separator}a")), "a", "{separator:?}");
    }
    assert_eq!(text_of("==a"), "=a");
    assert_eq!(text_of("=:a"), ":a");
    assert_eq!(text_of(""), "");
}

#[test]
fn blanks_after_a_value_count() {
    assert_eq!(text_of("= a \t"), "a \t");
    assert_eq!(
        file_errors("proxy.strategy = rr "),
        [
            "f:1: proxy.strategy = \"rr \": expected rnd, rr, least or hash (there is a blank before \
          or after it)"
        ]
    );
}

#[test]
fn a_backslash_at_the_end_continues_a_line() {
    assert_eq!(text_of("=a,\\\n   b,\\\r\n\tc"), "a,b,c");
    assert_eq!(text_of("=a\\\n# b"), "a# b");
    assert_eq!(text_of("=a\\\\\nhealth.rise=3"), "a\\");
}

#[test]
fn escapes_of_properties() {
    assert_eq!(text_of("=\\n\\r\\t\\f"), "\n\r\t\u{c}");
    assert_eq!(text_of("=\\u00e4\\u20AC"), "\u{e4}\u{20ac}");
    assert_eq!(text_of("=\\a\\:\\=\\#\\\\\\\""), "a:=#\\\"");
    assert_eq!(file("registry\\.static.routes=a").config.registry.static_routes(), "a");
    for bad in ["\\u12", "\\u12g4", "\\u"] {
        assert_eq!(
            file_errors(&format!("ui.title={bad}")),
            ["f:1: \\u needs exactly four hexadecimal digits that name a character"]
        );
    }
}

#[test]
fn lines_end_with_cr_or_lf_or_both() {
    let config = file("health.rise=5\rhealth.fall=6\r\nproxy.strategy=rr\n").config;
    assert_eq!((config.health.rise, config.health.fall), (5, 6));
    assert_eq!(config.proxy.strategy, Strategy::RoundRobin);
}

#[test]
fn of_a_key_that_is_there_twice_the_last_value_counts() {
    let loaded = file("health.rise=5\nhealth.rise=6");
    assert_eq!(loaded.config.health.rise, 6);
    assert_eq!(loaded.warnings[0], "f:2: health.rise is set again; its value of line 1 is lost");
}

#[test]
fn names_in_braces_are_of_the_file_then_of_the_environment() {
    let text = b"registry.static.routes=${a}/${HOST}/$b/${b}\na=x${c}\nb=from the file\nc=y";
    let loaded = from(&["-cfg=f"], &[("HOST", "h"), ("b", "not this")], text).unwrap();
    assert_eq!(loaded.config.registry.static_routes(), "xy/h/$b/from the file");
    let told: Vec<&String> = loaded.warnings.iter().filter(|t| t.starts_with("f:")).collect();
    assert!(told.is_empty(), "names of the file are no unknown keys: {told:?}");
}

#[test]
fn a_name_that_is_nowhere_stands_for_nothing_and_is_named() {
    let loaded = file("registry.static.routes=<${nobody}>");
    assert_eq!(loaded.config.registry.static_routes(), "<>");
    assert_eq!(
        loaded.warnings[0],
        "f:1: registry.static.routes: ${nobody} is neither a key of this file nor an environment \
         variable; it stands for nothing"
    );
}

#[test]
fn names_in_a_circle_and_open_braces_are_errors() {
    assert_eq!(
        file_errors("a=${b}\nb=${c}\nc=${b}"),
        [
            "f:1: a: ${} goes in a circle: a -> b -> c -> b",
            "f:2: b: ${} goes in a circle: b -> c -> b",
            "f:3: c: ${} goes in a circle: c -> b -> c",
        ]
    );
    assert_eq!(file_errors("weather=${fine"), ["f:1: weather: a \"${\" without a \"}\" after it"]);
}

#[test]
fn names_are_put_into_every_value_even_passwords() {
    let peer = "bgp.peers=address=192.0.2.1;asn=1;password=a${x}b\nx=s3cret";
    let password = file(peer).config.bgp.peers[0].password.clone().unwrap();
    assert_eq!(password.expose(), "as3cretb");
    // But not into variables of the environment, nor flags.
    let routes = [("REGISTRY_STATIC_ROUTES", "${HOME}"), ("HOME", "/")];
    assert_eq!(environment(&routes).config.registry.static_routes(), "${HOME}");
    assert_eq!(flags(&["-registry.static.routes=${HOME}"]).registry.static_routes(), "${HOME}");
}

#[test]
fn unknown_keys_are_named_and_have_their_case() {
    let loaded =
        file("proxy.stratgey=rr\nLog.Level=WARN\nweather=fine\ntracing.TracingEnabled=true");
    assert_eq!(
        loaded.warnings[..4],
        [
            "f:1: unknown key \"proxy.stratgey\"; did you mean \"proxy.strategy\"?",
            "f:2: unknown key \"Log.Level\"; did you mean \"log.level\"?",
            "f:3: unknown key \"weather\"; it has no effect",
            "f:4: tracing.TracingEnabled has no effect: fabio has no tracing since its version 1.7.0",
        ]
    );
    assert_eq!(loaded.config.log.level, LevelFilter::Info);
}

#[test]
fn keys_as_fabios_documentation_has_them_are_taken_for_the_real_ones() {
    for (alias, key) in [
        ("registry.consul.pollInterval", "registry.consul.pollinterval"),
        ("registry.static.noroutehtmlpath", "registry.static.noroutehtml"),
        (
            "registry.consul.register.deregisterCriticalServiceAfter",
            "registry.consul.register.checkDeregisterCriticalServiceAfter",
        ),
    ] {
        let taken = format!("f:1: {alias} is taken for {key}, which is the name of the key");
        assert_eq!(file(&format!("{alias}=1s")).warnings[0], taken);
        let told = file(&format!("{key}=1s\n{alias}=2s")).warnings;
        assert!(
            told.contains(&format!("f:2: {alias} has no effect: {key} is set too")),
            "{told:?}"
        );
        assert!(from(&[&format!("-{alias}=1s")], &[], b"").is_ok());
    }
}

// Values.

#[test]
fn gos_spellings_of_a_boolean() {
    for (spellings, value) in [
        (["1", "t", "T", "TRUE", "true", "True"], true),
        (["0", "f", "F", "FALSE", "false", "False"], false),
    ] {
        for text in spellings {
            assert_eq!(file(&format!("config.watch={text}")).config.watch, value, "{text}");
        }
    }
}

#[test]
fn gos_spellings_of_a_number() {
    for (text, value) in [
        ("179", 179),
        ("0xb3", 179),
        ("0o263", 179),
        ("0263", 179),
        ("0b10110011", 179),
        ("1_79", 179),
    ] {
        assert_eq!(file(&format!("health.rise={text}")).config.health.rise, value, "{text}");
    }
}

#[test]
fn gos_spellings_of_a_duration() {
    let time = |text: &str| file(&format!("proxy.idletimeout={text}")).config.proxy.idle_timeout;
    for (text, micros) in [
        ("0", 0),
        ("5us", 5),
        ("5\u{b5}s", 5),
        ("300ms", 300_000),
        ("1.5s", 1_500_000),
        ("2m30s", 150_000_000),
        ("1h", 3_600_000_000),
    ] {
        assert_eq!(time(text), Duration::from_micros(micros), "{text}");
    }
    assert_eq!(time("7ns"), Duration::from_nanos(7));
}

#[test]
fn lists_are_trimmed_and_take_the_place_of_the_default() {
    let addresses =
        |text: &str| file(&format!("bgp.listenaddresses={text}")).config.bgp.listen_addresses;
    let expected: [std::net::IpAddr; 2] = ["192.0.2.1", "::1"].map(|text| text.parse().unwrap());
    assert_eq!(addresses(" 192.0.2.1 , ,::1,"), expected);
}

#[test]
fn a_bad_value_is_an_error_wherever_it_is_and_never_zero() {
    for (key, value) in [
        ("config.watch", "yes"),
        ("health.rise", "many"),
        ("health.rise", ""),
        ("health.rise", "4294967296"),
        ("health.rise", "-1"),
        ("proxy.dialtimeout", "30"),
        ("proxy.dialtimeout", "-1s"),
        ("proxy.dialtimeout", "1 s"),
        ("bgp.listenport", "65536"),
        ("bgp.asn", "4294967296"),
    ] {
        let bgp = "\nbgp.enabled=true\nbgp.routerid=198.51.100.1\n\
                   bgp.anycastaddresses=192.0.2.53/32\nbgp.peers=address=198.51.100.2;asn=1\n";
        let text = format!("{key}={value}{bgp}");
        let in_file = from(&["-cfg=f"], &[], text.as_bytes()).unwrap_err();
        assert_eq!((in_file.exit_code, in_file.errors.len()), (1, 1), "{key}={value}");
        assert!(in_file.errors[0].starts_with(&format!("f:1: {key}")), "{:?}", in_file.errors);
        let name = key.replace('.', "_").to_uppercase();
        let variable = from(&["-cfg=f"], &[(&name, value)], bgp.as_bytes()).unwrap_err();
        assert_eq!((variable.exit_code, variable.errors.len()), (1, 1), "{key}={value}");
        let flag = from(&["-cfg=f", &format!("-{key}={value}")], &[], bgp.as_bytes()).unwrap_err();
        assert_eq!((flag.exit_code, flag.errors.len()), (2, 1), "{key}={value}");
    }
}

// Lists of maps.

fn listeners(text: &str) -> Vec<ListenerConfig> {
    file(&format!("proxy.addr={text}")).config.proxy.listeners
}

/// The password of a neighbour, which is any text.
fn password(written: &str) -> String {
    // Through a variable, so that no escape of the file is in the way.
    let peers = format!("address=192.0.2.1;asn=1;password={written}");
    let config = environment(&[("BGP_PEERS", &peers)]).config;
    config.bgp.peers[0].password.clone().expect("a password").expose().to_owned()
}

fn list_error(text: &str) -> String {
    let error = from(&[], &[("BGP_PEERS", text)], b"").unwrap_err();
    assert_eq!((error.exit_code, error.errors.len()), (1, 1), "{text}");
    error.errors[0].replace("environment variable BGP_PEERS: bgp.peers: ", "")
}

#[test]
fn maps_pairs_and_values_are_divided_by_comma_semicolon_and_equals_sign() {
    let found = listeners(":80;proto=tcp;rt=1s,addr=192.0.2.1:81;proto=tcp;rt=2s");
    let found: Vec<(String, u64)> =
        found.iter().map(|l| (l.address.to_string(), l.read_timeout.as_secs())).collect();
    assert_eq!(found, [("[::]:80".to_owned(), 1), ("192.0.2.1:81".to_owned(), 2)]);
}

#[test]
fn only_the_first_item_of_a_map_may_be_bare() {
    assert_eq!(listeners(":80;proto=tcp").len(), 1);
    let error = file_errors("proxy.addr=proto=tcp;:80");
    assert!(
        error[0].starts_with("f:1: proxy.addr: character 11: a key without \"=\""),
        "{error:?}"
    );
}

#[test]
fn a_value_may_hold_equals_signs() {
    assert_eq!(password("http://x/y?token=abc"), "http://x/y?token=abc");
}

#[test]
fn a_token_in_double_quotes_may_hold_separators() {
    assert_eq!(password("\"a,b;c=d\""), "a,b;c=d");
    assert_eq!(password("\"a\"b"), "ab", "what follows the quote is appended");
    assert_eq!(password("a\"b\""), "a\"b\"", "a quote inside is ordinary");
}

#[test]
fn gos_escapes_in_double_quotes() {
    assert_eq!(
        password(r#""\a\b\f\n\r\t\v\\\"\x41\101\u00e4\U0001F6A9""#),
        "\x07\x08\x0c\n\r\t\x0b\\\"AA\u{e4}\u{1f6a9}"
    );
    for text in [r#"a="\q""#, r#"a="\x4""#, r#"a="\'""#] {
        assert_eq!(list_error(text), "character 4: invalid escape sequence", "{text}");
    }
    assert_eq!(list_error("a=\"b\\"), "character 5: unterminated escape sequence");
    assert_eq!(list_error("a=\"b"), "character 3: unbalanced quotes");
}

#[test]
fn single_quotes_hold_one_character() {
    assert_eq!(password("'a'"), "a");
    assert_eq!(password(r"'\n'b"), "\nb");
    let one = "character 3: single quotes hold exactly one character; use double quotes";
    assert_eq!(list_error("a='foo'"), one);
}

#[test]
fn keys_are_trimmed_and_values_are_not() {
    assert_eq!(password(" x "), " x ");
    assert_eq!(listeners(" :80 ; proto=tcp")[0].address.port(), 80);
    let error = file_errors("proxy.addr=:80;proto=tcp;rt=3s ,:81;proto=tcp");
    assert_eq!(
        error,
        ["f:1: proxy.addr: listener :80: rt = \"3s \": expected a duration such as 30s or 1m30s \
          (there is a blank before or after it)"]
    );
}

#[test]
fn empty_maps_and_pairs_are_skipped() {
    assert_eq!(listeners(",;:80;;proto=tcp;,,;,").len(), 1);
    assert_eq!(listeners("").len(), 0);
}

#[test]
fn a_separator_or_key_out_of_place_is_an_error_with_its_place() {
    assert_eq!(list_error("=b"), "character 1: a value without a key before the \"=\"");
    let without = "a key without \"=\"; expected key=value, and a value that contains , or ; in \
                   double quotes";
    assert_eq!(list_error("a=b;c;d=e"), format!("character 5: {without}"));
    // fabio drops this one in silence.
    assert_eq!(list_error("a=b;c"), format!("character 5: {without}"));
}

#[test]
fn of_an_option_that_is_there_twice_the_last_value_counts() {
    let loaded = file("proxy.addr=:80;proto=tcp;rt=1s;rt=2s");
    assert_eq!(loaded.config.proxy.listeners[0].read_timeout, Duration::from_secs(2));
    assert_eq!(
        loaded.warnings,
        ["f:1: proxy.addr: listener :80: option \"rt\" is there twice; the last one counts"]
    );
}

#[test]
fn unknown_options_are_named() {
    assert_eq!(
        file("proxy.addr=:80;proto=tcp;ptoro=x;weather=fine;pxyprot=true").warnings,
        [
            "f:1: proxy.addr: listener :80: unknown option \"ptoro\"; it has no effect",
            "f:1: proxy.addr: listener :80: unknown option \"weather\"; it has no effect",
            "f:1: proxy.addr: listener :80: unknown option \"pxyprot\"; did you mean \"pxyproto\"?",
        ]
    );
}

// Templates of addresses.

/// Loads listeners on a host with one interface, whose addresses these are.
fn on_a_host(
    addresses: fn() -> io::Result<Interfaces>,
    listeners: &str,
) -> Result<Loaded, LoadError> {
    let arguments = vec![format!("-proxy.addr={listeners}")];
    let sources = Sources { arguments, environment: Vec::new(), interfaces: addresses };
    sources.load(&|_| Err(io::ErrorKind::NotFound.into()))
}

fn eth0(addresses: &[&str]) -> Interfaces {
    let own = |text: &&str| InterfaceAddress {
        name: "eth0".to_owned(),
        address: text.parse().unwrap(),
        prefix_len: 24,
        up: true,
        loopback: false,
    };
    Interfaces {
        addresses: addresses.iter().map(own).collect(),
        default_route: Some("eth0".to_owned()),
    }
}

#[test]
fn templates_stand_for_addresses_of_the_host() {
    let host = || Ok(eth0(&["fe80::1", "9.9.9.9", "10.0.0.9"]));
    for (template, address) in [
        ("{{ GetPrivateIP }}:80", "10.0.0.9:80"),
        ("{{GetPublicIP}}:80", "9.9.9.9:80"),
        ("{{ GetInterfaceIP \"eth0\" }}:80", "9.9.9.9:80"),
        ("{{ GetInterfaceIP `eth0` }}:80", "9.9.9.9:80"),
    ] {
        let loaded = on_a_host(host, &format!("{template};proto=tcp")).unwrap();
        assert_eq!(loaded.config.proxy.listeners[0].address, address.parse().unwrap());
        let printed = loaded.effective.to_string();
        assert!(printed.contains(&format!("\n# {template} is {address}\n")), "{printed}");
    }
}

#[test]
fn templates_are_looked_up_at_each_load() {
    static LOADS: AtomicU8 = AtomicU8::new(0);
    let moving = || {
        let last = LOADS.fetch_add(1, Ordering::Relaxed);
        Ok(eth0(&[&format!("10.0.0.{last}")]))
    };
    let arguments = own(&["-proxy.addr={{ GetPrivateIP }}:80;proto=tcp"]);
    let sources = Sources { arguments, environment: Vec::new(), interfaces: moving };
    for address in ["10.0.0.0:80", "10.0.0.1:80"] {
        let config = sources.load(&|_| Err(io::ErrorKind::NotFound.into())).unwrap().config;
        assert_eq!(config.proxy.listeners[0].address, address.parse().unwrap());
    }
}

#[test]
fn a_template_without_an_address_is_an_error() {
    let error =
        on_a_host(|| Ok(eth0(&["fe80::1"])), "{{ GetPrivateIP }}:80;proto=tcp").unwrap_err();
    assert_eq!(
        error.errors,
        ["flag -proxy.addr: proxy.addr: listener {{ GetPrivateIP }}:80: {{ GetPrivateIP }}: no \
          interface that is up has a private address"]
    );
}

#[test]
fn other_templates_are_errors_that_say_what_is_supported() {
    let host = || Ok(eth0(&["10.0.0.9"]));
    let pipeline = "{{ GetPrivateInterfaces | attr \"address\" }}:80;proto=tcp";
    let error = on_a_host(host, pipeline).unwrap_err().errors.remove(0);
    assert!(error.contains("supported are {{ GetPrivateIP }}, {{ GetPublicIP }}"), "{error}");
    assert!(on_a_host(host, "{{ GetPrivateIP :80;proto=tcp").is_err());
}

// The admin API.

#[cfg(feature = "http")]
#[test]
fn the_api_is_for_this_host_unless_it_is_asked_for() {
    let ui = flags(&[]).ui;
    assert_eq!(ui.addr, "127.0.0.1:9998".parse().ok());
    assert!(!ui.addr_is_set && !ui.read_only);
    let loaded = file("ui.addr=:9998");
    assert_eq!(loaded.config.ui.addr, "[::]:9998".parse().ok());
    assert!(loaded.config.ui.dual_stack && loaded.config.ui.addr_is_set);
    assert!(loaded.warnings[0].contains("whoever reaches this address"), "{:?}", loaded.warnings);
}

#[cfg(feature = "http")]
#[test]
fn the_api_has_one_listener() {
    assert_eq!(
        file_errors("ui.addr=127.0.0.1:1,127.0.0.1:2"),
        ["f:1: ui.addr = \"127.0.0.1:1,127.0.0.1:2\": expected one listener"]
    );
    assert_eq!(file("ui.addr=").config.ui.addr, None);
}

#[cfg(feature = "http")]
#[test]
fn the_api_may_be_at_a_template() {
    let sources = Sources {
        arguments: own(&["-ui.addr={{ GetPrivateIP }}:9998"]),
        environment: Vec::new(),
        interfaces: || Ok(eth0(&["10.0.0.9"])),
    };
    let loaded = sources.load(&|_| Err(io::ErrorKind::NotFound.into())).unwrap();
    assert_eq!(loaded.config.ui.addr, "10.0.0.9:9998".parse().ok());
}

#[cfg(feature = "http")]
#[test]
fn tls_for_the_api_is_an_error() {
    for options in ["proto=https", "cs=mycerts", "proto=https;cs=mycerts"] {
        let errors = file_errors(&format!("ui.addr=127.0.0.1:9998;{options}"));
        assert_eq!(errors.len(), options.split(';').count(), "{errors:?}");
        assert!(errors.iter().all(|error| error.contains("not supported yet")), "{errors:?}");
    }
    assert_eq!(file_errors("ui.addr=127.0.0.1:9998;proto=http"), Vec::<String>::new());
}

#[cfg(feature = "http")]
#[test]
fn time_limits_of_the_api_are_its_own() {
    let warnings = file("ui.addr=127.0.0.1:9998;rt=3s;wt=3s").warnings;
    let own = |key: &str| {
        format!(
            "f:1: ui.addr: listener 127.0.0.1:9998: option \"{key}\" has no effect: the API has \
             time limits of its own"
        )
    };
    assert_eq!(warnings[..2], [own("rt"), own("wt")]);
}

#[test]
fn access_to_the_api_is_rw_or_ro() {
    assert!(!file("ui.access=rw").config.ui.read_only);
    assert!(file("ui.access=ro").config.ui.read_only);
    assert_eq!(file_errors("ui.access=RO"), ["f:1: ui.access = \"RO\": expected rw or ro"]);
}

#[test]
fn the_path_of_the_api_is_trimmed() {
    for (written, path) in [("", ""), ("/", ""), ("/lb/", "/lb"), ("lb", "/lb")] {
        assert_eq!(file(&format!("ui.path={written}")).config.ui.path, path, "{written:?}");
    }
}

#[test]
fn metrics_have_a_path() {
    assert_eq!(flags(&[]).ui.metrics_path, "/metrics");
    assert_eq!(file("metrics.prometheus.path=/m").config.ui.metrics_path, "/m");
    let told = file("metrics.target=prometheus").warnings;
    assert!(told[0].contains("metrics.target is known from fabio"), "{told:?}");
}

#[test]
fn secrets_of_the_configuration_in_force_are_masked() {
    let text =
        "ui.username=ops\nui.password=s3cret\nbgp.peers=address=192.0.2.1;asn=1;password=s3cret";
    let loaded = file(text);
    let told = |texts: &[&str]| texts.iter().all(|text| !text.contains("s3cret"));
    let printed = loaded.effective.to_string();
    let debugged = format!("{:?}", loaded.config);
    assert!(told(&[&printed, &debugged]), "{printed}{debugged}");
    let values = format!("{:?}", loaded.effective.values().collect::<Vec<_>>());
    assert!(told(&[&values]) && values.contains("***"), "{values}");
}

// The document.

#[test]
fn the_document_names_every_test_of_this_file() {
    let document = documents::document("docs/fabio-configuration.md");
    let rows = documents::check_rows(&document);
    assert!(rows > 50, "{rows} rows");
    let own = std::fs::read_to_string(documents::root().join(file!())).unwrap();
    let names = own.split("#[test]\nfn ").skip(1).filter_map(|rest| rest.split('(').next());
    for name in names.filter(|name| !name.starts_with("the_document_")) {
        assert!(document.contains(&format!("`{name}`")), "{name} is in no row");
    }
}
