//! How long tables of 10, 1000 and 60,000 routes take to load, and a look-up in
//! them beside a plain scan of the same table: `tests/bench/routes`.
//!
//! What counts are the ratios, which hardly depend on the machine; the times are
//! the best of several rounds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use burgee::reactor::random::Random;
use burgee::route::builder::LINES_PER_STEP;
use burgee::route::{Built, Route, Source, Table, TableBuilder};

const SIZES: [usize; 3] = [10, 1_000, 60_000];
const ROUNDS: usize = 9;
const LOOKUPS: usize = 20_000;

/// Of ten routes one is a port, one an address, two are wildcards and six are
/// names; every third has two targets with weights, every fifth has options.
fn text(routes: usize) -> String {
    let mut text = String::new();
    for n in 0..routes {
        let source = source(n);
        let target = format!("tcp://10.{}.{}.{}:808", n >> 16, (n >> 8) & 255, n & 255);
        let opts = if n % 5 == 0 { " tags \"a,b\" opts \"proto=tcp strip=/x\"" } else { "" };
        if n % 3 == 0 {
            writeln!(text, "route add s{n} {source} {target} weight 0.3{opts}").unwrap();
            writeln!(text, "route add s{n} {source} {target}0 weight 0.7{opts}").unwrap();
        } else {
            writeln!(text, "route add s{n} {source} {target}{opts}").unwrap();
        }
    }
    text
}

fn source(n: usize) -> String {
    match n % 10 {
        0 => format!(":{}", n / 10 + 1),
        1 => format!("192.0.{}.{}:443", (n >> 8) & 255, n & 255),
        2 | 3 => format!("*.w{n}.example.com/"),
        _ => format!("www{n}.customer.example.com/"),
    }
}

/// The time that each step of some work took.
type Steps = Vec<Duration>;

fn load(text: &Rc<[u8]>) -> (Table, Steps) {
    let mut builder = TableBuilder::new(Rc::clone(text));
    let mut steps = Steps::new();
    loop {
        let start = Instant::now();
        let built = builder.step(LINES_PER_STEP);
        steps.push(start.elapsed());
        if let Some(Built { table, errors, .. }) = built {
            assert!(errors.is_empty(), "{errors:?}");
            return (table, steps);
        }
    }
}

fn dismantle(mut table: Table) -> Steps {
    let mut steps = Steps::new();
    loop {
        let start = Instant::now();
        let more = table.dismantle(LINES_PER_STEP);
        steps.push(start.elapsed());
        if !more {
            return steps;
        }
    }
}

/// Of work that was done several times in the same steps: the shortest time of
/// each step, and of these the longest. So what the machine did meanwhile hardly
/// counts.
fn longest(rounds: &[Steps]) -> Duration {
    let at_best = |step: usize| rounds.iter().filter_map(|steps| steps.get(step)).min();
    (0..rounds[0].len()).filter_map(at_best).max().copied().unwrap_or_default()
}

fn shortest(rounds: &[Steps]) -> Duration {
    rounds.iter().map(|steps| steps.iter().sum()).min().unwrap_or_default()
}

/// Nanoseconds that one of the questions takes, at best.
fn time<Q>(questions: &[Q], ask: impl Fn(&Q) -> Option<usize>) -> f64 {
    let round = |_| {
        let start = Instant::now();
        for question in questions {
            black_box(ask(black_box(question)));
        }
        start.elapsed().as_secs_f64() * 1e9 / questions.len() as f64
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

/// One kind of look-up: in the index, and by a scan that stops at the first
/// route that fits.
fn compare(name: &str, questions: &[String], table: &Table, base: &mut Option<f64>) {
    let indexed = |q: &String| find(table, q).map(Route::place);
    let scanned = |q: &String| scan(table, q).map(Route::place);
    for question in questions.iter().take(50) {
        assert_eq!(indexed(question), scanned(question), "{question}");
    }
    let index = time(questions, indexed);
    // A scan of a large table takes long, so fewer questions are asked.
    let few = (LOOKUPS * 10 / table.routes().len()).clamp(20, questions.len());
    let scan = time(&questions[..few], scanned);
    let first = *base.get_or_insert(index);
    println!(
        "  {name:<22} {index:>8.0} ns   scan {scan:>10.0} ns = {:>8.1} x   with 10 routes x {:.2}",
        scan / index,
        index / first
    );
}

fn find<'t>(table: &'t Table, question: &str) -> Option<&'t Route> {
    match question.parse::<SocketAddr>() {
        Ok(address) => table.lookup_address(address),
        Err(_) => table.lookup_name(question),
    }
}

fn scan<'t>(table: &'t Table, question: &str) -> Option<&'t Route> {
    let Ok(address) = question.parse::<SocketAddr>() else {
        let exact = |route: &&Route| matches!(route.source(), Source::Host { host, .. } if host == question);
        let fits = |route: &&Route| match route.source() {
            Source::Host { host, .. } => {
                host.strip_prefix('*').is_some_and(|suffix| question.ends_with(suffix))
            }
            _ => false,
        };
        let longest = |route: &&Route| route.source().to_string().len();
        let routes = || table.routes().iter();
        return routes().find(exact).or_else(|| routes().filter(fits).max_by_key(longest));
    };
    let routes = || table.routes().iter();
    let exact = |route: &&Route| *route.source() == Source::Address(address);
    let port = |route: &&Route| *route.source() == Source::Port(address.port());
    routes().find(exact).or_else(|| routes().find(port))
}

fn main() {
    let mut bases = [None; 4];
    let mut first_load = None;
    for size in SIZES {
        let text: Rc<[u8]> = text(size).into_bytes().into();
        let mut table = Table::default();
        let (mut loads, mut ends) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (built, steps) = load(&text);
            loads.push(steps);
            ends.push(dismantle(std::mem::replace(&mut table, built)));
        }
        ends.remove(0);
        let each = shortest(&loads).as_secs_f64() * 1e6 / size as f64;
        let base = *first_load.get_or_insert(each);
        println!(
            "{size} routes: loaded in {:.1} ms, {each:.2} us a route ({:.2} x that of 10); \
             {} steps, longest {:.2} ms; given back in pieces of {:.2} ms at most",
            shortest(&loads).as_secs_f64() * 1e3,
            each / base,
            loads[0].len(),
            longest(&loads).as_secs_f64() * 1e3,
            longest(&ends).as_secs_f64() * 1e3,
        );
        let mut random = Random::new(1);
        let mut ask = |kinds: &[usize], make: &dyn Fn(usize) -> String| -> Vec<String> {
            let mut pick = |_| {
                let kind = kinds[random.index(kinds.len())];
                make(random.index(size / 10) * 10 + kind)
            };
            (0..LOOKUPS).map(&mut pick).collect()
        };
        let ports = ask(&[0], &|n| format!("198.51.100.1:{}", n / 10 + 1));
        let addresses = ask(&[1], &source);
        let names = ask(&[4, 5, 6, 7, 8, 9], &|n| source(n).trim_end_matches('/').to_owned());
        let wild = ask(&[2, 3], &|n| format!("a.b.w{n}.example.com"));
        let kinds = [
            ("by port", ports),
            ("by address and port", addresses),
            ("by server name", names),
            ("by wildcard", wild),
        ];
        for ((name, questions), base) in kinds.iter().zip(&mut bases) {
            compare(name, questions, &table, base);
        }
    }
}
