//! A small HTTP server on loopback, as good or as bad as a test wants it.
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) path: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    /// How many requests came before this one.
    pub(super) number: usize,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// First byte and last byte asked for.
    pub(super) fn range(&self) -> Option<(usize, usize)> {
        let (first, last) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse().unwrap(), last.parse().unwrap()))
    }
}

/// An answer to send.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Bytes of the body sent before the connection breaks, or before it waits.
    pub(super) sent: usize,
    /// Waits here until the other end is dropped, then sends the rest.
    pub(super) wait: Option<Receiver<()>>,
}

impl Answer {
    pub(super) fn new(status: u16, body: &[u8]) -> Answer {
        let headers = vec![("Content-Length".to_owned(), body.len().to_string())];
        Answer { status, headers, body: body.to_vec(), sent: body.len(), wait: None }
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Answer {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn without(mut self, name: &str) -> Answer {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self
    }

    /// Breaks the connection after some bytes of the body.
    pub(super) fn broken_after(mut self, sent: usize) -> Answer {
        self.sent = sent.min(self.body.len());
        self
    }

    /// Falls silent after some bytes of the body, until the other end of `wait` is dropped.
    pub(super) fn silent_after(mut self, sent: usize, wait: Receiver<()>) -> Answer {
        self.wait = Some(wait);
        self.broken_after(sent)
    }
}

/// Answers as a good server does: ranges, and `If-Range` against the tag.
pub(super) fn serve(asked: &Asked, file: &[u8], etag: &str) -> Answer {
    let same = asked.header("if-range").is_none_or(|tag| tag == etag);
    match asked.range().filter(|_| same) {
        Some((first, _)) if first >= file.len() => Answer::new(416, b""),
        Some((first, last)) => {
            let last = last.min(file.len() - 1);
            let range = format!("bytes {first}-{last}/{}", file.len());
            Answer::new(206, &file[first..=last]).with("Content-Range", &range).with("ETag", etag)
        }
        None => Answer::new(200, file).with("ETag", etag),
    }
}

/// The server; it ends when dropped.
pub(super) struct Server {
    address: SocketAddr,
    log: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (thread_log, thread_stop, answer) = (log.clone(), stop.clone(), Arc::new(answer));
        let thread = std::thread::spawn(move || {
            let mut connections = Vec::new();
            for stream in listener.incoming() {
                if thread_stop.load(Ordering::Relaxed) {
                    break;
                }
                let (log, answer) = (thread_log.clone(), answer.clone());
                connections.push(std::thread::spawn(move || {
                    // The client may break the connection whenever it likes.
                    let _ = talk(stream.unwrap(), &log, &*answer);
                }));
            }
            for connection in connections {
                connection.join().unwrap();
            }
        });
        Server { address, log, stop, thread: Some(thread) }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far.
    pub(super) fn log(&self) -> Vec<Asked> {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        let ended = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}

fn talk(
    stream: TcpStream,
    log: &Mutex<Vec<Asked>>,
    answer: &(dyn Fn(&Asked) -> Answer + Send + Sync),
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let Some(path) = first.split(' ').nth(1) else { return Ok(()) };
    let mut headers = Vec::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut asked = Asked { path: path.to_owned(), headers, number: 0 };
    {
        let mut log = log.lock().unwrap();
        asked.number = log.len();
        log.push(asked.clone());
    }
    let answer = answer(&asked);
    let mut head = format!("HTTP/1.1 {} Because\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let mut stream = stream;
    stream.write_all(head.as_bytes())?;
    let (now, later) = answer.body.split_at(answer.sent);
    stream.write_all(now)?;
    stream.flush()?;
    if let Some(wait) = answer.wait {
        // Only ever ends by the other end being dropped.
        let _ = wait.recv();
        stream.write_all(later)?;
    }
    Ok(())
}
