//! What is admitted by several limits at once, and what is not.

use super::*;

const KEY: Subject = Subject::Everyone;

fn claim(subject: Subject, requests: u32) -> Claim {
    let allowance = Allowance { requests_per_minute: Some(requests), ..Allowance::default() };
    Claim { subject, class: Class::Work, allowance }
}

fn address(number: u32) -> Subject {
    Subject::of_address(IpAddr::V4(number.into()))
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_one_limit_uses_nothing_of_the_others() {
    let limits = Limits::new(None);
    let both = [claim(KEY, 3), claim(address(1), 1)];
    limits.admit(&both, Estimate::default()).await.map(drop).unwrap();
    for _ in 0..10 {
        let refusal = limits.admit(&both, Estimate::default()).await.map(drop).unwrap_err();
        assert_eq!((refusal.subject, refusal.limit), (address(1), Limit::Requests(1)));
        assert_eq!(refusal.standing.requests.map(|left| left.remaining), Some(0));
    }
    for _ in 0..2 {
        limits.admit(&[claim(KEY, 3)], Estimate::default()).await.map(drop).unwrap();
    }
    limits.admit(&[claim(KEY, 3)], Estimate::default()).await.map(drop).unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn what_ends_without_having_asked_anybody_was_never_counted() {
    let limits = Limits::new(None);
    for _ in 0..10 {
        limits.admit(&[claim(KEY, 1)], Estimate::default()).await.unwrap_or_else(|_| panic!()).settle(Spent::Nothing);
    }
    drop(limits.admit(&[claim(KEY, 1)], Estimate::default()).await.unwrap_or_else(|_| panic!()));
    let refusal = limits.admit(&[claim(KEY, 1)], Estimate::default()).await.map(drop).unwrap_err();
    tokio::time::advance(refusal.wait).await;
    limits.admit(&[claim(KEY, 1)], Estimate::default()).await.map(drop).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_place_is_taken_for_as_long_as_a_request_runs() {
    let limits = Limits::new(None);
    let allowance = Allowance { concurrent_requests: Some(1), ..Allowance::default() };
    let claims = [Claim { subject: KEY, class: Class::Work, allowance }];
    for _ in 0..3 {
        let running = limits.admit(&claims, Estimate::default()).await.unwrap_or_else(|_| panic!());
        tokio::time::advance(Duration::from_secs(600)).await;
        let refusal = limits.admit(&claims, Estimate::default()).await.map(drop).unwrap_err();
        assert_eq!(refusal.limit, Limit::Concurrent(1));
        drop(running);
    }
}

#[tokio::test(start_paused = true)]
async fn lookups_are_limited_apart_from_work() {
    let limits = Limits::new(None);
    let work = [claim(KEY, 1)];
    let lookup = [Claim { class: Class::Lookup, ..work[0] }];
    limits.admit(&work, Estimate::default()).await.map(drop).unwrap();
    limits.admit(&lookup, Estimate::default()).await.map(drop).unwrap();
    limits.admit(&lookup, Estimate::default()).await.map(drop).unwrap_err();
}

#[test]
fn an_answer_is_reserved_for_no_further_than_the_limit_goes_and_a_prompt_as_it_is() {
    let estimate = Estimate { prompt: 30, answer: 1_000 };
    assert_eq!([None, Some(5_000), Some(100), Some(20)].map(|limit| estimate.within(limit)), [1_030, 1_030, 100, 30]);
}

#[tokio::test(start_paused = true)]
async fn more_addresses_than_can_be_remembered_share_one_meter_and_keys_do_not() {
    let limits = Limits::new(None);
    for number in 0..SUBJECTS as u32 {
        limits.admit(&[claim(address(number), 1)], Estimate::default()).await.map(drop).unwrap();
    }
    let late = |number| [claim(address(SUBJECTS as u32 + number), 1)];
    limits.admit(&late(1), Estimate::default()).await.map(drop).unwrap();
    limits.admit(&late(2), Estimate::default()).await.map(drop).unwrap_err();
    limits.admit(&[claim(Subject::Provider(1), 1)], Estimate::default()).await.map(drop).unwrap();
    tokio::time::advance(Duration::from_secs(62)).await;
    limits.admit(&late(3), Estimate::default()).await.map(drop).unwrap();
    limits.admit(&late(4), Estimate::default()).await.map(drop).unwrap();
    assert!(limits.meters.read().unwrap().of.len() < 10, "those who used nothing lately are forgotten");
}

#[test]
fn an_address_is_a_household() {
    let of = |text: &str| Subject::of_address(text.parse().unwrap());
    assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2::9"));
    assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
    assert_ne!(of("192.0.2.7"), of("192.0.2.8"));
}

#[test]
fn threads_that_ask_at_once_are_admitted_exactly_as_often_as_is_allowed() {
    let limits = Limits::new(None);
    let claims = [claim(KEY, 150), claim(address(1), 100)];
    let admitted = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    if limits.admit_here(&claims, Estimate::default()).is_ok() {
                        admitted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(admitted.into_inner(), 100);
}
