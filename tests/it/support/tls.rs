//! Encryption in front of whatever listens without: a certificate of its own, and a port that hands on what it decrypts.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer},
};

/// Encrypts for `localhost`.
pub struct Tls {
    address: SocketAddr,
    pem: String,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Tls {
    /// In front of what listens at `behind`, a host and a port.
    pub async fn before(behind: String) -> Self {
        Self::with(behind, |_| {}).await
    }

    /// The same with a certificate that was good until long ago.
    pub async fn expired_before(behind: String) -> Self {
        Self::with(behind, |certificate| certificate.not_after = rcgen::date_time_ymd(2020, 1, 1)).await
    }

    async fn with(behind: String, change: impl FnOnce(&mut rcgen::CertificateParams)) -> Self {
        let mut certificate = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("it is a name");
        change(&mut certificate);
        let pair = rcgen::KeyPair::generate().expect("a key can be made");
        let made = certificate.self_signed(&pair).expect("a certificate can be made");
        let key = PrivateKeyDer::try_from(pair.serialize_der()).expect("it is in PKCS #8");
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("there are safe versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.der().clone()], key)
            .expect("the key is the certificate's");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(serve(acceptor.clone(), socket, behind.clone()));
            }
        });
        Self { address, pem: made.pem(), accepting }
    }

    /// Host and port.
    pub fn authority(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// Writes the certificates of all into one file, for a client that is to trust them.
    pub fn trust(all: &[&Self], folder: &Path) -> PathBuf {
        let file = folder.join("trusted.pem");
        let pem: String = all.iter().map(|one| one.pem.as_str()).collect();
        std::fs::write(&file, pem).expect("the folder can be written to");
        file
    }
}

async fn serve(acceptor: TlsAcceptor, socket: TcpStream, behind: String) -> Option<()> {
    let mut outside = acceptor.accept(socket).await.ok()?;
    let mut inside = TcpStream::connect(behind).await.ok()?;
    copy_bidirectional(&mut outside, &mut inside).await.ok().map(|_| ())
}
