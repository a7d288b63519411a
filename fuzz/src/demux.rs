//! A datagram on UDP 443: ours only with our version and a connection ID that can be one, or with a connection ID of ours.

use fourward_core::demux::{OWN_ID_LENGTH, Owner, owner};

pub fn check(datagram: &[u8]) {
    let by_id = owner(datagram, |id| {
        assert_eq!(id.len(), OWN_ID_LENGTH);
        true
    });
    let by_beginning = owner(datagram, |_| false);
    if by_beginning == Owner::Own {
        assert!(datagram[0] & 0x80 != 0 && datagram[1..5] == [0, 0, 0, 1] && datagram[5] <= 20);
        assert!(datagram.len() > 6 + usize::from(datagram[5]), "the source's length is there");
        assert_eq!(by_id, Owner::Own);
    } else if by_id == Owner::Own {
        assert!(datagram[0] & 0x80 == 0 && datagram.len() > OWN_ID_LENGTH);
    }
}
