//! Processes that a scenario starts: each ends with it, and is only ever signalled through its own pidfd.

use std::{
    env, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    process::{Child, Command, ExitStatus},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid},
};

use crate::accounts::Accounts;

/// How long one step of a scenario may take; a whole scenario has a limit of its own.
pub const STEP: Duration = Duration::from_secs(30);

/// How much longer than usual everything may take: `$ZC_TRACE_TEST_PATIENCE`, where an emulated machine is slow.
pub fn patience() -> u32 {
    let named = env::var("ZC_TRACE_TEST_PATIENCE").ok();
    named.and_then(|text| text.parse().ok()).filter(|patience| *patience > 0).unwrap_or(1)
}

/// Asks again and again until the condition holds; an error of the condition ends the wait.
pub fn wait_until(limit: Duration, what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let limit = limit * patience();
    let start = Instant::now();
    while !condition().with_context(|| format!("waiting for {what}"))? {
        if start.elapsed() > limit {
            bail!("waited {limit:?} in vain for {what}");
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// The processes of one scenario, for the watchdog.
#[derive(Clone, Default)]
pub struct Started(Arc<Mutex<Vec<Arc<OwnedFd>>>>);

impl Started {
    fn list(&self) -> MutexGuard<'_, Vec<Arc<OwnedFd>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all of them.
    pub fn end_all(&self) {
        for pidfd in self.list().iter() {
            // One that has ended already is as good.
            let _ = pidfd_send_signal(pidfd.as_fd(), Signal::KILL);
        }
    }
}

/// One process of a scenario. Dropping ends and reaps it.
pub struct Process {
    child: Child,
    pidfd: Arc<OwnedFd>,
    started: Started,
    reaped: Option<ExitStatus>,
}

impl Process {
    /// Starts it.
    pub fn spawn(command: &mut Command, started: &Started) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("starting {:?}", command.get_program()))?;
        let pid = Pid::from_child(&child);
        let pidfd = Arc::new(pidfd_open(pid, PidfdFlags::empty())?);
        started.list().push(Arc::clone(&pidfd));
        Ok(Self { child, pidfd, started: started.clone(), reaped: None })
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The child, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        pidfd_send_signal(self.pidfd.as_fd(), signal)
            .with_context(|| format!("signalling process {}", self.pid()))
    }

    /// Whether it has ended, reaped or not.
    pub fn has_ended(&self) -> Result<bool> {
        self.ended_within(Duration::ZERO)
    }

    fn ended_within(&self, limit: Duration) -> Result<bool> {
        let timeout =
            Timespec { tv_sec: limit.as_secs().cast_signed(), tv_nsec: limit.subsec_nanos().into() };
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        loop {
            match poll(&mut fds, Some(&timeout)) {
                Ok(ready) => return Ok(ready > 0),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
    }

    /// Waits until it has ended and leaves it a zombie.
    pub fn wait_for_end(&self, limit: Duration) -> Result<()> {
        let limit = limit * patience();
        if !self.ended_within(limit)? {
            bail!("process {} did not end within {limit:?}", self.pid());
        }
        // A pidfd is ready when the thread group has ended; WNOWAIT makes sure that it can be waited for.
        waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
        Ok(())
    }

    /// Waits for its end, takes the accounts of the zombie, and reaps it.
    pub fn closing_accounts(&mut self, limit: Duration) -> Result<(Accounts, ExitStatus)> {
        self.wait_for_end(limit)?;
        let accounts = Accounts::of_zombie(self.pid())?;
        Ok((accounts, self.reap(limit)?))
    }

    /// Waits for its end and reaps it.
    pub fn reap(&mut self, limit: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.reaped {
            return Ok(status);
        }
        self.wait_for_end(limit)?;
        let status = self.child.wait()?;
        self.reaped = Some(status);
        self.started.list().retain(|pidfd| !Arc::ptr_eq(pidfd, &self.pidfd));
        Ok(status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.reaped.is_none() {
            let _ = self.signal(Signal::KILL);
            let _ = self.reap(STEP);
        }
    }
}

/// The code as a shell shows it: 128 + the signal if one ended it.
pub fn shell_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
