//! Where traces go.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::section::section;

section! {
    /// Traces by OpenTelemetry. Nothing is traced until there is an endpoint; prompts and answers never are.
    pub struct TelemetryConfig in "telemetry" {
        /// Base address of a collector that takes OTLP over HTTP, such as "http://127.0.0.1:4318"; "/v1/traces" is appended.
        pub endpoint: Option<String> = None, env "OTEL_EXPORTER_OTLP_ENDPOINT", example "\"http://127.0.0.1:4318\"";
        /// Headers for the collector, such as "authorization=Bearer abc,x-tenant=7".
        pub headers: Option<SecretString> = None, env "OTEL_EXPORTER_OTLP_HEADERS", example "\"x-api-key=secret\"";
        /// Name of this service in traces.
        pub service_name: String = "llm-orchestrator".to_owned(), env "OTEL_SERVICE_NAME";
        /// Share of the requests that are traced, unless their caller has decided it by a traceparent header.
        pub sample_ratio: f64 = 1.0, range 0.0..=1.0;
        /// Seconds a batch of spans may take to be delivered; what was not is dropped.
        pub timeout: Duration = Duration::from_secs(10), range 0.1..=60.0;
        /// Spans that may wait to be delivered; further ones are dropped.
        pub queue: usize = 2048, range 1.0..=100_000.0;
        /// Send traceparent to providers too, so that a provider of your own continues the trace.
        pub propagate: bool = false;
    }
}

impl TelemetryConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(endpoint) = &self.endpoint
            && !(endpoint.starts_with("http://") || endpoint.starts_with("https://"))
        {
            return Err("telemetry.endpoint (OTEL_EXPORTER_OTLP_ENDPOINT) does not begin with http:// or https://: \
                        write the address of a collector for OTLP over HTTP, usually on port 4318"
                .to_owned());
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

#[cfg(test)]
mod tests {
    use super::*;

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
