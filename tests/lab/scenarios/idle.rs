//! Ten thousand clients that are connected to their home and have nothing to say; or as many as a process may have, of which
//! two descriptors go to each.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, Stream};

use crate::clock::{figure, wait_for};
use crate::lab::Lab;
use crate::many::{connect_from, gateway, one_of_many};
use crate::roles::DUAL;
use crate::topology::Node::{Phone4, Phone6};
use crate::topology::PHONE6;
use crate::web;

const CLIENTS: usize = 10_000;
/// With fewer it would not be worth its name.
const AT_LEAST: usize = 9_000;
/// Of them as many come at once.
const AT_ONCE: usize = 8;
/// The first ones, after whom the gateway has its buffers; they go again.
const WARMING: usize = 64;
/// Of one address: far fewer than `gateway.limits.per-network`.
const OF_ONE: usize = 100;
/// Descriptors for all that is not a client: the gateway keeps some back for its other roles, and for pipes.
const OTHERS: usize = 1_500;
/// What an idle relay may keep resident, in bytes.
const EACH: u64 = 4 << 10;
/// For a crowd that left to be gone from the gateway's memory, and what may stay for the next: a page of code here, a stack there.
const SETTLED: Duration = Duration::from_secs(15);
const LEFT: u64 = 4 << 10;

#[test]
fn ten_thousand_idle_connections_or_all_that_descriptors_allow_cost_four_kibibytes_each_at_most() {
    let lab = Lab::new();
    let descriptors = lab.let_phone4_be_many();
    let clients = CLIENTS.min(descriptors.saturating_sub(OTHERS) / 2);
    assert!(clients >= AT_LEAST, "{descriptors} descriptors are too few for this test: ulimit -Hn {}", 2 * CLIENTS + OTHERS);
    let vps = lab.start_vps();
    vps.add_host("cloud", &["address-from=static", &format!("address={PHONE6}")]);
    let home = lab.serve_quietly();

    drop(lab.quiet_clients(WARMING));
    home.wait_until_all_left();
    wait_for("the gateway is idle", SETTLED, || vps.connections() == 0);
    let before = (vps.daemon.memory(), vps.daemon.descriptors());
    let idle = lab.quiet_clients(clients);
    assert_eq!((idle.len(), vps.connections()), (clients, clients as u64));
    let (memory, open) = (vps.daemon.memory(), vps.daemon.descriptors());
    let each = (memory - before.0) * 1024 / clients as u64;
    figure(&format!("{clients} idle connections"), format_args!("{each} bytes each; {} KiB before, {memory} KiB with them", before.0));
    assert!(open >= before.1 + 2 * clients, "both ends of each are held: {open}");
    assert!(cfg!(debug_assertions) || each <= EACH, "an idle connection keeps {each} bytes");

    drop(idle);
    home.wait_until_all_left();
    wait_for("their descriptors are given back", SETTLED, || vps.daemon.descriptors() <= before.1);
    wait_for("their memory is given back", SETTLED, || vps.daemon.memory() <= before.0 + LEFT);
    figure("after them", format_args!("{} KiB", vps.daemon.memory()));
}

/// A service at phone6, a home that is not linked: it greets its clients over TLS and says nothing more.
struct Quiet {
    kept: Arc<AtomicUsize>,
}

impl Quiet {
    fn wait_until_all_left(&self) {
        wait_for("every client left the home", SETTLED, || self.kept.load(Ordering::Relaxed) == 0);
    }
}

impl Lab {
    fn serve_quietly(&self) -> Quiet {
        let tls = Arc::new(server_config(&self.dir().join("web")));
        let listener = self.ns(Phone6).thread(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, 443))).join();
        let listener = Arc::new(listener.expect("a thread").expect("a listener at home"));
        let (kept, streams) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<TcpStream>>>::default());
        for _ in 0..AT_ONCE {
            let (tls, listener, kept, streams) = (Arc::clone(&tls), Arc::clone(&listener), Arc::clone(&kept), Arc::clone(&streams));
            thread::spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    stream.set_nodelay(true).expect("an option");
                    let mut connection = ServerConnection::new(Arc::clone(&tls)).expect("a connection");
                    let mut whole = Stream::new(&mut connection, &mut stream);
                    let greeted = whole.read_exact(&mut [0; 5]).and_then(|()| whole.write_all(b"hello")).and_then(|()| whole.flush());
                    if greeted.is_ok() && stream.set_nonblocking(true).is_ok() {
                        kept.fetch_add(1, Ordering::Relaxed);
                        streams.lock().expect("the clients").push(stream);
                    }
                }
            });
        }
        let count = Arc::clone(&kept);
        thread::spawn(move || {
            // Ends with the process; a look a second costs nothing.
            loop {
                thread::sleep(Duration::from_millis(200));
                let mut streams = streams.lock().expect("the clients");
                streams.retain_mut(|stream| stream.read(&mut [0; 64]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
                streams.shrink_to_fit();
                count.store(streams.len(), Ordering::Relaxed);
            }
        });
        Quiet { kept }
    }

    /// Clients that have shaken hands with the home, greeted it and been greeted.
    fn quiet_clients(&self, count: usize) -> Vec<TcpStream> {
        let tls = web::clients(self.dir());
        let next = Arc::new(AtomicUsize::new(0));
        let client = |_| -> JoinHandle<Vec<TcpStream>> {
            let (tls, next) = (Arc::clone(&tls), Arc::clone(&next));
            self.ns(Phone4).thread(move || {
                let numbers = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < count));
                numbers.map(|number| greet(&tls, number)).collect()
            })
        };
        let threads: Vec<_> = (0..AT_ONCE).map(client).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("clients")).collect()
    }
}

fn greet(tls: &Arc<ClientConfig>, number: usize) -> TcpStream {
    let mut stream = connect_from(one_of_many(number / OF_ONE), gateway(443)).expect("a connection to the gateway");
    let name = ServerName::try_from(DUAL).expect("a name");
    let mut connection = ClientConnection::new(Arc::clone(tls), name).expect("a connection");
    let mut whole = Stream::new(&mut connection, &mut stream);
    let mut greeting = [0; 5];
    let greeted = whole.write_all(b"howdy").and_then(|()| whole.flush()).and_then(|()| whole.read_exact(&mut greeting));
    greeted.unwrap_or_else(|error| panic!("client {number}: {error}"));
    stream
}

fn server_config(web: &Path) -> ServerConfig {
    let chain = vec![CertificateDer::from_pem_file(web.join("server.pem")).expect("the home's certificate")];
    let key = PrivateKeyDer::from_pem_file(web.join("server.key")).expect("the home's key");
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("a certificate and its key");
    // Nothing that would lie unread at the client.
    config.send_tls13_tickets = 0;
    config
}
