//! How the cost of a request grows with what the gateway has to look after: providers that serve the same model, API keys,
//! streams at the same time. And how long it takes to start.

use std::{net::SocketAddr, path::Path, time::Instant};

use crate::{
    Options,
    canned::Scenario,
    gateway::{Gateway, Size},
    rounds::{Parts, Round},
};

const PROVIDERS: [usize; 4] = [1, 10, 100, 1000];
const KEYS: [usize; 4] = [1, 1000, 10_000, 100_000];
const STREAMS: [usize; 4] = [1, 10, 100, 1000];

pub fn run(options: &Options) -> anyhow::Result<()> {
    let (rounds, seconds, program) = options.extent()?;
    let parts = Parts::new()?;
    println!("{}", crate::report::preamble(parts.cores, rounds, seconds));
    let upstream = parts.server(parts.cores.load, &["upstream"])?;
    let curve = Curve { parts: &parts, program: &program, upstream: upstream.address, rounds, seconds };
    curve.print("providers of the model", &PROVIDERS, Scenario::Whole, |count| Size { providers: count, keys: 1 })?;
    curve.print("API keys", &KEYS, Scenario::Whole, |count| Size { providers: 1, keys: count })?;
    curve.print_streams()?;
    curve.print_start()
}

struct Curve<'a> {
    parts: &'a Parts,
    program: &'a Path,
    upstream: SocketAddr,
    rounds: usize,
    seconds: f64,
}

impl Curve<'_> {
    fn print(
        &self,
        what: &str,
        counts: &[usize],
        scenario: Scenario,
        size: impl Fn(usize) -> Size,
    ) -> anyhow::Result<()> {
        head(what);
        let mut first = None;
        for count in counts {
            let gateway = Gateway::start(self.parts.cores.proxy, self.program, self.upstream, size(*count))?;
            self.line(*count, &gateway, (scenario, None), &mut first)?;
        }
        println!();
        Ok(())
    }

    fn print_streams(&self) -> anyhow::Result<()> {
        head("streams at once");
        let gateway = Gateway::start(self.parts.cores.proxy, self.program, self.upstream, Size::default())?;
        let mut first = None;
        for count in STREAMS {
            self.line(count, &gateway, (Scenario::Stream, Some(count)), &mut first)?;
        }
        println!();
        Ok(())
    }

    fn line(
        &self,
        count: usize,
        gateway: &Gateway,
        (scenario, connections): (Scenario, Option<usize>),
        first: &mut Option<f64>,
    ) -> anyhow::Result<()> {
        let round = || self.parts.round_of(scenario, connections, &gateway.server, self.seconds);
        round()?;
        let rounds = (0..self.rounds).map(|_| round()).collect::<anyhow::Result<Vec<_>>>()?;
        let cost = median(&rounds, |round| round.cpu_seconds_per_1000 * 1000.0);
        let ratio = cost / *first.get_or_insert(cost);
        let p99 = median(&rounds, |round| round.p99);
        println!("| {count} | {cost:.0} | {ratio:.2} | {p99:.0} | {:.1} |", gateway.server.memory()?);
        Ok(())
    }

    fn print_start(&self) -> anyhow::Result<()> {
        let mut gateway = Gateway::start(self.parts.cores.proxy, self.program, self.upstream, Size::default())?;
        let mut millis = Vec::new();
        for _ in 0..self.rounds.max(3) {
            let began = Instant::now();
            gateway.restart()?;
            millis.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        millis.sort_by(f64::total_cmp);
        println!("From start to the first answer, with a database that is there: {:.0} ms.", millis[millis.len() / 2]);
        Ok(())
    }
}

fn head(what: &str) {
    println!("| {what} | CPU µs a request | to the first | p99, µs | resident MiB |\n|---:|---:|---:|---:|---:|");
}

fn median(rounds: &[Round], of: impl Fn(&Round) -> f64) -> f64 {
    let mut all: Vec<f64> = rounds.iter().map(of).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
