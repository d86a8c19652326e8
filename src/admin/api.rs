//! From a request to its answer: which path says what, and to whom.
//!
//! Pure: what is asked comes as [`Request`], what is known from [`House`]. An
//! order is only recognised here; [`obey`] gives it to the house, so that this
//! can happen outside of the boundary that catches a connection's panics.

use ipnet::IpNet;
use serde::Serialize;

use super::access::{Credentials, Denied, may_ask, may_order};
use super::body::{Body, Listing};
use super::house::{House, Moment, Refusal};
use super::request::{Request, parse_prefix};
use super::{configuration, json, metrics};
use crate::http::Method;

/// What the settings say of the API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiSettings {
    /// `ui.path`
    pub path: String,
    /// `ui.access = ro`
    pub read_only: bool,
    /// `ui.username` and `ui.password`
    pub credentials: Option<Credentials>,
    /// `metrics.prometheus.path`
    pub metrics_path: String,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Reply {
    /// It is answered.
    Answer(Answer),
    /// It is an order that may be given; see [`obey`].
    Order(Order),
}

/// What the operator wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// What.
    pub verb: Verb,
    /// To this prefix; `None`: to everything.
    pub prefix: Option<IpNet>,
}

/// What can be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `POST /api/drain`
    Drain,
    /// `POST /api/resume`
    Resume,
}

/// The answer to a request.
#[derive(Debug)]
pub struct Answer {
    /// `200`
    pub status: u16,
    /// `Content-Type` and what else belongs to it, but not its framing.
    pub fields: Vec<(&'static str, &'static str)>,
    /// Its content; not sent where the method was HEAD.
    pub body: Body,
}

/// The types that fabio's answers have.
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json; charset=utf-8";

/// What a page says of the process would be old at once.
const NOT_STORED: (&str, &str) = ("Cache-Control", "no-store");
/// A browser must not take a text for a page (Fetch Standard, §3.6).
const NOT_GUESSED: (&str, &str) = ("X-Content-Type-Options", "nosniff");

/// What is at a path.
enum Place {
    Config,
    Routes,
    Version,
    Status,
    Sessions,
    Announcements,
    Announcement(Option<IpNet>),
    Metrics,
    Order(Verb, Option<Option<IpNet>>),
}

/// Answers a request, or says what it orders.
pub fn reply(
    settings: &ApiSettings,
    request: &Request<'_>,
    house: &dyn House,
    at: &Moment,
) -> Reply {
    // Whoever checks our health is never turned away, and by any method.
    if request.path() == "/health" {
        return Reply::Answer(health(house, at));
    }
    if let Err(denied) = may_ask(settings.credentials.as_ref(), request) {
        return Reply::Answer(denied.answer());
    }
    let Some(place) = place(settings, request) else {
        return Reply::Answer(Answer::error(404, "there is nothing at this path"));
    };
    if let Place::Order(verb, prefix) = place {
        return order(settings, request, verb, prefix);
    }
    if !matches!(request.method(), Method::Get | Method::Head) {
        return Reply::Answer(not_allowed("GET, HEAD"));
    }
    Reply::Answer(tell(place, request, house, at))
}

/// Gives an order to the house.
pub fn obey(order: Order, house: &mut dyn House, at: &Moment) -> Answer {
    #[derive(Serialize)]
    struct Done {
        message: String,
    }
    let outcome = match order.verb {
        Verb::Drain => house.drain(at, order.prefix),
        Verb::Resume => house.resume(at, order.prefix),
    };
    match outcome {
        Ok(message) => Answer::json(200, &Done { message }, false),
        Err(Refusal::Unknown(why)) => Answer::error(404, &why),
        Err(Refusal::Conflict(why)) => Answer::error(409, &why),
    }
}

fn place(settings: &ApiSettings, request: &Request<'_>) -> Option<Place> {
    let path = request.path();
    if path == settings.metrics_path {
        return Some(Place::Metrics);
    }
    let path = match path.strip_prefix(settings.path.trim_end_matches('/')) {
        // The commands at the unix socket need not know the prefix.
        None if request.local.is_none() => path,
        stripped => stripped?,
    };
    match path {
        "/api/config" => return Some(Place::Config),
        "/api/routes" => return Some(Place::Routes),
        "/api/version" => return Some(Place::Version),
        "/api/status" => return Some(Place::Status),
        "/api/bgp/peers" => return Some(Place::Sessions),
        "/api/announcements" => return Some(Place::Announcements),
        "/api/drain" => return Some(Place::Order(Verb::Drain, None)),
        "/api/resume" => return Some(Place::Order(Verb::Resume, None)),
        _ => {}
    }
    let of = |folder: &str| path.strip_prefix(folder).map(parse_prefix);
    let told = of("/api/announcements/").map(Place::Announcement);
    let drained = || Some(Place::Order(Verb::Drain, Some(of("/api/drain/")?)));
    let resumed = || Some(Place::Order(Verb::Resume, Some(of("/api/resume/")?)));
    told.or_else(drained).or_else(resumed)
}

fn order(
    settings: &ApiSettings,
    request: &Request<'_>,
    verb: Verb,
    prefix: Option<Option<IpNet>>,
) -> Reply {
    if *request.method() != Method::Post {
        return Reply::Answer(not_allowed("POST"));
    }
    if let Err(denied) = may_order(settings.credentials.as_ref(), settings.read_only, request) {
        return Reply::Answer(denied.answer());
    }
    match prefix {
        Some(None) => Reply::Answer(no_prefix()),
        Some(Some(prefix)) => Reply::Order(Order { verb, prefix: Some(prefix) }),
        None => Reply::Order(Order { verb, prefix: None }),
    }
}

fn tell(place: Place, request: &Request<'_>, house: &dyn House, at: &Moment) -> Answer {
    let pretty = request.asks("pretty");
    let listed = |listing| Answer::new(200, JSON, Body::listing(listing, pretty));
    match place {
        Place::Status => listed(Listing::Status),
        Place::Sessions => listed(Listing::Sessions),
        Place::Announcements => listed(Listing::Announcements),
        Place::Routes if request.asks("raw") => {
            Answer::new(200, TEXT, Body::listing(Listing::RouteCommands, false))
        }
        Place::Routes => listed(Listing::Routes),
        Place::Metrics => Answer::new(200, metrics::CONTENT_TYPE, Body::metrics()),
        Place::Version => Answer::text(200, house.instance(at).version),
        Place::Config => Answer::json(200, &configuration::tree(&house.config()), pretty),
        Place::Announcement(prefix) => {
            match prefix.and_then(|prefix| house.announcement(at, &prefix)) {
                Some(view) => Answer::json(200, &view, pretty),
                None if prefix.is_none() => no_prefix(),
                None => Answer::error(404, "this prefix is not in bgp.anycastaddresses"),
            }
        }
        Place::Order(..) => not_allowed("POST"),
    }
}

fn health(house: &dyn House, at: &Moment) -> Answer {
    let health = house.health(at);
    match health.ok {
        true => Answer::text(200, "OK\n".to_owned()),
        false => {
            let reasons = health.reasons.iter().map(|reason| format!("{reason}\n"));
            Answer::text(503, reasons.collect())
        }
    }
}

fn no_prefix() -> Answer {
    Answer::error(404, "expected a prefix, as 192.0.2.10/32")
}

fn not_allowed(methods: &'static str) -> Answer {
    let mut answer = Answer::error(405, &format!("this path takes {methods}"));
    answer.fields.push(("Allow", methods));
    answer
}

impl Answer {
    fn new(status: u16, content_type: &'static str, body: Body) -> Answer {
        let fields = vec![("Content-Type", content_type), NOT_STORED, NOT_GUESSED];
        Answer { status, fields, body }
    }

    fn text(status: u16, text: String) -> Answer {
        Answer::new(status, TEXT, Body::Whole(text.into_bytes()))
    }

    fn json(status: u16, value: &impl Serialize, pretty: bool) -> Answer {
        Answer::new(status, JSON, Body::Whole(json::whole(value, pretty)))
    }

    /// An error, as JSON.
    pub fn error(status: u16, error: &str) -> Answer {
        #[derive(Serialize)]
        struct Failed<'a> {
            error: &'a str,
        }
        Answer::json(status, &Failed { error }, false)
    }
}

impl Denied {
    fn answer(self) -> Answer {
        match self {
            Denied::Unknown => {
                let mut answer = Answer::error(401, "a name and a password are needed");
                let challenge = ("WWW-Authenticate", "Basic realm=\"burgee\", charset=\"UTF-8\"");
                answer.fields.push(challenge);
                answer
            }
            Denied::Forbidden(why) => Answer::error(403, why),
            Denied::Misdirected => Answer::error(
                421,
                "on a loopback address the host must be an address or localhost, \
                 unless ui.username is set",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::admin::testing::{Doll, MOMENT, content, furnished};
    use crate::admin::view::{RouteView, StatusView};
    use crate::http::RequestHead;

    fn settings() -> ApiSettings {
        ApiSettings { metrics_path: "/metrics".to_owned(), ..ApiSettings::default() }
    }

    fn head(method: &str, target: &str, host: &str) -> RequestHead {
        let method = Method::parse(method.as_bytes()).unwrap();
        RequestHead::new(method, target, host).unwrap()
    }

    /// Asks over the unix socket.
    fn ask_with(settings: &ApiSettings, house: &mut Doll, method: &str, target: &str) -> Answer {
        let head = head(method, target, "burgee");
        match reply(settings, &Request { head: &head, local: None }, house, &MOMENT) {
            Reply::Answer(answer) => answer,
            Reply::Order(order) => obey(order, house, &MOMENT),
        }
    }

    fn ask(house: &mut Doll, method: &str, target: &str) -> Answer {
        ask_with(&settings(), house, method, target)
    }

    fn field(answer: &Answer, name: &str) -> Option<&'static str> {
        answer.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// A good answer's type and text.
    fn get(house: &mut Doll, target: &str) -> (&'static str, String) {
        let answer = ask(house, "GET", target);
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(field(&answer, "Cache-Control"), Some("no-store"));
        (field(&answer, "Content-Type").unwrap(), content(answer.body, house, 100))
    }

    fn get_json(house: &mut Doll, target: &str) -> Value {
        let (kind, text) = get(house, target);
        assert_eq!(kind, "application/json; charset=utf-8");
        serde_json::from_str(&text).unwrap()
    }

    fn error(house: &mut Doll, method: &str, target: &str) -> (u16, String) {
        let answer = ask(house, method, target);
        assert_eq!(field(&answer, "Content-Type"), Some(JSON));
        let status = answer.status;
        let json: Value = serde_json::from_str(&content(answer.body, house, 1)).unwrap();
        (status, json["error"].as_str().unwrap().to_owned())
    }

    #[test]
    fn health_is_for_everybody() {
        let mut house = furnished();
        let credentials = Some(Credentials::new("a", "b"));
        let strict = ApiSettings { path: "/x".into(), credentials, ..settings() };
        for method in ["GET", "HEAD", "POST", "OPTIONS"] {
            let head = head(method, "/health?x", "any.example");
            let request = Request { head: &head, local: "127.0.0.1:1".parse().ok() };
            let Reply::Answer(answer) = reply(&strict, &request, &house, &MOMENT) else { panic!() };
            assert_eq!((answer.status, field(&answer, "Content-Type")), (200, Some(TEXT)));
            assert_eq!(content(answer.body, &house, 1), "OK\n");
        }
        house.instance.health.ok = false;
        house.instance.health.reasons = vec!["draining".into(), "no route table yet".into()];
        let answer = ask(&mut house, "GET", "/health");
        assert_eq!(answer.status, 503);
        assert_eq!(content(answer.body, &house, 1), "draining\nno route table yet\n");
    }

    #[test]
    fn the_version_is_a_text_without_an_end_of_line() {
        assert_eq!(get(&mut furnished(), "/api/version"), (TEXT, "0.1.0".to_owned()));
    }

    #[test]
    fn routes_are_told_as_fabio_does() {
        let mut house = furnished();
        let routes = get_json(&mut house, "/api/routes");
        let first = json!({
            "service": "web", "host": "", "path": "", "src": ":80", "dst": "tcp://10.0.0.1:80",
            "opts": "", "cmd": "route add", "tags": ["a", "b"], "weight": 0.5, "rate1": 0.0,
            "pct99": 0.0,
        });
        assert_eq!(routes[0], first);
        assert!(routes[1].get("tags").is_none(), "left out when there is none");
        let commands = "route add web :80 tcp://10.0.0.1:80\nroute add api :80 tcp://10.0.0.1:80\n";
        assert_eq!(get(&mut house, "/api/routes?raw"), (TEXT, commands.to_owned()));
        let (_, pretty) = get(&mut house, "/api/routes?pretty");
        assert!(pretty.starts_with("[\n    {\n        \"service\": \"web\",\n"), "{pretty}");
        house.routes.clear();
        assert_eq!(get(&mut house, "/api/routes").1, "null\n");
        assert_eq!(get(&mut house, "/api/routes?raw").1, "");
    }

    #[test]
    fn slices_make_the_same_whole() {
        let mut house = furnished();
        house.routes = (0..500)
            .map(|n| RouteView { service: n.to_string(), ..RouteView::default() })
            .collect();
        house.sessions = vec![house.sessions[0].clone(); 30];
        for target in
            ["/api/routes", "/api/status", "/api/routes?raw", "/metrics", "/api/status?pretty"]
        {
            let mut of = |allowance| {
                let body = ask(&mut house, "GET", target).body;
                content(body, &house, allowance)
            };
            let whole = of(1_000_000);
            for allowance in [1, 2, 7, 64] {
                assert!(of(allowance) == whole, "{target} in slices of {allowance}");
            }
        }
    }

    #[test]
    fn a_slice_is_not_larger_than_its_allowance() {
        let mut house = furnished();
        house.routes = vec![house.routes[0].clone(); 500];
        let Body::Stream(mut stream) = ask(&mut house, "GET", "/api/routes?raw").body else {
            panic!("routes at once")
        };
        let mut out = Vec::new();
        assert!(!stream.produce(&house, &MOMENT, &mut 100, &mut out));
        assert_eq!(out.iter().filter(|octet| **octet == b'\n').count(), 100);
    }

    #[test]
    fn a_status_is_read_back() {
        let mut house = furnished();
        let (_, text) = get(&mut house, "/api/status");
        let status: StatusView = serde_json::from_str(&text).unwrap();
        assert_eq!(status.instance, house.instance);
        assert_eq!(status.sessions, house.sessions);
        assert_eq!(status.announcements, house.announcements);
        assert_eq!(status.services.listed, house.services);
        let sums = (status.services.total, status.services.healthy);
        assert_eq!(sums, (2, 1));
        let targets = (status.services.targets, status.services.targets_healthy);
        assert_eq!(targets, (5, 4));
        assert_eq!(
            get(&mut house, "/api/status?pretty").1.lines().nth(1),
            Some("    \"version\": \"0.1.0\",")
        );
        let empty = get_json(&mut Doll::default(), "/api/status");
        assert_eq!((&empty["sessions"], &empty["announcements"]), (&json!([]), &json!([])));
    }

    #[test]
    fn of_many_services_those_with_a_problem_are_listed() {
        let mut house = furnished();
        let service = |n: u64, healthy| crate::admin::view::ServiceView {
            service: format!("s{n:04}"),
            healthy,
            total: 2,
            ..Default::default()
        };
        house.services = (0..1000).map(|n| service(n, if n % 400 == 7 { 1 } else { 2 })).collect();
        let (_, text) = get(&mut house, "/api/status");
        let status: StatusView = serde_json::from_str(&text).unwrap();
        let listed: Vec<&str> = status.services.listed.iter().map(|it| &*it.service).collect();
        assert_eq!(listed, ["s0007", "s0407", "s0807"]);
        assert_eq!((status.services.total, status.services.healthy), (1000, 997));
        house.services = (0..1000).map(|n| service(n, 0)).collect();
        let (_, text) = get(&mut house, "/api/status");
        let status: StatusView = serde_json::from_str(&text).unwrap();
        assert_eq!(status.services.listed.len(), 50, "no more than a person reads");
    }

    #[test]
    fn neighbours_and_prefixes_have_their_lists() {
        let mut house = furnished();
        let peers = get_json(&mut house, "/api/bgp/peers");
        assert_eq!(
            (&peers[1]["name"], &peers[1]["state"]),
            (&json!("192.0.2.2"), &json!("active"))
        );
        let all = get_json(&mut house, "/api/announcements");
        assert_eq!(all[0]["state"], "announced");
        for target in [
            "/api/announcements/2001:db8::10/128",
            "/api/announcements/2001:db8::10%2F128",
            "/api/announcements/2001%3Adb8::10",
        ] {
            assert_eq!(get_json(&mut house, target), all[1], "{target}");
        }
        let missing = "/api/announcements/192.0.2.11/32";
        let expected = (404, "this prefix is not in bgp.anycastaddresses".to_owned());
        assert_eq!(error(&mut house, "GET", missing), expected);
        assert_eq!(error(&mut house, "GET", "/api/announcements/web").0, 404);
        assert_eq!(error(&mut house, "GET", "/api/announcements/").0, 404);
    }

    #[test]
    fn orders_reach_the_house() {
        let mut house = furnished();
        let answer = ask(&mut house, "POST", "/api/drain");
        assert_eq!(content(answer.body, &house, 1), "{\"message\":\"Drain it is\"}\n");
        ask(&mut house, "POST", "/api/drain/192.0.2.10/32");
        ask(&mut house, "POST", "/api/resume/192.0.2.10%2f32");
        ask(&mut house, "POST", "/api/resume");
        let of = |verb, prefix: &str| Order { verb, prefix: prefix.parse().ok() };
        let expected = [
            of(Verb::Drain, ""),
            of(Verb::Drain, "192.0.2.10/32"),
            of(Verb::Resume, "192.0.2.10/32"),
            of(Verb::Resume, ""),
        ];
        assert_eq!(house.orders, expected);
        assert_eq!(error(&mut house, "POST", "/api/drain/everything").0, 404);
        assert_eq!(error(&mut house, "POST", "/api/drain/").0, 404);
        assert_eq!(house.orders.len(), 4, "what is no prefix is not everything");
        house.refusal = Some(Refusal::Conflict("a stop is under way".into()));
        let expected = (409, "a stop is under way".to_owned());
        assert_eq!(error(&mut house, "POST", "/api/resume"), expected);
        house.refusal = Some(Refusal::Unknown("no such prefix".into()));
        assert_eq!(error(&mut house, "POST", "/api/drain/::/0").0, 404);
    }

    #[test]
    fn other_methods_are_not_allowed() {
        let mut house = furnished();
        for (method, target, allowed) in [
            ("POST", "/api/status", "GET, HEAD"),
            ("DELETE", "/api/routes", "GET, HEAD"),
            ("OPTIONS", "/metrics", "GET, HEAD"),
            ("PUT", "/api/announcements/192.0.2.10/32", "GET, HEAD"),
            ("GET", "/api/drain", "POST"),
            ("HEAD", "/api/resume/192.0.2.10/32", "POST"),
            ("get", "/api/version", "GET, HEAD"),
        ] {
            let answer = ask(&mut house, method, target);
            assert_eq!((answer.status, field(&answer, "Allow")), (405, Some(allowed)), "{target}");
        }
        assert_eq!(house.orders, []);
    }

    #[test]
    fn what_is_not_there_is_said() {
        let mut house = furnished();
        for target in ["/", "/api", "/api/", "/api/paths", "/healthy", "/api/statuses"] {
            let answer = error(&mut house, "GET", target);
            assert_eq!(answer, (404, "there is nothing at this path".to_owned()), "{target}");
        }
    }

    #[test]
    fn the_prefix_is_for_all_but_health_and_metrics() {
        let mut house = furnished();
        for path in ["/lb", "/lb/"] {
            let settings =
                ApiSettings { path: path.into(), metrics_path: "/m".into(), ..settings() };
            let status = |target| {
                let head = head("GET", target, "localhost");
                let request = Request { head: &head, local: "127.0.0.1:9998".parse().ok() };
                match reply(&settings, &request, &house, &MOMENT) {
                    Reply::Answer(answer) => answer.status,
                    Reply::Order(order) => panic!("{order:?}"),
                }
            };
            assert_eq!((status("/lb/api/version"), status("/api/version")), (200, 404));
            assert_eq!((status("/m"), status("/metrics"), status("/lb/m")), (200, 404, 404));
            assert_eq!((status("/health"), status("/lb/health")), (200, 404));
            let mut on_socket = |target| ask_with(&settings, &mut house, "GET", target).status;
            assert_eq!((on_socket("/lb/api/version"), on_socket("/api/version")), (200, 200));
        }
    }

    #[test]
    fn read_only_forbids_orders_and_nothing_else() {
        let mut house = furnished();
        let settings = ApiSettings { read_only: true, ..settings() };
        for target in ["/api/drain", "/api/resume/192.0.2.10/32"] {
            assert_eq!(ask_with(&settings, &mut house, "POST", target).status, 403);
        }
        assert_eq!(ask_with(&settings, &mut house, "GET", "/api/status").status, 200);
        assert_eq!(house.orders, []);
    }

    #[test]
    fn who_is_turned_away_is_told_why() {
        let house = furnished();
        let of = |settings: &ApiSettings, head: &RequestHead, fields: &[(&str, &str)]| {
            let mut head = head.clone();
            fields.iter().for_each(|(name, value)| head.fields.push(name, value).unwrap());
            let request = Request { head: &head, local: "127.0.0.1:9998".parse().ok() };
            match reply(settings, &request, &house, &MOMENT) {
                Reply::Answer(answer) => answer,
                Reply::Order(order) => panic!("{order:?}"),
            }
        };
        let get = |target| head("GET", target, "localhost");
        let guarded = ApiSettings { credentials: Some(Credentials::new("a", "b")), ..settings() };
        let answer = of(&guarded, &get("/api/status"), &[]);
        assert_eq!(answer.status, 401);
        let challenge = field(&answer, "WWW-Authenticate").unwrap();
        assert!(challenge.starts_with("Basic realm="), "{challenge}");
        assert_eq!(of(&guarded, &get("/nothing"), &[]).status, 401);
        assert_eq!(of(&guarded, &get("/metrics"), &[]).status, 401);
        let known = ("Authorization", "Basic YTpi");
        assert_eq!(of(&guarded, &get("/api/status"), &[known]).status, 200);
        let foreign = head("GET", "/api/status", "evil.example");
        assert_eq!(of(&settings(), &foreign, &[]).status, 421);
        let foreign = head("GET", "http://evil.example/api/status", "localhost");
        assert_eq!(of(&settings(), &foreign, &[]).status, 421, "the target has it");
        let order = head("POST", "/api/drain", "localhost");
        let origin = ("Origin", "http://evil.example");
        assert_eq!(of(&settings(), &order, &[origin]).status, 403);
        assert_eq!(of(&guarded, &order, &[origin, known]).status, 403);
    }

    #[test]
    fn settings_are_told_in_fabios_shape() {
        let config = get_json(&mut furnished(), "/api/config");
        let expected = json!({"Proxy": {"ShutdownWait": 1_000_000_000}, "Burgee": {}});
        assert_eq!(config, expected);
    }
}
