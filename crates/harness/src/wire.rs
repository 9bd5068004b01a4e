//! Reads requests from a socket, as a server does that believes what it reads.

use tokio::{io::AsyncReadExt, net::tcp::OwnedReadHalf};

/// A request's head and body.
pub(super) struct Asked {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// The next request on a connection; nothing where it ended first.
pub(super) async fn read_request(reader: &mut OwnedReadHalf, buffer: &mut Vec<u8>) -> Option<Asked> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        more(reader, buffer).await?;
    };
    let head: Vec<u8> = buffer.drain(..end + 4).collect();
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.lines();
    let mut line = lines.next()?.split(' ');
    let (method, path) = (line.next()?.to_owned(), line.next()?.to_owned());
    let pair = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    let headers: Vec<(String, String)> = lines.filter_map(pair).collect();
    let value = |name: &str| headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let body = if value("transfer-encoding").is_some() {
        read_chunks(reader, buffer).await?
    } else {
        let length = value("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        take(reader, buffer, length).await?
    };
    Some(Asked { method, path, headers, body })
}

async fn read_chunks(reader: &mut OwnedReadHalf, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = buffer.windows(2).position(|window| window == b"\r\n") {
                break end;
            }
            more(reader, buffer).await?;
        };
        let line = take(reader, buffer, end + 2).await?;
        let length = usize::from_str_radix(std::str::from_utf8(&line).ok()?.trim(), 16).ok()?;
        let chunk = take(reader, buffer, length + 2).await?;
        body.extend_from_slice(&chunk[..length]);
        if length == 0 {
            return Some(body);
        }
    }
}

async fn take(reader: &mut OwnedReadHalf, buffer: &mut Vec<u8>, length: usize) -> Option<Vec<u8>> {
    while buffer.len() < length {
        more(reader, buffer).await?;
    }
    Some(buffer.drain(..length).collect())
}

async fn more(reader: &mut OwnedReadHalf, buffer: &mut Vec<u8>) -> Option<()> {
    reader.read_buf(buffer).await.ok().filter(|count| *count > 0).map(|_| ())
}
