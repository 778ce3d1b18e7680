//! A process under a number that another one had: what otherwise happens when numbers come round again.

use std::{
    ffi::CString,
    io,
    os::fd::{AsFd, FromRawFd, OwnedFd},
    ptr,
};

use anyhow::{Context, Result};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

/// It sleeps; dropping ends it.
pub struct Namesake(OwnedFd);

impl Namesake {
    /// Starts it under a number that is free. Needs root, or `CAP_CHECKPOINT_RESTORE`.
    pub fn start(pid: u32) -> Result<Self> {
        let arguments = ["sleep", "100"].map(CString::new);
        let [name, seconds] = arguments;
        let (name, seconds, program) = (name?, seconds?, CString::new("/bin/sleep")?);
        let arguments = [name.as_ptr(), seconds.as_ptr(), ptr::null()];
        let wanted = libc::pid_t::try_from(pid)?;
        let mut pidfd = -1;
        // SAFETY: zeros are a value of this structure of integers, and mean the default.
        let mut how: libc::clone_args = unsafe { std::mem::zeroed() };
        how.flags = libc::CLONE_PIDFD.cast_unsigned().into();
        how.pidfd = &raw mut pidfd as u64;
        how.exit_signal = libc::SIGCHLD.cast_unsigned().into();
        how.set_tid = &raw const wanted as u64;
        how.set_tid_size = 1;
        // SAFETY: without CLONE_VM this is a fork; the child only executes another program, with what is there already.
        unsafe {
            match libc::syscall(libc::SYS_clone3, &raw const how, size_of_val(&how)) {
                0 => {
                    libc::execv(program.as_ptr(), arguments.as_ptr());
                    libc::_exit(127)
                }
                -1 => Err(io::Error::last_os_error()).context(format!("starting a process {pid}")),
                _ => Ok(Self(OwnedFd::from_raw_fd(pidfd))),
            }
        }
    }
}

impl Drop for Namesake {
    fn drop(&mut self) {
        // One that has ended already is as good.
        let _ = pidfd_send_signal(&self.0, Signal::KILL);
        let _ = waitid(WaitId::PidFd(self.0.as_fd()), WaitIdOptions::EXITED);
    }
}
