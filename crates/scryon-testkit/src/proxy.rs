//! A TCP proxy between a program and what it depends on. It breaks the wire as wires break: late, silent,
//! cut in order, or reset in the middle; in one direction or both, while a test goes on.
//!
//! A silent wire still stands: the peer's kernel takes bytes until its buffers are full, and nobody answers.
//! That is what a program sees of a server that hangs and of a firewall that forgot the connection.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::link::Link;

/// Bytes moved at once.
const PIECE: usize = 16 << 10;

/// A direction of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// What the program sends.
    ToServer,
    /// What the server answers.
    ToClient,
}

impl Way {
    /// Both of them.
    pub const BOTH: [Self; 2] = [Self::ToServer, Self::ToClient];
}

/// What is wrong with one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Fault {
    /// Each piece comes this much later.
    delay: Duration,
    /// Nothing passes; what was sent meanwhile passes afterwards, unless the connection ends.
    silent: bool,
    /// The connection is reset once so many bytes of it have passed in this direction.
    reset_after: Option<u64>,
}

/// What is ordered for all connections.
#[derive(Debug, Clone, Copy, Default)]
struct Orders {
    ways: [Fault; 2],
    /// New connections are reset at once.
    refusing: bool,
    /// Connections made before this change are ended.
    generation: u64,
    /// How they are ended.
    ending: Ending,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Ending {
    /// FIN: each side reads an end.
    #[default]
    Cut,
    /// RST: each side reads an error.
    Reset,
    /// Both sides believe that it stands, and nothing passes.
    Forgotten,
}

impl Orders {
    fn of(&self, way: Way) -> Fault {
        self.ways[way as usize]
    }
}

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    open: AtomicUsize,
    bytes: [AtomicU64; 2],
}

/// A proxy to one server. Its connections end with it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    orders: watch::Sender<Orders>,
    counts: Arc<Counts>,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    /// A proxy to `host:port`, on a port of its own.
    ///
    /// # Panics
    /// When no port is free.
    pub fn to(server: impl Into<String>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        Self::on(listener, server)
    }

    /// A proxy to the server that a URL names, behind a link.
    pub fn behind(link: &Link, url: &str) -> Self {
        Self::on(link.listener(), host_of(url))
    }

    fn on(listener: std::net::TcpListener, server: impl Into<String>) -> Self {
        listener.set_nonblocking(true).expect("a listener that tasks may wait for");
        let listener = TcpListener::from_std(listener).expect("a listener that tasks may wait for");
        let address = listener.local_addr().expect("a bound address");
        let (orders, watched) = watch::channel(Orders::default());
        let counts = Arc::new(Counts::default());
        let accepting = tokio::spawn(accept(listener, server.into(), watched, counts.clone()));
        Self { address, orders, counts, accepting }
    }

    /// A proxy to the server that a URL names.
    pub fn to_url(url: &str) -> Self {
        Self::to(host_of(url))
    }

    /// Where programs connect to instead of the server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same URL by way of this proxy.
    pub fn url(&self, url: &str) -> String {
        url.replacen(host_of(url), &self.address.to_string(), 1)
    }

    /// Each piece comes this much later.
    pub fn delay(&self, ways: &[Way], delay: Duration) {
        self.change(ways, |fault| fault.delay = delay);
    }

    /// Nothing passes any more, on any connection, also a new one. Nobody is told.
    pub fn silence(&self, ways: &[Way]) {
        self.change(ways, |fault| fault.silent = true);
    }

    /// Each connection is reset once so many of its bytes have passed this way.
    pub fn reset_after(&self, way: Way, bytes: u64) {
        self.change(&[way], |fault| fault.reset_after = Some(bytes));
    }

    /// New connections are reset at once; those that stand go on.
    pub fn refuse(&self) {
        self.orders.send_modify(|orders| orders.refusing = true);
    }

    /// Ends every connection in order. New ones are made as ever.
    pub fn cut(&self) {
        self.end(Ending::Cut);
    }

    /// Resets every connection. New ones are made as ever.
    pub fn reset(&self) {
        self.end(Ending::Reset);
    }

    /// Nothing passes any more on connections that stand, as when a firewall has forgotten them; nobody is told, and
    /// neither [`Self::heal`] nor another end reaches them. New ones are made as ever.
    pub fn forget(&self) {
        self.end(Ending::Forgotten);
    }

    /// Everything passes again. What was ended stays ended.
    pub fn heal(&self) {
        self.orders.send_modify(|orders| {
            orders.ways = [Fault::default(); 2];
            orders.refusing = false;
        });
    }

    /// Connections made so far.
    pub fn accepted(&self) -> u64 {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    /// Connections that stand.
    pub fn open(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// Bytes that have passed this way, on all connections.
    pub fn passed(&self, way: Way) -> u64 {
        self.counts.bytes[way as usize].load(Ordering::SeqCst)
    }

    fn change(&self, ways: &[Way], change: impl Fn(&mut Fault)) {
        self.orders.send_modify(|orders| ways.iter().for_each(|way| change(&mut orders.ways[*way as usize])));
    }

    fn end(&self, ending: Ending) {
        self.orders.send_modify(|orders| {
            orders.generation += 1;
            orders.ending = ending;
        });
    }
}

/// `host:port` of a URL.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

async fn accept(listener: TcpListener, server: String, orders: watch::Receiver<Orders>, counts: Arc<Counts>) {
    // They end with this task.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        counts.accepted.fetch_add(1, Ordering::SeqCst);
        if orders.borrow().refusing {
            reset(&client);
            continue;
        }
        connections.spawn(carry(client, server.clone(), orders.clone(), counts.clone()));
    }
}

/// One connection's life.
async fn carry(client: TcpStream, server: String, orders: watch::Receiver<Orders>, counts: Arc<Counts>) {
    let generation = orders.borrow().generation;
    let Ok(server) = TcpStream::connect(&server).await else { return reset(&client) };
    // What is small is sent at once, as the peers meant it.
    let _best_effort = (client.set_nodelay(true), server.set_nodelay(true));
    counts.open.fetch_add(1, Ordering::SeqCst);
    let mut ended = orders.clone();
    let ending = tokio::select! {
        // First, so that nothing of what was held back passes where a wire is ended and healed at once.
        biased;
        order = ended.wait_for(|orders| orders.generation > generation) => {
            order.map_or(Ending::Reset, |orders| orders.ending)
        }
        // Both directions came to their own end, or one broke.
        passed = async {
            tokio::try_join!(
                pump(&client, &server, Way::ToServer, orders.clone(), &counts),
                pump(&server, &client, Way::ToClient, orders.clone(), &counts),
            )
        } => if passed.is_ok() { Ending::Cut } else { Ending::Reset },
    };
    match ending {
        Ending::Cut => {}
        Ending::Reset => {
            reset(&client);
            reset(&server);
        }
        Ending::Forgotten => std::future::pending().await,
    }
    counts.open.fetch_sub(1, Ordering::SeqCst);
}

/// Moves bytes one way until their end. An error means that the connection is to be reset.
async fn pump(
    from: &TcpStream,
    to: &TcpStream,
    way: Way,
    mut orders: watch::Receiver<Orders>,
    counts: &Counts,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut passed = 0u64;
    loop {
        sounding(&mut orders, way).await?;
        from.readable().await?;
        let fault = orders.borrow().of(way);
        if fault.silent {
            continue; // ordered while we waited
        }
        let room = fault.reset_after.map_or(PIECE as u64, |limit| limit.saturating_sub(passed));
        let room = usize::try_from(room).unwrap_or(PIECE).min(PIECE);
        if room == 0 {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let count = match from.try_read(&mut piece[..room]) {
            Ok(0) => return SockRef::from(to).shutdown(Shutdown::Write),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        if !fault.delay.is_zero() {
            tokio::time::sleep(fault.delay).await;
        }
        sounding(&mut orders, way).await?;
        write(to, &piece[..count]).await?;
        passed += count as u64;
        counts.bytes[way as usize].fetch_add(count as u64, Ordering::SeqCst);
        if fault.reset_after.is_some_and(|limit| passed >= limit) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
    }
}

/// Waits until this direction is not silent.
async fn sounding(orders: &mut watch::Receiver<Orders>, way: Way) -> io::Result<()> {
    let gone = |_| io::Error::from(io::ErrorKind::ConnectionReset);
    orders.wait_for(|orders| !orders.of(way).silent).await.map(drop).map_err(gone)
}

async fn write(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The connection's close is a reset.
fn reset(stream: &TcpStream) {
    // A socket that is gone is what is wanted.
    let _gone = stream.set_zero_linger();
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::wait::eventually;

    /// A server that answers every byte with the same one, and ends when its client does.
    async fn echo() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ended = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        Proxy::to(address.to_string())
    }

    async fn client(proxy: &Proxy) -> TcpStream {
        TcpStream::connect(proxy.address()).await.unwrap()
    }

    /// Sends, and reads as much.
    async fn said(stream: &mut TcpStream, text: &[u8]) -> io::Result<Vec<u8>> {
        stream.write_all(text).await?;
        let mut back = vec![0; text.len()];
        stream.read_exact(&mut back).await?;
        Ok(back)
    }

    /// Whether nothing comes back for a while.
    async fn is_silent(stream: &mut TcpStream) -> bool {
        let mut byte = [0];
        tokio::time::timeout(Duration::from_millis(200), stream.read(&mut byte)).await.is_err()
    }

    #[tokio::test]
    async fn a_sound_wire_carries_everything_and_both_ends() {
        let proxy = echo().await;
        let mut stream = client(&proxy).await;
        let much: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
        let (mut read, mut write) = stream.split();
        let mut back = Vec::new();
        let sent = async {
            write.write_all(&much).await.unwrap();
            write.shutdown().await.unwrap();
        };
        let (_, count) = tokio::join!(sent, read.read_to_end(&mut back));
        assert_eq!((count.unwrap(), &back), (much.len(), &much), "a half-closed wire still answers");
        assert_eq!(proxy.passed(Way::ToClient), much.len() as u64);
        eventually("the connection's end", || async { (proxy.open() == 0).then_some(()) }).await;
    }

    #[tokio::test]
    async fn a_delay_counts_once_per_direction() {
        let proxy = echo().await;
        let mut stream = client(&proxy).await;
        proxy.delay(&[Way::ToServer], Duration::from_millis(100));
        let started = Instant::now();
        said(&mut stream, b"a").await.unwrap();
        assert!(started.elapsed() >= Duration::from_millis(100));
        proxy.delay(&Way::BOTH, Duration::from_millis(100));
        let started = Instant::now();
        said(&mut stream, b"b").await.unwrap();
        assert!(started.elapsed() >= Duration::from_millis(200));
    }

    #[tokio::test]
    async fn silence_is_told_to_nobody_and_what_was_said_is_heard_afterwards() {
        let proxy = echo().await;
        let mut old = client(&proxy).await;
        said(&mut old, b"before").await.unwrap();
        proxy.silence(&[Way::ToClient]);
        old.write_all(b"x").await.unwrap();
        assert!(is_silent(&mut old).await);
        // The other direction is sound: the server heard it.
        assert_eq!(proxy.passed(Way::ToServer), 7);
        let mut new = client(&proxy).await;
        new.write_all(b"y").await.unwrap();
        assert!(is_silent(&mut new).await, "a new connection stands and is silent, too");
        proxy.heal();
        let (mut one, mut other) = ([0], [0]);
        old.read_exact(&mut one).await.unwrap();
        new.read_exact(&mut other).await.unwrap();
        assert_eq!((&one, &other), (b"x", b"y"));
    }

    #[tokio::test]
    async fn a_cut_is_an_end_and_a_reset_is_an_error() {
        let proxy = echo().await;
        let mut stream = client(&proxy).await;
        said(&mut stream, b"a").await.unwrap();
        proxy.cut();
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
        let mut stream = client(&proxy).await;
        said(&mut stream, b"a").await.unwrap();
        proxy.reset();
        let error = stream.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        said(&mut client(&proxy).await, b"a").await.expect("new connections are made as ever");
    }

    #[tokio::test]
    async fn a_silent_wire_can_be_reset() {
        let proxy = echo().await;
        let mut stream = client(&proxy).await;
        said(&mut stream, b"a").await.unwrap();
        proxy.silence(&Way::BOTH);
        proxy.reset();
        assert_eq!(stream.read(&mut [0]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_connection_breaks_at_the_byte_that_was_named() {
        let proxy = echo().await;
        proxy.reset_after(Way::ToServer, 10);
        let mut stream = client(&proxy).await;
        said(&mut stream, b"123456789").await.unwrap();
        assert!(said(&mut stream, b"0ab").await.is_err());
        assert_eq!(proxy.passed(Way::ToServer), 10, "not a byte more");
        said(&mut client(&proxy).await, b"123456789").await.expect("each connection counts for itself");
    }

    #[tokio::test]
    async fn who_is_refused_has_no_connection_and_who_has_one_keeps_it() {
        let proxy = echo().await;
        let mut old = client(&proxy).await;
        said(&mut old, b"a").await.unwrap();
        proxy.refuse();
        assert!(said(&mut client(&proxy).await, b"a").await.is_err());
        said(&mut old, b"b").await.unwrap();
        proxy.heal();
        said(&mut client(&proxy).await, b"c").await.unwrap();
    }

    #[test]
    fn a_url_keeps_everything_but_its_host() {
        assert_eq!(host_of("postgres://a:b@127.0.0.1:5432/scryon?options=-c%20x"), "127.0.0.1:5432");
        assert_eq!(host_of("http://127.0.0.1:80"), "127.0.0.1:80");
        assert_eq!(host_of("amqp://guest:guest@localhost:5672/%2f"), "localhost:5672");
    }
}
