//! The yardstick: the least that a proxy on this HTTP library can do.

use std::net::SocketAddr;

use hyper::{Request, Uri, body::Incoming, http::uri::Authority, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use crate::{block_on, exchange};

/// Serves until it is killed. Heads and bodies go on as they come, over pooled connections.
pub fn run(upstream: SocketAddr) -> anyhow::Result<()> {
    let authority: Authority = upstream.to_string().parse()?;
    block_on(async move {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build::<_, Incoming>(connector);
        exchange::serve(move || {
            let (client, authority) = (client.clone(), authority.clone());
            service_fn(move |mut request: Request<Incoming>| {
                let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
                let uri = Uri::builder().scheme("http").authority(authority.clone()).path_and_query(path);
                *request.uri_mut() = uri.build().expect("a path that was received can be sent");
                request.headers_mut().remove("host");
                client.request(request)
            })
        })
        .await
    })
}
