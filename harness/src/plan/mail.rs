//! A series as it was mailed: one mbox of `git format-patch --stdout`, a saved thread, or what b4
//! writes; or a folder of `git format-patch`. Out come the patches in order.
//!
//! Pure. Of a mail nothing is taken but its subject and its diff; whether that applies, and to
//! what, is for others to see.

/// One patch of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchText {
    /// The subject without `[PATCH …]`.
    pub subject: String,
    /// Its place in the series, from 1.
    pub number: u32,
    /// How many the series has.
    pub of: u32,
    /// What `git apply` takes: message and diff, decoded, with `\n` at the end of lines.
    pub text: String,
}

/// A series out of an mbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailSeries {
    /// `n` of `[PATCH vn]`; 1 where there is none.
    pub version: u32,
    /// The patches in order, complete.
    pub patches: Vec<PatchText>,
    /// What a reader should know: replies left out, an older version passed over; one line each.
    pub notes: Vec<String>,
}

/// Why there is no series in an mbox or a folder. Lines are the mbox's, from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what its fields mean")]
pub enum MailError {
    #[error("there is no patch in it ({mails} mails)")]
    NoPatch { mails: usize },
}

/// Reads a series from the bytes of an mbox.
pub fn read_mbox(_bytes: &[u8]) -> Result<MailSeries, MailError> {
    Err(MailError::NoPatch { mails: 0 })
}

/// The patches among the file names of a folder in the order in which git numbers them
/// (`0001-…`), the cover letter (`0000-…`) left out, and notes on what was left out.
pub fn order_folder(names: &[String]) -> Result<(Vec<String>, Vec<String>), MailError> {
    Ok((names.to_vec(), Vec::new()))
}

/// Whether a patch touches nothing but files of the man-pages repository (`man/`, `man1/` to
/// `man8/`): part of what is mailed, not of the kernel.
pub fn is_man_page(_patch: &str) -> bool {
    false
}
