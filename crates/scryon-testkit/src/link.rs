//! A network link that loses every packet when it is told to. Nothing of either end acknowledges anything then,
//! which no proxy can play: the kernel before it takes what it does not pass on. So a link is what shows the
//! deadlines of TCP itself.
//!
//! It is a pair of virtual Ethernet devices (veth(4)), the far one in a network namespace of its own. A server
//! listens there; programs connect from here.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use nix::sched::{CloneFlags, setns};

/// The far device's hardware address. It is told, not asked for: an unanswered question would be noticed.
const HARDWARE: &str = "02:00:00:00:00:02";

/// A link; it is taken down when it goes out of scope.
#[derive(Debug)]
pub struct Link {
    /// The namespace, and the name of the near device.
    name: String,
    far: Ipv4Addr,
}

impl Link {
    /// A link of the test's own; `None` where this process may not make one, as anybody but root, and root in a
    /// container of the usual kind.
    ///
    /// # Panics
    /// When it may and cannot.
    pub fn up() -> Option<Self> {
        static COUNT: AtomicU8 = AtomicU8::new(0);
        if !may_make_networks() {
            return None;
        }
        let process = std::process::id();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // 198.18.0.0/15 is for measurements of networks (RFC 2544): nobody else is there.
        let [high, low] = ((process ^ (process >> 16)) as u16).to_be_bytes();
        let address = |host: u8| Ipv4Addr::new(198, 18 + (high & 1), low, (count % 64) * 4 + host);
        let (near, far) = (address(1), address(2));
        // Fifteen letters are what a device's name may have.
        let link = Self { name: format!("sy{process:x}-{count:x}"), far };
        let name = link.name.as_str();
        run(&["netns", "add", name]);
        run(&["link", "add", name, "type", "veth", "peer", "name", "far", "netns", name]);
        run(&["-n", name, "link", "set", "far", "address", HARDWARE, "up"]);
        run(&["-n", name, "addr", "add", &format!("{far}/30"), "dev", "far"]);
        run(&["addr", "add", &format!("{near}/30"), "dev", name]);
        run(&["link", "set", name, "up"]);
        run(&["neigh", "replace", &far.to_string(), "lladdr", HARDWARE, "dev", name, "nud", "permanent"]);
        Some(link)
    }

    /// A listener at the far end. What it accepts may be carried on from here: a socket stays where it was made.
    ///
    /// # Panics
    /// When the namespace cannot be entered.
    pub fn listener(&self) -> TcpListener {
        let space = File::open(format!("/run/netns/{}", self.name)).expect("the namespace has a name");
        let far = self.far;
        // A thread enters a namespace for itself alone.
        let bound = std::thread::spawn(move || {
            setns(space, CloneFlags::CLONE_NEWNET).expect("root may enter it");
            TcpListener::bind((far, 0)).expect("a port is free")
        });
        bound.join().expect("the listener is bound")
    }

    /// Loses every packet from now on, both ways. Nobody is told.
    pub fn lose(&self) {
        run(&["-n", &self.name, "link", "set", "far", "down"]);
    }

    /// Carries packets again.
    pub fn heal(&self) {
        run(&["-n", &self.name, "link", "set", "far", "up"]);
    }

    /// Local ports of programs' sockets to `port` at the far end. What they closed is the kernel's, which still tries
    /// to say so, and has no inode any more.
    ///
    /// # Panics
    /// Where /proc is not Linux's.
    pub fn sockets_to(&self, port: u16) -> Vec<u16> {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("sockets are listed (proc_net_tcp)");
        // An address is one number in the machine's order of bytes, a port is as people write it; both are hex.
        let peer = format!("{:08X}:{port:04X}", u32::from_ne_bytes(self.far.octets()));
        let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        rows.filter(|row| row.get(2) == Some(&peer.as_str()) && row.get(9) != Some(&"0"))
            .filter_map(|row| u16::from_str_radix(row.get(1)?.split_once(':')?.1, 16).ok())
            .collect()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The devices go as a pair, also while sockets keep the namespace alive.
        for arguments in [["link", "del", &self.name], ["netns", "del", &self.name]] {
            let _best_effort = Command::new("ip").args(arguments).status();
        }
    }
}

/// Whether this process has CAP_NET_ADMIN and CAP_SYS_ADMIN (capabilities(7)).
fn may_make_networks() -> bool {
    const BOTH: u64 = 1 << 12 | 1 << 21;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).is_some_and(|set| set & BOTH == BOTH)
}

fn run(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("`ip` runs (Debian: iproute2)");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {said}", arguments.join(" "));
}
