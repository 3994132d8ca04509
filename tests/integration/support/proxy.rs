//! A proxy for HTTP/1.1 between the program and a store's server that breaks and forges answers on purpose.
//!
//! It reads each request whole, hands it to the server on a connection of its own, reads the answer whole, and then does
//! to it what the first fault that matches says.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use super::http::percent_decoded;

/// What is done to an answer, or in place of it.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The request does not reach the server: this status is answered, with these header lines and this body.
    Answer(u16, &'static str, &'static str),
    /// The request does not reach the server: the connection is reset.
    Reset,
    /// The request is done, and the connection is reset in place of the answer.
    ResetAfter,
    /// Nothing is answered, ever.
    Stall,
    /// Half of the answer's body comes, and the connection ends.
    Short,
    /// Half of the answer's body comes, and then nothing.
    StallInBody,
    /// A byte in the middle of the answer's body is another.
    Forge,
}

/// A fault and when it strikes.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// The method.
    pub(crate) method: &'static str,
    /// Only requests whose target holds this text.
    pub(crate) target: &'static str,
    /// How many matching requests pass before.
    pub(crate) skip: u32,
    /// How often it strikes.
    pub(crate) times: u32,
    pub(crate) fault: Fault,
}

#[derive(Default)]
struct State {
    rules: Mutex<Vec<Rule>>,
    /// Method and target of each request.
    seen: Mutex<Vec<String>>,
    struck: AtomicU64,
    ended: AtomicBool,
}

/// The running proxy; it ends when it is dropped.
pub(crate) struct Proxy {
    port: u16,
    state: Arc<State>,
}

impl Proxy {
    /// A proxy in front of the server at `upstream`.
    pub(crate) fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let state = Arc::new(State::default());
        let shared = state.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                if shared.ended.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(client), state) = (client, shared.clone()) else { continue };
                thread::spawn(move || serve(client, upstream, &state));
            }
        });
        Self { port, state }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Replaces the faults to come, and forgets what was seen.
    pub(crate) fn rules(&self, rules: Vec<Rule>) {
        *locked(&self.state.rules) = rules;
        locked(&self.state.seen).clear();
        self.state.struck.store(0, Ordering::SeqCst);
    }

    /// How many faults struck.
    pub(crate) fn struck(&self) -> u64 {
        self.state.struck.load(Ordering::SeqCst)
    }

    /// Panics if a fault has not struck as often as it was to.
    #[track_caller]
    pub(crate) fn all_struck(&self) {
        let rules = locked(&self.state.rules);
        let left: Vec<&Rule> = rules.iter().filter(|rule| rule.times > 0).collect();
        assert!(left.is_empty(), "not struck: {left:#?}");
    }

    /// Method and target of each request since the last [`Proxy::rules`].
    pub(crate) fn seen(&self) -> Vec<String> {
        locked(&self.state.seen).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A message: its first line, its other header lines, its body.
struct Message {
    head: Vec<String>,
    body: Vec<u8>,
}

impl Message {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    fn forge(&mut self) {
        let middle = self.body.len() / 2;
        if let Some(byte) = self.body.get_mut(middle) {
            *byte ^= 0x55;
        }
    }

    /// The message as it goes out: a body that came in chunks goes in one piece.
    fn write(&self, out: &mut impl Write, sends_body: usize) -> io::Result<()> {
        let mut text = String::new();
        let chunked = self.header("transfer-encoding").is_some();
        for line in &self.head {
            let name = line.split(':').next().unwrap_or_default();
            if !(chunked && name.eq_ignore_ascii_case("transfer-encoding")) {
                text += line;
                text += "\r\n";
            }
        }
        if chunked {
            text += &format!("content-length: {}\r\n", self.body.len());
        }
        out.write_all((text + "\r\n").as_bytes())?;
        out.write_all(&self.body[..sends_body])?;
        out.flush()
    }
}

fn serve(client: TcpStream, upstream: SocketAddr, state: &State) {
    // A connection that ends is no matter here: the program under test says what it makes of it.
    let _ = serve_all(client, upstream, state);
}

fn serve_all(client: TcpStream, upstream: SocketAddr, state: &State) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut requests = BufReader::new(client.try_clone()?);
    let server = TcpStream::connect(upstream)?;
    server.set_nodelay(true)?;
    let mut answers = BufReader::new(server.try_clone()?);
    let (mut to_client, mut to_server) = (client, server);
    while let Some(request) = read_request(&mut requests, &mut to_client)? {
        let line: Vec<&str> = request.head[0].split(' ').collect();
        let (method, target) =
            (line[0].to_owned(), readable(line.get(1).copied().unwrap_or_default()));
        locked(&state.seen).push(format!("{method} {target}"));
        let fault = strike(state, &method, &target);
        match &fault {
            Some(Fault::Answer(status, headers, body)) => {
                let head =
                    format!("HTTP/1.1 {status} Made Up\r\ncontent-length: {}\r\n", body.len());
                to_client.write_all(format!("{head}{headers}\r\n{body}").as_bytes())?;
                continue;
            }
            Some(Fault::Reset) => return reset(&to_client),
            Some(Fault::Stall) => return stall(state),
            _ => {}
        }
        request.write(&mut to_server, request.body.len())?;
        let mut answer = read_answer(&mut answers, &method)?;
        let half = answer.body.len() / 2;
        match fault {
            Some(Fault::ResetAfter) => return reset(&to_client),
            Some(Fault::Short) => {
                answer.write(&mut to_client, half)?;
                return to_client.shutdown(Shutdown::Both);
            }
            Some(Fault::StallInBody) => {
                answer.write(&mut to_client, half)?;
                return stall(state);
            }
            Some(Fault::Forge) => answer.forge(),
            _ => {}
        }
        let length = answer.body.len();
        answer.write(&mut to_client, length)?;
    }
    Ok(())
}

/// A target with its path decoded: some stores' clients encode slashes.
fn readable(target: &str) -> String {
    match target.split_once('?') {
        Some((path, query)) => format!("{}?{query}", percent_decoded(path)),
        None => percent_decoded(target),
    }
}

fn strike(state: &State, method: &str, target: &str) -> Option<Fault> {
    let mut rules = locked(&state.rules);
    for rule in rules.iter_mut() {
        if rule.method != method || !target.contains(rule.target) || rule.times == 0 {
            continue;
        }
        if rule.skip > 0 {
            rule.skip -= 1;
            continue;
        }
        rule.times -= 1;
        state.struck.fetch_add(1, Ordering::SeqCst);
        return Some(rule.fault.clone());
    }
    None
}

/// With the time to linger at zero, closing sends a reset.
fn reset(client: &TcpStream) -> io::Result<()> {
    rustix::net::sockopt::set_socket_linger(client, Some(Duration::ZERO))?;
    client.shutdown(Shutdown::Read)
}

/// Holds the connection until the proxy ends.
fn stall(state: &State) -> io::Result<()> {
    while !state.ended.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn read_head(from: &mut impl BufRead) -> io::Result<Option<Vec<String>>> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" if head.is_empty() => {}
            "" => return Ok(Some(head)),
            text => head.push(text.to_owned()),
        }
    }
}

fn read_request(from: &mut impl BufRead, to_client: &mut TcpStream) -> io::Result<Option<Message>> {
    let Some(mut head) = read_head(from)? else { return Ok(None) };
    let expects = |line: &String| line.to_ascii_lowercase().starts_with("expect:");
    if head.iter().any(expects) {
        to_client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        head.retain(|line| !expects(line));
    }
    let mut message = Message { head, body: Vec::new() };
    read_body(from, &mut message)?;
    Ok(Some(message))
}

fn read_answer(from: &mut impl BufRead, method: &str) -> io::Result<Message> {
    loop {
        let head = read_head(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head[0].split(' ').nth(1).unwrap_or_default().to_owned();
        let mut message = Message { head, body: Vec::new() };
        if status == "100" {
            continue;
        }
        if method != "HEAD" && status != "204" && status != "304" {
            read_body(from, &mut message)?;
        }
        return Ok(message);
    }
}

fn read_body(from: &mut impl BufRead, message: &mut Message) -> io::Result<()> {
    if message.header("transfer-encoding").is_some() {
        return read_chunks(from, &mut message.body);
    }
    let length = message.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    message.body.resize(length, 0);
    from.read_exact(&mut message.body)
}

fn read_chunks(from: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let digits = line.trim().split(';').next().unwrap_or_default();
        let length = u64::from_str_radix(digits, 16).map_err(io::Error::other)?;
        from.take(length).read_to_end(body)?;
        let mut end = String::new();
        from.read_line(&mut end)?;
        if length == 0 {
            return Ok(());
        }
    }
}
