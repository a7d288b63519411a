//! A message of the link, with its length in front or without: what is read can be written and read again.

use std::fmt::Debug;

use fourward_core::link::{FromAgent, FromGateway, MESSAGE_LIMIT, decode, encode, length};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub fn check(bytes: &[u8]) {
    message::<FromAgent>(bytes);
    message::<FromGateway>(bytes);
    let Some((prefix, rest)) = bytes.split_first_chunk::<2>() else { return };
    let Ok(length) = length(*prefix) else { return };
    assert!(length <= MESSAGE_LIMIT);
    if let Some(body) = rest.get(..length) {
        message::<FromAgent>(body);
        message::<FromGateway>(body);
    }
}

fn message<M: DeserializeOwned + Serialize + PartialEq + Debug>(body: &[u8]) {
    let Ok(read) = decode::<M>(body) else { return };
    // Writing may take more room than reading did: escapes.
    let Ok(written) = encode(&read) else { return };
    let (prefix, body) = written.split_first_chunk().expect("a length");
    assert_eq!(length(*prefix).expect("a length that is allowed"), body.len());
    assert_eq!(decode::<M>(body).expect("what we write ourselves"), read);
}
