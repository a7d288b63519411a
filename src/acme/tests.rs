//! Orders at an authority that is played by hand: what it is asked, in which order.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;

use fourward_core::policy::Policy;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::LOCATION;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::certificate::self_signed;
use crate::config::Config;

/// An authority that gives nobody a certificate, and what it was asked.
struct Authority {
    address: SocketAddr,
    asked: Mutex<Vec<String>>,
    /// The number of the one account that it knows.
    known: Mutex<u32>,
}

impl Authority {
    /// Starts it; its certificate is its own root.
    async fn start() -> (Arc<Self>, RootCertStore) {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".into()]).expect("a certificate");
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let tls = ServerConfig::builder_with_provider(crypto::tls_provider()).with_safe_default_protocol_versions().expect("versions");
        let tls = tls.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key.into()).expect("a pair");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let authority = Arc::new(Self { address, asked: Mutex::default(), known: Mutex::default() });
        tokio::spawn(Arc::clone(&authority).serve(listener, TlsAcceptor::from(Arc::new(tls))));
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("a root");
        (authority, roots)
    }

    async fn serve(self: Arc<Self>, listener: TcpListener, tls: TlsAcceptor) {
        while let Ok((stream, _)) = listener.accept().await {
            let (authority, stream) = (Arc::clone(&self), tls.accept(stream));
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = authority.answer(request.uri().path());
                    async move { Ok::<_, Infallible>(answer) }
                });
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream.await.expect("TLS")), service).await;
            });
        }
    }

    fn answer(&self, path: &str) -> Response<Full<Bytes>> {
        let mut known = self.known.lock().expect("whole");
        if !["/dir", "/nonce"].contains(&path) {
            self.asked.lock().expect("whole").push(path.into());
        }
        let problem = |kind: &str| format!(r#"{{"type":"urn:ietf:params:acme:error:{kind}","detail":"no","status":400}}"#);
        let url = |path: &str| format!("https://{}{path}", self.address);
        let (status, body) = match path {
            "/dir" => {
                let (nonce, account, order) = (url("/nonce"), url("/new"), url("/order"));
                (StatusCode::OK, format!(r#"{{"newNonce":"{nonce}","newAccount":"{account}","newOrder":"{order}"}}"#))
            }
            "/new" => {
                *known += 1;
                (StatusCode::CREATED, r#"{"status":"valid"}"#.into())
            }
            "/nonce" => (StatusCode::OK, String::new()),
            "/order" => (StatusCode::BAD_REQUEST, problem("rejectedIdentifier")),
            account if account == format!("/account/{known}") => (StatusCode::OK, r#"{"status":"valid"}"#.into()),
            _ => (StatusCode::BAD_REQUEST, problem("accountDoesNotExist")),
        };
        let response =
            Response::builder().status(status).header("replay-nonce", "again").header(LOCATION, url(&format!("/account/{known}")));
        response.body(Full::new(body.into())).expect("an answer")
    }

    /// What it was asked since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().expect("whole"))
    }
}

#[tokio::test]
async fn an_account_that_is_forgotten_while_the_e_mail_changes_is_made_anew() {
    let (authority, roots) = Authority::start().await;
    let folder = TempDir::new().expect("a folder");
    let store = Store::open(folder.path(), Policy::default()).expect("a store");
    let config = format!(
        "[public]\nipv4 = [\"192.0.2.11\"]\nipv6 = [\"2001:db8:a::11\"]\n[dns]\nzones = [\"dyn.example.org\"]\n[gateway]\n\
         [acme]\ndirectory = \"https://{}/dir\"\nemail = \"old@example.org\"\n",
        authority.address
    );
    let server = Config::parse(&config, Path::new("test.toml")).expect("good").server.expect("a server");
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key").serialize_der();
    let name = server.public.name.clone();
    let shown = Shown::new(name.clone(), CertificateSource::SelfSigned, self_signed(&name, &key).expect("a certificate"));
    let acme = server.acme.clone().expect("acme");
    let mut orders = Orders { roots: Some(roots), ..Orders::new(&server, acme, store, shown, Arc::default()) };
    let order = async |orders: &Orders| {
        let error = orders.order(&orders.client().expect("a client"), false).await.err().expect("refused");
        assert!(error.to_string().contains("rejectedIdentifier"), "{error}");
        authority.asked()
    };

    assert_eq!(order(&orders).await, ["/new", "/order"]);
    assert_eq!(order(&orders).await, ["/order"]);
    orders.acme.email = Some("new@example.org".into());
    assert_eq!(order(&orders).await, ["/account/1", "/order"], "one that is known is told");
    orders.acme.email = Some("newer@example.org".into());
    *authority.known.lock().expect("whole") = 6;
    assert_eq!(order(&orders).await, ["/account/1", "/new", "/order"]);
    assert_eq!(order(&orders).await, ["/order"], "the address is known there");
}
