//! The page of `demo --keep`: the report, on a 127.0.0.1 port of this machine, for as long as the demo stays up.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// A browser that opens a connection ahead of need says nothing on it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Out of descriptors: do not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens the page's port. To be called before the namespaces are entered: a socket stays where it was made.
///
/// # Errors
/// No port is to be had.
pub(super) fn open() -> io::Result<TcpListener> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves `html` to whoever asks, for ever.
pub(super) async fn serve(listener: tokio::net::TcpListener, html: String) {
    let length = html.len();
    let page = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {length}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{html}"
    );
    let mut visits = JoinSet::new();
    loop {
        while visits.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((mut stream, _)) => {
                let page = page.clone();
                visits.spawn(timeout(PATIENCE, async move {
                    // Whatever is asked for, there is one page; reading the question keeps the kernel from resetting the answer.
                    let mut asked = [0; 4096];
                    if stream.read(&mut asked).await? == 0 {
                        return Ok(());
                    }
                    stream.write_all(page.as_bytes()).await?;
                    stream.shutdown().await
                }));
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}
