//! Connections of clients, of which each look takes a sip.
//!
//! actix-http reads whatever a client has sent, up to 128 KiB, before it looks whether anybody reads the body. While a
//! disk stalls, or the machine does, clients go on sending, and then a thousand uploads are read ahead at once: more than
//! everything else that this program holds. The library has no setting for that; its server takes any stream, though.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::{HttpService, Request, Response};
use actix_server::{Server, ServerBuilder};
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Service};
use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are taken before others have their turn and the reader of the body is looked for. More than clients
/// usually write at once, so that a look is enough for that; and less than makes actix-http's buffer grow beyond 32 KiB.
const SIP: usize = 23 << 10;

/// How connections are served.
pub(crate) struct Manners {
    pub(crate) keep_alive: Duration,
    pub(crate) shutdown_timeout: u64,
}

/// Serves an application on every connection, as `actix_web::HttpServer` does.
pub(crate) fn serve<F, I, S, B>(listener: TcpListener, manners: &Manners, app: F) -> io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<actix_web::Error> + 'static,
    S::InitError: std::fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as Service<Request>>::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let address = listener.local_addr()?;
    let builder =
        ServerBuilder::default().backlog(4096).disable_signals().shutdown_timeout(manners.shutdown_timeout);
    let stopping = builder.graceful_shutdown_signal();
    let keep_alive = manners.keep_alive;
    let builder = builder.listen("api", listener, move || {
        let stopping = stopping.clone();
        let app = app().into_factory().map_err(|error| error.into().error_response());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(keep_alive)
            .client_disconnect_timeout(Duration::from_secs(1))
            .local_addr(address)
            .h1(map_config(app, |_| AppConfig::default()));
        fn_service(|stream: TcpStream| async move {
            let peer: Option<SocketAddr> = stream.peer_addr().ok();
            Ok((Sips { stream, taken: 0 }, peer))
        })
        .and_then(http)
    })?;
    Ok(builder.run())
}

/// A connection that is read in sips.
struct Sips {
    stream: TcpStream,
    /// Bytes since others had their turn.
    taken: usize,
}

impl AsyncRead for Sips {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.taken >= SIP {
            self.taken = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let room = (SIP - self.taken).min(buffer.remaining());
        let mut sip = ReadBuf::new(buffer.initialize_unfilled_to(room));
        let read = Pin::new(&mut self.stream).poll_read(cx, &mut sip);
        let taken = sip.filled().len();
        buffer.advance(taken);
        self.taken = if read.is_ready() { self.taken + taken } else { 0 };
        read
    }
}

impl AsyncWrite for Sips {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
