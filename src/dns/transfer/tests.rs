use fourward_core::change::Change;
use fourward_core::host::Digest;
use fourward_core::policy::Policy;
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;

/// AXFR of `z.org`.
const QUESTION: &[u8] = b"\0\x07\0\0\0\x01\0\0\0\0\0\0\x01z\x03org\0\0\xFC\0\x01";

struct Rig {
    transfers: Arc<Transfers>,
    states: watch::Receiver<Arc<State>>,
    params: Arc<ZoneParams>,
    _folder: TempDir,
}

async fn rig() -> Rig {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path(), Policy::default()).expect("a store");
    let zone: DnsName = "z.org".parse().expect("a name");
    store.commit(Change::Serve { zone: zone.clone(), apex: Digest([0; 32]), at: Timestamp::UNIX_EPOCH }).await.expect("served");
    let own_name: DnsName = "gw.z.org".parse().expect("a name");
    let (zones, nameservers) = (vec![zone], vec![own_name.clone()]);
    let params = ZoneParams { zones, nameservers, own_name, ipv4: Vec::new(), ipv6: Vec::new(), ttl: 60, dnssec: true };
    let secondaries = [Secondary { address: ([127, 0, 0, 1], 53).into(), key: None }];
    let transfers = Transfers::new(&secondaries, store.clone()).expect("one");
    Rig { transfers, states: store.watch(), params: Arc::new(params), _folder: folder }
}

impl Rig {
    /// A transfer to whoever is at the other end.
    fn serve(&self) -> (DuplexStream, JoinHandle<io::Result<Rcode>>) {
        let (client, mut server) = duplex(16);
        let (transfers, states, params) = (Arc::clone(&self.transfers), self.states.clone(), Arc::clone(&self.params));
        let serving = tokio::spawn(async move {
            let asked = Asked { message: QUESTION, client: [127, 0, 0, 1].into(), cookie: None, session: None };
            transfers.serve(asked, &states, &params, &mut server).await
        });
        (client, serving)
    }
}

#[tokio::test]
async fn who_does_not_read_is_cut_and_who_comes_when_all_places_are_taken_waits_for_a_while() {
    let rig = rig().await;
    tokio::time::pause();
    let began = Instant::now();
    let slow: Vec<_> = (0..AT_ONCE).map(|_| rig.serve()).collect();
    tokio::time::advance(Duration::from_millis(1)).await;
    let (mut late, serving) = rig.serve();
    let mut answer = vec![0; 14];
    late.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(answer[5] & 0xF, 2, "SERVFAIL");
    assert_eq!(began.elapsed().as_secs(), TURN.as_secs());
    drop(late);
    drop(serving.await);
    for (client, serving) in slow {
        serving.await.expect("no panic").expect_err("cut");
        drop(client);
    }
    assert_eq!(began.elapsed().as_secs(), MESSAGE.as_secs());
    assert_eq!(rig.transfers.meter().broken(), AT_ONCE as u64);

    let (mut client, serving) = rig.serve();
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.expect("read");
    assert_eq!(serving.await.expect("no panic").expect("whole"), Rcode::NOERROR, "the places are free again");
    assert_eq!(usize::from(u16::from_be_bytes([all[0], all[1]])), all.len() - 2);
    assert_eq!(rig.transfers.meter().given()[0].1, 1);
}
