//! The page of guarantees: each with what to know about it, the tests that hold it, and what they measured last.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use harness::measures;

use super::page::{Page, root};

/// Something that holds, in English and Chinese.
struct Guarantee {
    what: [&'static str; 2],
    /// What else to know.
    but: [&'static str; 2],
    /// By their paths in the test binary.
    tests: &'static [&'static str],
    /// What is measured, by the names that tests keep it under.
    measures: &'static [&'static str],
}

static GUARANTEES: [Guarantee; 23] = [
    Guarantee {
        what: [
            "A change that the admin API has acknowledged survives `kill -9`.",
            "管理 API 已确认的更改在 `kill -9` 之后仍然存在。",
        ],
        but: ["A power cut is up to the disk, and not tested.", "断电取决于磁盘，没有测试。"],
        tests: &[
            "resilience::no_acknowledged_write_is_lost_to_kill_9",
            "faults::ends::twenty_blows_lose_no_acknowledged_write_no_older_row_and_lower_no_spend",
        ],
        measures: &["blows"],
    },
    Guarantee {
        what: [
            "No request waits for whoever reads the gateway's output. What nobody reads is dropped, and the output says how much.",
            "没有请求等待网关输出的读取方。无人读取的内容会被丢弃，输出中会说明丢弃了多少。",
        ],
        but: ["", ""],
        tests: &["faults::ends::output_that_nobody_reads_holds_no_request_up"],
        measures: &["unread_output"],
    },
    Guarantee {
        what: [
            "No request waits for the database. A key that is known goes on working while it is killed, frozen or locked.",
            "没有请求等待数据库。数据库被终止、冻结或锁住时，已知的密钥照常可用。",
        ],
        but: ["A key that nobody knows gets 503 then, not 401.", "这时未知的密钥得到 503，而不是 401。"],
        tests: &[
            "cluster::outages::a_killed_server_costs_no_request_and_no_row",
            "cluster::outages::a_frozen_server_costs_no_request_and_no_row",
            "store::journal::a_locked_database_costs_nothing_but_what_the_queue_cannot_hold",
            "faults::database::a_way_to_the_database_that_is_slow_silent_or_gone_costs_no_request_and_every_row_is_accounted_for",
        ],
        measures: &["database_way"],
    },
    Guarantee {
        what: [
            "The log loses no row when the gateway is asked to stop, and the rows of the last second at most when it is killed.",
            "正常停止时日志不丢任何一行；被强行终止时最多丢失最后一秒的行。",
        ],
        but: [
            "Rows that do not fit into the queue while the database is away are dropped, and every one is counted.",
            "数据库不可用而队列已满时，多出的行会丢弃，并逐一计数。",
        ],
        tests: &[
            "resilience::every_row_is_written_before_the_process_ends",
            "faults::ends::a_blow_costs_the_log_its_last_second_at_most",
            "cluster::outages::rows_that_do_not_fit_into_the_queue_are_counted",
        ],
        measures: &["lost_rows"],
    },
    Guarantee {
        what: [
            "A client that leaves takes its upstream connection with it within 100 ms: in every phase of every call, by FIN, RST or half a close, with more requests behind or without.",
            "客户端离开后 100 毫秒内关闭上游连接：任何调用的任何阶段，无论 FIN、RST 还是半关闭，后面是否还有请求。",
        ],
        but: [
            "From when the FIN or RST reaches the gateway. A client that vanishes without one is noticed by `write_stall_timeout` or by TCP. The provider may still bill what it has made.",
            "从 FIN 或 RST 到达网关时算起。无声消失的客户端由 `write_stall_timeout` 或 TCP 发现。提供商仍可能对已生成的内容计费。",
        ],
        tests: &[
            "faults::disconnects::a_client_that_leaves_in_any_phase_of_any_call_takes_the_upstream_with_it",
            "faults::disconnects::a_client_that_leaves_is_noticed_within_a_tenth_of_a_second",
            "faults::disconnects::a_hundred_readers_that_stop_reading_are_let_go_and_leave_nothing",
        ],
        measures: &["disconnect", "write_stall"],
    },
    Guarantee {
        what: [
            "Nobody is asked once the client has got its first byte, or has left.",
            "客户端收到第一个字节之后，或者离开之后，不再询问任何提供商。",
        ],
        but: ["A stream that breaks then ends with an error.", "此后中断的流以错误结束。"],
        tests: &[
            "faults::breaks::a_stream_that_is_reset_moves_before_its_content_and_ends_with_one_error_after_it",
            "gateway::client_faults::a_client_that_leaves_while_a_retry_is_waited_for_ends_the_request",
        ],
        measures: &[],
    },
    Guarantee {
        what: [
            "Retries, second requests and fallbacks that fail too are together at most a fifth of a provider's requests, besides three at a time.",
            "除同时进行的三次以外，重试、对冲请求和同样失败的回退请求合计最多为该提供商请求数的五分之一。",
        ],
        but: [
            "Twenty can be saved up while all is well, and twenty fallbacks, with those that run, may fail before the first is refused. A fallback that is answered is load that has moved, and has no bound.",
            "正常时最多可积攒二十次；在开始拒绝之前，可以有二十次回退请求以及正在进行的回退请求失败。得到回答的回退请求是转移过来的负载，不受限制。",
        ],
        tests: &[
            "faults::health::retries_add_a_fifth_and_no_more_when_everything_fails",
            "faults::health::retries_and_fallbacks_together_are_bounded_where_all_providers_fail",
            "faults::health::what_one_provider_loses_at_once_another_that_was_never_asked_serves",
            "faults::health::a_storm_of_failures_ends_with_its_cause",
        ],
        measures: &["retries", "storm"],
    },
    Guarantee {
        what: [
            "A client's wrong request or short timeout never ejects a provider.",
            "客户端的错误请求或过短的超时不会使提供商被排除。",
        ],
        but: ["", ""],
        tests: &["faults::health::what_clients_do_wrong_ejects_nobody"],
        measures: &["client_errors"],
    },
    Guarantee {
        what: [
            "Where every provider is left out they are still tried, and service is back within 3 s of the first one's recovery. Whoever is on probation is asked by one request at a time. With `routing.policy` at `least_latency` who is slow is asked seldom and not forgotten. A connection that a provider closes while it idles costs no request.",
            "所有提供商都被排除时仍会尝试；第一个恢复后 3 秒内恢复服务。试用期内的提供商每次只接受一个请求。`routing.policy` 设为 `least_latency` 时，慢的提供商很少被询问，但不会被遗忘。提供商关闭空闲连接不会损失请求。",
        ],
        but: ["Requests meanwhile are refused with `Retry-After`.", "其间的请求会被拒绝，并带有 `Retry-After`。"],
        tests: &[
            "faults::health::when_all_were_away_service_is_back_soon_after_the_first_one_is",
            "faults::health::when_all_were_away_for_long_service_is_back_soon_after_the_first_one_is",
            "faults::health::a_provider_on_probation_is_asked_by_few_at_once",
            "faults::health::a_provider_that_flaps_costs_few_requests",
            "faults::health::a_provider_that_is_twenty_times_slower_gets_little_and_is_not_forgotten",
            "faults::reuse::five_thousand_requests_on_connections_that_are_just_being_closed_cost_none",
        ],
        measures: &["recovery", "refusal", "probes", "flapping", "slower", "reuse"],
    },
    Guarantee {
        what: [
            "A stream that was cut is never recorded as a success, and never looks like one to its client.",
            "中断的流不会被记为成功，在客户端看来也不像成功。",
        ],
        but: [
            "What a good end is differs by protocol: a reason to stop, or a mark, whichever the provider sends.",
            "怎样算正常结束因协议而异：停止原因或结束标记，以提供商发送的为准。",
        ],
        tests: &[
            "faults::answers::a_stream_that_just_ends_is_never_a_success",
            "faults::answers::a_stream_that_ends_well_in_its_providers_own_way_is_a_success",
            "faults::answers::a_whole_answer_that_is_cut_anywhere_is_left_for_the_next_provider",
        ],
        measures: &[],
    },
    Guarantee {
        what: [
            "Between a client and a provider of the same protocol the events of a stream pass byte for byte.",
            "客户端与提供商使用同一协议时，流中的事件逐字节传递。",
        ],
        but: [
            "Not where protocols are translated; usage that the client did not ask for is taken out.",
            "协议经过翻译时不适用；客户端没有要求的用量会被去掉。",
        ],
        tests: &[
            "gateway::streams::events_of_the_same_protocol_are_forwarded_byte_for_byte",
            "gateway::messages::what_anthropic_streams_reaches_its_client_byte_for_byte",
            "faults::answers::bytes_that_are_no_text_pass_where_bytes_pass_and_are_replaced_one_by_one_elsewhere",
        ],
        measures: &[],
    },
    Guarantee {
        what: [
            "With `limits.global_concurrent_requests` set, what does not fit is refused at once with `Retry-After`, and what fits is served. So are large requests beyond `server.max_buffered_bytes`, and memory stays within bounds.",
            "设置 `limits.global_concurrent_requests` 后，放不下的请求立即被拒绝并带有 `Retry-After`，放得下的照常服务。超出 `server.max_buffered_bytes` 的大请求也是如此，内存不超出界限。",
        ],
        but: ["On a machine that has a core to spare.", "前提是机器有空闲的核心。"],
        tests: &[
            "faults::load::what_does_not_fit_is_refused_at_once_and_what_fits_is_served",
            "faults::load::overload_is_refused_within_twenty_milliseconds",
            "faults::load::nine_thousand_idle_streams_are_cheap",
            "faults::floods::of_a_hundred_huge_requests_at_once_those_that_fit_are_served_and_memory_stays_within_bounds",
        ],
        measures: &["overload", "idle_streams", "huge_requests"],
    },
    Guarantee {
        what: [
            "A request waits for Redis 50 ms at most (`redis.timeout`); once it was late nobody waits until it is in time again.",
            "请求最多等待 Redis 50 毫秒（`redis.timeout`）；一旦超时，在它恢复之前不再有请求等待。",
        ],
        but: [
            "Each gateway goes by what it knows itself meanwhile, so that a limit may be exceeded by as many times as there are gateways.",
            "其间每个网关只按自己所知执行，限额可能被超出，倍数为网关的数量。",
        ],
        tests: &[
            "redis::a_server_that_hangs_is_waited_for_once_and_then_no_more",
            "redis::a_server_that_dies_fails_no_request_and_limits_go_on_from_what_the_gateway_knows",
            "redis::three::whatever_befalls_redis_three_gateways_admit_no_more_than_each_alone_may_and_are_exact_again_after_it",
            "redis::a_server_that_is_slow_is_left_out_until_it_is_not",
        ],
        measures: &[],
    },
    Guarantee {
        what: [
            "Limits are exact on one gateway, and over several that share Redis; places are given back by clients that leave.",
            "限额在单个网关上是精确的，在共享 Redis 的多个网关上也是；客户端离开时名额会归还。",
        ],
        but: ["See above for Redis in trouble.", "Redis 出现故障的情形见上。"],
        tests: &[
            "limits::of_many_requests_at_once_exactly_as_many_are_admitted_as_the_limit_says",
            "redis::of_a_thousand_requests_at_once_over_three_gateways_exactly_as_many_are_admitted_as_the_limit_says",
            "faults::mixing::places_are_never_exceeded_and_never_lost",
            "faults::mixing::places_are_never_exceeded_and_never_lost_in_tens_of_thousands_of_requests",
        ],
        measures: &["places"],
    },
    Guarantee {
        what: [
            "No request that can be made up from the API's document, right or wrong, makes the gateway fail, and every answer and error has the shape that the document says.",
            "任何根据 API 文档构造的请求，无论对错，都不会使网关出错；每个回答和错误都符合文档所述的形状。",
        ],
        but: [
            "Played where [Schemathesis](https://schemathesis.readthedocs.io) is installed.",
            "在安装了 [Schemathesis](https://schemathesis.readthedocs.io) 的机器上运行。",
        ],
        tests: &["faults::document::nothing_that_can_be_made_up_from_the_document_makes_the_gateway_fail"],
        measures: &["made_up"],
    },
    Guarantee {
        what: [
            "What one client or one provider does badly harms no other: a key that floods, heads that trickle, connections that come and go, providers and name servers that never answer, events and streams without an end.",
            "一个客户端或一个提供商的不良行为不会伤害其他人：密钥洪泛、缓慢的请求头、来去不停的连接、从不回答的提供商和域名服务器、没有尽头的事件和流。",
        ],
        but: ["", ""],
        tests: &[
            "faults::load::a_key_that_floods_does_not_slow_down_another",
            "faults::floods::heads_that_trickle_are_let_go_and_harm_nobody",
            "faults::floods::connections_that_come_and_go_leave_nothing",
            "faults::floods::a_name_that_nobody_knows_harms_nobody_else",
            "faults::names::a_name_server_that_never_answers_costs_its_providers_requests_in_time_and_nobody_else_anything",
            "faults::health::a_provider_that_takes_for_ever_does_not_slow_down_another",
            "faults::floods::an_event_without_an_end_is_an_error_and_takes_no_more_memory_than_an_event_may",
            "faults::floods::a_stream_without_an_end_is_ended_in_time_and_takes_no_memory",
        ],
        measures: &["flood", "slow_heads", "unknown_name", "silent_names", "bulkhead"],
    },
    Guarantee {
        what: [
            "Whatever faults of providers come together: who waits for an answer gets one as long as a provider is well, retries, hedges and limits stay within their bounds, and once all are well everybody is asked again.",
            "无论提供商的故障如何交织：只要还有一个提供商正常，等待回答的请求就会得到回答；重试、对冲和限额不超出界限；全部恢复后每一个都会再被使用。",
        ],
        but: [
            "Shown by simulation: the gateway's own machines between providers and clients that follow from a seed, 500 of them, in simulated time.",
            "由模拟证明：网关自身的机制处在由种子生成的提供商与客户端之间，共 500 个种子，时间是模拟的。",
        ],
        tests: &["gateway::simulation::no_seed_breaks_a_rule"],
        measures: &[],
    },
    Guarantee {
        what: [
            "A revoked key opens nothing any more, a disabled provider is not asked, a changed limit holds: at once on the gateway that was told, within a second on the others.",
            "被吊销的密钥不再有效，被停用的提供商不再使用，更改的限额生效：在接到命令的网关上立即生效，其他网关在一秒之内生效。",
        ],
        but: ["Requests that run go on to their end.", "正在进行的请求会继续到结束。"],
        tests: &[
            "admin::keys::a_revoked_key_is_kept_and_a_deleted_one_is_gone_and_neither_opens_anything",
            "cluster::what_one_node_is_told_holds_on_all_that_share_a_postgresql_server",
            "cluster::three::under_load_what_one_of_three_is_told_holds_on_all_and_limits_are_exact",
        ],
        measures: &["spread", "spread_under_load"],
    },
    Guarantee {
        what: [
            "Asked to stop, the gateway cuts no stream that can end within `server.shutdown_grace`, and is gone three seconds after that at the latest.",
            "收到停止请求后，能在 `server.shutdown_grace` 内结束的流不会被切断；最迟在此之后三秒退出。",
        ],
        but: [
            "What cannot end is told so by an error event. A second signal ends it at once, as if it were killed.",
            "无法结束的流会收到一个错误事件。第二个信号使其立即结束，如同被强行终止。",
        ],
        tests: &[
            "faults::ends::of_two_hundred_streams_those_that_can_end_do_and_the_others_are_told_why",
            "faults::ends::a_second_signal_of_either_kind_ends_the_process_under_load_and_costs_the_last_second_of_the_log_at_most",
        ],
        measures: &["stop"],
    },
    Guarantee {
        what: ["401 means that your key is wrong, and nothing else.", "401 只表示你的密钥不对，没有其他含义。"],
        but: ["A key that a provider refuses is 502.", "提供商拒绝网关的密钥时是 502。"],
        tests: &[
            "gateway::auth::without_a_valid_key_there_is_one_dull_answer",
            "faults::health::a_key_that_a_provider_refuses_is_never_the_clients_and_never_shown",
        ],
        measures: &[],
    },
    Guarantee {
        what: [
            "A provider's key goes to that provider's address only, is sealed in the database, and is in no answer, log or metric. A redirect is never followed. A change of address and key under load mixes neither.",
            "提供商的密钥只发往该提供商的地址，在数据库中加密，不会出现在回答、日志或指标中。不跟随重定向。在负载下同时更改地址和密钥也不会混用。",
        ],
        but: ["The memory of the process holds it.", "进程内存中有它。"],
        tests: &[
            "gateway::admin_providers::keys_are_sealed_in_the_database_and_readable_after_a_restart",
            "faults::answers::a_redirect_is_never_followed",
            "faults::mixing::a_hundred_changes_under_load_cost_no_request_and_mix_nothing",
        ],
        measures: &[],
    },
    Guarantee {
        what: [
            "Nothing of a prompt is in the log, in the output or in the metrics.",
            "提示词的内容不会出现在日志、输出或指标中。",
        ],
        but: [
            "Conversations of Responses clients are kept as `[responses]` says.",
            "Responses 客户端的对话按 `[responses]` 的设置保留。",
        ],
        tests: &["faults::mixing::of_thousands_of_all_kinds_nobody_gets_anothers_answer_and_each_has_one_row"],
        measures: &[],
    },
    Guarantee {
        what: [
            "Every request has exactly one row in the log, or is counted as dropped, and nobody gets another's answer.",
            "每个请求在日志中恰好有一行，或者计入丢弃数；没有人得到别人的回答。",
        ],
        but: ["", ""],
        tests: &["faults::mixing::of_thousands_of_all_kinds_nobody_gets_anothers_answer_and_each_has_one_row"],
        measures: &[],
    },
];

const PAGES: [&str; 2] = ["docs/guarantees.md", "docs/guarantees.zh-CN.md"];
const BEGIN: &str =
    "<!-- Written by `UPDATE_DOCS=1 cargo test --test it docs::guarantees` from what was measured last. -->\n";
const END: &str = "<!-- Until here. -->\n";

/// What was measured, by its name, as the page has it now.
fn on_the_page(table: &str) -> BTreeMap<String, String> {
    let cells = table.lines().filter_map(|row| row.split(" | ").nth(2));
    let entries = cells.flat_map(|cell| cell.split("<br>").filter_map(|entry| entry.trim().split_once(": ")));
    entries.map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
}

fn table(language: usize, measure: impl Fn(&str) -> Option<String>) -> String {
    let head = ["| what holds | what to know | measured | tests |", "| 保证 | 须知 | 测得 | 测试 |"][language];
    let row = |one: &Guarantee| {
        let measured = |name: &&str| measure(name).map(|text| format!("{}: {text}", name.replace('_', " ")));
        let measured: Vec<String> = one.measures.iter().filter_map(measured).collect();
        let tests: Vec<String> = one.tests.iter().map(|test| format!("`{test}`")).collect();
        let (what, but) = (one.what[language], one.but[language]);
        format!("| {what} | {but} | {} | {} |\n", measured.join("<br>"), tests.join("<br>"))
    };
    format!("{head}\n|---|---|---|---|\n{}", GUARANTEES.iter().map(row).collect::<String>())
}

#[test]
fn the_page_of_guarantees_says_what_is_guaranteed_and_what_was_measured() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in the target folder");
    for (language, name) in PAGES.into_iter().enumerate() {
        let page = Page::read(name);
        let (before, rest) = page.text.split_once(BEGIN).expect("the page has a generated part");
        let (current, after) = rest.split_once(END).expect("the generated part ends");
        let known = on_the_page(current);
        let updating = std::env::var_os("UPDATE_DOCS").is_some();
        let measure = |name: &str| {
            let latest = updating.then(|| measures::latest(target, name)).flatten();
            latest.or_else(|| known.get(&name.replace('_', " ")).cloned())
        };
        let table = table(language, measure);
        if updating {
            fs::write(root().join(name), format!("{before}{BEGIN}{table}{END}{after}")).expect("it can be written");
        } else {
            assert!(table == current, "{name} is out of date: run this test with UPDATE_DOCS=1");
        }
    }
}

#[test]
fn every_test_that_a_guarantee_names_is_there() {
    let mut missing = BTreeSet::new();
    for test in GUARANTEES.iter().flat_map(|one| one.tests) {
        let (module, name) = test.rsplit_once("::").expect("a test is in a module");
        let paths = ["tests/it", "src"].map(|folder| root().join(folder).join(module.replace("::", "/")));
        let files = paths.iter().flat_map(|path| [path.with_extension("rs"), path.join("mod.rs")]);
        let texts = files.filter_map(|file| fs::read_to_string(file).ok());
        if !texts.into_iter().any(|text| text.contains(&format!("fn {name}("))) {
            missing.insert(test);
        }
    }
    assert!(missing.is_empty(), "these are nowhere: {missing:#?}");
}

#[test]
fn every_measure_of_a_guarantee_is_taken_by_some_test() {
    let folders = ["faults", "cluster"].map(|folder| root().join("tests/it").join(folder));
    let sources: String = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).expect("it is there"))
        .map(|file| fs::read_to_string(file.expect("it can be read").path()).expect("it is text"))
        .collect();
    // A call may be broken into lines.
    let sources: String = sources.split_whitespace().collect();
    for name in GUARANTEES.iter().flat_map(|one| one.measures) {
        assert!(sources.contains(&format!("measured(\"{name}\",")), "nobody measures {name}");
    }
}
