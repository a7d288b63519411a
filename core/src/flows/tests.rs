//! Lives and deaths of flows, by a clock of the tests' own.
#![allow(clippy::disallowed_methods, reason = "each test starts a clock of its own and moves it by hand")]

use proptest::prelude::*;

use super::*;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn network(number: u8) -> Group {
    Group::Network(IpAddr::V4([192, 0, 2, number].into()))
}

/// A flow whose client was answered and spoke again.
fn heard(flows: &mut Flows<u32>, number: u8, now: Instant) -> Id {
    let id = flows.begin(0, [network(number)], now);
    flows.from_client(id, 10, now);
    assert_eq!(flows.to_client(id, [10], now), 1);
    flows.from_client(id, 10, now);
    id
}

#[test]
fn a_flow_lives_for_half_a_minute_and_for_three_once_answered() {
    let (mut flows, t0) = (Flows::default(), Instant::now());
    let (silent, answered) = (flows.begin('s', [], t0), flows.begin('a', [], t0));
    flows.from_client(silent, 1, t0);
    flows.from_client(answered, 1, t0);
    assert_eq!(flows.to_client(answered, [1], t0 + seconds(1)), 1);
    assert_eq!((flows.expired(t0 + seconds(29)), flows.next_due()), (None, Some(t0 + seconds(30))));
    assert_eq!(flows.expired(t0 + seconds(30)), Some(silent));
    assert_eq!(flows.end(silent), Some('s'));
    assert_eq!((flows.expired(t0 + seconds(180)), flows.next_due()), (None, Some(t0 + seconds(181))));
    flows.from_client(answered, 1, t0 + seconds(180));
    assert_eq!(flows.expired(t0 + seconds(359)), None);
    assert_eq!(flows.expired(t0 + seconds(360)), Some(answered));
    assert_eq!((flows.end(answered), flows.end(answered), flows.len()), (Some('a'), None, 0));
    assert!(flows.groups.is_empty() && flows.dues.is_empty());
}

#[test]
fn who_has_not_shown_to_hear_gets_three_times_what_it_sent() {
    let (mut flows, t0) = (Flows::default(), Instant::now());
    let id = flows.begin((), [], t0);
    flows.from_client(id, 100, t0);
    assert_eq!(flows.to_client(id, [200, 100, 1], t0), 2, "three hundred bytes");
    assert_eq!(flows.to_client(id, [1], t0), 0);
    flows.from_client(id, 1, t0);
    assert_eq!(flows.to_client(id, [1_000_000, 1_000_000], t0), 2, "it spoke after it was answered");
}

#[test]
fn who_sends_again_and_again_before_any_answer_has_shown_nothing() {
    let (mut flows, t0) = (Flows::default(), Instant::now());
    let id = flows.begin((), [], t0);
    for _ in 0..5 {
        flows.from_client(id, 20, t0);
    }
    assert_eq!(flows.to_client(id, [301], t0), 0);
    flows.from_client(id, 20, t0);
    assert_eq!(flows.to_client(id, [361], t0), 0, "an answer that was withheld is none");
    assert_eq!(flows.to_client(id, [360], t0), 1);
}

#[test]
fn the_oldest_that_may_be_forged_gives_way_within_its_group() {
    let (mut flows, t0) = (Flows::default(), Instant::now());
    let sure = heard(&mut flows, 1, t0);
    let others: Vec<Id> = (0..3).map(|number| flows.begin(number, [network(1 + number as u8 % 2)], t0)).collect();
    assert_eq!(flows.gives_way(&[(Group::All, 5)]), Ok(None));
    assert_eq!(flows.gives_way(&[(Group::All, 4)]), Ok(Some(others[0])), "not the one that is sure, though it is older");
    assert_eq!(flows.gives_way(&[(Group::All, 9), (network(2), 1)]), Ok(Some(others[1])));
    flows.end(others[0]);
    flows.end(others[2]);
    assert_eq!(flows.gives_way(&[(network(1), 1)]), Err(Full(network(1))));
    flows.end(sure);
    assert_eq!(flows.gives_way(&[(network(1), 1)]), Ok(None));
}

#[test]
fn a_network_that_asks_for_more_costs_its_own_flows_and_nobody_else_s() {
    let (mut flows, t0) = (Flows::default(), Instant::now());
    let other = flows.begin(0, [network(2)], t0);
    let full = [(Group::All, 3), (network(1), 2)];
    let own: Vec<Id> = (1..3).map(|number| flows.begin(number, [network(1)], t0)).collect();
    assert_eq!(flows.gives_way(&full), Ok(Some(own[0])), "though the other's is older");
    for id in own {
        flows.end(id);
        heard(&mut flows, 1, t0);
    }
    assert_eq!(flows.gives_way(&full), Err(Full(network(1))), "its own are all sure, so nobody goes");
    assert_eq!(flows.gives_way(&full[..1]), Ok(Some(other)));
}

#[test]
fn a_place_that_is_used_again_is_another_flow() {
    let (mut flows, t0) = (Flows::default(), Instant::now());
    let first = flows.begin(1, [], t0);
    flows.end(first);
    let second = flows.begin(2, [], t0);
    assert_eq!((first.index, flows.get(first), flows.get(second)), (second.index, None, Some(&2)));
    flows.from_client(first, 10, t0);
    assert_eq!((flows.to_client(first, [1], t0), flows.to_client(second, [1], t0)), (0, 0));
    assert_eq!(Id::from_bits(second.to_bits()), second);
}

#[derive(Clone, Debug)]
enum Act {
    Begin(u8),
    Send(usize, usize),
    Answer(usize, Vec<usize>),
    Wait(u64),
    End(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0_u8..6).prop_map(Act::Begin),
        (0_usize..40, 0_usize..2_000).prop_map(|(at, bytes)| Act::Send(at, bytes)),
        (0_usize..40, prop::collection::vec(0_usize..4_000, 0..5)).prop_map(|(at, sizes)| Act::Answer(at, sizes)),
        (0_u64..100).prop_map(Act::Wait),
        (0_usize..40).prop_map(Act::End),
    ]
}

/// What a client sent and got, and whether it spoke after it was answered.
#[derive(Clone, Copy, Default)]
struct Told {
    sent: usize,
    got: usize,
    heard: bool,
}

proptest! {
    #[test]
    fn whatever_happens_the_bounds_hold(acts in prop::collection::vec(act(), 0..300)) {
        const ALL: usize = 12;
        const OF_ONE: usize = 4;
        let (mut flows, mut now) = (Flows::default(), Instant::now());
        let mut known: Vec<(Id, u8, Told, Instant)> = Vec::new();
        for act in acts {
            match act {
                Act::Begin(of) => {
                    let groups = [(Group::All, ALL), (network(of), OF_ONE)];
                    let room = loop {
                        match flows.gives_way(&groups) {
                            Ok(Some(id)) => {
                                let at = known.iter().position(|(other, ..)| *other == id).expect("a live one");
                                prop_assert!(!known.remove(at).2.heard, "who is sure never gives way");
                                flows.end(id);
                            }
                            Ok(None) => break true,
                            Err(_) => break false,
                        }
                    };
                    if room {
                        known.push((flows.begin(of, groups.map(|(group, _)| group), now), of, Told::default(), now));
                    }
                }
                Act::Send(at, bytes) => if let Some((id, _, told, last)) = known.get_mut(at) {
                    flows.from_client(*id, bytes, now);
                    (told.heard, told.sent, *last) = (told.heard || told.got > 0, told.sent + bytes, now);
                },
                Act::Answer(at, sizes) => if let Some((id, _, told, last)) = known.get_mut(at) {
                    // An empty datagram is an answer too; the model goes by bytes.
                    let sizes: Vec<usize> = sizes.into_iter().map(|size| size + 1).collect();
                    let count = flows.to_client(*id, sizes.iter().copied(), now);
                    told.got += sizes.iter().take(count).sum::<usize>();
                    prop_assert!(told.heard || told.got <= 3 * told.sent);
                    prop_assert!(!told.heard || count == sizes.len());
                    *last = now;
                },
                Act::Wait(time) => {
                    now += seconds(time);
                    while let Some(id) = flows.expired(now) {
                        let at = known.iter().position(|(other, ..)| *other == id).expect("a live one");
                        let (_, _, told, last) = known.remove(at);
                        let limit = if told.got > 0 { ANSWERED } else { UNANSWERED };
                        prop_assert!(now - last >= limit);
                        flows.end(id);
                    }
                    for (_, _, told, last) in &known {
                        let limit = if told.got > 0 { ANSWERED } else { UNANSWERED };
                        prop_assert!(now - *last < limit);
                    }
                }
                Act::End(at) => if at < known.len() {
                    let (id, of, ..) = known.remove(at);
                    prop_assert_eq!(flows.end(id), Some(of));
                },
            }
            prop_assert_eq!(flows.len(), known.len());
            prop_assert!(known.len() <= ALL && (0..6).all(|of| known.iter().filter(|(_, other, ..)| *other == of).count() <= OF_ONE));
        }
        for (id, ..) in known {
            flows.end(id);
        }
        prop_assert!(flows.is_empty() && flows.groups.is_empty() && flows.dues.is_empty());
    }
}
