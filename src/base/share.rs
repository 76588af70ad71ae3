//! A share of the numbers that several stacks with the same addresses must not choose alike: local ports and identifications.
//! Single numbers are dealt out by their remainder; where rows are needed, each stack has a block.

/// The part of all numbers that one of several stacks may choose. Numbers that somebody names are free to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    part: u16,
    of: u16,
}

impl Share {
    /// Everything: there is no other stack.
    pub const WHOLE: Share = Share { part: 0, of: 1 };

    /// The part number `part`, from zero on, of `of` parts.
    ///
    /// # Panics
    /// Without such a part.
    pub fn new(part: u16, of: u16) -> Share {
        assert!(part < of, "part {part} of {of}");
        Share { part, of }
    }

    /// True if there is no other stack.
    pub fn is_whole(self) -> bool {
        self.of == 1
    }

    /// True if this stack may choose `number`, on its own.
    pub fn has(self, number: u16) -> bool {
        number % self.of == self.part
    }

    /// How many numbers of 16 bits are in this stack's block, where it chooses rows.
    pub fn block(self) -> u32 {
        (1 << u16::BITS) / u32::from(self.of)
    }

    /// The number of 32 bits, the lower 16 in this stack's block, that is next after that of `count - 1`.
    pub fn in_block(self, count: u32) -> u32 {
        let size = self.block();
        (count / size) << u16::BITS | (u32::from(self.part) * size + count % size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9293 §3.4 asks for unique pairs of ends: two stacks of one address must not give them twice.
    #[test]
    fn each_number_is_in_one_share() {
        for of in [1, 2, 3, 8] {
            let shares = |number| (0..of).filter(|&part| Share::new(part, of).has(number)).count();
            assert!((0..=u16::MAX).all(|number| shares(number) == 1), "{of}");
        }
        assert!(Share::WHOLE.is_whole() && !Share::new(0, 2).is_whole());
    }

    #[test]
    fn blocks_do_not_meet_and_a_whole_one_is_everything() {
        for of in [2, 3, 256] {
            let (least, most) = ((0..of).map(|part| Share::new(part, of)), Share::new(0, of).block());
            let blocks =
                least.map(|share| (share.in_block(0), share.in_block(most - 1), share.in_block(most)));
            let blocks: Vec<_> = blocks.collect();
            assert!(
                blocks.iter().all(|(first, last, next)| last - first == most - 1 && *next == first + 65_536)
            );
            assert!(
                blocks.windows(2).all(|pair| pair[0].1 < pair[1].0) && blocks[usize::from(of) - 1].1 < 65_536
            );
        }
        for number in [0, 1, 65_535, 65_536, u32::MAX] {
            assert_eq!(Share::WHOLE.in_block(number), number);
        }
    }
}
