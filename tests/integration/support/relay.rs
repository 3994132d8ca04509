//! A relay of TCP connections between the program and a server whose messages only the two ends can read. It cuts, stalls
//! and spoils what passes, by how much has passed, or by what the server has done meanwhile.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// When something happens. Bytes count from the last call of [`Relay::troubles`], over all connections.
pub(crate) enum When {
    /// So many bytes went to the server.
    Sent(u64),
    /// So many bytes came from the server.
    Received(u64),
    /// Before the server's next bytes pass, once this holds: what the server did is done, and its answer is not heard.
    Answers(Box<dyn Fn() -> bool + Send>),
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Every connection ends.
    Cut,
    /// On the connections that there are, nothing passes any more.
    Stall,
    /// A byte is another.
    Spoil,
}

pub(crate) struct Trouble(pub(crate) What, pub(crate) When);

#[derive(Default)]
struct State {
    troubles: VecDeque<Trouble>,
    sent: u64,
    received: u64,
    lines: Vec<Arc<Line>>,
    ended: bool,
}

/// A connection on both sides.
struct Line {
    client: TcpStream,
    server: TcpStream,
    stalled: AtomicBool,
    cut: AtomicBool,
}

impl Line {
    fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

/// The running relay; it ends when it is dropped.
pub(crate) struct Relay {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

impl Relay {
    /// A relay to a server on a port of 127.0.0.1.
    pub(crate) fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                if locked(&shared).ended {
                    return;
                }
                // A server that is away is away to the program as well.
                let _ = client.and_then(|client| relay(client, upstream, &shared));
            }
        });
        Self { port, state }
    }

    /// What is to happen, one after the other.
    pub(crate) fn troubles(&self, troubles: Vec<Trouble>) {
        let mut state = locked(&self.state);
        (state.sent, state.received, state.troubles) = (0, 0, troubles.into());
    }

    /// Ends every connection.
    pub(crate) fn cut(&self) {
        locked(&self.state).happen(What::Cut);
    }

    /// Lets pass again what a stall holds up.
    pub(crate) fn go_on(&self) {
        for line in &locked(&self.state).lines {
            line.stalled.store(false, Ordering::SeqCst);
        }
    }

    /// Whether everything has happened.
    pub(crate) fn is_over(&self) -> bool {
        locked(&self.state).troubles.is_empty()
    }

    /// Panics if something has not happened yet.
    #[track_caller]
    pub(crate) fn all_happened(&self) {
        let state = locked(&self.state);
        let left: Vec<What> = state.troubles.iter().map(|trouble| trouble.0).collect();
        let (sent, received) = (state.sent, state.received);
        assert!(left.is_empty(), "{left:?} did not happen in {sent} and {received} bytes");
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let mut state = locked(&self.state);
        state.ended = true;
        state.happen(What::Cut);
        drop(state);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// What happens with these bytes, if it is time.
    fn strike(&mut self, to_server: bool, bytes: usize) -> Option<What> {
        match to_server {
            true => self.sent += bytes as u64,
            false => self.received += bytes as u64,
        }
        let due = match &self.troubles.front()?.1 {
            When::Sent(bytes) => to_server && self.sent >= *bytes,
            When::Received(bytes) => !to_server && self.received >= *bytes,
            When::Answers(holds) => !to_server && holds(),
        };
        if !due {
            return None;
        }
        let what = self.troubles.pop_front()?.0;
        self.happen(what);
        Some(what)
    }

    fn happen(&mut self, what: What) {
        for line in &self.lines {
            match what {
                What::Cut => line.cut(),
                What::Stall => line.stalled.store(true, Ordering::SeqCst),
                What::Spoil => {}
            }
        }
        if what == What::Cut {
            self.lines.clear();
        }
    }
}

fn relay(client: TcpStream, upstream: u16, state: &Arc<Mutex<State>>) -> io::Result<()> {
    let server = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], upstream)))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (stalled, cut) = (AtomicBool::new(false), AtomicBool::new(false));
    let line = Arc::new(Line { client, server, stalled, cut });
    locked(state).lines.push(line.clone());
    for to_server in [true, false] {
        let (line, state) = (line.clone(), state.clone());
        thread::spawn(move || {
            // A connection that ends is no matter here: the program under test says what it makes of it.
            let _ = pump(&line, to_server, &state);
            line.cut();
        });
    }
    Ok(())
}

fn pump(line: &Line, to_server: bool, state: &Mutex<State>) -> io::Result<()> {
    let (mut from, mut to) = match to_server {
        true => (&line.client, &line.server),
        false => (&line.server, &line.client),
    };
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        if locked(state).strike(to_server, count) == Some(What::Spoil) {
            buffer[count / 2] ^= 0x55;
        }
        while line.stalled.load(Ordering::SeqCst) && !line.cut.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(20));
        }
        // An answer that came while the connections were cut is not heard.
        if line.cut.load(Ordering::SeqCst) {
            return Ok(());
        }
        to.write_all(&buffer[..count])?;
    }
}
