//! Both ends of what the gateway's benches measure, and the floor below it: what a relay cannot do without.
//!
//! `far PORT` is the home: it does what the first bytes of a connection ask for. `bulk`, `connect`, `ping` and `hold` are its clients, each
//! of which prints what it saw as one line of JSON. `floor` is a relay of one thread and one fixed target, with nothing but the calls that carry
//! bytes: no names, no limits, no counting. Nothing here is a product; arguments that make no sense end it with a panic's message.

mod far;
mod floor;
mod near;
mod speech;

use std::net::SocketAddr;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word = |at: usize| words.get(at).unwrap_or_else(|| panic!("argument {at} is missing; bench/relay.py shows the calls")).as_str();
    let number = |at: usize| word(at).parse::<u64>().unwrap_or_else(|_| panic!("{} is no number", word(at)));
    let address = |at: usize| word(at).parse::<SocketAddr>().unwrap_or_else(|_| panic!("{} is no address with a port", word(at)));
    match word(0) {
        "far" => far::serve(address(1)),
        "floor" => floor::serve(address(1), address(2), word(3) == "lowat"),
        "bulk" => near::bulk(address(1), word(2) == "tls", word(3).as_bytes()[0], number(4), number(5)),
        "connect" => near::connect(address(1), number(2), number(3)),
        "ping" => near::ping(address(1), number(2), number(3) as usize),
        "beside" => near::beside(address(1), number(2), number(3)),
        "hold" => near::hold(address(1), number(2)),
        other => panic!("{other}: far, floor, bulk, connect, ping, beside or hold"),
    }
}
