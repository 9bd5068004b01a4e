//! What an exchange costs: a table of list prices, and exact arithmetic over it.
//!
//! A price that is not known is `None`, never 0. An operator's prices, in a file or on a model, win over the table.

use std::{fs, path::Path};

use anyhow::{Context as _, bail, ensure};
use foldhash::{HashMap, HashMapExt};
use llm_protocol::ir::Usage;
use serde::Deserialize;

use crate::store::Model;

/// The table in this repository.
const BUILT_IN: &str = include_str!("../prices/prices.json");

/// Micro-dollars per million tokens, which is the same as pico-dollars a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rates {
    input: i64,
    output: i64,
    /// Read from a cache; as `input` where the vendor gives no discount.
    cached_input: Option<i64>,
    /// Written to a cache; as `input` where the vendor asks no extra.
    cache_write: Option<i64>,
    /// Written to a cache for an hour; as `cache_write` where there is no difference.
    cache_write_1h: Option<i64>,
}

/// What a model's tokens cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    usual: Rates,
    /// The rates of a whole request whose input is longer than so many tokens.
    long: Option<(u64, Rates)>,
    /// Micro-dollars for a thousand of the provider's searches of the web. What it fetches there is free.
    web_search: Option<i64>,
}

impl Price {
    /// The price that an operator put on a model; `None` unless both input and output have one.
    pub fn of(model: &Model) -> Option<Self> {
        let usual = Rates {
            input: model.input_price?,
            output: model.output_price?,
            cached_input: model.cached_input_price,
            cache_write: model.cache_write_price,
            cache_write_1h: None,
        };
        Some(Self { usual, long: None, web_search: None })
    }

    /// Nano-dollars of the answer's tokens alone; `None` only if it does not fit, which takes more tokens than there are.
    pub fn of_tokens(&self, usage: &Usage) -> Option<i64> {
        let rates = match &self.long {
            Some((limit, rates)) if usage.input > *limit => rates,
            _ => &self.usual,
        };
        // What a provider reports need not add up: a part counts at most as much as there is of the whole.
        let cached = usage.cache_read.min(usage.input);
        let written = usage.cache_write.min(usage.input - cached);
        let written_1h = usage.cache_write_1h.min(written);
        let fresh = usage.input - cached - written;
        let write = rates.cache_write.unwrap_or(rates.input);
        let pico = [
            (fresh, rates.input),
            (cached, rates.cached_input.unwrap_or(rates.input)),
            (written - written_1h, write),
            (written_1h, rates.cache_write_1h.unwrap_or(write)),
            // Reasoning is part of the output.
            (usage.output, rates.output),
        ]
        .into_iter()
        .try_fold(0_i128, |sum, (tokens, rate)| sum.checked_add(i128::from(tokens).checked_mul(i128::from(rate))?))?;
        i64::try_from((pico + 500) / 1000).ok()
    }
}

/// Prices by provider type and model.
#[derive(Debug)]
pub struct Prices {
    by_kind: HashMap<String, HashMap<String, Price>>,
    /// By model alone, where all provider types that have it agree.
    agreed: HashMap<String, Option<Price>>,
}

impl Prices {
    /// The built-in table, and over it the one in `file` (JSON, or TOML if its name ends so; the shape of
    /// `prices/prices.json`).
    pub fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let mut by_kind = parse(serde_json::from_str(BUILT_IN)?)?;
        if let Some(file) = file {
            let named = || format!("the price file {}", file.display());
            let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", named()))?;
            let table = if file.extension().is_some_and(|extension| extension == "toml") {
                toml::from_str(&text).with_context(named)?
            } else {
                serde_json::from_str(&text).with_context(named)?
            };
            for (kind, models) in parse(table).with_context(named)? {
                by_kind.entry(kind).or_default().extend(models);
            }
        }
        let mut agreed: HashMap<String, Option<Price>> = HashMap::new();
        for (model, price) in by_kind.values().flatten() {
            agreed
                .entry(model.clone())
                .and_modify(|known| *known = known.take().filter(|known| known == price))
                .or_insert_with(|| Some(price.clone()));
        }
        Ok(Self { by_kind, agreed })
    }

    /// Nano-dollars of all that was billed, at a provider of the type `kind`, whose own price counts before everybody's; where
    /// the operator put one on the model, that is the price of its tokens. `None` if the price of any of it is not known.
    pub fn cost_at(&self, kind: &str, model: &str, own: Option<&Price>, usage: &Usage) -> Option<i64> {
        let listed = || self.price(Some(kind), model);
        let searches = match usage.web_searches {
            0 => 0,
            count => searching(own.and_then(|own| own.web_search).or_else(|| listed()?.web_search)?, count)?,
        };
        let beside = usage.beside.iter().map(|it| match &it.model {
            None => own.or_else(listed)?.of_tokens(&it.usage),
            Some(model) => self.price(Some(kind), model)?.of_tokens(&it.usage),
        });
        let answer = own.or_else(listed)?.of_tokens(usage);
        [answer, Some(searches)].into_iter().chain(beside).try_fold(0_i64, |sum, part| sum.checked_add(part?))
    }

    /// The price of `model`, under its own name, without a date or version behind it, or without a vendor before it.
    pub fn price(&self, kind: Option<&str>, model: &str) -> Option<&Price> {
        let own = kind.and_then(|kind| self.by_kind.get(kind));
        let mut name = model;
        let mut vendor = None;
        loop {
            for spelling in [Some(name), without_date(name)].into_iter().flatten() {
                let at_vendor = || vendor.and_then(|models: &HashMap<_, _>| models.get(spelling));
                let anywhere = || self.agreed.get(spelling).and_then(Option::as_ref);
                let found = own.and_then(|models| models.get(spelling)).or_else(at_vendor).or_else(anywhere);
                if found.is_some() {
                    return found;
                }
            }
            let (prefix, rest) = name.split_once('/')?;
            vendor = self.by_kind.get(match prefix {
                "google" => "gemini",
                "x-ai" => "xai",
                "mistralai" => "mistral",
                "moonshotai" => "moonshot",
                "qwen" => "dashscope",
                other => other,
            });
            name = rest;
        }
    }
}

/// Nano-dollars of so many searches, at micro-dollars for a thousand: these are the same unit.
fn searching(rate: i64, count: u64) -> Option<i64> {
    rate.checked_mul(i64::try_from(count).ok()?)
}

/// `gpt-4o` of `gpt-4o-2024-11-20`, `claude-x` of `claude-x-20250514` or `claude-x@20250514`, `gemini-x` of `gemini-x-001`,
/// and any of them of its `-latest`.
fn without_date(name: &str) -> Option<&str> {
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(base) = name.strip_suffix("-latest") {
        return Some(base);
    }
    let (base, last) = name.rsplit_once(['-', '@'])?;
    if digits(last, 8) || digits(last, 3) {
        return Some(base);
    }
    let (base, month) = base.rsplit_once('-')?;
    let (base, year) = base.rsplit_once('-')?;
    (digits(last, 2) && digits(month, 2) && digits(year, 4)).then_some(base)
}

/// The file's shape: dollars per million tokens, by provider type and model.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// The day on which the prices were looked up.
    #[serde(rename = "as_of", default)]
    _as_of: Option<String>,
    /// Where they come from.
    #[serde(rename = "about", default)]
    _about: Option<String>,
    models: HashMap<String, HashMap<String, Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    input: f64,
    output: f64,
    cached_input: Option<f64>,
    cache_write: Option<f64>,
    cache_write_1h: Option<f64>,
    /// Dollars for a thousand searches of the web.
    web_search: Option<f64>,
    above: Option<Above>,
}

/// What differs above so many input tokens; the rest stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Above {
    tokens: u64,
    input: Option<f64>,
    output: Option<f64>,
    cached_input: Option<f64>,
    cache_write: Option<f64>,
    cache_write_1h: Option<f64>,
}

fn parse(table: Table) -> anyhow::Result<HashMap<String, HashMap<String, Price>>> {
    let models_of = |(kind, models): (String, HashMap<String, Entry>)| {
        let priced = |(model, entry): (String, Entry)| {
            let price = entry.price().with_context(|| format!("the price of {model}"))?;
            Ok((model, price))
        };
        Ok((kind, models.into_iter().map(priced).collect::<anyhow::Result<_>>()?))
    };
    table.models.into_iter().map(models_of).collect()
}

impl Entry {
    fn price(&self) -> anyhow::Result<Price> {
        let usual = Rates {
            input: micro(self.input)?,
            output: micro(self.output)?,
            cached_input: self.cached_input.map(micro).transpose()?,
            cache_write: self.cache_write.map(micro).transpose()?,
            cache_write_1h: self.cache_write_1h.map(micro).transpose()?,
        };
        let long = self.above.as_ref().map(|above| Ok::<_, anyhow::Error>((above.tokens, above.rates(usual)?)));
        Ok(Price { usual, long: long.transpose()?, web_search: self.web_search.map(micro).transpose()? })
    }
}

impl Above {
    fn rates(&self, usual: Rates) -> anyhow::Result<Rates> {
        let or = |price: Option<f64>, usual: Option<i64>| price.map(micro).transpose().map(|price| price.or(usual));
        Ok(Rates {
            input: self.input.map_or(Ok(usual.input), micro)?,
            output: self.output.map_or(Ok(usual.output), micro)?,
            cached_input: or(self.cached_input, usual.cached_input)?,
            cache_write: or(self.cache_write, usual.cache_write)?,
            cache_write_1h: or(self.cache_write_1h, usual.cache_write_1h)?,
        })
    }
}

/// Whole micro-dollars of dollars.
pub fn micro(dollars: f64) -> anyhow::Result<i64> {
    ensure!(dollars.is_finite() && dollars >= 0.0, "a price cannot be {dollars}");
    if dollars > 1e6 {
        bail!("{dollars} dollars per million tokens cannot be right");
    }
    // Exact: at most 10^12, which an f64 holds with room to spare.
    Ok((dollars * 1e6).round() as i64)
}

#[cfg(test)]
mod tests {
    use llm_protocol::ir::Beside;

    use super::*;

    fn prices() -> Prices {
        Prices::load(None).unwrap()
    }

    impl Prices {
        fn cost(&self, model: &str, usage: &Usage) -> Option<i64> {
            self.cost_at("", model, None, usage)
        }
    }

    fn usage(input: u64, output: u64) -> Usage {
        Usage { input, output, ..Usage::default() }
    }

    #[test]
    fn input_and_output_cost_what_the_table_says() {
        // 1,000 tokens at $2.50 and 500 at $10 a million.
        assert_eq!(prices().cost("gpt-4o", &usage(1000, 500)), Some(7_500_000));
        assert_eq!(prices().cost("gpt-4o", &usage(0, 0)), Some(0));
    }

    #[test]
    fn tokens_from_and_to_a_cache_have_their_own_rates() {
        let mixed = Usage { cache_read: 400, cache_write: 300, cache_write_1h: 100, ..usage(1000, 0) };
        // 300 at $3, 400 at $0.30, 200 at $3.75, 100 at $6.
        let expected = 300 * 3_000 + 400 * 300 + 200 * 3_750 + 100 * 6_000;
        assert_eq!(prices().cost("claude-sonnet-4-5", &mixed), Some(expected));
    }

    #[test]
    fn without_a_rate_of_their_own_cached_tokens_cost_what_input_costs() {
        let cached = Usage { cache_read: 500, cache_write: 500, ..usage(1000, 0) };
        assert_eq!(prices().cost("gpt-4", &cached), prices().cost("gpt-4", &usage(1000, 0)));
    }

    #[test]
    fn long_prompts_raise_the_rates_of_the_whole_request() {
        let at = |input| prices().cost("gemini-2.5-pro", &usage(input, 1000)).unwrap();
        assert_eq!(at(200_000), 200_000 * 1_250 + 1000 * 10_000);
        assert_eq!(at(200_001), 200_001 * 2_500 + 1000 * 15_000);
    }

    #[test]
    fn counts_that_do_not_add_up_never_make_a_negative_cost() {
        let odd = Usage { cache_read: 5000, cache_write: 5000, cache_write_1h: 9000, ..usage(10, 0) };
        assert_eq!(prices().cost("gpt-4o", &odd), Some(10 * 1_250));
        assert_eq!(prices().cost("gpt-4o", &usage(u64::MAX, u64::MAX)), None);
    }

    #[test]
    fn fractions_of_a_nano_dollar_are_rounded() {
        // $0.0375 a million is 37.5 nano-dollars a token.
        let price = Price { usual: Rates { input: 37_500, ..zero() }, long: None, web_search: None };
        assert_eq!(price.of_tokens(&usage(1, 0)), Some(38));
        assert_eq!(price.of_tokens(&usage(2, 0)), Some(75));
    }

    fn zero() -> Rates {
        Rates { input: 0, output: 0, cached_input: None, cache_write: None, cache_write_1h: None }
    }

    #[test]
    fn searches_cost_by_the_thousand_and_fetches_nothing() {
        let searched = Usage { web_searches: 3, web_fetches: 9, ..usage(1000, 0) };
        // Ten dollars for a thousand searches.
        assert_eq!(prices().cost("claude-sonnet-4-5", &searched), Some(3_000_000 + 30_000_000));
        assert_eq!(prices().cost("gpt-4o", &searched), None, "nobody says what a search costs there");
    }

    #[test]
    fn what_was_taken_beside_the_answer_costs_what_its_own_model_costs() {
        let beside = |model: Option<&str>| Beside { model: model.map(str::to_owned), usage: usage(1000, 100) };
        let with = |list: Vec<Beside>| Usage { beside: list, ..usage(10, 1) };
        let cost = |usage: &Usage| prices().cost("claude-sonnet-4-5", usage);
        let (answer, summary, advice) = (10 * 3_000 + 15_000, 1000 * 3_000 + 100 * 15_000, 1000 * 5_000 + 100 * 25_000);
        assert_eq!(cost(&with(vec![beside(None), beside(Some("claude-opus-4-8"))])), Some(answer + summary + advice));
        assert_eq!(cost(&with(vec![beside(Some("claude-of-next-year"))])), None);
    }

    #[test]
    fn an_operators_price_is_that_of_tokens_and_the_table_keeps_that_of_searches() {
        let own = Price { usual: Rates { input: 1_000_000, ..zero() }, long: None, web_search: None };
        let searched = Usage { web_searches: 1, ..usage(5, 5) };
        let cost = prices().cost_at("anthropic", "claude-sonnet-4-5", Some(&own), &searched);
        assert_eq!(cost, Some(5_000 + 10_000_000));
    }

    #[test]
    fn names_are_found_without_vendor_date_and_version() {
        let prices = prices();
        let expected = prices.price(None, "gpt-4o-mini");
        assert!(expected.is_some());
        for name in ["openai/gpt-4o-mini", "gpt-4o-mini-2024-07-18", "openrouter/openai/gpt-4o-mini-2024-07-18"] {
            assert_eq!(prices.price(None, name), expected, "{name}");
        }
        let sonnet = prices.price(None, "claude-sonnet-4-5");
        assert!(sonnet.is_some());
        for name in ["claude-sonnet-4-5-20250929", "claude-sonnet-4-5@20250929", "anthropic/claude-sonnet-4-5-latest"] {
            assert_eq!(prices.price(None, name), sonnet, "{name}");
        }
        assert_eq!(prices.price(None, "models/gemini-2.5-flash-001"), prices.price(None, "gemini-2.5-flash"));
        // This one has a price of its own, which its date does not hide.
        assert_ne!(prices.price(None, "gpt-4o-2024-05-13"), prices.price(None, "gpt-4o"));
    }

    #[test]
    fn an_unknown_model_has_no_cost_rather_than_none_to_pay() {
        for name in ["", "/", "llama3:8b", "gpt-4o-mini-but-different", "-2024-01-01", "a/b/c"] {
            assert_eq!(prices().cost(name, &usage(1000, 1000)), None, "{name}");
        }
    }

    #[test]
    fn where_vendors_disagree_only_the_provider_decides() {
        let prices = prices();
        assert_eq!(prices.price(None, "deepseek-v4-flash"), None);
        let (own, other) =
            (prices.price(Some("deepseek"), "deepseek-v4-flash"), prices.price(Some("dashscope"), "deepseek-v4-flash"));
        assert!(own.is_some() && other.is_some() && own != other);
        assert_eq!(prices.price(Some("openrouter"), "deepseek/deepseek-v4-flash"), own);
    }

    #[test]
    fn an_operators_file_wins_and_adds() {
        let folder = tempfile::tempdir().unwrap();
        let json = folder.path().join("mine.json");
        fs::write(&json, r#"{"models": {"openai": {"gpt-4o": {"input": 1, "output": 2}}, "mine": {"x": {"input": 3, "output": 0}}}}"#)
            .unwrap();
        let prices = Prices::load(Some(&json)).unwrap();
        assert_eq!(prices.cost("gpt-4o", &usage(1, 1)), Some(3_000));
        assert_eq!(prices.cost("x", &usage(1, 1)), Some(3_000));
        assert!(prices.cost("gpt-4o-mini", &usage(1, 1)).is_some());

        let toml = folder.path().join("mine.toml");
        fs::write(&toml, "[models.mine]\nx = { input = 4, output = 0.5 }\n").unwrap();
        assert_eq!(Prices::load(Some(&toml)).unwrap().cost("x", &usage(1, 2)), Some(5_000));
    }

    #[test]
    fn a_bad_file_is_named_with_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.json");
        for (text, expected) in [
            ("{", "EOF"),
            (r#"{"models": {"a": {"b": {"input": 1}}}}"#, "output"),
            (r#"{"models": {"a": {"b": {"input": -1, "output": 1}}}}"#, "the price of b"),
            (r#"{"models": {"a": {"b": {"input": 1, "output": 1, "inptu": 1}}}}"#, "inptu"),
        ] {
            fs::write(&file, text).unwrap();
            let error = format!("{:#}", Prices::load(Some(&file)).unwrap_err());
            assert!(error.contains("mine.json") && error.contains(expected), "{error}");
        }
    }
}
