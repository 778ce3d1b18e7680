//! Sends with MSG_ZEROCOPY of which the kernel has not yet reported whether it copied them after all.
//!
//! A socket numbers these sends. The reports that the program takes from the error queue name the numbers, often much
//! later (Documentation/networking/msg_zerocopy.rst).

use std::collections::VecDeque;

use super::{endpoints::EndpointId, flow::FlowId, hash::HashMap, part::Part};

/// Most sends that wait for their report, over all sockets. Those beyond stay as the copy table has them.
const MOST: usize = 65_536;

/// What a flow's sends with MSG_ZEROCOPY came to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Sends {
    pub(crate) sends: u64,
    /// Reported as copied after all.
    pub(crate) copied: u64,
    /// Reported as not copied.
    pub(crate) by_reference: u64,
}

impl Sends {
    pub(crate) fn add(&mut self, other: &Self) {
        self.sends = self.sends.saturating_add(other.sends);
        self.copied = self.copied.saturating_add(other.copied);
        self.by_reference = self.by_reference.saturating_add(other.by_reference);
    }
}

/// One send that waits for its report.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// Its first number, and
    first: u32,
    /// how many it has: one, but for `sendmmsg`.
    numbers: u32,
    /// Of these, reported, and
    done: u32,
    /// reported as copied.
    copied: u32,
    /// The step from user memory into the socket, in each flow that it served.
    pub(crate) parts: Vec<(FlowId, Part)>,
}

impl Sent {
    /// Of all its numbers, how many were reported as copied.
    pub(crate) fn verdict(&self) -> (u32, u32) {
        (self.copied, self.numbers)
    }

    /// How many of `numbers` numbers from `first` on are its own. They wrap (`sk_zckey` is 32 bits wide).
    fn overlap(&self, first: u32, numbers: u32) -> u32 {
        let ahead = first.wrapping_sub(self.first);
        let behind = self.first.wrapping_sub(first);
        if ahead < self.numbers {
            numbers.min(self.numbers - ahead)
        } else if behind < numbers {
            self.numbers.min(numbers - behind)
        } else {
            0
        }
    }
}

/// All sends that wait.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    by_socket: HashMap<EndpointId, VecDeque<Sent>>,
    waiting: usize,
}

impl Waiting {
    /// A send got the numbers from `first` to before `end`. False if there is no room for it.
    pub(crate) fn sent(
        &mut self,
        socket: EndpointId,
        first: u32,
        end: u32,
        parts: Vec<(FlowId, Part)>,
    ) -> bool {
        if self.waiting >= MOST {
            return false;
        }
        self.waiting += 1;
        let sent = Sent { first, numbers: end.wrapping_sub(first).max(1), done: 0, copied: 0, parts };
        self.by_socket.entry(socket).or_default().push_back(sent);
        true
    }

    /// The kernel is done with the numbers from `first` to before `end`. Gives those sends to `each` that are
    /// done with.
    pub(crate) fn done(
        &mut self,
        socket: EndpointId,
        first: u32,
        end: u32,
        copied: bool,
        mut each: impl FnMut(&Sent),
    ) {
        let Some(sends) = self.by_socket.get_mut(&socket) else { return };
        let before = sends.len();
        let numbers = end.wrapping_sub(first);
        sends.retain_mut(|sent| {
            let own = sent.overlap(first, numbers);
            sent.done = sent.done.saturating_add(own);
            if copied {
                sent.copied = sent.copied.saturating_add(own).min(sent.numbers);
            }
            if sent.done >= sent.numbers {
                each(sent);
                return false;
            }
            true
        });
        self.waiting -= before - sends.len();
        if sends.is_empty() {
            self.by_socket.remove(&socket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(waiting: &mut Waiting, first: u32, end: u32, copied: bool) -> Vec<(u32, u32)> {
        let mut found = Vec::new();
        waiting.done(EndpointId::USER, first, end, copied, |sent| found.push(sent.verdict()));
        found
    }

    #[test]
    fn reports_may_cover_several_sends_and_numbers_wrap() {
        let mut waiting = Waiting::default();
        for first in [u32::MAX - 1, u32::MAX, 0, 1] {
            assert!(waiting.sent(EndpointId::USER, first, first.wrapping_add(1), Vec::new()));
        }
        assert_eq!(verdicts(&mut waiting, u32::MAX - 1, 1, true), [(1, 1); 3]);
        assert_eq!(verdicts(&mut waiting, 1, 2, false), [(0, 1)]);
        assert_eq!(verdicts(&mut waiting, 1, 2, false), []);
        assert_eq!((waiting.waiting, waiting.by_socket.len()), (0, 0));
    }

    #[test]
    fn a_send_of_several_messages_is_done_when_all_are() {
        let mut waiting = Waiting::default();
        waiting.sent(EndpointId::USER, 10, 14, Vec::new());
        assert_eq!(verdicts(&mut waiting, 8, 12, true), []);
        assert_eq!(verdicts(&mut waiting, 12, 20, false), [(2, 4)]);
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut waiting = Waiting::default();
        let mut taken = 0;
        for first in 0..u32::try_from(MOST).unwrap_or(u32::MAX) + 10 {
            taken += usize::from(waiting.sent(EndpointId::USER, first, first + 1, Vec::new()));
        }
        assert_eq!(taken, MOST);
    }
}
