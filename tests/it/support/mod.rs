//! What the tests of the whole program stand on: the real binary, scripted upstreams and impolite clients.

pub mod acting;
pub mod environment;
pub mod gateway;
pub mod proxy;
pub mod redis;
pub mod routes;
pub mod tls;

pub use harness::{
    Client, Dialect, Leave, Line, PATIENCE, Question, Raw, Reply, Request, Script, Upstream, Way, canned, eventually,
    upstream, way,
};

pub use gateway::{ADMIN_KEY, API_KEY, Gateway};
pub use proxy::Proxy;
pub use redis::Redis;
pub use routes::Routes;
pub use tls::Tls;
