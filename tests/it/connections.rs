//! Tests that connections to the table are kept, given up, and never made to strangers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::http::Request;
use shared::domain::ProjectId;
use shared::outbound;
use shared::storage::Table;
use tests::support::tls;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The answer of a table without items to GetItem.
const NOTHING: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
/// An answer whose end is missing because the connection is closed.
const CUT_SHORT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n{";
/// An answer whose end is missing although the connection stays open.
const STALLED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2001\r\n\r\n{";
const FAILURE: &str = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 2\r\n\r\n{}";
/// Closes the connection instead of an answer.
const SILENCE: &str = "";

/// A service that answers by a script, and notes the connection and the text of each request.
#[derive(Clone)]
struct Service {
    script: Arc<Mutex<VecDeque<&'static str>>>,
    requests: Arc<Mutex<Vec<(usize, String)>>>,
}

impl Service {
    async fn playing(script: impl IntoIterator<Item = &'static str>) -> (Self, Table) {
        let script = Arc::new(Mutex::new(script.into_iter().collect()));
        let service = Self { script, requests: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(service.clone().accept(listener));
        (service, Table::new(ops::endpoint::client(&endpoint).await, "table"))
    }

    async fn accept(self, listener: TcpListener) {
        for number in 0.. {
            let (stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(self.clone().serve(number, stream));
        }
    }

    async fn serve(self, connection: usize, mut stream: TcpStream) {
        let mut request = vec![0; 64 * 1024];
        // Each request is small, so it arrives in one piece.
        while let Ok(length @ 1..) = stream.read(&mut request).await {
            let text = String::from_utf8_lossy(&request[..length]).into_owned();
            self.requests.lock().expect("no panic").push((connection, text));
            let answer = self.script.lock().expect("no panic").pop_front().expect("no more requests");
            stream.write_all(answer.as_bytes()).await.expect("a reader");
            if [CUT_SHORT, SILENCE].contains(&answer) {
                return;
            }
        }
    }

    /// The connections of the requests.
    fn requests(&self) -> Vec<usize> {
        self.requests.lock().expect("no panic").iter().map(|(connection, _)| *connection).collect()
    }

    /// The names of the first request's headers, in order.
    fn headers(&self) -> Vec<String> {
        let requests = self.requests.lock().expect("no panic");
        let (head, _) = requests[0].1.split_once("\r\n\r\n").expect("a whole head");
        let name = |line: &str| line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let mut names: Vec<_> = head.lines().skip(1).map(name).collect();
        names.sort();
        names
    }
}

fn project() -> ProjectId {
    "p".parse().expect("an id")
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_call() {
    let (service, table) = Service::playing([NOTHING; 3]).await;
    for _ in 0..3 {
        assert!(table.counter(&project()).await.expect("an answer").is_none());
    }
    assert_eq!(service.requests(), [0, 0, 0]);
}

#[tokio::test]
async fn an_answer_that_is_cut_short_or_never_comes_is_asked_for_again() {
    for failure in [CUT_SHORT, SILENCE] {
        let (service, table) = Service::playing([failure, failure, NOTHING]).await;
        assert!(table.counter(&project()).await.expect("an answer").is_none());
        assert_eq!(service.requests(), [0, 1, 2]);
    }
}

/// Each header costs CPU in every call, and most are signed.
#[tokio::test]
async fn a_call_has_only_the_headers_that_the_table_needs_and_a_name() {
    let (service, table) = Service::playing([NOTHING]).await;
    table.counter(&project()).await.expect("an answer");
    let needed = ["authorization", "content-length", "content-type", "host", "x-amz-date", "x-amz-target"];
    let mut expected: Vec<_> = needed.into_iter().chain(["user-agent"]).collect();
    expected.sort_unstable();
    assert_eq!(service.headers(), expected);
}

/// This is within the two seconds of one attempt.
#[tokio::test]
async fn an_answer_that_does_not_come_to_an_end_is_not_waited_for() {
    let (service, table) = Service::playing([STALLED, NOTHING]).await;
    assert!(table.counter(&project()).await.expect("an answer").is_none());
    assert_eq!(service.requests(), [0, 1]);
}

/// The next connection may lead to a healthy host.
#[tokio::test]
async fn a_connection_over_which_a_failure_came_is_not_used_again() {
    let (service, table) = Service::playing([FAILURE, NOTHING]).await;
    assert!(table.counter(&project()).await.expect("an answer").is_none());
    assert_eq!(service.requests(), [0, 1]);
}

#[tokio::test]
async fn after_three_attempts_it_is_given_up() {
    let (service, table) = Service::playing([CUT_SHORT; 3]).await;
    table.counter(&project()).await.expect_err("no answer");
    assert_eq!(service.requests().len(), 3);
}

#[tokio::test]
async fn a_server_that_no_authority_vouches_for_is_told_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://localhost:{}/", listener.local_addr().expect("an address").port());
    let refused = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        tls::acceptor().accept(stream).await.is_err()
    });
    let request = Request::get(url).body(Default::default()).expect("a request");
    let error = outbound::client().request(request).await.expect_err("a stranger");
    let reason = format!("{error:?}");
    assert!(reason.contains("UnknownIssuer") && refused.await.expect("a server"), "{reason}");
}
