//! Where traces go.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::{
    section::section,
    setting::{Given, Setting},
};

section! {
    /// Traces by OpenTelemetry. Nothing is traced until there is an endpoint; prompts and answers never are.
    pub struct TelemetryConfig in "telemetry" {
        /// Base address of a collector that takes OTLP over HTTP, such as "http://127.0.0.1:4318"; "/v1/traces" is appended.
        pub endpoint: Option<String> = None, env "OTEL_EXPORTER_OTLP_ENDPOINT", example "\"http://127.0.0.1:4318\"";
        /// The same for traces alone, whole: nothing is appended. It counts before the other.
        pub traces_endpoint: Option<String> = None, env "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", example "\"http://127.0.0.1:4318/v1/traces\"";
        /// Trace nothing, whatever else is said here.
        pub disabled: bool = false, env "OTEL_SDK_DISABLED";
        /// Headers for the collector, such as "authorization=Bearer abc,x-tenant=7".
        pub headers: Option<SecretString> = None, env "OTEL_EXPORTER_OTLP_HEADERS", example "\"x-api-key=secret\"";
        /// Name of this service in traces.
        pub service_name: String = "llm-orchestrator".to_owned(), env "OTEL_SERVICE_NAME";
        /// Which requests are traced: "always_on", "always_off", or "traceidratio", a share of them; with "parentbased_" before it,
        /// their caller decides by a traceparent header where there is one.
        pub sampler: TraceSampler = TraceSampler { parent_based: true, share: TraceShare::Ratio }, env "OTEL_TRACES_SAMPLER";
        /// That share.
        pub sample_ratio: f64 = 1.0, env "OTEL_TRACES_SAMPLER_ARG", range 0.0..=1.0;
        /// Seconds a batch of spans may take to be delivered; what was not is dropped.
        pub timeout: Duration = Duration::from_secs(10), range 0.1..=60.0;
        /// Spans that may wait to be delivered; further ones are dropped.
        pub queue: usize = 2048, range 1.0..=100_000.0;
        /// Send traceparent to providers too, so that a provider of your own continues the trace.
        pub propagate: bool = false;
    }
}

impl TelemetryConfig {
    /// Where spans go; nowhere if nothing is to be traced.
    pub fn address(&self) -> Option<String> {
        let appended = || Some(format!("{}/v1/traces", self.endpoint.as_ref()?.trim_end_matches('/')));
        self.traces_endpoint.clone().or_else(appended).filter(|_| !self.disabled)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let endpoints = [
            ("telemetry.endpoint (OTEL_EXPORTER_OTLP_ENDPOINT)", &self.endpoint),
            ("telemetry.traces_endpoint (OTEL_EXPORTER_OTLP_TRACES_ENDPOINT)", &self.traces_endpoint),
        ];
        for (name, endpoint) in endpoints {
            if let Some(endpoint) = endpoint
                && !(endpoint.starts_with("http://") || endpoint.starts_with("https://"))
            {
                return Err(format!(
                    "{name} does not begin with http:// or https://: write the address of a collector for OTLP over HTTP, \
                     usually on port 4318"
                ));
            }
        }
        self.header_pairs().map(drop)
    }

    /// The headers, by name.
    pub fn header_pairs(&self) -> Result<Vec<(String, String)>, String> {
        let Some(headers) = &self.headers else { return Ok(Vec::new()) };
        let pair = |text: &str| {
            let (name, value) = text.split_once('=')?;
            let value = percent_encoding::percent_decode_str(value.trim()).decode_utf8().ok()?;
            let name = name.trim();
            let sane = !name.is_empty() && value.bytes().all(|byte| (32..127).contains(&byte));
            sane.then(|| (name.to_owned(), value.into_owned()))
        };
        let pairs = headers.expose_secret().split(',').map(pair).collect::<Option<_>>();
        pairs.ok_or_else(|| {
            "telemetry.headers (OTEL_EXPORTER_OTLP_HEADERS) is not a list such as name=value,other=value".to_owned()
        })
    }
}

/// Which requests are traced, by the names that OpenTelemetry has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceSampler {
    /// The caller decides, where there is one that traces.
    pub parent_based: bool,
    pub share: TraceShare,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceShare {
    All,
    None,
    Ratio,
}

const SHARES: [(&str, TraceShare); 3] =
    [("always_on", TraceShare::All), ("always_off", TraceShare::None), ("traceidratio", TraceShare::Ratio)];

const PARENT_BASED: &str = "parentbased_";

impl Setting for TraceSampler {
    fn read(given: &Given<'_>) -> Result<Self, String> {
        let text = String::read(given)?.trim().to_lowercase();
        let (parent_based, name) = text.strip_prefix(PARENT_BASED).map_or((false, text.as_str()), |name| (true, name));
        let share = SHARES.into_iter().find(|(known, _)| *known == name);
        share.map(|(_, share)| Self { parent_based, share }).ok_or_else(|| {
            "is none of always_on, always_off and traceidratio, with or without parentbased_ before it".to_owned()
        })
    }

    fn show(&self) -> Option<String> {
        let (name, _) = SHARES.into_iter().find(|(_, share)| *share == self.share)?;
        format!("{}{name}", if self.parent_based { PARENT_BASED } else { "" }).show()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_for_traces_alone_is_whole_and_counts_first() {
        let one = TelemetryConfig { endpoint: Some("http://c:4318/".to_owned()), ..TelemetryConfig::default() };
        assert_eq!(one.address().as_deref(), Some("http://c:4318/v1/traces"));
        let other = TelemetryConfig { traces_endpoint: Some("http://d/own".to_owned()), ..one };
        assert_eq!(other.address().as_deref(), Some("http://d/own"));
        assert_eq!(TelemetryConfig { disabled: true, ..other }.address(), None);
        assert_eq!(TelemetryConfig::default().address(), None);
    }

    #[test]
    fn a_sampler_has_the_name_that_opentelemetry_gives_it() {
        for name in ["always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_traceidratio"] {
            let sampler = TraceSampler::read(&Given::Variable(name)).unwrap();
            assert_eq!(sampler.show(), name.to_owned().show());
        }
        assert!(TraceSampler::read(&Given::Variable("jaeger_remote")).is_err());
    }

    #[test]
    fn headers_are_pairs_with_encoded_values() {
        let of = |text: &str| {
            TelemetryConfig { headers: Some(SecretString::from(text)), ..TelemetryConfig::default() }.header_pairs()
        };
        let pairs = [("authorization".to_owned(), "Bearer a=b".to_owned()), ("x".to_owned(), "1".to_owned())];
        assert_eq!(of("authorization=Bearer%20a=b, x=1"), Ok(pairs.to_vec()));
        assert!(of("no-value").is_err() && of("=v").is_err() && of("x=%0a").is_err());
    }
}
