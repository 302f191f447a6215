//! A small index, made once, and servers of it.
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Duration;

use spandrel_client::{Client, ClientConfig, RetryPolicy};
use spandrel_proto::v1;
use tempfile::TempDir;
use tonic::Code;

pub(crate) const DIM: usize = 128;
pub(crate) const VECTORS: u64 = 5000;
pub(crate) const QUERIES: usize = 200;

/// The program, with a command line that has to succeed: what it printed.
pub(crate) fn spandrel(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_spandrel")).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Vectors, queries and two indexes of them.
pub(crate) struct Made {
    folder: TempDir,
}

impl Made {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The queries, back to back.
    pub(crate) fn queries(&self) -> Vec<u8> {
        std::fs::read(self.path("queries.u8bin")).unwrap()[8..].to_vec()
    }

    /// What `query` prints for an index here, with these flags besides.
    pub(crate) fn in_process(&self, index: &str, flags: &[&str]) -> String {
        let (index, queries) = (self.text(index), self.text("queries.u8bin"));
        spandrel(&[&["query", "--quiet", "--index", &index, "--queries", &queries], flags].concat())
    }
}

/// `index`, of all vectors, and `half`, of the first 2500.
pub(crate) fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let made = Made { folder: tempfile::tempdir().unwrap() };
        let [base, half, queries] = ["base.u8bin", "half.u8bin", "queries.u8bin"].map(|name| made.text(name));
        let (count, of) = (VECTORS.to_string(), QUERIES.to_string());
        let generate = ["data", "generate", "sift", "--vectors", &count, "--out", &base];
        spandrel(&[&generate[..], &["--queries", &of, "--queries-out", &queries]].concat());
        spandrel(&["data", "crop", &base, &half, "--rows", "0..2500"]);
        for (base, out) in [(&base, "index"), (&half, "half")] {
            let out = made.text(out);
            spandrel(&[
                "build",
                "--quiet",
                "--base",
                base,
                "--metric",
                "l2",
                "--out",
                &out,
                "--list-size",
                "32",
            ]);
        }
        made
    })
}

/// Lines that a server has written to standard error.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Log {
    fn read(&self, from: impl std::io::Read) {
        let (lines, added) = &*self.0;
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            lines.lock().unwrap().push(line);
            added.notify_all();
        }
    }

    /// Waits for a line that holds all of these.
    pub(crate) fn wait(&self, parts: &[&str]) -> String {
        let (lines, added) = &*self.0;
        let fits = |line: &&String| parts.iter().all(|part| line.contains(part));
        let waited = added.wait_timeout_while(lines.lock().unwrap(), Duration::from_secs(30), |lines| {
            !lines.iter().any(|line| fits(&line))
        });
        let (lines, _) = waited.unwrap();
        lines.iter().find(fits).unwrap_or_else(|| panic!("no line with {parts:?} in {lines:#?}")).clone()
    }

    pub(crate) fn text(&self) -> String {
        self.0.0.lock().unwrap().join("\n")
    }
}

/// A server of its own process. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    pub(crate) metrics: Option<String>,
    pub(crate) log: Log,
}

impl Server {
    /// Serves `index` under that name.
    pub(crate) fn start(flags: &[&str]) -> Server {
        Server::of(&format!("index={}", made().text("index")), flags)
    }

    /// Serves an index given as `NAME=DIR`.
    pub(crate) fn of(index: &str, flags: &[&str]) -> Server {
        let mut server = Server::loading(index, flags);
        server.ready();
        server
    }

    /// As [`Server::start`], with a limit of descriptors as `ulimit` takes it: `-Sn N` for one that may be raised.
    pub(crate) fn with_descriptors(limit: &str, flags: &[&str]) -> Server {
        Server::of_with_descriptors(&format!("index={}", made().text("index")), limit, flags)
    }

    /// As [`Server::of`], with a limit of descriptors.
    pub(crate) fn of_with_descriptors(index: &str, limit: &str, flags: &[&str]) -> Server {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit {limit}; exec \"$0\" \"$@\"")]);
        command.arg(env!("CARGO_BIN_EXE_spandrel"));
        let mut server = Server::run(command, index, flags);
        server.ready();
        server
    }

    /// Waits until the index is open.
    pub(crate) fn ready(&mut self) {
        let mut line = String::new();
        BufReader::new(self.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said = line.trim().strip_prefix("listening on ");
        assert_eq!(said, Some(self.address.as_str()), "the server did not start: {}", self.log.text());
    }

    /// As [`Server::of`], without waiting until the index is open.
    pub(crate) fn loading(index: &str, flags: &[&str]) -> Server {
        Server::run(Command::new(env!("CARGO_BIN_EXE_spandrel")), index, flags)
    }

    fn run(mut command: Command, index: &str, flags: &[&str]) -> Server {
        let listen = if flags.contains(&"--listen") { &[][..] } else { &["--listen", "127.0.0.1:0"] };
        command
            .args(["serve", "--index", index])
            .args(listen)
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if !flags.contains(&"--metrics") {
            command.args(["--metrics", "off"]);
        }
        let mut child = command.spawn().unwrap();
        let (log, errors) = (Log::default(), child.stderr.take().unwrap());
        // To the end, so that the server never waits for room in the pipe.
        std::thread::spawn({
            let log = log.clone();
            move || log.read(errors)
        });
        let line = log.wait(&["loading listen="]);
        let address = line.split("listen=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        let metrics = flags.contains(&"--metrics").then(|| {
            let line = log.wait(&["metrics on http://"]);
            line.split("http://").nth(1).unwrap().strip_suffix("/metrics").unwrap().to_owned()
        });
        Server { child, address, metrics, log }
    }

    pub(crate) fn config(&self) -> ClientConfig {
        ClientConfig { address: self.address.clone(), retry: RetryPolicy::NEVER, ..ClientConfig::default() }
    }

    /// A client that does not try again.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.config()).unwrap()
    }

    pub(crate) fn terminate(&self) {
        let done = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    /// Waits for its end: its exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Bytes of anonymous memory.
    pub(crate) fn memory(&self) -> u64 {
        self.status_bytes("RssAnon:")
    }

    /// Most bytes of memory that it ever had.
    pub(crate) fn memory_most(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    /// Bytes of memory that it asked for, touched or not.
    pub(crate) fn memory_asked_for(&self) -> u64 {
        self.status_bytes("VmData:")
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Its search threads, as the system counts them.
    pub(crate) fn search_threads(&self) -> usize {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
        names.filter(|name| name.starts_with("search-")).count()
    }

    /// Time that processors have spent on it: how much it worked, however busy the machine is.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // After the name in brackets: the state, and so on; user and system time, in hundredths of a second.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        Duration::from_millis(fields[11..13].iter().map(|ticks| 10 * ticks.parse::<u64>().unwrap()).sum())
    }

    /// One line of the metrics.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        self.counted(name).unwrap_or_else(|text| panic!("{name} in {text}"))
    }

    /// One line of the metrics, which is not there before its first count.
    pub(crate) fn metric_or_zero(&self, name: &str) -> f64 {
        self.counted(name).unwrap_or(0.0)
    }

    fn counted(&self, name: &str) -> Result<f64, String> {
        let text = http_get(self.metrics.as_ref().unwrap(), "/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim().parse().unwrap()).ok_or(text)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The body of a page, and its head.
pub(crate) fn http_get(address: &str, path: &str) -> String {
    use std::io::Write as _;
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Runs the client's side of a test, with a timeout that no healthy test reaches.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(120), test).await.expect("no end in sight")
    })
}

/// Query `number`, with the 10 nearest wanted.
pub(crate) fn request(number: usize) -> v1::SearchRequest {
    let row = made().queries()[number * DIM..(number + 1) * DIM].to_vec();
    v1::SearchRequest { index: String::new(), query: Some(bytes(row)), k: 10, ..Default::default() }
}

/// Elements of u8.
pub(crate) fn bytes(rows: Vec<u8>) -> v1::Vectors {
    v1::Vectors::raw(DIM as u32, v1::Dtype::U8, rows)
}

/// Keeps an index from being opened: whoever opens its first file waits for a lease on it to be given back, for 45 seconds
/// at most (`/proc/sys/fs/lease-break-time`). Killed when dropped.
pub(crate) struct Gate {
    holder: Child,
    number: u64,
}

/// Takes a lease on a file, says so, and keeps it until standard input ends. The signal that tells of somebody waiting is one
/// that is ignored.
const HOLD: &str = "\
import fcntl, os, signal, sys
file = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print('held', flush=True)
sys.stdin.read()
";

impl Gate {
    pub(crate) fn close(index: &Path) -> Gate {
        let mut command = Command::new("python3");
        let file = index.join("CURRENT");
        command.args(["-c", HOLD]).arg(&file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        Gate { holder, number: std::fs::metadata(file).unwrap().ino() }
    }

    /// Whether somebody is opening the index.
    pub(crate) fn is_waited_for(&self) -> bool {
        let (locks, file) = (std::fs::read_to_string("/proc/locks").unwrap(), format!(":{} ", self.number));
        locks.lines().any(|lock| lock.contains("BREAKING") && lock.contains(&file))
    }

    /// Lets whoever is opening the index go on.
    pub(crate) fn open(mut self) {
        drop(self.holder.stdin.take());
        assert!(self.holder.wait().unwrap().success());
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}

/// Copies the files of a folder. No version of a copy of an index is approved: another test may have had one approved where it is
/// copied from.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && path.file_name() != Some("APPROVED".as_ref()) {
            std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

/// A call without a client of gRPC in between, which would look at message and deadline as well: the status of the answer.
/// The message goes with its flag of compression.
pub(crate) async fn raw_call(
    server: &Server,
    method: &str,
    timeout: &str,
    (flag, message): (u8, &[u8]),
) -> Code {
    let tcp = tokio::net::TcpStream::connect(&server.address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(tcp).await.unwrap();
    tokio::spawn(connection);
    let call = http::Request::post(format!("http://{}{method}", server.address))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", timeout)
        .body(())
        .unwrap();
    let (response, mut body) = client.send_request(call, false).unwrap();
    let length = [flag, 0, 0, (message.len() >> 8) as u8, message.len() as u8];
    // A call of no method may be answered, and its stream be closed, before the message is sent.
    let _ = body.send_data([&length[..], message].concat().into(), true);
    let response = response.await.unwrap();
    let status =
        |headers: &http::HeaderMap| headers.get("grpc-status").map(|v| Code::from_bytes(v.as_bytes()));
    if let Some(code) = status(response.headers()) {
        return code;
    }
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        data.unwrap();
    }
    status(&body.trailers().await.unwrap().unwrap()).unwrap()
}
