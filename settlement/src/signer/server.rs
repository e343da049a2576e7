//! The signer's Unix socket: one request a line, one answer a line. Only its owner may connect.

use std::{
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
    sync::Arc,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::Mutex,
};
use tracing::{debug, warn};

use super::Signer;
use crate::{
    error::Error,
    protocol::{Answer, MAX_LINE, Request},
};

/// Listens on `socket` (mode 0600), replacing a socket that a dead process left behind. It stands at its place only
/// when its mode is set, so nobody slips in before.
///
/// # Errors
/// When another process listens there, something else than a socket is there, or the socket cannot be made.
pub async fn listen(socket: &Path) -> Result<UnixListener, Error> {
    let fail = |why: String| Error::File { path: socket.display().to_string(), why };
    if UnixStream::connect(socket).await.is_ok() {
        return Err(fail("another signer listens here".into()));
    }
    let new = socket.with_extension("s");
    for path in [socket, &new] {
        match std::fs::symlink_metadata(path) {
            // a mistyped path must not cost a key
            Ok(found) if !found.file_type().is_socket() => {
                return Err(fail(format!("{} is there and is no socket", path.display())));
            }
            _ => {}
        }
    }
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(fail(error.to_string()));
        }
        _ => {}
    }
    let listener = UnixListener::bind(&new).map_err(|error| fail(error.to_string()))?;
    std::fs::set_permissions(&new, PermissionsExt::from_mode(0o600))
        .and_then(|()| std::fs::rename(&new, socket))
        .map_err(|error| fail(error.to_string()))?;
    Ok(listener)
}

/// Answers requests for ever, one at a time.
///
/// # Errors
/// When the socket fails.
pub async fn serve(listener: UnixListener, signer: Signer) -> Result<(), Error> {
    let signer = Arc::new(Mutex::new(signer));
    loop {
        let accepted = listener.accept().await;
        let (stream, _) = accepted.map_err(|error| Error::Config(error.to_string()))?;
        let signer = Arc::clone(&signer);
        tokio::spawn(async move {
            if let Err(error) = talk(stream, &signer).await {
                debug!("a connection ended: {error}");
            }
        });
    }
}

async fn talk(stream: UnixStream, signer: &Mutex<Signer>) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read.take(MAX_LINE)).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = match serde_json::from_str::<Request>(&line) {
            Ok(request) => match signer.lock().await.sign(&request).await {
                Ok(psbt) => Answer::Signed(psbt),
                Err(why) => {
                    warn!(epoch = request.epoch, batch = request.batch, "refused: {why}");
                    Answer::Refused(why.to_string())
                }
            },
            Err(error) => Answer::Refused(format!("no request of this protocol: {error}")),
        };
        let mut text = serde_json::to_string(&answer)?;
        text.push('\n');
        write.write_all(text.as_bytes()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_not_deleted_and_only_the_owner_may_connect() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        std::fs::write(&key, "precious").unwrap();
        let error = listen(&key).await.unwrap_err().to_string();
        assert!(error.contains("no socket"), "{error}");
        assert_eq!(std::fs::read_to_string(&key).unwrap(), "precious");
        let path = dir.path().join("signer.sock");
        let listener = listen(&path).await.unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(listen(&path).await.unwrap_err().to_string().contains("another signer"));
        drop(listener);
        listen(&path).await.unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "key and socket");
    }
}
