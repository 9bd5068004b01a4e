//! The request log and what is added up from it.

use std::time::Duration;

use llm_orchestrator::store::{Grouping, LogFilter, LogRow, Percentiles, Store};

use super::scenarios;
use crate::support::eventually;

scenarios!(
    a_row_is_read_back_as_it_was_written,
    rows_come_newest_first_and_in_pages,
    each_filter_finds_its_rows,
    a_search_takes_wildcards_literally,
    a_large_batch_arrives_whole_and_in_order,
    awkward_text_is_stored_without_complaint,
    totals_count_what_clients_got,
    percentiles_are_exact,
    no_traffic_makes_empty_totals,
    shares_are_those_of_hours_models_and_keys,
    a_batch_that_comes_twice_is_there_once,
    pages_and_places_lead_to_the_same_rows,
    rows_kept_long_enough_are_forgotten_and_others_stay,
    what_comes_goes_on_while_much_is_forgotten,
);

fn row(request_id: &str, created_at: i64) -> LogRow {
    LogRow {
        request_id: request_id.into(),
        created_at,
        endpoint: "/v1/chat/completions".into(),
        method: "POST".into(),
        status_code: 200,
        latency_ms: 100,
        attempts: 1,
        ..LogRow::default()
    }
}

fn by(provider_id: i64, name: &str, created_at: i64, latency_ms: i64) -> LogRow {
    LogRow { provider_id: Some(provider_id), provider_name: Some(name.into()), latency_ms, ..row("req", created_at) }
}

/// Adds rows as the journal does.
async fn insert(store: &Store, rows: &[LogRow]) {
    let first = store.reserve_log_ids(i64::try_from(rows.len()).unwrap()).await.unwrap();
    let rows: Vec<_> = (first..).zip(rows).map(|(id, row)| LogRow { id, ..row.clone() }).collect();
    assert_eq!(store.insert_logs(&rows).await.unwrap(), rows.len() as u64);
}

async fn ids(store: &Store, filter: LogFilter) -> Vec<String> {
    let page = store.logs(&filter, 1, 100).await.unwrap();
    assert_eq!(page.total, i64::try_from(page.rows.len()).unwrap());
    page.rows.into_iter().map(|row| row.request_id.to_string()).collect()
}

async fn a_row_is_read_back_as_it_was_written(store: Store) {
    let written = LogRow {
        id: 1,
        provider_id: Some(3),
        provider_name: Some("main".into()),
        provider_type: Some("openai".into()),
        provider_key: Some("team-a".into()),
        model: Some("best".into()),
        upstream_model: Some("gpt-x".into()),
        stream: true,
        prompt_tokens: Some(10),
        completion_tokens: Some(20),
        total_tokens: Some(30),
        cached_tokens: Some(4),
        cache_write_tokens: Some(5),
        reasoning_tokens: Some(6),
        cost: Some(1_234_567),
        ttft_ms: Some(42),
        error_code: Some("upstream_error".into()),
        error_message: Some("broke off".into()),
        dropped: Some("seed,logit_bias".into()),
        approximated: Some("temperature".into()),
        protocol: Some("openai_chat".into()),
        upstream_protocol: Some("anthropic".into()),
        key_id: Some(9),
        key_name: Some("team".into()),
        ip_address: Some("127.0.0.1".into()),
        user_agent: Some("curl/8".into()),
        ..row("req_1", 1000)
    };
    insert(&store, std::slice::from_ref(&written)).await;
    insert(&store, &[]).await;
    let page = store.logs(&LogFilter::default(), 1, 50).await.unwrap();
    assert_eq!((page.total, page.rows), (1, vec![written]));
}

async fn rows_come_newest_first_and_in_pages(store: Store) {
    let rows: Vec<_> = (0..25).map(|n| row(&format!("req_{n}"), 1000 + n / 2)).collect();
    insert(&store, &rows).await;
    let mut seen = Vec::new();
    for page in 1..=4 {
        let page = store.logs(&LogFilter::default(), page, 10).await.unwrap();
        assert_eq!(page.total, 25);
        seen.extend(page.rows.into_iter().map(|row| row.request_id.to_string()));
    }
    let expected: Vec<_> = (0..25).rev().map(|n| format!("req_{n}")).collect();
    assert_eq!(seen, expected);
}

async fn each_filter_finds_its_rows(store: Store) {
    let mut a = row("req_a", 1000);
    (a.model, a.key_id, a.key_name) = (Some("gpt-x".into()), Some(7), Some("team".into()));
    let mut b = row("req_b", 2000);
    (b.status_code, b.stream, b.error_message) = (502, true, Some("The Provider broke off".into()));
    let mut c = by(3, "Main", 3000, 10);
    (c.protocol, c.upstream_protocol) = (Some("anthropic".into()), Some("gemini".into()));
    insert(&store, &[a, b, LogRow { request_id: "req_c".into(), ..c }]).await;

    let none = LogFilter::default;
    assert_eq!(ids(&store, LogFilter { status_code: Some(502), ..none() }).await, ["req_b"]);
    assert_eq!(ids(&store, LogFilter { provider_id: Some(3), ..none() }).await, ["req_c"]);
    assert_eq!(ids(&store, LogFilter { model: Some("gpt-x".into()), ..none() }).await, ["req_a"]);
    assert_eq!(ids(&store, LogFilter { key: Some("team".into()), ..none() }).await, ["req_a"]);
    assert_eq!(ids(&store, LogFilter { key: Some("7".into()), ..none() }).await, ["req_a"]);
    assert_eq!(ids(&store, LogFilter { from: Some(2000), ..none() }).await, ["req_c", "req_b"]);
    assert_eq!(ids(&store, LogFilter { to: Some(2000), ..none() }).await, ["req_a"]);
    assert_eq!(ids(&store, LogFilter { request_id: Some("req_b".into()), ..none() }).await, ["req_b"]);
    assert_eq!(ids(&store, LogFilter { stream: Some(true), ..none() }).await, ["req_b"]);
    assert_eq!(ids(&store, LogFilter { stream: Some(false), ..none() }).await, ["req_c", "req_a"]);
    assert_eq!(ids(&store, LogFilter { text: Some("provider BROKE".into()), ..none() }).await, ["req_b"]);
    assert_eq!(ids(&store, LogFilter { text: Some("main".into()), ..none() }).await, ["req_c"]);
    assert_eq!(ids(&store, LogFilter { protocol: Some("anthropic".into()), ..none() }).await, ["req_c"]);
    assert_eq!(ids(&store, LogFilter { upstream_protocol: Some("gemini".into()), ..none() }).await, ["req_c"]);
    let two = LogFilter { stream: Some(false), from: Some(1500), ..none() };
    assert_eq!(ids(&store, two).await, ["req_c"]);
}

async fn a_search_takes_wildcards_literally(store: Store) {
    let saying = |id: &str, text: &str| LogRow { error_message: Some(text.into()), ..row(id, 1000) };
    insert(&store, &[saying("a", "100% full"), saying("b", "100 full"), saying("c", "it's \\ odd")]).await;
    assert_eq!(ids(&store, LogFilter { text: Some("100%".into()), ..LogFilter::default() }).await, ["a"]);
    assert_eq!(ids(&store, LogFilter { text: Some("'s \\".into()), ..LogFilter::default() }).await, ["c"]);
    assert!(ids(&store, LogFilter { text: Some("\0!_".into()), ..LogFilter::default() }).await.is_empty());
}

async fn a_large_batch_arrives_whole_and_in_order(store: Store) {
    let rows: Vec<_> = (0..2500).map(|n| row(&format!("req_{n}"), 1000 + n)).collect();
    insert(&store, &rows).await;
    let page = store.logs(&LogFilter::default(), 1, 1).await.unwrap();
    assert_eq!((page.total, page.rows[0].id, &*page.rows[0].request_id), (2500, 2500, "req_2499"));
}

async fn awkward_text_is_stored_without_complaint(store: Store) {
    let mut awkward = row("req_\0", 1000);
    awkward.error_message = Some(("\0".repeat(10) + &"🦀".repeat(5000)).into());
    awkward.user_agent = Some("'; drop table request_log; --".into());
    insert(&store, &[awkward]).await;
    let stored = store.logs(&LogFilter::default(), 1, 1).await.unwrap().rows.remove(0);
    assert_eq!(&*stored.request_id, "req_");
    assert_eq!(stored.error_message.unwrap().chars().count(), 2001);
    assert_eq!(&*stored.user_agent.unwrap(), "'; drop table request_log; --");
}

async fn totals_count_what_clients_got(store: Store) {
    let mut paid = by(1, "old name", 2000, 100);
    (paid.prompt_tokens, paid.completion_tokens, paid.total_tokens) = (Some(10), Some(5), Some(15));
    (paid.cached_tokens, paid.cost) = (Some(3), Some(7_000));
    let cut = LogRow { error_code: Some("upstream_error".into()), ..by(1, "new name", 3000, 300) };
    let refused = LogRow { status_code: 400, error_code: Some("invalid_request".into()), ..row("req", 2500) };
    let other = LogRow { cost: Some(1), ..by(2, "other", 2500, 50) };
    let too_old = by(3, "too old", 1000, 1);
    insert(&store, &[paid, cut, refused, other, too_old]).await;

    let stats = store.stats(2000).await.unwrap();
    assert_eq!((stats.total.requests, stats.total.succeeded, stats.total.latency_ms), (4, 2, 550));
    assert_eq!((stats.total.prompt_tokens, stats.total.completion_tokens, stats.total.total_tokens), (10, 5, 15));
    assert_eq!((stats.total.cached_tokens, stats.total.cost), (3, 7_001));
    let names: Vec<_> = stats.providers.iter().map(|one| (one.provider_id, one.provider_name.as_str())).collect();
    assert_eq!(names, [(1, "new name"), (2, "other")]);
    let first = &stats.providers[0];
    assert_eq!((first.tally.requests, first.tally.succeeded, first.tally.cost), (2, 1, 7_000));
    assert_eq!(first.latency_ms, Percentiles { p50: Some(100), p95: Some(300), p99: Some(300) });
}

async fn percentiles_are_exact(store: Store) {
    let rows: Vec<_> =
        (1..=200).rev().map(|n| LogRow { ttft_ms: (n > 100).then_some(n), ..by(1, "a", 1000, n) }).collect();
    insert(&store, &rows).await;
    let stats = store.stats(0).await.unwrap();
    assert_eq!(stats.latency_ms, Percentiles { p50: Some(100), p95: Some(190), p99: Some(198) });
    assert_eq!(stats.ttft_ms, Percentiles { p50: Some(150), p95: Some(195), p99: Some(199) });
    assert_eq!(stats.providers[0].latency_ms, stats.latency_ms);
}

async fn shares_are_those_of_hours_models_and_keys(store: Store) {
    const HOUR: i64 = 3_600_000_000;
    let of = |model: &str, key_id: Option<i64>, key: &str, at: i64, latency_ms: i64| LogRow {
        upstream_model: Some(model.into()),
        key_id,
        key_name: Some(key.into()),
        total_tokens: Some(10),
        ..by(1, "a", at, latency_ms)
    };
    let rows = [
        of("small", Some(7), "app", 5 * HOUR, 10),
        of("small", Some(7), "app", 6 * HOUR - 1, 30),
        of("large", None, "API_KEYS[0]", 6 * HOUR, 20),
        row("req_refused", 6 * HOUR),
        of("small", Some(7), "app", 4 * HOUR, 99),
    ];
    insert(&store, &rows).await;
    let shares = async |grouping| store.breakdown(5 * HOUR, grouping).await.unwrap();
    let hours = shares(Grouping::Hour).await;
    let told: Vec<_> = hours.iter().map(|share| (share.id, share.tally.requests, share.tally.total_tokens)).collect();
    assert_eq!(told, [(Some(5), 2, 20), (Some(6), 2, 10)]);
    assert_eq!(hours[0].latency_ms, Percentiles { p50: Some(10), p95: Some(30), p99: Some(30) });
    let models = shares(Grouping::Model).await;
    let told: Vec<_> = models.iter().map(|share| (share.name.as_deref(), share.tally.requests)).collect();
    assert_eq!(told, [(Some("small"), 2), (Some("large"), 1)]);
    let keys = shares(Grouping::Key).await;
    let told: Vec<_> = keys.iter().map(|share| (share.id, share.name.as_deref(), share.tally.requests)).collect();
    assert_eq!(told, [(Some(7), Some("app"), 2), (None, Some("API_KEYS[0]"), 1)]);
}

async fn no_traffic_makes_empty_totals(store: Store) {
    assert_eq!(store.stats(0).await.unwrap(), llm_orchestrator::store::Stats::default());
}

async fn a_batch_that_comes_twice_is_there_once(store: Store) {
    let rows = [LogRow { id: 1, ..row("a", 1000) }, LogRow { id: 2, ..row("b", 1000) }];
    assert_eq!(store.insert_logs(&rows[..1]).await.unwrap(), 1);
    assert_eq!(store.insert_logs(&rows).await.unwrap(), 1);
    assert_eq!(ids(&store, LogFilter::default()).await, ["b", "a"]);
}

async fn pages_and_places_lead_to_the_same_rows(store: Store) {
    let rows: Vec<_> =
        (0..57).map(|n| LogRow { stream: n % 3 == 0, ..row(&format!("req_{n}"), 1000 + n / 4) }).collect();
    insert(&store, &rows).await;
    for filter in [LogFilter::default(), LogFilter { stream: Some(true), ..LogFilter::default() }] {
        let mut by_page = Vec::new();
        for page in 1..=8 {
            by_page.extend(store.logs(&filter, page, 10).await.unwrap().rows);
        }
        let mut by_place: Vec<LogRow> = Vec::new();
        loop {
            let place = by_place.last().map(LogRow::place);
            let rows = store.logs_after(&filter, place, 10).await.unwrap();
            if rows.is_empty() {
                break;
            }
            by_place.extend(rows);
        }
        assert_eq!(by_place, by_page);
        assert_eq!(by_place.len() as i64, store.count_logs(&filter).await.unwrap());
    }
}

/// A day, in microseconds.
const DAY: i64 = 86_400_000_000;
const MONTH: Option<Duration> = Some(Duration::from_secs(30 * 86_400));

async fn forget(store: &Store, before: i64) -> u64 {
    let mut forgotten = 0;
    while let Some(rows) = store.forget_logs(before).await.unwrap() {
        forgotten += rows;
    }
    forgotten
}

async fn rows_kept_long_enough_are_forgotten_and_others_stay(store: Store) {
    let today = 20_000 * DAY;
    // Some are there before there is any place made for them, as after an upgrade.
    insert(&store, &[row("ancient", 1000), row("today", today + 5), row("clock ahead", today + 400 * DAY)]).await;
    for day in 0..40 {
        store.prepare_log(today + day * DAY, MONTH).await.unwrap();
        insert(&store, &[row(&format!("day {day}"), today + day * DAY + 7)]).await;
    }
    assert_eq!(store.count_logs(&LogFilter::default()).await.unwrap(), 43);
    assert_eq!(forget(&store, today).await, 1);
    assert_eq!(forget(&store, today).await, 0);
    assert_eq!(forget(&store, today + 10 * DAY).await, 11);
    let rest = store.logs(&LogFilter::default(), 1, 100).await.unwrap();
    assert_eq!((rest.total, &*rest.rows.last().unwrap().request_id), (31, "day 10"));
    // Nobody came by for half a year, and then the operator wants to keep rows forever.
    store.prepare_log(today + 200 * DAY, None).await.unwrap();
    store.prepare_log(today + 231 * DAY, None).await.unwrap();
    insert(&store, &[row("later", today + 201 * DAY), row("in between", today + 100 * DAY)]).await;
    assert_eq!(forget(&store, today + 190 * DAY).await, 31);
    let rest = store.logs(&LogFilter::default(), 1, 100).await.unwrap();
    let rest: Vec<_> = rest.rows.iter().map(|row| &*row.request_id).collect();
    assert_eq!(rest, ["clock ahead", "later"]);
}

async fn what_comes_goes_on_while_much_is_forgotten(store: Store) {
    let old: Vec<_> = (0..5000).map(|n| row("old", 1000 + n)).collect();
    insert(&store, &old).await;
    let writing = async {
        let mut written = 0;
        for n in 0..50 {
            insert(&store, &[row("new", DAY + n)]).await;
            written += 1;
        }
        written
    };
    let (forgotten, written) = tokio::join!(forget(&store, DAY), writing);
    assert_eq!((forgotten, written), (5000, 50));
    assert_eq!(store.count_logs(&LogFilter::default()).await.unwrap(), 50);
}

#[tokio::test]
async fn whoever_has_looked_after_the_log_lets_the_next_one_do_it_at_once() {
    let Some(server) = super::postgres::Server::start().await else { return };
    let database = server.database().await;
    let store = Store::open(&database).unwrap();
    store.migrate().await.unwrap();
    let other = sqlx::PgPool::connect(&database).await.unwrap();
    let locks = "select count(*) from pg_locks where locktype = 'advisory'";
    let held = async || sqlx::query_scalar::<_, i64>(locks).fetch_one(&other).await.unwrap();
    // Migrating ends its lock with its connection, which the server may notice later.
    eventually("the schema to be let go", async || (held().await == 0).then_some(())).await;
    for day in 0..50 {
        store.prepare_log(day * DAY, MONTH).await.unwrap();
        assert_eq!(held().await, 0, "after preparing day {day}");
        store.forget_logs(0).await.unwrap();
        assert_eq!(held().await, 0, "after forgetting before day {day}");
    }
}
