// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title Twab
/// @notice Time-weighted balance of one account: its current word, and a ring of that word projected to the start of
/// each epoch in which the account was touched.
/// @dev Word: `last:32 | cumulative:128 | balance:96`, most significant first. `cumulative` is the sum of
/// balance x seconds up to `last`. 96-bit balances times 32-bit seconds cannot overflow 128 bits.
library Twab {
    struct Account {
        uint256 word;
        uint256[32] ring;
    }

    uint256 internal constant EPOCH = 28_800;
    uint256 internal constant RING = 32;
    uint256 internal constant BALANCE_MASK = type(uint96).max;

    function balance(Account storage self) internal view returns (uint256) {
        return self.word & BALANCE_MASK;
    }

    /// @notice Sets the balance from this second on. `word` is what the caller read from `self.word`.
    function set(Account storage self, uint256 word, uint256 newBalance) internal {
        unchecked {
            uint256 last = word >> 224;
            uint256 cumulative = (word >> 96) & type(uint128).max;
            uint256 held = word & BALANCE_MASK;
            uint256 start = block.timestamp - block.timestamp % EPOCH;
            if (last < start) {
                // first touch of the epoch: what the word was at the epoch's first second
                cumulative += held * (start - last);
                self.ring[(start / EPOCH) % RING] = start << 224 | cumulative << 96 | held;
                last = start;
            }
            cumulative += held * (block.timestamp - last);
            self.word = block.timestamp << 224 | cumulative << 96 | newBalance;
        }
    }

    /// @notice Cumulative balance-seconds at the first second of `epoch`, which must be one of the last 32 begun.
    function cumulativeAt(Account storage self, uint256 epoch) internal view returns (uint256) {
        unchecked {
            uint256 time = epoch * EPOCH;
            uint256 word = self.word;
            uint256 last = word >> 224;
            if (last <= time) return ((word >> 96) & type(uint128).max) + (word & BALANCE_MASK) * (time - last);
            // Touched after `time`: the first ring entry at or after it holds the balance that stood at `time`.
            // An entry's own `last` is its tag, so one left from 32 epochs before is never mistaken.
            for (uint256 e = epoch;; ++e) {
                uint256 entry = self.ring[e % RING];
                uint256 start = e * EPOCH;
                if (entry >> 224 == start) {
                    return ((entry >> 96) & type(uint128).max) - (entry & BALANCE_MASK) * (start - time);
                }
            }
        }
        return 0; // not reached: an account touched after `time` has an entry in the epoch of that touch
    }
}
