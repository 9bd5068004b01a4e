//! Secrets: provider keys sealed at rest, client keys known only by what they hash to.

use std::{
    fmt, fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use anyhow::Context as _;
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    constant_time, digest,
    hkdf::{HKDF_SHA256, Salt},
    rand,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The key that seals providers' keys, and from which the others come. It comes from the operator or from a file that the first
/// start makes.
pub struct MasterKey {
    providers: RandomizedNonceKey,
    answers: Arc<ContentKey>,
    log: Arc<ContentKey>,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(***)")
    }
}

/// A sealed text that this master key does not open: made with another key, for another provider, or damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored key cannot be opened: it was sealed with another master key, or is damaged")]
pub struct CannotOpen;

/// Says how a sealed text is made; another way would get another number.
const SEAL_VERSION: &str = "v1:";

impl MasterKey {
    /// From `MASTER_KEY` if it is set, else from `file`, which is made if there is none.
    pub fn load(secret: Option<&SecretString>, file: &Path) -> anyhow::Result<Self> {
        match secret {
            Some(secret) => Ok(Self::derive(secret.expose_secret().as_bytes())),
            None => Ok(Self::derive(read_or_make(file)?.expose_secret())),
        }
    }

    /// From any text or bytes; what has little chance in it makes a weak key.
    pub fn derive(material: &[u8]) -> Self {
        let extracted = Salt::new(HKDF_SHA256, b"llm-orchestrator").extract(material);
        let key_for = |purpose: &[u8]| {
            let mut key = [0_u8; 32];
            extracted
                .expand(&[purpose], HKDF_SHA256)
                .and_then(|expanded| expanded.fill(&mut key))
                .expect("HKDF-SHA-256 gives out 32 bytes");
            RandomizedNonceKey::new(&AES_256_GCM, &key).expect("AES-256-GCM takes 32 bytes")
        };
        Self {
            providers: key_for(b"provider keys"),
            answers: Arc::new(ContentKey(key_for(b"answers"))),
            log: Arc::new(ContentKey(key_for(b"log"))),
        }
    }

    /// The key that seals answers which are kept to be given again.
    pub fn answers(&self) -> Arc<ContentKey> {
        self.answers.clone()
    }

    /// The key that seals what the log has of requests and answers.
    pub fn log(&self) -> Arc<ContentKey> {
        self.log.clone()
    }

    /// Seals a key so that it opens for the same provider only.
    pub fn seal(&self, provider_id: i64, key: &SecretString) -> String {
        let mut text = key.expose_secret().as_bytes().to_vec();
        let nonce =
            self.providers.seal_in_place_append_tag(aad(provider_id), &mut text).expect("a key is shorter than 64 GiB");
        let mut bytes = nonce.as_ref().to_vec();
        bytes.append(&mut text);
        format!("{SEAL_VERSION}{}", STANDARD.encode(bytes))
    }

    /// Opens what [`MasterKey::seal`] made for the same provider.
    pub fn open(&self, provider_id: i64, sealed: &str) -> Result<SecretString, CannotOpen> {
        let encoded = sealed.strip_prefix(SEAL_VERSION).ok_or(CannotOpen)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| CannotOpen)?;
        let (nonce, text) = bytes.split_at_checked(NONCE_LEN).ok_or(CannotOpen)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| CannotOpen)?;
        let mut text = text.to_vec();
        let opened = self.providers.open_in_place(nonce, aad(provider_id), &mut text).map_err(|_| CannotOpen)?;
        let opened = std::str::from_utf8(opened).map_err(|_| CannotOpen)?;
        Ok(SecretString::from(opened))
    }
}

/// A key that seals what clients and models say, where it is kept outside of this process.
pub struct ContentKey(RandomizedNonceKey);

impl ContentKey {
    /// Seals a text so that it opens under the same name only.
    pub fn seal(&self, name: &str, mut text: Vec<u8>) -> Vec<u8> {
        let nonce = self.0.seal_in_place_append_tag(Aad::from(name), &mut text);
        let mut sealed = nonce.expect("a text is shorter than 64 GiB").as_ref().to_vec();
        sealed.append(&mut text);
        sealed
    }

    /// Opens what [`ContentKey::seal`] made under the same name.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, CannotOpen> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or(CannotOpen)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| CannotOpen)?;
        let mut text = text.to_vec();
        let length = self.0.open_in_place(nonce, Aad::from(name), &mut text).map_err(|_| CannotOpen)?.len();
        text.truncate(length);
        Ok(text)
    }
}

/// Binds a sealed key to its provider, so that nobody can move it to one at another address inside the database.
fn aad(provider_id: i64) -> Aad<String> {
    Aad::from(format!("provider:{provider_id}"))
}

/// The file's content; 32 random bytes, for its owner's eyes only, if there is no such file.
fn read_or_make(file: &Path) -> anyhow::Result<SecretSlice<u8>> {
    let named = || format!("the master key file {}", file.display());
    match fs::read(file) {
        Ok(content) => {
            let text = content.trim_ascii();
            anyhow::ensure!(
                text.len() >= 16,
                "{} is too short: restore it from a backup, or delete it and enter all \
                             provider keys again",
                named()
            );
            return Ok(text.to_vec().into());
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", named())),
    }
    make(file).with_context(|| format!("cannot make {}", named()))?;
    // Another process may have been faster, and then its key counts.
    let content = fs::read(file).with_context(|| format!("cannot read {}", named()))?;
    Ok(content.trim_ascii().to_vec().into())
}

/// Writes the file under another name first, so that nobody ever sees half of it.
fn make(file: &Path) -> io::Result<()> {
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let draft = PathBuf::from(format!("{}.{}", file.display(), std::process::id()));
    let mut opened = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    opened.write_all(STANDARD.encode(random::<32>()).as_bytes())?;
    opened.write_all(b"\n")?;
    opened.sync_all()?;
    let linked = match fs::hard_link(&draft, file) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    };
    fs::remove_file(&draft)?;
    linked
}

/// What a client's key or an admin key hashes to (SHA-256). Keys are 256 random bits, so that nothing slower is needed.
#[derive(Clone, Copy, Eq)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of a key's text.
    pub fn of(key: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, key.as_bytes()).as_ref());
        Self(hash)
    }
}

/// In a time that does not tell how much of it was equal.
impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl std::hash::Hash for KeyHash {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(***)")
    }
}

impl Serialize for KeyHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A text that is no hash of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 64 hexadecimal digits")]
pub struct NoHash;

impl FromStr for KeyHash {
    type Err = NoHash;

    fn from_str(text: &str) -> Result<Self, NoHash> {
        let mut hash = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(NoHash);
        }
        for (byte, place) in hash.iter_mut().zip((0..64).step_by(2)) {
            *byte = text.get(place..place + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or(NoHash)?;
        }
        Ok(Self(hash))
    }
}

/// A new key: `prefix` and 43 letters and digits, which hold 256 random bits.
pub fn generate(prefix: &str) -> SecretString {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut key = String::with_capacity(prefix.len() + 43);
    key.push_str(prefix);
    let end = prefix.len() + 43;
    while key.len() < end {
        // Bytes from 248 on would make the first letters likelier than the rest.
        let fair = random::<64>().into_iter().filter(|byte| *byte < 248);
        let letters = fair.map(|byte| char::from(ALPHABET[usize::from(byte % 62)]));
        key.extend(letters.take(end - key.len()));
    }
    SecretString::from(key)
}

/// What may be shown of a key: `sk-…a1b2`, or only `…` where four letters would say too much. Of an object of credentials
/// it is the name that they are known by.
pub fn mask(key: &str) -> String {
    if let Some(credentials) = credentials(key) {
        let name = IDENTITIES.iter().find_map(|name| credentials.get(*name)?.as_str());
        return format!("…{}", name.unwrap_or_default());
    }
    let length = key.chars().count();
    if length < 16 {
        return "…".to_owned();
    }
    let scheme = key.find(['-', '_']).filter(|place| *place < 5).map_or("", |place| &key[..=place]);
    let tail: String = key.chars().skip(length - 4).collect();
    format!("{scheme}…{tail}")
}

/// Members of credentials that are no secret and say whose they are.
const IDENTITIES: [&str; 3] = ["client_email", "client_id", "access_key_id"];

/// Members of credentials that are secret.
const SECRETS: [&str; 5] = ["client_secret", "refresh_token", "private_key", "secret_access_key", "session_token"];

/// A key that is a JSON object of credentials.
pub fn credentials(key: &str) -> Option<serde_json::Map<String, serde_json::Value>> {
    key.starts_with('{').then(|| serde_json::from_str(key).ok()).flatten()
}

/// `text` with the mask in the place of the key: providers repeat keys that they refuse.
pub fn conceal(text: &str, key: &SecretString) -> String {
    let hide = |text: String, secret: &str| if secret.is_empty() { text } else { text.replace(secret, &mask(secret)) };
    match credentials(key.expose_secret()) {
        None => hide(text.to_owned(), key.expose_secret()),
        Some(credentials) => {
            let secrets = SECRETS.iter().filter_map(|name| credentials.get(*name)?.as_str());
            secrets.fold(text.to_owned(), hide)
        }
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the operating system gives out random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_key_opens_again_for_its_provider_only() {
        let master = MasterKey::derive(b"a long enough master key");
        let sealed = master.seal(7, &SecretString::from("sk-secret"));
        assert!(sealed.starts_with("v1:") && !sealed.contains("secret"));
        assert_eq!(master.open(7, &sealed).unwrap().expose_secret(), "sk-secret");
        assert_eq!(master.open(8, &sealed).unwrap_err(), CannotOpen);
        assert_eq!(MasterKey::derive(b"another master key").open(7, &sealed).unwrap_err(), CannotOpen);
    }

    #[test]
    fn a_sealed_answer_opens_again_under_its_name_only() {
        let key = MasterKey::derive(b"a long enough master key").answers();
        let sealed = key.seal("one", b"words".to_vec());
        assert!(!sealed.windows(5).any(|window| window == b"words"));
        assert_eq!(key.open("one", &sealed), Ok(b"words".to_vec()));
        assert_eq!(key.open("other", &sealed), Err(CannotOpen));
        assert_eq!(key.open("one", &sealed[..7]), Err(CannotOpen));
        assert_eq!(MasterKey::derive(b"another master key").answers().open("one", &sealed), Err(CannotOpen));
    }

    #[test]
    fn sealing_twice_gives_different_texts() {
        let master = MasterKey::derive(b"a long enough master key");
        let key = SecretString::from("sk-secret");
        assert_ne!(master.seal(1, &key), master.seal(1, &key));
    }

    #[test]
    fn damaged_texts_are_refused() {
        let master = MasterKey::derive(b"a long enough master key");
        let sealed = master.seal(1, &SecretString::from("sk-secret"));
        for text in ["", "v1:", "v1:AAAA", "sk-secret", &sealed[..sealed.len() - 4], &sealed.replace("v1:", "v2:")] {
            assert_eq!(master.open(1, text).unwrap_err(), CannotOpen, "{text}");
        }
    }

    #[test]
    fn the_master_key_file_is_made_once_and_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new/master.key");
        let sealed = MasterKey::load(None, &file).unwrap().seal(1, &SecretString::from("sk-secret"));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(MasterKey::load(None, &file).unwrap().open(1, &sealed).unwrap().expose_secret(), "sk-secret");
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_master_key_file_that_lost_its_content_stops_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("master.key");
        fs::write(&file, "").unwrap();
        assert!(MasterKey::load(None, &file).unwrap_err().to_string().contains("too short"));
    }

    #[test]
    fn hashes_are_written_and_read_alike() {
        let hash = KeyHash::of("sk-secret");
        assert_eq!(hash.to_string().parse::<KeyHash>().unwrap(), hash);
        assert_eq!(KeyHash::of("").to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_ne!(hash, KeyHash::of("sk-secreT"));
        for text in ["", "zz", &"é".repeat(32), &"g".repeat(64)] {
            assert!(text.parse::<KeyHash>().is_err(), "{text}");
        }
    }

    #[test]
    fn generated_keys_are_long_and_never_the_same() {
        let key = generate("sk-");
        let text = key.expose_secret();
        assert_eq!(text.len(), 46);
        assert!(text.starts_with("sk-") && text[3..].chars().all(|letter| letter.is_ascii_alphanumeric()));
        assert_ne!(text, generate("sk-").expose_secret());
    }

    #[test]
    fn a_key_in_a_message_gives_way_to_its_mask() {
        let key = SecretString::from("sk-0123456789a1b2");
        assert_eq!(conceal("bad key sk-0123456789a1b2.", &key), "bad key sk-…a1b2.");
        assert_eq!(conceal("nothing here", &key), "nothing here");
        assert_eq!(conceal("nothing here", &SecretString::from("")), "nothing here");
    }

    #[test]
    fn of_credentials_their_name_is_shown_and_their_secret_is_not() {
        let key = r#"{"tenant_id":"t","client_id":"app-1","client_secret":"very-secret-words"}"#;
        assert_eq!(mask(key), "…app-1");
        assert_eq!(mask(r#"{"a":1}"#), "…");
        assert_eq!(conceal("bad very-secret-words for app-1", &SecretString::from(key)), "bad very-…ords for app-1");
    }

    #[test]
    fn a_mask_shows_the_scheme_and_four_letters_of_long_keys_only() {
        assert_eq!(mask("sk-proj-0123456789a1b2"), "sk-…a1b2");
        assert_eq!(mask("gsk_0123456789a1b2"), "gsk_…a1b2");
        assert_eq!(mask("AIzaSy0123456789a1b2"), "…a1b2");
        assert_eq!(mask("short"), "…");
        assert_eq!(mask("ééééééééééééééééé"), "…éééé");
    }
}
