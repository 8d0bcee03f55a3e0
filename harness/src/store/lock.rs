//! One advisory lock per key or place, with its holder's name in it.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use super::StoreError;
use crate::broken::broken;
use crate::process::Ctx;

/// A lock that is held until it is dropped; the kernel frees it if the process dies.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held for its lock")] Option<File>);

/// How often a lock that is held is tried again. Blocking on it would deafen the run to signals.
const RETRY: Duration = Duration::from_millis(100);

pub(super) async fn take(path: &Path, ctx: &Ctx, name: &str) -> Result<Lock, StoreError> {
    take_by(path, ctx, name, File::try_lock).await
}

/// The same with the call that locks a file.
pub(super) async fn take_by(
    path: &Path,
    ctx: &Ctx,
    name: &str,
    try_lock: impl Fn(&File) -> Result<(), TryLockError>,
) -> Result<Lock, StoreError> {
    let open = File::options().create(true).truncate(false).read(true).write(true).open(path);
    let mut file = open.map_err(StoreError::from_write)?;
    let mut told = false;
    while !broken("lock") {
        match try_lock(&file) {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) if has_no_locks(&error) => {
                ctx.events.note(format!(
                    "the cache's file system has no locks: do not share {} between two runs",
                    path.display()
                ));
                return Ok(Lock(None));
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        if !told {
            told = true;
            ctx.events.note(format!("waiting for {name}: held by {}", holder(&mut file)));
        }
        let mut stop = ctx.stop.clone();
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            level = stop.wanted() => return Err(StoreError::Interrupted { signal: level.signal() }),
        }
    }
    file.set_len(0).map_err(StoreError::from_write)?;
    file.rewind()?;
    // In one write, so that whoever reads it meanwhile sees nothing or all of it.
    file.write_all(format!("process {}", std::process::id()).as_bytes()).map_err(StoreError::from_write)?;
    Ok(Lock(Some(file)))
}

/// Waiting for a file system that will never lock would be waiting for ever.
fn has_no_locks(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported && !broken("lockless")
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(100).read_to_string(&mut text));
    match read {
        Ok(n) if n > 0 => text,
        _ => "another run".to_owned(),
    }
}
