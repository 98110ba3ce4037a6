//! A page in a real browser on this machine, which can send requests to loopback like any other program, changes
//! nothing.
//!
//! The page attacks two addresses in the same way: the local AWS, and a server of the test that takes everything. What
//! arrives there proves that the browser does send such requests.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// The programs that are Chromium.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// What a page can send without being asked for leave: a script, a form and an image.
const PAGE: &str = r#"<!doctype html>
<title>a page</title>
<iframe name="sink"></iframe>
<script>
const body = "Action=CreateVpc&Version=2016-11-15&CidrBlock=10.9.0.0/16";
const type = "application/x-www-form-urlencoded";
async function attack(target) {
  await fetch(target + "/", {method: "POST", mode: "no-cors", headers: {"content-type": type}, body}).catch(() => 0);
  await fetch(target + "/", {method: "POST", headers: {"content-type": type, "authorization": "AWS4-HMAC-SHA256 " +
    "Credential=KEY/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0"}, body}).catch(() => 0);
  await fetch(target + "/_local-aws/scenarios", {method: "PUT", body: "{}"}).catch(() => 0);
  const form = document.createElement("form");
  Object.assign(form, {method: "POST", action: target + "/", target: "sink"});
  for (const pair of body.split("&")) {
    const [name, value] = pair.split("=");
    form.append(Object.assign(document.createElement("input"), {name, value}));
  }
  document.body.append(form);
  const sent = new Promise(done => document.querySelector("iframe").addEventListener("load", done, {once: true}));
  form.submit();
  await sent;
  await new Promise(done => Object.assign(new Image(), {onload: done, onerror: done, src: target + "/?" + body}));
}
(async () => {
  await attack("CONTROL");
  await attack("TARGET");
  await fetch("/done");
})();
</script>
"#;

/// Answers every request and tells its first line; the page at `/page`.
fn serve(page: impl Fn() -> String + Send + 'static) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // A browser opens connections ahead, on which nothing comes for a while.
            let (sender, page) = (sender.clone(), page());
            thread::spawn(move || answer(connection, &page, &sender));
        }
    });
    (address, receiver)
}

fn answer(connection: TcpStream, page: &str, sender: &Sender<String>) {
    let mut reader = BufReader::new(&connection);
    let mut line = String::new();
    let mut length = 0;
    let mut first = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 0) && line.trim() != "" {
        if first.is_empty() {
            first = line.trim().to_owned();
        } else if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    let mut body = vec![0; length];
    let _ = reader.read_exact(&mut body);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}", page.len());
    let _ = (&connection).write_all(format!("{head}\r\nConnection: close\r\n\r\n{page}").as_bytes());
    // The receiver is gone when the test is over.
    let _ = sender.send(first);
}

fn local_aws() -> Command {
    Command::new(env!("CARGO_BIN_EXE_local-aws"))
}

/// A local AWS, stopped in the end.
struct Instance(tempfile::TempDir);

impl Instance {
    /// Starts one; its address and its access key.
    fn start() -> (Self, [String; 2]) {
        let instance = Self(tempfile::tempdir().unwrap());
        let output = local_aws().args(["start", "--dir"]).arg(instance.0.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        let printed = ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID"].map(|name| {
            let start = format!("export {name}=");
            lines.lines().find_map(|line| line.strip_prefix(&start)).unwrap().to_owned()
        });
        (instance, printed)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = local_aws().args(["stop", "--dir"]).arg(self.0.path()).output();
    }
}

/// A browser that shows an address, ended in the end.
struct Browser(Child);

impl Browser {
    fn open(program: &str, profile: &std::path::Path, address: &str) -> Self {
        let mut command = Command::new(program);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
        command.arg(format!("--user-data-dir={}", profile.display())).args(["--remote-debugging-port=0", address]);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The answer to a request of the one who has the key.
fn ask(endpoint: &str, key: &str, path: &str) -> String {
    let mut connection = TcpStream::connect(endpoint.trim_start_matches("http://")).unwrap();
    let host = endpoint.trim_start_matches("http://");
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nx-local-aws-key: {key}\r\nConnection: close\r\n\r\n");
    connection.write_all(head.as_bytes()).unwrap();
    let mut text = String::new();
    connection.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_page_in_a_browser_changes_nothing() {
    let is_there =
        |program: &&str| Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    let Some(browser) = BROWSERS.into_iter().find(is_there) else {
        assert!(std::env::var_os("CI").is_none(), "no Chromium is installed");
        println!("skipped: no Chromium is installed");
        return;
    };
    let (_instance, [endpoint, key]) = Instance::start();
    let (control, taken) = serve(String::new);
    let page = PAGE.replace("CONTROL", &control).replace("TARGET", &endpoint).replace("KEY", &key);
    let (site, asked) = serve(move || page.clone());
    let profile = tempfile::tempdir().unwrap();
    let _browser = Browser::open(browser, profile.path(), &format!("{site}/page"));
    loop {
        let line = asked.recv_timeout(Duration::from_secs(120)).expect("the page comes to its end");
        if line.starts_with("GET /done ") {
            break;
        }
    }

    let taken: Vec<String> = taken.try_iter().collect();
    let posts = taken.iter().filter(|line| line.starts_with("POST / ")).count();
    assert_eq!(posts, 2, "the script without credentials and the form get through to who takes them: {taken:?}");
    assert!(taken.iter().any(|line| line.starts_with("GET /?Action=CreateVpc")), "the image: {taken:?}");

    let calls = ask(&endpoint, &key, "/_local-aws/calls?mutating=true");
    let succeeded: Vec<&str> = calls.split('{').filter(|call| call.contains("\"status\":2")).collect();
    assert!(succeeded.is_empty(), "{succeeded:?}");
    let scenarios = ask(&endpoint, &key, "/_local-aws/scenarios");
    assert!(scenarios.starts_with("HTTP/1.1 200"), "{scenarios}");
}
