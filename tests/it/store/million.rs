//! How long looks at a log of a million rows take. Prints a table; run it by name:
//! `cargo test --release --test it store::million -- --ignored --nocapture`

use std::{future::Future, time::Duration};

use llm_orchestrator::store::{LogFilter, Store};
use tokio::time::Instant;

use super::{postgres::Server, sqlite};

const ROWS: i64 = 1_000_000;
const DAY: i64 = 86_400_000_000;
const KEEP: Duration = Duration::from_secs(30 * 86_400);

/// A row every 2.592 s for thirty days, as traffic of twenty models, nine providers and fifty keys leaves them.
fn fill(numbers: &str, start: i64) -> String {
    format!(
        "insert into request_log (id, request_id, created_at, provider_id, provider_name, provider_type, model, \
         upstream_model, endpoint, method, status_code, stream, prompt_tokens, completion_tokens, total_tokens, \
         cached_tokens, cost, latency_ms, ttft_ms, attempts, error_code, error_message, key_id, key_name, ip_address, \
         user_agent) \
         select n, 'req_' || n, {start} + n * 2592000, n % 9, 'provider-' || (n % 9), 'openai', 'model-' || (n % 20), \
         'model-' || (n % 20), '/v1/chat/completions', 'POST', case when n % 200 = 0 then 502 else 200 end, n % 2, 900, \
         300, 1200, 0, 12345, 500 + n % 4000, 100 + n % 900, 1, case when n % 200 = 0 then 'upstream_error' end, \
         case when n % 200 = 0 then 'the provider broke off' end, n % 50, 'team-' || (n % 50), '10.0.0.7', \
         'OpenAI/Python 3.54.0' from {numbers}"
    )
}

async fn timed<T>(what: &str, work: impl AsyncFn() -> T) {
    let mut took = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        work().await;
        took.push(began.elapsed());
    }
    took.sort();
    println!("| {what} | {:.1} |", took[2].as_secs_f64() * 1e3);
}

async fn look(store: &Store, start: i64) {
    let all = LogFilter::default();
    let page = async |filter: &LogFilter, page: i64| store.logs(filter, page, 50).await.unwrap();
    timed("first page", async || page(&all, 1).await).await;
    timed("page 100", async || page(&all, 100).await).await;
    timed("page 10,000, in the middle", async || page(&all, 10_000).await).await;
    timed("last page", async || page(&all, 20_000).await).await;
    let middle = page(&all, 10_000).await.rows[0].place();
    timed("50 rows after a place in the middle, no total", async || {
        store.logs_after(&all, Some(middle), 50).await.unwrap()
    })
    .await;
    let filters = [
        ("one request id", LogFilter { request_id: Some("req_77".into()), ..all.clone() }),
        ("one day", LogFilter { from: Some(start + 10 * DAY), to: Some(start + 11 * DAY), ..all.clone() }),
        ("one of twenty models", LogFilter { model: Some("model-7".into()), ..all.clone() }),
        ("one of fifty keys", LogFilter { key: Some("team-7".into()), ..all.clone() }),
        ("status 502, 1 in 200", LogFilter { status_code: Some(502), ..all.clone() }),
        (
            "status 502 on one day",
            LogFilter {
                status_code: Some(502),
                from: Some(start + 10 * DAY),
                to: Some(start + 11 * DAY),
                ..all.clone()
            },
        ),
        ("text in errors and names", LogFilter { text: Some("broke off".into()), ..all.clone() }),
    ];
    for (what, filter) in &filters {
        timed(&format!("{what}, first page"), async || page(filter, 1).await).await;
    }
    timed("statistics of a day", async || store.stats(start + 29 * DAY).await.unwrap()).await;
    timed("statistics of a week", async || store.stats(start + 23 * DAY).await.unwrap()).await;
    let began = Instant::now();
    let mut forgotten = 0;
    while let Some(rows) = store.forget_logs(start + 3 * DAY).await.unwrap() {
        forgotten += rows;
    }
    println!("| forgetting {forgotten} rows of three days | {:.1} |", began.elapsed().as_secs_f64() * 1e3);
}

async fn measure(name: &str, store: Store, start: i64, filling: impl Future<Output = ()>) {
    for day in 0..30 {
        store.prepare_log(start + day * DAY, Some(KEEP)).await.unwrap();
    }
    filling.await;
    println!("\n| {name} | ms |\n|---|---:|");
    look(&store, start).await;
}

#[tokio::test]
#[ignore = "takes minutes and prints figures"]
async fn a_million_rows_on_both_databases() {
    let start = 20_000 * DAY;
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let numbers =
        format!("(with recursive r(n) as (select 1 union all select n + 1 from r where n < {ROWS}) select n from r)");
    measure("SQLite", store, start, async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("test.db"));
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(fill(&numbers, start))).execute(&pool).await.unwrap();
        pool.close().await;
    })
    .await;
    let Some(server) = Server::start().await else { return };
    let url = server.database().await;
    let store = Store::open(&url).unwrap();
    store.migrate().await.unwrap();
    measure("PostgreSQL", store, start, async {
        let pool = sqlx::PgPool::connect(&url).await.unwrap();
        let numbers = format!("generate_series(1, cast({ROWS} as bigint)) as n");
        sqlx::raw_sql(sqlx::AssertSqlSafe(fill(&numbers, start))).execute(&pool).await.unwrap();
        sqlx::raw_sql("vacuum analyze request_log").execute(&pool).await.unwrap();
        pool.close().await;
    })
    .await;
}
