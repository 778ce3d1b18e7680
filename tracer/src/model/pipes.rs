//! What rests in pipes, in order: so that bytes spliced into a pipe and out of it are one transfer.

use std::collections::VecDeque;

use super::{deposit::DepositId, endpoints::EndpointId, hash::HashMap};

/// Bytes of one origin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Resting {
    pub(crate) bytes: u64,
    /// What spliced them in; `None`: they were written, or it is not known.
    pub(crate) deposit: Option<DepositId>,
    /// They are a duplicate by `tee`: the first copy carries the cost.
    pub(crate) duplicate: bool,
}

/// One pipe.
#[derive(Debug, Default)]
struct Pipe {
    content: VecDeque<Resting>,
    used: u64,
}

/// All pipes.
#[derive(Debug)]
pub(crate) struct Pipes {
    pipes: HashMap<EndpointId, Pipe>,
    most: usize,
    clock: u64,
}

/// More than a pipe holds: it has at most `pipe-max-size` ÷ 4 KiB buffers, 256 unless root says otherwise. More entries
/// mean that somebody reads it who is not traced: the oldest are then gone.
const MOST_ENTRIES: usize = 1024;

impl Pipes {
    /// Remembers at most so many pipes.
    pub(crate) fn new(most: usize) -> Self {
        Self { pipes: HashMap::default(), most: most.max(1), clock: 0 }
    }

    fn pipe(&mut self, pipe: EndpointId) -> &mut Pipe {
        if self.pipes.len() >= self.most && !self.pipes.contains_key(&pipe) {
            let mut ages: Vec<u64> = self.pipes.values().map(|pipe| pipe.used).collect();
            let middle = ages.len() / 2;
            let (_, &mut limit, _) = ages.select_nth_unstable(middle);
            self.pipes.retain(|_, pipe| pipe.used > limit);
        }
        self.clock += 1;
        let pipe = self.pipes.entry(pipe).or_default();
        pipe.used = self.clock;
        pipe
    }

    /// Bytes went in.
    pub(crate) fn push(&mut self, pipe: EndpointId, resting: Resting) {
        if resting.bytes == 0 {
            return;
        }
        let content = &mut self.pipe(pipe).content;
        match content.back_mut() {
            Some(last) if last.deposit == resting.deposit && last.duplicate == resting.duplicate => {
                last.bytes = last.bytes.saturating_add(resting.bytes);
            }
            _ => content.push_back(resting),
        }
        if content.len() > MOST_ENTRIES {
            content.pop_front();
        }
    }

    /// Bytes came out; each gets what is known of them. What the pipe cannot have held came from where nobody looked.
    pub(crate) fn pop(&mut self, pipe: EndpointId, mut bytes: u64, mut each: impl FnMut(Resting)) {
        let content = match self.pipes.get_mut(&pipe) {
            Some(pipe) => &mut pipe.content,
            None => &mut VecDeque::new(),
        };
        while bytes > 0 {
            let Some(first) = content.front_mut() else {
                return each(Resting { bytes, deposit: None, duplicate: false });
            };
            let taken = first.bytes.min(bytes);
            each(Resting { bytes: taken, ..*first });
            bytes -= taken;
            first.bytes -= taken;
            if first.bytes == 0 {
                content.pop_front();
            }
        }
    }

    /// The first bytes of a pipe, as `tee` duplicates them.
    pub(crate) fn peek(&self, pipe: EndpointId, mut bytes: u64, mut each: impl FnMut(Resting)) {
        for resting in self.pipes.get(&pipe).into_iter().flat_map(|pipe| &pipe.content) {
            let taken = resting.bytes.min(bytes);
            if taken == 0 {
                return;
            }
            each(Resting { bytes: taken, duplicate: true, ..*resting });
            bytes -= taken;
        }
        if bytes > 0 {
            each(Resting { bytes, deposit: None, duplicate: false });
        }
    }

    /// All deposits that rest in some pipe.
    pub(crate) fn deposits(&self) -> impl Iterator<Item = DepositId> {
        self.pipes.values().flat_map(|pipe| pipe.content.iter().filter_map(|resting| resting.deposit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPAQUE: Resting = Resting { bytes: 1, deposit: None, duplicate: false };

    fn bytes(pipes: &mut Pipes, bytes: u64) -> Vec<u64> {
        let mut popped = Vec::new();
        pipes.pop(EndpointId::OTHERS, bytes, |resting| popped.push(resting.bytes));
        popped
    }

    #[test]
    fn more_comes_out_than_went_in() {
        let mut pipes = Pipes::new(4);
        pipes.push(EndpointId::OTHERS, Resting { bytes: 5, ..OPAQUE });
        assert_eq!(bytes(&mut pipes, 8), [5, 3]);
        assert_eq!(bytes(&mut pipes, 2), [2]);
        assert_eq!(bytes(&mut pipes, 0), [0; 0]);
    }

    #[test]
    fn tee_takes_nothing_out() {
        let mut pipes = Pipes::new(4);
        pipes.push(EndpointId::OTHERS, Resting { bytes: 5, duplicate: true, ..OPAQUE });
        pipes.push(EndpointId::OTHERS, Resting { bytes: 5, ..OPAQUE });
        let mut peeked = Vec::new();
        pipes.peek(EndpointId::OTHERS, 7, |resting| peeked.push((resting.bytes, resting.duplicate)));
        assert_eq!(peeked, [(5, true), (2, true)]);
        assert_eq!(bytes(&mut pipes, 10), [5, 5]);
    }

    #[test]
    fn a_pipe_that_others_read_stays_bounded() {
        let mut pipes = Pipes::new(4);
        for turn in 0..10_000u32 {
            pipes.push(EndpointId::OTHERS, Resting { duplicate: turn % 2 == 0, ..OPAQUE });
        }
        assert!(pipes.pipes[&EndpointId::OTHERS].content.len() <= MOST_ENTRIES);
    }
}
