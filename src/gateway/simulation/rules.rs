//! What no seed may break.

use std::time::Duration;

use llm_protocol::ir::ErrorKind;

use super::{
    client::{End, Manner, Visit},
    scene::{HEAL, Scene},
    upstream::{Asked, Sent},
    world::{Past, Story},
};
use crate::{health::State, limits::MINUTE};

/// How soon the first one that is back must serve.
const PROMPT: Duration = Duration::from_secs(2);

/// What is wrong with a story, in words.
pub fn broken(scene: &Scene, story: &Story) -> Vec<String> {
    let each = |rule: fn(&Scene, &Past) -> Option<String>| {
        let past = story.upstreams.iter().enumerate();
        past.filter_map(move |(at, past)| Some(format!("provider {at}: {}", rule(scene, past)?)))
    };
    let whole = [served(scene, story), back(scene, story), admitted(scene, story), hedged(scene, story), late(story)];
    let whole = whole.into_iter().flatten().chain(each(asked_more)).chain(each(settled)).chain(each(held));
    let Some((steady, others)) = story.upstreams.split_first().filter(|_| scene.has_steady) else {
        return whole.collect();
    };
    let others = others.iter().filter_map(|past| asked_in_vain(scene, story, past));
    whole.chain(blamed(steady)).chain(refused_again(scene, steady)).chain(others).collect()
}

fn first(visits: &[&Visit], what: &str) -> Option<String> {
    visits.first().map(|visit| format!("{} requests {what}, such as {visit:?}", visits.len()))
}

/// Who waits for an answer gets one as long as somebody can give it: always where one provider is always well, soon after
/// the first is well again where all were away, and from the moment when all are well.
fn served(scene: &Scene, story: &Story) -> Option<String> {
    let from = if scene.has_steady { Duration::ZERO } else { scene.first_back.map_or(HEAL, |back| back + PROMPT) };
    let can = |visit: &&Visit| visit.manner == Manner::Patient && visit.begun >= from;
    let failed = |visit: &&Visit| !matches!(visit.end, End::Answered | End::Refused);
    first(&story.visits.iter().filter(can).filter(failed).collect::<Vec<_>>(), "failed for nothing")
}

/// Once all is as it was nobody is asked twice for anything.
fn back(scene: &Scene, story: &Story) -> Option<String> {
    // Those are asked who say that they are busy, and two where one takes long.
    let limited = story.upstreams.iter().any(|past| past.is_limited);
    let again = |past: &Past| past.asked.iter().any(|asked| asked.again && asked.at >= scene.settled());
    let still = !limited && scene.hedging.is_none() && story.upstreams.iter().any(again);
    still.then(|| "providers are asked again long after all were well".to_owned())
}

/// No sixty seconds and no moment hold more than is allowed.
fn admitted(scene: &Scene, story: &Story) -> Option<String> {
    let admitted: Vec<&Visit> = story.visits.iter().filter(|visit| visit.end != End::Refused).collect();
    let (per_minute, at_once) = (scene.allowance.requests_per_minute?, scene.allowance.concurrent_requests?);
    let too_many = admitted.iter().enumerate().any(|(at, visit)| {
        let until_now = &admitted[..=at];
        let young = until_now.iter().filter(|other| other.begun + MINUTE > visit.begun).count();
        let running = until_now.iter().filter(|other| other.id == visit.id || other.ended > visit.begun).count();
        young > per_minute as usize || running > at_once as usize
    });
    too_many.then(|| format!("more than {:?} were admitted", scene.allowance))
}

/// Second requests are no larger a share of the first ones than was set.
fn hedged(scene: &Scene, story: &Story) -> Option<String> {
    let twice = |asked: &&Asked, past: &Past| {
        asked.again && !past.asked.iter().any(|other| other.request == asked.request && other.at < asked.at)
    };
    let hedges: usize =
        story.upstreams.iter().map(|past| past.asked.iter().filter(|asked| twice(asked, past)).count()).sum();
    let firsts: usize = story.upstreams.iter().map(|past| past.asked.iter().filter(|asked| !asked.again).count()).sum();
    let most = scene.hedging.map_or(0.0, |(_, percent)| percent) / 100.0 * firsts as f64;
    (hedges as f64 > most).then(|| format!("{hedges} second requests, {most} are allowed"))
}

/// Nobody is asked for a client who has its answer, or has left.
fn late(story: &Story) -> Option<String> {
    let asked = story.upstreams.iter().flat_map(|past| &past.asked);
    let late = |asked: &&Asked| {
        let ended = story.visits[asked.request as usize].ended;
        asked.at > ended || asked.ended.as_ref().is_none_or(|(at, _)| *at > ended)
    };
    asked.filter(late).map(|asked| format!("asked for nobody: {asked:?}")).next()
}

/// Whoever is well is never left out, whatever its clients do wrong.
fn blamed(past: &Past) -> Option<String> {
    (past.ejections > 0).then(|| format!("{} ejections of who is always well", past.ejections))
}

/// Where somebody else is well, nobody is asked for a while who has failed so often in a row.
fn asked_in_vain(scene: &Scene, story: &Story, past: &Past) -> Option<String> {
    let mut ended: Vec<(Duration, &Asked, Sent)> =
        past.asked.iter().filter_map(|asked| asked.ended.map(|(at, sent)| (at, asked, sent))).collect();
    ended.sort_by_key(|(at, ..)| *at);
    let pause = scene.policy.ejection_base.mul_f64(0.9);
    let (mut in_a_row, mut left_out, mut last) = (0, Duration::ZERO, Duration::ZERO);
    for (at, asked, sent) in ended {
        if past.found_well.iter().any(|found| (last..at).contains(found)) {
            in_a_row = 0;
        }
        last = at;
        let is_hasty = story.visits[asked.request as usize].manner == Manner::Hasty;
        match sent {
            // What was under way when it was left out tells nothing new, nor does a client without patience.
            _ if !asked.is_news || asked.at < left_out || (is_hasty && sent == Sent::Failed(ErrorKind::Timeout)) => {}
            Sent::Failed(ErrorKind::Upstream | ErrorKind::Overloaded | ErrorKind::Unavailable | ErrorKind::Timeout) => {
                in_a_row += 1;
            }
            Sent::Failed(ErrorKind::RateLimited) | Sent::BrokenOff => {}
            Sent::Answered | Sent::Failed(_) => in_a_row = 0,
        }
        if in_a_row == scene.policy.max_errors {
            (in_a_row, left_out) = (0, at);
            let until = answered_after(&past.asked, at).map_or(at + pause, |well| well.min(at + pause));
            if let Some(asked) = asked_between(&past.asked, at, until).filter(|_| scene.hedging.is_none()) {
                return Some(format!("asked although it has failed so often until {at:?}: {asked:?}"));
            }
        }
    }
    None
}

/// When the first answer came of those who asked from then on, such as with another key: whoever gives one is back.
fn answered_after(asked: &[Asked], from: Duration) -> Option<Duration> {
    let later = asked.iter().filter(|asked| asked.at >= from).filter_map(|asked| asked.ended);
    let answers = |sent: &Sent| matches!(sent, Sent::Answered | Sent::Failed(ErrorKind::InvalidRequest));
    later.filter(|(_, sent)| answers(sent)).map(|(at, _)| at).min()
}

/// A key that was refused is not used for a while, as long as there are others.
fn refused_again(scene: &Scene, past: &Past) -> Option<String> {
    let pause = scene.policy.ejection_base.mul_f64(0.9);
    let with_it: Vec<Asked> = past.asked.iter().filter(|asked| asked.key.as_deref() == Some("0")).cloned().collect();
    let mut set_aside = Duration::ZERO;
    with_it.iter().filter(|_| scene.hedging.is_none()).find_map(|asked| {
        let (at, _) = asked.ended.filter(|(_, sent)| *sent == Sent::Failed(ErrorKind::UpstreamAuth))?;
        // What was under way then tells nothing new.
        set_aside = if asked.at < set_aside { set_aside } else { at };
        asked_between(&with_it, set_aside, set_aside + pause).map(|asked| format!("a refused key is used: {asked:?}"))
    })
}

/// An attempt that began in this time, its ends excluded, and that was nobody's second one.
fn asked_between(asked: &[Asked], from: Duration, until: Duration) -> Option<&Asked> {
    asked.iter().find(|asked| !asked.again && asked.at > from && asked.at < until)
}

/// Besides three at a time, what is asked again is a fifth of what is asked for, and so it is with the fallbacks that fail
/// too: twenty of those and as many as run at once may fail before.
fn asked_more(_: &Scene, past: &Past) -> Option<String> {
    let failed =
        |asked: &&Asked| matches!(asked.ended, Some((_, Sent::Failed(kind))) if kind != ErrorKind::InvalidRequest);
    let in_vain: Vec<&Asked> = past.asked.iter().filter(|asked| asked.instead).filter(failed).collect();
    let mut paid: Vec<Duration> =
        in_vain.iter().filter(|asked| asked.beside >= 3).filter_map(|asked| Some(asked.ended?.0)).collect();
    paid.sort();
    let most = past.asked.iter().map(|asked| asked.beside + 1).max().unwrap_or(0) as f64;
    let (mut all, mut again) = (0.0, 0.0);
    past.asked.iter().find_map(|asked| {
        match (asked.again, asked.beside >= 3) {
            (false, _) => all += 1.0,
            (true, true) => again += 1.0,
            (true, false) => {}
        }
        let until = |at: Duration| in_vain.iter().filter(move |asked| asked.ended.is_some_and(|(end, _)| end <= at));
        let earned = (all - until(asked.at).count() as f64) * 0.2;
        let extra = again + paid.partition_point(|end| *end <= asked.at) as f64;
        let too_many = again > all * 0.2 + 1e-6 || extra > earned + 20.0 + 1.2 * most + 1e-6;
        too_many.then(|| format!("{again} again and {extra} in vain besides the free ones, for {all} requests"))
    })
}

/// Everybody is asked again soon after the last fault, but for those who rest because too much was asked of them.
fn settled(scene: &Scene, past: &Past) -> Option<String> {
    let (state, ready) = &past.settled;
    let since = scene.settled().saturating_sub(HEAL);
    let is_back = past.is_limited || (*state != State::Unhealthy && ready.iter().all(|ready| *ready));
    (!is_back).then(|| format!("{since:?} after the last fault: {state:?}, {ready:?}"))
}

/// Whatever was taken for an attempt is given back.
fn held(_: &Scene, past: &Past) -> Option<String> {
    (past.held > 0).then(|| format!("{} retries run for ever", past.held))
}
